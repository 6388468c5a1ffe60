"""One running cockpit and one browser for all flow tests of a worker."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.flows.browsing import ARGUMENTS, chromium
from tests.house import House, house


@pytest.fixture(scope="session")
def cockpit() -> Iterator[House]:
    """Everything, as `make run` starts it, on a port of its own."""
    with house() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield running
        running.close()
