"""Machines for developers: what each uses of what it has, and since when it says nothing any more."""

from collections.abc import Sequence

from cockpit.dashboard import charts, words
from cockpit.dashboard.limits import Drawing
from cockpit.dashboard.readings import Readings, Track
from cockpit.dashboard.sight import Sight
from cockpit.dashboard.units import Context, Lines, Row, Unit, compared, labelled, shares, state_of

MOST_HOSTS = 12
HOST_FAMILIES = (
    "cockpit_cpu_utilization_ratio", "cockpit_memory_used_bytes", "cockpit_disk_used_bytes",
    "cockpit_network_receive_bytes_total",
)  # fmt: skip


def hosts(readings: Readings) -> list[tuple[str, str]]:
    """(source, name) of every machine that was measured in the window or should have been."""
    found = {(one.source, one.labels.get("host", "")) for family in HOST_FAMILIES for one in readings.of(family)}
    asked = readings.of("cockpit_probe_up", probe="host")
    return sorted(found | {(one.source, one.labels["host"]) for one in asked if "host" in one.labels})


def machines(sight: Sight) -> Context | None:
    readings = sight.readings
    there = hosts(readings)
    expected = readings.platform and sight.totals.inferences and sight.source is None
    if not there and not expected:
        return None
    return {
        "units": [_machine(readings, source, host) for source, host in there[:MOST_HOSTS]],
        "more": max(0, len(there) - MOST_HOSTS),
        "period": sight.last,
        "label": readings.label(HOST_FAMILIES),
        "charts": _charts(sight, lone=len(there) == 1),
    }


def _charts(sight: Sight, *, lone: bool) -> list[Context]:
    readings, when = sight.readings, f"in {sight.last}"
    drawing = Drawing(step=readings.steps.seconds, lone=lone)
    limits = [sight.limits_of(name, drawing, label=readings.label(HOST_FAMILIES)) for name in ("processors", "memory")]
    drawn = (
        compared("Processors", readings, _processor_lines(readings), when, limits=limits[0]),
        compared("Memory", readings, _memory_lines(readings), when, limits=limits[1]),
    )
    return [chart for chart in drawn if chart]


def _processor_lines(readings: Readings) -> Lines:
    return {
        track.labels.get("host", ""): track.means(readings.steps)
        for track in readings.of("cockpit_cpu_utilization_ratio")
    }


def _memory_lines(readings: Readings) -> Lines:
    return {
        track.labels.get("host", ""): shares(
            track,
            readings.one("cockpit_memory_total_bytes", track.source, host=track.labels.get("host", "")),
            readings,
        )
        for track in readings.of("cockpit_memory_used_bytes")
    }


def _machine(readings: Readings, source: str, host: str) -> Unit:
    rows = (_processor(readings, source, host), *_memory(readings, source, host), _disk(readings, source, host),
            *_traffic(readings, source, host))  # fmt: skip
    tracks = [readings.one(family, source, host=host) for family in HOST_FAMILIES]
    return Unit(
        name=host or "a machine",
        kind="",
        source=labelled(source),
        rows=[row for row in rows if row],
        silence=readings.silence("host", source, tracks, host=host),
    )


def _processor(readings: Readings, source: str, host: str) -> Row | None:
    used = readings.one("cockpit_cpu_utilization_ratio", source, host=host)
    load = readings.last("cockpit_load_average", source, host=host, minutes="1")
    if used is None:
        return None
    return Row(
        label="Processors",
        value=words.percent(used.last),
        note=f"highest {words.percent(used.most)}" + (f", load {load:.2f}" if load is not None else ""),
        spark=charts.spark(used.means(readings.steps), full=1.0),
        state=state_of(used.last, 0.8, 0.95),
    )


def _memory(readings: Readings, source: str, host: str) -> list[Row]:
    rows = []
    for label, kind, near, bad in (("Memory", "memory", 0.85, 0.95), ("Swap", "swap", 0.5, 0.8)):
        used = readings.one(f"cockpit_{kind}_used_bytes", source, host=host)
        total = readings.one(f"cockpit_{kind}_total_bytes", source, host=host)
        if used and total and total.last:
            part = used.last / total.last
            rows.append(
                Row(
                    label=label,
                    value=words.percent(part),
                    note=f"{words.size(used.last)} of {words.size(total.last)}",
                    spark=charts.spark(shares(used, total, readings), full=1.0),
                    state=state_of(part, near, bad),
                )
            )
    return rows


def fullest(readings: Readings, source: str, host: str) -> tuple[Track, Track] | None:
    """The file system with the smallest part free, as (used, size)."""
    pairs = [
        (used, size)
        for used in readings.of("cockpit_disk_used_bytes", source, host=host)
        if (size := readings.one("cockpit_disk_size_bytes", source, host=host, mount=used.labels.get("mount", "")))
        and size.last
    ]
    return max(pairs, key=lambda pair: pair[0].last / pair[1].last, default=None)


def _disk(readings: Readings, source: str, host: str) -> Row | None:
    found = fullest(readings, source, host)
    if found is None:
        return None
    used, size = found
    free = readings.last("cockpit_disk_free_bytes", source, host=host, mount=used.labels.get("mount", ""))
    return Row(
        label="Fullest disk",
        value=words.percent(used.last / size.last),
        note=f"{used.labels.get('mount', '')}, {words.size(size.last - used.last if free is None else free)} free",
        spark=charts.spark(shares(used, size, readings), full=1.0),
        state=state_of(used.last / size.last, 0.85, 0.95),
    )


def _traffic(readings: Readings, source: str, host: str) -> list[Row]:
    rows = []
    for label, first, second, said in (
        ("Network", "cockpit_network_receive_bytes_total", "cockpit_network_transmit_bytes_total", ("in", "out")),
        ("Disk traffic", "cockpit_disk_read_bytes_total", "cockpit_disk_written_bytes_total", ("read", "written")),
    ):
        tracks = readings.one(first, source, host=host), readings.one(second, source, host=host)
        if tracks[0] and tracks[1]:
            rates = [_newest(track.rates(readings.steps)) for track in tracks if track]
            rows.append(
                Row(
                    label=label,
                    value=None if rates[0] is None else f"{words.size(rates[0])}/s {said[0]}",
                    note=f"{words.size(rates[1])}/s {said[1]}" if rates[1] is not None else "",
                    spark=charts.spark(tracks[0].rates(readings.steps)),
                )
            )
    names = ("cockpit_network_receive_errors_total", "cockpit_network_transmit_errors_total")
    errors = sum(readings.grown(name, source, host=host) or 0 for name in names)
    if errors:
        rows.append(Row(label="Network errors", value=words.count(round(errors)), state="near"))
    return rows


def _newest(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)
