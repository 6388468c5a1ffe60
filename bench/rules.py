"""Judging 100, 1,000 and 10,000 rules, beside one query a rule, and beside a real Prometheus with the same rules.

    python -m bench.rules [--rules 100 1000 10000] [--rounds 15] [--evaluations 4] [--without-prometheus]

400 deployments have been called for more than an hour; a rule is about one of them, one of five measures and one of
five windows (1 to 60 minutes). A round is a whole evaluation of one minute by the code that beat runs every 15 s, its
commit on disk, fsync on: calm, or while so many groups change their state that alerts are fired and resolved. `first`
is the one that judges rules that were never judged, `restarted` the first of a process that remembers nothing.

One query a rule asks the same rollups for just the rule's own deployment, window and measure, and judges nothing; its
values must be ours. Prometheus (`apt-get install prometheus`) evaluates its group every 15 s; what is told is its own
`prometheus_rule_group_last_duration_seconds`. What it judged is in its memory alone. Everything shares the machine.
"""

import argparse
import itertools
import json
import math
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psutil
import psycopg

from bench import rules_prometheus
from bench.rig import House, admin_url, house, keep, percentile, settle_in
from bench.rules_load import MINUTE, ORGANIZATION, Asked, calls, definition, rules
from organizations.scope import Scope
from tests.servers import await_true

_EXPECTED_MS = 60
_BEFORE = 60  # calm minutes before the first that is judged: the longest window
_STEADY = 20  # minutes in which deployments go wrong before that is measured
_LATE = timedelta(seconds=31)  # after its end, when a minute is judged
_BATCH = 4_000
# Where the time of an evaluation goes, by the functions in which it is spent.
_PARTS = {
    "rules": (("rulebook", "enabled"),),
    "read": (("gauging", "read"),),
    "judge": (("turns", "take"),),
    "alerts": (("evaluation", "act"),),
    "standings": (("standings", "hold"), ("standings", "write"), ("standings", "advance"), ("memory", "recall")),
}
_SUMMED = "inferences, status, duration_us, cost, unpriced, output_tokens"
_OWN = "source = 'live' AND organization_id = %s AND model = %s AND endpoint = %s AND bucket >= %s AND bucket < %s"
_ONE_QUERY = f"""
SELECT {{}} FROM (SELECT {_SUMMED} FROM monitoring_rollup_minute WHERE {_OWN}
UNION ALL SELECT {_SUMMED} FROM monitoring_rollup_delta WHERE {_OWN}) AS rollups
"""


class Bench:
    """A running house whose beat and worker are stopped, so that only we judge; and its minutes."""

    def __init__(self, running: House, rounds: int) -> None:
        self._running, self._url = running, admin_url(running)
        moving = [False] * (_BEFORE + rounds + 3) + [True] * (_STEADY + rounds + 3)
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        self.start, self.first = now - len(moving) * MINUTE, moving.index(True)
        self._load(moving, now)
        self._keep_rules(now)

    def _load(self, moving: Sequence[bool], now: datetime) -> None:
        from monitoring.store import current_store  # noqa: PLC0415 - models load once Django knows the house

        every = calls(self.start, moving)
        while batch := list(itertools.islice(every, _BATCH)):
            current_store().append(Scope.of(ORGANIZATION), batch, now=now)
        assert await_true(lambda: not self._asked("SELECT count(*) FROM monitoring_rollup_delta"), 120)
        self.told("VACUUM ANALYZE monitoring_rollup_minute", "VACUUM monitoring_rollup_delta")

    def _keep_rules(self, now: datetime) -> None:
        """All at once, as no person writes 10,000; and none of those that were there."""
        from alerts.models import AlertRule  # noqa: PLC0415
        from bedrock import identifiers  # noqa: PLC0415

        self.told("UPDATE alerts_rule SET state = 'paused'")
        made = [
            AlertRule(
                id=identifiers.uuid7(identifiers.milliseconds(now)), organization_id=ORGANIZATION, name=name(one),
                key=name(one), state="paused", seeded=False, version=1, error="", created_at=now, created_by="bench",
                changed_at=now, changed_by="bench", definition=msgspec.to_builtins(definition(one)),
            )
            for one in rules()
        ]  # fmt: skip
        with Scope.of(ORGANIZATION).enter():
            AlertRule.objects.bulk_create(made, batch_size=1_000)

    def told(self, *statements: str) -> None:
        """By the administrator, each on its own."""
        with psycopg.connect(self._url, autocommit=True) as admin:
            for each in statements:
                admin.execute(each)

    def _asked(self, statement: str) -> Any:
        with psycopg.connect(self._url, autocommit=True) as admin:
            [(value,)] = admin.execute(statement).fetchall()
        return value

    def begin(self, number: int) -> None:
        """So many rules are on and nothing of any was judged; then what autovacuum does within a minute."""
        self.told(
            "TRUNCATE alerts_standing, alerts_judged, alerts_transition, alerts_evaluation",
            f"UPDATE alerts_rule SET state = 'on' WHERE key LIKE 'bench\\_%' AND substr(key, 7)::integer < {number}",
            "UPDATE alerts_alert SET status = 'resolved', resolved_at = now() WHERE status <> 'resolved'",
            "VACUUM ANALYZE alerts_rule, alerts_alert, alerts_standing, alerts_event",
        )
        forget()

    def judge(self, minute: int) -> Any:
        """All that is due at the end of that minute."""
        from alerts import evaluation  # noqa: PLC0415

        return evaluation.evaluate(self.start + minute * MINUTE + _LATE)

    def at(self, minute: int) -> datetime:
        return self.start + minute * MINUTE

    def postgres_ms(self) -> float:
        """The processor time that the database has used so far, those of its processes that have ended included."""
        found = 0.0
        for one in self._running.process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "postgres" in " ".join(one.cmdline()):
                    found += sum(one.cpu_times()[:4])
        return found * 1000


def name(one: Asked) -> str:
    return f"bench_{one.number}"


def forget() -> None:
    """As a process that has just begun."""
    from alerts import memory, rulebook  # noqa: PLC0415

    memory._remembered.clear()
    rulebook._known.clear()


@contextmanager
def split() -> Iterator[dict[str, float]]:
    """The milliseconds spent in each part meanwhile."""
    from alerts import evaluation, gauging, memory, rulebook, standings, turns  # noqa: PLC0415

    modules = {"evaluation": evaluation, "gauging": gauging, "memory": memory, "rulebook": rulebook,
               "standings": standings, "turns": turns}  # fmt: skip
    spent = dict.fromkeys(_PARTS, 0.0)
    before: list[tuple[Any, str, Callable[..., Any]]] = []
    for part, functions in _PARTS.items():
        for module, function in functions:
            inner = getattr(modules[module], function)
            before.append((modules[module], function, inner))
            setattr(modules[module], function, _timed(spent, part, inner))
    try:
        yield spent
    finally:
        for owner, function, inner in reversed(before):
            setattr(owner, function, inner)


def _timed(spent: dict[str, float], part: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return inner(*arguments, **named)
        finally:
            spent[part] += (time.perf_counter() - began) * 1000

    return timed


def rounds_of(bench: Bench, minutes: Sequence[int]) -> dict[str, Any]:
    """One evaluation for each of these minutes: the middle of all, and of each part."""
    times, parts, processor, changes = [], list[Mapping[str, float]](), [], []
    database = bench.postgres_ms()
    for minute in minutes:
        with split() as spent:
            began, used = time.perf_counter(), time.process_time()
            run = bench.judge(minute)
            processor.append((time.process_time() - used) * 1000)
            times.append((time.perf_counter() - began) * 1000)
        assert (run.minutes, run.failed) == (1, 0), run
        parts.append({**spent, "rest": times[-1] - sum(spent.values())})
        changes.append(run.transitions)
    return {
        "median_ms": round(statistics.median(times), 2),
        "p95_ms": round(percentile(times, 0.95), 2),
        "best_ms": round(min(times), 2),
        "processor_ms": {
            "own": round(statistics.median(processor), 2),
            "postgres": round((bench.postgres_ms() - database) / len(minutes), 1),  # the mean, with all that it does
        },
        "transitions": round(statistics.median(changes), 1),
        "parts_ms": {part: round(statistics.median(one[part] for one in parts), 2) for part in parts[0]},
    }


def one_query_a_rule(bench: Bench, asked: Sequence[Asked], minute: int) -> tuple[float, list[float | None]]:
    """Milliseconds, and the value of each rule at that minute."""
    from django.db import connection  # noqa: PLC0415

    end, values = bench.at(minute), list[float | None]()
    with Scope.of(ORGANIZATION).enter(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # the scope is told in front of the first statement
        began = time.perf_counter()
        for one in asked:
            own: list[Any] = [ORGANIZATION, *one.deployment, end - one.window * MINUTE, end]
            cursor.execute(_ONE_QUERY.format(one.kind.columns), [*own, *own])
            values.append(cursor.fetchone()[0])
        return (time.perf_counter() - began) * 1000, values


def our_values(bench: Bench, asked: Sequence[Asked], minute: int) -> list[float | None]:
    """What judging reads for the same rules."""
    from alerts import evaluation, gauging, judging, rulebook  # noqa: PLC0415

    known = {rule.key: rule for rule in rulebook.enabled().rules}
    wanted = judging.wanted(known.values())
    at = bench.at(minute)
    gauges = gauging.read(evaluation.SCOPE, wanted, [at])[at]
    return [judging.read(known[name(one)], gauges)[()].value for one in asked]


def naive(bench: Bench, asked: Sequence[Asked], minutes: Sequence[int]) -> dict[str, Any]:
    """One query a rule, whose values must be ours."""
    times = []
    for minute in minutes:
        took, values = one_query_a_rule(bench, asked, minute)
        times.append(took)
        for mine, other in zip(our_values(bench, asked, minute), values, strict=True):
            assert math.isclose(mine or 0.0, other or 0.0, rel_tol=1e-9), (mine, other)
    return {"median_ms": round(statistics.median(times), 1), "rounds": [round(each, 1) for each in times]}


def of_size(bench: Bench, asked: Sequence[Asked], options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is measured of the first so many rules."""
    rounds = options.rounds
    bench.begin(len(asked))
    found: dict[str, Any] = {"first": rounds_of(bench, [_BEFORE])}
    bench.judge(_BEFORE + 1)  # warm
    found["calm"] = rounds_of(bench, range(_BEFORE + 2, _BEFORE + 2 + rounds))
    steady = bench.first + _STEADY
    began = time.perf_counter()
    bench.judge(steady)
    found["catching_up"] = {"minutes": steady - (_BEFORE + 1 + rounds),
                            "ms": round((time.perf_counter() - began) * 1000, 1)}  # fmt: skip
    bench.judge(steady + 1)
    found["changing"] = rounds_of(bench, range(steady + 2, steady + 2 + rounds))
    forget()
    found["restarted"] = rounds_of(bench, [steady + 2 + rounds])
    found["one_query_a_rule"] = naive(bench, asked, range(steady + 2, steady + 5))
    middle = found["changing"]["median_ms"]
    found["times_as_fast_as_one_query_a_rule"] = round(found["one_query_a_rule"]["median_ms"] / middle, 1)
    if not options.without_prometheus:
        theirs = rules_prometheus.measured(asked, options.evaluations)
        found["prometheus"] = {"median_ms": round(statistics.median(theirs["evaluations_ms"]), 1), **theirs}
        found["times_as_fast_as_prometheus"] = round(found["prometheus"]["median_ms"] / middle, 1)
    return found


def met(found: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that are held against what was expected."""
    sizes = sorted(map(int, found))
    times = [found[str(size)]["changing"]["median_ms"] for size in sizes]
    growth = [round(times[place + 1] / times[place], 2) for place in range(len(times) - 1)]
    linear = [sizes[place + 1] / sizes[place] for place in range(len(sizes) - 1)]
    under = all(one < most for one, most in zip(growth, linear, strict=True))
    return {
        f"{sizes[-1]}_rules_changing_ms": _EXPECTED_MS, "found_ms": times[-1], "growth": growth,
        "under_linearly": under, "met": times[-1] <= _EXPECTED_MS and under,
    }  # fmt: skip


def table(found: Mapping[str, Any]) -> str:
    """The middles, a line a size."""
    names = ("first", "calm", "changing", "restarted", "one_query_a_rule", "prometheus")
    head = f"{'rules':>7}" + "".join(f"{each:>18}" for each in names)
    lines = [
        f"{size:>7}" + "".join(f"{one[each]['median_ms'] if each in one else '':>18}" for each in names)
        for size, one in found.items()
    ]
    return "\n".join(["milliseconds, the middle of all rounds", head, *lines])


@contextmanager
def without_others(running: House) -> Iterator[None]:
    """Neither beat asks for it, nor does a worker judge by itself."""
    words = {one: " ".join(one.cmdline()) + " " for one in running.process.children()}
    others = [one for one, line in words.items() if " beat " in line or " worker " in line]
    assert len(others) == 2, words
    for one in others:
        one.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for one in others:
            one.send_signal(signal.SIGCONT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--evaluations", type=int, default=4)
    parser.add_argument("--without-prometheus", action="store_true")
    options = parser.parse_args()
    load_average, every = os.getloadavg()[0], rules()
    with house(RATE_LIMIT_PER_MINUTE="100000000") as running, without_others(running):
        settle_in(running.data_dir)
        bench = Bench(running, options.rounds)
        found = {str(size): of_size(bench, every[:size], options) for size in sorted(options.rules)}
    keep(
        "rules",
        {
            "load_average": [round(load_average, 2), round(os.getloadavg()[0], 2)],
            "rounds": options.rounds,
            "expected": met(found),
            "prometheus": "keeps what it judged in memory; ours is on disk before an evaluation ends",
            "found": json.loads(json.dumps(found)),
        },
    )
    print(table(found))


if __name__ == "__main__":
    main()
