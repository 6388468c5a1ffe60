"""The demo: made up the same way every time, after a real trace, with things to find; added and gone exactly."""

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from threading import Event, Thread
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.http import QueryDict

from alerts import lifecycle
from alerts.models import Alert, AlertEvent
from alerts.states import Report
from cockpit import env
from cockpit.dashboard import incidents, integration, readings, windows
from cockpit.demo import alarms, calls, loading, samples, traffic, troubles
from cockpit.demo.calls import HOUR, Telling, hour_of, hour_of_calls
from cockpit.demo.loading import Trickle
from cockpit.demo.profiles import INPUT_TOKENS, MACHINES, OUTPUT_TOKENS, PROFILES, SHARES, STORY, Incident, Story
from cockpit.management.commands import demo
from monitoring import counting
from monitoring.families import BY_NAME
from monitoring.ingest import Item, record_inferences
from monitoring.store import current_store, retention
from monitoring.store.base import Query, Summary
from monitoring.store.samples import Span, Trace
from organizations.models import AuditEvent, Organization
from organizations.scope import Scope
from tests.house import house
from tests.servers import await_true

UTC_ZONE = ZoneInfo("UTC")
DAY = timedelta(days=1)
EVERYONE = Scope.system("test")
BY_ORGANIZATION = {profile.organization: profile for profile in PROFILES}
SWAGGY, SCIENTIA = "swaggystacks", "scientia_capital"
QUIET = Story(incidents=(), price_model="", price_ago=DAY, price_factor=Decimal(1),
              slow_model="", slow_since=DAY, slow_factor=1.0)  # fmt: skip
NOW = datetime.now(UTC).replace(minute=40, second=0, microsecond=0) - HOUR
MONDAY = hour_of(NOW - timedelta(days=NOW.weekday() + 7)).replace(hour=0)


def made(organization: str, start: datetime, hours: int, story: Story = QUIET, zone: ZoneInfo = UTC_ZONE) -> list[Item]:
    telling = Telling(NOW, story)
    found = (
        hour_of_calls(BY_ORGANIZATION[organization], start + n * HOUR, zone=zone, telling=telling) for n in range(hours)
    )
    return [call for hour in found for call in hour]


def totals(*by: Any, **changes: Any) -> dict[tuple[str, ...], Summary]:
    query = Query(start=NOW - 400 * DAY, end=hour_of(NOW) + 2 * DAY, by=by)
    return dict(current_store().totals(EVERYONE, [replace(query, **changes)])[0])


def hourly(organization: str, *by: Any, start: datetime, hours: int) -> dict[tuple[str, ...], dict[int, Summary]]:
    """Summaries by group and number of the hour since `start`."""
    query = Query(start=start, end=start + hours * HOUR, by=by)
    [found] = current_store().series(Scope.of(organization), [query], step_seconds=3600)
    return {group: {(at - start) // HOUR: summary for at, summary in steps} for group, steps in found.items()}


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("demo", *arguments, stdout=out)
    return out.getvalue()


class TestCalls:
    def test_the_same_hour_is_the_same_every_time(self) -> None:
        for profile in PROFILES:
            once, again = (
                hour_of_calls(profile, MONDAY + 10 * HOUR, zone=UTC_ZONE, telling=Telling(NOW)) for _ in range(2)
            )
            assert once == again
            assert len(once) > 50
        other = hour_of_calls(PROFILES[-1], MONDAY + 10 * HOUR, zone=UTC_ZONE, telling=Telling(NOW), seed=1)
        assert other != once

    def test_calls_come_in_order_and_inside_their_hour(self) -> None:
        moments = [call.occurred_at for call in made(SWAGGY, MONDAY + 10 * HOUR, 1)]
        assert all(one <= two for one, two in pairwise(moments) if one and two)
        assert all(moment and MONDAY + 10 * HOUR <= moment < MONDAY + 11 * HOUR for moment in moments)

    @pytest.mark.parametrize("organization", [SWAGGY, SCIENTIA])
    def test_tokens_follow_the_trace(self, organization: str) -> None:
        fine = [call for call in made(organization, MONDAY, 5 * 24) if call.status == "success"]
        assert len(fine) > 15_000
        for table, values in ((INPUT_TOKENS, [call.input_tokens or 0 for call in fine]),
                              (OUTPUT_TOKENS, [call.output_tokens or 0 for call in fine])):  # fmt: skip
            values.sort()
            for share, wanted in zip(SHARES[3:14], table[3:14], strict=True):  # from 10 % to 99 %
                assert values[int(share * len(values))] == pytest.approx(wanted, rel=0.15, abs=2), (share, wanted)

    def test_weekends_and_nights_are_quiet_where_the_organization_is(self) -> None:
        for organization in (SWAGGY, SCIENTIA):
            days = [len(made(organization, MONDAY + day * DAY, 24)) for day in range(7)]
            assert max(days[5:]) < 0.7 * min(days[:5])
            tokyo = ZoneInfo("Asia/Tokyo")
            there = made(organization, MONDAY, 24, zone=tokyo)
            local = Counter(call.occurred_at.astimezone(tokyo).hour for call in there if call.occurred_at)
            assert sum(local[hour] for hour in (2, 3, 4)) * 4 < sum(local[hour] for hour in (9, 10, 11))

    def test_everything_is_demo_and_looks_like_the_organizations(self) -> None:
        swaggy, scientia = made(SWAGGY, MONDAY, 24), made(SCIENTIA, MONDAY, 24)
        assert {call.source for call in swaggy + scientia} == {"demo"}
        assert all(call.revenue is None for call in swaggy)
        earned = sum(call.revenue or 0 for call in scientia)
        assert earned > 2 * sum(call.cost or 0 for call in scientia) > 0
        assert len({call.user_id for call in swaggy}) > 40
        for call in swaggy + scientia:
            assert (call.cache_read_tokens or 0) <= (call.input_tokens or 0)
            assert (call.reasoning_tokens or 0) <= (call.output_tokens or 0)
        rate = sum(call.status != "success" for call in swaggy) / len(swaggy)
        assert 0.002 < rate < 0.02

    def test_the_table_gives_its_own_numbers_back(self) -> None:
        assert [calls.quantile(INPUT_TOKENS, share) for share in SHARES] == list(INPUT_TOKENS)
        assert calls.quantile(OUTPUT_TOKENS, 0.525) == 14


@pytest.mark.usefixtures("database")
class TestStory:
    """What is planted is found by the questions that the pages ask."""

    def load(self, start: datetime, hours: int) -> datetime:
        loading.load(start, start + hours * HOUR, telling=Telling(NOW))
        return start

    def start(self, incident: Incident) -> datetime:
        return Telling(NOW).start_of(incident, UTC_ZONE)

    @pytest.mark.parametrize("number", [0, 3])
    def test_a_burst_of_errors(self, number: int) -> None:
        incident = STORY.incidents[number]
        start = self.load(self.start(incident) - 4 * HOUR, 5)
        hours = hourly(incident.organization, start=start, hours=5)[()]
        calm = sum((hours[n] for n in range(4)), Summary())
        assert hours[4].errors / hours[4].inferences > 5 * max(calm.errors / calm.inferences, 0.02)
        found = hourly(incident.organization, "error_type", start=start, hours=5)
        assert found[incident.error_type,].keys() == {4}

    def test_one_burst_lies_in_the_last_day_whenever_that_is(self) -> None:
        for hours in range(24):
            telling = Telling(NOW + hours * HOUR)
            for zone in ("UTC", "Asia/Kolkata", "America/New_York"):
                begun = telling.start_of(STORY.incidents[0], ZoneInfo(zone))
                assert HOUR <= hour_of(telling.told_at) - begun <= DAY

    def test_a_spike_of_latency(self) -> None:
        incident = STORY.incidents[1]
        start = self.load(self.start(incident) - 3 * HOUR, 4)
        hours = hourly(SCIENTIA, start=start, hours=4)[()]
        calm = sum((hours[n] for n in range(3) if n in hours), Summary()).quantile_ms(0.5)
        spike = hours[3].quantile_ms(0.5)
        assert spike is not None
        assert calm is not None
        assert spike > 2.5 * calm

    def test_a_runaway_loop_costs(self) -> None:
        incident = STORY.incidents[2]
        start = self.load(self.start(incident), incident.hours + 2)
        hours = hourly(SWAGGY, start=start, hours=incident.hours + 2)[()]
        costs = [hours[n].cost or Decimal(0) for n in range(incident.hours + 2)]
        assert min(costs[: incident.hours]) > 3 * max(costs[incident.hours :])

    def test_a_change_of_price(self) -> None:
        start = self.load(hour_of(NOW) - STORY.price_ago - DAY, 48)
        steps = hourly(SCIENTIA, "model", start=start, hours=48)[("gpt-5",)]

        def per_1k(first: int) -> float:
            day = sum((steps[n] for n in range(first, first + 24) if n in steps), Summary())
            return float(day.cost or 0) / (day.input_tokens + day.output_tokens) * 1000

        assert per_1k(24) / per_1k(0) == pytest.approx(1.6, rel=0.15)  # a weekend has few calls

    def test_a_slow_regression(self) -> None:
        model = next(one for one in PROFILES[0].models if one.name == STORY.slow_model)
        medians = []
        for days_ago in (11, 8, 5, 2):
            start = self.load(hour_of(NOW) - days_ago * DAY, 24)
            steps = hourly(SWAGGY, "model", start=start, hours=24)[(model.name,)]
            median = sum(steps.values(), Summary()).quantile_ms(0.5)
            assert median is not None
            medians.append(median)
        assert medians == sorted(medians)
        assert medians[-1] > 1.6 * medians[0]


def sent(organization: str, source: Any, at: datetime, number: int) -> None:
    item = Item(model_name="llama", duration_ms=1 + number, cost=Decimal(f"0.00000{number % 97 + 1}"), source=source,
                revenue=Decimal("0.1"), input_tokens=number, occurred_at=at)  # fmt: skip
    record_inferences(scope=Scope.of(organization), organization=organization, items=[item], now=NOW, backfill=True)


def in_thread(work: Callable[[Event], None], stop: Event) -> Thread:
    def body() -> None:
        try:
            while not stop.is_set():
                work(stop)
        finally:
            connections.close_all()

    thread = Thread(target=body)
    thread.start()
    return thread


@pytest.mark.usefixtures("database")
class TestInAndOut:
    def others(self) -> dict[tuple[str, ...], Summary]:
        by = ("organization_id", "model", "source", "status")
        return totals(*by, sources=("live", "replay"))

    def seed(self) -> None:
        for number, (organization, source) in enumerate(
            [(SWAGGY, "live"), (SCIENTIA, "replay"), ("shared", "live")] * 4
        ):
            sent(organization, source, NOW - number * 5 * HOUR, number)
        sent(SWAGGY, "live", NOW - 60 * DAY, 5)  # sums only

    def test_totals_of_the_others_stay_to_the_last_decimal(self) -> None:
        self.seed()
        before, newest = self.others(), current_store().latest(Scope.of(SWAGGY), SWAGGY, limit=100)
        assert "demo inferences loaded" in run("load", "--hours", "6")
        current_store().fold()
        assert totals("source")["demo",].inferences > 100
        assert self.others() == before
        count = totals("source")["demo",].inferences
        assert run("clear") == f"{count:,} demo inferences removed; left are 9 live, 4 replay\n"
        for _ in ("at once", "after a fold"):
            assert totals("organization_id", "model", "source", "status") == before
            current_store().fold()
        assert current_store().latest(Scope.of(SWAGGY), SWAGGY, limit=100) == newest

    def test_they_stay_while_a_folder_and_writers_run(self) -> None:
        self.seed()
        loading.load(NOW - 30 * HOUR, NOW, telling=Telling(NOW))
        written: list[int] = []

        def write(_: Event) -> None:
            sent(SWAGGY, "live", NOW, len(written))
            written.append(1)

        def write_demo(_: Event) -> None:
            sent(SCIENTIA, "demo", NOW, 3)

        stop = Event()
        threads = [in_thread(write, stop), in_thread(write_demo, stop), in_thread(lambda _: _fold(), stop)]
        try:
            assert await_true(lambda: len(written) > 10, 20)
            erased = [current_store().erase(EVERYONE, source="demo") for _ in range(5)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        current_store().fold()
        found = totals("source")
        assert (found["live",].inferences, found["replay",].inferences) == (9 + len(written), 4)
        left = found.get(("demo",), Summary()).inferences  # what was written after the last look, whole
        assert all(erased)
        assert len(_rows("demo")) == left
        for step in (60, 3600, 86_400):
            query = Query(start=NOW - 40 * DAY, end=NOW + DAY, sources=("demo",))
            [steps] = current_store().series(EVERYONE, [query], step_seconds=step)
            assert sum(one.inferences for _, one in steps.get((), ())) == left
        assert current_store().erase(EVERYONE, source="demo") == left

    def test_erasing_waits_for_the_folder(self) -> None:
        loading.load(NOW - HOUR, NOW, telling=Telling(NOW))
        stop, erased = Event(), list[int]()

        def erase(_: Event) -> None:
            erased.append(current_store().erase(EVERYONE, source="demo"))
            stop.set()

        with transaction.atomic(using="owner"):
            with connections["owner"].cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('monitoring.fold', 7))")
            thread = in_thread(erase, stop)
            assert not stop.wait(0.5)
        thread.join()
        assert erased[0] > 0
        assert totals() == {}

    def test_a_repeated_load_adds_nothing_and_a_broken_one_goes_on(self) -> None:
        telling = Telling(NOW)
        whole = sum(
            len(calls.between(_hour(profile, hour, telling), hour, NOW))
            for profile in PROFILES
            for hour in (hour_of(NOW) - n * HOUR for n in range(5))
        )
        first = loading.load(NOW - 2 * HOUR, NOW, telling=telling)
        assert first + loading.load(NOW - 4 * HOUR, NOW, telling=telling) == whole
        assert loading.load(NOW - 4 * HOUR, NOW, telling=telling) == 0
        assert totals()[()].inferences == whole
        run("load", "--hours", "3")
        before = totals("source")
        assert run("load", "--hours", "3") == "nothing to load: every hour holds demo data already\n"
        assert totals("source") == before

    def test_days_past_raw_retention_count_in_sums_only(self) -> None:
        Organization.objects.update(raw_days=1)
        retention.forget()
        assert loading.load(NOW - 3 * DAY, NOW - 3 * DAY + 2 * HOUR, telling=Telling(NOW)) > 0
        assert totals("source").keys() == {("demo",)}
        assert _rows("demo") == []
        assert loading.clear() > 0
        assert totals() == {}

    def test_pages_are_told(self) -> None:
        run("load", "--hours", "2")
        organization = Organization.objects.get(slug=SCIENTIA)
        now = datetime.now(UTC)
        view = windows.parse(QueryDict("window=6h"), now)
        answer = integration.answer(Scope.of(SCIENTIA), organization, view, now)
        assert (answer.sources["live"], answer.sources["replay"]) == (0, 0)
        assert answer.sources["demo"] == answer.totals.inferences > 0


def _fold() -> None:
    current_store().fold()


def _hour(profile: Any, hour: datetime, telling: Telling) -> list[Item]:
    return hour_of_calls(profile, hour, zone=UTC_ZONE, telling=telling)


def _rows(source: str) -> list[Any]:
    found = [
        current_store().latest(EVERYONE, slug, limit=1_000_000, sources=(source,))
        for slug in (SWAGGY, SCIENTIA, "shared")
    ]
    return [call for one in found for call in one]


@pytest.mark.usefixtures("database")
class TestTrickle:
    def test_it_records_each_call_once_when_its_time_has_come(self) -> None:
        began = MONDAY + 10 * HOUR + timedelta(minutes=50)
        telling = Telling(began)
        trickle, due = Trickle(telling), 0
        for minute in range(1, 31):  # over the end of an hour
            due += trickle.tick(began + timedelta(minutes=minute))
        expected = [
            call
            for profile in PROFILES
            for hour in (MONDAY + 10 * HOUR, MONDAY + 11 * HOUR)
            for call in calls.between(_hour(profile, hour, telling), began, began + timedelta(minutes=30))
        ]
        assert totals()[()].inferences == due == len(expected) > 100
        assert totals("source").keys() == {("demo",)}
        assert trickle.tick(began + timedelta(minutes=30)) == 0

    def test_it_does_not_make_up_for_a_machine_that_slept(self) -> None:
        trickle = Trickle(Telling(NOW - 30 * HOUR))
        assert trickle.tick(NOW) == sum(
            len(calls.between(_hour(profile, hour, Telling(NOW - 30 * HOUR)), NOW - HOUR, NOW))
            for profile in PROFILES
            for hour in (hour_of(NOW) - HOUR, hour_of(NOW))
        )

    def test_it_ends_where_the_demo_was_cleared(self) -> None:
        run("load", "--hours", "2")
        present = demo._Present(older=True)
        assert present._step()
        assert len(_rows("demo")) > 1000  # a day of the past
        assert run("clear")
        assert not present._step()
        assert totals() == {}

    def test_it_fills_the_month(self) -> None:
        run("load", "--hours", "1")
        present = demo._Present(older=True)
        present._missing = [0, 29]
        assert present._step()
        assert present._step()
        assert present._missing == []
        query = Query(start=NOW - 40 * DAY, end=NOW + DAY)
        [steps] = current_store().series(EVERYONE, [query], step_seconds=86_400)
        assert {(NOW.date() - at.date()).days for at, _ in steps[()]} <= {-1, 0, 1, 28, 29, 30, 31}


ZONES = dict.fromkeys(BY_ORGANIZATION, UTC_ZONE)
SHARED = Scope.of("shared")


def read(at: datetime, telling: Telling | None = None) -> dict[tuple[str, ...], float]:
    """What the machines say at a moment, by family and label values."""
    found = samples.samples(at, telling or Telling(NOW), ZONES)
    return {(one.family, *(value for _, value in one.labels)): one.value for one in found}


def traced(family: str, *, hours: int, **where: str) -> list[tuple[datetime, Span]]:
    trace = Trace(organization="shared", family=family, where=tuple(sorted(where.items())), by=(),
                  start=hour_of(NOW) - hours * HOUR, end=hour_of(NOW) + 2 * HOUR)  # fmt: skip
    [found] = current_store().history(SHARED, [trace], step_seconds=3600)
    return list(found.get((), ()))


class TestMachines:
    def test_a_moment_is_the_same_every_time_and_makes_sense(self) -> None:
        for hour in range(0, 30 * 24, 7):
            at = NOW - hour * HOUR
            said = read(at)
            assert said == read(at)
            assert {labels[0] for labels in said} <= BY_NAME.keys()
            for (family, *_), value in said.items():
                assert value >= 0, family
                assert not family.endswith("_ratio") or value <= 1, family
            for kind in ("memory", "swap"):
                for machine in MACHINES:
                    assert said[f"cockpit_{kind}_used_bytes", machine.host] <= said[
                        f"cockpit_{kind}_total_bytes", machine.host]  # fmt: skip

    def test_they_work_when_the_organizations_do(self) -> None:
        day, night = read(MONDAY + 11 * HOUR), read(MONDAY + 3 * HOUR)
        for machine in MACHINES:
            assert day["cockpit_cpu_utilization_ratio", machine.host] > 2 * night[
                "cockpit_cpu_utilization_ratio", machine.host]  # fmt: skip
        assert (
            day["cockpit_gpu_power_watts", "0", "demo-gpu-1"]
            > 1.5 * night["cockpit_gpu_power_watts", "0", "demo-gpu-1"]
        )

    def test_a_card_is_hot_while_calls_fail_and_no_other_is(self) -> None:
        began = Telling(NOW).start_of(STORY.incidents[0], UTC_ZONE)
        during, before = read(began + timedelta(minutes=30)), read(began - timedelta(minutes=30))
        heat, reason = "cockpit_gpu_temperature_celsius", "thermal slowdown by hardware"
        assert during[heat, "1", "demo-gpu-1"] >= during["cockpit_gpu_slowdown_celsius", "1", "demo-gpu-1"]
        assert during["cockpit_gpu_throttled", "1", "demo-gpu-1", reason] == 1
        for quiet, card in ((before, "1"), (during, "0")):
            assert quiet[heat, card, "demo-gpu-1"] < 85
            assert quiet["cockpit_gpu_throttled", card, "demo-gpu-1", reason] == 0

    def test_memory_creeps_until_a_restart_and_a_disk_fills_slowly(self) -> None:
        memory = [read(NOW - n * HOUR)["cockpit_memory_used_bytes", "demo-app-1"] for n in range(6 * 24, -1, -6)]
        falls = [n for n in range(1, len(memory)) if memory[n] < 0.8 * memory[n - 1]]
        assert len(falls) == 1
        disk = [read(NOW - n * DAY)["cockpit_disk_used_bytes", "demo-app-1", "/var/lib/postgresql"] for n in range(30)]
        assert all(later > earlier for earlier, later in pairwise(reversed(disk)))
        size = read(NOW)["cockpit_disk_size_bytes", "demo-app-1", "/var/lib/postgresql"]
        assert 0.8 < disk[0] / size < 0.9
        assert disk[-1] / size < 0.7

    @pytest.mark.usefixtures("database")
    def test_hours_are_loaded_once_in_any_order_and_gone_with_the_demo(self) -> None:
        telling = Telling(NOW)
        loading.load(NOW - 2 * HOUR, NOW, telling=telling)
        loading.load(NOW - 60 * HOUR, NOW - 2 * HOUR, telling=telling)
        first = traced("cockpit_cpu_utilization_ratio", hours=62, host="demo-app-1")
        assert len(first) == 61
        counts = [span.count for _, span in first]
        assert (counts[0], counts[-8], counts[-2]) == (1, 6, 60)
        network = traced("cockpit_network_transmit_bytes_total", hours=62, host="demo-app-1")
        assert all(span.total > 0 for _, span in network)  # also of the hours that were loaded later
        loading.load(NOW - 60 * HOUR, NOW, telling=telling)
        assert traced("cockpit_cpu_utilization_ratio", hours=62, host="demo-app-1") == first
        assert traced("cockpit_network_transmit_bytes_total", hours=62, host="demo-app-1") == network
        assert current_store().levels(SHARED, since=NOW - 90 * DAY) == []  # rules and scrapes see live samples alone
        run("clear")
        assert traced("cockpit_cpu_utilization_ratio", hours=62) == []
        assert traced("cockpit_network_transmit_bytes_total", hours=62) == []

    @pytest.mark.usefixtures("database")
    def test_the_present_goes_on(self) -> None:
        trickle = Trickle(Telling(NOW))
        for second in range(1, 121):
            trickle.tick(NOW + timedelta(seconds=second))
        [(_, span)] = traced("cockpit_cpu_utilization_ratio", hours=1, host="demo-gpu-1")
        assert span.count == 4
        [(_, grown)] = traced("cockpit_network_transmit_bytes_total", hours=1, host="demo-gpu-1")
        assert 120 * 1024 < grown.total < 120 * 8 * 2**20


def alerts(**where: Any) -> list[Alert]:
    with EVERYONE.enter():
        return list(Alert.objects.filter(**where).order_by("first_seen_at", "id"))


def lines(**where: Any) -> list[AlertEvent]:
    with EVERYONE.enter():
        return list(AlertEvent.objects.filter(**where).order_by("id"))


def raised(source: Literal["live", "demo"] = "live", organization: str = SWAGGY) -> None:
    report = Report(alert_type="slow", severity="critical", message="It is slow.", source=source)
    lifecycle.fire(scope=Scope.of(organization), organization=organization, reports=[report], now=NOW, via="api")


@pytest.mark.usefixtures("database")
class TestAlerts:
    def load(self, now: datetime = NOW) -> list[Alert]:
        with loading.turn():
            loading.load(now - HOUR, now, telling=Telling(now))
        return alerts()

    def test_they_fit_what_is_planted(self) -> None:
        found = self.load()
        for number, kind in ((0, "high_error_rate"), (1, "high_latency"), (2, "spend_spike"), (3, "quota_exceeded")):
            incident = STORY.incidents[number]
            start = Telling(NOW).start_of(incident, UTC_ZONE)
            [alert] = [one for one in found if one.alert_type == kind]
            assert alert.organization_id == incident.organization
            assert start < alert.first_seen_at < start + incident.hours * HOUR == alert.resolved_at
        [price] = [one for one in found if one.alert_type == "price_changed"]
        assert (price.model_name, price.first_seen_at) == (STORY.price_model, hour_of(NOW) - STORY.price_ago)
        assert price.message == f"{STORY.price_model} costs 60% more from now on."
        [slow] = [one for one in found if one.alert_type == "slow_responses"]
        assert (slow.model_name, slow.status) == (STORY.slow_model, "acknowledged")

    def test_they_have_a_past_and_some_are_open(self) -> None:
        for organization in (SWAGGY, SCIENTIA):
            self.load()
            own = alerts(organization=organization)
            assert {one.status for one in own} >= {"resolved"}
            assert [one for one in own if one.status != "resolved"]
            assert {one.severity for one in own} == {"critical", "warning", "info"}
            assert all(NOW - 30 * DAY < one.first_seen_at <= one.last_seen_at <= NOW for one in own)
            kinds = {line.kind for line in lines(organization=organization)}
            assert kinds >= {"fired", "acknowledged", "commented", "resolved"}
        assert {line.kind for line in lines()} >= {"reopened", "unacknowledged", "shelved", "severity_changed"}
        assert {one.status for one in alerts()} == {"firing", "acknowledged", "resolved"}
        people = {line.actor for line in lines() if line.actor_kind == "user"}
        assert len(people) == 5
        assert all(name.endswith(" (demo engineer)") for name in people)

    def test_those_that_are_held_against_a_threshold_tell_the_value_too(self) -> None:
        kept = [one.metadata for one in self.load() if one.severity != "info"]
        assert len(kept) > 20
        for metadata in kept:
            said = incidents.measured(metadata)
            assert said is not None
            assert said["value"], metadata
            assert said["threshold"], metadata

    def test_the_families_they_name_have_been_measured_around_them(self) -> None:
        named = [one for one in self.load() if "family" in one.metadata]
        assert {one.alert_type for one in named} == {"gpu_temperature", "disk_filling"}
        for one in named:
            labels = tuple(sorted(one.labels.items()))
            told = samples.samples(one.first_seen_at, Telling(NOW), ZONES)
            assert [each for each in told if (each.family, each.labels) == (one.metadata["family"], labels)]

    def test_timelines_go_forward_and_episodes_are_numbered_as_they_came(self) -> None:
        found = self.load()
        for alert in found:
            moments = [line.at for line in lines(alert=alert)]
            assert moments == sorted(moments)
            assert moments[0] == alert.first_seen_at
            assert moments[-1] <= NOW
        for prints in {one.fingerprint for one in found}:
            assert [one.episode for one in alerts(fingerprint=prints)] == list(
                range(1, 1 + len(alerts(fingerprint=prints)))
            )

    @pytest.mark.parametrize("hours", range(0, 24, 5))
    def test_whenever_the_story_is_told_nothing_lies_ahead(self, hours: int) -> None:
        zones = {**ZONES, SWAGGY: ZoneInfo("Asia/Kolkata"), SCIENTIA: ZoneInfo("America/New_York")}
        told = MONDAY + hours * HOUR
        for trouble in troubles.troubles(Telling(told), zones):
            moments = [act.at for act in trouble.acts]
            assert moments == sorted(moments)
            assert told - 30 * DAY < moments[0] <= moments[-1] <= told

    def test_all_of_them_are_demo_and_nothing_of_them_is_audited(self) -> None:
        counting.table.clear()
        found = self.load()
        assert {one.source for one in found} == {"demo"}
        assert {line.withheld for line in lines() if line.tells} == {""}
        with EVERYONE.enter():
            assert not AuditEvent.objects.exists()
        counting.table.flush(NOW)
        assert not [one for one in current_store().counters(EVERYONE) if one.family.startswith("cockpit_alert")]

    def test_a_repeated_load_adds_nothing_and_a_broken_one_leaves_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError("broken")

        with monkeypatch.context() as patch:
            patch.setattr(alarms, "_VERBS", {**alarms._VERBS, "reopen": broken})
            with pytest.raises(RuntimeError, match="broken"):
                alarms.load(Telling(NOW), loading._zones())
        assert alerts() == []
        count = len(self.load())
        assert count == len(self.load(NOW + HOUR)) > 20

    def test_clearing_takes_exactly_them(self) -> None:
        raised()
        raised("demo", "shared")
        before, said = alerts(source="live"), lines(alert__source="live")
        self.load()
        run("clear")
        assert alerts() == before
        assert [line.pk for line in lines()] == [line.pk for line in said]
        with EVERYONE.enter():
            assert AuditEvent.objects.filter(object_type="alert").count() == 1  # of the live one

    def test_a_story_without_prices_and_models_has_no_alerts_of_them(self) -> None:
        kinds = {trouble.report.alert_type for trouble in troubles.troubles(Telling(NOW, QUIET), ZONES)}
        assert kinds == {"disk_filling"}


@pytest.mark.usefixtures("database")
class TestBlips:
    def next(self) -> troubles.Trouble:
        """The next one with somebody who looks after it."""
        found = troubles.blips(SWAGGY, MONDAY, MONDAY + 3 * DAY)
        return next(one for one in found if [act.verb for act in one.acts] == ["fire", "acknowledge", "resolve"])

    def test_they_are_the_same_every_time_and_rare(self) -> None:
        day = [list(troubles.blips(SWAGGY, MONDAY, MONDAY + DAY)) for _ in range(2)]
        assert day[0] == day[1]
        assert 8 < len(day[0]) < 30
        for one, following in pairwise(day[0]):
            assert one.acts[-1].at < following.acts[0].at

    def test_one_comes_is_looked_after_and_goes(self) -> None:
        trouble, ticking = self.next(), alarms.Blips()
        statuses = []
        moment = trouble.acts[0].at - timedelta(seconds=3)
        while moment < trouble.acts[-1].at + timedelta(seconds=3):
            ticking.tick(moment)
            own = alerts(organization=SWAGGY)
            if own and statuses[-1:] != [own[0].status]:
                statuses.append(own[0].status)
            moment += timedelta(seconds=7)
        assert statuses == ["firing", "acknowledged", "resolved"]
        [alert] = alerts(organization=SWAGGY)
        assert (alert.source, alert.count, alert.first_seen_at) == ("demo", 1, _whole(trouble.acts[0].at))
        assert len(lines(alert=alert)) == 3

    @pytest.mark.parametrize("after", ["fire", "acknowledge"])
    def test_another_process_takes_over_where_one_was_stopped(self, after: str) -> None:
        trouble = self.next()
        moments = {act.verb: act.at for act in trouble.acts}
        alarms.Blips().tick(moments[after])
        alarms.Blips().tick(moments[after])  # at once, and nothing is done twice
        for moment in (moments["acknowledge"], moments["resolve"]):
            alarms.Blips().tick(moment)
        [alert] = alerts(organization=SWAGGY)
        assert (alert.status, alert.count) == ("resolved", 1)
        assert [line.kind for line in lines(alert=alert)] == ["fired", "acknowledged", "resolved"]

    def test_one_that_somebody_resolves_does_not_come_back(self) -> None:
        trouble, ticking = self.next(), alarms.Blips()
        ticking.tick(trouble.acts[0].at)
        [alert] = alerts(organization=SWAGGY)
        lifecycle.resolve(scope=Scope.of(SWAGGY), ids=[alert.pk], now=trouble.acts[0].at, via="page", note="Was me.")
        for act in trouble.acts[1:]:
            ticking.tick(act.at)
        assert [one.resolve_note for one in alerts(organization=SWAGGY)] == ["Was me."]

    def test_what_was_left_open_long_ago_is_ended(self) -> None:
        trouble = self.next()
        alarms.Blips().tick(trouble.acts[0].at)
        quiet = next(at for at in (trouble.acts[0].at + n * 20 * timedelta(minutes=1) for n in range(1, 100))
                     if troubles.blip(SWAGGY, at) is None)  # fmt: skip
        alarms.Blips().tick(quiet)
        assert [one.status for one in alerts(organization=SWAGGY)] == ["resolved"]

    def test_the_trickle_has_them_and_live_ones_are_none_of_it(self) -> None:
        raised()
        trouble = self.next()
        trickle = Trickle(Telling(trouble.acts[0].at - timedelta(seconds=1)))
        for act in trouble.acts:
            trickle.tick(act.at)
        assert [one.status for one in alerts(organization=SWAGGY, source="demo")] == ["resolved"]
        assert [one.status for one in alerts(source="live")] == ["firing"]


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def grown(at: datetime, seconds: float = 60.0) -> dict[tuple[str, ...], float]:
    """What grew in the time before a moment, by organization, family and label values."""
    found = samples.increments(at, seconds, Telling(NOW), ZONES)
    return {(one.organization, one.family, *(value for _, value in one.labels)): one.amount for one in found}


class TestServices:
    def test_every_family_of_the_panels_has_demo_data(self) -> None:
        told = {family for at in range(0, 30 * 24, 2) for family, *_ in read(NOW - at * HOUR)}
        told |= {family for at in range(0, 30 * 24, 2) for _, family, *_ in grown(NOW - at * HOUR, 3600.0)}
        rare = {"cockpit_database_deadlocks_total", "cockpit_gpu_xid_errors_total",
                *(f"cockpit_network_{way}_errors_total" for way in ("receive", "transmit"))}  # fmt: skip
        assert (readings.SHARED.keys() | readings.OWN.keys()) - told <= rare

    def test_all_of_it_is_demo_and_of_the_right_organization(self) -> None:
        for hour in range(0, 30 * 24, 7):
            for one in samples.increments(NOW - hour * HOUR, 3600.0, Telling(NOW), ZONES):
                assert one.source == "demo"
                assert one.amount > 0
                own = one.family in readings.OWN or one.family.startswith("cockpit_http")
                assert (one.organization in BY_ORGANIZATION) is own, one.family
                assert own or one.organization == "shared"

    def test_nothing_is_over_its_limit(self) -> None:
        for hour in range(30 * 24):
            said = read(NOW - hour * HOUR)
            assert 0 < said["cockpit_database_connections",] < said["cockpit_database_connections_limit",]
            assert 0 < said["cockpit_cache_memory_used_bytes",] <= said["cockpit_cache_memory_limit_bytes",]

    def test_a_histogram_counts_as_its_requests_do(self) -> None:
        for hour in (3, 11, 15):
            found = grown(MONDAY + hour * HOUR, 600.0)
            for organization in BY_ORGANIZATION:
                below = {
                    labels[0]: amount
                    for (slug, family, *labels), amount in found.items()
                    if (slug, family, labels[-1:]) == (organization, traffic.DURATIONS + "_bucket", ["inference"])
                }
                bounds = sorted(below, key=float)
                assert bounds[-1] == "+Inf"
                assert [below[one] for one in bounds] == sorted(below[one] for one in bounds)
                asked = sum(
                    amount
                    for (slug, family, *labels), amount in found.items()
                    if (slug, family) == (organization, traffic.REQUESTS) and "inference" in labels
                )
                assert below["+Inf"] == asked > 0

    def test_requests_follow_the_calls(self) -> None:
        recorded = len(made(SWAGGY, MONDAY + 9 * HOUR, 8))
        asked = sum(
            amount
            for hour in range(9, 17)
            for (slug, family, *labels), amount in grown(MONDAY + (hour + 0.5) * HOUR, 3600.0).items()
            if (slug, family) == (SWAGGY, traffic.REQUESTS) and "inference" in labels
        )
        assert asked == pytest.approx(recorded, rel=0.2)

    def test_a_worker_is_away_and_work_waits_while_the_card_is_hot(self) -> None:
        began = Telling(NOW).start_of(STORY.incidents[0], UTC_ZONE)
        during, before = read(began + timedelta(minutes=30)), read(began - timedelta(minutes=30))
        assert during["cockpit_workers",] < before["cockpit_workers",]
        assert during["cockpit_queue_depth", "celery"] > before["cockpit_queue_depth", "celery"] + 10
        assert during["cockpit_queue_oldest_seconds", "celery"] > 30

    def test_a_runaway_loop_meets_the_limits(self) -> None:
        at = Telling(NOW).start_of(STORY.incidents[2], UTC_ZONE) + timedelta(minutes=30)
        during, before = grown(at, 3600.0), grown(at - 4 * HOUR, 3600.0)
        limited = (SWAGGY, "cockpit_rate_limited_total", "inference")
        assert during[limited] > 50 > before.get(limited, 0)
        assert ("shared", "cockpit_cache_evicted_keys_total") in during
        assert ("shared", "cockpit_cache_evicted_keys_total") not in before

    @pytest.mark.usefixtures("database")
    def test_what_each_organization_was_asked_is_its_own_and_goes_with_the_demo(self) -> None:
        loading.load(NOW - 3 * HOUR, NOW, telling=Telling(NOW))

        def requests(slug: str) -> float:
            trace = Trace(organization=slug, family=traffic.REQUESTS, by=("route",), sources=("demo",),
                          start=hour_of(NOW) - 4 * HOUR, end=hour_of(NOW) + 2 * HOUR)  # fmt: skip
            [found] = current_store().history(EVERYONE, [trace], step_seconds=3600)
            return sum(span.total for spans in found.values() for _, span in spans)

        assert min(requests(SWAGGY), requests(SCIENTIA)) > 0
        assert requests("shared") == 0
        assert current_store().levels(EVERYONE, since=NOW - 90 * DAY) == []
        run("clear")
        assert requests(SWAGGY) == requests(SCIENTIA) == 0


class TestWhereItMay:
    @pytest.mark.parametrize("arguments", [["load"], ["trickle"], ["run"], ["clear"]])
    def test_never_in_production(self, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
        monkeypatch.setattr(settings, "ENV", replace(settings.ENV, environment="production"))
        with pytest.raises(CommandError, match="never for production"):
            run(*arguments)

    @pytest.mark.parametrize(
        ("given", "wanted"),
        [({}, True), ({"DEMO": "1"}, True), ({"DEMO": "0"}, False), ({"DEMO": "false"}, False),
         ({"DEMO": "true", "COCKPIT_ENV": "production"}, False), ({"COCKPIT_ENV": "production"}, False)],
    )  # fmt: skip
    def test_the_environment_says(self, given: dict[str, str], wanted: bool) -> None:
        secrets = {"SECRET_KEY": "s3cret-" * 10, "KEY_PEPPER": "p3pper-" * 6, "ALLOWED_HOSTS": "cockpit.example.org"}
        assert env.read({**secrets, **given}).demo is wanted

    def test_nonsense_is_a_fault(self) -> None:
        with pytest.raises(env.EnvironmentFaults, match="DEMO: must be true or false"):
            env.read({"SECRET_KEY": "x", "KEY_PEPPER": "y", "DEMO": "perhaps"})

    @pytest.mark.parametrize("arguments", [["--hours", "0"], ["--days", "31"], ["--hours", "721"], ["--days", "-1"]])
    def test_it_goes_back_a_month_at_most(self, arguments: list[str]) -> None:
        with pytest.raises(CommandError, match="must lie between"):
            run("load", *arguments)

    @pytest.mark.usefixtures("database")
    def test_it_leaves_a_database_with_other_data_alone(self) -> None:
        sent("shared", "live", NOW - 300 * DAY, 1)
        with pytest.raises(SystemExit) as ended:
            run("load", "--hours", "1", "--if-empty")
        assert ended.value.code == demo.OTHERS_THERE
        with pytest.raises(CommandError, match="load some first"):
            run("trickle")
        assert not demo._Present(older=True)._step()
        assert totals("source").keys() == {("live",)}

    @pytest.mark.usefixtures("database")
    def test_an_empty_database_takes_it_and_keeps_it(self) -> None:
        assert loading.is_empty()
        assert "loaded" in run("load", "--hours", "1", "--if-empty")
        before = totals("source")
        assert run("load", "--hours", "5", "--if-empty") == ""
        assert totals("source") == before


def test_a_new_house_is_full_and_alive() -> None:
    with house(DEMO="1") as new:
        first = new.dashboard()
        assert first["sources"]["demo"] > 1000
        assert first["sources"]["live"] == first["sources"]["replay"] == 0
        [role] = [child for child in new.process.children() if "demo" in child.cmdline()]
        assert role.cmdline()[-2:] == ["demo", "run"]
        assert not role.environ()["DATABASE_OWNER_URL"]
        month = "window=30d"
        assert await_true(lambda: new.dashboard(month)["sources"]["demo"] > 15 * first["sources"]["demo"], 90)
