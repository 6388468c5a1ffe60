"""What a rule says of a group that fires: exactly for developers, plainly for executives. Pure."""

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
    limit = threshold(one, standing)
    return {
        **named,
        "value": quantity(reading.value, one.unit),
        "threshold": quantity(limit, one.unit),
        "window": span(one.window),
        "group": ", ".join(value for value in named.values() if value),
        "samples": f"{reading.samples:,}",
        "level": standing.level or standing.state.replace("_", " "),
    }


def quantity(value: float | None, unit: str) -> str:
    """A value as people read it: shares in per cent, bytes in the largest unit, long durations in seconds."""
    if value is None:
        return "no data"
    match unit:
        case "ratio":
            return f"{_number(value * 100)} %"
        case "%":
            return f"{'+' if value > 0 else ''}{_number(value)} %"
        case "ms":
            return f"{_number(value / 1000)} s" if abs(value) >= 1000 else f"{_number(value)} ms"
        case "bytes":
            return _bytes(value)
        case "money":
            return f"{value:,.2f}" if abs(value) >= 1 or not value else f"{value:.4g}"
        case "celsius":
            return f"{_number(value)} °C"
        case _:
            return f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _bytes(value: float) -> str:
    for name in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{_number(value)} {name}"
        value /= 1024
    return f"{_number(value)} TiB"


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
    parts = [f"{mark} {quantity(value, one.unit)} {name}" for name, value in levels if value is not None]
    return ", ".join(parts) or f"no data for {span(condition.silent)}"
