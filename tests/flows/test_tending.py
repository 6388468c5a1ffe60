"""Alerts tended over real processes: beat -> queue -> worker; what runs out comes back by itself."""

import http.client
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.house import House
from tests.servers import await_true


def ask(cockpit: House, method: str, path: str, body: object = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", cockpit.port, timeout=20)
    headers = {"Authorization": f"Bearer {cockpit.keys['swaggystacks']}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        told = response.read()
        assert response.status < 300, told
        return json.loads(told)
    finally:
        connection.close()


def test_an_acknowledgement_runs_out_by_itself(cockpit: House) -> None:
    fired = ask(cockpit, "POST", "/api/monitoring/alerts",
                {"alertType": "tended", "severity": "warning", "message": "It is slow."})  # fmt: skip
    path = f"/api/monitoring/alerts/{fired['id']}"
    until = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    assert ask(cockpit, "PUT", f"{path}/acknowledge", {"until": until})["status"] == "acknowledged"
    assert await_true(lambda: ask(cockpit, "GET", path)["status"] == "firing", 40)
    assert ask(cockpit, "GET", path)["acknowledgedBy"] is None
    assert await_true(lambda: ask(cockpit, "GET", "/api/health")["parts"]["alerts"]["state"] == "ok", 20)
