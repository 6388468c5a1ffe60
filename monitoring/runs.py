"""What became of tasks: counted by outcome, and timed."""

from monitoring import counting
from monitoring.families import TASK_BOUNDS


def record_run(*, task: str, state: str, seconds: float | None) -> None:
    """One run of a task: its outcome in Celery's words, and how long it took, if that is known."""
    name = ("task", task)
    counting.table.add("shared", "cockpit_task_runs_total", (("state", state.lower()), name))
    if seconds is not None:
        counting.table.observe("shared", "cockpit_task_duration_seconds", (name,), seconds, TASK_BOUNDS)
