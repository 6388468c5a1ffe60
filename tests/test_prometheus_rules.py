"""What Prometheus is given, its configuration and the rules on our own deliveries: held against a scrape, and tried."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import reverse

from alerts import tallies
from alerts.states import RANKS
from cockpit.env import ROOT
from monitoring.counting import table as counted
from monitoring.families import FAMILIES
from monitoring.openmetrics import TEXT
from tests import documents
from tests.test_alert_exposition import rule as judged_rule
from tests.test_compose import variables_of
from tests.test_docs import slug
from tests.test_exposition import Series, parsed, promtool

__all__ = ["promtool"]  # a fixture

PLACE = ROOT / "monitoring" / "prometheus"
TRIED = ROOT / "tests" / "prometheus_rules_test.yml"
PAGE = "how-to/tell-people.md"
OWN = "swaggystacks"
PARTS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
THEIRS = {"job", "instance"}  # labels that Prometheus itself gives


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


CONFIGURATION = read(PLACE / "prometheus.yml")
FILES = sorted(path for pattern in CONFIGURATION["rule_files"] for path in PLACE.glob(pattern))
RULES: list[dict[str, Any]] = [rule for path in FILES for group in read(path)["groups"] for rule in group["rules"]]
TRIALS: list[dict[str, Any]] = read(TRIED)["tests"]
BY_ALERT = {rule["alert"]: rule for rule in RULES}


def selectors(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each of our series in an expression, by its name and the labels it is chosen by."""
    for name, labels in re.findall(r"\b(cockpit_\w+)(?:\{([^}]*)\})?", text):
        yield name, dict(re.findall(r'(\w+)="([^"]*)"', labels))


def every_series() -> Iterator[tuple[str, dict[str, str]]]:
    """Those that the trials make up."""
    for trial in TRIALS:
        for given in trial["input_series"]:
            yield from selectors(given["series"])


@pytest.fixture
def scraped(make_key: Callable[..., str], now: Any) -> Series:
    """What a cockpit tells that has tried to tell somebody, and judged a rule."""
    judged_rule(now)
    counted.clear()
    for outcome in ("sent", "retried", "dead"):
        counted.add(OWN, tallies.DELIVERIES, (("channel", "On call"), ("outcome", outcome)))
    counted.flush(now)
    key = make_key("shared", "metrics:read", platform=True)
    answer = Client().get("/api/metrics", headers={"authorization": f"Bearer {key}", "accept": TEXT})
    assert answer.status_code == 200
    return parsed(answer.content.decode(), TEXT)


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """The file as it stands, but for the key, which is somewhere else here."""
    key = tmp_path / "cockpit.key"
    key.write_text("ck_made_up")
    text = (PLACE / "prometheus.yml").read_text(encoding="utf-8")
    assert "/etc/prometheus/cockpit.key" in text
    path = tmp_path / "prometheus.yml"
    text = text.replace("/etc/prometheus/cockpit.key", str(key)).replace("- rules/", f"- {PLACE}/rules/")
    path.write_text(text, encoding="utf-8")
    return path


def run(*command: str | Path, ends: int = 0) -> str:
    """What it says; it ends as it should."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == ends, said
    return said


class TestRules:
    def test_there_are_rules_and_no_name_stands_twice(self) -> None:
        assert [path.name for path in FILES] == ["delivery.yml"]
        assert len(BY_ALERT) == len(RULES) >= 5

    @pytest.mark.parametrize("alert", list(BY_ALERT))
    def test_every_family_is_one_that_we_export(self, alert: str) -> None:
        there = {f"{family.name}{part}" for family in FAMILIES for part in ("", *PARTS.get(family.kind, ()))}
        named = {name for name, _ in selectors(BY_ALERT[alert]["expr"])}
        assert named
        assert named <= there

    @pytest.mark.usefixtures("database")
    def test_every_series_that_they_ask_for_is_told_at_a_scrape(self, scraped: Series) -> None:
        for rule in RULES:
            for name, labels in selectors(rule["expr"]):
                told = [found for (one, found) in scraped if one == name and labels.items() <= dict(found).items()]
                assert told, (rule["alert"], name, labels)

    @pytest.mark.usefixtures("database")
    def test_the_series_of_the_trials_have_labels_as_at_a_scrape(self, scraped: Series) -> None:
        series = list(every_series())
        assert {name for name, _ in series} >= {name for rule in RULES for name, _ in selectors(rule["expr"])}
        for name, labels in series:
            told = {frozenset(dict(found)) for one, found in scraped if one == name}
            assert len(told) == 1, name
            ours = labels.keys() - THEIRS
            assert ours == set(*told) or (ours < set(*told) and name == "cockpit_build_info"), name

    @pytest.mark.parametrize("alert", list(BY_ALERT))
    def test_each_says_how_bad_it_is_and_what_to_do_in_words(self, alert: str) -> None:
        rule = BY_ALERT[alert]
        assert rule["labels"]["severity"] in RANKS
        assert rule["for"]
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert all(text.endswith(".") for name, text in rule["annotations"].items() if name != "runbook")
        path, anchor = rule["annotations"]["runbook"].split("#")
        headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in map(slug, headings)

    def test_the_page_names_each(self) -> None:
        told = {documents.code(row[0])[0]: row for row in documents.table(PAGE, "Let Prometheus watch")}
        assert told.keys() == BY_ALERT.keys()
        for alert, row in told.items():
            assert row[1] == BY_ALERT[alert]["labels"]["severity"]
            assert row[3] == BY_ALERT[alert]["for"].replace("m", " min")


class TestConfiguration:
    [JOB] = CONFIGURATION["scrape_configs"]

    def test_the_reference_tool_finds_nothing_to_say(self, promtool: str, configuration: Path) -> None:
        said = run(promtool, "check", "config", "--lint=all", "--lint-fatal", configuration)
        assert f"{len(FILES)} rule files found" in said
        assert f"{len(RULES)} rules found" in said

    def test_it_asks_where_web_is_in_compose(self) -> None:
        assert self.JOB["metrics_path"] == reverse("metrics")
        assert self.JOB["static_configs"] == [{"targets": [f"web:{variables_of('web')['PORT']}"]}]
        assert self.JOB.get("scheme", "http") == "http"

    def test_the_key_is_in_a_file(self) -> None:
        assert self.JOB["authorization"].keys() == {"credentials_file"}
        assert not {"basic_auth", "bearer_token", "oauth2"} & self.JOB.keys()

    def test_the_rules_name_its_job(self) -> None:
        named = {job for rule in RULES for job in re.findall(r'job="([^"]*)"', rule["expr"])}
        assert named == {self.JOB["job_name"]}

    @pytest.mark.usefixtures("database")
    def test_web_must_be_among_the_allowed_hosts(self, make_key: Callable[..., str], settings: Any) -> None:
        headers = {"authorization": f"Bearer {make_key('shared', 'metrics:read', platform=True)}"}
        [[target]] = [one["targets"] for one in self.JOB["static_configs"]]
        given = {"path": self.JOB["metrics_path"], "headers": headers, "HTTP_HOST": target}
        settings.ALLOWED_HOSTS = ["cockpit.example.org"]
        assert Client().get(**given).status_code == 400
        settings.ALLOWED_HOSTS = ["cockpit.example.org", "web"]
        assert Client().get(**given).status_code == 200


class TestTrials:
    def test_prometheus_warns_when_it_should_and_then_alone(self, promtool: str) -> None:
        assert "SUCCESS" in run(promtool, "test", "rules", TRIED)

    def test_each_rule_is_tried_both_ways(self) -> None:
        trials = [one for trial in TRIALS for one in trial["alert_rule_test"]]
        assert {one["alertname"] for one in trials if one.get("exp_alerts")} == BY_ALERT.keys()
        assert {one["alertname"] for one in trials if not one.get("exp_alerts")} == BY_ALERT.keys()

    @pytest.mark.parametrize("alert", list(BY_ALERT))
    def test_whoever_is_warned_is_told_of_which_organization(self, alert: str) -> None:
        warned = [label for trial in TRIALS for one in trial["alert_rule_test"] if one["alertname"] == alert
                  for found in one.get("exp_alerts", ()) for label in found["exp_labels"]]  # fmt: skip
        assert ("organization" in warned) is (alert != "CockpitSilent")

    @pytest.mark.parametrize("alert", list(BY_ALERT))
    def test_they_fail_where_a_rule_says_nothing_any_more(self, promtool: str, tmp_path: Path, alert: str) -> None:
        rules = read(FILES[0])
        for rule in rules["groups"][0]["rules"]:
            if rule["alert"] == alert:
                rule["expr"] = "vector(1) > 2"
        (tmp_path / "delivery.yml").write_text(yaml.safe_dump(rules))
        trials = {**read(TRIED), "rule_files": ["delivery.yml"]}
        (tmp_path / "trials.yml").write_text(yaml.safe_dump(trials))
        assert f"alertname: {alert}" in run(promtool, "test", "rules", tmp_path / "trials.yml", ends=1)
