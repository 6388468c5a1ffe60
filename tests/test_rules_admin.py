"""Rules in the admin: who may write them, a form that is tried on the past, how each stands, how they are judged."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from msgspec import structs

from alerts import evaluation, gauging, rehearsal, rule_entries, rule_replays, rule_states, rulebook, simulation
from alerts.definitions import Definition
from alerts.models import Alert, AlertRule
from alerts.rules import MINUTE, Condition, Hours
from monitoring.store import current_store, retention
from organizations.models import AuditEvent, Organization, User
from organizations.scope import Scope
from tests import ruling
from tests.channels import EVERYONE, OTHER, OWN, fire
from tests.ruling import about, at, calls, make, sample, store, the
from tests.test_admin import page_of, signed_in

Make = Callable[..., Any]
LIST = "/admin/alerts/alertrule/"
ADD = f"{LIST}add/?organization={OWN}"
HEALTH = f"{LIST}health/"
HOSTILE = "<script>window.__xss=1</script>\"><img src=x onerror='window.__xss=1'>"
CUSTOM = "team_queue_length"
BUSY = Definition(
    measure="errors", aggregation="ratio", per="inferences", window=90, filters={"model": ("llama*", "a, b")},
    by=("model",), alert_type="too_many", labels={"team": "ml"}, developer="{value} of {model} fail",
    executive="It fails.",
    condition=Condition(warning=0.05, warning_clear=0.03, critical=0.2, hold=5, keep=10, least=10, no_data="keep",
                        hours=Hours(start=480, end=1080, days=(0, 1), zone="Europe/Berlin"), renotify=240),
)  # fmt: skip


@pytest.fixture(autouse=True)
def fresh() -> None:
    ruling.forget()
    rule_states._known.clear()


def address(identifier: object, view: str = "change") -> str:
    return f"{LIST}{identifier}/{view}/"


def page(client: Client, path: str) -> str:
    found = client.get(path)
    assert found.status_code == 200, path
    return unescape(page_of(found))


def post(client: Client, path: str, form: Mapping[str, Any]) -> str:
    """As the page of that moment would send it."""
    if "save" in form and "version" not in form and (made := re.fullmatch(f"{LIST}(.+)/change/", path)):
        form = {**form, "version": the(UUID(made[1])).version}
    found = client.post(path, form, follow=True)
    assert found.status_code == 200
    return unescape(page_of(found))


def wish(one: Definition | None = None, **more: Any) -> dict[str, Any]:
    """The form of a rule that is fit to be saved."""
    written = rule_entries.written(one or about(window=15), "UTC")
    plain = {name: "" if value is None else value for name, value in written.items()}
    return {"name": "mine", **plain, "owner": "", "enabled": "on", "save": "yes", **more}


def stored() -> list[AlertRule]:
    with EVERYONE.enter():
        return list(AlertRule.objects.order_by("name"))


def definition(rule: AlertRule) -> Definition:
    found = rule_states.read(rule)
    assert found is not None
    return found.definition


def trail(identifier: UUID) -> list[tuple[str, str]]:
    with EVERYONE.enter():
        found = AuditEvent.objects.filter(object_type="rule", object_id=str(identifier)).order_by("id")
        return list(found.values_list("action", "actor"))


def faults(text: str) -> list[str]:
    return re.findall(r'<ul class="errorlist[^>]*>(?:<li>)(.*?)</li>', text)


class Filled(HTMLParser):
    """What a browser would send of the form of a rule, were nothing touched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {}
        self._inside, self._select, self._area = False, "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = str(given.get("name", ""))
        if tag == "form":
            self._inside = given.get("id") == "rule-form"
        elif not self._inside:
            return
        elif tag == "input" and given.get("type") == "checkbox":
            if "checked" in given:
                self.fields.setdefault(name, []).append(given.get("value", "on"))
        elif tag == "input":
            self.fields[name] = given.get("value") or ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            self.fields[self._select] = given.get("value") or ""
        elif tag == "textarea":
            self._area = name
            self.fields[name] = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.fields[self._area] = self.fields[self._area].removeprefix("\n")
            self._area = ""
        elif tag == "select":
            self._select = ""


def filled(client: Client, path: str) -> dict[str, Any]:
    return {**Filled(client.get(path).content.decode()).fields, "save": "yes"}


class TestWhoMay:
    @pytest.mark.parametrize("role", ["root", "owner", "operator"])
    def test_those_who_may_write_make_change_and_switch_them(self, people: dict[str, User], role: str) -> None:
        client = signed_in(people[role])
        assert "The rule mine is on" in post(client, ADD, wish(BUSY))
        [made] = stored()
        assert (made.organization_id, made.state, made.created_by, definition(made)) == (OWN, "on", role, BUSY)
        assert "Saved." in post(client, address(made.pk), wish(about(), name="other"))
        assert [(one.name, one.version) for one in stored()] == [("other", 2)]
        assert "Pause other" in post(client, address(made.pk), {"act": "pause"})
        assert the(made.pk).state == "on"
        for act, state in (("pause", "paused"), ("on", "on"), ("retire", "retired")):
            post(client, address(made.pk), {"act": act, "confirmed": "yes"})
            assert the(made.pk).state == state
        assert trail(made.pk) == [(action, role) for action in ("created", "changed", *["switched"] * 3)]
        assert "by <b>" + role in client.get(address(made.pk)).content.decode()
        assert role in page(client, address(made.pk, "history"))

    def test_analysts_read_and_change_nothing(self, people: dict[str, User]) -> None:
        made, client = make(name="theirs"), signed_in(people["analyst"])
        for path in (LIST, address(made), address(made, "history")):
            text = page(client, path)
            assert "theirs" in text
            assert "<button" not in text.split("<main", 1)[1]
        assert "Evaluator" in page(client, HEALTH)
        for form in (wish(), {"simulate": "yes"}, {"act": "pause", "confirmed": "yes"}):
            assert client.post(address(made), form).status_code == 403
        for path in (f"{LIST}add/", ADD, address(made, "delete")):
            assert client.get(path).status_code == 403
            assert client.post(path, wish()).status_code == 403
        client.post(LIST, {"action": "pause", "confirmed": "yes", "_selected_action": [made], "index": 0})
        assert (the(made).state, the(made).version) == ("on", 1)

    def test_executives_have_no_admin(self, people: dict[str, User]) -> None:
        made, client = make(), signed_in(people["executive"])
        for path in (LIST, ADD, address(made), HEALTH):
            assert client.get(path, follow=True).status_code == 403

    def test_another_organizations_rule_is_404_by_every_address_and_verb(self, people: dict[str, User]) -> None:
        made, client = make(name="zqforeign"), signed_in(people["stranger"])
        for identifier in (made, uuid4(), "nonsense", "%00"):
            for view in ("change", "history", "why"):
                assert client.get(address(identifier, view)).status_code == 404
                for form in (wish(), {"simulate": "yes"}, {"act": "retire", "confirmed": "yes"}):
                    assert client.post(address(identifier, view), form).status_code in (404, 405)
        assert client.get(ADD).status_code == 404
        assert client.post(ADD, wish()).status_code == 404
        for query in ("", "?q=zq", f"?organization={OWN}", "?state=ok", "?seeded=0"):
            assert "zqforeign" not in client.get(LIST + query).content.decode()
        for confirmed in ({}, {"confirmed": "yes"}):
            form = {"action": "pause", "_selected_action": [made], "index": 0, **confirmed}
            text = client.post(LIST, form, follow=True).content.decode()
            assert "zqforeign" not in text
            assert "None of them is yours to pause" in text
        assert [(one.name, one.state, one.version) for one in stored()] == [("zqforeign", "on", 1)]

    def test_who_reads_here_and_writes_there_changes_only_there(self, make_person: Make) -> None:
        client = signed_in(make_person("both", **{OWN: "analyst", OTHER: "operator"}))
        mine, theirs = make(), make(organization=OTHER)
        assert client.post(address(mine), wish()).status_code == 403
        assert client.get(ADD).status_code == 404
        assert "Saved." in post(client, address(theirs), wish())
        both = {"action": "pause", "confirmed": "yes", "_selected_action": [mine, theirs], "index": 0}
        assert "1 rule: paused." in post(client, LIST, both)
        assert (the(mine).state, the(theirs).state) == ("on", "paused")


class TestForm:
    def test_with_several_organizations_one_is_chosen_first(self, people: dict[str, User], operator: Client) -> None:
        asked = page(signed_in(people["root"]), f"{LIST}add/")
        assert f'href="?organization={OWN}"' in asked
        assert f'href="?organization={OTHER}"' in asked
        assert "Add a rule of SwaggyStacks" in page(operator, f"{LIST}add/")

    def test_a_blank_one_is_what_it_offers(self, operator: Client) -> None:
        given = filled(operator, ADD)
        assert (given["measure"], given["aggregation"], given["per"], given["window"]) == (
            "errors", "ratio", "inferences", "15m",
        )  # fmt: skip
        text = post(operator, ADD, {**given, "name": "blank"})
        assert faults(text) == ["The warning threshold must be given, or the critical one, or an alert when there are "
                                "no data."]  # fmt: skip
        post(operator, ADD, {**given, "name": "A blank one", "warning": "5%"})
        [made] = stored()
        assert definition(made) == Definition(measure="errors", aggregation="ratio", per="inferences", window=15,
                                              alert_type="a_blank_one", condition=Condition(warning=0.05))  # fmt: skip

    def test_what_was_written_is_shown_and_saved_again_as_it_was(self, operator: Client, people: Any) -> None:
        post(operator, ADD, wish(BUSY, owner=people["analyst"].pk))
        [made] = stored()
        again = filled(operator, address(made.pk))
        assert (again["warning"], again["window"], again["keep"], again["filters"], again["days"], again["owner"]) == (
            "5%", "1h30m", "10m", 'model=llama*,"a, b"', ["0", "1"], str(people["analyst"].pk),
        )  # fmt: skip
        assert "Saved." in post(operator, address(made.pk), again)
        [after] = stored()
        assert (after.version, after.name, after.owner_id, definition(after)) == (
            2, "mine", people["analyst"].pk, BUSY,
        )  # fmt: skip

    def test_it_offers_families_and_people_of_the_organization(self, operator: Client) -> None:
        store(samples=[sample(1, 5.0, CUSTOM), sample(1, 5.0, "foreign_family", organization=OTHER),
                       sample(1, 1.0, "x_seconds_bucket", le="1"), sample(1, 1.0, "x_seconds_count")])  # fmt: skip
        text = page(operator, ADD)
        offered = re.findall(r'<option value="([^"]+)"></option>', text)
        assert {CUSTOM, "x_seconds", "cockpit_http_requests_total", "Europe/Berlin", "UTC"} <= set(offered)
        assert not {"foreign_family", "x_seconds_bucket", "cockpit_gpu_up"} & set(offered)
        owners = text.split('id="id_owner"', 1)[1].split("</select>", 1)[0]
        assert re.findall(">([a-z]+)</option>", owners) == ["nobody", "analyst", "operator", "owner"]

    def test_a_rule_about_ones_own_family_is_one(self, operator: Client) -> None:
        given = wish(measure="", family=CUSTOM, aggregation="max", warning="7", by="queue", filters="queue=a*")
        post(operator, ADD, given)
        [made] = stored()
        one = definition(made)
        assert (one.measure, one.aggregation, one.by, one.filters) == (CUSTOM, "max", ("queue",), {"queue": ("a*",)})
        shown = filled(operator, address(made.pk))
        assert (shown["measure"], shown["family"]) == ("", CUSTOM)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"name": ""}, "The name is needed."), ({"name": "x" * 101}, "at most 100 characters"),
            ({"name": "a\0b"}, "The name must not hold control characters."),
            ({"name": "taken"}, "The name is the name of another rule."),
            ({"window": "soon"}, "The window must be a length of time such as 5m, 2h or 1d."),
            ({"window": "99d"}, "The window must be 1 minute to 31 days."),
            ({"warning": "many"}, "The warning threshold must be a number."),
            ({"critical": "1"}, "The critical threshold must be at least the warning threshold."),
            ({"warning_clear": "9"}, "What ends a warning must be at most the warning threshold."),
            ({"measure": "", "family": "a b"}, "The family must be one of"),
            ({"measure": "nonsense"}, "The measure must be one of those that are offered."),
            ({"aggregation": "p95"}, "The aggregation must be one of count, rate, ratio for inferences."),
            ({"filters": "team"}, "The filters must have a name"), ({"by": "team"}, "The groups must be of model"),
            ({"hours_from": "noon"}, "Where the hours begin must be a time of day"),
            ({"hours_from": "8:00", "zone": "x"}, "The timezone must be the name of a timezone"),
            ({"days": ["7"]}, "The days must be one of those that are offered."),
            ({"least": "-1"}, "The number of samples must be 0 to 1,000,000,000."),
            ({"least": "x"}, "The number of samples must be a whole number."),
            ({"operator": "is"}, "The comparison must be one of those that are offered."),
            ({"no_data": "is"}, "What missing data mean must be one of those that are offered."),
            ({"change": "is"}, "What is judged must be one of those that are offered."),
            ({"developer": "{nobody}"}, "The text must name only"),
            ({"labels": "x"}, "The labels must be a name=value"),
            ({"alert_type": "Not So"}, "The type must be small letters"),
            ({"runbook": "no"}, "The runbook must be an http(s) address"),
            ({"owner": "999"}, "The owner must be one of those that are offered."),
        ],
    )  # fmt: skip
    def test_what_will_not_do_is_told_at_its_field(self, operator: Client, changes: dict[str, Any], words: str) -> None:
        make(name="taken")
        for path in (ADD, address(make(name="changed"))):
            [said] = faults(post(operator, path, wish(**changes)))
            assert words in said
        assert [(one.name, one.version) for one in stored()] == [("changed", 1), ("taken", 1)]

    def test_nobody_is_an_owner_too_and_may_be_chosen_again(self, operator: Client, people: dict[str, User]) -> None:
        made = make(owner=people["owner"].pk)
        assert "<dd>owner</dd>" in page(operator, address(made))
        post(operator, address(made), filled(operator, address(made)))
        assert the(made).owner_id == people["owner"].pk
        post(operator, address(made), {**filled(operator, address(made)), "owner": ""})
        assert the(made).owner_id is None

    def test_two_who_write_at_once_do_not_overwrite_each_other(self, operator: Client) -> None:
        made = make()
        mine = filled(operator, address(made))
        post(operator, address(made), {**filled(operator, address(made)), "warning": "7"})
        said = faults(post(operator, address(made), {**mine, "warning": "9"}))
        assert said == ["The name must be looked at again: somebody else changed the rule meanwhile."]
        assert (the(made).version, definition(the(made)).condition.warning) == (2, 7.0)

    def test_two_who_are_quick_get_no_fault_of_ours(self, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        make(name="mine")
        monkeypatch.setattr(rulebook, "_demand", lambda *_: None)
        assert faults(post(operator, ADD, wish())) == ["The name is taken."]

    def test_one_that_cannot_be_read_is_written_again(self, operator: Client) -> None:
        made = make()
        ruling.ruin(made)
        text = page(operator, address(made))
        assert "What was saved cannot be read any more" in text
        assert "What it asks cannot be read." in text
        assert "It cannot be read." in page(operator, LIST)
        assert "Saved." in post(operator, address(made), wish(BUSY))
        assert definition(the(made)) == BUSY

    def test_one_that_is_not_sound_any_more_is_shown_with_what_is_wrong(self, operator: Client) -> None:
        made = make(BUSY)
        ruling.ruin(made, json.dumps(msgspec.to_builtins(structs.replace(BUSY, window=99_999))))
        again = filled(operator, address(made))
        assert (again["window"], again["filters"]) == ("69d10h39m", 'model=llama*,"a, b"')
        [said] = faults(post(operator, address(made), again))
        assert said == "The window must be 1 minute to 31 days."
        assert 'id="desk-replay"' in post(operator, address(made), {**again, "window": "1h", "simulate": "yes"})

    def test_an_address_may_fill_it_in(self, operator: Client) -> None:
        given = filled(operator, f"{ADD}&name=mine&measure=cost&aggregation=sum&warning=5&by={HOSTILE}")
        assert [given[name] for name in ("name", "measure", "aggregation", "warning", "by", "window")] == [
            "mine", "cost", "sum", "5", HOSTILE, "15m",
        ]  # fmt: skip
        assert operator.get(f"{ADD}&measure=x&days=x&owner=x&least=x&enabled=x&name=%00").status_code == 200
        assert filled(operator, f"{address(make())}?window=7h")["window"] == "1m"

    def test_it_may_begin_paused(self, operator: Client) -> None:
        given = wish()
        del given["enabled"]
        assert "is there, and paused" in post(operator, ADD, given)
        assert [one.state for one in stored()] == ["paused"]

    def test_hostile_words_are_shown_as_words(self, people: dict[str, User]) -> None:
        root = signed_in(people["root"])
        one = Definition(measure="cockpit_x", aggregation="max", filters={"a": (HOSTILE,)}, labels={"b": HOSTILE},
                         executive=HOSTILE, condition=Condition(warning=1))  # fmt: skip
        made = make(one, name=HOSTILE)
        found = [root.get(path) for path in (LIST, address(made), address(made, "history"))]
        found += [root.post(address(made), form) for form in (wish(one, simulate="yes"), {"act": "retire"})]
        for answer in found:
            text = page_of(answer)
            assert "<script>window" not in text
            assert "<img src=x" not in text
            assert "&lt;script&gt;window" in text


def rows(text: str) -> dict[str, list[str]]:
    """The list's rows by the rule's name: the words of the other columns."""
    body = text.split('id="result_list"', 1)[1].split("</tbody>", 1)[0]
    found: dict[str, list[str]] = {}
    for row in body.split("<tr>")[2:]:
        cells = re.findall(r"<t[dh] class=\"field-[^>]*>(.*?)</t[dh]>", row)
        words = [" ".join(re.sub(r"<title>.*?</title>|<[^>]+>", " ", cell).split()) for cell in cells]
        name = re.findall(r"<b>(.*?)</b>", cells[0])[0]
        found[name] = words
    return found


def force(rule: UUID, *states: str) -> None:
    """Groups that stand so, whatever was judged."""
    with EVERYONE.enter(), connection.cursor() as cursor:
        for number, state in enumerate(states):
            cursor.execute(
                "INSERT INTO alerts_standing (organization_id, rule_id, group_values, state, because, since, level) "
                "SELECT organization_id, id, %s, %s, 'breach', %s, %s FROM alerts_rule WHERE id = %s",
                [[f"m{number}"], state, at(1), state if state in ("warning", "critical") else "", rule],
            )


def fail(rule: UUID, words: str = "It could not be judged: KeyError.") -> None:
    with EVERYONE.enter():
        AlertRule.objects.filter(pk=rule).update(error=words, error_at=at(1))


class TestList:
    def test_the_worst_group_is_the_state_and_the_worst_rules_come_first(self, operator: Client) -> None:
        for name, states in (("fine", ("ok", "ok")), ("waits", ("ok", "pending")), ("silent", ("no_data", "pending")),
                             ("warned", ("warning", "no_data")), ("grave", ("warning", "critical", "ok")),
                             ("new", ())):  # fmt: skip
            force(make(name=name), *states)
        broken, paused, retired = make(name="broken"), make(name="paused"), make(name="retired")
        force(broken, "critical")
        fail(broken)
        ruling.switch(paused, "paused", minute=2)
        ruling.switch(retired, "retired", minute=2)
        found = rows(page(operator, LIST))
        assert [(name, row[1], row[3]) for name, row in found.items()] == [
            ("broken", "error", "1"), ("grave", "critical", "2 of 3"), ("warned", "warning", "2 of 2"),
            ("silent", "no data", "1 of 2"), ("waits", "pending", "0 of 2"), ("fine", "ok", "0 of 2"),
            ("new", "ok", "0"), ("paused", "paused", "–"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("", {"fine", "grave", "warned", "broken", "paused"}), ("state=firing", {"grave", "warned"}),
            ("state=error", {"broken"}), ("state=critical", {"grave"}), ("state=warning", {"warned"}),
            ("state=no_data", set()), ("state=pending", set()), ("state=ok", {"fine"}), ("state=paused", {"paused"}),
            ("state=retired", {"gone"}), ("state=nonsense", set()), ("seeded=1", {"fine"}),
            ("seeded=0", {"grave", "warned", "broken", "paused"}), (f"organization={OTHER}", set()),
            ("q=AR", {"warned"}), ("state=ok&q=x", set()),
        ],
    )  # fmt: skip
    def test_filters_and_searches_find_what_they_say(self, operator: Client, query: str, names: set[str]) -> None:
        force(make(name="fine", seeded=True), "ok")
        force(make(name="grave"), "critical", "warning")
        force(make(name="warned"), "warning")
        broken = make(name="broken")
        force(broken, "warning")
        fail(broken)
        for name, state in (("paused", "paused"), ("gone", "retired")):
            ruling.switch(make(name=name), state, minute=2)
        text = page(operator, f"{LIST}?{query}")
        assert set(rows(text)) == names if names else "No rule is like this." in text

    def test_it_tells_the_last_value_of_the_worst_group_and_the_hour_before(self, operator: Client) -> None:
        make(about("errors", "ratio", per="inferences", window=15, by=("model",), warning=0.2, least=5), name="fails")
        for minute in range(1, 70):
            calls(minute, 5, model="llama")
            calls(minute, 1, model="qwen", status="error" if minute > 50 else "success")
        ruling.judge_each(2, 3)
        ruling.judge(70)
        text = page(operator, LIST)
        [row] = rows(text).values()
        assert row[0] == "fails errors per inferences over 15 min, by model: > 20 % warning"
        assert row[2].startswith("100 % qwen")
        assert "0 % to 100 % in the last hour" in text
        [path] = re.findall(r'<path class="line s1" d="([^"]+)"', text)
        heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]
        assert len(heights) == 7
        assert heights == sorted(heights, reverse=True)
        assert (heights[0], heights[-1]) == (1000, 0)

    def test_few_samples_are_no_last_value_where_others_have_enough(self, operator: Client) -> None:
        make(about("errors", "ratio", per="inferences", window=5, by=("model",), warning=0.2, least=5))
        calls(2, 5, model="llama")
        calls(2, 1, model="qwen", status="error")
        ruling.judge(2)
        assert rows(page(operator, LIST))["calls"][2].startswith("0 % llama")

    def test_it_says_until_when_it_was_judged_and_when_it_is_next(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = make()
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM alerts_judged")
        assert rows(page(operator, LIST))["calls"][4] == "not judged yet"
        ruling.switch(made, "paused", minute=1)
        ruling.switch(made, "on", minute=1.6)
        ruling.judge(2)
        for seconds, words in ((40, "in 50 s done until 12:02"), (91, "in 14 s done until 12:02"),
                               (119, "in 1 s done until 12:02"), (150, "1 min late done until 12:02")):  # fmt: skip
            now = at(2) + timedelta(seconds=seconds)
            with monkeypatch.context() as patch:
                patch.setattr("alerts.rule_lists.timezone.now", lambda now=now: now)
                assert rows(page(operator, LIST))["calls"][4] == words, seconds

    def test_it_asks_as_much_for_twenty_five_as_for_two(self, operator: Client) -> None:
        def asked() -> int:
            operator.get(LIST)
            rule_states._known.clear()
            with CaptureQueriesContext(connection) as found:
                page(operator, LIST)
            return len(found)

        kinds = [about(), about("errors", "ratio", per="inferences", by=("model",), window=60),
                 about("cockpit_gpu_up", "avg", by=("gpu",)), about("cost", "sum", change="week")]  # fmt: skip
        for number in range(4):
            make(kinds[number], name=f"r{number}")
        few = asked()
        for number in range(4, 25):
            made = make(kinds[number % 4], name=f"r{number}")
            force(made, "ok", "warning")
        assert asked() == few <= 34

    def test_a_store_that_does_not_answer_costs_the_values_alone(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        force(make(), "warning")

        def away(*_: Any, **__: Any) -> Any:
            raise DatabaseError

        monkeypatch.setattr(gauging, "read", away)
        assert rows(page(operator, LIST))["calls"][1:3] == ["warning", "no data"]

    def test_pausing_many_asks_once_and_switching_on_does_not(self, operator: Client) -> None:
        first, second = make(name="first"), make(name="second")
        calls(2, 6)
        ruling.judge(2)
        ids = {"_selected_action": [first, second], "index": 0}
        assert [one.status for one in ruling.alerts()] == ["firing", "firing"]
        text = post(operator, LIST, {"action": "pause", **ids})
        assert "2 alerts</b> are over with it." in text
        assert "<b>first</b>" in text
        assert the(first).state == "on"
        assert "2 rules: paused." in post(operator, LIST, {"action": "pause", "confirmed": "yes", **ids})
        assert [one.status for one in ruling.alerts()] == ["resolved", "resolved"]
        assert "2 rules: switched on" in post(operator, LIST, {"action": "on", **ids})
        assert [the(one).state for one in (first, second)] == ["on", "on"]
        assert "None of them is yours to switch on" in post(operator, LIST, {"action": "on", **ids})
        assert "Choose rules, and what to do" in post(operator, LIST, {"action": "retire", **ids})

    def test_nothing_there_is_said_as_such(self, operator: Client) -> None:
        assert "There is no rule yet" in page(operator, LIST)


def figures(text: str) -> dict[str, list[str]]:
    """The figures of a simulation, a value for each version."""
    table = text.split('class="rule-figures"', 1)[1].split("</table>", 1)[0]
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table)
    return {name: [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", cells)]
            for name, cells in found}  # fmt: skip


# Three hours ago, in minutes from the noon.
BEGAN = int((timezone.now() - timedelta(hours=3) - ruling.NOON) / MINUTE)


def past(*minutes: int, number: int = 8, **more: Any) -> None:
    """As many calls in each of these minutes since then, and one in all others of an hour."""
    store([ruling.one_call(BEGAN + minute, **more) for minute in range(1, 61)
           for _ in range(number if minute in minutes else 1)])  # fmt: skip


def began(minute: int) -> datetime:
    return at(BEGAN + minute)


class TestSimulate:
    def test_its_figures_are_those_of_the_rehearsal_and_nothing_is_saved(self, operator: Client) -> None:
        past(10, 11, 12, 30)
        text = post(operator, ADD, wish(about(), simulate="yes", days_back="1"))
        rule = ruling.unsaved(about())
        with Scope.of(OWN).enter():
            end = gauging.minute_of(timezone.now(), 30)
            minutes = simulation.minutes(rule, end - timedelta(days=1), end)
        expected = rehearsal.rehearse(rule, minutes)
        assert (len(expected.episodes), expected.minutes, expected.notices) == (2, 4, 4)
        shown = figures(text)
        assert shown["Episodes"] == ["2, 14.0 a week"]
        assert shown["In alarm"] == ["4 min, 0.3 % of the time"]
        assert shown["Notices a week"] == ["28.0"]
        assert shown["Beside past alerts"] == ["0 of 2 episodes met one; 0 of 0 alerts met no episode"]
        assert "It would have fired 2 times in the last 1 day" in text
        assert re.search(r"1440 minutes judged in \d+\.\d\d s; nothing was saved", text)
        assert text.count("rule-band rule-band--warn") == 2
        proposed = rehearsal.proposal(rule, minutes)
        assert f"With warning beyond <b>{proposed:g}</b>" in text
        assert stored() == []

    def test_the_proposed_threshold_is_put_into_the_form(self, operator: Client) -> None:
        past(10, 20, 30, 40)
        given = wish(about(warning_clear=3.0, critical=6.0), simulate="yes", days_back="1")
        [take] = re.findall(r'name="take" value="([^"]+)"', post(operator, ADD, given))
        assert take == "warning=8"
        del given["simulate"]
        text = post(operator, ADD, {**given, "take": take})
        again = Filled(text).fields
        assert {name: again[name] for name in rule_entries.THRESHOLDS} == {
            "warning": "8", "warning_clear": "", "critical": "", "critical_clear": "",
        }  # fmt: skip
        assert "The form has the threshold" in text
        assert figures(text)["Episodes"] == ["0, 0.0 a week"]
        assert stored() == []
        assert "The rule mine is on" in post(operator, ADD, {**again, "name": "mine", "save": "yes"})

    def test_a_critical_that_the_proposal_takes_out_is_told_of(self, operator: Client) -> None:
        given = wish(about(critical=6.0, critical_clear=5.5), take="warning=8")
        text = post(operator, ADD, given)
        assert "The critical threshold 6 was taken out: it does not go with that warning." in text
        again = Filled(text).fields
        assert (again["warning"], again["critical"], again["critical_clear"]) == ("8", "", "")
        for critical in (50.0, None):
            text = post(operator, ADD, wish(about(critical=critical), take="warning=8"))
            assert "was taken out" not in text

    def test_no_threshold_is_proposed_where_silence_alone_says_too_much(self, operator: Client) -> None:
        past(model="llama")
        given = wish(about(no_data="alert", silent=5), simulate="yes", days_back="1")
        text = post(operator, ADD, given)
        assert figures(text)["Episodes"] == ["2, 14.0 a week"]
        assert "No threshold is proposed: silence alone would have made it fire more than twice a week." in text
        assert 'name="take"' not in text
        assert "No threshold is proposed" not in post(operator, ADD, {**given, "no_data": "ok"})

    def test_a_critical_that_is_still_worse_stays(self, operator: Client) -> None:
        past(10, 20, 30)
        given = wish(about(critical=50.0), take="warning=8")
        again = Filled(post(operator, ADD, given)).fields
        assert (again["warning"], again["critical"]) == ("8", "50")

    @pytest.mark.parametrize("take", ["", "x", "warning=", "window=5m", "warning=x"])
    def test_what_is_no_proposal_is_no_harm(self, operator: Client, take: str) -> None:
        text = post(operator, ADD, wish(take=take))
        assert Filled(text).fields["window"] == "15m"
        assert stored() == []

    def test_the_saved_version_stands_beside_the_one_in_the_form(self, operator: Client) -> None:
        past(10, 11, 30)
        made = make(about(warning=5))
        text = post(operator, address(made), wish(about(warning=20), name="", simulate="yes", days_back="1"))
        shown = figures(text)
        assert shown["Fires"] == ["> 5 inferences warning", "> 20 inferences warning"]
        assert shown["Episodes"] == ["2, 14.0 a week", "0, 0.0 a week"]
        assert text.count('class="chart rule-chart"') == 2
        assert re.findall(r"<h3>(As saved|In the form)</h3>", text) == ["As saved", "In the form"]
        assert "It would have kept silent." in text
        assert (the(made).version, definition(the(made)).condition.warning) == (1, 5.0)
        other = figures(post(operator, address(made), wish(about("errors", "sum"), simulate="yes", days_back="1")))
        assert other["Episodes"] == ["2, 14.0 a week", "0, 0.0 a week"]
        alone = figures(post(operator, address(made), wish(about(warning=5), simulate="yes", days_back="1")))
        assert alone["Episodes"] == ["2, 14.0 a week"]

    def test_past_alerts_that_it_meets_are_counted(self, operator: Client) -> None:
        past(10, 11, 30)
        for first, last, source, organization in (
            (9, 12, "live", OWN), (50, 55, "live", OWN), (30, 31, "demo", OWN), (30, 31, "live", OTHER),
            (-9000, -8000, "live", OWN),
        ):  # fmt: skip
            alert = fire(str(uuid4()), organization=organization).state.id
            with EVERYONE.enter():
                Alert.objects.filter(pk=alert).update(first_seen_at=began(first), resolved_at=began(last),
                                                      source=source, status="resolved")  # fmt: skip
        shown = figures(post(operator, ADD, wish(about(), simulate="yes", days_back="1")))
        assert shown["Beside past alerts"] == ["1 of 2 episodes met one; 1 of 2 alerts met no episode"]

    def test_past_alerts_of_its_own_are_counted_apart(self, operator: Client) -> None:
        past(10, 30)
        made, other = make(), make(name="other")
        for rule, first in ((made, 10), (made, 50), (other, 30)):
            alert = fire(str(uuid4()), metadata={"ruleId": str(rule)}).state.id
            with EVERYONE.enter():
                Alert.objects.filter(pk=alert).update(first_seen_at=began(first), resolved_at=began(first + 1),
                                                      status="resolved")  # fmt: skip
        given = wish(about(), simulate="yes", days_back="1")
        shown = figures(post(operator, address(made), given))
        assert shown["Beside past alerts"] == [
            "2 of 2 episodes met one; 1 of 3 alerts met no episode, of its own 1 of 2"
        ]
        shown = figures(post(operator, ADD, given))
        assert shown["Beside past alerts"] == ["2 of 2 episodes met one; 1 of 3 alerts met no episode"]

    @pytest.mark.parametrize(("offset", "met"), [(30, 0), (300, 1)])
    def test_past_alerts_are_met_when_a_minute_was_judged(self, operator: Client, offset: int, met: int) -> None:
        """Which is after its data were waited for."""
        past(10)
        alert = fire(str(uuid4())).state.id
        with EVERYONE.enter():
            Alert.objects.filter(pk=alert).update(first_seen_at=began(15) + timedelta(seconds=5), status="resolved",
                                                  resolved_at=began(16) + timedelta(seconds=5))  # fmt: skip
        given = wish(about(offset=offset), simulate="yes", days_back="1")
        shown = figures(post(operator, ADD, given))
        assert shown["Beside past alerts"] == [f"{met} of 1 episodes met one; {1 - met} of 1 alerts met no episode"]

    @pytest.mark.parametrize(
        ("kept", "window", "change", "days"),
        [(90, 1, "", 7), (4, 1, "", 3), (4, 1440, "", 2), (4, 720, "previous", 2), (2, 1440, "previous", 0),
         (8, 1, "week", 0), (9, 1, "week", 1)],
    )  # fmt: skip
    def test_days_of_which_minutes_are_not_kept_are_left_out(
        self, operator: Client, kept: int, window: int, change: Any, days: int
    ) -> None:
        """An hour is all that is known of what happened in it, and would be a minute as busy as that."""
        past(10)
        for day in range(1, 7):
            store([ruling.one_call(BEGAN - 1440 * day + 13 * minute) for minute in range(1, 61) for _ in range(4)])
        current_store().fold()
        Organization.objects.filter(pk=OWN).update(minute_days=kept)
        retention.forget()
        one = about(window=window, change=change, warning=10 * window)
        text = post(operator, ADD, wish(one, simulate="yes", days_back="7"))
        if not days:
            assert "Nothing to see of the last 7 days" in text
            assert "Minutes are not kept for as long as it takes to judge even one day" in text
            return
        assert figures(text)["Episodes"] == ["0, 0.0 a week"]
        assert f"{days * 1440} minutes judged" in text
        assert (f"Only {days} of the 7 days that were asked for: minutes are not kept for longer" in text) == (days < 7)

    def test_demo_data_are_offered_where_there_are_any_and_never_mixed(self, operator: Client) -> None:
        past(10)
        assert 'name="source"' not in page(operator, ADD)
        past(20, 30, source="demo")
        assert 'name="source"' in page(operator, ADD)
        for source, number in (("live", "1, 7.0 a week"), ("demo", "2, 14.0 a week"), ("nonsense", "1, 7.0 a week")):
            text = post(operator, ADD, wish(about(), simulate="yes", days_back="1", source=source))
            assert figures(text)["Episodes"] == [number]
            assert ("demo data, " in text) == (source == "demo")

    def test_groups_are_drawn_and_told_apart(self, operator: Client) -> None:
        past(10, model="llama")
        past(30, model="qwen")
        text = post(operator, ADD, wish(about(by=("model",)), simulate="yes", days_back="1"))
        assert re.findall(r'class="rule-key s\d">(\w+)<', text) == ["llama", "qwen"]
        told = text.split('class="told rule-told" tabindex="0"', 1)[1].split("</ol>", 1)[0]
        assert re.findall(r"<p><b>(\w+)</b> 8 inferences", told) == ["qwen", "llama"]

    def test_with_faults_there_is_none(self, operator: Client) -> None:
        text = post(operator, ADD, wish(window="soon", name="", simulate="yes"))
        assert faults(text) == ["The window must be a length of time such as 5m, 2h or 1d."]
        assert 'id="desk-replay"' not in text

    def test_where_nothing_was_recorded_that_is_said(self, operator: Client) -> None:
        text = post(operator, ADD, wish(about(), simulate="yes"))
        assert "Nothing to see of the last 7 days" in text
        assert "Nothing of it was recorded in that time." in text
        silent = wish(about(no_data="alert"), simulate="yes")
        assert figures(post(operator, ADD, silent))["Episodes"] == ["1, 1.0 a week"]

    def test_more_than_a_request_has_time_for_is_not_begun(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        past(10)
        monkeypatch.setattr(rule_replays, "MOST_WORK", 7 * 1440)
        text = post(operator, ADD, wish(about(), simulate="yes"))
        assert "There are too many series in that time" in text
        assert figures(post(operator, ADD, wish(about(), simulate="yes", days_back="1")))["Episodes"]

    def test_a_threshold_is_looked_for_only_while_there_is_time(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        past(10)
        monkeypatch.setattr(rule_replays, "_PATIENCE", 0.0)
        text = post(operator, ADD, wish(about(), simulate="yes", days_back="1"))
        assert "No threshold was looked for" in text
        assert 'name="take"' not in text
        assert figures(text)["Episodes"] == ["1, 7.0 a week"]

    def test_a_store_that_does_not_answer_is_said(self, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: Any, **__: Any) -> Any:
            raise DatabaseError

        monkeypatch.setattr(simulation, "minutes", away)
        assert "The store did not answer in time" in post(operator, ADD, wish(about(), simulate="yes"))

    def test_a_retired_rule_has_no_form(self, operator: Client) -> None:
        made = make()
        ruling.switch(made, "retired", minute=2)
        text = page(operator, address(made))
        assert "rule-form" not in text
        assert "cannot be changed any more" in post(operator, address(made), wish(simulate="yes"))


class TestPage:
    def test_it_tells_how_each_group_stands_and_why(self, operator: Client) -> None:
        made = make(about(by=("model",)))
        for minute in (2, 3):
            calls(minute, 7, model="llama")
            calls(minute, 2, model="qwen")
            ruling.judge(minute)
        text = page(operator, address(made))
        groups = text.split('data-live="groups"', 1)[1].split("</section>", 1)[0]
        assert re.findall(r'class="tag tag--\w+">(\w+)<', groups) == ["warning", "ok"]
        assert re.findall(r"<b>(\w+)</b> (\d) inferences", groups) == [("llama", "7"), ("qwen", "2")]
        assert "The value is beyond a threshold." in groups
        [alert] = ruling.alerts()
        assert f"/admin/alerts/alert/{alert.pk}/change/" in groups
        assert "values at 12:03 UTC" in groups
        assert f"{address(made, 'why')}?group=llama" in groups
        assert "1 of 2 firing" in text

    def test_what_is_kept_and_what_has_no_value_is_told_as_it_is(self, operator: Client) -> None:
        kept = make(about(critical=10.0, keep=5), name="kept")
        alone = make(about(change="previous", no_data="alert", silent=1), name="alone")
        for minute, number in ((1, 11), (2, 6)):
            calls(minute, number)
            ruling.judge(minute)
        text = page(operator, address(kept))
        assert "The value is no longer critical, and it is kept so for a while." in text
        calls(7, 3)
        ruling.judge_each(3, 7)
        text = page(operator, address(alone))
        groups, changed = (text.split(f'data-live="{name}"', 1)[1].split("</section>", 1)[0]
                           for name in ("groups", "changed"))  # fmt: skip
        assert "No value could be made of what was measured." in groups
        assert "Nothing was measured." in changed

    def test_it_tells_what_changed_the_newest_first(self, operator: Client) -> None:
        made = make()
        for minute, number in ((2, 7), (3, 1), (4, 9)):
            calls(minute, number)
            ruling.judge(minute)
        changed = page(operator, address(made)).split('data-live="changed"', 1)[1].split("</section>", 1)[0]
        assert re.findall(r"(?:(\w+) → )?(\w+), (\d) inferences</p>", changed) == [
            ("ok", "warning", "9"),
            ("warning", "ok", "1"),
            ("ok", "warning", "7"),
        ]

    def test_it_tells_who_changed_what_and_when(self, operator: Client) -> None:
        made = make(about(warning=5))
        post(operator, address(made), wish(about(warning=7, hold=5, by=("model",)), name="calls"))
        post(operator, address(made), {"act": "pause", "confirmed": "yes"})
        post(operator, address(made), wish(about(warning=7, hold=5, by=("model",)), name="named anew"))
        told = page(operator, address(made)).split('id="desk-versions"', 1)[1].split("</section>", 1)[0]
        lines = re.findall(r'<b>(\d)</b> by <b>(\w+)</b>|class="moved quiet">(.*?)</p>', told)
        assert [" ".join(filter(None, line)) for line in lines] == [
            "4 operator", "its name or its owner", "3 operator", "state: on → paused",
            "2 operator", "by: – → model", "warning: 5 → 7", "hold: – → 5m",
            "1 tests", "made",
        ]  # fmt: skip

    def test_an_error_stands_above_all(self, operator: Client) -> None:
        made = make()
        fail(made)
        text = page(operator, address(made))
        assert "<b>It is not judged.</b> It could not be judged: KeyError." in text
        assert '<span class="tag tag--bad">error</span>' in text
        assert 'title="It could not be judged: KeyError."' in page(operator, LIST)

    def test_pausing_and_retiring_ask_and_end_its_alerts(self, operator: Client) -> None:
        made = make()
        calls(2, 6)
        ruling.judge(2)
        text = post(operator, address(made), {"act": "pause"})
        assert "<b>1 alert</b> is over with it." in text
        assert [one.status for one in ruling.alerts()] == ["firing"]
        assert "Paused." in post(operator, address(made), {"act": "pause", "confirmed": "yes"})
        assert [one.status for one in ruling.alerts()] == ["resolved"]
        assert "It is not judged while it is paused." in page(operator, address(made))
        assert "Switched on" in post(operator, address(made), {"act": "on"})
        assert "For good" in post(operator, address(made), {"act": "retire"})
        assert "Retired for good." in post(operator, address(made), {"act": "retire", "confirmed": "yes"})
        assert "cannot be changed any more" in post(operator, address(made), {"act": "on"})
        assert the(made).state == "retired"

    @pytest.mark.parametrize("act", ["", "on", "nonsense"])
    def test_what_cannot_be_done_is_said(self, operator: Client, act: str) -> None:
        made = make()
        assert "cannot be done to the rule as it is now" in post(operator, address(made), {"act": act})

    def test_somebody_who_was_quicker_is_told_of(self, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        made = make()

        def late(**_: Any) -> None:
            raise rulebook.Unsound({"name": "must be looked at again"})

        monkeypatch.setattr(rulebook, "switch", late)
        words = post(operator, address(made), {"act": "pause", "confirmed": "yes"})
        assert "Somebody else changed the rule meanwhile" in words
        form = {"action": "pause", "confirmed": "yes", "_selected_action": [made], "index": 0}
        assert "1 rule changed meanwhile" in post(operator, LIST, form)


def lately(minutes: float) -> float:
    """So many minutes ago, in minutes from the noon."""
    return (timezone.now() - ruling.NOON) / MINUTE - minutes


class TestHealth:
    def test_it_says_in_a_sentence_how_rules_are_judged(self, operator: Client) -> None:
        assert "No rule is on, so there is nothing to judge." in page(operator, HEALTH)
        make(minute=lately(1.6))
        assert "Rules are judged every 15 seconds, and none was judged yet." in page(operator, HEALTH)
        evaluation.evaluate(timezone.now())
        text = page(operator, HEALTH)
        every = "Rules are judged every 15 seconds, each minute once; the last time"
        assert re.search(rf"{every} \d+ s ago: 1 rule in \d+ ms", text)
        assert "95 % at most" in text

    def test_when_nobody_judges_that_is_said(self, operator: Client) -> None:
        make()
        ruling.judge(2)
        text = page(operator, HEALTH)
        assert "No rule was judged for" in text
        assert "beat and the workers may be away" in text
        assert "desk-head--bad" in text

    def test_its_figures_are_of_all_and_names_of_ones_own(self, people: dict[str, User]) -> None:
        for organization in (OWN, OTHER):
            make(minute=lately(1.6), organization=organization)
        evaluation.evaluate(timezone.now())
        mine, all_ = (page(signed_in(people[who]), HEALTH) for who in ("analyst", "root"))
        for text in (mine, all_):
            runs = text.split('class="rule-runs"', 1)[1].split("</table>", 1)[0]
            assert re.findall(r'<td class="n[^"]*">(.*?)</td>', runs)[3:] == ["2", "2", "0", "0"]
        cursors = [text.split('id="desk-cursors"', 1)[1].split("</section>", 1)[0] for text in (mine, all_)]
        assert ["SwaggyStacks" in each for each in cursors] == [True, True]
        assert ["ScientiaCapital" in each for each in cursors] == [False, True]
        assert "Waits 30 s for late data" in cursors[0]

    def test_rules_that_cannot_be_judged_are_counted(self, operator: Client) -> None:
        broken = make(minute=lately(1.6), name="broken")
        make(minute=lately(1.6))
        fail(broken)
        evaluation.evaluate(timezone.now())
        fail(broken)
        text = page(operator, HEALTH)
        assert "1 cannot be judged" in text
        ruling.ruin(broken)
        evaluation.evaluate(timezone.now() + 2 * MINUTE)
        assert "could not be judged." in page(operator, HEALTH)

    def test_it_asks_no_more_for_many_evaluations(self, operator: Client) -> None:
        make()
        for minute in (2, 3):
            ruling.judge(minute)

        def asked() -> int:
            operator.get(HEALTH)
            with CaptureQueriesContext(connection) as found:
                page(operator, HEALTH)
            return len(found)

        few = asked()
        ruling.judge_each(4, 20)
        assert asked() == few
