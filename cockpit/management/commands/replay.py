"""`manage.py replay`: a trace of real LLM calls sent through the HTTP API, as if its last call were now."""

import http.client
import itertools
import json
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
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

_BATCH = 1_000
_PATIENCE = 120.0  # seconds that a server may be away before the run stops; it can be taken up again
_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True, slots=True)
class Run:
    """What a run must remember so that its repetition sends the very same: kept in a file of its name."""

    name: str
    sha256: str
    organization: str
    model: str
    shift_seconds: float


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

    def send(self, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The server's answer to a batch: {stored, duplicates, rejected, results}."""
        body = _encode_lines(list(items))
        until = time.monotonic() + _PATIENCE
        for attempt in itertools.count():
            try:
                self._connection.request("POST", self._path, body, self._headers)
                response = self._connection.getresponse()
                status, text, wait = response.status, response.read(), response.getheader("Retry-After", "")
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                status, text, wait = 503, str(error).encode(), ""
            if status in (201, 207) or (status == 400 and b'"results"' in text):
                found: dict[str, Any] = json.loads(text)
                return found
            if status not in (429, 502, 503, 504) or time.monotonic() > until:
                raise CommandError(f"the server answered {status}: {_words(text)}")
            time.sleep(min(60.0, float(wait)) if wait.isdigit() else min(5.0, 0.1 * 2**attempt))
        raise AssertionError("the loop above ends by itself")


def _words(text: bytes) -> str:
    try:
        told = json.loads(text)
        return str(told.get("detail") or told.get("title"))
    except ValueError:
        return text[:200].decode(errors="replace")


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise CommandError("prices: must be plain numbers, money per million tokens") from None
    if not price.is_finite() or price < 0:
        raise CommandError("prices: must not be negative")
    return price


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

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            trace = traces.survey(options["file"])
            run = self._run(trace, options)
            began = time.monotonic()
            tally = self._send(trace, run, options)
        except traces.BadTrace as error:
            raise CommandError(str(error)) from error
        seconds = time.monotonic() - began
        self.stdout.write(
            f"run {run.name}: {trace.calls} calls in {seconds:.1f} s ({trace.calls / seconds:,.0f}/s): "
            f"{tally.stored} stored, {tally.duplicates} already there, {tally.rejected} refused; "
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

    def _run(self, trace: traces.Trace, options: dict[str, Any]) -> Run:
        """The run as it began: from its file when there is one, else begun now."""
        name = options["run"] or f"{trace.path.stem}-{options['organization']}-{options['model']}"
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:100]
        path = settings.ENV.data_dir / "replays" / f"{name}.json"
        if path.is_file():
            run = Run(**json.loads(path.read_text(encoding="utf-8")))
            same = (run.sha256, run.organization, run.model) == (
                trace.sha256,
                options["organization"],
                options["model"],
            )
            if not same:
                raise CommandError(
                    f"--run: {name} was begun with another file, organization or model; choose another name"
                )
            return run
        shift = datetime.now(UTC) - trace.last
        run = Run(name, trace.sha256, options["organization"], options["model"], shift.total_seconds())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(run)), encoding="utf-8")
        return run

    def _send(self, trace: traces.Trace, run: Run, options: dict[str, Any]) -> Tally:
        prices = [_price(options[name]) if options[name] else None for name in ("input_price", "output_price")]
        if prices.count(None) == 1:
            raise CommandError("--input-price and --output-price go together")
        client = Client(options["url"], run.organization, self._key(options["key_file"]))
        shift, tally = timedelta(seconds=run.shift_seconds), Tally()
        columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bar = progress.add_task("sending", total=trace.calls)
            calls = traces.read(trace.path)
            while batch := list(itertools.islice(calls, _BATCH)):
                answer = client.send(
                    traces.item(
                        call, model=run.model, shift=shift, run=run.name, input_price=prices[0], output_price=prices[1]
                    )
                    for call in batch
                )
                tally.stored += answer["stored"]
                tally.duplicates += answer["duplicates"]
                tally.rejected += answer["rejected"]
                for row in answer["results"] if answer["rejected"] and not tally.first_fault else ():
                    if row["status"] == "rejected":
                        fault = row["errors"][0]
                        tally.first_fault = f"line {batch[row['index']].line}: {fault['pointer']} {fault['message']}"
                        break
                progress.advance(bar, len(batch))
        return tally
