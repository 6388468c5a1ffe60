"""Pictures of every page, in its themes, light and dark, on phones and a desktop; or the README's picture.

    python -m bench.screenshots [--to var/screens] [--only WORD] [--minutes 15]
    python -m bench.screenshots --readme

Starts a cockpit of its own with a month of demo data and channels that fail as they may, signs in, and takes each page
whole. Pages that are wider than their screen, answer with an unexpected status or whose scripts fail are told at the
end. `--only` takes the pages whose name holds that word. `--readme` makes docs/images/dashboards.png instead.
"""

import argparse
import base64
import re
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Response

from bench.rig import ROOT, House, browser, house, sign_in
from tests.receiver import Receiver, Request, Step, answer

_README = ROOT / "docs" / "images" / "dashboards.png"
_MODES = ("light", "dark")
_SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1440, "height": 900}},
    "phone-360": {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True},
    "phone-390": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True},
}
_NEWCOMER, _THEIR_PASSWORD = "newcomer", "never-seen-this-one-before"
# A channel for each way in which one may be, and what its receiver answers.
_CHANNELS = {"on": ("Operations", 200), "failing": ("Data centre", 503), "failed": ("Old pager", 410),
             "off": ("Night shift", 200)}  # fmt: skip
_LOADING = 300.0  # seconds for the demo's month
_MOST_ADMIN_PAGES = 80
_TALLEST = 16_000  # pixels: Chromium draws no more, and repeats itself below
_SIZE = "[document.documentElement.clientWidth, document.documentElement.scrollHeight, devicePixelRatio]"
_FULLY_DRAWN = "document.fonts.ready.then(() => document.body.innerText.trim().length)"


@dataclass(frozen=True, slots=True)
class Shown:
    """One page: its picture's name, its address, who looks at it (admin, newcomer or nobody), what it answers.

    `press` is a button's value or name, pressed with the first rows of a list ticked: the page is what comes then.
    """

    name: str
    path: str
    who: str = "admin"
    status: int = 200
    press: str = ""


_PAGES = (
    Shown("login", "/login/", "nobody"),
    Shown("no-organization", "/", _NEWCOMER, 403),
    *(
        Shown(f"{organization}-{window}", f"/dashboards/{organization}/?window={window}")
        for organization in ("swaggystacks", "scientia_capital")
        for window in ("24h", "30d")
    ),
    Shown("swaggystacks-empty", "/dashboards/swaggystacks/?source=live"),
    Shown("scientia_capital-empty", "/dashboards/scientia_capital/?source=live"),
    Shown("shared-empty", "/dashboards/shared/"),
    Shown("admin-alerts-resolved", "/admin/alerts/alert/?status=resolved"),
    Shown("admin-alerts-acknowledge", "/admin/alerts/alert/", press="acknowledge"),
    Shown("admin-alerts-nothing", "/admin/alerts/alert/?q=nothing-is-called-so"),
    *(
        Shown(f"admin-alerts-channel-add-{kind}", f"/admin/alerts/channel/add/?kind={kind}")
        for kind in ("slack", "pagerduty", "email", "teams", "webhook", "alertmanager", "bridge", "heartbeat")
    ),
    Shown("admin-alerts-channel-retired", "/admin/alerts/channel/?state=retired"),
    Shown("admin-alerts-route-add-swaggystacks", "/admin/alerts/route/add/?organization=swaggystacks"),
    Shown("admin-alerts-route-preview", "/admin/alerts/route/add/?organization=swaggystacks", press="preview"),
    Shown("admin-alerts-route-nowhere", "/admin/alerts/route/add/?organization=shared"),
    *(
        Shown(f"admin-alerts-delivery-{state}", f"/admin/alerts/delivery/?state={state}")
        for state in ("dead", "waiting", "skipped", "expired")
    ),
    Shown("admin-alerts-alertrule-ok", "/admin/alerts/alertrule/?state=ok"),
    Shown("admin-alerts-alertrule-nothing", "/admin/alerts/alertrule/?q=nothing-is-called-so"),
    Shown("admin-alerts-alertrule-pause", "/admin/alerts/alertrule/", press="pause"),
    Shown("admin-alerts-alertrule-add-swaggystacks", "/admin/alerts/alertrule/add/?organization=swaggystacks"),
    Shown(
        "admin-alerts-alertrule-simulated",
        "/admin/alerts/alertrule/add/?organization=swaggystacks&warning=5%25&critical=20%25&by=model&least=20&source=demo",
        press="simulate",
    ),
    Shown(
        "admin-alerts-alertrule-wrong",
        "/admin/alerts/alertrule/add/?organization=swaggystacks&window=soon&name=x",
        press="save",
    ),
    Shown("admin-alerts-delivery-again-since", "/admin/alerts/delivery/again/?since=2020-01-01+09:30"),
    Shown("admin-alerts-delivery-again-wrong", "/admin/alerts/delivery/again/?since=yesterday"),
    Shown("not-found", "/dashboards/nowhere/", "admin", 404),
    Shown("not-found-signed-out", "/nowhere", "nobody", 404),
    Shown("not-understood", "/dashboards/swaggystacks/?window=2d", "admin", 400),
)
_OPTIONAL = (Shown("api-docs", "/api/docs", "nobody"), Shown("api-redoc", "/api/redoc", "nobody"))


def kind_of(path: str) -> str | None:
    """The kind of an admin page: equal for pages that differ in their object alone; None for what is no such page."""
    path = path.partition("?")[0].partition("#")[0]
    if not path.startswith("/admin/") or re.search(r"/(logout|jsi18n|r|autocomplete)/", path):
        return None
    return re.sub(r"^(/admin/\w+/\w+)/(?!add/)[^/]+/(change|history|delete|password|why)/$", r"\1/*/\2/", path)


def name_of(kind: str) -> str:
    """A file's name for a kind of admin page."""
    return "-".join(part for part in kind.strip("/").split("/") if part != "*")


@contextmanager
def _looking(chromium: Browser, running: House, who: str, **options: Any) -> Iterator[Page]:
    """A page of somebody who has signed in (or not), in a context of its own."""
    context = chromium.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    try:
        if who != "nobody":
            sign_in(page, running, *((who, _THEIR_PASSWORD) if who == _NEWCOMER else ()))
        yield page
    finally:
        context.close()


def await_demo(running: House) -> None:
    """Until the oldest day of the demo's month, which comes last, is there for both organizations."""
    oldest = datetime.now(UTC) - timedelta(days=29, hours=12)
    query = (
        f"from={oldest - timedelta(hours=11):%Y-%m-%dT%H:%M:%SZ}&to={oldest + timedelta(hours=11):%Y-%m-%dT%H:%M:%SZ}"
    )
    deadline, before = time.monotonic() + _LOADING, [0, 0]
    while True:
        both = ("swaggystacks", "scientia_capital")
        there = [running.dashboard(query, each)["totals"]["inferences"] for each in both]
        if all(there) and there == before:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"the demo's month was not loaded within {_LOADING:.0f} s")
        before = there
        time.sleep(2)


def make_newcomer(page: Page, base: str) -> None:
    """A person of no organization, made in the admin."""
    page.goto(f"{base}/admin/organizations/user/add/")
    page.fill("[name=username]", _NEWCOMER)
    page.fill("[name=password1]", _THEIR_PASSWORD)
    page.fill("[name=password2]", _THEIR_PASSWORD)
    page.click("[name=_save]")
    page.wait_for_url(re.compile("/change/"))


def said(request: Request) -> Step:
    """The answer that the path asks for."""
    return answer(int(request.path.strip("/")), b'{"queue": "operations", "disk": "full"}')


def make_channels(page: Page, running: House, receiver: Receiver) -> list[Shown]:
    """A channel in every state, a route to all of them, and what they were told; the pages of it."""
    base, log = f"http://127.0.0.1:{running.port}", "/admin/alerts/delivery/"
    there = {state: _add_channel(page, base, name, receiver.url(f"/{status}"))
             for state, (name, status) in _CHANNELS.items()}  # fmt: skip
    page.goto(base + there["off"])
    page.click("button[value=off]")
    page.goto(f"{base}/admin/alerts/route/add/?organization=swaggystacks")
    page.fill("[name=name]", "Whatever is wrong to everybody")
    for box in page.locator("[name=channels]").all():
        box.check()
    page.click("[name=save]")
    _alert(page, running, "high_error_rate", "7 % of all calls fail.")
    for _ in range(4):
        gone = _alert(page, running, "probe_lost", "A probe comes and goes.")
        page.request.put(f"{base}/api/monitoring/alerts/{gone}/resolve", headers=_key(running), data={})
    told = _alert(page, running, "probe_lost", "A probe comes and goes.")
    page.goto(base + there["failed"])
    deadline = time.monotonic() + 60
    while page.locator(".desk-tags .tag--bad").count() == 0 and time.monotonic() < deadline:
        page.wait_for_timeout(1_000)
        page.reload()
    page.goto(f"{base}{log}?channel={there['failing'].split('/')[-3]}&q=error_rate")
    several = page.get_attribute("#result_list th a", "href") or log
    return [
        *(Shown(f"admin-alerts-channel-{state}", path) for state, path in there.items()),
        Shown("admin-alerts-channel-retire", there["failing"], press="retire"),
        Shown("admin-alerts-alert-told", f"/admin/alerts/alert/{told}/change/"),
        Shown("admin-alerts-delivery-tries", several),
    ]


def _add_channel(page: Page, base: str, name: str, url: str) -> str:
    """Made by the form; the address of its page."""
    page.goto(f"{base}/admin/alerts/channel/add/?kind=webhook")
    page.fill("[name=name]", name)
    page.select_option("[name=organization]", "swaggystacks")
    page.fill("[name=its_url]", url)
    page.click("[name=save]")
    page.wait_for_url(re.compile("/change/"))
    return page.url.removeprefix(base)


def _key(running: House) -> dict[str, str]:
    return {"Authorization": f"Bearer {running.keys['swaggystacks']}"}


def _alert(page: Page, running: House, kind: str, message: str) -> str:
    """Raises it; its id."""
    body = {"alertType": kind, "severity": "critical", "message": message}
    path = f"http://127.0.0.1:{running.port}/api/monitoring/alerts"
    return str(page.request.post(path, headers=_key(running), data=body).json()["id"])


def admin_pages(page: Page, base: str) -> list[Shown]:
    """Every kind of page that can be reached from the admin's index."""
    found: dict[str, str] = {"/admin/": "/admin/"}
    waiting = ["/admin/"]
    while waiting and len(found) < _MOST_ADMIN_PAGES:
        page.goto(base + waiting.pop(0))
        for link in page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
            path = link.removeprefix(base).partition("?")[0].partition("#")[0]
            kind = kind_of(path)
            if kind is not None and kind not in found:
                found[kind] = path
                waiting.append(path)
    return [Shown(name_of(kind), path) for kind, path in sorted(found.items())]


def _shoot(page: Page, base: str, shown: Shown, path: Path) -> list[str]:
    """Takes one picture; what was wrong with the page."""
    said: list[str] = []

    def note(error: Exception) -> None:
        said.append(f"script: {error}")

    page.on("pageerror", note)
    answer: Response | None = page.goto(base + shown.path)
    status = answer.status if answer else 0
    if shown.press:
        for box in page.locator(".action-select").all()[:3]:
            box.check()
        page.click(f"button:is([value={shown.press}], [name={shown.press}])")
        page.wait_for_load_state()
        page.evaluate("scrollTo(0, 0)")  # what sticks to the top stands there
    deadline = time.monotonic() + 8
    while page.evaluate(_FULLY_DRAWN) < 20 and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    if shown in _OPTIONAL:
        page.wait_for_timeout(2_500)  # they draw themselves from the description
    width, height, scale = page.evaluate(_SIZE)
    clip: Any = {"x": 0, "y": 0, "width": width, "height": min(height, _TALLEST // scale)}
    page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")
    page.remove_listener("pageerror", note)
    if status != shown.status:
        said.append(f"answered {status}, not {shown.status}")
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if over > 0:
        said.append(f"sticks out by {over} px")
    return said


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def shoot_all(running: House, chromium: Browser, pages: Sequence[Shown], to: Path, until: float) -> list[str]:
    """A picture of each page, mode and screen; what was wrong, by picture."""
    base, faults = f"http://127.0.0.1:{running.port}", list[str]()
    to.mkdir(parents=True, exist_ok=True)
    for who in dict.fromkeys(page.who for page in pages):
        for screen, mode in ((screen, mode) for screen in _SCREENS for mode in _MODES):
            with _looking(chromium, running, who, color_scheme=mode, **_SCREENS[screen]) as page:
                for shown in (each for each in pages if each.who == who):
                    if time.monotonic() > until:
                        raise SystemExit("there was no time for the rest; --minutes gives more")
                    path = to / f"{shown.name}.{mode}.{screen}.png"
                    faults += [f"{path.name}: {fault}" for fault in _shoot(page, base, shown, path)]
                    width, height = size_of(path.read_bytes()[:24])
                    print(f"{path}  {width}x{height}", flush=True)
    return faults


def all_pages(running: House, chromium: Browser, receiver: Receiver) -> list[Shown]:
    """The pages there are, made and found out as the administrator."""
    base = f"http://127.0.0.1:{running.port}"
    with _looking(chromium, running, "admin") as page:
        make_newcomer(page, base)
        there = [shown for shown in _OPTIONAL if page.request.get(base + shown.path).status == 200]
        return [*_PAGES, *there, *make_channels(page, running, receiver), *admin_pages(page, base)]


def _side_by_side(chromium: Browser, pictures: Iterable[bytes], width: int, height: int) -> bytes:
    """The pictures beside each other, with a narrow grey gap, as one."""
    images = "".join(f'<img src="data:image/png;base64,{base64.b64encode(one).decode()}">' for one in pictures)
    style = "body{margin:0;display:flex;gap:8px;background:#8a8a8a;width:max-content}"
    page = chromium.new_page(viewport={"width": width, "height": height})
    page.set_content(f"<style>{style}</style>{images}")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    made = page.screenshot(full_page=True)
    page.close()
    return made


def make_readme_picture(running: House, chromium: Browser) -> None:
    """Both dashboards, the developers' in dark and the executives' in light, as a desktop shows their beginning."""
    width, height, pictures = 1166, 1106, list[bytes]()
    for organization, mode in (("swaggystacks", "dark"), ("scientia_capital", "light")):
        screen: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": mode}
        with _looking(chromium, running, "admin", **screen) as page:
            page.goto(f"http://127.0.0.1:{running.port}/dashboards/{organization}/?window=24h")
            page.wait_for_selector('main[data-state="live"]')
            page.evaluate(_FULLY_DRAWN)
            pictures.append(page.screenshot(animations="disabled"))
    made = _side_by_side(chromium, pictures, 2 * width + 8, height)
    _README.write_bytes(made)
    print(f"{_README}  {'x'.join(map(str, size_of(made)))}  {len(made) // 1000} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=ROOT / "var" / "screens")
    parser.add_argument("--only", default="")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    with (
        Receiver(said) as receiver,
        house(DEMO="1", OUTGOING_ALLOWED=f"127.0.0.1:{receiver.port}") as running,
        browser() as chromium,
    ):
        await_demo(running)
        print(f"a cockpit with a month of demo data after {time.monotonic() - began:.0f} s", flush=True)
        if options.readme:
            make_readme_picture(running, chromium)
            return
        pages = [page for page in all_pages(running, chromium, receiver) if options.only in page.name]
        faults = shoot_all(running, chromium, pages, options.to, began + 60 * options.minutes)
    print(
        f"{len(pages)} pages, {len(pages) * len(_SCREENS) * len(_MODES)} pictures in {time.monotonic() - began:.0f} s"
    )
    print(*(faults or ["nothing to complain of"]), sep="\n")


if __name__ == "__main__":
    main()
