"""The demo's calls: made up hour by hour, the same ones for the same seed, organization, hour and story."""

import math
import random
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

from cockpit.demo.profiles import INPUT_TOKENS, OUTPUT_TOKENS, SHARES, STORY, Incident, Model, Profile, Story
from monitoring.ingest import Item

HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_SATURDAY = 5
SEED = 2026
_CALLS_A_SESSION = (1, 1, 2, 2, 3, 4, 5, 7)
_LATEST_SECONDS = 3_599.9
_READ_MS = 0.06  # for each token read
_CACHED_PRICE = Decimal("0.1")  # of the price of reading anew
_MILLION = Decimal(1_000_000)
# The ordinary reasons a call fails: status, error type, and how often compared with the others.
_FAILURES = (("error", "server_error", 4), ("timeout", "timeout", 2), ("rate_limited", "rate_limit", 3),
             ("error", "context_length_exceeded", 1), ("cancelled", "", 3))  # fmt: skip
_FAILURE_WEIGHTS = tuple(weight for _, _, weight in _FAILURES)


def hour_of(moment: datetime) -> datetime:
    """The start of the hour of a time in UTC."""
    return moment.replace(minute=0, second=0, microsecond=0)


def quantile(table: Sequence[int], share: float) -> int:
    """The tokens below which `share` of all calls lie, straight between the places of the table."""
    place = max(1, bisect_left(SHARES, share))
    low, high = SHARES[place - 1], SHARES[place]
    first, last = table[place - 1], table[place]
    return round(first + (last - first) * (share - low) / (high - low))


@dataclass(frozen=True, slots=True)
class Telling:
    """A story told from one moment on: what applies to a given time."""

    told_at: datetime
    story: Story = STORY

    def start_of(self, incident: Incident, zone: ZoneInfo) -> datetime:
        """When an incident began, where its organization keeps this time."""
        told = hour_of(self.told_at).astimezone(zone)
        start = told.replace(hour=incident.at_hour)
        if start + incident.hours * HOUR > told:
            start -= _DAY
        start -= incident.days_ago * _DAY
        while incident.workday and start.weekday() >= _SATURDAY:
            start -= _DAY
        return hour_of(start.astimezone(UTC))

    def during(self, organization: str, hour: datetime, zone: ZoneInfo) -> list[Incident]:
        """The incidents that an hour lies in."""
        own = (one for one in self.story.incidents if one.organization == organization)
        return [one for one in own if timedelta(0) <= hour - self.start_of(one, zone) < one.hours * HOUR]

    def price_factor(self, model: Model, hour: datetime) -> Decimal:
        """Of today's prices; another one before the change."""
        changed = hour_of(self.told_at) - self.story.price_ago
        return self.story.price_factor if model.name == self.story.price_model and hour < changed else Decimal(1)

    def slowness(self, model: Model, hour: datetime) -> float:
        """How many times as long calls take as before the regression; it grows evenly up to the present."""
        if model.name != self.story.slow_model:
            return 1.0
        passed = (hour - (hour_of(self.told_at) - self.story.slow_since)) / self.story.slow_since
        return 1 + (self.story.slow_factor - 1) * min(1.0, max(0.0, passed))


def hour_of_calls(
    profile: Profile, hour: datetime, *, zone: ZoneInfo, telling: Telling, seed: int = SEED
) -> list[Item]:
    """The calls of one organization that began in [hour, hour + 1 h), in order of time."""
    return _Hour(profile, hour, zone, telling, seed).calls()


def between(calls: Iterable[Item], since: datetime, until: datetime) -> list[Item]:
    """The calls of [since, until)."""
    return [call for call in calls if call.occurred_at is not None and since <= call.occurred_at < until]


class _Hour:
    """One hour being made up: its dice, and what applies to all of its calls."""

    def __init__(self, profile: Profile, hour: datetime, zone: ZoneInfo, telling: Telling, seed: int) -> None:
        self._profile = profile
        self._hour = hour
        self._local = hour.astimezone(zone)
        self._dice = random.Random(f"{seed} {profile.organization} {hour:%Y-%m-%dT%H}")  # noqa: S311 - a story, no secret
        self._incidents = telling.during(profile.organization, hour, zone)
        self._prices = {model.name: telling.price_factor(model, hour) for model in profile.models}
        spike = math.prod(incident.strength for incident in self._incidents if incident.kind == "latency")
        self._slowness = {model.name: spike * telling.slowness(model, hour) for model in profile.models}
        self._shares = tuple(accumulate(model.share for model in profile.models))
        self._error_rate, self._error_type = profile.error_rate, ""
        for incident in self._incidents:
            if incident.kind == "errors":
                self._error_rate, self._error_type = incident.strength, incident.error_type

    def calls(self) -> list[Item]:
        found = [call for _ in range(self._sessions()) for call in self._session()]
        for incident in self._incidents:
            if incident.kind == "runaway":
                found += [call for _ in range(round(incident.strength)) for call in self._runaway()]
        return sorted(found, key=lambda call: call.occurred_at or self._hour)

    def _sessions(self) -> int:
        """A number around what the organization's hour and day of the week have."""
        profile = self._profile
        usual = profile.sessions * profile.hours[self._local.hour] / sum(profile.hours)
        if self._local.weekday() >= _SATURDAY:
            usual *= profile.weekend
        usual *= self._dice.uniform(0.85, 1.15)
        return max(0, round(self._dice.gauss(usual, math.sqrt(usual))))

    def _session(self) -> Iterator[Item]:
        """One person's few calls to one model, seconds apart."""
        dice = self._dice
        [model] = dice.choices(self._profile.models, cum_weights=self._shares)
        endpoint, user = dice.choice(model.endpoints), self._user(dice.random())
        second = dice.uniform(0, 3_600)
        for _ in range(dice.choice(_CALLS_A_SESSION)):
            yield self._call(model, endpoint, user, second, dice.random())
            second += dice.uniform(1, 15)

    def _runaway(self) -> Iterator[Item]:
        """An agent that goes round in circles with a full context."""
        model, second = self._profile.models[0], self._dice.uniform(0, 3_600)
        for _ in range(3):
            yield self._call(model, model.endpoints[-1], "nightly-agent", second, self._dice.uniform(0.93, 1))
            second += self._dice.uniform(1, 5)

    def _user(self, share: float) -> str:
        """A few people do most of it."""
        return f"user-{int(share * share * self._profile.users) + 1:02d}"

    def _call(self, model: Model, endpoint: str, user: str, second: float, input_share: float) -> Item:
        dice = self._dice
        read, written = quantile(INPUT_TOKENS, input_share), quantile(OUTPUT_TOKENS, dice.random())
        status, error_type = self._outcome()
        if status != "success":
            written = 0
        cached = int(read * model.cached * dice.random()) if model.cached else None
        slowness = self._slowness[model.name] * dice.lognormvariate(0, 0.25)
        first_token = (model.overhead_ms + _READ_MS * read) * slowness
        duration = first_token + model.write_ms * written * slowness
        if status == "timeout":
            duration = 30_000.0
        cost = self._price(model, read, cached or 0, written) if status == "success" else Decimal(0)
        return Item(
            model_name=model.name, provider=model.provider, endpoint_id=endpoint, status=status,
            error_type=error_type or None, duration_ms=round(duration, 3),
            time_to_first_token_ms=round(first_token, 3) if status == "success" else None,
            input_tokens=read, output_tokens=written, cache_read_tokens=cached,
            reasoning_tokens=int(written * model.reasoning) if model.reasoning else None,
            cost=cost * self._prices[model.name], revenue=self._revenue(cost), user_id=user,
            occurred_at=self._hour + timedelta(seconds=min(second, _LATEST_SECONDS)), source="demo",
        )  # fmt: skip

    def _outcome(self) -> tuple[Any, str]:
        if self._dice.random() >= self._error_rate:
            return "success", ""
        if self._error_type:
            return "error", self._error_type
        [(status, error_type, _)] = self._dice.choices(_FAILURES, _FAILURE_WEIGHTS)
        return status, error_type

    @staticmethod
    def _price(model: Model, read: int, cached: int, written: int) -> Decimal:
        fresh = read - cached + cached * _CACHED_PRICE
        return (fresh * model.input_price + written * model.output_price) / _MILLION

    def _revenue(self, cost: Decimal) -> Decimal | None:
        """Customers pay a fixed tariff: what happens to prices later is the organization's own trouble."""
        markup = self._profile.markup
        return None if markup is None or not cost else (cost * markup).quantize(Decimal("0.000001"))
