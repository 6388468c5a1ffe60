"""People of each day in the dashboard's totals, from what clients send to what pages read."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client

INFERENCE, DASHBOARD = "/api/monitoring/dashboard/inference", "/api/monitoring/dashboard"
DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def send(client: Client, key: str, *people: str | None, at: datetime, **changes: Any) -> None:
    for person in people:
        body = {"modelName": "m", "durationMs": 1, "occurredAt": at.isoformat(), **changes}
        body |= {} if person is None else {"userId": person}
        answer = client.post(
            INFERENCE, body, content_type="application/json", headers={"authorization": f"Bearer {key}"}
        )
        assert answer.status_code == 201, answer.content


def read(client: Client, key: str, **query: str) -> Any:
    answer = client.get(DASHBOARD, query, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.content
    return answer.json()


def per_day(totals: Any) -> dict[str, int]:
    return {entry["day"]: entry["users"] for entry in totals["activeUsersPerDay"]}


def test_each_person_counts_once_a_day(client: Client, make_key: Callable[..., str]) -> None:
    key = make_key()
    yesterday, before = TODAY - DAY, TODAY - 2 * DAY
    send(client, key, "ada", "bob", "ada", None, at=yesterday + timedelta(hours=3))
    send(client, key, "ada", at=before)
    send(client, make_key("scientia_capital"), "zoe", "yan", at=yesterday)
    asked = {"from": yesterday.isoformat(), "to": TODAY.isoformat()}
    found = read(client, key, **asked)
    assert per_day(found["totals"]) == {f"{yesterday:%Y-%m-%d}": 2}
    assert per_day(found["previous"]) == {f"{before:%Y-%m-%d}": 1}
    assert all("activeUsersPerDay" not in model for model in found["models"])
    assert read(client, key, **asked, compare="none")["previous"] is None


def test_a_window_tells_the_whole_days_that_it_has_a_part_of(client: Client, make_key: Callable[..., str]) -> None:
    key = make_key()
    for age, people in ((3, ("a",)), (2, ("a", "b")), (1, ("a", "b", "c"))):
        send(client, key, *people, at=TODAY - age * DAY + timedelta(hours=1))
    window = {"from": (TODAY - 2 * DAY + timedelta(hours=6)).isoformat(), "to": (TODAY - DAY).isoformat()}
    assert per_day(read(client, key, **window)["totals"]) == {f"{TODAY - 2 * DAY:%Y-%m-%d}": 2}
    window["to"] = (TODAY - DAY + timedelta(minutes=1)).isoformat()
    found = read(client, key, **window)["totals"]["activeUsersPerDay"]
    assert found == [
        {"day": f"{TODAY - 2 * DAY:%Y-%m-%d}", "users": 2},
        {"day": f"{TODAY - DAY:%Y-%m-%d}", "users": 3},
    ]


def test_the_source_asked_for_is_the_one_counted(client: Client, make_key: Callable[..., str]) -> None:
    key = make_key()
    yesterday = TODAY - DAY
    send(client, key, "ada", at=yesterday)
    send(client, key, "ada", "bob", at=yesterday, source="replay")
    asked = {"from": yesterday.isoformat(), "to": TODAY.isoformat()}
    counts = {
        source: per_day(read(client, key, **asked, source=source)["totals"]) for source in ("live", "replay", "demo")
    }
    day = f"{yesterday:%Y-%m-%d}"
    assert counts == {"live": {day: 1}, "replay": {day: 2}, "demo": {}}
    assert per_day(read(client, key, **asked)["totals"]) == {day: 2}
