"""Slack: a message that is edited as its alert changes, where a bot may; one message an event through a webhook."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from alerts.channels.answers import demand_taken, retry_after
from alerts.channels.base import Answer, DeliveryError, Failure, Field, Notice, Receipt, Tools, Transport
from alerts.channels.slack_blocks import escaped, rendered
from alerts.channels.wording import happened, title, word

API_URL = "https://slack.com/api"
# What Slack says, by what follows from it. Whatever is in none of the rows is tried again.
_SAID: Mapping[Failure, str] = {
    "gone": "account_inactive token_revoked is_archived is_inactive channel_is_archived no_service no_service_id "
            "no_active_hooks no_team team_disabled team_not_found invalid_token",
    "client": "invalid_auth not_authed token_expired not_allowed_token_type missing_scope no_permission access_denied "
              "accesslimited channel_not_found not_in_channel user_not_found restricted_action "
              "restricted_action_read_only_channel restricted_action_thread_only_channel "
              "restricted_action_non_threadable_channel posting_to_general_channel_denied action_prohibited "
              "ekm_access_denied enterprise_is_restricted team_access_not_granted two_factor_setup_required "
              "method_deprecated deprecated_endpoint",
    "refused": "invalid_payload invalid_json invalid_arguments invalid_arg_name invalid_blocks invalid_blocks_format "
               "invalid_attachments invalid_form_data too_many_attachments msg_too_long msg_blocks_too_long no_text",
    "limited": "ratelimited rate_limited message_limit_exceeded",
    "server": "internal_error fatal_error service_unavailable request_timeout update_failed rollup_error "
              "team_added_to_org org_login_required external_channel_migrating",
}  # fmt: skip
_KINDS: Mapping[str, Failure] = {said: kind for kind, row in _SAID.items() for said in row.split()}
_UNSURE = frozenset({"internal_error", "fatal_error", ""})  # some of it may have been done
# The first message is not there, or may not be changed any more: a new one takes its place.
_UNEDITABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})


class _Said(Struct, frozen=True):
    """An answer, read: the word for why it was not taken, None when it was, "" when it says nothing."""

    answer: Answer
    found: Mapping[str, Any]
    word: str | None


def send(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    """By the bot where there is one, for it can do more."""
    hook, token, channel = (settings.get(name, "").strip() for name in ("url", "token", "channel"))
    if token and channel:
        return _by_bot(notice, settings, tools)
    if not hook:
        raise DeliveryError("settings", "Neither a webhook nor a bot token with a channel is set.")
    body = msgspec.json.encode(rendered(notice))
    said = _read(tools.client.post(hook, body, {"content-type": "application/json"}))
    _demand_taken(said, tools)
    return Receipt(status=said.answer.status, answer=said.answer.text)


def _by_bot(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    """The first message changed in place and a reply below it; a first message where there is none."""
    message, first = rendered(notice), _first(notice, settings)
    if first:
        changed = _call("chat.update", {**first, **message}, settings, tools)
        if changed.word not in _UNEDITABLE:
            _demand_taken(changed, tools)
            reply = _call("chat.postMessage", {"channel": first["channel"], **_reply(notice, first)}, settings, tools)
            _demand_taken(reply, tools)
            return Receipt(status=reply.answer.status, answer=reply.answer.text, reference=first)
    quiet = {"unfurl_links": False, "unfurl_media": False}
    posted = _call("chat.postMessage", {"channel": settings["channel"].strip(), **quiet, **message}, settings, tools)
    _demand_taken(posted, tools)
    reference = {name: str(posted.found[name]) for name in ("channel", "ts") if name in posted.found}
    return Receipt(status=posted.answer.status, answer=posted.answer.text, reference=reference)


def _first(notice: Notice, settings: Mapping[str, str]) -> dict[str, str]:
    """The message that is to be edited, if it stands in the channel that is set now."""
    channel, ts = notice.reference.get("channel"), notice.reference.get("ts")
    if not isinstance(channel, str) or not isinstance(ts, str) or channel != settings["channel"].strip():
        return {}
    return {"channel": channel, "ts": ts}


def _reply(notice: Notice, first: Mapping[str, str]) -> dict[str, Any]:
    """A line for the thread. That an alert fires again has to be seen in the channel, for an edit makes no sound."""
    text = escaped(happened(notice) or f"{word(notice)}: {title(notice)}", 1000)
    loud = {"reply_broadcast": True} if notice.event == "trigger" else {}
    return {"thread_ts": first["ts"], "text": text, "mrkdwn": False, "unfurl_links": False, **loud}


def _call(method: str, value: Mapping[str, Any], settings: Mapping[str, str], tools: Tools) -> _Said:
    url = f"{settings.get('api_url', '').strip().rstrip('/') or API_URL}/{method}"
    headers = {
        "content-type": "application/json; charset=utf-8",
        "authorization": f"Bearer {settings['token'].strip()}",
    }
    said = _read(tools.client.post(url, msgspec.json.encode(value), headers))
    return said if said.word is not None or said.found.get("ok") is True else _Said(said.answer, said.found, "")


def _read(answer: Answer) -> _Said:
    """The API says why in JSON, with any status; a webhook as plain text, with a status of its own."""
    taken = answer.status in range(200, 300)
    try:
        found = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Said(answer, {}, None if taken else answer.text.strip())
    error = found.get("error")
    word = error if isinstance(error, str) else ""
    return _Said(answer, found, None if taken and found.get("ok", True) is True else word)


def _demand_taken(said: _Said, tools: Tools) -> None:
    """Nothing when it was taken.

    Raises:
        DeliveryError: by the word that Slack says, else by the status.
    """
    answer, word = said.answer, said.word
    if word is None:
        return
    kind = _KINDS.get(word)
    if kind is None:
        demand_taken(answer, now=tools.now)
    words = f"Slack says {word}." if kind else "Slack did not take it; why is not known."
    raise DeliveryError(
        kind or "server",
        words,
        status=answer.status,
        answer=answer.text,
        retry_after=retry_after(answer, tools.now),
        unsure=word in _UNSURE,
    )


def token_problem(text: str) -> str | None:
    return None if re.fullmatch(r"xox[A-Za-z0-9.-]+", text) else "must be a token that begins with xox"


def channel_problem(text: str) -> str | None:
    return None if re.fullmatch(r"[CDG][A-Z0-9]{6,}", text) else "must be the ID of a channel, such as C0123456789"


def problem(settings: Mapping[str, str]) -> str | None:
    if settings.get("url") or (settings.get("token") and settings.get("channel")):
        return None
    return "Either an incoming webhook is needed, or a bot token and a channel ID"


TRANSPORT = Transport(
    kind="slack",
    title="Slack",
    summary="Messages in a Slack channel, by an incoming webhook or, edited as alerts change, by a bot.",
    fields=(
        Field(name="url", label="Incoming webhook", help="Either this, or a bot token and a channel.", secret=True,
              required=False, kind="url"),
        Field(name="token", label="Bot token", help="Of a bot with the scope chat:write that is in the channel.",
              secret=True, travels=True, required=False, problem=token_problem),
        Field(name="channel", label="Channel ID", help="Stands at the end of the details of the channel.",
              required=False, problem=channel_problem, longest=50),
        Field(name="api_url", label="API URL", help=f"{API_URL} without one.", required=False, kind="url"),
    ),
    send=send,
    problem=problem,
    per_minute=60,  # one a second and channel are let through
    burst=5,
    at_once=1,
)  # fmt: skip
