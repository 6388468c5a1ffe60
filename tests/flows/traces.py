"""The trace that the replay test sends: a real one where there is one, else one made to the same format."""

import csv
import os
import random
from datetime import datetime, timedelta
from pathlib import Path

_REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "llm_traces" / "azure_code_2023.csv"


def real_trace() -> Path | None:
    """The file that TRACE_FILE names, else the shared one, else None."""
    named = os.environ.get("TRACE_FILE")
    path = Path(named) if named else _REAL
    return path if path.is_file() else None


def made_trace(path: Path, calls: int = 8_819) -> Path:
    """A file of the same format: log-normal tokens over one hour."""
    chance = random.Random(2023)
    at = datetime(2023, 11, 16, 18, 15, 46)  # noqa: DTZ001 - the format's times carry no zone
    with path.open("w", encoding="ascii", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
        for _ in range(calls):
            at += timedelta(seconds=chance.expovariate(calls / 3600))
            tokens = int(chance.lognormvariate(7, 1)) + 1, int(chance.lognormvariate(2.5, 1)) + 1
            rows.writerow([f"{at:%Y-%m-%d %H:%M:%S.%f}0", *tokens])
    return path


def words() -> str:
    """Which trace the tests use, for the summary."""
    path = real_trace()
    return f"replayed trace: {path.name} (real)" if path else "replayed trace: generated (no TRACE_FILE, none shared)"
