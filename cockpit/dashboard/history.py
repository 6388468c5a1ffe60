"""The alerts of a window as charts tell them: for developers as they were raised, for executives in plain words."""

import re
from collections.abc import Callable
from datetime import datetime

from alerts.changes import SETTINGS_CHANGED, VERSION_CHANGED
from alerts.raising import DEPLOYMENT
from alerts.states import State
from cockpit.dashboard import impact
from cockpit.dashboard.marks import Episode, History, Kind
from cockpit.dashboard.sight import Sight

CHANGES = (DEPLOYMENT, SETTINGS_CHANGED, VERSION_CHANGED)  # news of a moment, however long their alerts stay open
MOST_LETTERS = 100  # of a message
_OTHER = "__other__"  # models beyond the limit of names
_LEVELS = {"critical": "serious", "warning": "to watch", "info": "for information"}


def history(sight: Sight, audience: str) -> History:
    """What the charts of this audience's page are marked with."""
    executive = audience == "executive"
    words = _plain if executive else _exact
    return History(
        name="Events" if executive else "Alerts",
        episodes=tuple(_episode(sight, state, words) for state in sight.alarms.episodes),
    )


def _episode(sight: Sight, state: State, words: Callable[[Sight, State], str]) -> Episode:
    return Episode(_kind(state), state.first_seen_at, state.resolved_at or sight.answer.as_of, words(sight, state))


def _kind(state: State) -> Kind:
    return "change" if state.alert_type in CHANGES else state.severity


def _changes(state: State) -> bool:
    return _kind(state) == "change"


def _exact(sight: Sight, state: State) -> str:
    """critical: Error rate above 5 %, 14:05-14:31 (resolved by ada)."""
    message = _short(state.message)
    about = state.model_name or state.endpoint_id
    remarks = [about if about and about not in message else "", _ended(state), _source(state)]
    label = state.alert_type.replace("_", " ") if _changes(state) else state.severity
    return f"{label}: {message}, {_when(sight, state)}{_bracketed(remarks)}"


def _plain(sight: Sight, state: State) -> str:
    """Answers take too long with qwen2.5:7b, 14:05-14:31 (serious)."""
    said = impact.meaning(state)
    level = "" if _changes(state) else _LEVELS[state.severity]
    named = state.model_name and state.model_name != _OTHER and state.model_name not in said
    about = f" with {state.model_name}" if named and level else ""
    return f"{said}{about}, {_when(sight, state)}{_bracketed([level, _source(state)])}"


def _short(message: str) -> str:
    text = re.sub(r"\s+", " ", message).strip().rstrip(".")
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1].rstrip()}…"


def _ended(state: State) -> str:
    if _changes(state):
        return ""
    if state.resolved_at is not None:
        return f"resolved by {state.resolved_by}" if state.resolved_by else "resolved"
    if state.status == "acknowledged":
        return f"acknowledged by {state.acknowledged_by}" if state.acknowledged_by else "acknowledged"
    return ""


def _source(state: State) -> str:
    return "" if state.source == "live" else state.source


def _bracketed(remarks: list[str]) -> str:
    text = ", ".join(filter(None, remarks))
    return f" ({text})" if text else ""


def _when(sight: Sight, state: State) -> str:
    """14:05-14:31; since 14:05 for one that is open; at 14:05 for a change, or where both ends read the same."""
    began, ended = state.first_seen_at, state.resolved_at
    if _changes(state):
        return f"at {sight.clock(began)}"
    if ended is None:
        return f"since {sight.clock(began)}"
    if sight.clock(began) == sight.clock(ended):
        return f"at {sight.clock(began)}"
    same_day = _day(sight, began) == _day(sight, ended)
    last = f"{ended.astimezone(sight.zone):%H:%M}" if same_day else sight.clock(ended)
    return f"{sight.clock(began)}-{last}" if same_day else f"{sight.clock(began)} - {last}"


def _day(sight: Sight, moment: datetime) -> datetime:
    return moment.astimezone(sight.zone).replace(hour=0, minute=0, second=0, microsecond=0)
