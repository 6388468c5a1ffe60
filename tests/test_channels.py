"""What every channel sends, to the letter; that nothing from outside gets out of its place; and what answers mean."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from alerts.channels import TRANSPORTS, alertmanager, letters, pagerduty, slack_blocks, teams, title_of, webhook
from alerts.channels.answers import demand_taken, receipt, retry_after
from alerts.channels.base import DeliveryError, Failure, Notice, Receipt
from alerts.channels.http import HttpClient
from alerts.channels.pagerduty_back import Back, read_back, verify
from alerts.channels.wording import happened, lines, link, moment, one_line, span, text, timestamp
from cockpit.env import ROOT
from tests.notices import AUDIENCES, BEGAN, EVENTS, NOW, Posts, for_any_notice, notice, said, texts, tools
from tests.receiver import Receiver, answer

GOLDEN = ROOT / "tests" / "golden" / "channels.json"
KEY = "R0" * 16
HOOK = "https://hooks.slack.com/services/T0/B0/canary"
BOT = {"token": "xoxb-1-canary", "channel": "C0123456789"}
SECRET = webhook.PREFIX + base64.b64encode(b"k" * 32).decode()
OLD_SECRET = webhook.PREFIX + base64.b64encode(b"o" * 32).decode()
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "slack": {"url": HOOK},
    "pagerduty": {"routing_key": KEY},
    "webhook": {"url": "https://receiver.example/canary", "secret": SECRET},
    "alertmanager": {"url": "https://receiver.example/canary", "token": "canary-token"},
    "teams": {"url": "https://flows.example/canary?sig=canary"},
}
RENDERED: Mapping[str, Callable[[Notice], Any]] = {
    "slack": slack_blocks.rendered,
    "pagerduty": lambda one: pagerduty.rendered(one, SETTINGS["pagerduty"]),
    "webhook": webhook.rendered,
    "alertmanager": lambda one: [alertmanager.rendered(one, status=each) for each in alertmanager.statuses(one)],
    "teams": teams.rendered,
    "email": lambda one: {"subject": letters.subject(one), "plain": letters.plain(one), "html": letters.html(one)},
}


def golden() -> dict[str, Any]:
    """What stands in the file of what is sent; `python -m tests.test_channels` writes it anew, for eyes to compare."""
    return {
        f"{kind} {event} {audience}": render(notice(event, audience))
        for kind, render in RENDERED.items()
        for event in EVENTS
        if event in TRANSPORTS[kind].events
        for audience in AUDIENCES
    }


def sent(kind: str, one: Notice, client: Posts, settings: Mapping[str, str] | None = None) -> Receipt:
    return TRANSPORTS[kind].send(one, SETTINGS[kind] if settings is None else settings, tools(client))


def failure(kind: str, client: Posts, settings: Mapping[str, str] | None = None, **changes: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        sent(kind, notice(**changes), client, settings)
    return raised.value


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from (name, *strings(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def part(value: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    """Every object of a type in a JSON value."""
    if isinstance(value, Mapping):
        if value.get("type") == kind:
            yield value
        for item in value.values():
            yield from part(item, kind)
    elif isinstance(value, list):
        for item in value:
            yield from part(item, kind)


class TestGolden:
    @pytest.mark.parametrize("case", golden())
    def test_what_is_sent_is_what_was_looked_at(self, case: str) -> None:
        assert msgspec.to_builtins(golden()[case]) == json.loads(GOLDEN.read_text(encoding="utf-8"))[case]

    def test_every_case_stands_in_the_file_and_nothing_else(self) -> None:
        assert set(json.loads(GOLDEN.read_text(encoding="utf-8"))) == set(golden())

    @pytest.mark.parametrize("event", EVENTS)
    def test_an_executive_sees_no_labels_and_no_metadata_even_where_they_are_left_in(self, event: Any) -> None:
        one = notice(event, "executive", labels={"zone": "canary"}, metadata={"canary": "canary"})
        for kind, render in RENDERED.items():
            assert "canary" not in json.dumps(render(one)), kind


class TestStatuses:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (100, "server"), (301, "redirect"), (302, "redirect"), (303, "redirect"), (304, "redirect"),
            (307, "redirect"), (308, "redirect"), (400, "client"), (401, "client"), (403, "client"), (404, "client"),
            (405, "client"), (408, "server"), (410, "gone"), (413, "client"), (418, "client"), (422, "client"),
            (425, "server"), (429, "limited"), (451, "client"), (500, "server"), (501, "server"), (502, "server"),
            (503, "server"), (504, "server"), (529, "server"), (599, "server"), (600, "server"), (999, "server"),
        ],
    )  # fmt: skip
    def test_it_is_told_which_kind_of_failure_a_status_is(self, status: int, kind: Failure) -> None:
        with pytest.raises(DeliveryError) as raised:
            demand_taken(said(status, "why"), now=NOW)
        assert (raised.value.kind, raised.value.status, raised.value.answer) == (kind, status, "why")
        assert str(status) in raised.value.words
        assert raised.value.retry_after is None

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_it_takes_every_2xx_for_taken(self, status: int) -> None:
        assert receipt(said(status, "fine"), now=NOW) == Receipt(status=status, answer="fine")

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("120", 120), ("0", 0), (" 7 ", 7), ("1.5", 1.5), ("86400", 86400), ("1000000000", 86400),
            ("9" * 400, 86400), ("-5", None), ("nan", None), ("inf", None), ("1e3", None), ("", None), ("soon", None),
            ("120, 120", None), ("٣", None), ("1 2", None), ("\x00", None), ("0x10", None),
            (format_datetime(NOW.replace(microsecond=0) + timedelta(minutes=2), usegmt=True), 119.75),
            (format_datetime(NOW + timedelta(days=400), usegmt=True), 86400),
            (format_datetime(NOW - timedelta(minutes=2), usegmt=True), None),
            ("Sun, 01 Mar 2026 12:14:00 -0000", 74.75), ("Sun, 01 Mar 2026 13:14:00 +0100", 74.75),
            ("Sun, 99 Mar 2026 12:14:00 GMT", None), ("Mon", None), ("1 Jan 99999 00:00:00 GMT", None),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("status", [429, 503, 500])
    def test_it_honours_retry_after_up_to_a_day_and_ignores_garbage(
        self, header: str, seconds: float | None, status: int
    ) -> None:
        with pytest.raises(DeliveryError) as raised:
            demand_taken(said(status, retry_after=header), now=NOW)
        assert raised.value.retry_after == (None if seconds is None else pytest.approx(seconds))
        limited = status == 429 or (status == 503 and seconds is not None)
        assert raised.value.kind == ("limited" if limited else "server")

    @given(st.one_of(st.text(), st.datetimes().map(format_datetime), st.floats().map(str)))
    def test_it_reads_any_retry_after_without_a_fault(self, header: str) -> None:
        found = retry_after(said(429, retry_after=header), NOW)
        assert found is None or 0 <= found <= 86400

    @pytest.mark.parametrize("kind", SETTINGS)
    @pytest.mark.parametrize("status", [301, 400, 404, 410, 429, 500])
    def test_no_secret_is_told_when_a_send_fails(self, kind: str, status: int) -> None:
        error = failure(kind, Posts(said(status, "no")))
        for value in SETTINGS[kind].values():
            assert value not in str(error) + error.words
        assert "canary" not in error.words
        assert "://" not in error.words

    @pytest.mark.parametrize("kind", SETTINGS)
    def test_what_the_client_says_is_handed_on(self, kind: str) -> None:
        error = DeliveryError("dns", "the name has no address now")
        assert failure(kind, Posts(error)) is error

    @pytest.mark.parametrize("kind", TRANSPORTS)
    def test_without_settings_nothing_is_sent(self, kind: str) -> None:
        client = Posts()
        assert failure(kind, client, {}).kind == "settings"
        assert client.posts == []


WORST = ('"', "&", "<", "\\", "\n", "𝔘", "ü", "\u0085", "a b ", "\u202e", "👩‍👩‍👧‍👦", "Z͑ͫ̓ͪ̂ͫ")


class TestLongest:
    """Everything as long as it can be, of the letters that take most room."""

    @pytest.mark.parametrize("letter", WORST)
    @pytest.mark.parametrize("url", ["https://cockpit.example/" + "a" * 1900, "https://cockpit.example/42"])
    def test_even_that_is_inside_every_limit_with_its_link(self, letter: str, url: str) -> None:
        much = letter * 40_000
        one = notice("resolve", title=much, text=much, note=much, by=much, organization_name=much, alert_type=much,
                     facts=((much, much),) * 40, url=url, runbook=f"https://r.example/{'b' * 1500}")  # fmt: skip
        assert len(json.dumps(slack_blocks.rendered(one), ensure_ascii=False)) <= 9000
        assert len(msgspec.json.encode(teams.rendered(one))) <= 14_000
        assert all(len(msgspec.json.encode(each)) <= 512 * 1024 for each in pagerduty.rendered(one, {}))
        assert len(letters.subject(one)) < 300
        assert len(letters.html(one)) < 150_000
        for kind in ("slack", "teams", "email"):
            assert url in json.dumps(RENDERED[kind](one)), kind


class TestWording:
    @pytest.mark.parametrize(
        ("title", "told", "kept"),
        [
            ("It is slow", "It is slow", ""), ("It is slow (qwen)", "It  is\nslow", ""), ("Slow", "", ""),
            ("Slow", "It is slow", "It is slow"), ("a" * 101, "a" * 101, "a" * 101), ("a" * 100, "a" * 100, ""),
            ("a" * 99 + "…", "a" * 300, "a" * 300),
        ],
    )  # fmt: skip
    def test_what_the_title_says_is_not_said_again(self, title: str, told: str, kept: str) -> None:
        assert text(notice(title=title, text=told)) == kept

    @pytest.mark.parametrize(
        ("event", "changes", "words"),
        [
            ("trigger", {"by": "ada", "note": "n"}, ""), ("acknowledge", {"by": "", "note": ""}, "Acknowledged."),
            ("acknowledge", {"note": ""}, "Acknowledged by ada."),
            ("resolve", {"by": "", "note": " "}, "Resolved after 12 min."),
            ("resolve", {"ended_at": None}, "Resolved by ada: it was the cache"), ("test", {"by": "ada"}, ""),
        ],
    )  # fmt: skip
    def test_what_somebody_did_is_a_sentence(self, event: Any, changes: Mapping[str, Any], words: str) -> None:
        assert happened(notice(event, **changes)) == words

    @given(words=texts)
    def test_lines_hold_no_control_characters_and_one_line_is_one(self, words: str) -> None:
        kept = lines(words)
        assert not [each for each in kept if (ord(each) < 32 or 0x7F <= ord(each) < 0xA0) and each not in "\n\t"]
        assert len(f"x{one_line(words)}x".splitlines()) == 1
        assert not set("\u202e\u2066") & set(kept)

    @pytest.mark.parametrize(
        ("url", "found"),
        [
            ("https://a.example/b?c=d#e", "https://a.example/b?c=d#e"), ("HTTP://a.example", "HTTP://a.example"),
            (" https://a.example ", "https://a.example"), ("https://a.example/ü b", "https://a.example/%C3%BC%20b"),
            ("https://a.example/%20", "https://a.example/%20"), ("javascript:alert(1)", ""), ("https:///etc", ""),
            ("", ""), ("/alerts/1", ""), ("ftp://a.example", ""), ("https://a.example/\r\nX: y", None),
            ("https://a.example/" + "a" * 3000, ""), ('https://a.example/"><b', "https://a.example/%22%3E%3Cb"),
        ],
    )  # fmt: skip
    def test_a_link_is_one_or_is_none(self, url: str, found: str | None) -> None:
        assert link(url) == ("https://a.example/%0D%0AX:%20y" if found is None else found)

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(-5, "less than a minute"), (59, "less than a minute"), (60, "1 min"), (3599, "59 min"), (3600, "1 h 0 min"),
         (86399, "23 h 59 min"), (86400, "1 d 0 h"), (900000, "10 d 10 h")],
    )  # fmt: skip
    def test_a_span_is_told_in_its_two_largest_units(self, seconds: int, words: str) -> None:
        assert span(timedelta(seconds=seconds)) == words

    def test_times_are_utc_whatever_they_come_in(self) -> None:
        there = BEGAN.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
        assert timestamp(there) == "2026-03-01T12:00:05.250Z"
        assert moment(there) == "2026-03-01 12:00 UTC"


class TestSlack:
    @for_any_notice
    def test_any_text_stays_inside_the_limits_and_is_no_markup(self, one: Notice) -> None:
        message = slack_blocks.rendered(one)
        assert len(json.dumps(message, ensure_ascii=False)) <= 9000
        assert json.loads(msgspec.json.encode(message)) == message
        for each in strings(message):
            assert "<" not in each
            assert ">" not in each
            assert "&" not in each.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "") or "://" in each
        (header,) = part(message, "header")
        assert 1 <= len(header["text"]["text"]) <= 150
        for section in part(message, "section"):
            assert 1 <= len(section.get("text", {"text": "x"})["text"]) <= 3000
            assert len(section.get("fields", [])) <= 10
            assert all(1 <= len(each["text"]) <= 2000 for each in section.get("fields", []))
        for context in part(message, "context"):
            assert len(context["elements"]) <= 10
            assert all(each["text"] for each in context["elements"])
        buttons = list(part(message, "button"))
        assert all(len(each["text"]["text"]) <= 75 and len(each["url"]) <= 3000 for each in buttons)
        assert not one.url or [each for each in buttons if each["url"] == one.url]

    @given(texts, st.integers(2, 300))
    def test_escaping_cuts_between_characters(self, text: str, longest: int) -> None:
        cut = slack_blocks.escaped(text, longest)
        assert len(cut) <= longest
        plain = cut.removesuffix("…").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        assert text.startswith(plain)
        assert cut.endswith("…") or plain == text

    def test_the_status_stands_in_words_and_in_colour(self) -> None:
        seen = {}
        for event in ("trigger", "acknowledge", "resolve"):
            message = slack_blocks.rendered(notice(event))
            seen[message["blocks"][0]["text"]["text"].split(" ")[0]] = message["attachments"][0]["color"]
        assert list(seen) == ["CRITICAL", "ACKNOWLEDGED", "RESOLVED"]
        assert len(set(seen.values())) == 3

    def test_a_webhook_gets_one_message_and_leaves_nothing_to_find_it_by(self) -> None:
        client = Posts(said(200, "ok"))
        assert sent("slack", notice(), client) == Receipt(status=200, answer="ok")
        ((url, body, headers),) = client.posts
        assert (url, headers["content-type"]) == (HOOK, "application/json")
        assert json.loads(body) == slack_blocks.rendered(notice())

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (404, "no_service", "gone"), (410, "channel_is_archived", "gone"), (404, "channel_not_found", "client"),
            (403, "invalid_token", "gone"), (400, "invalid_token", "gone"), (403, "action_prohibited", "client"),
            (400, "invalid_payload", "refused"), (400, "too_many_attachments", "refused"), (400, "no_text", "refused"),
            (500, "rollup_error", "server"), (429, "", "limited"), (404, "<html>", "client"), (410, "what", "gone"),
            (400, "", "client"), (302, "", "redirect"), (503, "away", "server"), (200, '{"ok":false}', "server"),
            (200, '{"ok":false,"error":"ratelimited"}', "limited"),
        ],
    )  # fmt: skip
    def test_what_a_webhook_answers_is_read_by_its_word_and_then_by_its_status(
        self, status: int, body: str, kind: Failure
    ) -> None:
        error = failure("slack", Posts(said(status, body)))
        assert (error.kind, error.status, error.answer) == (kind, status, body)

    @pytest.mark.parametrize("body", ["ok", "", '{"ok":true}', "<html>", "[1]", b"\xff"])
    def test_a_webhook_that_answers_200_has_taken_it(self, body: str | bytes) -> None:
        assert sent("slack", notice(), Posts(said(200, body))).status == 200

    def test_a_bot_posts_and_remembers_where(self) -> None:
        client = Posts(said(200, '{"ok":true,"channel":"C0123456789","ts":"1.2","message":{}}'))
        taken = sent("slack", notice(), client, {**BOT, "url": HOOK})
        assert taken.reference == {"channel": "C0123456789", "ts": "1.2"}
        ((url, body, headers),) = client.posts
        assert url == "https://slack.com/api/chat.postMessage"
        assert headers["authorization"] == "Bearer xoxb-1-canary"
        assert json.loads(body).items() >= {"channel": "C0123456789", **slack_blocks.rendered(notice())}.items()

    @pytest.mark.parametrize(
        ("event", "reply"),
        [
            ("acknowledge", "Acknowledged by ada: looking at the cache"),
            ("resolve", "Resolved by ada after 12 min: it was the cache"),
            ("trigger", "CRITICAL: high_error_rate on qwen2.5:7b"),
        ],
    )
    def test_what_follows_is_an_edit_in_place_and_a_line_in_the_thread(self, event: Any, reply: str) -> None:
        client = Posts(said(200, '{"ok":true,"channel":"C0123456789","ts":"9.9"}'))
        reference = {"channel": "C0123456789", "ts": "1.2"}
        settings = {**BOT, "api_url": "http://127.0.0.1:9/api/"}
        taken = sent("slack", notice(event, reference=reference), client, settings)
        assert taken.reference == reference
        (edit_url, edit, _), (reply_url, answer, _) = client.posts
        assert (edit_url, reply_url) == (
            "http://127.0.0.1:9/api/chat.update",
            "http://127.0.0.1:9/api/chat.postMessage",
        )
        assert json.loads(edit) == {**reference, **slack_blocks.rendered(notice(event))}
        told = json.loads(answer)
        assert (told["channel"], told["thread_ts"], told["text"]) == ("C0123456789", "1.2", reply)
        assert told.get("reply_broadcast", False) == (event == "trigger")

    @pytest.mark.parametrize("word", ["message_not_found", "cant_update_message", "edit_window_closed"])
    def test_where_the_first_message_cannot_be_edited_a_new_one_takes_its_place(self, word: str) -> None:
        client = Posts(
            said(200, json.dumps({"ok": False, "error": word})),
            said(200, '{"ok":true,"channel":"C0123456789","ts":"3.4"}'),
        )
        taken = sent("slack", notice("resolve", reference={"channel": "C0123456789", "ts": "1.2"}), client, BOT)
        assert [url.rpartition("/")[2] for url, _, _ in client.posts] == ["chat.update", "chat.postMessage"]
        assert "thread_ts" not in json.loads(client.posts[1][1])
        assert taken.reference == {"channel": "C0123456789", "ts": "3.4"}

    @pytest.mark.parametrize(
        "reference", [{"channel": "C9999999999", "ts": "1.2"}, {"ts": "1.2"}, {"channel": 5, "ts": []}, {}]
    )
    def test_a_message_in_another_channel_is_left_alone(self, reference: Mapping[str, Any]) -> None:
        client = Posts(said(200, '{"ok":true,"channel":"C0123456789","ts":"3.4"}'))
        sent("slack", notice("resolve", reference=reference), client, BOT)
        assert [url.rpartition("/")[2] for url, _, _ in client.posts] == ["chat.postMessage"]

    @pytest.mark.parametrize(
        ("word", "kind"),
        [
            ("account_inactive", "gone"), ("token_revoked", "gone"), ("is_archived", "gone"),
            ("invalid_auth", "client"),
            ("channel_not_found", "client"), ("not_in_channel", "client"), ("missing_scope", "client"),
            ("msg_too_long", "refused"), ("invalid_blocks", "refused"), ("ratelimited", "limited"),
            ("rate_limited", "limited"), ("internal_error", "server"), ("fatal_error", "server"),
            ("something_new", "server"), ("", "server"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("reference", [{}, {"channel": "C0123456789", "ts": "1.2"}])
    def test_a_refusal_with_status_200_is_a_refusal(
        self, word: str, kind: Failure, reference: Mapping[str, str]
    ) -> None:
        answer = said(200, json.dumps({"ok": False, "error": word}), retry_after="30")
        error = failure("slack", Posts(answer), BOT, reference=reference)
        assert (error.kind, error.status) == (kind, 200)
        assert error.retry_after == 30
        assert "canary" not in error.words

    @pytest.mark.parametrize("body", ["ok", "", "[]", "{}", '{"ok":1}', '{"ok":"true"}', "<html>", '{"ts":"1.2"}'])
    def test_what_is_no_answer_of_the_api_is_not_taken_for_one(self, body: str) -> None:
        error = failure("slack", Posts(said(200, body)), BOT)
        assert (error.kind, error.unsure) == ("server", True)

    def test_429_of_the_api_waits_as_it_says(self) -> None:
        error = failure("slack", Posts(said(429, '{"ok":false,"error":"ratelimited"}', retry_after="3")), BOT)
        assert (error.kind, error.retry_after) == ("limited", 3)

    @pytest.mark.parametrize("settings", [{}, {"token": "xoxb-1-canary"}, {"channel": "C0123456789"}, {"url": " "}])
    def test_half_of_a_way_is_none(self, settings: Mapping[str, str]) -> None:
        assert failure("slack", Posts(), settings).kind == "settings"


class TestPagerDuty:
    @for_any_notice
    def test_any_text_stays_inside_the_limits(self, one: Notice) -> None:
        for event in pagerduty.rendered(one, SETTINGS["pagerduty"]):
            body = msgspec.json.encode(event)
            assert len(body) <= 512 * 1024
            assert json.loads(body)["dedup_key"] == one.dedup_key
            if event["event_action"] == "trigger":
                assert 1 <= len(event["payload"]["summary"]) <= 1024
                assert event["payload"]["severity"] in pagerduty.SEVERITIES
                assert all(each["href"].startswith("http") for each in event["links"])
            else:
                assert set(event) == {"routing_key", "event_action", "dedup_key"}

    def test_details_that_are_too_much_give_way_to_a_note(self) -> None:
        (event,) = pagerduty.rendered(notice(text="ü" * 300_000), SETTINGS["pagerduty"])
        assert set(event["payload"]["custom_details"]) == {"note"}
        assert event["links"][0]["href"] == "https://cockpit.example/alerts/42"

    @pytest.mark.parametrize(
        ("event", "actions"),
        [
            ("trigger", ["trigger"]), ("acknowledge", ["acknowledge"]), ("resolve", ["resolve"]),
            ("test", ["trigger", "resolve"]), ("summary", ["trigger", "resolve"]),
        ],
    )  # fmt: skip
    def test_what_belongs_to_no_alert_is_closed_at_once(self, event: Any, actions: list[str]) -> None:
        client = Posts(said(202, '{"status":"success"}'))
        assert sent("pagerduty", notice(event), client).status == 202
        bodies = [json.loads(body) for _, body, _ in client.posts]
        assert [body["event_action"] for body in bodies] == actions
        assert {body["dedup_key"] for body in bodies} == {notice(event).dedup_key}
        assert {body["routing_key"] for body in bodies} == {KEY}

    @pytest.mark.parametrize(
        ("settings", "url"),
        [
            ({}, "https://events.pagerduty.com/v2/enqueue"),
            ({"region": "us"}, "https://events.pagerduty.com/v2/enqueue"),
            ({"region": "eu"}, "https://events.eu.pagerduty.com/v2/enqueue"),
            ({"region": "moon"}, "https://events.pagerduty.com/v2/enqueue"),
            ({"region": "eu", "events_url": "http://127.0.0.1:1/x"}, "http://127.0.0.1:1/x"),
        ],
    )
    def test_it_calls_the_region_or_what_is_set_in_its_place(self, settings: Mapping[str, str], url: str) -> None:
        client = Posts(said(202))
        sent("pagerduty", notice(), client, {**SETTINGS["pagerduty"], **settings})
        assert client.posts[0][0] == url

    @pytest.mark.parametrize("ours", ["critical", "warning", "info"])
    @pytest.mark.parametrize(("chosen", "theirs"), [("", None), ("error", "error"), ("info", "info"), ("worst", None)])
    def test_severities_are_ours_unless_they_are_chosen(self, ours: Any, chosen: str, theirs: str | None) -> None:
        settings = {**SETTINGS["pagerduty"], f"severity_{ours}": chosen}
        (event,) = pagerduty.rendered(notice(severity=ours), settings)
        assert event["payload"]["severity"] == (theirs or ours)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, "refused"), (413, "refused"), (403, "client"), (429, "limited"), (500, "server"), (503, "server")],
    )
    def test_400_is_never_tried_again(self, status: int, kind: Failure) -> None:
        assert failure("pagerduty", Posts(said(status))).kind == kind

    @pytest.mark.parametrize(
        ("text", "fine"), [(KEY, True), (KEY[:-1], False), (KEY + "a", False), ("-" * 32, False), (KEY + "\n", False)]
    )
    def test_a_key_is_32_letters_and_digits(self, text: str, fine: bool) -> None:
        assert (pagerduty.key_problem(text) is None) == fine


class TestPagerDutyBack:
    SECRETS = ("first secret", "second")
    EVENT: Mapping[str, Any] = {
        "id": "5ac64822",
        "event_type": "incident.acknowledged",
        "resource_type": "incident",
        "occurred_at": "2026-03-01T12:10:00.169Z",
        "agent": {"id": "PLH1HKV", "summary": "Tenex Engineer", "type": "user_reference"},
        "client": None,
        "data": {"id": "PGR0VU2", "type": "incident", "number": 2, "incident_key": "swaggystacks:9f2c1e:ep3"},
    }

    def signed(self, body: bytes, *secrets: str) -> str:
        return ",".join(f"v1={hmac.new(each.encode(), body, hashlib.sha256).hexdigest()}" for each in secrets)

    def event(self, **changes: Any) -> bytes:
        return json.dumps({"event": {**self.EVENT, **changes}}).encode()

    def test_one_right_signature_is_enough(self) -> None:
        body = self.event()
        assert verify(body, self.signed(body, "second"), self.SECRETS)
        assert verify(body, self.signed(body, "unknown", "first secret"), self.SECRETS)
        assert verify(body, f"v2=00, {self.signed(body, 'second')} , v1=zz", self.SECRETS)

    def test_the_example_of_the_documentation_is_verified_as_it_says(self) -> None:
        # HMAC-SHA256 of a known key and text (RFC 4231, test case 2).
        digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        assert verify(b"what do ya want for nothing?", f"v1={digest}", ["Jefe"])

    @pytest.mark.parametrize("header", ["", "v1=", "v1", ",", "v1=" + "0" * 64, "v1=ü", "\x00", "v1=" + "0" * 65])
    def test_no_right_signature_is_none(self, header: str) -> None:
        assert not verify(self.event(), header, self.SECRETS)

    def test_another_body_another_secret_or_none_does_not_do(self) -> None:
        body = self.event()
        header = self.signed(body, "second")
        assert not verify(body + b" ", header, self.SECRETS)
        assert not verify(body, header, ["first secret"])
        assert not verify(body, header, [])
        assert not verify(body, self.signed(body, ""), [""])

    def test_signatures_beyond_a_few_are_not_worked_through(self) -> None:
        body = self.event()
        assert not verify(body, "v1=" + "0" * 64 + ("," + "v1=" + "0" * 64) * 20 + "," + self.signed(body, "second"),
                          self.SECRETS)  # fmt: skip

    def test_it_reads_who_did_what(self) -> None:
        assert read_back(self.event()) == Back(
            verb="acknowledge",
            dedup_key="swaggystacks:9f2c1e:ep3",
            by="Tenex Engineer",
            note="In PagerDuty, incident 2.",
            id="5ac64822",
            at=datetime.fromisoformat("2026-03-01T12:10:00.169+00:00"),
            person=True,
        )

    @pytest.mark.parametrize(
        ("event_type", "verb"),
        [
            ("incident.acknowledged", "acknowledge"), ("incident.unacknowledged", "unacknowledge"),
            ("incident.resolved", "resolve"), ("incident.reopened", "reopen"), ("incident.triggered", None),
            ("incident.annotated", None), ("pagey.ping", None), ("service.updated", None), ("", None), (7, None),
        ],
    )  # fmt: skip
    def test_it_knows_the_verbs_and_leaves_the_rest(self, event_type: Any, verb: str | None) -> None:
        back = read_back(self.event(event_type=event_type))
        assert (back.verb if back else None) == verb

    @pytest.mark.parametrize(
        "changes",
        [{"agent": None}, {"agent": {"summary": 5}}, {"id": None}, {"occurred_at": "today"}, {"occurred_at": 5},
         {"occurred_at": "2026-03-01T12:00:00"}, {"more": {"and": ["more"]}}],
    )  # fmt: skip
    def test_what_is_missing_or_odd_is_left_empty(self, changes: Mapping[str, Any]) -> None:
        back = read_back(self.event(**changes))
        assert back is not None
        assert back.dedup_key == "swaggystacks:9f2c1e:ep3"

    @pytest.mark.parametrize(
        "data", [None, [], {}, {"incident_key": None}, {"incident_key": ""}, {"incident_key": 5},
                 {"incident_key": "k" * 256}]
    )  # fmt: skip
    def test_an_incident_without_a_key_of_ours_is_none(self, data: Any) -> None:
        assert read_back(self.event(data=data)) is None

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"event":[]}'])
    def test_garbage_is_none(self, body: bytes) -> None:
        assert read_back(body) is None

    @given(st.recursive(st.one_of(st.none(), st.integers(), st.text()), lambda inner: st.dictionaries(
        st.sampled_from(("event", "data", "agent", "event_type", "incident_key", "summary")), inner)))  # fmt: skip
    def test_any_json_is_read_without_a_fault(self, value: Any) -> None:
        read_back(json.dumps(value).encode())


class TestWebhook:
    def verified(self, secret: str, client: Posts) -> Any:
        """What the reference library makes of the one post, at the time of the notice."""
        ((_, body, headers),) = client.posts
        return Webhook(secret).verify(body, dict(headers))

    @for_any_notice
    def test_any_text_is_one_json_that_the_reference_library_verifies(self, one: Notice) -> None:
        client = Posts()
        now = datetime.now(NOW.tzinfo)
        webhook.send(one, SETTINGS["webhook"], tools(client, now=now))
        body = self.verified(SECRET, client)
        assert body["data"]["title"] == one.title
        assert body["data"]["text"] == one.text
        assert [(each["name"], each["value"]) for each in body["data"]["facts"]] == list(one.facts)
        assert ("labels" in body["data"]) == (one.audience == "developer")
        headers = client.posts[0][2]
        assert headers["webhook-id"] == one.id
        assert headers["webhook-timestamp"] == str(int(now.timestamp()))
        assert all(value.isascii() and value.isprintable() for value in headers.values())

    @pytest.mark.parametrize(
        ("until", "both"),
        [(timedelta(hours=1), True), (timedelta(seconds=-1), False), (timedelta(0), False)],
    )
    def test_while_a_secret_is_changed_both_sign(self, until: timedelta, both: bool) -> None:
        now = datetime.now(NOW.tzinfo)
        settings = {**SETTINGS["webhook"], "previous_secret": OLD_SECRET, "previous_until": (now + until).isoformat()}
        client = Posts()
        webhook.send(notice(), settings, tools(client, now=now))
        assert len(client.posts[0][2]["webhook-signature"].split(" ")) == (2 if both else 1)
        assert self.verified(SECRET, client)["type"] == "alert.triggered"
        if both:
            assert self.verified(OLD_SECRET, client)["type"] == "alert.triggered"
        else:
            with pytest.raises(WebhookVerificationError):
                self.verified(OLD_SECRET, client)

    @pytest.mark.parametrize(
        "settings",
        [{"previous_secret": OLD_SECRET}, {"previous_secret": OLD_SECRET, "previous_until": "soon"},
         {"previous_secret": "old", "previous_until": "2999-01-01T00:00:00Z"},
         {"previous_until": "2999-01-01T00:00:00Z"}],
    )  # fmt: skip
    def test_half_of_a_change_is_none(self, settings: Mapping[str, str]) -> None:
        client = Posts()
        sent("webhook", notice(), client, {**SETTINGS["webhook"], **settings})
        assert client.posts[0][2]["webhook-signature"].count("v1,") == 1

    def test_a_time_without_a_zone_is_utc(self) -> None:
        until = (NOW + timedelta(minutes=1)).replace(tzinfo=None).isoformat()
        client = Posts()
        sent("webhook", notice(), client,
             {**SETTINGS["webhook"], "previous_secret": OLD_SECRET, "previous_until": until})  # fmt: skip
        assert client.posts[0][2]["webhook-signature"].count("v1,") == 2

    def test_the_id_stays_and_the_time_does_not(self) -> None:
        client = Posts()
        for later in (0, 60):
            webhook.send(notice(), SETTINGS["webhook"], tools(client, now=NOW + timedelta(seconds=later)))
        (_, first_body, first), (_, second_body, second) = client.posts
        assert first_body == second_body
        assert first["webhook-id"] == second["webhook-id"]
        assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
        assert first["webhook-signature"] != second["webhook-signature"]

    def test_a_new_secret_is_one_and_another_each_time(self) -> None:
        made = {webhook.new_secret() for _ in range(20)}
        assert len(made) == 20
        assert {webhook.secret_problem(each) for each in made} == {None}

    @pytest.mark.parametrize(
        "secret", ["", "whsec_", "whsec_ü", "secret", "whsec_" + "A" * 20, "whsec_A", "whsec_" + "A" * 200, SECRET[6:]]
    )
    def test_what_is_no_secret_is_said_to_be_none(self, secret: str) -> None:
        assert webhook.secret_problem(secret)

    @pytest.mark.parametrize("secret", ["whsec_", "canary", "whsec_A", "whsec_ü"])
    def test_nothing_is_sent_with_a_secret_that_is_none(self, secret: str) -> None:
        error = failure("webhook", Posts(), {**SETTINGS["webhook"], "secret": secret})
        assert error.kind == "settings"
        assert "canary" not in error.words


class TestAlertmanager:
    @for_any_notice
    def test_any_text_is_one_valid_message(self, one: Notice) -> None:
        for status in alertmanager.statuses(one):
            message = json.loads(msgspec.json.encode(alertmanager.rendered(one, status=status)))
            (alert,) = message["alerts"]
            assert (message["version"], message["truncatedAlerts"]) == ("4", 0)
            assert alert["labels"]["alertname"]
            assert alert["labels"]["severity"] == one.severity
            assert all(isinstance(each, str) for each in strings(alert["labels"]))
            assert (alert["endsAt"] == "0001-01-01T00:00:00Z") == (status == "firing")

    @pytest.mark.parametrize(
        ("event", "statuses"),
        [("trigger", ["firing"]), ("resolve", ["resolved"]), ("test", ["firing", "resolved"]),
         ("summary", ["firing", "resolved"])],
    )  # fmt: skip
    def test_what_belongs_to_no_alert_is_closed_at_once(self, event: Any, statuses: list[str]) -> None:
        client = Posts()
        sent("alertmanager", notice(event), client)
        bodies = [json.loads(body) for _, body, _ in client.posts]
        assert [body["status"] for body in bodies] == statuses
        assert len({body["groupKey"] for body in bodies}) == 1

    def test_a_token_is_sent_where_there_is_one(self) -> None:
        client = Posts()
        sent("alertmanager", notice(), client)
        sent("alertmanager", notice(), client, {"url": "https://receiver.example/", "receiver": "ours"})
        assert client.posts[0][2]["authorization"] == "Bearer canary-token"
        assert "authorization" not in client.posts[1][2]
        assert [json.loads(body)["receiver"] for _, body, _ in client.posts] == ["ai-development-cockpit", "ours"]

    def test_episodes_and_alerts_are_groups_of_their_own(self) -> None:
        keys = {alertmanager.rendered(notice(dedup_key=each), status="firing")["groupKey"] for each in ('a"', "b", "c")}
        assert len(keys) == 3

    def test_labels_from_outside_do_not_hide_what_it_is(self) -> None:
        one = notice(labels={"alertname": "Other", "severity": "none", "organization": "theirs", "region": "eu"})
        labels = alertmanager.rendered(one, status="firing")["commonLabels"]
        assert (labels["alertname"], labels["severity"], labels["organization"], labels["region"]) == (
            "high_error_rate", "critical", "swaggystacks", "eu")  # fmt: skip

    def test_nobody_is_told_of_an_acknowledgement(self) -> None:
        assert "acknowledge" not in TRANSPORTS["alertmanager"].events

    @pytest.mark.parametrize(("token", "fine"), [("abc.DEF-1", True), ("a b", False), ("a\nb", False), ("ü", False)])
    def test_a_token_is_what_a_header_may_hold(self, token: str, fine: bool) -> None:
        assert (alertmanager.token_problem(token) is None) == fine


class TestTeams:
    @for_any_notice
    def test_any_text_stays_inside_the_limit_and_in_runs_without_markup(self, one: Notice) -> None:
        message = teams.rendered(one)
        body = msgspec.json.encode(message)
        assert len(body) <= 14_000
        assert json.loads(body) == message
        (attachment,) = message["attachments"]
        card = attachment["content"]
        assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
        assert not list(part(card, "TextBlock"))
        assert not list(part(card, "FactSet"))
        for run in part(card, "TextRun"):
            assert run["text"]
            assert "\n" not in run["text"]
        urls = [each["url"] for each in card["actions"]]
        assert not one.url or one.url in urls
        assert all(url.startswith("http") for url in urls)

    def test_lines_stay_lines_up_to_a_point(self) -> None:
        message = teams.rendered(notice(text="\n".join(f"line {number}" for number in range(60)), facts=()))
        runs = [run["text"] for run in part(message, "TextRun")]
        assert "line 3" in runs
        assert len(runs) < 30

    @pytest.mark.parametrize("status", [200, 202])
    def test_a_workflow_that_was_started_has_taken_it(self, status: int) -> None:
        assert sent("teams", notice(), Posts(said(status, ""))) == Receipt(status=status)


class TestWire:
    """Over the real client to a real receiver."""

    @pytest.mark.parametrize(
        ("kind", "settings", "path"),
        [
            ("slack", {"url": "/hook"}, "/hook"), ("slack", {**BOT, "api_url": "/api"}, "/api/chat.postMessage"),
            ("pagerduty", {"routing_key": KEY, "events_url": "/v2/enqueue"}, "/v2/enqueue"),
            ("webhook", {"url": "/in", "secret": SECRET}, "/in"), ("alertmanager", {"url": "/in", "token": "t"}, "/in"),
            ("teams", {"url": "/flow?sig=canary"}, "/flow?sig=canary"),
        ],
    )  # fmt: skip
    def test_what_is_sent_arrives(self, kind: str, settings: Mapping[str, str], path: str) -> None:
        given = tools(HttpClient(loopback_only=True), now=datetime.now(NOW.tzinfo))
        with Receiver([answer(200, b'{"ok":true,"channel":"C0123456789","ts":"1.2"}')]) as receiver:
            there = {name: receiver.url(each) if each.startswith("/") else each for name, each in settings.items()}
            assert TRANSPORTS[kind].send(notice(), there, given).status == 200
            (request,) = receiver.requests
        assert (request.method, request.path) == ("POST", path)
        assert request.headers["content-type"].startswith("application/json")
        assert "high_error_rate" in json.dumps(json.loads(request.body))
        if kind == "webhook":
            Webhook(SECRET).verify(request.body, dict(request.headers))


class TestKinds:
    def test_each_is_found_by_its_name(self) -> None:
        assert {"slack", "pagerduty", "email", "teams", "webhook", "alertmanager"} <= set(TRANSPORTS)
        assert all(one.kind == kind for kind, one in TRANSPORTS.items())
        assert title_of("slack") == "Slack"
        assert title_of("pager") == "pager"

    @pytest.mark.parametrize("kind", TRANSPORTS)
    def test_each_can_be_asked_about_in_a_form(self, kind: str) -> None:
        one = TRANSPORTS[kind]
        names = [field.name for field in one.fields]
        assert len(names) == len(set(names))
        assert one.title
        assert one.summary.endswith(".")
        assert "test" in one.events
        assert "pulse" in one.events or {"trigger", "resolve", "summary"} <= set(one.events)
        for field in one.fields:
            assert field.label
            assert (field.kind == "choice") == bool(field.choices)

    def test_the_shapes_of_settings_are_checked(self) -> None:
        problems = {f"{kind}.{field.name}": field.problem for kind, one in TRANSPORTS.items() for field in one.fields}
        for name, fine, wrong in [
            ("slack.token", "xoxb-1-2", "bot"),
            ("slack.token", "xoxe.xoxb-1-2", "xoxb-1 2"),
            ("slack.channel", "C0123456789", "#alerts"),
            ("webhook.previous_until", "2026-03-01T12:00:00Z", "tomorrow"),
            ("webhook.secret", SECRET, "secret"),
            ("email.recipients", "ada@example.com\n\nbob@example.com", "ada"),
        ]:
            assert problems[name](fine) is None, name
            assert str(problems[name](wrong)).startswith("must be"), name

    def test_they_know_no_django_and_no_database(self) -> None:
        code = "import sys, alerts.channels; print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "alerts.channels.email" in loaded.stdout.split()
        assert not {"django", "psycopg", "requests", "alerts.models"} & set(loaded.stdout.split())

    @pytest.mark.parametrize("kind", SETTINGS)
    def test_texts_with_line_breaks_get_into_no_header(self, kind: str) -> None:
        evil = "x\r\nX-Evil: 1"
        client = Posts(said(200, "ok"))
        sent(kind, notice(title=evil, text=evil, by=evil, organization_name=evil, alert_type=evil), client)
        for url, _, headers in client.posts:
            assert "Evil" not in url + "".join([*headers, *headers.values()])


if __name__ == "__main__":
    kept = json.dumps(msgspec.to_builtins(golden()), ensure_ascii=False, indent=1)
    GOLDEN.write_text(kept + "\n", encoding="utf-8")
