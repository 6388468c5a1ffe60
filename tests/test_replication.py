"""How far a standby is behind, told by a real one: while it follows, while nothing comes, and while it hangs."""

import time
from collections.abc import Iterator

import psutil
import psycopg
import pytest

from cockpit.embedded.places import Places
from cockpit.embedded.postgres import Postgres
from monitoring.probes.backends import Database
from tests.servers import FAST, await_true, data_dir

LAG, STANDBYS = "cockpit_database_replication_lag_seconds", "cockpit_database_standbys"
REPLICATED = {**FAST, "wal_level": "replica", "max_wal_senders": "4"}


class Follower(Postgres):
    """A standby, begun as a copy of `leader`."""

    leader: Postgres

    def _make_cluster(self, account: object) -> None:
        data = self.places.postgres_data
        command = [str(self._bin_dir / "pg_basebackup"), "-d", self.leader.places.admin_url, "-D", str(data), "-R"]
        code, output = self._run([*command, "-X", "stream", "-c", "fast"], self.account)
        assert code == 0, output


@pytest.fixture
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    with data_dir() as first, data_dir() as second:
        leader, follower = Postgres(Places.of(first), REPLICATED), Follower(Places.of(second), REPLICATED)
        follower.leader = leader
        leader.start()
        try:
            with (leader.places.postgres_data / "pg_hba.conf").open("a", encoding="ascii") as rules:
                rules.write("local replication all trust\n")
            with psycopg.connect(leader.places.admin_url, autocommit=True) as admin:
                admin.execute("SELECT pg_reload_conf()")
            follower.start()
            yield leader, follower
        finally:
            follower.stop()
            leader.stop()


def test_a_standby_that_hangs_is_ever_further_behind(pair: tuple[Postgres, Postgres]) -> None:
    leader, follower = pair
    with psycopg.connect(leader.places.admin_url, autocommit=True) as admin:

        def told(family: str) -> float | None:
            read = {one.family: one.value for one in Database(admin.cursor).read()}
            return read.get(family)

        admin.execute("CREATE ROLE plain; CREATE ROLE reader; GRANT pg_read_all_stats TO reader")
        assert await_true(lambda: told(STANDBYS) == 1 and told(LAG) is not None, 20)
        admin.execute("CREATE TABLE filled AS SELECT * FROM generate_series(1, 1000)")
        time.sleep(0.5)
        lag = told(LAG)
        assert lag is not None
        assert 0 <= lag < 5
        admin.execute("SET ROLE plain")
        assert (told(STANDBYS), told(LAG)) == (1, None)  # what one may not see is not 0
        admin.execute("SET ROLE reader")
        assert told(LAG) is not None
        admin.execute("RESET ROLE")

        assert follower.child is not None
        server = psutil.Process(follower.child.pid)
        frozen = [server, *server.children(recursive=True)]
        for process in frozen:
            process.suspend()
        try:
            admin.execute("INSERT INTO filled SELECT * FROM generate_series(1, 1000)")
            assert await_true(lambda: (told(LAG) or 0) > 5, 40)
            before = told(LAG)
            assert before is not None
            assert await_true(lambda: (told(LAG) or 0) > before, 10)
        finally:
            for process in frozen:
                process.resume()
        assert await_true(lambda: told(LAG) is not None and (told(LAG) or 0) < 5, 30)
