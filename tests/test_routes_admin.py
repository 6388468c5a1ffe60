"""Routes in the admin: who may make them, patterns read strictly, previews that save nothing, channels of one's own."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import roster, routes
from alerts.models import Route
from alerts.pages import leads_from
from organizations.models import AuditEvent, User
from tests.channels import EVERYONE, OTHER, OWN, channel, deliveries, fire, route
from tests.test_admin import page_of, signed_in

Make = Callable[..., Any]
LIST = "/admin/alerts/route/"
ADD = f"{LIST}add/"
HOSTILE = "<script>window.__xss=1</script>\"><img src=x onerror='window.__xss=1'>"
NOWHERE = "http://127.0.0.1:9/"


def address(identifier: UUID, view: str = "change") -> str:
    return f"{LIST}{identifier}/{view}/"


def page(client: Client, path: str) -> str:
    found = client.get(path)
    assert found.status_code == 200, path
    return unescape(page_of(found))


def wish(*channels: UUID, **more: Any) -> dict[str, Any]:
    return {"name": "mine", "channels": [str(one) for one in channels], "enabled": "on", "save": "yes", **more}


def post(client: Client, path: str, form: dict[str, Any]) -> str:
    found = client.post(path, form, follow=True)
    assert found.status_code == 200
    return unescape(page_of(found))


def stored() -> list[Route]:
    with EVERYONE.enter():
        return list(Route.objects.order_by("name"))


def legs(identifier: UUID) -> list[UUID]:
    with EVERYONE.enter():
        return routes.channels_of([identifier]).get(identifier, [])


def trail(identifier: UUID) -> list[AuditEvent]:
    with EVERYONE.enter():
        return list(AuditEvent.objects.filter(object_type="route", object_id=str(identifier)).order_by("id"))


class TestWhoMay:
    @pytest.mark.parametrize("role", ["root", "owner", "operator"])
    def test_those_who_may_write_make_change_and_delete_them(self, people: dict[str, User], role: str) -> None:
        client, to = signed_in(people[role]), channel(NOWHERE, name="ops")
        said = post(client, f"{ADD}?organization={OWN}", wish(to, severities=["critical"]))
        assert "The route mine is on." in said
        [made] = stored()
        assert (made.organization_id, made.severities, made.created_by) == (OWN, ["critical"], role)
        assert legs(made.pk) == [to]
        post(client, address(made.pk), wish(to, name="other", severities=[]))
        assert [(one.name, one.severities, one.enabled) for one in stored()] == [("other", [], True)]
        assert "Are you sure" in page(client, address(made.pk, "delete"))
        post(client, address(made.pk, "delete"), {"post": "yes"})
        assert stored() == []
        assert [(row.action, row.actor) for row in trail(made.pk)] == [
            ("created", role),
            ("changed", role),
            ("deleted", role),
        ]

    def test_analysts_read_and_change_nothing(self, people: dict[str, User]) -> None:
        made, client = route(channel(NOWHERE, name="ops"), name="theirs"), signed_in(people["analyst"])
        for path in (LIST, address(made), address(made, "history")):
            text = page(client, path)
            assert "theirs" in text
            assert "<button" not in text.split("<main", 1)[1]
        assert "Leads from every alert to" in page(client, address(made))
        for form in (wish(uuid4()), {"preview": "yes"}):
            assert client.post(address(made), form).status_code == 403
        for path in (ADD, f"{ADD}?organization={OWN}", address(made, "delete")):
            assert client.get(path).status_code == 403
            assert client.post(path, {"post": "yes"}).status_code == 403
        assert [one.name for one in stored()] == ["theirs"]

    def test_executives_have_no_admin(self, people: dict[str, User]) -> None:
        made, client = route(channel(NOWHERE)), signed_in(people["executive"])
        for path in (LIST, ADD, address(made)):
            assert client.get(path, follow=True).status_code == 403

    def test_another_organizations_route_is_404_by_every_address_and_verb(self, people: dict[str, User]) -> None:
        to = channel(NOWHERE, name="zqchannel")
        made, client = route(to, name="zqforeign"), signed_in(people["stranger"])
        for identifier in (made, uuid4(), "nonsense", "%00"):
            for view in ("change", "history", "delete"):
                assert client.get(f"{LIST}{identifier}/{view}/").status_code == 404
                assert client.post(f"{LIST}{identifier}/{view}/", {**wish(to), "post": "yes"}).status_code in (404, 405)
        assert client.get(f"{ADD}?organization={OWN}").status_code == 404
        assert client.post(f"{ADD}?organization={OWN}", wish(to)).status_code == 404
        for query in ("", "?q=zq", f"?organization={OWN}", "?enabled=1"):
            text = client.get(LIST + query).content.decode()
            assert "zqforeign" not in text
            assert "zqchannel" not in text
        assert [one.name for one in stored()] == ["zqforeign"]

    def test_a_route_leads_to_no_channel_of_another_organization(self, people: dict[str, User]) -> None:
        theirs, mine = channel(NOWHERE, name="zqtheirs", organization=OTHER), channel(NOWHERE, name="mine")
        for client in (signed_in(people["operator"]), signed_in(people["root"])):
            for path in (f"{ADD}?organization={OWN}", address(route(mine, name=str(uuid4())))):
                assert "zqtheirs" not in page(client, path)
                for chosen in ((theirs,), (mine, theirs), (uuid4(),)):
                    assert "Select a valid choice." in post(client, path, wish(*chosen))
        assert "Select a valid choice." in post(
            signed_in(people["root"]), f"{ADD}?organization={OWN}", wish(channels=["nonsense", "\0"])
        )
        assert all(leg == mine for one in stored() for leg in legs(one.pk))

    def test_who_reads_here_and_writes_there_changes_only_there(self, make_person: Make) -> None:
        client = signed_in(make_person("both", **{OWN: "analyst", OTHER: "operator"}))
        here, there = channel(NOWHERE), channel(NOWHERE, organization=OTHER)
        mine, theirs = route(here), route(there, organization=OTHER)
        assert client.post(address(mine), wish(here)).status_code == 403
        assert client.post(address(mine, "delete"), {"post": "yes"}).status_code == 403
        assert client.get(f"{ADD}?organization={OWN}").status_code == 404
        assert "The route mine is on." in post(client, address(theirs), wish(there))


class TestForm:
    def test_with_several_organizations_one_is_chosen_first(self, people: dict[str, User], operator: Client) -> None:
        channel(NOWHERE, name="ours")
        asked = page(signed_in(people["root"]), ADD)
        assert f'href="?organization={OWN}"' in asked
        assert f'href="?organization={OTHER}"' in asked
        assert "Add a route of SwaggyStacks" in page(operator, ADD)

    def test_without_a_channel_there_is_nothing_to_lead_to(self, operator: Client) -> None:
        assert "has no channel that a route could lead to" in page(operator, ADD)

    def test_it_offers_the_channels_that_alerts_can_go_to(self, operator: Client) -> None:
        for name, more in (("lit", {}), ("dark", {"state": "off"}), ("broken", {"state": "failed"}),
                           ("buried", {"state": "retired"})):  # fmt: skip
            channel(NOWHERE, name=name, **more)
        channel(NOWHERE, name="made up", source="demo")
        channel(kind="heartbeat", name="switch", given={"url": NOWHERE})
        text = page(operator, ADD)
        for words in (">lit</span>", ">dark (off)</span>", ">broken (failed)</span>"):
            assert words in text
        for words in ("buried", "made up", "switch<"):
            assert words not in text

    def test_everything_that_was_written_is_stored_and_shown_again(self, operator: Client) -> None:
        first, second = channel(NOWHERE, name="a"), channel(NOWHERE, name="b")
        post(operator, ADD, wish(
            first, second, severities=["critical", "warning"], alert_types="high_*\r\n\r\n  slow \r\nhigh_*",
            model_names="qwen*", labels="team=ml-*\r\nregion = eu", enabled="",
        ))  # fmt: skip
        [made] = stored()
        assert (made.severities, made.alert_types) == (["critical", "warning"], ["high_*", "slow"])
        assert (made.model_names, made.labels, made.enabled) == (["qwen*"], {"team": "ml-*", "region": "eu"}, False)
        text = page(operator, address(made.pk))
        assert "high_*\nslow</textarea>" in text
        assert "team=ml-*\nregion=eu</textarea>" in text or "region=eu\nteam=ml-*</textarea>" in text
        assert len(re.findall(r"checked", text.split("<form", 3)[-1])) == 4
        assert "Leads from critical or warning; type high_* or slow; model qwen*; label" in text

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("name", "", "The name is needed."), ("name", "x" * 10_000, "at most 100 characters"),
            ("name", "a\0b", "Null characters are not allowed."), ("name", "a\x07", "control characters"),
            ("name", "taken", "Name is the name of another route."),
            ("severities", ["critical", "king"], "Select a valid choice."),
            ("alert_types", "ok\n" + "x" * 101, "Line 2 must be at most 100 characters long."),
            ("alert_types", "x" * 10_000, "Line 1 must be at most 100"),
            ("alert_types", "\n".join(map(str, range(51))), "At most 50 lines, and these are 51."),
            ("alert_types", "a\0", "Null characters"), ("alert_types", "a\x1b[2J", "Line 1 must not hold control"),
            ("model_names", "x" * 201, "Line 1 must be at most 200"),
            ("labels", "team", "must be a name, = and a pattern."),
            ("labels", "=x", "must be a name, = and a pattern."),
            ("labels", "a=1\na=2", "stands twice"),
            ("labels", "\n".join(f"n{n}=x" for n in range(33)), "At most 32 lines"),
            ("channels", [], "Choose at least one channel."),
        ],
    )  # fmt: skip
    def test_what_will_not_do_is_told_at_its_field(self, operator: Client, field: str, value: Any, words: str) -> None:
        to = channel(NOWHERE)
        route(to, name="taken")
        for path in (ADD, address(route(to, name="changed"))):
            text = post(operator, path, wish(to, **{field: value}))
            assert words in text
            assert text.count('class="errorlist"') == 1
        assert [one.name for one in stored()] == ["changed", "taken"]

    def test_an_empty_pattern_of_a_label_is_one(self, operator: Client) -> None:
        to = channel(NOWHERE)
        post(operator, ADD, wish(to, labels="team="))
        assert stored()[0].labels == {"team": ""}
        fire("with", labels={"team": "ml"})
        fire("without")
        assert [one.event for one in deliveries(channel=to)] == ["trigger"]

    def test_an_address_may_fill_it_in(self, operator: Client) -> None:
        channel(NOWHERE)
        query = f"organization={OWN}&alert_types=high_error_rate&severities=critical&severities=info&labels=a%3Db"
        text = page(operator, f"{ADD}?{query}")
        assert "high_error_rate</textarea>" in text
        assert "a=b</textarea>" in text
        assert text.count("checked") >= 3
        assert operator.get(f"{ADD}?alert_types=%00&labels={HOSTILE}&severities=x").status_code == 200

    def test_two_who_are_quick_get_no_fault_of_ours(self, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        to = channel(NOWHERE, name="taken")
        route(to, name="mine")

        class Blind:
            """A look that comes too early to see the other one."""

            def filter(self, **_: Any) -> "Blind":
                return self

            def exists(self) -> bool:
                return False

        real = Route.objects
        monkeypatch.setattr(routes.Route, "objects", Blind())
        monkeypatch.setattr(roster, "_free_name", lambda *_, **__: None)
        found = operator.post(ADD, wish(to))
        form = {"name": "taken", "organization": OWN, "audience": "developer", "its_url": "https://example.org/"}
        other = operator.post("/admin/alerts/channel/add/?kind=webhook", form)
        monkeypatch.setattr(routes.Route, "objects", real)
        for one in (found, other):
            assert one.status_code == 200
            assert "The name is taken." in page_of(one)


class TestPreview:
    def test_it_shows_what_it_would_have_led_from_and_saves_nothing(self, operator: Client) -> None:
        to = channel(NOWHERE)
        for number in range(11):
            fire(f"high_{number}", severity="critical", message=f"message {number}", model_name="qwen")
        fire("low", severity="critical")
        fire("high_other", severity="info")
        fire("high_theirs", severity="critical", organization=OTHER)
        text = post(operator, ADD, {"preview": "yes", "alert_types": "high_*", "severities": ["critical"]})
        assert "It would have led from 11 alerts in the last 30 days" in text
        assert "message 10" in text
        assert "message 1<" not in text
        assert "high_theirs" not in text
        assert 'class="errorlist"' not in text
        assert "high_*</textarea>" in text
        assert stored() == []
        made = route(to, name="there")
        text = post(operator, address(made), {"preview": "yes", "name": "", "model_names": "llama*"})
        assert "It would have led from no alert" in text
        assert [(one.name, one.model_names) for one in stored()] == [("there", [])]

    def test_with_faults_there_is_none(self, operator: Client) -> None:
        channel(NOWHERE)
        text = post(operator, ADD, {"preview": "yes", "labels": "nonsense"})
        assert "must be a name, = and a pattern" in text
        assert "It would have led" not in text
        assert "The name is needed" not in text

    def test_patterns_are_patterns_and_nothing_else(self, operator: Client) -> None:
        channel(NOWHERE)
        fire("100%_sure\\x")
        for pattern, number in (("100%_sure\\x", 1), ("100*", 1), ("100__sure\\x", 0), ("%", 0), ("100%_sure", 0)):
            text = post(operator, ADD, {"preview": "yes", "alert_types": pattern})
            assert ("from 1 alert " in text) == bool(number), pattern


class TestList:
    def test_it_says_in_words_where_each_leads(self, operator: Client) -> None:
        lit, dark = channel(NOWHERE, name="lit"), channel(NOWHERE, name="dark", state="off")
        route(lit, dark, name="one", severities=["critical"], model_names=["qwen*"], labels={"team": "ml"})
        route(lit, name="two", enabled=False)
        route(name="three")
        text = page(operator, LIST)
        for words in ("critical; model qwen*; label team=ml", "every alert",
                      '<span class="tag tag--good">lit</span>', '<span class="tag tag--plain">dark (off)</span>',
                      '<span class="tag tag--warn">nowhere</span>',
                      '<span class="tag tag--plain">off</span>'):  # fmt: skip
            assert words in text, words

    @pytest.mark.parametrize(
        ("query", "found"),
        [("", {"lit", "dark"}), ("enabled=1", {"lit"}), ("enabled=0", {"dark"}), ("enabled=x", set()),
         (f"organization={OTHER}", set()), ("source=demo", set()), ("source=live", {"lit", "dark"}),
         ("q=AR", {"dark"})],
    )  # fmt: skip
    def test_filters_and_searches_find_what_they_say(self, operator: Client, query: str, found: set[str]) -> None:
        to = channel(NOWHERE)
        route(to, name="lit")
        route(to, name="dark", enabled=False)
        assert set(re.findall(r'class="field-name"><a [^>]+>(.*?)</a>', page(operator, f"{LIST}?{query}"))) == found

    def test_it_asks_as_much_for_fifty_as_for_five(self, operator: Client) -> None:
        def asked() -> int:
            operator.get(LIST)
            with CaptureQueriesContext(connection) as found:
                page(operator, LIST)
            return len(found)

        for number in range(5):
            route(channel(NOWHERE, name=f"c{number}"), name=f"r{number}")
        few = asked()
        for number in range(5, 50):
            route(channel(NOWHERE, name=f"c{number}"), name=f"r{number}")
        assert asked() == few <= 14

    def test_nothing_there_is_said_as_such(self, operator: Client) -> None:
        assert "There is no route yet" in page(operator, LIST)

    def test_hostile_words_are_shown_as_words(self, people: dict[str, User]) -> None:
        root, to = signed_in(people["root"]), channel(NOWHERE, name=HOSTILE)
        made = route(to, name=HOSTILE, alert_types=[HOSTILE], model_names=[HOSTILE], labels={HOSTILE: HOSTILE})
        fire(HOSTILE[:90], message=HOSTILE)
        preview = root.post(address(made), {"preview": "yes", "alert_types": "*"})
        found = [root.get(path) for path in (LIST, address(made), address(made, "history"), address(made, "delete"))]
        for one in (*found, preview):
            text = page_of(one)
            assert "<script>window" not in text
            assert "<img src=x" not in text
            assert "&lt;script&gt;window" in text


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({}, "every alert"), ({"severities": ["critical", "warning"]}, "critical or warning"),
        ({"alert_types": ["high_*"], "model_names": ["qwen*", "llama*"]}, "type high_*; model qwen* or llama*"),
        ({"labels": {"team": "ml", "region": ""}}, "label team=ml; label region="),
    ],
)  # fmt: skip
def test_what_a_route_leads_from_in_words(conditions: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"severities": [], "alert_types": [], "model_names": [], "labels": {}, **conditions}
    assert leads_from(Route(**given)) == words
