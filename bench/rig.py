"""What every benchmark needs: a house to measure, and its result printed and kept."""

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from tests.house import ROOT, House, house

__all__ = ["House", "house", "keep"]


def keep(name: str, result: dict[str, Any]) -> None:
    """Prints the result and keeps it beside the benchmark, with the command that made it."""
    result = {
        "benchmark": name,
        "command": " ".join(["python", "-m", f"bench.{name}", *sys.argv[1:]]),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        **result,
    }
    text = json.dumps(result, indent=2)
    print(text)
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    (ROOT / "bench" / "results" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
