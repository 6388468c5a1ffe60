"""What each evaluation did, organization by organization: noted by whoever judges, read by the pages about it."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection

KEPT = timedelta(days=14)
_NOTE = """
INSERT INTO alerts_evaluation
    (organization_id, late, at, minutes, rules, groups, transitions, failed, late_seconds, took_ms)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_FORGET = "DELETE FROM alerts_evaluation WHERE at < %s"


class Run(NamedTuple):
    """What one evaluation did; `late` is by how many seconds the oldest minute of it came late."""

    minutes: int = 0
    rules: int = 0
    groups: int = 0
    transitions: int = 0
    failed: int = 0
    late: float = 0.0

    def beside(self, other: "Run") -> "Run":
        """Both, of other rules."""
        return Run(max(self.minutes, other.minutes), self.rules + other.rules, self.groups + other.groups,
                   self.transitions + other.transitions, self.failed + other.failed,
                   max(self.late, other.late))  # fmt: skip

    def then(self, later: "Run") -> "Run":
        """Both, of the same rules and later minutes."""
        return Run(self.minutes + later.minutes, max(self.rules, later.rules), max(self.groups, later.groups),
                   self.transitions + later.transitions, max(self.failed, later.failed),
                   max(self.late, later.late))  # fmt: skip


def note(organization: str, wait: int, run: Run, *, now: datetime, took_ms: float) -> None:
    """In the transaction of what was judged; with 0 minutes it is a run that judged nothing of them, in vain.

    Args:
        wait: the seconds for which these rules wait for late data.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [organization, wait, now, *run, took_ms])


def forget(now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [now - KEPT])
