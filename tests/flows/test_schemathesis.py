"""A thousand requests made from the description, right and wrong ones: none fails, none is answered as not told."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.house import ROOT, House, house

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
    "allow_header_conformance", "ignored_auth",
)  # fmt: skip
SIGNED = "takePagerDutyWebhook"  # by a secret that nobody guesses: its statuses are reached there too
ENDLESS = "followDashboard"  # a stream has no end to wait for: tests/test_schema.py reaches its statuses one by one
# Besides the usual ones: an array of which some was taken, and the rest rejected item by item.
REJECTIONS = (207, 400, 401, 403, 404, 405, 406, 409, 413, 415, 422)
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")


def an_alert(cockpit: House) -> str:
    """The id of an alert that there is."""
    body = json.dumps({"alertType": "one", "severity": "info", "message": "to be found"}).encode()
    headers = {"Authorization": f"Bearer {cockpit.keys['swaggystacks']}", "Content-Type": "application/json"}
    with urlopen(Request(f"http://127.0.0.1:{cockpit.port}/api/monitoring/alerts", body, headers)) as answered:
        return str(json.load(answered)["id"])


def ask(cockpit: House, place: Path, *, examples: int, seed: int) -> Counter[tuple[str, str, int]]:
    """(method, path, status) of every request that was made; fails with what Schemathesis has to complain about."""
    address = f"http://127.0.0.1:{cockpit.port}"
    with urlopen(f"{address}/api/schema") as served:
        (place / "schema.json").write_bytes(served.read())
    (place / "schemathesis.toml").write_text(
        f"[checks.negative_data_rejection]\nexpected-statuses = {[*map(str, REJECTIONS)]}\n"
    )
    command = [
        Path(sys.executable).with_name("st"), "--config-file", place / "schemathesis.toml", "run",
        place / "schema.json", "--url", address, "--no-color",
        "--header", f"Authorization: Bearer {cockpit.keys['swaggystacks']}",
        "--exclude-operation-id", ENDLESS, "--exclude-operation-id", SIGNED,
        "--phases", "examples,coverage,fuzzing", "--mode", "all", "--generation-allow-x00", "true",
        "--max-examples", examples, "--seed", seed, "--checks", ",".join(CHECKS), "--request-timeout", "20",
        "--generation-database", "none", "--no-shrink", "--suppress-health-check", "all", "--workers", "2",
        "--report", "har", "--report-har-path", place / "asked.har",
    ]  # fmt: skip
    own = {
        "AN_ALERT": an_alert(cockpit),
        "SCHEMATHESIS_HOOKS": str(HOOKS),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
    }
    ended = subprocess.run(
        list(map(str, command)), cwd=place, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    entries = json.loads((place / "asked.har").read_text())["log"]["entries"]
    return Counter(
        (entry["request"]["method"], urlsplit(entry["request"]["url"]).path, entry["response"]["status"])
        for entry in entries
    )


def assert_everything_was_asked(place: Path, asked: Counter[tuple[str, str, int]], least: int) -> None:
    assert asked.total() >= least
    assert not [what for what in asked if what[2] >= 500]
    paths = json.loads((place / "schema.json").read_text())["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            if operation["operationId"] not in (ENDLESS, SIGNED):
                form = re.compile(re.sub(r"{\w+}", "[^/]+", path))
                statuses = {status for verb, where, status in asked if verb == method.upper() and form.fullmatch(where)}
                # 409: understood, but another request had ended the alert by then.
                assert {status for status in statuses if status < 300 or status == 409}, (path, statuses)
    statuses = {status for _, path, status in asked if path == "/api/monitoring/dashboard/inference"}
    assert {201, 400, 401, 405} <= statuses


@pytest.mark.timeout(400)  # some forty seconds of it are spent when nobody else wants the machine
def test_a_thousand_requests_are_answered_as_told(tmp_path: Path) -> None:
    with house(DEMO="0", RATE_LIMIT_PER_MINUTE="100000000") as cockpit:
        asked = ask(cockpit, tmp_path, examples=40, seed=1)
    assert_everything_was_asked(tmp_path, asked, 1_000)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_three_thousand_are_as_well(tmp_path: Path) -> None:
    with house(DEMO="0", RATE_LIMIT_PER_MINUTE="100000000") as cockpit:
        asked = ask(cockpit, tmp_path, examples=400, seed=int.from_bytes(os.urandom(4), "big"))
    assert_everything_was_asked(tmp_path, asked, 3_000)
