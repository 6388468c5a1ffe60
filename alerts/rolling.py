"""Totals of a window that moves on by a minute at a time: what comes in is added, what goes out is taken away. Pure.

Counts and money are exact, so that a window is what the store would have added up for it at once.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from operator import add, sub
from typing import Any

from alerts.measurements import Group, Total, Totals
from alerts.rules import MINUTE
from bedrock.money import EXACT
from monitoring.store.base import COUNTS, HISTOGRAMS, MONEY, NO_BUCKETS, Summary, with_buckets
from monitoring.store.samples import Span


class _Summed:
    """A sum of summaries from which the oldest can be taken away again."""

    def __init__(self) -> None:
        self._held: deque[tuple[datetime, Summary]] = deque()
        self._counts = [0] * len(COUNTS)
        self._histograms = dict.fromkeys(HISTOGRAMS, NO_BUCKETS)
        self._money = {name: (Decimal(0), 0) for name in MONEY}

    def add(self, at: datetime, one: Total) -> None:
        assert isinstance(one, Summary)
        self._held.append((at, one))
        self._change(one, 1)

    def drop(self, before: datetime) -> bool:
        dropped = False
        while self._held and self._held[0][0] < before:
            self._change(self._held.popleft()[1], -1)
            dropped = True
        return dropped

    def _change(self, one: Summary, sign: int) -> None:
        self._counts = [held + sign * getattr(one, name) for held, name in zip(self._counts, COUNTS)]
        for name, held in self._histograms.items():
            self._histograms[name] = with_buckets(held, getattr(one, name), add if sign > 0 else sub)
        for name in MONEY:
            amount = getattr(one, name)
            if amount is not None:
                total, number = self._money[name]
                change = EXACT.add if sign > 0 else EXACT.subtract
                self._money[name] = (change(total, amount), number + sign)

    def total(self) -> Total | None:
        if not self._held:
            return None
        fields: dict[str, Any] = dict(zip(COUNTS, self._counts)) | self._histograms
        fields |= {name: total if number else None for name, (total, number) in self._money.items()}
        return Summary(**fields)


class _Spanned:
    """A join of spans from which the oldest can be taken away: two stacks, each with the join of what lies under it."""

    def __init__(self) -> None:
        self._in: list[tuple[datetime, Span, Span]] = []  # newest on top, with the join of all of them
        self._out: list[tuple[datetime, Span, Span]] = []  # oldest on top, likewise

    def add(self, at: datetime, one: Total) -> None:
        assert isinstance(one, Span)
        self._in.append((at, one, _after(self._in[-1][2], one) if self._in else one))

    def drop(self, before: datetime) -> bool:
        dropped = False
        while True:
            if not self._out:
                while self._in:
                    at, one, _ = self._in.pop()
                    self._out.append((at, one, _after(one, self._out[-1][2]) if self._out else one))
            if not self._out or self._out[-1][0] >= before:
                return dropped
            self._out.pop()
            dropped = True

    def total(self) -> Total | None:
        if self._out and self._in:
            return _after(self._out[-1][2], self._in[-1][2])
        rest = self._out or self._in
        return rest[-1][2] if rest else None


def _after(one: Span, later: Span) -> Span:
    """Both of one series: the last is that of the later one."""
    return Span(one.count + later.count, one.total + later.total, min(one.least, later.least),
                max(one.most, later.most), later.last)  # fmt: skip


class Rolling:
    """The totals of a window of so many minutes over steps of a minute, as it moves on."""

    def __init__(self, steps: Mapping[datetime, Totals], minutes: int) -> None:
        self._steps, self._length = steps, minutes * MINUTE
        self._groups: dict[Group, _Summed | _Spanned] = {}
        self._totals: dict[Group, Total] = {}
        self.changes = 0  # how often what it holds did
        self._filled: datetime | None = None

    def until(self, end: datetime) -> Totals:
        """What the window that ends there holds; ends only go forward."""
        start = end - self._length
        minute = start if self._filled is None else max(self._filled, start)
        touched: set[Group] = set()
        while minute < end:
            for group, total in self._steps.get(minute, {}).items():
                if group not in self._groups:
                    self._groups[group] = _Summed() if isinstance(total, Summary) else _Spanned()
                self._groups[group].add(minute, total)
                touched.add(group)
            minute += MINUTE
        self._filled = end
        touched.update(group for group, held in self._groups.items() if held.drop(start))
        if touched:
            self.changes += 1
            self._totals = {**self._totals, **dict(self._read(touched))}
            self._totals = {group: total for group, total in self._totals.items() if total is not None}
        return self._totals

    def _read(self, groups: Iterable[Group]) -> Iterable[tuple[Group, Any]]:
        return [(group, self._groups[group].total()) for group in groups]
