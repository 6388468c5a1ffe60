"""The main data path over real processes: POST -> fold -> dashboard JSON -> page."""

import http.client
import time
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode

import psycopg

from cockpit.embedded.places import Places
from tests.house import PASSWORD, House
from tests.servers import await_true


def admin_connection(cockpit: House) -> "psycopg.Connection[tuple[object, ...]]":
    url = psycopg.conninfo.make_conninfo(Places.of(cockpit.data_dir).admin_url, dbname="cockpit")
    return psycopg.connect(url, autocommit=True)


def counts(cockpit: House, *tables: str) -> list[int]:
    """At one moment."""
    sums = ", ".join(f"(SELECT coalesce(sum(inferences), 0)::int FROM {table})" for table in tables)
    with admin_connection(cockpit) as connection:
        row = connection.execute(f"SELECT {sums}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return [int(str(each)) for each in row]


def test_it_works(cockpit: House) -> None:
    before = cockpit.dashboard()["totals"]["inferences"]
    items = [
        {"modelName": "flow", "durationMs": 100 + n, "cost": "0.000001", "inputTokens": 10, "outputTokens": 1}
        for n in range(100)
    ]
    status, answer = cockpit.post(items)
    assert (status, answer["stored"]) == (201, 100)
    began = time.monotonic()
    await_true(lambda: cockpit.dashboard()["totals"]["inferences"] == before + 100, 5)
    assert time.monotonic() - began <= 2, "a number is never staler than 2 s"
    model = next(row for row in cockpit.dashboard()["models"] if row["modelName"] == "flow")
    assert (model["cost"], model["inputTokens"], model["errors"]) == ("0.0001", 1000, 0)
    assert 100 <= model["p50Ms"] <= 200


def test_a_chunked_body_is_read(cockpit: House) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", cockpit.port, timeout=20)
    chunks = iter([b'{"modelName": "chunked",', b' "durationMs": 5}'])
    headers = {"Authorization": f"Bearer {cockpit.keys['swaggystacks']}", "Content-Type": "application/json"}
    connection.request("POST", "/api/monitoring/dashboard/inference", chunks, headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 201, response.read()


def test_the_folder_empties_the_deltas_and_the_numbers_stay(cockpit: House) -> None:
    cockpit.post({"modelName": "folded", "durationMs": 5, "cost": "1.10"})
    assert await_true(lambda: counts(cockpit, "monitoring_rollup_delta") == [0], 10)
    rollups = counts(cockpit, *(f"monitoring_rollup_{grain}" for grain in ("minute", "hour", "day")))
    assert len(set(rollups)) == 1
    data = cockpit.dashboard("window=15m")
    model = next(row for row in data["models"] if row["modelName"] == "folded")
    assert Decimal(model["cost"]) == Decimal("1.1")
    assert sum(data["series"]["inferences"]) == data["totals"]["inferences"]


def test_the_page_shows_it_to_a_person_who_signs_in(cockpit: House) -> None:
    name = f"page-{datetime.now(UTC):%H%M%S}"
    cockpit.post({"modelName": name, "durationMs": 1234, "cost": "0.42"})
    connection = http.client.HTTPConnection("127.0.0.1", cockpit.port, timeout=20)

    def ask(method: str, path: str, cookie: str = "", form: dict[str, str] | None = None) -> tuple[int, str, str, str]:
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, path, urlencode(form) if form else None, headers)
        response = connection.getresponse()
        cookies = "; ".join(line.split(";")[0].strip() for line in response.headers.get_all("set-cookie") or [])
        return response.status, response.headers.get("location", ""), cookies, response.read().decode()

    status, location, _, _ = ask("GET", "/dashboards/swaggystacks/")
    assert (status, location.split("?")[0]) == (302, "/login/")
    _, _, csrf, page = ask("GET", "/login/")
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
    status, location, session, _ = ask("POST", "/login/", csrf, form)
    assert (status, location) == (302, "/")
    status, _, _, page = ask("GET", "/dashboards/swaggystacks/?window=1h", session)
    assert status == 200
    assert name in page
    assert "$0.42" in page


def test_every_role_runs_and_the_celery_worker_keeps_house(cockpit: House) -> None:
    words = [" ".join(child.cmdline()) for child in cockpit.process.children(recursive=True)]
    for sign in ("granian", "celery", " beat ", " worker ", " fold", " dispatch", "postgres", "valkey"):
        assert any(sign in each for each in words), sign
    with admin_connection(cockpit) as connection:
        partitions = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'monitoring_inference'::regclass"
        ).fetchone()
    assert partitions == (45,)  # 30 days back, today, 14 ahead
