"""The documentation is whole and says what the code says: built without a warning, no link lost, each table equal."""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from django.core.management import load_command_class
from django.core.validators import MaxValueValidator, MinValueValidator
from drf_spectacular.generators import SchemaGenerator

from alerts import (
    acting,
    deliveries,
    dispatching,
    evaluation,
    evaluations,
    expiry,
    forms,
    moves,
    queries,
    raising,
    replays,
    roster,
    routing,
    schedule,
    sending,
    states,
)
from alerts import answers as alert_answers
from alerts import serializers as bodies
from alerts import wire as alert_wire
from alerts.channels import TRANSPORTS, email, http, pagerduty_back, webhook
from alerts.channels.base import Failure, Notice
from cockpit import env, errors
from cockpit.dashboard import answers, movers, stream, windows
from cockpit.demo.profiles import STORY
from cockpit.env import ROOT
from monitoring import ingest, serializers
from monitoring.histogram import BUCKETS
from monitoring.store import partitions, retention
from monitoring.store.base import Groups, Summary
from organizations import access
from organizations.models import KeyScope, Membership, Organization
from tests.documents import DOCS, PAGES, code, name_of, table


def plain(number: str) -> int:
    return int(number.replace(",", ""))


def slug(heading: str) -> str:
    """As the site makes it."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def words_of(name: str) -> str:
    """A page of docs/ with single spaces, wherever its lines end."""
    return " ".join((DOCS / name).read_text(encoding="utf-8").split())


def prose(page: Path) -> str:
    """A page without its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


class Tags(HTMLParser):
    """What a built page links to, what it makes a browser fetch, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a":
            self.links += filter(None, [given.get("href")])
        else:
            self.fetched += [given[name] for name in ("src", "href", "srcset", "action", "data") if given.get(name)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, from a copy: the builder writes beside its configuration."""
    place = tmp_path_factory.mktemp("docs")
    shutil.copy(ROOT / "zensical.toml", place)
    shutil.copytree(DOCS, place / "docs")
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--clean", "--strict"]
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    assert "No issues found" in said
    return place / "site"


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Tags]:
    return {path: Tags(path.read_text(encoding="utf-8")) for path in sorted(built.rglob("*.html"))}


class TestSite:
    def test_it_is_built_without_a_warning(self, built: Path) -> None:
        for page in DOCS.rglob("*.md"):
            path = page.relative_to(DOCS).with_suffix("")
            path = path.parent if path.name == "index" else path
            assert (built / path / "index.html").is_file(), page

    def test_every_page_is_in_the_navigation_once(self) -> None:
        def named(entries: list[Any]) -> Iterator[str]:
            for entry in entries:
                for value in entry.values():
                    yield from [value] if isinstance(value, str) else named(value)

        project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
        assert sorted(named(project["nav"])) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))

    def test_every_link_and_anchor_of_the_site_is_there(self, built: Path, pages: dict[Path, Tags]) -> None:
        lost = []
        for path, tags in pages.items():
            for link in [*tags.links, *tags.fetched]:
                parts = urlsplit(link)
                if parts.scheme or parts.netloc or path.name == "404.html":
                    continue
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                target = target / "index.html" if target.is_dir() else target
                there = target.is_file() and (
                    not parts.fragment or target.suffix != ".html" or unquote(parts.fragment) in pages[target].anchors
                )
                if not there:
                    lost.append((path.relative_to(built).as_posix(), link))
        assert lost == []

    def test_it_asks_nothing_of_other_hosts(self, built: Path, pages: dict[Path, Tags]) -> None:
        foreign = [(path, link) for path, tags in pages.items() for link in tags.fetched if urlsplit(link).netloc]
        for sheet in built.rglob("*.css"):
            text = sheet.read_text(encoding="utf-8")
            foreign += [(sheet, url) for url in re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)]*)", text)]
            foreign += [(sheet, url) for url in re.findall(r"@import[^;]*//[^;]*", text)]
        assert foreign == []
        assert len(pages) > 20
        assert not any("mermaid" in path.read_text(encoding="utf-8") for path in pages)  # fetched when a page has one


class TestPages:
    @pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name_of)
    def test_every_link_of_the_source_is_there(self, page: Path) -> None:
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (page.parent / parts.path).resolve() if parts.path else page
            assert target.is_relative_to(DOCS if page.is_relative_to(DOCS) else ROOT), f"{link} is not on the site"
            assert target.exists(), link
            if parts.fragment:
                headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert parts.fragment in map(slug, headings), link

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_it_has_one_title_and_no_level_is_left_out(self, page: Path) -> None:
        levels = [len(marks) for marks in re.findall(r"^(#+) ", re.sub(r"(?s)```.*?```", "", page.read_text()), re.M)]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(later - sooner <= 1 for sooner, later in pairwise(levels))

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_the_files_that_it_names_are_there(self, page: Path) -> None:
        text = re.sub(r"(?s)```.*?```", "", page.read_text(encoding="utf-8"))
        roots = "deploy|tests|cockpit|monitoring|organizations|bedrock|static|docs|bin"
        for name in re.findall(rf"`((?:{roots})/[\w./-]+\.\w+)`", text):
            assert (ROOT / name).exists(), name

    def test_make_builds_what_the_tests_look_at(self) -> None:
        assert "\t@bin/setup && .venv/bin/zensical build --clean --strict\n" in (ROOT / "Makefile").read_text()
        ignored = (ROOT / ".gitignore").read_text().splitlines()
        assert {"/site/", "/.cache/"} <= set(ignored)


class Spy(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, given: dict[str, str]) -> None:
        self.given, self.asked = given, set[str]()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


SECRETS = {"SECRET_KEY": "s" * 50, "KEY_PEPPER": "p" * 32}
SETTINGS = [
    row
    for heading in ("General", "Secrets", "Database and cache", "Web", "Notices", "Client commands",
                    "Read and checked, used by nothing yet")
    for row in table("reference/settings.md", heading)
]  # fmt: skip


class TestSettings:
    def test_every_variable_is_told_once(self) -> None:
        told = [code(row[0])[0] for row in SETTINGS]
        spy = Spy(SECRETS)
        env.read(spy)
        assert sorted(told) == sorted(name for name in spy.asked if not name.endswith("_FILE"))
        files = {name.removesuffix("_FILE") for name in spy.asked if name.endswith("_FILE")}
        assert {code(row[0])[0] for row in SETTINGS if "*file*" in row[2]} == files

    def test_the_example_has_them_all_with_the_same_defaults(self) -> None:
        example = (ROOT / ".env.example").read_text(encoding="utf-8")
        given = dict(re.findall(r"^#?([A-Z][A-Z_]+)=(\S*)", example, re.MULTILINE))
        assert given.keys() == {code(row[0])[0] for row in SETTINGS} - {"NODE_ENV"}
        shapes = {"DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "TRACING_ENDPOINT"}  # an example, not a default
        for row in SETTINGS:
            name = code(row[0])[0]
            if given.get(name) and name not in shapes:
                assert code(row[1])[0] == given[name], name

    def test_defaults_are_those_of_the_code(self) -> None:
        found = env.read(SECRETS)
        for row in SETTINGS:
            name, default = code(row[0])[0], code(row[1])
            if re.fullmatch(r"`\d+`", row[1]):
                assert getattr(found, name.lower()) == int(default[0]), name
        assert (found.environment, found.log_level, found.log_format, found.host) == (
            "development", "info", "auto", "127.0.0.1"
        )  # fmt: skip
        assert (found.default_organization, found.admin_username, found.demo) == ("shared", "admin", True)

    def test_limits_of_numbers_are_those_of_the_code(self) -> None:
        numbers = [row for row in SETTINGS if re.fullmatch(r"[\d,]+ to [\d,]+", row[2])]
        assert len(numbers) >= 9
        for row in numbers:
            name, (low, high) = code(row[0])[0], map(plain, row[2].split(" to "))
            for value in (low, high):
                env.read({**SECRETS, name: str(value)})
            for value in (low - 1, high + 1):
                with pytest.raises(env.EnvironmentFaults):
                    env.read({**SECRETS, name: str(value)})

    def test_choices_are_those_of_the_code(self) -> None:
        for row in SETTINGS:
            words = code(row[2])
            if row[2] == ", ".join(f"`{word}`" for word in words) and len(words) > 1 and "://" not in row[2]:
                name = code(row[0])[0]
                for word in words:
                    env.read({**SECRETS, "ALLOWED_HOSTS": "a.example", name: word})
                with pytest.raises(env.EnvironmentFaults):
                    env.read({**SECRETS, name: "perhaps"})


COMMANDS = sorted(path.stem for path in (ROOT / "cockpit" / "management" / "commands").glob("[a-z]*.py"))


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Every option and argument of a command and of its verbs, less those of every Django command."""
    found = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                found |= options_of(verb)
        else:
            found |= {option for option in action.option_strings if option.startswith("--")} or {action.dest}
    usual = {"help", "version", "verbosity", "settings", "pythonpath", "traceback", "no-color", "force-color",
             "skip-checks"}  # fmt: skip
    return found - {f"--{name}" for name in usual}


class TestCommands:
    PAGE = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")

    def test_every_command_has_its_section(self) -> None:
        assert sorted(re.findall(r"^### (\w+)$", self.PAGE, re.MULTILINE)) == COMMANDS

    @pytest.mark.parametrize("name", [name for name in COMMANDS if name != "migrate"])  # its options are Django's
    def test_every_option_is_told(self, name: str) -> None:
        [section] = re.findall(rf"^### {name}\n(.*?)(?=^### |\Z)", self.PAGE, re.MULTILINE | re.DOTALL)
        told = set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE))
        assert told == options_of(load_command_class("cockpit", name).create_parser("manage.py", name))

    def test_every_verb_of_demo_is_told(self) -> None:
        parser = load_command_class("cockpit", "demo").create_parser("manage.py", "demo")
        [verbs] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        assert {code(row[0])[0].split()[1] for row in table("reference/commands.md", "demo")} == set(verbs.choices)

    def test_make_has_what_is_told_of_it(self) -> None:
        targets = re.findall(r"^([\w-]+):$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        told = set(re.findall(r"`make ([\w-]+)`", self.PAGE))
        assert told <= set(targets)


def paths(kind: Any, prefix: str = "") -> Iterator[str]:
    """Every field of what is sent, as `models[].modelName`; a struct that is told elsewhere is named only."""
    for field in msgspec.structs.fields(kind):
        name = f"{prefix}{field.encode_name}"
        inner, listed = field.type, False
        if get_origin(inner) is typing.Annotated:
            inner = get_args(inner)[0]
        if get_origin(inner) is list:
            inner, listed = get_args(inner)[0], True
        if get_origin(inner) in (UnionType, typing.Union):
            inner = next(one for one in get_args(inner) if one is not type(None))
        name += "[]" if listed else ""
        structured = isinstance(inner, type) and issubclass(inner, msgspec.Struct)
        if not structured or inner not in (answers.Window, answers.Sources):
            yield name
        if structured:
            yield from paths(inner, f"{name}.")


class TestDashboardData:
    def test_every_field_is_told_and_no_other(self) -> None:
        told = {code(row[0])[0] for row in table("reference/dashboard-data.md", "Fields")}
        # "The fields of totals", as the table says.
        same = {*paths(answers.Totals, "previous."), *paths(answers.Figures, "models[].")}
        assert told == set(paths(answers.Dashboard)) - same

    def test_null_is_told_where_it_may_be(self) -> None:
        told = {code(row[0])[0]: row[1] for row in table("reference/dashboard-data.md", "Fields")}
        for kind, prefix in ((answers.Totals, "totals."), (answers.Mover, "movers[]."), (answers.Model, "models[].")):
            for field in msgspec.structs.fields(kind):
                if cell := told.get(f"{prefix}{field.encode_name}"):
                    nullable = type(None) in get_args(field.type) or any(
                        type(None) in get_args(one) for one in get_args(field.type)
                    )
                    assert ("null" in cell) == (nullable and field.name not in ("change", "before", "after")), field

    def test_parameters_are_those_of_the_code(self) -> None:
        told = {name: row[1] for row in table("how-to/read-numbers.md", "With curl") for name in code(row[0])}
        assert set(told) == set(windows._NAMES)
        assert tuple(code(told["window"])) == windows.WINDOWS
        assert tuple(code(told["compare"])) == windows.COMPARISONS
        assert f"{windows._LONGEST.days} days" in told["from"]


class TestFields:
    ROWS = {code(row[0])[0]: row for row in table("reference/inference-fields.md", "Fields")}

    def test_every_field_is_told_and_no_other(self) -> None:
        fields = msgspec.structs.fields(ingest.Item)
        assert list(self.ROWS) != []
        assert set(self.ROWS) == {field.encode_name for field in fields}
        assert {name for name, row in self.ROWS.items() if row[1]} == {
            field.encode_name for field in fields if field.required
        }

    def test_limits_are_those_of_the_code(self) -> None:
        definitions = msgspec.json.schema(ingest.Item)["$defs"]["Item"]["properties"]
        for name, schema in definitions.items():
            choices = schema.get("anyOf", [schema])
            for choice in choices:
                for limit in ("maxLength", "maximum", "minLength", "minimum"):
                    if limit in choice and (limit[:3] == "max" or choice[limit] > 0):
                        assert f"{choice[limit]:,}" in self.ROWS[name][2], (name, limit)
                if "enum" in choice:
                    assert set(choice["enum"]) - {None, "demo"} == set(code(self.ROWS[name][2])), name

    def test_the_details_are_those_of_the_code(self) -> None:
        text = words_of("reference/inference-fields.md")
        assert f"from {ingest.OLDEST.days} days back to {ingest.NEWEST // timedelta(minutes=1)} minutes ahead" in text
        assert f"remembered for {partitions._KEYS_KEPT.days} days" in text
        assert f"below {ingest.MONEY_BELOW:,}, with at most {ingest.MONEY_DECIMALS} decimals" in text
        assert f"at most {ingest.MAX_TAGS} names" in text


ALERTS = "reference/alerts.md"


def told_of(heading: str) -> dict[str, list[str]]:
    """The rows of a table about alerts by what stands in their first column."""
    return {code(row[0])[0]: row for row in table(ALERTS, heading)}


def fields_of(kind: Any) -> dict[str, bool]:
    """The fields of a type as they are sent, and whether each is required."""
    return {field.encode_name: field.required for field in msgspec.structs.fields(kind)}


class TestAlerts:
    @pytest.mark.parametrize(
        ("heading", "kind"), [("Fields of a new alert", bodies.NewAlert), ("Deployments", bodies.Deployment)]
    )
    def test_every_field_that_is_sent_is_told_and_no_other(self, heading: str, kind: Any) -> None:
        assert {name: row[1] == "yes" for name, row in told_of(heading).items()} == fields_of(kind)

    def test_limits_are_those_of_the_code(self) -> None:
        rows = told_of("Fields of a new alert")
        properties = msgspec.json.schema(bodies.NewAlert)["$defs"]["NewAlert"]["properties"]
        for name, schema in properties.items():
            for choice in schema.get("anyOf", [schema]):
                if "maxLength" in choice:
                    assert f"{choice['minLength']} to {choice['maxLength']:,} characters" in rows[name][2], name
                if "enum" in choice:
                    assert code(rows[name][2]) == list(get_args(states.Severity))
        assert rows["metadata"][2] == (
            f"object, at most {bodies.MAX_METADATA >> 10} KiB and {bodies.MAX_METADATA_DEPTH} levels deep"
        )
        assert (
            f"at most {bodies.MAX_LABELS} names, each with a text of at most {bodies.LONGEST_LABEL}"
            in rows["labels"][2]
        )
        text = words_of(ALERTS)
        assert f"one object, or an array of at most {bodies.MAX_ITEMS}. At most {bodies.MAX_BODY >> 10} KiB" in text
        assert f"A `note` has at most {bodies.LONGEST_NOTE:,} characters" in text
        assert f"at most {acting.LONGEST_AHEAD.days} days ahead" in text
        assert f"can be sent again for {alert_answers.KEPT.days} days" in text
        assert f"over by itself after {raising.DEPLOYMENT_LASTS // timedelta(hours=1)} hours" in text

    def test_every_field_that_is_answered_is_told_and_no_other(self) -> None:
        assert list(told_of("Fields of an alert")) == list(fields_of(alert_wire.Alert))
        assert list(told_of("Timeline")) == list(fields_of(alert_wire.AlertEvent))
        assert code(told_of("Timeline")["kind"][1]) == list(get_args(states.Kind))
        shelf = ", ".join(f"`{name}`" for name in fields_of(alert_wire.AlertSuppression))
        assert told_of("Fields of an alert")["suppressedBy"][1].endswith(f"a list of {shelf}")

    def test_the_life_cycle_is_that_of_the_code(self) -> None:
        told = {verb: row[1:] for verb, row in told_of("Life cycle").items()}
        assert told == {
            verb: [moves.MOVES[verb].get(status, "409") for status in get_args(states.Status)] for verb in acting.BODIES
        }

    def test_verbs_have_the_fields_of_the_code(self) -> None:
        told = {verb: row[1] for verb, row in told_of("Verbs").items()}
        assert set(told) == set(acting.BODIES)
        for verb, kind in acting.BODIES.items():
            given = {code(one)[0]: "(required)" in one for one in told[verb].split(", ")}
            assert given == fields_of(kind), verb

    def test_reasons_parameters_and_headers_are_those_of_the_code(self) -> None:
        assert set(told_of("Suppression")) == set(get_args(states.Reason))
        lists = told_of("Lists")
        assert set(lists) == set(queries.LISTED)
        assert set(code(lists["status"][1])) == set(queries.STATUSES)
        assert tuple(code(lists["severity"][1])) == queries.SEVERITIES
        assert tuple(code(lists["source"][1])) == queries.SOURCES
        assert tuple(code(lists["ordering"][1])) == queries.ORDERINGS
        assert lists["limit"][1] == f"1 to {queries.MOST}; by default {queries.USUAL}"
        some = alert_wire.AlertSummary(total=0, firing=0, acknowledged=0, critical=0, warning=0, info=0, suppressed=0,
                                       oldest_at=None, oldest_seconds=0)  # fmt: skip
        assert list(told_of("Counts")) == list(alert_wire.headers_of(some))


DELIVERIES = "reference/deliveries.md"
EPOCH = datetime(2026, 3, 1, tzinfo=UTC)


def waits(kind: str) -> list[str]:
    """The waits of a column, as the table writes them."""
    sizes = ((3600, "h"), (60, "min"), (1, "s"))
    given = {"long": schedule.LONG, "slow": schedule.SLOW}[kind]
    return [next(f"{each // size} {unit}" for size, unit in sizes if each >= size) for each in given]


class TestDeliveries:
    def test_every_state_and_reason_is_told(self) -> None:
        migration = (ROOT / "alerts" / "migrations" / "0002_channels_and_deliveries.py").read_text(encoding="utf-8")
        [known] = re.findall(r"CHECK \(state IN \(('pending'[^)]*)\)\)", migration)
        rows = {code(row[0])[0]: row[1] for row in table(DELIVERIES, "States")}
        assert list(rows) == re.findall(r"'(\w+)'", known)
        assert f"{deliveries.LEASE.seconds} seconds" in rows["sending"]
        hours, days = expiry.OLDEST // timedelta(hours=1), expiry.GIVEN_UP.days
        assert f"{hours} hours after" in rows["expired"]
        assert f"after {days} days" in rows["expired"]

    def test_what_is_not_told_at_once_is_told_here(self) -> None:
        text, minutes = words_of(DELIVERIES), routing.INTERVAL // timedelta(minutes=1)
        assert f"told once in {minutes} minutes" in text
        assert routing._FREE == 2
        assert "has begun twice within that time" in text
        summed = expiry.SUMMED_AFTER // timedelta(minutes=1)
        assert f"where {expiry.MANY} alerts or more were over" in text
        assert f"within {summed} minutes" in text
        assert f"| `{routing.FLAPPING}` |" in text

    def test_every_failure_is_told_with_what_follows(self) -> None:
        rows = {code(row[0])[0]: row[2:] for row in table(DELIVERIES, "Failures")}
        named = {schedule.LONG: "long", schedule.SLOW: "slow", schedule.NEVER: "never"}
        assert rows == {kind: [named[one.waits], one.about] for kind, one in schedule.POLICIES.items()}
        assert set(rows) == set(get_args(Failure))

    def test_the_schedule_is_that_of_the_code(self) -> None:
        rows = table(DELIVERIES, "When it is tried again")
        assert [int(row[0]) for row in rows] == list(range(1, schedule.MOST))
        assert [row[1] for row in rows] == waits("long")
        assert [row[2] for row in rows if row[2]] == waits("slow")
        text = words_of(DELIVERIES)
        assert schedule.JITTER == 0.2
        assert "A fifth more or less" in text
        assert f"up to {schedule.LONGEST_WAIT // timedelta(hours=1)} hours" in text
        assert schedule.PATIENCE == 3
        assert "After three failures in a row" in text

    def test_every_kind_of_channel_is_told_with_its_pace(self) -> None:
        rows = {code(row[0])[0]: row[1:] for row in table(DELIVERIES, "Channels")}
        assert rows == {
            one.kind: [", ".join(f"`{event}`" for event in one.events), f"{one.per_minute:,}", str(one.burst),
                       str(one.at_once)]
            for one in TRANSPORTS.values()
        }  # fmt: skip

    def test_the_body_of_a_webhook_is_that_of_the_code(self) -> None:
        notice = Notice(
            id="msg_1", event="trigger", dedup_key="a:b:1", audience="developer", organization="a",
            organization_name="A", severity="info", status="firing", title="T", text="", started_at=EPOCH, at=EPOCH,
        )  # fmt: skip
        assert [code(row[0])[0] for row in table(DELIVERIES, "Body of a webhook")] == list(
            webhook.rendered(notice)["data"]
        )
        text = words_of(DELIVERIES)
        assert all(f"`{kind}`" in text for kind in webhook._TYPES.values())

    def test_limits_are_those_of_the_code(self) -> None:
        rows = {row[0]: plain(row[1]) for row in table(DELIVERIES, "Limits")}
        assert list(rows.values()) == [
            sending.SECONDS, http._MOST_BODY >> 10, sending._LONGEST_ANSWER, dispatching.THREADS, replays.MOST,
            email.MAX_RECIPIENTS, forms.MOST_PATTERNS, roster.LONGEST_NAME,
        ]  # fmt: skip

    def test_what_is_kept_is_that_of_the_code(self) -> None:
        rows = {row[0]: row for row in table("reference/retention.md", "What is kept")}
        assert plain(rows["tests and summaries that channels were sent"][1]) == expiry.KEPT_ALONE.days
        assert plain(rows["pulses of dead-man's switches"][1]) == expiry.KEPT_PULSES.days
        assert plain(rows["how groups of rules changed"][1]) == evaluation.KEPT_CHANGES.days
        assert plain(rows["what evaluations of rules did"][1]) == evaluations.KEPT.days

    def test_the_promises_of_the_explanation_are_those_of_the_code(self) -> None:
        text = words_of("explanation/told-for-certain.md")
        assert f"a lease of {deliveries.LEASE.seconds} seconds" in text
        assert sending.SECONDS == 10
        assert dispatching.POLL == 2
        assert "a notice may take ten seconds" in text.lower()
        assert "looks every two seconds" in text

    def test_the_way_of_a_pagerduty_subscription_is_told(self) -> None:
        text = words_of("how-to/tell-people.md")
        assert all(f"`{event}`" in text for event in pagerduty_back._VERBS)


class TestApi:
    SCHEMA = SchemaGenerator().get_schema(request=None, public=True)

    def test_every_route_is_told_with_its_permission(self) -> None:
        told = {code(row[0])[0]: "".join(code(row[2])) for row in table("reference/api.md", "Routes")}
        found = {}
        for path, methods in self.SCHEMA["paths"].items():
            for method, operation in methods.items():
                if method in ("get", "post", "put", "patch", "delete"):
                    needed = [name for one in operation.get("security", []) for names in one.values() for name in names]
                    found[f"{method.upper()} {path}"] = next(iter(needed), "")
        assert told == found

    def test_every_status_is_told(self) -> None:
        told = {int(row[0]) for row in table("reference/api.md", "Errors")}
        assert told == set(errors._TITLES) | {status for _, status, _, _ in errors._TABLE}

    def test_limits_are_those_of_the_code(self, settings: Any) -> None:
        rows = {row[0]: row[1] for row in table("reference/api.md", "Limits")}
        wire, inflated = serializers.MAX_WIRE >> 20, serializers.MAX_INFLATED >> 20
        assert rows["body of an inference request"] == f"{wire} MiB on the wire, {inflated} MiB unpacked"
        assert (
            rows["records in a request"]
            == f"{serializers.MAX_ITEMS:,}, with {serializers.MAX_VALUES:,} values together"
        )
        assert rows["alerts in a request, to raise or to change"] == str(bodies.MAX_ITEMS)
        assert rows["faults told of one record"] == str(serializers.MAX_FAULTS)
        assert rows["body of every other request"] == f"{settings.DATA_UPLOAD_MAX_MEMORY_SIZE >> 10} KiB"
        assert rows["a window given by its ends"] == f"{windows._LONGEST.days} days"
        assert rows["streams"] == (
            f"{stream.MOST_A_CALLER} a caller, {stream.MOST_AN_ORGANIZATION} an organization, "
            f"{stream.MOST_A_PROCESS} a process"
        )

    def test_the_stream_page_has_its_limits(self) -> None:
        told = [row[0] for row in table("reference/stream.md", "Limits")]
        limits = (stream.MOST_A_CALLER, stream.MOST_AN_ORGANIZATION, stream.MOST_A_PROCESS)
        assert [int(text.split()[0]) for text in told] == list(limits)
        assert f"every {stream.HEARTBEAT:.0f} seconds" in words_of("reference/stream.md")


class TestRoles:
    def test_every_role_is_told_with_its_permissions(self) -> None:
        told = {code(row[0])[0]: set(code(row[1])) for row in table("reference/roles.md", "Roles")}
        assert told == {role: set(access.ROLE_SCOPES[role]) for role in Membership.Role.values}

    def test_every_permission_is_told(self) -> None:
        assert {code(row[0])[0] for row in table("reference/roles.md", "Permissions")} == set(KeyScope.values)


class TestRetention:
    def test_days_are_those_of_the_code(self) -> None:
        rows = {row[0]: row for row in table("reference/retention.md", "What is kept")}
        for name, column in (("single inferences", "raw_days"), ("minutes", "minute_days"), ("hours", "hour_days")):
            field: Any = Organization._meta.get_field(column)
            bounds = {type(one): one.limit_value for one in field.validators}
            assert plain(rows[name][1]) == field.default
            assert rows[name][2] == f"{bounds[MinValueValidator]} to {bounds[MaxValueValidator]:,}"
        assert plain(rows["idempotency keys"][1]) == partitions._KEYS_KEPT.days
        assert plain(rows["single samples"][1]) == retention.SAMPLES_KEPT.days
        assert plain(rows["who called on which day, as hashes"][1]) == retention.USERS_KEPT.days


class TestExplanations:
    def test_the_worked_example_of_movers_is_worked_out_by_the_code(self) -> None:
        rows = table("explanation/movers.md", "A worked example")
        text = (DOCS / "explanation" / "movers.md").read_text(encoding="utf-8")
        sides: list[Groups] = [
            {(code(row[0])[0], ""): Summary(inferences=int(row[n]), cost=Decimal(row[n + 1])) for row in rows}
            for n in (1, 3)
        ]
        before, now = sides
        effects = movers.effects(now, before)
        for (model, _), effect in effects.items():
            parts = " | ".join(f"{float(part):.2f}" for part in (effect.volume, effect.mix, effect.price))
            assert f"| `{model}` | {parts} |" in text
        found = movers.find(now, before, currency="USD", against="the previous 7 days")
        assert len(found) == 3
        for one in found:
            name = f"`{one.model_name}`" if one.model_name else "2 models"
            figures = " | ".join(f"{figure:.2f}" for figure in (one.before, one.after, one.change))
            assert f"| {name} | {one.measure} | {figures} |" in text
        cost = [sum((one.cost or Decimal(0) for one in side.values()), Decimal(0)) for side in sides]
        assert sum((Decimal(str(one.change)) for one in found), Decimal(0)) == cost[1] - cost[0]

    def test_the_thresholds_of_movers_are_those_of_the_code(self) -> None:
        rows = {row[0]: row for row in table("explanation/movers.md", "Latency and errors: beyond chance")}
        assert rows["calls in both windows"][1:] == [f"at least {movers._ENOUGH}"] * 2
        assert rows["difference"][1:] == [
            f"at least {movers._SLOWER:.0%} and {movers._SLOWER_MS:.0f} ms".replace("%", " %"),
            f"at least {100 * movers._MORE_ERRORS:.0f} percentage point",
        ]
        assert rows["beyond chance"][1:] == [f"{movers._SURE:.0f} standard errors"] * 2

    def test_the_number_of_buckets(self) -> None:
        assert f"each of {BUCKETS} buckets" in words_of("explanation/percentiles.md")

    def test_the_tutorials_story_is_the_demos(self) -> None:
        text = words_of("tutorial/first-dashboard.md")
        words = {10: "ten", 12: "twelve"}
        assert f"names `{STORY.slow_model}`" in text
        assert f"since about {words[STORY.slow_since.days]} days ago" in text
        assert f"stands `{STORY.price_model}`" in text
        assert f"jumps once, {words[STORY.price_ago.days]} days ago" in text
