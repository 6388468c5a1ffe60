"""Durable records/s over HTTP at 1, 100 and 1,000 a request, against raw COPY of the same rows in the same run.

    python -m bench.ingest [--seconds 5] [--rounds 3]

Everything runs as it ships (fsync on, one web worker, folder, worker and beat beside it) and shares the machine with
the senders.
"""

import argparse
import http.client
import json
import statistics
import threading
from datetime import UTC, datetime
from typing import Any

import psycopg

from bench.rig import House, admin_url, house, keep, together
from monitoring.store import rows
from monitoring.store.base import Inference

_URL = "/api/monitoring/dashboard/inference"
_SENDERS = {1: 8, 100: 4, 1_000: 3}
_MODELS = ("qwen2.5:7b", "deepseek-coder-v2", "llama3.1:70b", "mistral-large")


def _item(number: int) -> dict[str, Any]:
    return {
        "modelName": _MODELS[number % 4],
        "provider": "ollama",
        "endpointId": f"endpoint-{number % 5}",
        "durationMs": 80 + (number * 37) % 2_000,
        "timeToFirstTokenMs": 20 + number % 200,
        "inputTokens": 100 + number % 4_000,
        "outputTokens": 20 + number % 700,
        "cost": f"0.00{number % 900 + 100}",
        "status": "error" if number % 50 == 0 else "success",
        "errorType": "overloaded" if number % 50 == 0 else None,
        "userId": f"user-{number % 200}",
    }


def over_http(running: House, size: int, seconds: float) -> float:
    body = json.dumps([_item(number) for number in range(size)] if size > 1 else _item(7)).encode()
    headers = {"Authorization": f"Bearer {running.keys['swaggystacks']}", "Content-Type": "application/json"}
    local = threading.local()

    def work() -> int:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", running.port)
        local.connection.request("POST", _URL, body, headers)
        response = local.connection.getresponse()
        response.read()
        assert response.status == 201, response.status
        return size

    return together(_SENDERS[size], seconds, work)


def raw_copy(running: House, size: int, seconds: float) -> float:
    """The same rows, already formatted, one COPY and commit a batch, without policies, checks, deltas or HTTP."""
    admin = admin_url(running)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS raw_copy")
        connection.execute("CREATE TABLE raw_copy (LIKE monitoring_inference)")
        connection.execute("ALTER TABLE raw_copy ADD PRIMARY KEY (id, occurred_at)")
        connection.execute("CREATE INDEX ON raw_copy (organization_id, occurred_at DESC)")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    batch = [
        Inference(
            organization="swaggystacks", occurred_ms=now_ms, model=item["modelName"], provider="ollama",
            endpoint=item["endpointId"], status=item["status"], error_type=item["errorType"] or "", attempt=1,
            estimated=False, source="live", duration_us=int(item["durationMs"] * 1000), ttft_us=30_000,
            input_tokens=item["inputTokens"], output_tokens=item["outputTokens"], cache_read_tokens=None,
            cache_write_tokens=None, reasoning_tokens=None, cost=item["cost"], revenue=None, user_hash="0" * 32,
            trace_id=None, span_id=None, tags=None,
        )
        for item in map(_item, range(size))
    ]  # fmt: skip
    local = threading.local()

    def work() -> int:
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(admin)
        with local.connection.cursor() as cursor:
            with cursor.copy(f"COPY raw_copy ({rows.INFERENCE_COLUMNS}) FROM STDIN") as copy:
                copy.write(rows.inference_lines(rows.new_ids(batch), batch))
            local.connection.commit()
        return size

    return together(_SENDERS[size], seconds, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[int, dict[str, list[float]]] = {size: {"http": [], "copy": []} for size in _SENDERS}
    with house(RATE_LIMIT_PER_MINUTE="100000000") as running:
        idle = running.memory_mib()
        over_http(running, 1_000, 2.0)  # warm
        for _ in range(options.rounds):
            for size in _SENDERS:
                found[size]["http"].append(over_http(running, size, options.seconds))
                found[size]["copy"].append(raw_copy(running, size, options.seconds))
        busy, peak = running.memory_mib(), running.peak_rss_mib()
    result = {
        f"{size} a request": {
            "senders": _SENDERS[size],
            "records_per_second": round(statistics.median(one["http"])),
            "raw_copy_per_second": round(statistics.median(one["copy"])),
            "ratio": round(statistics.median(a / b for a, b in zip(one["http"], one["copy"], strict=True)), 2),
            "rounds": [[round(a), round(b)] for a, b in zip(one["http"], one["copy"], strict=True)],
        }
        for size, one in found.items()
    }
    keep("ingest", {**result, "memory_pss_mib": {"idle": idle, "after": busy}, "peak_rss_mib": peak})


if __name__ == "__main__":
    main()
