"""What a probe gives: readings, each part of them asked for apart, so that one that fails loses only itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """A value of one series, without its host; `grown` says that it is how much a counter of ours grew."""

    family: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    grown: bool = False


Part = Callable[[], Iterable[Reading]]

_told: set[tuple[str, str]] = set()  # parts that failed, told once in a process' life


def each(probe: str, parts: Mapping[str, Part]) -> list[Reading]:
    """What all the parts read; what one cannot read is left out.

    Raises:
        Exception: the last part's own, when none of them could be read.
    """
    found: list[Reading] = []
    failed: list[Exception] = []
    for name, part in parts.items():
        try:
            found += part()
        except Exception as error:
            failed.append(error)
            if (probe, name) not in _told:
                _told.add((probe, name))
                log.warning("part of a probe not read", probe=probe, part=name, reason=type(error).__name__)
    if failed and len(failed) == len(parts):
        raise failed[-1]
    return found
