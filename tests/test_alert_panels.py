"""Alerts on the pages: how long people took, what each audience is told, and who is offered to do something."""

import html as markup
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.http import QueryDict
from django.template.loader import render_to_string
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from alerts import figures, lifecycle
from alerts.figures import Figures, Spread
from alerts.reading import Summary
from alerts.states import Report, State, Suppression
from cockpit.dashboard import alarms, impact, incidents, panels, windows, words
from cockpit.dashboard.alarms import Alarms, Touched
from cockpit.dashboard.sight import Sight
from organizations.models import Organization, User
from organizations.scope import Scope
from tests.test_panels import NOTHING, NOW, sight

S = words.SPACE
HOSTILE = '"><img src=x onerror="alert(1)"><script>alert("x")</script>'
PANELS = "/api/monitoring/panels?organization="
NAMES = {"developer": "alerts", "executive": "alerts_executive"}


def state(ago: float = 23, **changed: Any) -> State:
    """An open alert that began so many minutes ago."""
    values: dict[str, Any] = {
        "id": uuid4(), "organization_id": "swaggystacks", "fingerprint": "f", "episode": 1, "source": "live",
        "alert_type": "high_error_rate", "severity": "critical", "status": "firing",
        "message": "API error rate exceeded 5% threshold", "endpoint_id": "endpoint-123", "model_name": "qwen2.5:7b",
        "metadata": {"errorRate": 0.07, "threshold": 0.05, "timeWindow": "5m"}, "labels": {"region": "eu-west"},
        "first_seen_at": NOW - timedelta(minutes=ago), "last_seen_at": NOW, "ends_at": None, "changed_at": NOW,
    }  # fmt: skip
    return State(**{**values, **changed})


def ended(took: float, ago: float = 60, **changed: Any) -> State:
    """An alert that ended so many minutes ago, `took` minutes after it began."""
    began = NOW - timedelta(minutes=ago + took)
    over = began + timedelta(minutes=took)
    return state(status="resolved", first_seen_at=began, resolved_at=over, resolved_by="ada", **changed)


def looked(*there: State, episodes: tuple[State, ...] = (), totals: Any = None, **changed: Any) -> Sight:
    counts = {name: sum(one.severity == name for one in there) for name in ("critical", "warning", "info")}
    found = Alarms(
        known=True,
        open=there,
        summary=Summary(total=len(there), acknowledged=sum(one.status == "acknowledged" for one in there), **counts),
        episodes=episodes,
        now=figures.of(episodes, NOW - timedelta(days=1), NOW),
        **changed,
    )
    return replace(sight(totals) if totals else sight(), alarms=found)


def html(audience: str, seen: Sight) -> str:
    shown = panels.build(audience, seen, [NAMES[audience]])
    return render_to_string("dashboard/panels.html", {"shown": shown, "provenance": ""})


def plain(page: str) -> str:
    bare = markup.unescape(re.sub(r"<[^>]+>", " ", page)).replace(S, " ")
    return re.sub(r"\s+", " ", bare)


def text(audience: str, seen: Sight) -> str:
    return plain(html(audience, seen))


class TestFigures:
    START, END = NOW - timedelta(days=1), NOW

    def test_of_nothing_there_is_nothing(self) -> None:
        assert figures.of([], self.START, self.END) == Figures(0, None, None)
        assert figures.of([state()], self.START, self.END) == Figures(1, None, None)

    def test_the_middle_and_what_nine_in_ten_stay_below(self) -> None:
        found = figures.of([ended(took) for took in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)], self.START, self.END)
        assert found.resolved == Spread(11, 360.0, 600.0)
        assert figures.of([ended(4), ended(6)], self.START, self.END).resolved == Spread(2, 300.0, 348.0)

    def test_an_alert_counts_in_the_time_in_which_it_was_taken_up_and_ended(self) -> None:
        early = ended(took=120, ago=23 * 60)  # it began before the window
        early = state(
            **{name: getattr(early, name) for name in ("status", "first_seen_at", "resolved_at", "resolved_by")},
            first_acknowledged_at=early.first_seen_at + timedelta(minutes=10),
        )
        before = (self.START - timedelta(days=1), self.START)
        now, then = figures.of([early], self.START, self.END), figures.of([early], *before)
        assert (now.began, now.acknowledged, now.resolved) == (0, None, Spread(1, 7200.0, 7200.0))
        assert (then.began, then.acknowledged, then.resolved) == (1, Spread(1, 600.0, 600.0), None)

    def test_news_that_end_by_themselves_are_nobodys_work(self) -> None:
        assert figures.of([ended(60, severity="info", ends_at=NOW)], self.START, self.END) == Figures(0, None, None)

    @given(st.lists(st.floats(min_value=0, max_value=600), min_size=1, max_size=30))
    def test_the_middle_lies_among_what_there_is(self, took: list[float]) -> None:
        found = figures.of([ended(one, ago=1) for one in took], NOW - timedelta(days=2), NOW).resolved
        assert found is not None
        assert found.number == len(took)
        assert 60 * min(took) - 0.01 <= found.median <= found.p90 <= 60 * max(took) + 0.01


class TestLengths:
    @pytest.mark.parametrize(
        ("seconds", "age", "lasting"),
        [
            (-5, f"under 1{S}min", "less than a minute"),
            (59, f"under 1{S}min", "less than a minute"),
            (60, f"1{S}min", "1 minute"),
            (23 * 60, f"23{S}min", "23 minutes"),
            (5400, f"1{S}h 30{S}min", "about 2 hours"),
            (7200, f"2{S}h", "about 2 hours"),
            (86_399, f"23{S}h 59{S}min", "about 24 hours"),
            (86_400, f"1{S}d", "about 24 hours"),
            (49 * 3600, f"2{S}d 1{S}h", "about 2 days"),
        ],
    )
    def test_they_are_said_for_both(self, seconds: float, age: str, lasting: str) -> None:
        assert words.age(seconds) == age
        assert words.lasting(seconds) == lasting


class TestMeasured:
    @pytest.mark.parametrize(
        ("metadata", "name", "value", "threshold"),
        [
            ({"errorRate": 0.07, "threshold": 0.05}, "errorRate", f"7.0{S}%", f"5.0{S}%"),
            ({"value": 91, "threshold": 85, "unit": "celsius"}, "", f"91{S}°C", f"85{S}°C"),
            ({"p95Ms": 5210, "threshold": 4000}, "p95Ms", f"5.21{S}s", f"4.00{S}s"),
            ({"free_bytes": 2**30, "limit": 2**31}, "free_bytes", f"1{S}GiB", f"2{S}GiB"),
            ({"value": 3, "threshold": 2, "unit": "req/s"}, "", f"3{S}req/s", f"2{S}req/s"),
            ({"errorRate": 7, "threshold": 5}, "errorRate", "7", "5"),
            ({"threshold": 0.0004}, "", None, "0.0004"),
            ({"value": 1e300}, "", "1e+300", None),
            ({"p95Ms": 1e56, "threshold": 4000}, "p95Ms", "1e+56", f"4.00{S}s"),
            ({"value": 1e56, "unit": "bytes"}, "", f"1e+56{S}bytes", None),
            ({"items": 12, "threshold": 10}, "items", "12", "10"),
            ({"value": -3, "unit": "ms"}, "", f"-3{S}ms".replace("-", words.MINUS), None),
        ],
    )
    def test_a_value_is_held_against_its_threshold(
        self, metadata: dict[str, object], name: str, value: str | None, threshold: str | None
    ) -> None:
        found = incidents.measured(metadata)
        assert found is not None
        assert (found["name"], found["value"], found["threshold"]) == (name, value, threshold)

    @pytest.mark.parametrize(
        "metadata",
        [{}, {"value": "7"}, {"value": True}, {"threshold": None}, {"gpu": 3, "port": 80}, {"errorRate": [0.07]}],
    )
    def test_without_such_numbers_nothing_is_made_up(self, metadata: dict[str, object]) -> None:
        assert incidents.measured(metadata) is None

    @given(
        st.dictionaries(
            st.sampled_from(["value", "threshold", "errorRate", "p95Ms", "limit", "unit", "timeWindow", "n"]),
            st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63), st.text()),
        )
    )
    def test_no_metadata_breaks_it(self, metadata: dict[str, object]) -> None:
        found = incidents.measured(metadata)
        assert found is None or all(len(str(each)) < 60 for each in found.values())


class TestDevelopers:
    def test_an_open_alert_is_told_with_all_that_is_known(self) -> None:
        held = Suppression(kind="silenced", since=NOW, until=NOW + timedelta(hours=1), note="Planned.")
        one = state(count=14, owner_id=7, suppressed_by=(held,))
        page = text("developer", looked(one, owners={7: "grace"}))
        for said in (
            "1 critical", "API error rate exceeded 5% threshold", "errorRate 7.0 % threshold 5.0 % over 5m", "firing",
            "23 min", "×14", "high_error_rate", "qwen2.5:7b", "endpoint-123", "owner grace", "region eu-west",
            "silenced until 13:00: Planned.", '"timeWindow": "5m"',
        ):  # fmt: skip
            assert said in page
        assert f"/admin/alerts/alert/{one.id}/change/" in html("developer", looked(one))

    def test_who_looks_after_it_is_told(self) -> None:
        until = NOW + timedelta(hours=2)
        one = state(status="acknowledged", acknowledged_at=NOW, acknowledged_by="ada", acknowledged_until=until,
                    acknowledge_note="Rolling back.")  # fmt: skip
        page = html("developer", looked(one))
        assert "acknowledged by ada at 12:00 until 14:00" in plain(page)
        assert "Rolling back." in page
        assert 'data-act="acknowledge"' not in page
        assert 'data-act="resolve"' in page

    def test_what_is_over_stands_below_with_how_long_it_took(self) -> None:
        one = ended(took=40, first_acknowledged_at=NOW - timedelta(minutes=90), resolve_note="Restarted.")
        before = Figures(1, None, Spread(1, 4800.0, 4800.0))
        page = text("developer", looked(episodes=(one,), before=before))
        assert "No alert is open." in page
        assert "Time to acknowledge 10 min 10 min 1" in page
        assert "Time to resolve 40 min 50 % 50 % lower, against the previous 24 hours 40 min 1" in page
        assert "11:00 after 40 min, by ada · high_error_rate · qwen2.5:7b · Restarted." in page

    def test_a_long_list_is_one_press_away(self) -> None:
        page = html("developer", looked(*(state() for _ in range(incidents.FIRST + 3))))
        first, _, others = page.partition('<details class="trouble-others" data-keep="other-alerts">')
        assert "3 more open alerts" in plain(others)
        assert (first.count("data-alert="), others.count("data-alert=")) == (incidents.FIRST, 3)

    def test_more_than_can_be_listed_are_counted(self) -> None:
        seen = looked(state())
        many = replace(seen, alarms=replace(seen.alarms, summary=Summary(total=31, critical=31)))
        assert "30 further open alerts not shown." in text("developer", many)

    def test_labels_and_metadata_have_an_end(self) -> None:
        one = state(labels={f"l{n:02}": "x" * 200 for n in range(32)}, metadata={"a": "y" * 16_000})
        page = html("developer", looked(one))
        assert "20 more" in plain(page)
        assert len(page) < 12_000


class TestExecutives:
    TOUCHED = Touched(
        since=NOW - timedelta(minutes=23), requests=1204, of=10_033, failed=84,
        cost=Decimal("12.401"), unpriced=0, revenue=Decimal("20.10"),
    )  # fmt: skip

    def told(self, one: State, touched: Touched | None = None, **more: Any) -> str:
        return text("executive", looked(one, touched={one.id: touched} if touched else {}, **more))

    def test_what_is_affected_is_told_in_requests_and_money(self) -> None:
        page = self.told(state(), self.TOUCHED)
        assert "One serious problem" in page
        assert "More requests fail than should" in page
        assert "qwen2.5:7b has been affected since 11:37, for 23 minutes." in page
        assert "1,204 requests went to it in that time, 12.0 % of all; 84 of them failed." in page
        assert "Together they cost $12.40 and brought in $20.10." in page
        assert "Nobody looks after it yet." in page

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"revenue": None}, "Together they cost $12.40."),
            ({"cost": None}, "Together they brought in $20.10; what they cost is not known."),
            ({"cost": None, "revenue": None}, "What they cost is not known."),
            ({"unpriced": 1}, "brought in $20.10; 1 of them has no price and is not in it."),
            ({"unpriced": 2}, "brought in $20.10; 2 of them have no price and are not in it."),
            ({"requests": 1, "failed": 0}, "It cost $12.40 and brought in $20.10."),
            ({"requests": 1, "cost": None}, "It brought in $20.10; what it cost is not known."),
            ({"requests": 0}, "No request went to it in that time."),
            ({"failed": 0}, "none of them failed."),
            ({"since": NOW - alarms.LONGEST}, "1,204 requests went to it in the last 30 days"),
        ],
    )
    def test_what_is_not_known_is_not_made_up(self, changed: dict[str, Any], said: str) -> None:
        page = self.told(state(), replace(self.TOUCHED, **changed))
        assert said in page
        assert "$0" not in page

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"owner_id": 7}, "It is up to grace, who has not taken it up yet."),
            ({"status": "acknowledged", "acknowledged_at": NOW, "acknowledged_by": "ada"}, "ada looks after it since"),
            ({"status": "acknowledged", "acknowledged_at": NOW, "owner_id": 7}, "grace looks after it since 12:00."),
            ({"suppressed_by": (Suppression(kind="maintenance", since=NOW),)}, "It is part of planned work."),
            ({"suppressed_by": (Suppression(kind="shelved", since=NOW, until=NOW),)}, "It is put aside until 12:00."),
        ],
    )
    def test_whose_it_is_is_told_by_name(self, changed: dict[str, Any], said: str) -> None:
        assert said in self.told(state(**changed), owners={7: "grace"})

    def test_what_names_no_model_is_told_without_one(self) -> None:
        assert "One deployment has been affected since 11:37" in self.told(state(model_name=""))
        assert "It has lasted 23 minutes, since 11:37." in self.told(state(model_name="", endpoint_id=""))
        assert "beyond the limit of names" in self.told(state(model_name="__other__"))

    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            ("highLatencyP95", "Answers take too long"),
            ("GPU_TEMPERATURE", "Trouble with a graphics card"),
            ("budget-exceeded", "It costs more than planned"),
            ("rate_limited", "Requests are turned away because there are too many"),
            ("deployment", "A new version went live"),
            ("auth_failures", "A security problem"),
            ("payload_download", "A serious problem"),
            ("x7", "A serious problem"),
            ("rule_failed", "Something is not watched as it should be"),
            ("rule", "A serious problem"),
        ],
    )
    def test_a_type_is_put_in_words(self, kind: str, said: str) -> None:
        assert impact.meaning(state(alert_type=kind)) == said

    def test_no_label_no_type_and_no_jargon_is_shown(self) -> None:
        odd = state(
            alert_type="p95_latency_burn", message="p99 of endpoint-123 > 5s on host=gpu-7",
            metadata={"errorRate": 0.07, "shard": "s-9"}, labels={"region": "eu-west", "tier": "gold"},
        )  # fmt: skip
        page = html("executive", looked(odd, state(severity="warning", status="acknowledged"), episodes=(ended(9),)))
        for jargon in ("region", "eu-west", "tier", "p95", "p99", "latency_burn", "endpoint-123", "host=", "shard",
                       "errorRate", "threshold", "firing", "acknowledged", "metadata", "label"):  # fmt: skip
            assert jargon not in plain(page), jargon

    def test_nothing_wrong_is_said_so(self) -> None:
        page = text("executive", looked())
        assert "Nothing is wrong right now" in page
        news = self.told(state(severity="info", alert_type="deployment", ends_at=NOW))
        assert "Nothing is wrong right now" in news
        assert "A new version went live at 11:37." in news

    def test_counts_are_words_and_what_is_not_shown_is_told(self) -> None:
        many = [state() for _ in range(2)] + [state(severity="warning") for _ in range(7)]
        page = text("executive", looked(*many))
        assert "Two serious problems, seven things to watch" in page
        assert "4 more not shown here." in page

    def test_how_long_people_took_is_a_sentence(self) -> None:
        past = (ended(40), ended(44, first_acknowledged_at=NOW - timedelta(minutes=95)))
        page = text("executive", looked(episodes=past, before=Figures(1, None, Spread(1, 7200.0, 7200.0))))
        assert "In the last 24 hours somebody looked after a problem within 9 minutes." in page
        assert "A problem was mended within 42 minutes, as a rule; about 2 hours in the previous 24 hours." in page


@pytest.mark.parametrize("audience", ["developer", "executive"])
class TestBoth:
    def test_hostile_text_is_text(self, audience: str) -> None:
        odd = state(
            alert_type=HOSTILE, message=HOSTILE, endpoint_id=HOSTILE, model_name=HOSTILE, owner_id=1,
            metadata={HOSTILE: HOSTILE, "unit": HOSTILE, "value": 1}, labels={"a": HOSTILE}, acknowledged_by=HOSTILE,
            acknowledge_note=HOSTILE, status="acknowledged", acknowledged_at=NOW,
            suppressed_by=(Suppression(kind="silenced", since=NOW, note=HOSTILE),),
        )  # fmt: skip
        over = ended(3, message=HOSTILE, alert_type=HOSTILE, model_name=HOSTILE, resolve_note=HOSTILE)
        page = html(audience, looked(odd, episodes=(over,), owners={1: HOSTILE}))
        assert "<script" not in page
        assert "<img" not in page
        assert "&lt;script" in page
        assert " style=" not in page

    def test_it_stands_second_and_before_what_says_that_there_is_nothing(self, audience: str) -> None:
        name = NAMES[audience]
        assert panels.build(audience, looked(state()))[1].panel.name == name
        first, second = panels.build(audience, looked(state(), totals=NOTHING))
        assert (first.panel.name, second.panel) == (name, panels.EMPTY[audience][0])

    def test_without_any_alert_and_request_it_is_left_out(self, audience: str) -> None:
        assert [one.panel.name for one in panels.build(audience, looked(totals=NOTHING))] == [
            panels.EMPTY[audience][0].name
        ]
        assert NAMES[audience] not in [one.panel.name for one in panels.build(audience, sight())]

    def test_demo_is_labelled_on_the_panel_and_at_each(self, audience: str) -> None:
        demo = state(source="demo")
        mixed = html(audience, looked(demo, state()))
        assert ">demo data included<" in mixed
        assert mixed.count(">demo<") == 1
        assert ">demo data<" in html(audience, looked(demo))
        assert "badge--source" not in html(audience, looked(state()))

    def test_every_button_stands_at_its_alert(self, audience: str) -> None:
        one = state()
        page = html(audience, looked(one))
        assert page.count(f'data-alert="{one.id}"') == 1
        assert re.findall(r'data-act="(\w+)"', page) == ["acknowledge", "resolve"]
        assert page.count("data-alert-name") == 1


MakePerson = Callable[..., User]
MakeKey = Callable[..., str]


def fire(organization: str, *, ago: float = 23, **changed: Any) -> UUID:
    values: dict[str, Any] = {"alert_type": "high_error_rate", "severity": "critical", "message": "It fails.",
                              "model_name": "qwen2.5:7b"}  # fmt: skip
    report, began = Report(**{**values, **changed}), datetime.now(UTC) - timedelta(minutes=ago)
    [fired] = lifecycle.fire(
        scope=Scope.of(organization), organization=organization, reports=[report], now=began, via="api"
    )
    return fired.state.id


def record(make_key: MakeKey, organization: str, *items: dict[str, object]) -> None:
    for item in items:
        answer = Client().post(
            "/api/monitoring/dashboard/inference", json.dumps({"durationMs": 5, **item}), "application/json",
            headers={"Authorization": f"Bearer {make_key(organization)}"},
        )  # fmt: skip
        assert answer.status_code == 201, answer.content


class TestRead:
    """Over the real tables."""

    def seen(self, organization: str, query: str = "window=24h") -> Alarms:
        now = datetime.now(UTC)
        return alarms.read(Organization.objects.get(pk=organization), windows.parse(QueryDict(query), now), now)

    def test_open_ones_are_worst_first_and_the_windows_others_beside(self, database: str) -> None:
        ids = [fire("swaggystacks", alert_type=kind, severity=kind) for kind in ("info", "warning", "critical")]
        old = fire("swaggystacks", ago=3000, alert_type="old")
        lifecycle.resolve(scope=Scope.of("swaggystacks"), ids=[old], now=datetime.now(UTC), via="api")
        fire("scientia_capital")
        found = self.seen("swaggystacks", "window=15m")
        assert [one.id for one in found.open] == [ids[2], ids[1], ids[0]]
        assert [one.id for one in found.resolved] == [old]
        assert (found.summary.total, found.summary.critical) == (3, 1)
        assert found.now.resolved is not None
        assert found.before == Figures(3, None, None)

    def test_a_source_shows_its_own_alerts_and_replay_has_none(self, database: str) -> None:
        live, demo = fire("swaggystacks"), fire("swaggystacks", source="demo")
        assert {one.id for one in self.seen("swaggystacks").open} == {live, demo}
        assert [one.id for one in self.seen("swaggystacks", "source=demo").open] == [demo]
        assert [one.id for one in self.seen("swaggystacks", "source=live").open] == [live]
        assert self.seen("swaggystacks", "source=replay").known is False

    def test_what_an_alert_touched_is_exact_and_of_its_model_alone(self, database: str, make_key: MakeKey) -> None:
        long_ago = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
        record(
            make_key, "scientia_capital",
            {"modelName": "qwen2.5:7b", "cost": "0.1", "revenue": "0.3"},
            {"modelName": "qwen2.5:7b", "cost": "0.2", "status": "error"},
            {"modelName": "qwen2.5:7b"},
            {"modelName": "another", "cost": "5", "endpointId": "e-1"},
            {"modelName": "qwen2.5:7b", "cost": "7", "occurredAt": long_ago},
        )  # fmt: skip
        one, other = fire("scientia_capital"), fire("scientia_capital", model_name="", endpoint_id="e-1")
        nothing = fire("scientia_capital", model_name="", alert_type="security")
        demo = fire("scientia_capital", source="demo")
        touched = self.seen("scientia_capital").touched
        assert (touched[one].requests, touched[one].of, touched[one].failed) == (3, 4, 1)
        assert (touched[one].cost, touched[one].revenue, touched[one].unpriced) == (Decimal("0.3"), Decimal("0.3"), 1)
        assert (touched[other].requests, touched[other].cost) == (1, Decimal(5))
        assert nothing not in touched
        assert touched[demo].requests == 0, "live requests are no demo"
        assert self.seen("swaggystacks").touched == {}

    def test_names_of_owners_are_found(self, database: str, make_person: MakePerson) -> None:
        grace = make_person("grace", swaggystacks="operator")
        one = fire("swaggystacks")
        lifecycle.assign(scope=Scope.of("swaggystacks"), ids=[one], now=datetime.now(UTC), via="api", owner=grace.pk)
        assert self.seen("swaggystacks").owners == {grace.pk: "grace"}


class TestPages:
    @pytest.mark.parametrize(
        ("role", "offered"),
        [("owner", "write"), ("operator", "write"), ("analyst", "read"), ("executive", "")],
    )
    @pytest.mark.parametrize("organization", ["swaggystacks", "scientia_capital"])
    def test_who_may_write_is_offered_it(
        self, make_person: MakePerson, role: str, offered: str, organization: str
    ) -> None:
        fire(organization)
        client = Client()
        client.force_login(make_person("ada", **{organization: role}))
        page = client.get(f"/dashboards/{organization}/").content.decode()
        assert f'data-alerts="{offered}"' in page
        assert ("<dialog" in page) == (offered == "write")
        assert 'class="trouble trouble--critical"' in page or 'class="impact statement--bad"' in page

    def test_the_same_panels_are_given_to_all_who_ask(self, make_person: MakePerson, make_key: MakeKey) -> None:
        fire("swaggystacks")
        drawn = []
        for name, role in (("ada", "operator"), ("bob", "executive")):
            client = Client()
            client.force_login(make_person(name, swaggystacks=role))
            drawn.append(client.get(f"{PANELS}swaggystacks&panel=alerts").content.decode())
        key = {"Authorization": f"Bearer {make_key('swaggystacks', 'dashboard:read')}"}
        drawn.append(Client().get(f"{PANELS}swaggystacks&panel=alerts", headers=key).content.decode())
        assert "It fails." in drawn[0]
        assert len({re.sub(r"\d+.min|under 1.min", "", each) for each in drawn}) == 1
        assert "ada" not in drawn[0]
        assert "csrf" not in drawn[0]

    def test_another_organizations_alerts_are_never_in_it(self, make_person: MakePerson) -> None:
        fire("swaggystacks", message="Only theirs.")
        client = Client()
        client.force_login(make_person("ada", scientia_capital="owner"))
        assert "Only theirs." not in client.get("/dashboards/scientia_capital/").content.decode()
        assert client.get(f"{PANELS}swaggystacks").status_code == 404
