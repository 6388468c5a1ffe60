"""One running cockpit for all flow tests of a worker."""

from collections.abc import Iterator

import pytest

from tests.house import House, house


@pytest.fixture(scope="session")
def cockpit() -> Iterator[House]:
    """Everything, as `make run` starts it, on a port of its own."""
    with house() as running:
        yield running
