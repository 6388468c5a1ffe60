"""The bridge to Apprise: a closed list of services that fix their hosts, through our own client, and not one word more.

What Apprise promises is held against the version that is installed; nothing here leaves this machine.
"""

import ast
import inspect
import json
import logging
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import apprise
import pytest
import requests
from apprise.plugins.pushover import NotifyPushover

from alerts.channels import apprised, bridge
from alerts.channels.addresses import parse_allowed
from alerts.channels.base import Answer, DeliveryError, Event, Failure, Notice, Receipt
from alerts.channels.http import HttpClient
from tests import receiver as says
from tests.notices import Posts, notice, said, tools
from tests.receiver import Receiver, Step

USER, TOKEN = "canaryuser" + "u" * 20, "canarytoken" + "t" * 19
PUSHOVER = f"pover://{USER}@{TOKEN}"
PAGERDUTY = "pagerduty://routing@key"
A, B = "a" * 32, "b" * 32
# One URL a scheme, complete enough to be sent by.
SAMPLES: Mapping[str, str] = {url.partition("://")[0]: url for url in f"""
    46elks://user:pass@+15551234556 atalk://user@apikey/11111111111 bale://123456789%3Aabcdefghij/987654321
    azure://me@example.com/tenant/client/secret/you@example.com o365://me@example.com/tenant/client/secret/you@example.com
    brevo://abcd:user@example.com/you@example.com bulksms://{A}:{B}@55555555555 bulkvs://user:pass@2222222222
    burstsms://{A}:{B}@66666666666/77777777777 kudosity://{A}:{B}@66666666666/77777777777 chanify://token
    clicksend://user:pass@33333333333333 cliq://1001.{A}.{B}/general zcliq://1001.{A}.{B}/general
    zohocliq://1001.{A}.{B}/general cm://0123abcd-4567-89ef-abcd-0123456789ab/15551234567 d7sms://token@33333333333333
    dingtalk://12345678 discord://{A}/{B}{B} dot://apikey@device_id eight00com://token@8888888888
    elks://user:pass@+15551234123 exotel://{A}:{B}@333333333 feishu://token
    firehydrant://{A}.{B}.{A} flock://tttttttttttttttttttttttt freemobile://user@password gchat://space/key/token
    github://{A}@owner/repository groundmail://abcd:user@example.com groupme://68ca900a7d17f9b9891a73af2a
    gupshup://DemoAPI:{A}@917834811114/15551234567 httpsms://token@2222222222 ifttt://WebHookID@EventID
    ilert://il1api0123456789abcdef0123456789abcdef incidentio://01GW2G3V0S59R238FAHPDS1R66/secret jira://apikey
    join://{A} kakao://{A}/{B} kakaotalk://{A}/{B} kaleyra://HXAP16XXXXXX97IN:{A}@KLRHXA/15551234567
    klr://HXAP16XXXXXX97IN:{A}@KLRHXA/15551234567 kook://{A}/1234567890123456
    kumulos://8b799edf-6f98-4d3a-9be7-2862fb4e5752/wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww lark://abcd-1234
    lauther://lpt_abc123 lfg://m9s346q3d25vt4f5v37e3s3e28jt97kb line://token/target mailersend://abcd:user@example.com
    mailgun://user@example.com/{A}-bbbbbbbb-cccccccc mobilemessage://user:pass@ALERTS/0412345678
    mobilemsg://user:pass@ALERTS/0412345678 msg91://tttttttttttttttttttt@aaaaaaaaaaaaaaaaaaaaaaa/15551232000
    msgbird://aaaaaaaaaaaaaaaaaaaaaaaaa/15551232000 nexmo://AChhhhhhhh:iiiiiiiiiiiiiiii@55555555555
    vonage://AChhhhhhhh:iiiiiiiiiiiiiiii@55555555555 notifiarr://apikey/123 notifyapp://GRPA1B2C/aB3dE5fG7hJ9kL2
    notifyre://abcdef1234567890/+15551234567 octopush://user@example.com/apikey/+0987654321 onesignal://appid@apikey/player
    opsgenie://apikey {PAGERDUTY} pagertree://int_xxxxxxxxxxx pbul://{A} pingram://pingram_sk_abc123/+15551235553
    plivo://aaaaaaaaaaaaaaaaaaaaaaaaa@{A}bbbbbbbb/15551231234 postmark://abcd:user@example.com {PUSHOVER}
    prowl://{A}aaaaaaaa psafers://gggggggggggggggggggg push://8b799edf-6f98-4d3a-9be7-2862fb4e5752 pushed://{A}/{B}{B}
    pushme://aaaaaa pushplus://{A} wecom://{A} pushward://hlk_abc123 pushy://apikey/topic qq://{A}
    resend://abcd:user@example.com revolt://iiiiiiiiiiiiiiiiiiiiiiii/?to=iiiiiiiiiiiiiiiiiiiiiiii
    ringc://18005554321:password@client_id/secret schan://12345678 sendgrid://abcd:user@example.com
    sendpulse://user@example.com/client_id/cs1 serwersms://user:pass@SenderA/%23456 seven://{A}/15551232000
    sfr://service_id:service_password@000/0000000000 signalgrid://CLIENTKEY/CHANNEL signl4://secret
    simplepush://AAAAAAAAAAAAAA/alerts spush://AAAAAAAAAAAAAA sinch://{A}:{B}@55555555555
    slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general smsc://login:password@+71234567890
    smstunnel://key_{A}/14155550123 smtp2go://user@example.com/{A}-bbbbbbbb-cccccccc sparkpost://user@example.com/{A}
    spike://{A} splunk://db@token victorops://db@token spugpush://{A} squadcast://7f550a9f4c44173a37664d938f1355f0f92a47a7
    stackfield://11111111-2222-3333-4444-555555555555 telesign://FFFFFFFF-EEEE-DDDD-1234-AB1234567890:abcd@15551234567
    telnyx://token@2222222222 tgram://123456789:abcdefg_hijklmnop/12345 threema://*THEGWID@secret/16134443333
    twilio://AC{A}:{B}@55555555555 viber://token/t10 webex://{A}{A}{A}{A}{A} wxteams://{A}{A}aaaaaaaaaaaaaaaa
    wecombot://botkey whapi://{A}/15551234567 whatsapp://{A}@12345/44444444444 wpush://WPUSHaaaaaaaaaaaaaaaaaaaaaaaaaaa
    wxpusher://AT_appid/123 youlmk://k_7hq2nk3f9qd8w4 zalo://123456789/abcdefghij/chat1 zoom://abcHook123/xyzVerify456
""".split()}  # fmt: skip
# An answer to every question that a plugin has before it sends: here is your token.
TOKENS = said(
    body=json.dumps({"access_token": "t", "token_type": "bearer", "expires_in": 3600, "mail": "me@example.com"})
)
# Those that lead to another host of the same service.
_ROOM = f"{'Bc10' * 50}/{'Y2lzY29zcGFyazovL3VzL1JPTU9NLzEyMzQ1Njc4OTAxMjM0'}"
OTHERS: Mapping[str, str] = {
    "flock": "flock://iiiiiiiiiiiiiiiiiiiiiiii/u:uuuuuuuuuuuu",
    "sinch": f"{SAMPLES['sinch']}?region=eu",
    "slack": "slack://xoxb-1234-1234-abc124/#general",
    "webex": f"webex://{_ROOM}",
    "wxteams": f"wxteams://{_ROOM}",
}
# Arguments that choose among hosts of one service.
_REGIONS = ("region", "env", "mode")
# Mail services: the part before the path is the domain of an address, and no host that is called.
_DOMAINS = {"mailgun", "sendpulse", "smtp2go", "sparkpost"}
# Modules that reach further than `requests`, which is ours; `requests.` would be a part of the real one.
_REACHING = ("socket", "ssl", "http", "urllib.request", "urllib3", "smtplib", "subprocess", "asyncio", "ctypes", "paho",
             "slixmpp", "websocket", "aiohttp", "requests.", "requests_", "shutil", "tempfile")  # fmt: skip
HOSTILE = ("evil.example", "https://evil.example/x", "//evil.example", "@evil.example", ".evil.example",
           "#@evil.example", "/etc/hostname", "file:///etc/hostname", "../../etc/hostname", "127.0.0.1:1",
           "\\evil.example")  # fmt: skip
_DANGEROUS = """
    json://evil.example jsons://evil.example xml://evil.example xmls://evil.example form://evil.example
    forms://evil.example apprise://evil.example/token apprises://evil.example/token ntfy://evil.example/topic
    ntfys://evil.example/topic ntfy://topic gotify://evil.example/token gotifys://evil.example/token
    matrix://user:pass@evil.example matrixs://user:pass@evil.example mmost://evil.example/token
    mmosts://evil.example/token mailto://user:pass@evil.example mailtos://user:pass@evil.example
    rocket://user:pass@evil.example/room rockets://user:pass@evil.example/room ncloud://user:pass@evil.example/user
    nctalks://user:pass@evil.example/room hassio://evil.example/token hassios://evil.example/token
    synology://evil.example/token mqtt://evil.example/topic mqtts://evil.example/topic amqp://evil.example/queue
    xmpp://user:pass@evil.example irc://evil.example/room rsyslog://evil.example syslog://local dbus:// qt:// kde://
    glib:// gio:// gnome:// windows:// macosx:// kodi://evil.example kodis://evil.example xbmc://evil.example
    emby://user:pass@evil.example jellyfin://user:pass@evil.example enigma2://evil.example growl://evil.example
    smpp://user:pass@evil.example:2775/1/2 signal://evil.example/15551234567/15551234567 bark://evil.example/key
    barks://evil.example/key pjet://evil.example/secret parsep://app:key@evil.example
    workflows://evil.example:443/workflow/signature infobip://key@evil.example/15551234567
    acs://key@evil.example/15551234567 xmatters://key@evil.example/id zulip://bot@evil.example/token/stream
    ryver://evil/token lametric://apikey@evil.example betterstack://token@evil.example
    trigvs://token/channel/evil.example fluxer://evil.example/id/token goalerts://evil.example/token
    evolution://key@evil.example/instance/15551234567 onebot://evil.example/1 humhubs://token@evil.example/1
    mastodon://token@evil.example misskey://token@evil.example tweet://a/b/c/d bluesky://user:pass
    reddit://user:pass@id/secret/sub fcm://project@token/?keyfile=/etc/passwd vapid://me@example.com blink1://
    nostr://key/relay sns://key/secret/us-east-1/15551234567 ses://me@example.com/key/secret/us-east-1
    psafer://gggggggggggggggggggg dapnet://user:pass@call kavenegar://key/15551234567 http://evil.example
    https://evil.example file:///etc/passwd
    https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ
    https://discord.com/api/webhooks/1234567890/abcdefghijklmnop
"""
DANGEROUS = _DANGEROUS.split()
REFUSED_ARGUMENTS = ("verify=no", "verify=yes", "VERIFY=no", "%76erify=no", "redirect=yes", "template=/etc/passwd",
                     "url=https://evil.example", "callback=https://evil.example", "webhook=x", "host=evil.example",
                     "port=80", "+Host=evil.example", "-x=y", ":x=y", "%2BHost=x", "cto=99", "rto=99", "retry=9",
                     "wait=9", "optional=yes", "overflow=split", "format=html", "emojis=yes", "store=yes",
                     "tz=UTC", "attach=/etc/passwd", "action=trigger", "dedup=x", "user=x", "detect=yes",
                     "to=a;verify=no", "image=yes")  # fmt: skip

_EVENTS = {"open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"}
_opened: list[str] = []
_watched = threading.Event()


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: there is no other way to see every file, and no way to take it off again."""
    if _watched.is_set() and event in _EVENTS and not str(arguments[0]).endswith((".py", ".pyc")):
        _opened.append(f"{event} {arguments[0]}")


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Files, connections and processes that plugins asked for meanwhile."""
    sys.addaudithook(_watch)
    _opened.clear()
    _watched.set()
    yield _opened
    _watched.clear()


def sent(url: str, client: Any, one: Notice | None = None, **changes: Any) -> Receipt:
    return bridge.send(one or notice(), {"url": url}, tools(client, **{"bridge": True, **changes}))


def failure(url: str, client: Any, one: Notice | None = None, **changes: Any) -> DeliveryError:
    """How it fails; nothing that is told of it names a part of the URL."""
    with pytest.raises(DeliveryError) as raised:
        sent(url, client, one, **changes)
    told = raised.value.words + "".join(traceback.format_exception(raised.value))
    assert "canary" not in told
    assert "\n" not in raised.value.words
    return raised.value


def hosts_called(url: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Where the plugin of this URL wants to go, when only it decides."""
    client = Posts(TOKENS)
    with monkeypatch.context() as patch:
        patch.setattr(apprised, "origins", lambda scheme: ("",))
        with suppress(DeliveryError):
            sent(url, client)
    return {"/".join(posted[0].split("/")[:3]) for posted in client.posts}


def plugin_class(scheme: str) -> Any:
    return apprise.NotificationManager()[scheme]


def arguments_of(scheme: str) -> list[str]:
    source = inspect.getsource(sys.modules[plugin_class(scheme).__module__])
    return sorted(name for name in apprised.ARGUMENTS if f'"{name}"' in source)


def with_argument(url: str, name: str, value: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


class TestClosedList:
    def test_it_is_sorted_and_every_scheme_has_a_sample(self) -> None:
        assert tuple(sorted(apprised.SERVICES)) == apprised.SCHEMES
        assert set(SAMPLES) == set(apprised.SERVICES)

    @pytest.mark.parametrize("scheme", apprised.SCHEMES)
    def test_each_scheme_calls_its_own_hosts_and_all_of_them(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        urls = [SAMPLES[scheme], OTHERS.get(scheme, SAMPLES[scheme])]
        for name in _REGIONS:
            values = plugin_class(scheme).template_args.get(name, {}).get("values", ())
            urls += [with_argument(SAMPLES[scheme], name, value) for value in values]
        called = set().union(*(hosts_called(url, monkeypatch) for url in urls))
        assert called
        assert called == {origin.rstrip("/") for origin in apprised.origins(scheme)}

    @pytest.mark.parametrize("scheme", apprised.SCHEMES)
    def test_no_part_of_the_url_changes_the_host_or_opens_anything(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch, opened: list[str]
    ) -> None:
        sample, own = SAMPLES[scheme], {origin.rstrip("/") for origin in apprised.origins(scheme)}
        rest = sample.partition("://")[2].partition("?")[0]
        urls = [
            with_argument(sample, name, quote(value, safe="")) for name in arguments_of(scheme) for value in HOSTILE
        ]
        for number, part in enumerate(parts := rest.replace("@", "/@").replace(":", "/:").split("/")):
            for value in HOSTILE:
                changed = [*parts[:number], f"{part[:1] if part[:1] in '@:' else ''}{quote(value, safe='')}",
                           *parts[number + 1 :]]  # fmt: skip
                urls.append(f"{scheme}://{'/'.join(changed).replace('/@', '@').replace('/:', ':')}")
        urls += [f"{scheme}://{rest}/{quote(value, safe='')}" for value in HOSTILE]
        urls += [f"{scheme}://user:pass@evil.example:8443/a/b/c/d", f"{scheme}://evil.example/{rest}"]
        called = set().union(*(hosts_called(url, monkeypatch) for url in urls))
        assert called <= own
        assert not opened

    @pytest.mark.parametrize("scheme", apprised.SCHEMES)
    def test_its_plugin_takes_no_host_and_reaches_the_network_through_requests_alone(self, scheme: str) -> None:
        plugin = plugin_class(scheme)
        source = inspect.getsource(sys.modules[plugin.__module__])
        tree = list(ast.walk(ast.parse(source)))
        imported = {each.name for node in tree if isinstance(node, ast.Import) for each in node.names}
        imported |= {str(node.module) for node in tree if isinstance(node, ast.ImportFrom) and not node.level}
        taken = {"host", "port", "path", "fullpath"} & set(plugin.template_tokens)
        assert taken <= ({"host"} if scheme in _DOMAINS else set())
        assert not [name for name in imported if name.startswith(_REACHING)]
        assert "requests" in imported
        assert plugin.enabled

    @pytest.mark.parametrize("url", DANGEROUS)
    def test_what_can_be_led_elsewhere_is_not_on_it(self, url: str) -> None:
        assert len(DANGEROUS) >= 40
        assert url.partition("://")[0] not in apprised.SERVICES
        assert (bridge.url_problem(url) or "").startswith("must ")
        client = Posts()
        assert failure(url, client).kind == "settings"
        assert not client.posts

    @pytest.mark.parametrize("argument", REFUSED_ARGUMENTS)
    @pytest.mark.parametrize("scheme", ["tgram", "pover", "slack", "discord", "pagerduty"])
    def test_nor_is_any_argument_that_loosens_something(self, scheme: str, argument: str) -> None:
        url = f"{SAMPLES[scheme]}?{argument}"
        assert (bridge.url_problem(url) or "").startswith("must not have ")
        client = Posts()
        assert failure(url, client).kind == "settings"
        assert not client.posts

    @pytest.mark.parametrize("scheme", apprised.SCHEMES)
    def test_the_samples_are_fine(self, scheme: str) -> None:
        assert bridge.url_problem(SAMPLES[scheme]) is None
        assert bridge.url_problem(f" {SAMPLES[scheme]}\n") is None

    @pytest.mark.parametrize(
        "url",
        ["", "pover", "pover:", "pover://", "pover:/x@y", "pover:\\\\x@y", "pover://x y@z", "pover://ü@y", "://x",
         "pover://x@y\n/z", "tgram://123456789:abcdefg_hijklmnop/1/2", "tgram://x", "ärger://x"],
    )  # fmt: skip
    def test_what_is_incomplete_says_what_it_must_be(self, url: str) -> None:
        problem = bridge.url_problem(url) or ""
        assert problem.startswith("must ")
        assert "canary" not in problem


class TestGate:
    """Plugins find our client where `requests` was; other code keeps its own."""

    def test_nothing_but_post_is_sent(self) -> None:
        client = Posts()
        guarded = apprised._Requests(requests)
        call = apprised.Call("pover", client, 10.0)
        url = "https://api.pushover.net/1/messages.json"
        with call.on_its_way():
            assert guarded.post(url, data={"a": "ü"}, params={"q": 1}, auth=("u", "p")).text == "ok"
            for ask in (
                guarded.get,
                guarded.put,
                guarded.delete,
                guarded.patch,
                guarded.head,
                guarded.Session,
                guarded.api,
            ):
                with pytest.raises(requests.RequestException):
                    ask(url)
            with pytest.raises(requests.RequestException):
                guarded.request("DELETE", url)
        ((posted, body, headers),) = client.posts
        assert posted == f"{url}?q=1"
        assert body == b"a=%C3%BC"
        assert headers["Authorization"] == "Basic dTpw"

    @pytest.mark.parametrize(
        "url",
        ["https://evil.example/", "http://api.pushover.net/", "https://api.pushover.net.evil.example/",
         "https://api.pushover.net@evil.example/", "https://api.pushover.net:8443/", "https://user@api.pushover.net/",
         "https://evil.example/https://api.pushover.net/"],
    )  # fmt: skip
    def test_no_other_host_is_called(self, url: str) -> None:
        client = Posts()
        call = apprised.Call("pover", client, 10.0)
        with call.on_its_way(), pytest.raises(requests.RequestException):
            apprised._Requests(requests).post(url)
        assert not client.posts
        assert call.last is None or isinstance(call.last, DeliveryError)

    def test_nothing_is_sent_outside_of_a_call_or_after_its_end(self) -> None:
        client = Posts()
        for within in (nullcontext(), apprised.Call("pover", client, 0.0).on_its_way()):
            with within, pytest.raises(requests.RequestException):
                apprised._Requests(requests).post("https://api.pushover.net/")
        assert not client.posts

    def test_every_plugin_is_behind_it_and_nobody_else(self) -> None:
        apprised.apprise()
        behind = {
            name for name, module in sys.modules.items() if isinstance(vars(module).get("requests"), apprised._Requests)
        }
        assert {plugin_class(scheme).__module__ for scheme in apprised.SCHEMES} <= behind
        assert all(name.startswith("apprise.") for name in behind)
        assert not [name for name, module in sys.modules.items()
                    if name.startswith("apprise.") and vars(module).get("requests") is requests]  # fmt: skip


class TestOff:
    def test_it_is_off_unless_it_is_switched_on(self) -> None:
        client = Posts()
        error = failure(PUSHOVER, client, bridge=False)
        assert error.kind == "settings"
        assert error.words.startswith("The bridge is switched off")
        assert not client.posts

    def test_its_module_loads_neither_apprise_nor_requests(self) -> None:
        code = "import sys, alerts.channels.bridge as bridge; print(sorted({'apprise', 'requests'} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_without_the_library_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing() -> None:
            raise ImportError

        monkeypatch.setattr(apprised, "apprise", missing)
        assert bridge.url_problem(PUSHOVER) is None
        error = failure(PUSHOVER, Posts())
        assert (error.kind, error.words) == (
            "settings",
            "The bridge needs the Apprise library, which is not installed.",
        )


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that Pushover's plugin takes for Pushover."""
    with Receiver() as receiver:
        monkeypatch.setattr(NotifyPushover, "notify_url", receiver.url("/1/messages.json"))
        monkeypatch.setattr(apprised, "origins", lambda scheme: (receiver.url("/"),))
        yield receiver


def client_for(receiver: Receiver, **more: Any) -> HttpClient:
    return HttpClient(allowed=[parse_allowed(f"127.0.0.1:{receiver.port}")], **more)


class TestForReal:
    def test_it_is_sent(self, here: Receiver) -> None:
        receipt = sent(f"{PUSHOVER}?priority=high&sound=siren", client_for(here))
        (request,) = here.requests
        form = parse_qs(request.body.decode())
        assert (receipt.status, receipt.answer) == (200, "ok")
        assert (request.method, request.path) == ("POST", "/1/messages.json")
        assert (form["user"], form["token"], form["priority"]) == ([USER], [TOKEN], ["1"])
        assert form["title"] == ["CRITICAL: high_error_rate on qwen2.5:7b"]
        assert form["message"][0].endswith("\n\nhttps://cockpit.example/alerts/42")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_no_redirect_is_followed(self, here: Receiver, status: int) -> None:
        with Receiver() as elsewhere:
            here.script = [says.redirect(elsewhere.url("/elsewhere"), status)]
            error = failure(PUSHOVER, HttpClient(loopback_only=True))
            assert (error.kind, error.status) == ("redirect", status)
            assert len(here.requests) == 1
            assert not elsewhere.connections

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
    def test_no_proxy_of_the_environment_is_used(
        self, here: Receiver, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with Receiver() as proxy:
            monkeypatch.setenv(name, proxy.url())
            sent(PUSHOVER, HttpClient(loopback_only=True))
            assert len(here.requests) == 1
            assert not proxy.connections

    @pytest.mark.parametrize("step", [says.hang(), says.hang(unread=True), says.drip_body(0.05), says.drip_head(0.05)])
    def test_the_deadline_holds_whatever_the_client_waits_for(self, here: Receiver, step: Step) -> None:
        here.script = [step]
        error = failure(PUSHOVER, client_for(here, total_seconds=600.0), seconds=1.0)  # or the test times out
        assert (error.kind, error.unsure) == ("timeout", True)

    def test_so_it_does_when_the_plugin_sleeps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = threading.Event()
        monkeypatch.setattr(NotifyPushover, "send", lambda *given, **named: ended.wait(600))
        error = failure(PUSHOVER, Posts(), seconds=0.2)
        ended.set()
        assert (error.kind, error.unsure) == ("timeout", True)

    def test_calls_that_hang_leave_no_room_until_they_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended, room = threading.Event(), threading.BoundedSemaphore(1)
        monkeypatch.setattr(bridge, "_ROOM", room)
        monkeypatch.setattr(bridge, "_TURN_SECONDS", 0.05)
        monkeypatch.setattr(NotifyPushover, "send", lambda *given, **named: ended.wait(600))
        failure(PUSHOVER, Posts(), seconds=0.1)
        error = failure(PUSHOVER, Posts(), seconds=600.0)
        assert (error.kind, error.words) == ("timeout", "Too many calls of the bridge hang.")
        ended.set()
        assert room.acquire(timeout=60)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, "client"), (401, "client"), (403, "client"), (404, "client"), (410, "gone"), (429, "limited"),
         (500, "server"), (503, "server"), (302, "redirect")],
    )  # fmt: skip
    def test_a_status_says_what_kind_of_failure_it_was(self, here: Receiver, status: int, kind: Failure) -> None:
        here.script = [says.answer(status, f"no, {TOKEN}".encode(), {"Retry-After": "7"} if status == 429 else {})]
        error = failure(PUSHOVER, client_for(here))
        assert (error.kind, error.status, error.answer) == (kind, status, f"no, {TOKEN}")
        assert error.retry_after == (7.0 if status == 429 else None)

    @pytest.mark.parametrize(("step", "kind"), [(says.reset(), "connection"), (says.close(), "connection"),
                                                (says.raw(b"garbage"), "connection")])  # fmt: skip
    def test_what_breaks_is_told_as_the_client_tells_it(self, here: Receiver, step: Step, kind: Failure) -> None:
        here.script = [step]
        assert failure(PUSHOVER, client_for(here)).kind == kind

    def test_private_addresses_are_not_called(self, here: Receiver) -> None:
        assert failure(PUSHOVER, HttpClient()).kind == "address"
        assert not here.connections

    def test_a_no_in_an_answer_that_looks_fine_is_a_no(self) -> None:
        error = failure("psafers://gggggggggggggggggggg", Posts(said(body='{"status": 0, "error": "no such key"}')))
        assert (error.kind, error.status) == ("refused", 200)

    def test_what_calls_nobody_has_not_been_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(NotifyPushover, "send", lambda *given, **named: True)
        assert failure(PUSHOVER, Posts()).kind == "settings"

    def test_a_plugin_that_stumbles_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stumbles(*given: Any, **named: Any) -> bool:
            raise RuntimeError(TOKEN)

        monkeypatch.setattr(NotifyPushover, "send", stumbles)
        assert failure(PUSHOVER, Posts()).kind == "settings"

    def test_nothing_is_logged(self, here: Receiver, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            here.script = [says.answer(401), says.answer(200), says.close()]
            failure(PUSHOVER, client_for(here))
            sent(PUSHOVER, client_for(here))
            failure(PUSHOVER, client_for(here))
            bridge.url_problem(f"tgram://{TOKEN}")
            bridge.url_problem(f"json://{TOKEN}")
        assert "canary" not in caplog.text

    def test_many_are_sent_at_once_and_none_is_mixed_up(self) -> None:
        clients = [Posts(said(body=str(number))) for number in range(8)]
        receipts: dict[int, Receipt] = {}

        def one(number: int) -> None:
            receipts[number] = sent(PUSHOVER, clients[number], notice(title=f"number {number}"))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, client in enumerate(clients):
            ((_, body, _),) = client.posts
            assert f"number+{number}".encode() in body
            assert receipts[number].answer == str(number)


def posted(url: str, one: Notice, answer: Answer | None = None) -> Any:
    """The one body, JSON or a form."""
    client = Posts(answer or said())
    sent(url, client, one)
    body = client.posts[-1][1].decode()
    return json.loads(body) if body.startswith("{") else {name: value[0] for name, value in parse_qs(body).items()}


class TestWords:
    def test_both_audiences_read_their_own(self) -> None:
        developer = posted(PUSHOVER, notice())
        executive = posted(PUSHOVER, notice(audience="executive"))
        assert "Value: 7 %" in developer["message"]
        assert executive["title"] == "CRITICAL: Many answers fail"
        assert "How bad: Serious" in executive["message"]
        assert "qwen2.5" not in json.dumps(executive)

    def test_it_says_who_did_what(self) -> None:
        form = posted(PUSHOVER, notice("resolve"))
        assert form["title"].startswith("RESOLVED: ")
        assert form["message"].startswith("Resolved by ada after 12 min: it was the cache")

    def test_it_holds_eight_facts_at_most(self) -> None:
        form = posted(SAMPLES["spike"], notice(facts=tuple((f"name{number}", "value") for number in range(20))))
        assert "name7: value" in form["description"]
        assert "name8" not in form["description"]

    @pytest.mark.parametrize("scheme", apprised.SCHEMES)
    def test_it_is_short_enough_and_the_link_is_whole(self, scheme: str) -> None:
        plugin = apprised.plugin_for(SAMPLES[scheme])
        for letters in ("x", "< ", "&\n", "* "):
            kept: list[Mapping[str, Any]] = []
            plugin.send = lambda kept=kept, **given: kept.append(given) or True
            heading, text = bridge.written(notice(title="t" * 40, text=letters * 50_000), plugin)
            assert apprise.Apprise(plugin, asset=plugin.asset).notify(title=heading, body=text, body_format="text")
            (given,) = kept
            assert len(given["body"]) <= plugin.body_maxlen
            assert len(given["title"]) <= max(plugin.title_maxlen, 0)
            assert given["body"].replace("\\", "").rstrip().endswith("https://cockpit.example/alerts/42")

    @pytest.mark.parametrize("scheme", ["46elks", "plivo", "pushed", "twilio"])
    def test_a_short_message_still_leads_to_the_alert(self, scheme: str) -> None:
        body = " ".join(posted(SAMPLES[scheme], notice(title="t" * 300, text="x" * 5000)).values())
        assert "https://cockpit.example/alerts/42" in body

    def test_without_a_link_there_is_none(self) -> None:
        assert "http" not in posted(PUSHOVER, notice(url="", text="t"))["message"]

    @pytest.mark.parametrize("call", ["@everyone", "@here", "@channel", "@all", "<@123>", "<@&123>", "<!channel>",
                                      "<#C123>", "<users/all>", '<at user_id="all">', "@Everyone"])  # fmt: skip
    def test_outsiders_call_nobody(self, call: str) -> None:
        one = notice(title=f"a {call}", text=f"b {call}", facts=((call, call),), note=call, by=call)
        for scheme in ("discord", "slack", "tgram", "gchat", "feishu", "dingtalk"):
            assert call not in json.dumps(posted(SAMPLES[scheme], one), ensure_ascii=False), scheme

    def test_names_as_such_stay(self) -> None:
        assert (
            "ada@example.com, a@allied.example"
            in posted(PUSHOVER, notice(text="ada@example.com, a@allied.example"))["message"]
        )

    def test_markup_of_outsiders_is_text(self) -> None:
        text = posted(SAMPLES["tgram"], notice(title="<b>a</b>", text='<a href="http://evil.example">c</a>'))["text"]
        assert "&lt;b&gt;a&lt;/b&gt;" in text
        assert '<a href="http://evil.example">' not in text


class TestPagers:
    @pytest.mark.parametrize(("severity", "told"), [("critical", "critical"), ("warning", "warning"), ("info", "info")])
    def test_an_alert_opens_an_incident_of_its_own(self, severity: Any, told: str) -> None:
        event = posted(PAGERDUTY, notice(severity=severity))
        assert (event["event_action"], event["dedup_key"]) == ("trigger", notice().dedup_key)
        assert event["payload"]["severity"] == told
        assert event["links"] == [{"href": "https://cockpit.example/alerts/42"}]

    def test_its_end_closes_it(self) -> None:
        event = posted(PAGERDUTY, notice("resolve"))
        assert (event["event_action"], event["dedup_key"]) == ("resolve", notice().dedup_key)

    @pytest.mark.parametrize(
        ("scheme", "event"),
        [(scheme, event) for scheme, pager in bridge._PAGERS.items() for event in ("acknowledge", "resolve")
         if event not in pager.actions],
    )  # fmt: skip
    def test_what_a_service_cannot_be_told_of_is_not_sent(self, scheme: str, event: Event) -> None:
        client = Posts()
        receipt = sent(SAMPLES[scheme], client, notice(event))
        assert not client.posts
        assert (receipt.status, receipt.answer) == (None, "Nothing was sent: this service cannot be told of it.")

    @pytest.mark.parametrize("scheme", bridge._PAGERS)
    def test_the_key_is_in_every_event_that_is_sent(self, scheme: str) -> None:
        answer = said(body='{"requestId": "1"}')
        for event in (*bridge._PAGERS[scheme].actions, "test"):
            one = notice(event, dedup_key="acme:canary:ep1")
            assert "acme:canary:ep1" in json.dumps(posted(SAMPLES[scheme], one, answer)), event

    @pytest.mark.parametrize("scheme", ["splunk", "victorops"])
    def test_victorops_is_told_of_everything(self, scheme: str) -> None:
        told = [
            posted(SAMPLES[scheme], notice(event))["message_type"]
            for event in ("trigger", "acknowledge", "resolve", "test")
        ]
        assert told == ["CRITICAL", "ACKNOWLEDGEMENT", "RECOVERY", "INFO"]

    def test_telegram_never_looks_for_somebody_to_tell(self) -> None:
        client = Posts()
        assert failure("tgram://123456789:abcdefg_hijklmnop", client).kind == "settings"
        assert not client.posts


class TestTransport:
    def test_it_is_a_kind_of_channel(self) -> None:
        (field,) = bridge.TRANSPORT.fields
        assert (bridge.TRANSPORT.kind, field.name, field.secret) == ("bridge", "url", True)
        assert field.problem(PUSHOVER) is None

    @pytest.mark.parametrize("scheme", apprised.SCHEMES)
    def test_its_hosts_are_public_names(self, scheme: str) -> None:
        for origin in apprised.origins(scheme):
            assert origin == f"https://{urlsplit(origin).hostname}/"
            assert "." in (urlsplit(origin).hostname or "")
