"""How the evaluator of rules is: when it judged last, how long that took, how far each organization is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from msgspec import Struct

from alerts import rule_charts, standings
from alerts.evaluation import EVERY
from alerts.evaluations import Run
from alerts.lists import length
from alerts.rule_charts import Spark
from alerts.rule_words import rules as counted
from alerts.rules import MINUTE
from organizations.lists import Tone
from organizations.scope import Scope

MOST = 60  # evaluations: an hour's, where all is well
_SCOPE = Scope.system("evaluator health")  # its figures are the platform's, and name no organization
_PATIENCE = timedelta(minutes=3)
# One row for each evaluation: of the batches of minutes, and then of all that was judged in it.
_RUNS = """
SELECT at, max(took_ms) AS took_ms, max(minutes)::integer AS minutes, sum(rules)::bigint AS rules,
    sum(groups)::bigint AS groups, sum(transitions)::bigint AS transitions, sum(failed)::bigint AS failed,
    max(late_seconds) AS late_seconds
FROM (
    SELECT at, max(took_ms) AS took_ms, sum(minutes) AS minutes, max(rules) AS rules, max(groups) AS groups,
        sum(transitions) AS transitions, max(failed) AS failed, max(late_seconds) AS late_seconds
    FROM alerts_evaluation WHERE at >= {} GROUP BY at, organization_id, late
) AS own GROUP BY at
"""
_EVALUATIONS = f"""
{_RUNS.format("(SELECT max(at) - interval '2 hours' FROM alerts_evaluation)")} ORDER BY at DESC LIMIT %s
"""
_DAY = f"""
SELECT count(*), coalesce(sum(minutes), 0), coalesce(sum(transitions), 0), coalesce(sum(failed), 0),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY took_ms), max(took_ms), max(late_seconds)
FROM ({_RUNS.format("%s")}) AS runs
"""
_RULES = """
SELECT organization_id, (definition ->> 'offset'), count(*), count(*) FILTER (WHERE error <> '') FROM alerts_rule
WHERE state = 'on' GROUP BY 1, 2
"""


class Evaluation(Struct, frozen=True):
    at: datetime
    took_ms: float
    run: Run


class Day(Struct, frozen=True):
    """The last 24 hours in figures; None where nothing was judged."""

    evaluations: int
    minutes: int
    transitions: int
    failed: int
    usual_ms: float | None  # what 95 % took at most
    most_ms: float | None
    latest: float | None  # seconds


class Cursor(Struct, frozen=True, kw_only=True):
    """Until when the rules of an organization were judged that wait equally long for late data."""

    organization: str
    wait: int
    rules: int
    broken: int
    until: datetime
    behind: str  # "" where it is not
    tone: Tone


class Health(Struct, frozen=True, kw_only=True):
    sentence: str
    tone: Tone
    evaluations: Sequence[Evaluation]
    spark: Spark | None
    day: Day
    cursors: Sequence[Cursor]


def look(organizations: Sequence[str], now: datetime) -> Health:
    """`organizations` are those whose names the reader may know; figures are of all."""
    with _SCOPE.enter(), connection.cursor() as cursor:
        cursor.execute(_EVALUATIONS, [MOST])
        found = [Evaluation(at, took, Run(*rest)) for at, took, *rest in cursor.fetchall()]
        cursor.execute(_DAY, [now - timedelta(days=1)])
        day = Day(*cursor.fetchone())
        cursor.execute(_RULES)
        counted = {(of, int(late)): (number, broken) for of, late, number, broken in cursor.fetchall() if _whole(late)}
        untils = standings.judged()
    sentence, tone = _said(found[0] if found else None, sum(number for number, _ in counted.values()), now)
    took = [one.took_ms for one in reversed(found)]
    return Health(
        sentence=sentence, tone=tone, evaluations=found, day=day,
        spark=rule_charts.spark(took, None, "ms") if len(took) > 1 else None,
        cursors=[_cursor(key, until, *counted.get(key, (0, 0)), now)
                 for key, until in sorted(untils.items()) if key[0] in organizations and key in counted],
    )  # fmt: skip


def _whole(late: Any) -> bool:
    return isinstance(late, str) and late.isascii() and late.isdigit()


def _said(last: Evaluation | None, rules: int, now: datetime) -> tuple[str, Tone]:
    """The whole of it in a sentence."""
    every = f"Rules are judged every {EVERY.seconds} seconds"
    if not rules:
        return "No rule is on, so there is nothing to judge.", "plain"
    if last is None:
        return f"{every}, and none was judged yet.", "warn"
    ago, did = length(now - last.at), f"{counted(last.run.rules)} in {last.took_ms:,.0f} ms"
    if now - last.at > _PATIENCE:
        return f"No rule was judged for {ago}: beat and the workers may be away.", "bad"
    words = f"{every}, each minute once; the last time {ago} ago: {did}"
    failed = last.run.failed
    if failed:
        return f"{words}, {failed:,} of which could not be judged.", "bad"
    return f"{words}.", "good"


def _cursor(key: tuple[str, int], until: datetime, rules: int, broken: int, now: datetime) -> Cursor:
    organization, wait = key
    over = now - until - MINUTE - timedelta(seconds=wait)
    late = over > _PATIENCE
    return Cursor(organization=organization, wait=wait, rules=rules, broken=broken, until=until,
                  behind=length(over) if late else "", tone="bad" if late else "good")  # fmt: skip
