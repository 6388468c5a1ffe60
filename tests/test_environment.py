"""The environment: typed, every fault told at once in one line each, no value ever shown."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cockpit import env
from cockpit.env import Env, EnvironmentFaults
from tests import servers

SECRETS = {
    "SECRET_KEY": "kjh23kjh4kjh23k4jh2k3jh4k2j3h4kjh234kjh2k3jh4kjQWERTYUIOP",
    "KEY_PEPPER": "pq09we8rpq09we8rpq09we8rpq09we8r",
}
PRODUCTION = {**SECRETS, "COCKPIT_ENV": "production", "ALLOWED_HOSTS": "cockpit.example.org"}


def read(**environ: str) -> Env:
    return env.read({**SECRETS, **environ})


def faults(environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(EnvironmentFaults) as caught:
        env.read(environ)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def names(environ: Mapping[str, str]) -> set[str]:
    told = faults(environ)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*: [^\n]+", line) for line in told), told
    return {line.partition(":")[0] for line in told}


class TestDefaults:
    def test_nothing_need_be_said_in_development(self, tmp_path: Path) -> None:
        found = env.read({"COCKPIT_DATA_DIR": str(tmp_path)})
        assert (found.environment, found.production) == ("development", False)
        assert (found.host, found.port, found.prometheus_port, found.grafana_port) == ("127.0.0.1", 3001, 9090, 3000)
        assert (found.log_level, found.default_organization) == ("info", "shared")
        assert (found.database_url, found.database_owner_url, found.redis_url) == (None, None, None)
        assert (found.tracing_endpoint, found.admin_username, found.admin_password) == (None, "admin", None)
        assert (found.trusted_proxies, found.rate_limit_per_minute, found.secure_cookies) == (0, 60_000, False)
        assert set(found.allowed_hosts) == {"localhost", "127.0.0.1", "[::1]"}

    def test_empty_is_the_same_as_absent(self) -> None:
        assert read(PORT="", LOG_LEVEL=" ", DATABASE_URL="", ALLOWED_HOSTS="", COCKPIT_ENV="") == read()

    def test_values_arrive_typed(self) -> None:
        found = read(
            PORT="8080", LOG_LEVEL="DEBUG", ALLOWED_HOSTS="a.example, b.example,", TRUSTED_PROXIES="2",
            SECURE_COOKIES="TRUE", KEY_PEPPER="new, old", TRACING_ENDPOINT="localhost:4317",
            DATABASE_URL="postgresql://a:b@/cockpit?host=/run/pg", REDIS_URL="unix:///run/valkey.sock?db=0",
        )  # fmt: skip
        assert (found.port, found.log_level, found.trusted_proxies, found.secure_cookies) == (8080, "debug", 2, True)
        assert (found.allowed_hosts, found.key_pepper) == (("a.example", "b.example"), ("new", "old"))

    @pytest.mark.parametrize(
        ("environ", "environment"),
        [
            ({"NODE_ENV": "production"}, "production"), ({"NODE_ENV": "development"}, "development"),
            ({"NODE_ENV": "test"}, "development"),
            ({"NODE_ENV": "production", "COCKPIT_ENV": "development"}, "development"),
            ({"NODE_ENV": "development", "COCKPIT_ENV": "production"}, "production"),
        ],
    )  # fmt: skip
    def test_node_env_is_the_old_name(self, environ: dict[str, str], environment: str) -> None:
        assert read(ALLOWED_HOSTS="cockpit.example.org", **environ).environment == environment


HOSTILE = [
    ("PORT", "0"), ("PORT", "65536"), ("PORT", "-1"), ("PORT", "80a"), ("PORT", "１"), ("PORT", "9" * 5000),
    ("PROMETHEUS_PORT", "x"), ("GRAFANA_PORT", "3e3"), ("LOG_LEVEL", "loud"), ("COCKPIT_ENV", "prod"),
    ("SECURE_COOKIES", "perhaps"), ("TRUSTED_PROXIES", "11"), ("RATE_LIMIT_PER_MINUTE", "0"), ("WEB_WORKERS", "0"),
    ("DEFAULT_ORGANIZATION", "Shared"), ("DEFAULT_ORGANIZATION", "a,b"), ("DEFAULT_ORGANIZATION", "a'b"),
    ("DATABASE_URL", "hunter2hunter2"), ("DATABASE_URL", "postgresql://user:hunter2@host"),
    ("DATABASE_URL", "mysql://user:hunter2@host/db"), ("DATABASE_OWNER_URL", "postgresql:///db?nonsense=hunter2"),
    ("REDIS_URL", "http://:hunter2@host/0"), ("REDIS_URL", "redis:///9hunter2"), ("REDIS_URL", "hunter2"),
    ("TRACING_ENDPOINT", "ftp://host"), ("TRACING_ENDPOINT", "http://host:port"),
    ("TRACING_ENDPOINT", "http://[::"), ("REDIS_URL", "redis://[::/0"),
    ("REDIS_URL", "redis://host:hunter2/0"),
    ("COCKPIT_DATABSE", "hunter2"), ("COCKPIT_ENVIRONMENT", "production"),
]  # fmt: skip


class TestFaults:
    @pytest.mark.parametrize(("name", "value"), HOSTILE)
    def test_one_is_told_by_its_name_and_never_by_its_value(self, name: str, value: str) -> None:
        environ = {**SECRETS, name: value}
        assert names(environ) == {name}
        (told,) = faults(environ)
        assert "hunter2" not in told
        if len(value) > 5:
            assert value not in told

    def test_all_are_told_at_once(self) -> None:
        broken = {"PORT": "x", "LOG_LEVEL": "x", "DATABASE_URL": "x", "TRUSTED_PROXIES": "x", "COCKPIT_NO": "x"}
        assert names({**SECRETS, **broken}) == set(broken)

    def test_a_name_of_the_tests_or_of_a_client_command_is_no_fault(self) -> None:
        read(COCKPIT_API_KEY="ck_x", COCKPITS="not ours", PATH="/bin")


class TestProduction:
    def test_safe_values_are_taken(self) -> None:
        found = env.read({**PRODUCTION, "CSRF_TRUSTED_ORIGINS": "https://cockpit.example.org"})
        assert found.production
        assert found.secure_cookies

    def test_nothing_said_is_refused_for_every_secret_at_once(self) -> None:
        assert names({"COCKPIT_ENV": "production"}) == {"SECRET_KEY", "KEY_PEPPER", "ALLOWED_HOSTS"}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SECRET_KEY", "hunter2" * 7), ("KEY_PEPPER", "hunter2"),
            ("KEY_PEPPER", SECRETS["KEY_PEPPER"] + ",hunter2"),
            ("SECRET_KEY", ""), ("KEY_PEPPER", ""), ("KEY_PEPPER", ","), ("ALLOWED_HOSTS", ""), ("ALLOWED_HOSTS", "*"),
            ("ALLOWED_HOSTS", "a.example,*"), ("ALLOWED_HOSTS", ","), ("ADMIN_PASSWORD", "hunter2"),
            ("SECURE_COOKIES", "false"), ("SECURE_COOKIES", "0"), ("CSRF_TRUSTED_ORIGINS", "http://a.example"),
            ("CSRF_TRUSTED_ORIGINS", "https://a.example,http://b.example"), ("CSRF_TRUSTED_ORIGINS", "*"),
        ],
    )  # fmt: skip
    def test_unsafe_values_are_refused(self, name: str, value: str) -> None:
        environ = {**PRODUCTION, name: value}
        assert names(environ) == {name}
        assert not any("hunter2" in line for line in faults(environ))

    def test_secrets_are_never_made_up(self, tmp_path: Path) -> None:
        faults({"COCKPIT_ENV": "production", "COCKPIT_DATA_DIR": str(tmp_path)})
        assert list(tmp_path.iterdir()) == []

    def test_development_takes_what_production_refuses(self) -> None:
        read(ALLOWED_HOSTS="*", ADMIN_PASSWORD="short", SECURE_COOKIES="false", CSRF_TRUSTED_ORIGINS="http://a.example")


class TestSecretFiles:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SECRET_KEY", "s" * 50), ("KEY_PEPPER", "p" * 32), ("ADMIN_PASSWORD", "hunter2hunter2"),
            ("DATABASE_URL", "postgresql://a:hunter2@h/d"), ("DATABASE_OWNER_URL", "postgresql://o:hunter2@h/d"),
            ("REDIS_URL", "redis://:hunter2@h/0"),
        ],
    )  # fmt: skip
    def test_each_may_stand_in_a_file(self, tmp_path: Path, name: str, value: str) -> None:
        path = tmp_path / "secret"
        path.write_text(f"{value}\n", encoding="utf-8")
        environ = {key: item for key, item in SECRETS.items() if key != name} | {f"{name}_FILE": str(path)}
        found = getattr(env.read(environ), name.lower())
        assert found == ((value,) if name == "KEY_PEPPER" else value)
        assert names({**environ, name: value}) == {name}
        path.write_bytes(b"\xff\xfe\x00")
        assert names(environ) == {f"{name}_FILE"}
        path.unlink()
        assert names(environ) == {f"{name}_FILE"}

    def test_a_folder_in_its_place_is_told_without_its_path(self, tmp_path: Path) -> None:
        (told,) = faults({**SECRETS, "ADMIN_PASSWORD_FILE": str(tmp_path)})
        assert "ADMIN_PASSWORD_FILE" in told
        assert str(tmp_path) not in told

    def test_an_empty_one_is_a_missing_secret(self, tmp_path: Path) -> None:
        path = tmp_path / "empty"
        path.touch()
        environ = {**PRODUCTION, "SECRET_KEY_FILE": str(path)}
        del environ["SECRET_KEY"]
        assert names(environ) == {"SECRET_KEY"}


class TestGeneratedSecrets:
    def test_they_are_private_long_different_and_stay(self, tmp_path: Path) -> None:
        environ = {"COCKPIT_DATA_DIR": str(tmp_path / "new")}
        first, second = env.read(environ), env.read(environ)
        assert (first.secret_key, first.key_pepper) == (second.secret_key, second.key_pepper)
        assert len({first.secret_key, *first.key_pepper}) == 2
        assert min(map(len, (first.secret_key, *first.key_pepper))) >= 50
        kept = tmp_path / "new" / "secrets"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
        files = sorted(kept.iterdir())
        assert [path.name for path in files] == ["key_pepper", "secret_key"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert env.read({"COCKPIT_DATA_DIR": str(tmp_path / "other")}).secret_key != first.secret_key

    def test_a_place_that_takes_none_is_one_line_a_secret(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert names({"COCKPIT_DATA_DIR": str(tmp_path / "file" / "below")}) == {"SECRET_KEY", "KEY_PEPPER"}


class TestTheFile:
    def read(self, tmp_path: Path, text: str, **environ: str) -> dict[str, str]:
        path = tmp_path / ".env"
        path.write_text(text, encoding="utf-8")
        return env.with_file(environ, path)

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ("NAME=value", "value"), ("  NAME = value  ", "value"), ("export NAME=value", "value"),
            ("NAME='a value'", "a value"), ('NAME="a value"', "a value"), ("NAME=", ""), ("NAME=''", ""),
            ("NAME=\"it's\"", "it's"),
            ("NAME=a=b=c", "a=b=c"), ("NAME=value # a comment", "value"), ("NAME=a#b", "a#b"),
            ("NAME=postgresql://u:p%40s@h/d?x=1", "postgresql://u:p%40s@h/d?x=1"), ("NAME=naïve", "naïve"),
        ],
    )  # fmt: skip
    def test_lines_are_read_as_people_write_them(self, tmp_path: Path, line: str, value: str) -> None:
        assert self.read(tmp_path, f"# first\n\n{line}\n") == {"NAME": value}

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ('NAME="a # b"', "a # b"),
            ("NAME='a #b' # and a comment", "a #b"),
            ("NAME=\"'quoted'\"", "'quoted'"),
        ],
    )
    def test_what_stands_in_quotes_is_kept_as_it_is(self, tmp_path: Path, line: str, value: str) -> None:
        assert self.read(tmp_path, line) == {"NAME": value}

    @pytest.mark.parametrize("line", ["# NAME=value", "NAME", "=value", "NA ME=value", "-"])
    def test_other_lines_say_nothing(self, tmp_path: Path, line: str) -> None:
        assert self.read(tmp_path, line) == {}

    def test_the_environment_stands_over_it(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, "ONE=file\nTWO=file", ONE="real") == {"ONE": "real", "TWO": "file"}

    def test_it_need_not_be_there(self, tmp_path: Path) -> None:
        assert env.with_file({"ONE": "1"}, tmp_path / "nowhere") == {"ONE": "1"}


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=env.ROOT,
        env=servers.clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestProcesses:
    def test_a_broken_environment_ends_a_command_with_one_line_a_fault(self) -> None:
        broken = {
            "PORT": "x",
            "COCKPIT_ENV": "production",
            "SECRET_KEY": "hunter2",
            "DATABASE_URL": "hunter2",
            "COCKPIT_X": "1",
        }
        ended = manage("check", **broken)
        assert ended.returncode == 2
        assert ended.stdout == ""
        lines = ended.stderr.splitlines()
        told = {re.fullmatch(r"environment: ([A-Z_]+): .+", line)[1] for line in lines}  # type: ignore[index]
        assert told == {"PORT", "SECRET_KEY", "KEY_PEPPER", "ALLOWED_HOSTS", "DATABASE_URL", "COCKPIT_X"}
        assert len(lines) == len(told)
        assert "hunter2" not in ended.stderr

    def test_a_right_one_passes_djangos_own_checks(self, tmp_path: Path) -> None:
        ended = manage("check", "--deploy", "--fail-level", "ERROR", COCKPIT_DATA_DIR=str(tmp_path))
        assert ended.returncode == 0, ended.stderr

    def test_importing_settings_starts_no_process_and_opens_no_connection(self, tmp_path: Path) -> None:
        script = """
import sys
sys.modules["requests"] = None  # a test tool's, which REST framework imports where it is: it binds a socket
seen = []
watched = ("subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system",
           "socket.connect", "socket.bind", "socket.getaddrinfo")
sys.addaudithook(lambda event, arguments: seen.append(event) if event in watched else None)
import threading
import cockpit.settings
import django
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "cockpit.settings"
django.setup()
import cockpit.urls
from django.db import connections
assert not seen, seen
assert threading.active_count() == 1, threading.enumerate()
assert all(connection.connection is None for connection in connections.all())
import subprocess
subprocess.run(["true"])
assert "subprocess.Popen" in seen  # the watch itself works
print("nothing started")
"""
        ended = subprocess.run(
            [sys.executable, "-c", script],
            cwd=env.ROOT,
            env=servers.clean_environment(COCKPIT_DATA_DIR=str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.stdout == "nothing started\n", ended.stderr
        made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
        assert made == {"secrets", "secrets/secret_key", "secrets/key_pepper"}

    def test_only_the_named_doors_read_the_environment(self) -> None:
        doors = {"cockpit/env.py", "cockpit/wsgi.py", "cockpit/celery.py", "cockpit/supervisor.py"}
        readers = {
            str(path.relative_to(env.ROOT))
            for floor in ("bedrock", "organizations", "monitoring", "cockpit")
            for path in (env.ROOT / floor).rglob("*.py")
            if re.search(r"\bos\.(environ|getenv|putenv)\b|import environ\b", path.read_text(encoding="utf-8"))
        }
        assert readers <= doors
        assert "cockpit/env.py" in readers
        assert os.environ["DJANGO_SETTINGS_MODULE"] == "tests.settings"
