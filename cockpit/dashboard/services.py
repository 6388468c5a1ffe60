"""Database, cache and queues for developers; where there are live and demo samples, the live ones come first."""

from collections.abc import Mapping, Sequence

from cockpit.dashboard import charts, words
from cockpit.dashboard.readings import SOURCES, Readings, Track
from cockpit.dashboard.sight import Sight
from cockpit.dashboard.units import Context, Row, State, Unit, labelled, share, state_of

_DATABASE = ("cockpit_database_latency_seconds", "cockpit_database_connections", "cockpit_database_size_bytes")
_CACHE = ("cockpit_cache_latency_seconds", "cockpit_cache_memory_used_bytes")
QUEUES = ("cockpit_queue_depth", "cockpit_workers")
BACKENDS = (*_DATABASE, *_CACHE)
FAILED = "failure"  # how a task ends that raised
_LONG_TRANSACTION = (60.0, 600.0)  # seconds: near, bad
_OLD_MESSAGE = (30.0, 120.0)


def backends(sight: Sight) -> Context | None:
    readings = sight.readings
    of_database = [(source, _database) for source in sources_of(readings, _DATABASE, "database")]
    of_cache = [(source, _cache) for source in sources_of(readings, _CACHE, "cache")]
    there = sorted((*of_database, *of_cache), key=lambda pair: SOURCES.index(pair[0]))
    units = [unit(readings, source) for source, unit in there]
    return {"units": units, "label": readings.label(BACKENDS)} if units else None


def sources_of(readings: Readings, families: Sequence[str], probe: str) -> list[str]:
    """Where samples of a service came from, live ones first; none where its probe never tried either."""
    there = {*readings.sources(families), *(track.source for track in readings.of("cockpit_probe_up", probe=probe))}
    return [source for source in SOURCES if source in there]


def source_of(readings: Readings, families: Sequence[str], probe: str) -> str | None:
    """Which samples a service is judged by where only one word is said of it."""
    return next(iter(sources_of(readings, families, probe)), None)


def _unit(name: str, readings: Readings, source: str, families: Sequence[str], probe: str, rows: Sequence[Row]) -> Unit:
    tracks = [readings.one(family, source) for family in families]
    silence = readings.silence(probe, source, tracks)
    return Unit(name=name, kind="", source=labelled(source), rows=rows, silence=silence)


def _timed(seconds: float | None) -> str | None:
    return words.duration(None if seconds is None else seconds * 1000)


def _latency(readings: Readings, source: str, family: str) -> Row | None:
    track = readings.one(family, source)
    if track is None:
        return None
    return Row(
        label="Latency",
        value=_timed(track.last),
        note=f"highest {_timed(track.most)}",
        spark=charts.spark(track.means(readings.steps)),
        state=state_of(track.last, 0.1, 1.0),
    )


def _hits(readings: Readings, source: str, hits: str, misses: str) -> Row | None:
    """The share of look-ups that were hits, over the window; None where nothing was looked up."""
    hit, missed = readings.grown(hits, source), readings.grown(misses, source)
    part = share(hit, (hit or 0) + (missed or 0))
    return None if part is None else Row(label="Hit ratio", value=words.percent(part), note="of this window")


def _database(readings: Readings, source: str) -> Unit:
    rows = (
        _latency(readings, source, "cockpit_database_latency_seconds"),
        _connections(readings, source),
        _transactions(readings, source),
        _hits(readings, source, "cockpit_database_block_hits_total", "cockpit_database_block_reads_total"),
        _sized(readings, source),
        _oldest(readings, source),
        _counted(readings, source, "cockpit_database_locks_waiting", "Waiting for locks"),
        _deadlocks(readings, source),
        _counted(readings, source, "cockpit_database_dead_rows", "Dead rows"),
        _lag(readings, source),
    )
    return _unit("Database", readings, source, _DATABASE, "database", [row for row in rows if row])


def _connections(readings: Readings, source: str) -> Row | None:
    used = readings.one("cockpit_database_connections", source)
    limit = readings.last("cockpit_database_connections_limit", source)
    if used is None:
        return None
    return Row(
        label="Connections",
        value=f"{used.last:,.0f}",
        note=f"of {limit:,.0f}, highest {used.most:,.0f}" if limit else f"highest {used.most:,.0f}",
        spark=charts.spark(used.means(readings.steps), full=limit or 0.0),
        state=state_of(share(used.last, limit), 0.75, 0.9),
    )


def _transactions(readings: Readings, source: str) -> Row | None:
    track = readings.one("cockpit_database_commits_total", source)
    rates = track.rates(readings.steps) if track else []
    newest = next((rate for rate in reversed(rates) if rate is not None), None)
    if newest is None:
        return None
    pace = words.rate(newest)
    value = f"{words.compact(newest * pace.seconds)}{words.SPACE}{pace.unit}"
    return Row(label="Transactions", value=value, spark=charts.spark(rates))


def _deadlocks(readings: Readings, source: str) -> Row | None:
    """Told only where there were some."""
    times = round(readings.grown("cockpit_database_deadlocks_total", source) or 0)
    return Row(label="Deadlocks", value=words.count(times), note="in this window", state="near") if times else None


def _sized(readings: Readings, source: str) -> Row | None:
    size = readings.one("cockpit_database_size_bytes", source)
    if size is None:
        return None
    change = size.last - size.first
    grown = f"{'grew' if change > 0 else 'shrank'} by {words.size(abs(change))}" if change else "unchanged"
    return Row(label="Size", value=words.size(size.last), note=grown,
               spark=charts.spark(size.means(readings.steps)))  # fmt: skip


def _oldest(readings: Readings, source: str) -> Row | None:
    track = readings.one("cockpit_database_oldest_transaction_seconds", source)
    if track is None:
        return None
    return Row(
        label="Oldest transaction",
        value=_timed(track.last),
        note=f"longest {_timed(track.most)}",
        state=state_of(track.last, *_LONG_TRANSACTION),
    )


def _counted(readings: Readings, source: str, family: str, label: str) -> Row | None:
    track = readings.one(family, source)
    if track is None:
        return None
    return Row(label=label, value=words.compact(round(track.last)), note=f"most {words.compact(round(track.most))}")


def _lag(readings: Readings, source: str) -> Row | None:
    track = readings.one("cockpit_database_replication_lag_seconds", source)
    if track is None:
        return None
    return Row(label="Standby behind by", value=_timed(track.last), note=f"most {_timed(track.most)}",
               state=state_of(track.last, 10.0, 60.0))  # fmt: skip


def _cache(readings: Readings, source: str) -> Unit:
    used = readings.one("cockpit_cache_memory_used_bytes", source)
    limit = readings.last("cockpit_cache_memory_limit_bytes", source)
    evicted = readings.grown("cockpit_cache_evicted_keys_total", source)
    rows = (
        _latency(readings, source, "cockpit_cache_latency_seconds"),
        used
        and Row(
            label="Memory",
            value=words.size(used.last),
            note=f"of {words.size(limit)}" if limit else "no limit set",
            spark=charts.spark(used.means(readings.steps), full=limit or 0.0),
            state=state_of(share(used.last, limit), 0.85, 0.95),
        ),
        _hits(readings, source, "cockpit_cache_hits_total", "cockpit_cache_misses_total"),
        None
        if evicted is None
        else Row(
            label="Evicted keys",
            value=words.count(round(evicted)),
            note="in this window",
            state="near" if evicted >= 1 else "",
        ),
    )
    return _unit("Cache and broker", readings, source, _CACHE, "cache", [row for row in rows if row])


def queues(sight: Sight) -> Context | None:
    readings = sight.readings
    sources = sources_of(readings, QUEUES, "broker")
    if not sources:
        return None
    there = sorted(
        readings.of("cockpit_queue_depth"), key=lambda one: (SOURCES.index(one.source), one.labels.get("queue", ""))
    )
    return {
        "units": [
            _unit("Background work", readings, source, QUEUES, "broker", _work(readings, source)) for source in sources
        ],
        "queues": [_queue(readings, depth) for depth in there],
        "label": readings.label(QUEUES),
    }


def _work(readings: Readings, source: str) -> list[Row]:
    rows = (_workers(readings, source), _beat(readings, source), _tasks(readings, source),
            _counted(readings, source, "cockpit_queue_unacknowledged", "Tasks at work"),
            _deltas(readings, source))  # fmt: skip
    return [row for row in rows if row]


def _queue(readings: Readings, depth: Track) -> Mapping[str, object]:
    name = depth.labels.get("queue", "")
    age = readings.last("cockpit_queue_oldest_seconds", depth.source, queue=name)
    return {
        "name": name,
        "source": labelled(depth.source),
        "depth": words.count(round(depth.last)),
        "most": words.count(round(depth.most)),
        "age": None if age is None else _timed(age) if age else "none",
        "state": state_of(age, *_OLD_MESSAGE),
    }


def _workers(readings: Readings, source: str) -> Row | None:
    track = readings.one("cockpit_workers", source)
    if track is None:
        return None
    state: State = "" if track.last else "bad"
    fewest = round(min(span.least for span in track.spans.values()))
    return Row(label="Workers alive", value=words.count(round(track.last)), note=f"fewest {fewest}", state=state)


def _beat(readings: Readings, source: str) -> Row | None:
    """How long beat had said nothing when that was last read."""
    track = readings.one("cockpit_beat_last_seen_timestamp_seconds", source)
    if track is None:
        return None
    age = max(0.0, readings.until.timestamp() - track.last)
    state: State = state_of(age, 90.0, 600.0)
    return Row(label="Beat", value=f"silent for {_timed(60 * round(age / 60))}" if state else "on time", state=state)


def _tasks(readings: Readings, source: str) -> Row | None:
    runs = readings.grown("cockpit_task_runs_total", source)
    if runs is None:
        return None
    failed = readings.grown("cockpit_task_runs_total", source, state=FAILED) or 0
    note = f"{words.count(round(failed))} failed" if failed else "none failed"
    return Row(label="Tasks run", value=words.count(round(runs)), note=note, state="near" if failed else "")


def _deltas(readings: Readings, source: str) -> Row | None:
    track = readings.one("cockpit_deltas_waiting", source)
    if track is None:
        return None
    return Row(
        label="Rows to fold", value=words.compact(round(track.last)), note=f"most {words.compact(round(track.most))}"
    )
