"""Why a rule was silent, or why it fired: everything that led there at one moment, from the rule to each channel.

How its groups stood is as it was written down; what their values were is worked out from the data as they are now.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from alerts import recollection, saying, tellings
from alerts.fingerprints import fingerprint
from alerts.grounds import FIRING, Case, grounds, plain
from alerts.journal import Entry
from alerts.judging import FORGOTTEN
from alerts.measurements import MOST_GROUPS, NOTHING, Group
from alerts.models import Alert, AlertRule
from alerts.recollection import Judged, Version
from alerts.recounting import recount
from alerts.rulebook import Ruled
from alerts.rules import Standing
from alerts.tellings import Line, Told, clock
from organizations.lists import Tone
from organizations.scope import Scope

_AGAIN = "It is told of again once it was clear, grew worse, or is due to be told once more."


class Explanation(Struct, frozen=True, kw_only=True):
    """`verdict` is the answer in a sentence, `measured` what the value was and what was asked of it, `heard` who was
    told, or when people will be. `minute` is the end of the minute that it is about, `entries` are what was sent.
    """

    verdict: str
    fired: bool
    tone: Tone
    minute: datetime
    lines: Sequence[Line]
    measured: str = ""
    heard: str = ""
    entries: Sequence[Entry] = ()
    alert: Alert | None = None


def explain(rule: AlertRule, group: Group, moment: datetime, *, now: datetime) -> Explanation:
    """What was known of a group at `moment`."""
    with Scope.of(rule.organization_id).enter():
        version = recollection.version_at(rule, moment)
        if version is None:
            return _alone(moment, "there was no such rule yet", [Line("Rule", "it was made later", "warn")])
        words = f"version {version.number} by {version.by}, since {clock(version.since)}: {version.state}"
        lines = [Line("Rule", words, "plain" if version.state == "on" else "warn")]
        if version.state != "on":
            return _alone(moment, f"the rule was {version.state}", lines)
        if version.ruled is None:
            return _unread(rule, version, moment, lines)
        if len(group) != len(version.ruled.by):
            by = ", ".join(version.ruled.by)
            words = f"it was judged {f'by {by}' if by else 'as a whole'}"
            why = f"{words}, and {'not for such a group' if group else 'no group is named'}"
            return _alone(moment, why, [*lines, Line("Groups", words, "warn")])
        case = _case(rule, version, version.ruled, group, moment, now)
    return _explained(case, lines)


def _alone(moment: datetime, why: str, lines: Sequence[Line]) -> Explanation:
    minute = moment.replace(second=0, microsecond=0)
    return Explanation(verdict=f"It was silent: {why}.", fired=False, tone="warn", minute=minute, lines=lines)


def _unread(rule: AlertRule, version: Version, moment: datetime, lines: Sequence[Line]) -> Explanation:
    error = recollection.error_at(rule, moment)
    why = "the rule could not be read" if error else "how the rule was then cannot be read any more"
    return _alone(moment, why, [*lines, Line("Error", error or version.error, "warn")])


def _case(rule: AlertRule, version: Version, ruled: Ruled, group: Group, moment: datetime, now: datetime) -> Case:
    of = rule.organization_id
    judged = recollection.judged_by(rule, version, moment, now)
    changes = recollection.changes_of(rule.pk, of, group, version.first, judged.minute)
    counted = recount(ruled, group, version, changes, judged.minute, now)
    report = saying.report_of(ruled, group, Standing(since=moment), counted.reading or NOTHING)
    known = fingerprint(organization=of, alert_type=report.alert_type, endpoint_id=report.endpoint_id,
                        model_name=report.model_name, labels=report.labels)  # fmt: skip
    return Case(
        rule=ruled, judged=judged, changes=changes, counted=counted, told=tellings.told_of(of, known, moment),
        known=bool(changes) or not ruled.by or recollection.knows(rule.pk, of, group),
    )  # fmt: skip


def _explained(case: Case, lines: Sequence[Line]) -> Explanation:
    told = case.told
    if told is not None and not told.open and case.state not in FIRING:
        told = None  # it was over before, and has nothing to do with it
    fired, verdict, tone = _verdict(case)
    return Explanation(
        verdict=f"{'It fired' if fired else 'It was silent'}{verdict}.", fired=fired, tone=tone,
        minute=case.judged.minute, lines=[*lines, *grounds(case), *(told.lines if told else ())],
        measured=case.measured, heard=_heard(told, fired=fired), entries=told.entries if told else (),
        alert=told.alert if told else None,
    )  # fmt: skip


def _heard(told: Told | None, *, fired: bool) -> str:
    if told is None:
        return ""
    return told.words if fired else "" if told.open else _AGAIN


def _verdict(case: Case) -> tuple[bool, str, Tone]:
    """Whether it fired, the rest of the sentence that tells so, and in which tone."""
    is_open, why = case.told is not None and case.told.open, _not_judged(case.judged)
    if why:
        return (True, f", and {why}", "bad") if is_open else (False, f": {why}", "warn")
    again = f". With what came later it would be {case.again}" if case.again else ""
    if case.state in FIRING:
        if case.told is not None and not is_open:
            return False, f": {case.told.ended}", "warn"
        return True, f" ({plain(case.state)}): {case.reason}{again}", "bad"
    if not case.known:
        crowd = f"the rule has more groups than the {MOST_GROUPS} that are judged"
        why = crowd if case.counted.crowd else case.unmade or "nothing was measured for such a group"
        return False, f": {why}{again}", "warn"
    if case.state == FORGOTTEN:
        crowded = case.changes[0].because == "crowded"
        why = case.reason if crowded else "nothing had been measured for so long that it was forgotten"
        return False, f": {why}", "plain"
    return False, f": {case.reason}{again}", "good" if case.because == "fine" and not again else "plain"


def _not_judged(judged: Judged) -> str:
    if judged.error:
        return f"the rule could not be judged. {judged.error.removesuffix('.')}"
    match judged.outcome:
        case "waiting":
            return f"the minute until {judged.minute:%H:%M} is not judged yet"
        case "missed":
            return f"nobody judged the minute until {judged.minute:%H:%M} within an hour"
        case "late":
            return f"the minute until {judged.minute:%H:%M} was judged only at {judged.at:%H:%M:%S}"
    return ""
