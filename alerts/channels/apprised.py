"""The Apprise library, held to services whose hosts it fixes itself, and to our own HTTP client."""

import importlib
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from time import monotonic
from types import ModuleType
from typing import Any, NoReturn

from alerts.channels.base import Answer, Client, DeliveryError, shortened
from alerts.channels.wording import PRODUCT

_ZOHO = (
    "cliq.zoho.com cliq.zoho.com.au cliq.zoho.com.cn cliq.zoho.eu cliq.zoho.in cliq.zoho.jp cliq.zoho.sa cliq.zoho.uk "
    "cliq.zohocloud.ca"
)
# A closed list, so that an update of the library opens nothing: each scheme and the only hosts that it may call. A
# scheme is here if its plugin takes no host from the URL, sends by POST alone, acts neither on this machine nor in
# public (no Mastodon, no X), and needs no file. The tests hold the list against the library that is installed.
SERVICES: Mapping[str, str] = {
    "46elks": "api.46elks.com",
    "atalk": "api.africastalking.com api.sandbox.africastalking.com content.africastalking.com",
    "azure": "graph.microsoft.com login.microsoftonline.com", "bale": "tapi.bale.ai", "brevo": "api.brevo.com",
    "bulksms": "api.bulksms.com", "bulkvs": "portal.bulkvs.com", "burstsms": "api.transmitsms.com",
    "chanify": "api.chanify.net", "clicksend": "rest.clicksend.com", "cliq": _ZOHO, "cm": "gw.messaging.cm.com",
    "d7sms": "api.d7networks.com", "dingtalk": "oapi.dingtalk.com", "discord": "discord.com",
    "dot": "dot.mindreset.tech", "eight00com": "api.800.com", "elks": "api.46elks.com",
    "exotel": "api.exotel.com api.in.exotel.com", "feishu": "open.feishu.cn",
    "firehydrant": "signals.firehydrant.com", "flock": "api.flock.co api.flock.com",
    "freemobile": "smsapi.free-mobile.fr", "gchat": "chat.googleapis.com", "github": "api.github.com",
    "groundmail": "api.groundmail.dev", "groupme": "api.groupme.com", "gupshup": "api.gupshup.io",
    "httpsms": "api.httpsms.com", "ifttt": "maker.ifttt.com", "ilert": "api.ilert.com",
    "incidentio": "api.incident.io", "jira": "api.atlassian.com", "join": "joinjoaomgcd.appspot.com",
    "kakao": "kapi.kakao.com kauth.kakao.com", "kakaotalk": "kapi.kakao.com kauth.kakao.com",
    "kaleyra": "api.eu.kaleyra.io api.in.kaleyra.io api.kaleyra.io",
    "klr": "api.eu.kaleyra.io api.in.kaleyra.io api.kaleyra.io", "kook": "www.kookapp.cn",
    "kudosity": "api.transmitsms.com", "kumulos": "messages.kumulos.com", "lark": "open.larksuite.com",
    "lauther": "api.lauther.id", "lfg": "api.lfg.gm", "line": "api.line.me", "mailersend": "api.mailersend.com",
    "mailgun": "api.eu.mailgun.net api.mailgun.net", "mobilemessage": "api.mobilemessage.com.au",
    "mobilemsg": "api.mobilemessage.com.au", "msg91": "control.msg91.com", "msgbird": "rest.messagebird.com",
    "nexmo": "rest.nexmo.com", "notifiarr": "notifiarr.com", "notifyapp": "push.getnotifyapp.com",
    "notifyre": "api.notifyre.com", "o365": "graph.microsoft.com login.microsoftonline.com",
    "octopush": "api.octopush.com", "onesignal": "api.onesignal.com",
    "opsgenie": "api.eu.opsgenie.com api.opsgenie.com", "pagerduty": "events.eu.pagerduty.com events.pagerduty.com",
    "pagertree": "api.pagertree.com", "pbul": "api.pushbullet.com",
    "pingram": "api.ca.pingram.io api.eu.pingram.io api.pingram.io", "plivo": "api.plivo.com",
    "postmark": "api.postmarkapp.com", "pover": "api.pushover.net", "prowl": "api.prowlapp.com",
    "psafers": "www.pushsafer.com", "push": "push.techulus.com", "pushed": "api.pushed.co", "pushme": "push.i-i.me",
    "pushplus": "www.pushplus.plus", "pushward": "api.pushward.app", "pushy": "api.pushy.me", "qq": "qmsg.zendee.cn",
    "resend": "api.resend.com", "revolt": "api.revolt.chat",
    "ringc": "platform.devtest.ringcentral.com platform.ringcentral.com", "schan": "sctapi.ftqq.com",
    "sendgrid": "api.sendgrid.com", "sendpulse": "api.sendpulse.com", "serwersms": "api2.serwersms.pl",
    "seven": "gateway.seven.io", "sfr": "www.dmc.sfr-sh.fr", "signalgrid": "api.signalgrid.co",
    "signl4": "connect.signl4.com", "simplepush": "api.simplepu.sh",
    "sinch": "eu.sms.api.sinch.com us.sms.api.sinch.com", "slack": "hooks.slack-gov.com hooks.slack.com slack.com",
    "smsc": "smsc.ru", "smstunnel": "smstunnel.io", "smtp2go": "api.smtp2go.com",
    "sparkpost": "api.eu.sparkpost.com api.sparkpost.com", "spike": "api.spike.sh", "splunk": "alert.victorops.com",
    "spugpush": "push.spug.dev", "spush": "api.simplepu.sh", "squadcast": "api.eu.squadcast.com api.squadcast.com",
    "stackfield": "www.stackfield.com", "telesign": "rest-ww.telesign.com", "telnyx": "api.telnyx.com",
    "tgram": "api.telegram.org", "threema": "msgapi.threema.ch", "twilio": "api.twilio.com",
    "viber": "chatapi.viber.com", "victorops": "alert.victorops.com", "vonage": "rest.nexmo.com",
    "webex": "api.ciscospark.com webexapis.com", "wecom": "www.pushplus.plus", "wecombot": "qyapi.weixin.qq.com",
    "whapi": "gate.whapi.cloud", "whatsapp": "graph.facebook.com", "wpush": "api.wpush.cn",
    "wxpusher": "wxpusher.zjiecode.com", "wxteams": "api.ciscospark.com webexapis.com", "youlmk": "youlmk.com",
    "zalo": "bot-api.zaloplatforms.com", "zcliq": _ZOHO, "zohocliq": _ZOHO, "zoom": "inbots.zoom.us",
}  # fmt: skip
SCHEMES: tuple[str, ...] = tuple(SERVICES)
# The only arguments that a URL may have: whom to tell, as whom, how urgently, how it looks. None of them names a file
# (as `template` does) or an address (`url`, `callback`), adds headers or payload (`+name`), or loosens what is decided
# here: `verify`, `redirect`, `retry`, `format`, `overflow`, `store`, `action`, `dedup`.
ARGUMENTS = frozenset((
    "to", "from", "source", "sender", "name", "cc", "bcc", "reply", "reply_to", "thread", "threadkey", "topic",
    "topic_code", "channel", "channels", "group", "route", "routing_key", "workspace", "botname", "bot_id", "tenant",
    "event", "company", "country", "profile", "app", "category", "labels", "assignees", "service", "location", "ping",
    "token", "key", "apikey", "secret", "sid", "login", "password", "client_key", "gwid", "spi", "integrationkey",
    "integration", "oauth_id", "oauth_secret", "push_key", "bot_token", "id", "priority", "sound", "level",
    "severity", "urgency", "urgent", "critical", "critical_volume", "volume", "vibration", "expire", "interval",
    "ttl", "validity", "repeat", "snooze", "badge", "silent", "info", "success", "warning", "failure", "preview",
    "batch", "blocks", "flash", "unicode", "translit", "tags", "subtitle", "region", "mode", "env", "method", "type",
    "gateway", "lang", "language", "media", "voice", "broadcast", "class", "component", "color", "max_parts",
    "purpose",
))  # fmt: skip
# Without a chat, Telegram's plugin would tell whoever wrote to the bot first.
_FORCED: Mapping[str, Mapping[str, Any]] = {"tgram": {"detect_owner": False}}
_URL = re.compile(r"([a-z0-9]{1,32})://[!-\[\]-~]+", re.IGNORECASE)  # printable ASCII, no space, no backslash
_GUIDE = "https://appriseit.com/services/"


class Unfit(ValueError):
    """A URL that will not do; the message says what it must be, for who types it."""


class Call:
    """One notice on its way: what it may call, until when, and what came of it last."""

    def __init__(self, scheme: str, client: Client, seconds: float) -> None:
        self.origins, self.client, self.until = origins(scheme), client, monotonic() + seconds
        self.last: Answer | DeliveryError | None = None

    @contextmanager
    def on_its_way(self) -> Iterator[None]:
        """What plugins send in here, in this thread, is sent by this call."""
        token = _CALL.set(self)
        try:
            yield
        finally:
            _CALL.reset(token)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer.

        Raises:
            DeliveryError: as the client does; address for another host; timeout when the time is over.
        """
        try:
            if not url.startswith(self.origins):
                raise DeliveryError("address", "The plugin wanted to call another host than its service's.")
            if monotonic() >= self.until:
                raise DeliveryError("timeout", "The service did not answer in time.", unsure=True)
            self.last = self.client.post(url, body, headers)
        except DeliveryError as error:
            self.last = error
            raise
        return self.last


_CALL: ContextVar[Call] = ContextVar("apprise_call")


class _Requests:
    """What plugins find in the place of `requests`: it sends through our own client, or not at all.

    So there are no redirects, proxies, passwords of the environment, private addresses and unverified certificates,
    whatever a plugin or its URL asks for, and no answer without end.
    """

    def __init__(self, real: ModuleType) -> None:
        self._real = real
        self.codes, self.exceptions, self.RequestException = real.codes, real.exceptions, real.RequestException

    def post(self, url: str, **given: Any) -> Any:
        return self.request("POST", url, **given)

    def request(self, method: str, url: str, **given: Any) -> Any:
        wanted = {name: given[name] for name in ("headers", "files", "data", "params", "auth", "json") if name in given}
        asked = self._real.Request(method.upper(), url, **wanted).prepare()
        call, body = _CALL.get(None), asked.body or b""
        if call is None or asked.method != "POST" or not isinstance(body, str | bytes):
            self._refuse()
        try:
            answer = call.post(asked.url, body.encode() if isinstance(body, str) else body, _texts(asked.headers))
        except DeliveryError as error:
            raise self.RequestException(error.words) from None
        response = self._real.Response()
        response.status_code, response.url, response.encoding = answer.status, asked.url, "utf-8"
        response._content = answer.body  # the one way to make a response that has been read
        response.headers.update(answer.headers)
        return response

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        return self._refuse

    def _refuse(self, *_args: Any, **_given: Any) -> NoReturn:
        raise self.RequestException("The bridge takes POST alone.")


@cache
def apprise() -> ModuleType:
    """The library, loaded on first use: most of a second, 20 MB. Its plugins cannot send past us from then on.

    Raises:
        ImportError: it is not installed.
    """
    library, requests = importlib.import_module("apprise"), importlib.import_module("requests")
    # It logs URLs and payloads, some of it unmasked. What is to be learnt stands in the answers.
    library.logger.setLevel(logging.CRITICAL + 10)
    library.logger.propagate = False
    library.NotificationManager().load_modules()
    guarded = _Requests(requests)
    for name, module in list(sys.modules.items()):
        if name.startswith("apprise.") and getattr(module, "requests", None) is requests:
            module.requests = guarded  # type: ignore[attr-defined]
    return library


def origins(scheme: str) -> tuple[str, ...]:
    """What each URL that the scheme's plugin calls begins with: up to the slash no reader sees another host in it."""
    return tuple(f"https://{host}/" for host in SERVICES[scheme].split())


def scheme_of(url: str) -> str:
    """The scheme of a URL that may be one for us.

    Raises:
        Unfit: it is not.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise Unfit("must be a URL of Apprise, such as pover://user@token, without spaces and backslashes")
    scheme = match[1].lower()
    if scheme not in SERVICES:
        raise Unfit("must begin with a service whose host is fixed, such as pover:// or tgram://; this one is not")
    return scheme


def plugin_for(url: str, forced: Mapping[str, Any] = {}) -> Any:
    """The plugin for this URL, made of what was checked, and of nothing that is parsed a second time.

    Args:
        forced: settings of the plugin by name, whatever the URL says.

    Raises:
        Unfit: the URL will not do.
        ImportError: the library is not installed.
    """
    scheme, library = scheme_of(url), apprise()
    found = importlib.import_module("apprise.plugins").url_to_dict(url, secure_logging=True)
    if not found or found["schema"] != scheme:
        raise Unfit(f"must be written as {_GUIDE} says for this service")
    if "verify" in found["qsd"] or "redirect" in found["qsd"]:
        raise Unfit("must not have verify or redirect: certificates are always checked, redirects never followed")
    strange = sorted(found["qsd"].keys() - ARGUMENTS)
    if strange:
        raise Unfit(f"must not have the argument {shortened(strange[0], 40)}, which the bridge does not take")
    plugin = library.Apprise.instantiate({**found, **_FORCED.get(scheme, {}), **forced}, asset=_asset(library))
    if plugin is None:
        raise Unfit(f"must be complete, as {_GUIDE} says for this service")
    if len(plugin) > 1:
        raise Unfit("must name one receiver: make a channel for each, so that none is told twice when another fails")
    plugin.request_rate_per_sec = 0  # how often it sends is ours to say
    plugin.overflow_mode = library.OverflowMode.TRUNCATE
    return plugin


def _asset(library: ModuleType) -> Any:
    """How the library behaves: it keeps nothing, loads nothing, starts no threads and links to no pictures."""
    return library.AppriseAsset(
        app_id=PRODUCT,
        app_desc=PRODUCT,
        app_url="",
        image_url_mask="",
        image_url_logo="",
        image_path_mask=False,
        plugin_paths=[],
        storage_mode="memory",
        async_mode=False,
        service_timeout=0,
        secure_logging=True,
        http_redirects=False,
        interpret_emojis=False,
        allow_templates=False,
        pgp_autogen=False,
        pem_autogen=False,
    )


def _texts(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in headers.items()}
