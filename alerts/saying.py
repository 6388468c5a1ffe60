"""What a rule says of a group that fires: exactly for developers, plainly for executives. Pure."""

from decimal import Decimal
from typing import Any

from alerts.channels.base import shortened
from alerts.definitions import DAY, Definition, filled
from alerts.meanings import PLAIN
from alerts.measurements import Group
from alerts.rulebook import Ruled
from alerts.rules import Operator, Reading, Standing
from alerts.states import Report, Severity

LONGEST_MESSAGE = 1000
RULE = "rule"  # the label by which an alert tells its rule's key
RULE_ID = "ruleId"  # in the metadata
NONE = "–"  # what a value is called that is empty
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_LONGEST_NUMBER = 24  # letters: a longer one is told with an exponent
_SIGNS: dict[Operator, str] = {"gt": ">", "gte": "≥", "lt": "<", "lte": "≤"}


def report_of(rule: Ruled, group: Group, standing: Standing, reading: Reading) -> Report:
    """The alert of a group that fires; its labels are the same whatever the value is."""
    one = rule.definition
    named = dict(zip(one.by, group))
    places = _places(rule, named, standing, reading)
    about = {name: value for name, value in named.items() if not (one.of_inferences and name in ("model", "endpoint"))}
    silent = standing.state == "no_data"
    metadata: dict[str, Any] = {
        "value": _rounded(reading.value), "threshold": threshold(one, standing),
        **({"unit": one.unit} if one.unit else {}), "window": places["window"],
        "samples": reading.samples, "measure": one.measure, RULE_ID: str(rule.id), "ruleName": rule.name,
        "since": standing.since.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    if one.runbook:
        metadata["runbook"] = one.runbook
    if one.executive and not silent:
        metadata[PLAIN] = shortened(filled(one.executive, places), 200)
    words = f"No data for {rule.name}{places['group'] and ' of ' + places['group']}" if silent else one.developer
    return Report(
        alert_type=one.alert_type,
        severity=severity(standing),
        message=shortened(filled(words, places), LONGEST_MESSAGE),
        endpoint_id=named.get("endpoint", "") if one.of_inferences else "",
        model_name=named.get("model", "") if one.of_inferences else "",
        metadata=metadata,
        labels={**one.labels, **about, RULE: rule.key},
    )


def severity(standing: Standing) -> Severity:
    return "critical" if standing.level == "critical" else "warning"


def threshold(one: Definition, standing: Standing) -> float | None:
    """That of the level that fires."""
    asked = one.condition
    return asked.critical if standing.level == "critical" else asked.warning


def _places(rule: Ruled, named: dict[str, str], standing: Standing, reading: Reading) -> dict[str, str]:
    one = rule.definition
    return {
        **named,
        "value": quantity(reading.value, one.unit),
        "threshold": limit(threshold(one, standing), one.unit),
        "window": span(one.window),
        "group": ", ".join(value for value in named.values() if value),
        "samples": f"{reading.samples:,}",
        "level": standing.level or standing.state.replace("_", " "),
    }


def name_of(group: Group) -> str:
    """As every page calls a group, and can be asked for it."""
    return ", ".join(value or NONE for value in group)


def quantity(value: float | None, unit: str) -> str:
    """A value as people read it: shares in per cent, bytes in the largest unit, long durations in seconds."""
    return "no data" if value is None else _told(Decimal(str(value)), unit, exact=False)


def limit(value: float | None, unit: str) -> str:
    """A threshold as people read it: likewise, with every digit that was written."""
    return "no data" if value is None else _told(Decimal(str(value)), unit, exact=True)


def _told(value: Decimal, unit: str, *, exact: bool) -> str:
    digits = _exact if exact else _near
    if unit.endswith("/s"):
        return f"{_told(value, unit.removesuffix('/s'), exact=exact)}/s"
    match unit:
        case "ratio":
            return f"{_exact(value * 100) if exact else _share(value * 100)} %"
        case "%":
            return f"{'+' if value > 0 else ''}{digits(value)} %"
        case "ms":
            return f"{digits(value / 1000)} s" if abs(value) >= 1000 else f"{digits(value)} ms"
        case "bytes":
            return _bytes(value, exact=exact)
        case "money":
            return _money(value, exact=exact)
        case "celsius":
            return f"{digits(value)} °C"
        case _:
            return f"{digits(value)} {unit}".strip()


def _near(value: Decimal) -> str:
    """To three digits, or to the whole."""
    number = float(value)
    if abs(number) >= 1e15:
        return f"{number:.3g}"
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.3g}"


def _exact(value: Decimal) -> str:
    text = f"{value:,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if len(text) <= _LONGEST_NUMBER else f"{value.normalize():e}"


def _share(percent: Decimal) -> str:
    """What is not quite all has as many digits as tell it from all."""
    gap = abs(100 - percent)
    return _exact(round(percent, 1 - gap.adjusted())) if 0 < gap < 1 else _near(percent)


def _bytes(value: Decimal, *, exact: bool) -> str:
    """In the largest unit of which it has any; a threshold in one in which it has no more than three decimals."""
    sizes = [place for place in range(1, len(_BYTES)) if abs(value) >= 1024**place]
    if exact:
        sizes = [place for place in sizes if value * 1000 == int(value * 1000) and not int(value * 1000) % 1024**place]
    place = max(sizes, default=0)
    return f"{(_exact if exact else _near)(value / 1024**place)} {_BYTES[place]}"


def _money(value: Decimal, *, exact: bool) -> str:
    if (abs(value) >= 1 or not value) and not (exact and len(_exact(value).partition(".")[2]) > 2):
        return f"{value:,.2f}"
    return _exact(value) if exact else f"{float(value):.4g}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def span(minutes: int) -> str:
    """A length of time: "5 min", "2 h", "7 days"."""
    if minutes and minutes % DAY == 0:
        days = minutes // DAY
        return "1 day" if days == 1 else f"{days} days"
    return f"{minutes // 60} h" if minutes and minutes % 60 == 0 else f"{minutes} min"


def sign(operator: Operator) -> str:
    return _SIGNS[operator]


def asked(one: Definition) -> str:
    """The condition in a line: "> 5 % warning, > 10 % critical"."""
    condition, mark = one.condition, sign(one.condition.operator)
    levels = (("warning", condition.warning), ("critical", condition.critical))
    parts = [f"{mark} {limit(value, one.unit)} {name}" for name, value in levels if value is not None]
    return ", ".join(parts) or f"no data for {span(condition.silent)}"
