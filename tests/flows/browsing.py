"""A signed-in page in Chromium, and all that its console and its network said."""

import re
import shutil
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.house import PASSWORD, House

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip
ORGANIZATIONS = ("swaggystacks", "scientia_capital")
_sessions: dict[int, Any] = {}


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


expect.set_options(timeout=15_000)  # a machine that is busy with other work still gets there


def signed_in(browser: Browser, cockpit: House) -> Any:
    """The cookies of the administrator, who signs in once."""
    if cockpit.port not in _sessions:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{cockpit.port}/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", PASSWORD)
        page.press("#id_password", "Enter")
        page.wait_for_url(re.compile("/dashboards/"))
        _sessions[cockpit.port] = context.storage_state()
        context.close()
    return _sessions[cockpit.port]


class Visit:
    """A page with everything that it complained of and asked for; signed in unless `anonymous`."""

    def __init__(self, browser: Browser, cockpit: House, *, anonymous: bool = False, **options: Any) -> None:
        self.address = f"http://127.0.0.1:{cockpit.port}"
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        state = None if anonymous else signed_in(browser, cockpit)
        self.page: Page = browser.new_context(storage_state=state, **options).new_page()
        self.page.on("console", lambda line: self._note(line.type, line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            self.foreign.append(url)

    def open(self, organization: str, query: str = "window=1h") -> Page:
        self.page.goto(f"{self.address}/dashboards/{organization}/?{query}")
        return self.page


def record(cockpit: House, organization: str, model: str, **more: object) -> None:
    for n in range(5):
        item = {"modelName": model, "durationMs": 300 + n, "cost": "0.25", "revenue": "0.5", "inputTokens": 10, **more}
        status, _ = cockpit.post(item, organization)
        assert status == 201
