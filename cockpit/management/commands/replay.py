"""`manage.py replay`: a trace of real LLM calls sent through the HTTP API: at once, as if its last call were now, or
with its own pauses."""

import http.client
import itertools
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cockpit import traces
from cockpit.journals import BadRun, Journal, Run, check_same
from cockpit.traces import Clock, Trace, TracedCall

_BATCH = 1_000
_REPEATABLE = timedelta(days=7)  # idempotency keys are remembered a little longer
_FASTEST = 1_000_000
_PATIENCE = 120.0  # seconds that a server may be away before the run stops; it can be taken up again
_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass(slots=True)
class Tally:
    """What the server said so far."""

    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    first_fault: str = ""


class Client:
    """One kept-alive connection to the inference endpoint; what is busy or away is asked again, keys make it safe."""

    def __init__(self, url: str, organization: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandError("--url: must look like http://localhost:3001")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=30)
        query = urlencode({"organization": organization})
        self._path = f"{parts.path.rstrip('/')}/api/monitoring/dashboard/inference?{query}"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}

    def check(self) -> None:
        """Whether the server is there and takes the key, found out by an empty body that it must refuse.

        Raises:
            CommandError: with the server's words.
        """
        status, text = self._post(b"")
        if status != 400:
            raise CommandError(f"the server answered {status}: {_words(text)}")

    def send(self, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The server's answer to a batch: {stored, duplicates, rejected, results}."""
        status, text = self._post(_encode_lines(list(items)))
        if status not in (201, 207) and not (status == 400 and b'"results"' in text):
            raise CommandError(f"the server answered {status}: {_words(text)}")
        found: dict[str, Any] = json.loads(text)
        return found

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Status and text; a server that is busy or away is asked again for a while."""
        until = time.monotonic() + _PATIENCE
        for attempt in itertools.count():
            try:
                self._connection.request("POST", self._path, body, self._headers)
                response = self._connection.getresponse()
                status, text, wait = response.status, response.read(), response.getheader("Retry-After", "")
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                status, text, wait = 503, f"no answer ({error})".encode(), ""
            if status not in (429, 502, 503, 504) or time.monotonic() > until:
                return status, text
            time.sleep(min(60.0, float(wait)) if wait.isdigit() else min(5.0, 0.1 * 2**attempt))
        raise AssertionError("the loop above ends by itself")


def _words(text: bytes) -> str:
    try:
        told = json.loads(text)
        return str(told.get("detail") or told.get("title"))
    except ValueError:
        return text[:200].decode(errors="replace")


def _price(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise CommandError("prices: must be plain numbers, money per million tokens") from None
    if not price.is_finite() or price < 0:
        raise CommandError("prices: must not be negative")
    return price


def _speed(text: str | None, trace: Trace) -> float | None:
    if text is None:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= _FASTEST:
        raise CommandError(f"--speed: must be a number above 0 and at most {_FASTEST:,}")
    if (trace.last - trace.first).total_seconds() / speed > _REPEATABLE.total_seconds():
        raise CommandError(f"--speed: at {speed:g} this trace takes more than the {_REPEATABLE.days} days of a run")
    return speed


class Command(BaseCommand):
    help = "Sends a trace of real LLM calls through the HTTP API. A repeated or interrupted run counts nothing twice."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="CSV with TIMESTAMP,ContextTokens,GeneratedTokens")
        parser.add_argument("--organization", required=True)
        parser.add_argument("--model", required=True, help="model name to record the calls under")
        parser.add_argument("--url", default=f"http://127.0.0.1:{settings.ENV.port}", help="where the cockpit answers")
        parser.add_argument("--run", default="", help="name of the run (default: from file, organization and model)")
        parser.add_argument("--key-file", type=Path, help="file that holds the API key (default: COCKPIT_API_KEY)")
        parser.add_argument("--input-price", help="money per million input tokens (default: sent without a cost)")
        parser.add_argument("--output-price", help="money per million output tokens")
        parser.add_argument(
            "--speed", help="keep the trace's own pauses, so many times faster (default: all at once, ending now)"
        )
        parser.add_argument("--resume", action="store_true", help="go on where the run of that name stopped")

    def handle(self, *args: Any, **options: Any) -> None:
        prices = [_price(options[name]) for name in ("input_price", "output_price")]
        if prices.count(None) == 1:
            raise CommandError("--input-price and --output-price go together")
        try:
            trace = traces.survey(options["file"])
            speed = _speed(options["speed"], trace)
            client = Client(options["url"], options["organization"], self._key(options["key_file"]))
            journal, run = self._begun(trace, options, prices, speed)
            if options["resume"] and run.sent == trace.calls:
                self.stdout.write(f"run {run.name}: all {trace.calls} calls were sent already")
                return
            client.check()
            self._replay(trace, journal, run, client)
        except (traces.BadTrace, BadRun) as error:
            raise CommandError(str(error)) from error

    def _replay(self, trace: Trace, journal: Journal, run: Run, client: Client) -> None:
        began, skipped = time.monotonic(), run.sent
        try:
            tally = self._send(trace, journal, run, client)
        except KeyboardInterrupt:
            stopped = journal.read() or run
            told = f"run {run.name}: stopped after {stopped.sent} of {trace.calls} calls"
            raise CommandError(f"{told}; the same command with --resume goes on from there", returncode=130) from None
        seconds, calls = time.monotonic() - began, trace.calls - skipped
        self.stdout.write(
            f"run {run.name}: {calls} calls in {seconds:.1f} s ({calls / seconds:,.0f}/s): "
            f"{tally.stored} stored, {tally.duplicates} already there, {tally.rejected} refused; "
            f"{f'{skipped} were sent before; ' if skipped else ''}"
            f"durations are estimated from tokens, source is replay"
        )
        if tally.rejected:
            raise CommandError(f"{tally.rejected} calls were refused, the first because {tally.first_fault}")

    def _key(self, path: Path | None) -> str:
        key = settings.ENV.api_key
        if path is not None:
            try:
                key = path.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"--key-file: cannot be read ({type(error).__name__})") from error
        if not key:
            raise CommandError("an API key is needed: set COCKPIT_API_KEY or name a --key-file")
        return key

    def _begun(
        self, trace: Trace, options: dict[str, Any], prices: list[Decimal | None], speed: float | None
    ) -> tuple[Journal, Run]:
        """The run as it began: from its journal when there is one, else begun now."""
        name = options["run"] or f"{trace.path.stem}-{options['organization']}-{options['model']}"
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:100]
        journal = Journal(settings.ENV.data_dir / "replays" / f"{name}.json")
        now = datetime.now(UTC)
        start = trace.last if speed is None else trace.first
        fresh = Run(
            name=name, key=f"{name}:{secrets.token_hex(4)}", sha256=trace.sha256, organization=options["organization"],
            model=options["model"], prices=[None if price is None else str(price) for price in prices], speed=speed,
            url=options["url"].rstrip("/"), began=now.isoformat(), trace_time=start.isoformat(),
            wall_time=now.isoformat(),
        )  # fmt: skip
        run = journal.read()
        if run is None:
            if options["resume"]:
                raise CommandError(f"--resume: there is no run {name} to go on with")
            return journal, fresh
        check_same(run, fresh, resume=options["resume"])
        if now - datetime.fromisoformat(run.began) > _REPEATABLE:
            raise CommandError(f"--run: {name} was begun more than a week ago; choose another name to send it anew")
        return journal, run if options["resume"] else replace(run, sent=0, tried=0, url=fresh.url)

    def _send(self, trace: Trace, journal: Journal, run: Run, client: Client) -> Tally:
        tally = Tally()
        columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bar = progress.add_task("sending", total=trace.calls, completed=run.sent)
            for clock, batch in _batches(trace, run):
                # What is on its way is noted first, with its clock: sent once more, it must be the very same.
                run = replace(run, trace_time=clock.trace.isoformat(), wall_time=clock.wall.isoformat())
                run = journal.write(replace(run, tried=run.sent + len(batch)))
                self._count(tally, client.send(_items(run, batch)), batch)
                run = journal.write(replace(run, sent=run.tried))
                progress.advance(bar, len(batch))
        return tally

    @staticmethod
    def _count(tally: Tally, answer: dict[str, Any], batch: list[TracedCall]) -> None:
        tally.stored += answer["stored"]
        tally.duplicates += answer["duplicates"]
        tally.rejected += answer["rejected"]
        refused = (row for row in answer["results"] if row["status"] == "rejected")
        if not tally.first_fault and (row := next(refused, None)):
            fault = row["errors"][0]
            tally.first_fault = f"line {batch[row['index']].line}: {fault['pointer']} {fault['message']}"


def _batches(trace: Trace, run: Run) -> Iterator[tuple[Clock, list[TracedCall]]]:
    """What is left to send, each batch with its clock; with pauses, that one starts anew after what was on its way."""
    calls = itertools.islice(traces.read(trace.path), run.sent, None)
    if on_its_way := list(itertools.islice(calls, run.tried - run.sent)):
        yield run.clock, on_its_way
    if run.speed is None:
        while batch := list(itertools.islice(calls, _BATCH)):
            yield run.clock, batch
        return
    upcoming = next(calls, None)
    if upcoming is None:
        return
    started = time.monotonic()
    clock = Clock(upcoming.at, datetime.now(UTC), run.speed)
    left = itertools.chain([upcoming], calls)
    for batch in traces.paced(left, clock, most=_BATCH, passed=lambda: time.monotonic() - started, sleep=time.sleep):
        yield clock, batch


def _items(run: Run, batch: Iterable[TracedCall]) -> Iterator[dict[str, Any]]:
    prices = [_price(text) for text in run.prices]
    for call in batch:
        yield traces.item(
            call, model=run.model, at=run.clock.at(call), run=run.key, input_price=prices[0], output_price=prices[1]
        )
