"""What spoke for an alarm at one moment, and what against it: line by line, from the minute to how the group stood."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, structs

from alerts import rule_words, saying
from alerts.judging import FORGOTTEN
from alerts.measurements import MOST_GROUPS
from alerts.recollection import Changed, Judged
from alerts.recounting import Recount
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Because, Hours, Reading, Standing, breaches
from alerts.tellings import Line, Told, clock
from organizations.lists import Tone

FIRING = ("warning", "critical", "no_data")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_POLICIES: Mapping[str, str] = {
    "ok": "without data it is fine", "keep": "without data it stays as it was", "zero": "no data count as zero",
    "alert": "without data for {silent} it is an alert of its own",
}  # fmt: skip


class Case(Struct, frozen=True, kw_only=True):
    """All that is known of a group at a moment: what was written down, and what is counted again. `changes` are those
    until then, the newest first; `known` is whether it was ever judged.
    """

    rule: Ruled
    judged: Judged
    changes: Sequence[Changed]
    known: bool
    counted: Recount
    told: Told | None

    @property
    def state(self) -> str:
        return self.changes[0].state if self.changes else "ok"

    @property
    def again(self) -> str:
        """How it would stand by the data as they are now, where that is otherwise."""
        standing = self.counted.standing
        if standing is None or self.state in (standing.state, FORGOTTEN):
            return ""
        return plain(standing.state)

    @property
    def because(self) -> Because | None:
        """As it was judged then: by what is counted again, as long as that comes to the same."""
        if self.counted.standing is not None and not self.again:
            return self.counted.standing.because
        return self.changes[0].because if self.changes else None

    @property
    def measured(self) -> str:
        """The value, and what was asked of it."""
        one, reading = self.rule.definition, self.counted.reading
        value = saying.quantity(reading.value, one.unit) if reading else "a value that is not known"
        return f"{self.unmade or value}; asked is {saying.asked(one)}"

    @property
    def unmade(self) -> str:
        """Why there is no value although something was measured; "" where that is not so."""
        parts, change = self.counted.parts, self.rule.definition.change
        if parts is None:
            return ""
        if parts.now.value is not None:
            return f"there is nothing to compare with {rule_words.before(change)}"
        kind = "call" if self.rule.definition.of_inferences else "reading"
        return f"no value is known of {parts.counted:,} {kind}{'' if parts.counted == 1 else 's'}"

    @property
    def reason(self) -> str:
        standing = self.counted.standing
        if self.because == "no_data" and self.unmade:
            return self.unmade
        if self.because is not None:
            better = standing is not None and rule_words.is_better(self.rule.condition, standing)
            return rule_words.reason(self.because, better=better)
        return "why is not known any more" if self.state in FIRING else "nothing was known to be wrong"


def grounds(case: Case) -> Iterator[Line]:
    yield _of_judging(case.judged)
    reading, standing = case.counted.reading, case.counted.standing
    if reading is None:
        yield Line("Value", case.counted.missing, "warn")
    else:
        yield from _of_value(case, reading)
        yield from _of_condition(case.rule, reading)
    if standing is not None and not case.again:
        yield from _of_standing(case.rule, standing)
    if reading is not None and reading.value is None:
        yield _of_silence(case, standing)
    if case.rule.condition.hours is not None:
        yield _of_hours(case.rule.condition.hours, case.judged.minute)
    yield from _of_state(case)


def _of_judging(judged: Judged) -> Line:
    minute, due = f"the minute until {judged.minute:%H:%M}", f"{judged.due:%H:%M:%S}"
    if judged.error:
        return Line("Judged", f"no: {judged.error}", "warn")
    match judged.outcome:
        case "waiting":
            return Line("Judged", f"not yet: {minute} has been due since {due}", "warn")
        case "missed":
            return Line("Judged", f"no: nobody judged {minute}, due at {due}, within an hour", "warn")
        case "late":
            return Line("Judged", f"late: {minute}, due at {due}, at {judged.at:%H:%M:%S}", "warn")
    return Line("Judged", f"{minute}{f', at {judged.at:%H:%M:%S}' if judged.at else ''}")


def _of_value(case: Case, reading: Reading) -> Iterator[Line]:
    one = case.rule.definition
    yield Line("Measured", rule_words.subject(one))
    words = f"{saying.quantity(reading.value, one.unit)}, of {_samples(reading.samples)}"
    if case.unmade:
        words = _unmade(case)
    last = case.changes[0] if case.changes else None
    if last and last.at == case.judged.minute and last.samples is not None and last.value != reading.value:
        then = f"{saying.quantity(last.value, one.unit)}, of {_samples(last.samples)}"
        words = f"{words}, with what came later; it was judged by {then}"
    yield Line("Value", words)
    if case.rule.condition.least:
        yield _of_samples(case, reading)
    if case.counted.crowd and not case.known:
        yield Line("Groups", f"{case.counted.crowd:,} more than the {MOST_GROUPS} that are judged", "warn")


def _unmade(case: Case) -> str:
    """What there was without a value: "none: there is nothing to compare with a week ago; now 6 inferences, of 6"."""
    parts, one = case.counted.parts, case.rule.definition
    if parts is None or parts.before is None:
        return f"none: {case.unmade}"
    unit = structs.replace(one, change="").unit
    now, before = (saying.quantity(side.value, unit) for side in (parts.now, parts.before))
    return f"none: {case.unmade}; it is {now} now, and was {before} then"


def _of_samples(case: Case, reading: Reading) -> Line:
    condition = case.rule.condition
    words = f"{reading.samples:,}; at least {condition.least:,} are asked for"
    enough = reading.samples >= condition.least
    changed = bool(case.changes) and case.changes[0].at == case.judged.minute
    if not enough and reading.value is not None and condition.no_data in ("keep", "alert") and not changed:
        words = f"{words}, and with fewer it stays as it was"
    return Line("Samples", words, "plain" if enough else "warn")


def _samples(number: int) -> str:
    return f"{number:,} sample{'' if number == 1 else 's'}"


def _of_condition(rule: Ruled, reading: Reading) -> Iterator[Line]:
    condition, unit = rule.condition, rule.definition.unit
    value = 0.0 if reading.value is None and condition.no_data == "zero" else reading.value
    for name, threshold in (("Warning", condition.warning), ("Critical", condition.critical)):
        if threshold is not None and value is not None:
            asked = f"{saying.sign(condition.operator)} {saying.limit(threshold, unit)}"
            beyond = breaches(condition.operator, value, threshold)
            yield Line(name, f"{'beyond' if beyond else 'not beyond'} {asked}", "bad" if beyond else "good")


def _of_standing(rule: Ruled, standing: Standing) -> Iterator[Line]:
    condition, unit = rule.condition, rule.definition.unit
    worse = standing.alarmed is not None and (standing.level != "" or condition.warning is None)
    since = standing.alarmed if worse else standing.warned
    if since is not None and condition.hold:
        long, due = saying.span(condition.hold), clock(since + condition.hold * MINUTE)
        waits = standing.level != "critical" if worse else standing.level == ""
        yield Line("For", f"beyond the {'critical ' if worse else ''}threshold since {clock(since)}; it has to be for "
                          f"{long}, until {due}", "good" if waits else "bad")  # fmt: skip
    if standing.because == "clearing":
        clear = condition.critical_clear if standing.level == "critical" else condition.warning_clear
        yield Line("Clears", f"not yet: the value is still {saying.sign(condition.operator)} "
                             f"{saying.limit(clear, unit)}", "bad")  # fmt: skip
    if standing.cleared is not None:
        until = clock(standing.cleared + condition.keep * MINUTE)
        lesser = standing.level == "critical" and condition.warning is not None and standing.calm != standing.cleared
        better, kept = ("no longer critical", "kept so") if lesser else ("clear", "kept")
        words = f"{better} since {clock(standing.cleared)}; {kept} for {saying.span(condition.keep)}, until {until}"
        yield Line("Kept firing", words, "bad")


def _of_silence(case: Case, standing: Standing | None) -> Line:
    condition = case.rule.condition
    words = _POLICIES[condition.no_data].format(silent=saying.span(condition.silent))
    nothing = "no value" if case.unmade else "nothing"
    since = f"; {nothing} since {clock(standing.silent)}" if standing and standing.silent else ""
    return Line("No data", f"{words}{since}", "warn")


def _of_hours(hours: Hours, at: datetime) -> Line:
    days = "" if len(hours.days) == len(_DAYS) else f" on {', '.join(_DAYS[day] for day in hours.days)}"
    span = f"{rule_words.clock_words(hours.start)} to {rule_words.clock_words(hours.end)}{days}, {hours.zone}"
    if hours.hold(at):
        return Line("Active hours", f"within {span}")
    return Line("Active hours", f"outside {span}: nothing begins", "warn")


def _of_state(case: Case) -> Iterator[Line]:
    if case.changes:
        last = case.changes[0]
        tone: Tone = "bad" if last.state in FIRING else "good" if last.state == "ok" else "plain"
        yield Line("State", f"{plain(last.state)} since {clock(last.at)}", tone)
    if case.again:
        yield Line("Counted again", f"{case.again}, with what came later than it was judged", "warn")


def plain(state: str) -> str:
    return state.replace("_", " ")
