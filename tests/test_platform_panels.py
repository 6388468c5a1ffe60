"""The panels made of samples: machines, cards, services, traffic and capacity, in words and in HTML."""

import html as markup
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.http import QueryDict
from django.template.loader import render_to_string
from django.test import Client

from bedrock.identifiers import milliseconds
from cockpit.dashboard import capacity, cards, panels, readings, services, traffic, windows
from cockpit.dashboard.charts import Steps
from cockpit.dashboard.readings import Readings, Track
from cockpit.dashboard.sight import Sight
from monitoring.store import current_store
from monitoring.store.samples import Increment, Sample, Span
from organizations.models import Organization, User
from organizations.scope import Scope
from tests.test_panels import NOTHING, sight

NOW = datetime(2026, 3, 10, 12, 30, 0, tzinfo=UTC)
STEP = 3600
GIB = 2**30
FIRST = NOW.replace(minute=0) - timedelta(hours=23)
T = tuple(FIRST + timedelta(hours=n) for n in range(24))
HOSTILE = '<script>alert("x")</script>'


def track(values: Any, source: str = "live", total: float | None = None, /, **labels: str) -> Track:
    """A series with these values (one for each of the newest steps); `total` is a running total's growth a step."""
    values = list(values) if isinstance(values, list | tuple) else [values] * 24
    moments = T[-len(values) :]
    spans = {
        moment: Span(360, 360.0 * value if total is None else total, value, value, value)
        for moment, value in zip(moments, values, strict=True)
        if value is not None
    }
    return Track(labels, source, spans)


def a_host(name: str, source: str = "live", *, cpu: Any = 0.4, memory: Any = 0.5, disk: Any = 0.6) -> dict[str, Track]:
    disks = [0.6 * 100 * GIB] * 24 if disk == 0.6 else [one * 100 * GIB for one in disk]
    return {
        "cockpit_cpu_utilization_ratio": track(cpu, source, host=name),
        "cockpit_load_average": track(1.5, source, host=name, minutes="1"),
        "cockpit_memory_used_bytes": track(memory * 64 * GIB, source, host=name),
        "cockpit_memory_total_bytes": track(64 * GIB, source, host=name),
        "cockpit_disk_used_bytes": track(disks, source, host=name, mount="/"),
        "cockpit_disk_size_bytes": track(100 * GIB, source, host=name, mount="/"),
        "cockpit_network_receive_bytes_total": track(5e9, source, 3600 * 1024 * 1024.0, host=name),
        "cockpit_network_transmit_bytes_total": track(5e9, source, 0.0, host=name),
        "cockpit_probe_last_success_timestamp_seconds": track(NOW.timestamp() - 5, source, host=name, probe="host"),
    }


def a_card(
    gpu: str, source: str = "live", *, heat: float = 60, limit: float | None = 90, **more: Track
) -> dict[str, Any]:
    where = {"host": "one", "gpu": gpu}
    found = {
        "cockpit_gpu_up": track(1.0, source, **where),
        "cockpit_gpu_info": track(1.0, source, **where, name="NVIDIA A100", driver="570"),
        "cockpit_gpu_utilization_ratio": track(0.7, source, **where),
        "cockpit_gpu_memory_used_bytes": track(60 * GIB, source, **where),
        "cockpit_gpu_memory_total_bytes": track(80 * GIB, source, **where),
        "cockpit_gpu_temperature_celsius": track(heat, source, **where),
        "cockpit_gpu_power_watts": track(250, source, **where),
    }
    if limit:
        found["cockpit_gpu_slowdown_celsius"] = track(limit, source, **where)
    return found


def fell_silent(minutes: float) -> dict[str, Track]:
    last = NOW.timestamp() - 60 * minutes
    return {"cockpit_probe_last_success_timestamp_seconds": track(last, host="one", probe="host")}


def database(**changed: Any) -> dict[str, Track]:
    return {
        "cockpit_database_latency_seconds": track(0.0004),
        "cockpit_database_connections": track(changed.get("connections", 12)),
        "cockpit_database_connections_limit": track(97),
        "cockpit_database_size_bytes": track(3 * GIB),
        "cockpit_probe_up": track(changed.get("up", 1.0), probe="database"),
        "cockpit_probe_last_success_timestamp_seconds": track(
            (changed.get("read") or NOW - timedelta(seconds=9)).timestamp(), probe="database"
        ),
    }


def looked(*families: dict[str, Track], platform: bool = True, **changed: object) -> Sight:
    tracks: dict[str, list[Track]] = {}
    for one in families:
        for family, found in one.items():
            tracks.setdefault(family, []).append(found)
    steps = Steps(T, STEP, ZoneInfo("UTC"), FIRST, NOW)
    return replace(sight(**changed), readings=Readings(tracks=tracks, platform=platform, steps=steps))  # type: ignore[arg-type]


def html(audience: str, seen: Sight, *only: str) -> str:
    return render_to_string("dashboard/panels.html", {"shown": panels.build(audience, seen, only), "provenance": ""})


def text(audience: str, seen: Sight, *only: str) -> str:
    bare = re.sub(r"<[^>]+>", " ", html(audience, seen, *only))
    return re.sub(r"\s+", " ", markup.unescape(bare).replace("\N{NO-BREAK SPACE}", " "))


EVERYTHING = (
    a_host("one"), a_host("two", "demo"), a_card("0"), a_card("1", "demo"), database(),
    {
        "cockpit_queue_depth": track(3.0, queue="celery"),
        "cockpit_queue_oldest_seconds": track(200.0, queue="celery"),
        "cockpit_workers": track(2.0),
        "cockpit_beat_last_seen_timestamp_seconds": track(NOW.timestamp() - 4),
        "cockpit_http_requests_total": track(50.0, "live", 10.0, route="dashboard", status="200"),
        "cockpit_auth_failures_total": track(5.0, "live", 1.0, reason="wrong_secret"),
        "cockpit_cache_memory_used_bytes": track(5e6),
    },
)  # fmt: skip


class TestPages:
    @pytest.mark.parametrize("audience", ["developer", "executive"])
    @pytest.mark.parametrize(
        "seen",
        [
            looked(), looked(totals=NOTHING), looked(*EVERYTHING), looked(*EVERYTHING, platform=False),
            looked(*(a_host(f"host-{n}") for n in range(15))),
            looked(*(a_card(str(n)) for n in range(8))),
            looked({"cockpit_memory_used_bytes": track(1.0, host="one")}),
            looked({f"cockpit_memory_{kind}_bytes": track(0.0, host="one") for kind in ("used", "total")}),
            looked({"cockpit_gpu_up": track(0.0, host="one", gpu="0")}),
            looked({"cockpit_probe_up": track(0.0, host="one", probe="host")}),
            looked(a_host("one", cpu=(0.2,))),
            looked({"cockpit_queue_depth": track(1.0)}, {"cockpit_http_requests_total": track(1.0)}),
            looked({"cockpit_cpu_utilization_ratio": track(0.5)}, {"cockpit_gpu_utilization_ratio": track(0.5)}),
        ],
    )  # fmt: skip
    def test_no_samples_break_a_panel_or_need_what_the_policy_forbids(self, audience: str, seen: Sight) -> None:
        page = html(audience, seen)
        assert page.count("<section") == page.count("</section>") >= 1
        assert not re.search(r'\bstyle=|<style|<script|\bon\w+="', page)
        assert "None" not in page
        assert not re.search(r"\b(nan|inf)\b", page)

    def test_what_machines_and_callers_are_named_is_text_and_never_markup(self) -> None:
        seen = looked(
            a_host(HOSTILE),
            a_card("0"),
            {
                "cockpit_gpu_info": track(1.0, host="one", gpu="0", name=HOSTILE),
                "cockpit_queue_depth": track(1.0, queue=HOSTILE),
                "cockpit_http_requests_total": track(1.0, "live", 1.0, route=HOSTILE, status="200"),
                "cockpit_auth_failures_total": track(1.0, "live", 1.0, reason=HOSTILE),
            },
        )
        page = html("developer", seen) + html("executive", seen)
        assert "<script" not in page
        assert "&lt;script" in page

    def test_nothing_measured_leaves_panels_out_and_says_so_of_machines(self) -> None:
        names = [shown.panel.name for shown in panels.build("developer", looked())]
        assert "machines" in names
        assert not {"gpus", "backends", "queues", "api", "security"} & set(names)
        assert "No machine was measured in the last 24 hours." in text("developer", looked(), "machines")

    def test_who_may_not_see_the_platform_sees_none_of_its_panels(self) -> None:
        for audience in ("developer", "executive"):
            names = {shown.panel.name for shown in panels.build(audience, looked(platform=False))}
            assert not names & {"machines", "gpus", "backends", "queues", "capacity"}

    def test_samples_are_shown_where_no_inference_is(self) -> None:
        names = [shown.panel.name for shown in panels.build("developer", looked(*EVERYTHING, totals=NOTHING))]
        assert names == ["empty", "machines", "gpus", "backends", "queues", "api", "security"]

    def test_demo_data_are_labelled_where_they_are_shown(self) -> None:
        sources = {shown.panel.name: shown.source for shown in panels.build("developer", looked(*EVERYTHING))}
        assert sources["machines"] == sources["gpus"] == "demo data included"
        assert sources["backends"] == sources["api"] == ""
        page = html("developer", looked(*EVERYTHING), "machines")
        assert page.count(">demo data</span>") == 1  # the one machine of the two
        assert "demo data</span>" in html("executive", looked(a_host("x", "demo")), "capacity")


class TestMachines:
    def test_each_machine_tells_its_own(self) -> None:
        page = text("developer", looked(a_host("one"), a_host("two", memory=0.97)), "machines")
        for said in (
            "40.0 % highest 40.0 %, load 1.50",
            "50.0 % 32 GiB of 64 GiB",
            "97.0 % (needs attention)",
            "60.0 % /, 40 GiB free",
        ):
            assert said in page, said

    def test_a_rate_is_growth_over_the_time_that_has_passed(self) -> None:
        page = text("developer", looked(a_host("one")), "machines")
        assert "2 MiB/s in" in page  # half of the newest step has passed
        assert "0 B/s out" in page

    def test_a_machine_that_fell_silent_says_since_when(self) -> None:
        silent = fell_silent(26)
        page = text("developer", looked({**a_host("one"), **silent}), "machines")
        assert "Not measured since 12:04, for 26 min." in page

    def test_a_machine_whose_samples_just_end_is_silent_too(self) -> None:
        old = {
            name: Track(one.labels, one.source, {moment: one.spans[moment] for moment in T[:20]})
            for name, one in a_host("one").items()
            if not name.startswith("cockpit_probe")
        }
        assert "Not measured since 09:00, for 3 h 30 min." in text("developer", looked(old), "machines")

    def test_a_probe_that_never_succeeded_is_no_zero(self) -> None:
        page = text("developer", looked({"cockpit_probe_up": track(0.0, host="one", probe="host")}), "machines")
        assert "one Not measured in this window." in page
        assert "0 %" not in page

    def test_many_machines_are_told_in_part_and_counted(self) -> None:
        page = text("developer", looked(*(a_host(f"host-{n:02}") for n in range(15))), "machines")
        assert "3 more machines not shown." in page
        assert "the 4 highest of 15" in page


class TestCards:
    @pytest.mark.parametrize(
        ("heat", "limit", "state"), [(60, 90, ""), (83, 90, "near"), (90, 90, "bad"), (83, 105, ""), (99, None, "")]
    )
    def test_heat_is_judged_by_the_cards_own_threshold(self, heat: float, limit: float | None, state: str) -> None:
        assert cards.too_hot(heat, limit) == state

    def test_what_holds_a_card_back_is_told_in_words(self) -> None:
        reason = {"cockpit_gpu_throttled": track([0.0] * 18 + [1.0] * 6, host="one", gpu="0",
                                                 reason="thermal slowdown by hardware")}  # fmt: skip
        idle = {"cockpit_gpu_throttled": track(1.0, host="one", gpu="0", reason="idle")}
        page = text("developer", looked(a_card("0"), reason, idle), "gpus")
        assert "Clocks held down: thermal slowdown by hardware, now, and 25.0 % of the time." in page
        assert "idle" not in page

    def test_an_error_comes_with_advice(self) -> None:
        xid = {"cockpit_gpu_xid_errors_total": track([1.0, 2.0], "live", 1.0, host="one", gpu="0", xid="79")}
        page = text("developer", looked(a_card("0"), xid), "gpus")
        assert "XID 79, 2 times: GPU has fallen off the bus. Check power, heat and the PCIe slot" in page

    def test_a_card_without_a_threshold_is_shown_without_one(self) -> None:
        page = text("developer", looked(a_card("0", limit=None)), "gpus")
        assert "60 °C highest 60 " in page
        assert "slows down" not in page

    def test_a_lost_card_says_so_and_nothing_else(self) -> None:
        page = text("developer", looked({"cockpit_gpu_up": track(0.0, host="one", gpu="3")}), "gpus")
        assert "one, GPU 3" in page
        assert "The card does not answer." in page


class TestServices:
    def test_live_samples_go_before_the_demos_and_both_are_told(self) -> None:
        demo = {
            "cockpit_database_connections": track(55, "demo"),
            "cockpit_cache_latency_seconds": track(0.002, "demo"),
            "cockpit_queue_depth": track(7, "demo", queue="celery"),
        }
        seen = looked(database(), demo, {"cockpit_queue_depth": track(4, queue="celery")})
        assert services.source_of(seen.readings, services.BACKENDS, "database") == "live"
        page = text("developer", seen, "backends")
        assert re.search(r"demo data included .*Database .*12 of 97, .*Database demo data .*55 highest 55", page)
        assert "Cache and broker demo data Latency 2 ms" in page
        queues = text("developer", seen, "queues")
        assert re.search(r"Background work .*Background work demo data .*celery 4 4 .*celery demo data 7 7", queues)

    def test_the_work_of_a_database_is_told_and_deadlocks_where_there_were_some(self) -> None:
        calm = looked(database(), {"cockpit_database_commits_total": track(9.0, "live", 36_000.0)})
        page = text("developer", calm, "backends")
        assert "Transactions 20 /s" in page  # half of the newest hour has passed
        assert "Size 3 GiB unchanged" in page
        assert "Deadlocks" not in page
        stuck = {"cockpit_database_deadlocks_total": track([1.0, 2.0], "live", 1.0)}
        page = text("developer", looked(database(), stuck), "backends")
        assert "Deadlocks 2 (to be watched) in this window" in page

    def test_a_database_that_is_not_read_says_since_when_and_shows_no_zero(self) -> None:
        read = NOW - timedelta(minutes=26)
        page = text("developer", looked(database(up=0.0, read=read)), "backends")
        assert "Not measured since 12:04" in page

    def test_queues_tell_depth_age_and_who_works(self) -> None:
        page = text("developer", looked(*EVERYTHING), "queues")
        for said in ("Workers alive 2", "Beat on time", "celery 3 3 3 min 20 s"):
            assert said in page, said

    def test_beat_that_is_silent_is_said(self) -> None:
        seen = looked(
            {"cockpit_workers": track(0.0), "cockpit_beat_last_seen_timestamp_seconds": track(NOW.timestamp() - 900)}
        )
        page = text("developer", seen, "queues")
        assert "silent for 15 min" in page
        assert "Workers alive 0 (needs attention)" in page


class TestTraffic:
    def buckets(self, **counts: float) -> list[Track]:
        return [track([1.0], "live", count, route="r", le=le) for le, count in counts.items()]

    @pytest.mark.parametrize(
        ("counts", "q", "seconds"),
        [
            ({"0.1": 0, "0.5": 100, "+Inf": 100}, 0.5, 0.3),
            ({"0.1": 100, "0.5": 100, "+Inf": 100}, 0.95, 0.095),
            ({"0.1": 10, "0.5": 10, "+Inf": 100}, 0.95, 0.5),
            ({"+Inf": 0}, 0.95, None),
            ({}, 0.95, None),
        ],
    )
    def test_a_quantile_lies_straight_between_its_bounds(
        self, counts: dict[str, float], q: float, seconds: float
    ) -> None:
        found = traffic.quantile(self.buckets(**counts), q)
        assert found == (None if seconds is None else pytest.approx(seconds))

    def test_requests_failures_and_routes(self) -> None:
        seen = looked(
            {"cockpit_http_requests_total": track([1.0] * 10, "live", 9.0, route="ingest", status="201")},
            {"cockpit_http_requests_total": track([1.0] * 10, "live", 1.0, route="ingest", status="503")},
            {"cockpit_http_requests_total": track([1.0] * 10, "live", 5.0, route="dashboard", status="404")},
        )
        page = text("developer", seen, "api")
        assert "150 in all" in page
        assert "failed 6.7 %" in page
        assert re.search(r"ingest 100 10.0 % .* dashboard 50 0 %", page)

    def test_refusals_are_told_by_reason(self) -> None:
        page = text("developer", looked(*EVERYTHING), "security")
        assert "Credentials refused 24" in page
        assert "Wrong secret of a known key 24" in page
        assert "Nothing was refused" not in page

    def test_refusals_are_drawn_over_time_and_limits_told_by_route(self) -> None:
        seen = looked(
            {"cockpit_auth_failures_total": track([5.0, 5.0], "live", 36.0, reason="expired_key")},
            {"cockpit_rate_limited_total": track([5.0] * 3, "live", 2.0, route="inference")},
        )
        page = text("developer", seen, "security")
        assert "credentials refused per minute" in page
        assert re.search(r"Expired key 72 Over the limit of inference 6", page)
        assert re.search(r"10:00 0 0.03 11:00 0.60 0.03 12:00 so far 1.20 0.07", page)

    def test_where_nothing_was_refused_no_chart_is_drawn(self) -> None:
        seen = looked({"cockpit_http_requests_total": track(5.0, "live", 1.0, route="inference", status="201")})
        assert "Nothing was refused in the last 24 hours." in text("developer", seen, "security")
        assert 'data-chart="refusals"' not in html("developer", seen, "security")


class TestCapacity:
    def said(self, *families: dict[str, Track]) -> str:
        return text("executive", looked(*families), "capacity")

    def test_room_is_told_in_plain_words(self) -> None:
        page = self.said(a_host("one"), database())
        assert "Room enough" in page
        assert "About half of the machine's memory is free." in page
        assert "The database answers and has room." in page
        assert "At the busiest time the machine used about two fifths of its computing power." in page
        assert "As of 12:30." in page
        for figure in ("Computing power 40 % used", "Memory 50 % free", "Storage 40 % free", "Database 88 % free"):
            assert figure in page, figure
        for jargon in ("CPU", "GPU", "RAM", "GiB", "p95", "ratio", "host"):
            assert jargon not in page

    @pytest.mark.parametrize(
        ("share", "words"),
        [
            (0.01, "next to nothing"),
            (0.25, "about a quarter"),
            (0.5, "about half"),
            (0.66, "about two thirds"),
            (1.0, "all"),
        ],
    )
    def test_shares_are_said_as_people_say_them(self, share: float, words: str) -> None:
        assert capacity.part(share) == words

    @pytest.mark.parametrize(
        ("share", "told"), [(0.0, "0 %"), (0.004, "0.40 %"), (0.265, "26 %"), (0.9999, "99.99 %"), (1.0, "100 %")]
    )
    def test_a_number_stands_beside_the_words_and_rounds_nothing_away(self, share: float, told: str) -> None:
        assert capacity.exact(share).replace("\N{NO-BREAK SPACE}", " ") == told

    def test_the_moments_after_a_start_are_no_busiest_time(self) -> None:
        seen = looked(a_host("one", cpu=[0.2] * 23 + [0.98]))
        newest = seen.readings.of("cockpit_cpu_utilization_ratio")[0].spans[T[-1]]
        assert "98 % used" in text("executive", seen, "capacity")
        seen.readings.of("cockpit_cpu_utilization_ratio")[0].spans[T[-1]] = msgspec.structs.replace(newest, count=5)  # type: ignore[index]
        assert "20 % used" in text("executive", seen, "capacity")

    @pytest.mark.parametrize(
        ("refused", "asked", "said", "verdict"),
        [
            (0.0, 10.0, "No attempt to get in with a key of this organization was turned away in", "Room enough"),
            (1.0, 90.0, "24 attempts to get in with a key of this organization were turned away in", "Room enough"),
            (1.0, 10.0, "24 attempts to get in", "Worth watching"),
            (1 / 24, 0.04, "One attempt to get in with a key of this organization was turned away", "Room enough"),
        ],
    )
    def test_who_was_turned_away_is_told_and_watched_where_it_is_much(
        self, refused: float, asked: float, said: str, verdict: str
    ) -> None:
        counted = {
            "cockpit_auth_failures_total": track(1.0, "live", refused, reason="wrong_secret"),
            "cockpit_http_requests_total": track(1.0, "live", asked, route="inference", status="201"),
        }
        page = self.said(a_host("one"), database(), counted)
        assert said in page
        assert verdict in page
        assert "Access" not in self.said(a_host("one"), database())

    def test_a_disk_that_fills_says_when_it_is_full(self) -> None:
        page = self.said(a_host("one", disk=[0.5 + 0.01 * n for n in range(24)]), database())
        assert "At the pace of this period it is full in about one day." in page
        assert "Needs attention" in page
        steady = self.said(a_host("one"), database())
        assert "full in" not in steady

    def test_a_hot_card_and_one_that_was(self) -> None:
        slowed = {"cockpit_gpu_throttled": track(1.0, host="one", gpu="0", reason="thermal slowdown by hardware")}
        was = {"cockpit_gpu_throttled": track([1.0, 0.0], host="one", gpu="0", reason="thermal slowdown by hardware")}
        host = a_host("one")
        assert "One graphics card is so hot that it slows itself down." in self.said(host, a_card("0"), slowed)
        assert "It has cooled." in self.said(host, a_card("0"), was)
        one_of_two = self.said(host, a_card("0", heat=85), a_card("1"))
        assert "Graphics cards 1 of 2 One graphics card runs hot." in one_of_two
        assert "Both graphics cards run cool." in self.said(host, a_card("0"), a_card("1"))
        assert "raphics" not in self.said(host)

    def test_what_is_not_measured_is_never_fine(self) -> None:
        nothing = self.said()
        assert "No machine was measured in the last 24 hours" in nothing
        assert "How the database does was not measured." in nothing
        assert "Not all is known" in nothing
        silent = {
            "cockpit_probe_last_success_timestamp_seconds": track(NOW.timestamp() - 26 * 60, host="one", probe="host")
        }
        page = self.said({**a_host("one"), **silent}, database())
        assert "The machine was not measured since 12:04." in page
        assert "memory is free" not in page
        assert "Room enough" not in page


@pytest.mark.usefixtures("database")
class TestReading:
    """What the store holds, as the pages read it."""

    def keep(
        self, organization: str, family: str, value: float, at: datetime, source: str = "live", **labels: str
    ) -> None:
        one = {"organization": organization, "family": family, "labels": tuple(sorted(labels.items())),
               "at_ms": milliseconds(at), "source": source}  # fmt: skip
        grown = family.startswith(("cockpit_http", "cockpit_auth"))
        kept = ([], [Increment(**one, amount=value)]) if grown else ([Sample(**one, value=value)], [])
        current_store().observe(Scope.of(organization), *kept, now=at)

    def read(
        self, now: datetime, organization: str = "swaggystacks", *, platform: bool = True, **query: str
    ) -> Readings:
        view = windows.parse(QueryDict("&".join(f"{k}={v}" for k, v in {"window": "1h", **query}.items())), now)
        return readings.read(Organization.objects.get(pk=organization), view, now, platform=platform)

    def test_every_member_reads_the_platform_and_only_their_own_traffic(self, now: datetime) -> None:
        self.keep("shared", "cockpit_cpu_utilization_ratio", 0.25, now, host="one")
        self.keep("shared", "cockpit_http_requests_total", 5, now, route="r", status="200")
        self.keep("scientia_capital", "cockpit_http_requests_total", 7, now, route="r", status="200")
        self.keep("scientia_capital", "cockpit_cpu_utilization_ratio", 0.9, now, host="theirs")
        found = self.read(now)
        assert [one.labels for one in found.of("cockpit_cpu_utilization_ratio")] == [{"host": "one"}]
        assert found.of("cockpit_http_requests_total") == []
        theirs = self.read(now, "scientia_capital")
        assert [one.grown for one in theirs.of("cockpit_http_requests_total")] == [7]
        assert [one.labels for one in theirs.of("cockpit_cpu_utilization_ratio")] == [{"host": "one"}]

    def test_without_the_platform_nothing_of_it_is_read(self, now: datetime) -> None:
        self.keep("shared", "cockpit_cpu_utilization_ratio", 0.25, now, host="one")
        assert self.read(now, platform=False).tracks == {}

    def test_a_source_is_read_alone(self, now: datetime) -> None:
        for source in ("live", "demo"):
            self.keep("shared", "cockpit_cpu_utilization_ratio", 0.5, now, source, host=source)
        hosts = {
            query: [one.labels["host"] for one in self.read(now, **({"source": query} if query else {})).of(
                "cockpit_cpu_utilization_ratio")]
            for query in ("", "live", "demo", "replay")
        }  # fmt: skip
        assert hosts == {"": ["live", "demo"], "live": ["live"], "demo": ["demo"], "replay": []}

    @pytest.mark.parametrize("window", windows.WINDOWS)
    def test_steps_are_few_and_hold_what_was_read(self, now: datetime, window: str) -> None:
        self.keep("shared", "cockpit_cpu_utilization_ratio", 0.5, now - timedelta(minutes=1), host="one")
        found = self.read(now, window=window)
        assert 1 <= len(found.steps.t) <= 61
        [one] = found.of("cockpit_cpu_utilization_ratio")
        assert [value for value in one.means(found.steps) if value is not None] == [0.5]

    def test_a_page_shows_the_platform_to_members_and_not_to_holders_of_a_token(
        self, now: datetime, make_key: Callable[..., str], make_person: Callable[..., User]
    ) -> None:
        self.keep("shared", "cockpit_cpu_utilization_ratio", 0.5, datetime.now(UTC), host="zq-one")
        key = make_key("swaggystacks", "dashboard:read")
        bearer = {"authorization": f"Bearer {key}"}
        assert "zq-one" in Client().get("/api/monitoring/panels", headers=bearer).content.decode()
        token = (
            Client()
            .post("/api/monitoring/embed-token", "{}", content_type="application/json", headers=bearer)
            .json()["token"]
        )
        shown = Client().get("/api/monitoring/panels", headers={"authorization": f"Bearer {token}"})
        assert shown.status_code == 200
        assert "zq-one" not in shown.content.decode()
        member = Client()
        member.force_login(make_person("zoe", swaggystacks="executive"))
        assert "zq-one" in member.get("/dashboards/swaggystacks/").content.decode()
