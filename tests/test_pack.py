"""The rules that everybody is given: sound, in words, given once, and right about what is planted in the demo."""

import re
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from msgspec import structs

from alerts import evaluation, meanings, pack, rehearsal, rulebook, saying, seeding, simulation, soundness, tasks
from alerts.definitions import Definition
from alerts.models import Alert, AlertRule
from alerts.pack import BY_KEY, PACK, Packed
from alerts.rehearsal import Episode
from alerts.rulebook import Ruled
from alerts.rules import MINUTE, Condition, Reading, Standing
from bedrock import identifiers
from cockpit.demo import loading, samples
from cockpit.demo.calls import HOUR, Telling, hour_of_calls
from cockpit.demo.profiles import STORY, Profile, Story
from monitoring import families
from monitoring.histogram import BUCKETS
from monitoring.ingest import Item, record_inferences
from monitoring.probes.nvml_words import THROTTLES, XIDS
from monitoring.store import current_store
from monitoring.store.base import Summary
from monitoring.store.samples import Increment, Sample
from organizations.models import AuditEvent, Organization
from organizations.scope import Scope
from tests.documents import DOCS, code, table
from tests.test_demo import QUIET, SCIENTIA, SWAGGY, UTC_ZONE

PAGE = "reference/rules-pack.md"
EVERYONE = Scope.system("test")
DAY, WEEK = timedelta(days=1), timedelta(days=7)
AT = datetime(2026, 3, 12, 12, tzinfo=UTC)
WORDS = {"each": "each organization", "shared": "the platform", "all": "all"}
OF_DEVELOPERS = re.compile(
    r"p\d\d|median|percentile|latency|ttft|token|5xx|http|xid|ecc|gpu|nvlink|probe|queue|broker|worker|beat|dispatch"
    r"|ratio|endpoint|standby|transaction|cache|credential|threshold|[{}_]",
    re.IGNORECASE,
)


def ruled(one: Packed, organization: str = SWAGGY) -> Ruled:
    return rulebook.ruled(one.definition, id=uuid5(UUID(int=0), one.key), organization=organization, key=one.key,
                          name=one.name)  # fmt: skip


def each(rows: tuple[Packed, ...] = PACK) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("one", rows, ids=lambda one: one.key)


def judged(one: Definition) -> str:
    """What is judged, as the documentation says it."""
    divided = f" per `{one.per}`" if one.per else ""
    kept = "; ".join(f"`{name}`: {', '.join(values)}" for name, values in one.filters.items())
    by = f", by {', '.join(f'`{name}`' for name in one.by)}" if one.by else ""
    change = {"": "", "previous": ", against the time before", "week": ", against a week ago"}[one.change]
    return f"{one.aggregation} of `{one.measure}`{divided}{f' ({kept})' if kept else ''} over " \
           f"{saying.span(one.window)}{change}{by}"  # fmt: skip


def asked(one: Definition) -> str:
    """What is asked of it, likewise."""
    hold = f"; for {saying.span(one.condition.hold)}" if one.condition.hold else ""
    return saying.asked(one) + hold + (f"; from {one.condition.least:,}" if one.condition.least else "")


def row(one: Packed) -> str:
    cells = (f"[`{one.key}`](#{one.key})", one.name, WORDS[one.whom], judged(one.definition), asked(one.definition))
    return f"| {' | '.join(cells)} |"


def firing(one: Packed, level: Any = "warning") -> tuple[Standing, Reading]:
    value = one.definition.condition.critical if level == "critical" else one.definition.condition.warning
    return Standing(state=level, level=level, since=AT), Reading(value, 1234)


def levels(one: Packed) -> list[str]:
    asked: Condition = one.definition.condition
    return [name for name in ("warning", "critical") if getattr(asked, name) is not None]


class TestRows:
    @each()
    def test_it_can_be_judged(self, one: Packed) -> None:
        assert soundness.problems(one.definition) == {}
        assert msgspec.json.decode(msgspec.json.encode(one.definition), type=Definition) == one.definition

    @each()
    def test_what_it_is_about_is_measured(self, one: Packed) -> None:
        asked = [name for name in (one.definition.measure, one.definition.per) if name]
        if not one.definition.of_inferences:
            assert set(asked) <= set(families.BY_NAME)
            assert {families.BY_NAME[name].group for name in asked} & {"business"} == set()

    @each()
    def test_each_level_ends_nearer_to_what_is_usual_than_it_begins(self, one: Packed) -> None:
        asked = one.definition.condition
        up = 1 if asked.operator in ("gt", "gte") else -1
        for begins, ends in ((asked.warning, asked.warning_clear), (asked.critical, asked.critical_clear)):
            assert ends is None or (begins is not None and up * ends < up * begins)

    @each()
    def test_its_texts_are_filled_and_say_it_to_both(self, one: Packed) -> None:
        rule = ruled(one)
        group = tuple(f"the-{name}" for name in one.definition.by)
        for level in levels(one):
            report = saying.report_of(rule, group, *firing(one, level))
            for text in (report.message, report.metadata[meanings.PLAIN]):
                assert not re.search(r"[{}]|no data|  ", text), text
                assert text[0].isupper() or text[0].isdigit() or text[0] in "+-", text
                assert text.endswith("."), text
            named = [name for name in one.definition.by if name not in ("model", "endpoint")]
            assert all(f"the-{name}" in report.message for name in one.definition.by)
            assert set(report.labels) == {"runbook", saying.RULE, *named}

    @each(tuple(one for one in PACK if one.definition.change))
    def test_of_two_weeks_no_number_is_told_as_that_of_one(self, one: Packed) -> None:
        """What a change is judged by are the samples of either week; those of a week ago where none came since."""
        text, gone = one.definition.developer, one.definition.condition.warning == -100
        assert ("{samples}" in text) is gone
        assert gone or "changed by {value}" in text

    @each()
    def test_what_executives_read_is_plain(self, one: Packed) -> None:
        bare = re.sub(r"\{\w+\}", "", one.definition.executive)
        assert bare
        assert OF_DEVELOPERS.search(bare) is None
        assert meanings.meaning(one.key, "warning", {}) != "Something to watch"

    def test_keys_and_names_are_of_one_rule_each(self) -> None:
        assert len({one.key for one in PACK}) == len({one.name for one in PACK}) == len(PACK) == len(BY_KEY)
        assert all(one.definition.alert_type == one.key for one in PACK)

    def test_what_machines_say_is_for_the_platform_and_inferences_for_everybody_else(self) -> None:
        for one in PACK:
            family = families.BY_NAME.get(one.definition.measure)
            if one.definition.of_inferences:
                assert one.whom == "each"
            else:
                assert family is not None
                assert (one.whom == "shared") is (family.group in ("system", "gpu", "self")), one.key
        assert {one.key for one in pack.of("shared")} & {one.key for one in pack.of("acme")} == {
            one.key for one in PACK if one.whom == "all"
        }

    def test_words_of_the_driver_are_the_probes_own(self) -> None:
        reasons = {reason for _, reason in THROTTLES}
        assert set(BY_KEY["gpu_held_back"].definition.filters["reason"]) <= reasons
        severities = {one.severity for one in XIDS.values()}
        for key in ("gpu_xid", "gpu_xid_watch"):
            assert set(BY_KEY[key].definition.filters["severity"]) <= severities

    def test_nothing_that_goes_wrong_at_every_house_is_left_out(self) -> None:
        assert set(BY_KEY) >= {
            "high_error_rate", "high_latency", "cost_spike", "spend_pace", "model_absent", "gpu_heat", "gpu_xid",
            "gpu_memory_full", "gpu_held_back", "disk_full", "memory_full", "database_delay", "queue_age", "role_down",
            "inferences_absent", "auth_failures", "rate_limit_storm", "delivery_dead", "model_down", "machine_absent",
        }  # fmt: skip


class TestDocumentation:
    TEXT = (DOCS / PAGE).read_text(encoding="utf-8")

    def test_every_rule_is_told_as_it_is(self) -> None:
        told = [f"| {' | '.join(cells)} |" for cells in table(PAGE, "Rules")]
        assert told == [row(one) for one in PACK]

    def test_every_rule_has_a_runbook_where_its_label_says(self) -> None:
        sections = dict(re.findall(r"^### `(\w+)`\n\n(.*?)(?=^###? |\Z)", self.TEXT, re.MULTILINE | re.DOTALL))
        assert list(sections) == [one.key for one in PACK]
        for one in PACK:
            assert len(sections[one.key].split()) > 10
            page, _, anchor = one.definition.labels["runbook"].partition("#")
            assert (f"{page.rstrip('/')}.md", anchor) == (PAGE, one.key)

    def test_families_that_runbooks_name_are_there(self) -> None:
        named = {name for name in code(self.TEXT) if re.fullmatch(r"cockpit_\w+", name)}
        assert named <= set(families.BY_NAME)


def rules(organization: str) -> dict[str, AlertRule]:
    with EVERYONE.enter():
        return {one.key: one for one in AlertRule.objects.filter(organization=organization)}


def versions(rule: AlertRule) -> list[tuple[int, str, str]]:
    with EVERYONE.enter(), connection.cursor() as cursor:
        cursor.execute("SELECT version, by, state FROM alerts_rule_version WHERE rule_id = %s ORDER BY 1", [rule.pk])
        return list(cursor.fetchall())


def everybody() -> tuple[str, ...]:
    return ("shared", SWAGGY, SCIENTIA)


@pytest.mark.usefixtures("database")
class TestSeeding:
    def test_every_organization_is_given_its_own(self) -> None:
        made = seeding.seed(AT)
        assert made == sum(len(pack.of(slug)) for slug in everybody())
        for slug in everybody():
            assert sorted(rules(slug)) == sorted(one.key for one in pack.of(slug))
            for key, rule in rules(slug).items():
                assert (rule.name, rule.state, rule.seeded, rule.version) == (BY_KEY[key].name, "on", True, 1)
                assert msgspec.convert(rule.definition, Definition) == BY_KEY[key].definition
                assert versions(rule) == [(1, seeding.BY, "on")]
        book = rulebook.enabled()
        assert len(book.rules) == made
        assert not book.broken

    def test_it_stands_in_the_trail(self) -> None:
        seeding.seed(AT)
        with EVERYONE.enter():
            found = AuditEvent.objects.filter(organization=SWAGGY, object_type="rule", action="created")
            assert found.count() == len(pack.of(SWAGGY))
            assert {one.actor for one in found} == {"system"}

    def test_once_is_enough_and_costs_one_question(self) -> None:
        seeding.seed(AT)
        before = rules(SWAGGY)
        with CaptureQueriesContext(connection) as asked:
            assert seeding.seed(AT + DAY) == 0
        assert len([one for one in asked if "alerts_rule" in one["sql"]]) == 1
        assert {key: (one.pk, one.changed_at) for key, one in rules(SWAGGY).items()} == {
            key: (one.pk, one.changed_at) for key, one in before.items()
        }

    def test_what_people_made_of_theirs_stays(self) -> None:
        seeding.seed(AT)
        paused, retired, changed = (rules(SWAGGY)[key] for key in ("cost_spike", "high_latency", "high_error_rate"))
        softer = structs.replace(BY_KEY["high_error_rate"].definition, window=60)
        with Scope.of(SWAGGY).enter():
            rulebook.switch(rule=paused, state="paused", now=AT, by="ada")
            rulebook.switch(rule=retired, state="retired", now=AT, by="ada")
            rulebook.change(rule=changed, name="Ours", definition=softer, now=AT, by="ada")
        assert seeding.seed(AT + DAY) == 0
        after = rules(SWAGGY)
        assert len(after) == len(pack.of(SWAGGY))
        assert (after["cost_spike"].state, after["high_latency"].state) == ("paused", "retired")
        assert (after["high_error_rate"].name, after["high_error_rate"].definition["window"]) == ("Ours", 60)
        assert [by for _, by, _ in versions(after["high_error_rate"])] == [seeding.BY, "ada"]

    def test_a_new_organization_is_given_them_the_next_time(self) -> None:
        seeding.seed(AT)
        Organization.objects.create(slug="acme", name="Acme")
        assert seeding.seed(AT + MINUTE) == len(pack.of("acme"))
        assert rules("acme").keys() == {one.key for one in pack.of("acme")}

    def test_a_rule_that_the_pack_has_from_now_on_comes_to_those_who_are_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as earlier:
            earlier.setattr(seeding, "PACK", PACK[1:])
            seeding.seed(AT)
        assert seeding.seed(AT + DAY) == 2
        for slug in (SWAGGY, SCIENTIA):
            assert rules(slug)[PACK[0].key].created_at == AT + DAY

    def test_a_name_that_people_have_taken_stays_theirs(self) -> None:
        own = structs.replace(BY_KEY["cost_spike"].definition, window=120)
        with Scope.of(SWAGGY).enter():
            rulebook.create(organization=SWAGGY, name=BY_KEY["cost_spike"].name, definition=own, now=AT, by="ada",
                            key="ours")  # fmt: skip
        seeding.seed(AT)
        found = rules(SWAGGY)
        assert found["ours"].name == BY_KEY["cost_spike"].name
        assert found["cost_spike"].name == f"{BY_KEY['cost_spike'].name} (pack)"

    def test_however_often_they_took_it(self) -> None:
        own, name = BY_KEY["cost_spike"].definition, BY_KEY["cost_spike"].name
        with Scope.of(SWAGGY).enter():
            for taken in (name, f"{name} (pack)", f"{name} (pack 2)"):
                rulebook.create(organization=SWAGGY, name=taken, definition=own, now=AT, by="ada")
            retired = AlertRule.objects.get(organization=SWAGGY, name=f"{name} (pack 2)")
            rulebook.switch(rule=retired, state="retired", now=AT, by="ada")
        seeding.seed(AT)
        assert rules(SWAGGY)["cost_spike"].name == f"{name} (pack 2)"
        assert len(rules(SWAGGY)) == len(pack.of(SWAGGY)) + 3

    def test_a_name_of_which_people_made_the_same_word_is_not_taken(self) -> None:
        with Scope.of(SWAGGY).enter():
            for name in ("High latency", "high-latency!"):
                rulebook.create(organization=SWAGGY, name=name, definition=BY_KEY["cost_spike"].definition, now=AT,
                                by="ada")  # fmt: skip
        seeding.seed(AT)
        found = rules(SWAGGY)
        assert (found["high_latency"].seeded, found["high_latency"].name) == (True, BY_KEY["high_latency"].name)
        assert (found["high_latency_2"].name, found["high_latency_3"].name) == ("High latency", "high-latency!")

    def test_one_that_cannot_be_made_keeps_no_other_from_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        create = rulebook.create

        def sometimes(**given: Any) -> UUID:
            made = create(**given)
            if given["key"] == "cost_spike":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1 / 0")
            return made

        with monkeypatch.context() as broken:
            broken.setattr(rulebook, "create", sometimes)
            assert seeding.seed(AT) == sum(len(pack.of(slug)) for slug in everybody()) - 2
        assert BY_KEY.keys() - rules(SWAGGY).keys() - {one.key for one in pack.of("shared")} == {"cost_spike"}
        assert seeding.seed(AT) == 2

    def test_any_number_at_once_make_each_rule_once(self) -> None:
        start, made = Barrier(4), []

        def work() -> None:
            try:
                start.wait()
                made.append(seeding.seed(AT))
            finally:
                connections.close_all()

        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(made) == sum(len(pack.of(slug)) for slug in everybody())
        assert len(made) == 4
        for slug in everybody():
            assert all(versions(rule) == [(1, seeding.BY, "on")] for rule in rules(slug).values())

    def test_one_that_cannot_be_given_any_keeps_no_other_from_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        create = rulebook.create

        def sometimes(**given: Any) -> UUID:
            if given["organization"] == SCIENTIA:
                raise rulebook.Unsound({"name": "must be another"})
            return create(**given)

        with monkeypatch.context() as broken:
            broken.setattr(rulebook, "create", sometimes)
            seeding.seed(AT)
        assert (len(rules(SCIENTIA)), len(rules(SWAGGY))) == (0, len(pack.of(SWAGGY)))
        assert seeding.seed(AT) == len(pack.of(SCIENTIA))

    def test_they_are_given_before_rules_are_judged(self) -> None:
        tasks.evaluate()
        assert rules(SWAGGY).keys() == {one.key for one in pack.of(SWAGGY)}
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("SELECT sum(rules), sum(failed) FROM alerts_evaluation")
            assert cursor.fetchall() == [(sum(len(pack.of(slug)) for slug in everybody()), 0)]


ONE, CARD = {"host": "one"}, {"host": "one", "gpu": "0"}
# What is read in each minute of a quarter of an hour, by the rule that it is for; with a total the share is judged.
READ: dict[str, tuple[dict[str, str], dict[str, float]]] = {
    "gpu_lost": (CARD, {"cockpit_gpu_up": 0}),
    "gpu_heat": (CARD, {"cockpit_gpu_temperature_celsius": 91, "cockpit_gpu_slowdown_celsius": 90}),
    "gpu_held_back": ({**CARD, "reason": "power brake"}, {"cockpit_gpu_throttled": 1}),
    "gpu_memory_full": (CARD, {"cockpit_gpu_memory_used_bytes": 98, "cockpit_gpu_memory_total_bytes": 100}),
    "gpu_worn_out": (CARD, {"cockpit_gpu_row_remap_failed": 1}),
    "disk_full": ({**ONE, "mount": "/"}, {"cockpit_disk_used_bytes": 85, "cockpit_disk_size_bytes": 100}),
    "memory_full": (ONE, {"cockpit_memory_used_bytes": 95, "cockpit_memory_total_bytes": 100}),
    "probe_absent": ({"probe": "cache"}, {"cockpit_probe_up": 0}),
    "database_delay": ({}, {"cockpit_database_latency_seconds": 0.4}),
    "database_connections": ({}, {"cockpit_database_connections": 90, "cockpit_database_connections_limit": 97}),
    "database_transaction": ({}, {"cockpit_database_oldest_transaction_seconds": 7200}),
    "replication_behind": ({}, {"cockpit_database_replication_lag_seconds": 120}),
    "cache_full": ({}, {"cockpit_cache_memory_used_bytes": 99, "cockpit_cache_memory_limit_bytes": 100}),
    "queue_age": ({"queue": "celery"}, {"cockpit_queue_oldest_seconds": 90}),
    "role_down": ({"role": "dispatch"}, {"cockpit_role_age_seconds": 100}),
    "delivery_late": ({}, {"cockpit_notice_due_seconds": 400}),
}
# Likewise, of what was read until twenty minutes ago and then no more.
STOPPED: dict[str, tuple[dict[str, str], dict[str, float]]] = {
    "machine_absent": ({"host": "gone", "probe": "host"}, {"cockpit_probe_up": 1}),
}
GROWN: dict[str, tuple[dict[str, str], float]] = {
    "api_errors": ({"method": "POST", "route": "inference", "status": "503"}, 20),
    "auth_failures": ({"reason": "wrong_secret"}, 40),
    "rate_limit_storm": ({"route": "inference"}, 80),
    "delivery_dead": ({"channel": "pager", "outcome": "dead"}, 1),
    "gpu_xid": ({**CARD, "severity": "critical", "xid": "79"}, 1),
    "gpu_xid_watch": ({**CARD, "severity": "warning", "xid": "94"}, 1),
    "gpu_memory_faults": ({**CARD, "kind": "uncorrected"}, 2),
}
# What is no reason to wake anybody.
HARMLESS: dict[str, tuple[dict[str, str], float]] = {
    "api_errors": ({"method": "POST", "route": "panels", "status": "404"}, 500),
    "auth_failures": ({"reason": "missing"}, 500),
    "delivery_dead": ({"channel": "mail", "outcome": "retried"}, 500),
    "gpu_xid": ({**CARD, "severity": "info", "xid": "13"}, 500),
    "gpu_memory_faults": ({**CARD, "kind": "corrected"}, 500),
}


def episodes(
    organization: str, key: str, start: datetime, end: datetime, sources: tuple[str, ...] = ("demo",)
) -> list[Episode]:
    rule = ruled(BY_KEY[key], organization)
    return list(rehearsal.rehearse(rule, simulation.minutes(rule, start, end, sources=sources)).episodes)


def group_of(key: str, labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in BY_KEY[key].definition.by)


@pytest.mark.usefixtures("database")
class TestMishaps:
    """Each rule of machines and requests hears what the probes and counters say of its mishap, and of no other."""

    @pytest.fixture
    def end(self, now: datetime) -> datetime:
        return now.replace(second=0, microsecond=0)

    def observe(self, end: datetime) -> None:
        read = [
            Sample(organization="shared", family=family, labels=tuple(sorted(labels.items())), value=value,
                   at_ms=identifiers.milliseconds(end - minutes * MINUTE))
            for those, first in ((READ, 1), (STOPPED, 20)) for labels, values in those.values()
            for family, value in values.items() for minutes in range(first, first + 15)
        ]  # fmt: skip
        grown = [
            Increment(organization="shared", family=BY_KEY[key].definition.measure, amount=amount,
                      labels=tuple(sorted(labels.items())), at_ms=identifiers.milliseconds(end - 5 * MINUTE))
            for one in (GROWN, HARMLESS) for key, (labels, amount) in one.items()
        ]  # fmt: skip
        current_store().observe(EVERYONE, read, grown, now=end)

    def test_each_is_heard_by_its_rule(self, end: datetime) -> None:
        self.observe(end)
        heard = {
            one.key: [each.group for each in episodes("shared", one.key, end - 30 * MINUTE, end, ("live",))]
            for one in pack.of("shared")
        }
        assert heard == {key: [group_of(key, labels)] for key, (labels, _) in {**READ, **STOPPED, **GROWN}.items()}

    def test_a_machine_of_which_nothing_is_read_is_forgotten_after_a_day(self, end: datetime) -> None:
        self.observe(end)
        later = end + DAY
        [one] = episodes("shared", "machine_absent", end - 30 * MINUTE, later, ("live",))
        assert one.began == end - 9 * MINUTE  # the first minute before which there were ten without a reading
        assert one.ended == one.began + DAY

    def test_a_small_model_that_nobody_gets_an_answer_from_is_down(self, end: datetime) -> None:
        calls = [
            Item(model_name=model, duration_ms=10, occurred_at=end - minutes * MINUTE,
                 status="error" if model == "down" or minutes % 5 == 0 else "success")
            for model in ("down", "sick") for minutes in range(1, 46)
        ]  # fmt: skip
        record_inferences(scope=Scope.of(SWAGGY), organization=SWAGGY, items=calls, now=end, backfill=True)
        found = {key: [(one.group, one.level) for one in episodes(SWAGGY, key, end - HOUR, end, ("live",))]
                 for key in ("high_error_rate", "model_errors", "model_down")}  # fmt: skip
        assert found == {"high_error_rate": [], "model_errors": [], "model_down": [(("down",), "critical")]}

    def test_a_model_that_takes_very_long_is_found_without_a_week_before(self, end: datetime) -> None:
        calls = [
            Item(model_name=model, duration_ms=took, occurred_at=end - minutes * MINUTE)
            for model, took in (("usual", 20_000), ("slow", 90_000)) for minutes in range(1, 46) for _ in range(2)
        ]  # fmt: skip
        record_inferences(scope=Scope.of(SWAGGY), organization=SWAGGY, items=calls, now=end, backfill=True)
        found = {key: [(one.group, one.level) for one in episodes(SWAGGY, key, end - HOUR, end, ("live",))]
                 for key in ("high_latency", "slow_answers")}  # fmt: skip
        assert found == {"high_latency": [], "slow_answers": [(("slow",), "warning")]}

    def test_a_cache_that_refuses_is_worth_more_than_a_warning(self, end: datetime) -> None:
        self.observe(end)
        [one] = episodes("shared", "cache_full", end - 30 * MINUTE, end, ("live",))
        assert one.level == "critical"

    def test_calls_that_do_not_come_any_more_are_missed(self, end: datetime) -> None:
        stopped = {"one": 200, "two": 70}  # minutes ago
        calls = [
            Item(model_name=model, duration_ms=10, occurred_at=end - back - minutes * MINUTE)
            for model, last in stopped.items() for back, first in ((WEEK, 1), (0 * DAY, last))
            for minutes in range(first, 400)
        ]  # fmt: skip
        record_inferences(scope=Scope.of(SWAGGY), organization=SWAGGY, items=calls, now=end, backfill=True)
        heard = {
            (organization, key): [one.group for one in episodes(organization, key, end - HOUR, end, ("live",))]
            for organization in (SWAGGY, SCIENTIA) for key in ("inferences_absent", "model_absent")
        }  # fmt: skip
        assert heard == {
            (SWAGGY, "inferences_absent"): [()], (SWAGGY, "model_absent"): [("one",)],
            (SCIENTIA, "inferences_absent"): [], (SCIENTIA, "model_absent"): [],
        }  # fmt: skip
        assert episodes(SWAGGY, "inferences_absent", end - 2 * HOUR, end - 20 * MINUTE, ("live",)) == []


class TestChange:
    """What rules that look back a week make of little, and of nothing."""

    @pytest.mark.parametrize(
        ("key", "now", "before", "expected"),
        [
            ("inferences_absent", 0, 200, (-100.0, 200)),
            ("inferences_absent", 10, 200, (-95.0, 200)),
            ("inferences_absent", 300, 200, (50.0, 300)),
            ("inferences_absent", 10, 0, (None, 10)),
            ("inferences_absent", 0, 0, None),
            ("high_latency", 500, 3, (0.0, 3)),
            ("high_latency", 3, 500, (0.0, 3)),
            ("high_latency", 0, 500, None),
        ],
    )
    def test_sums_are_judged_by_the_larger_side_and_means_by_the_smaller(
        self, key: str, now: int, before: int, expected: tuple[float | None, int] | None
    ) -> None:
        rule = ruled(BY_KEY[key])
        group = group_of(key, {"model": "one"})
        [reading] = rule.read([calm(group, now), calm(group, before)]).values() or [None]
        assert reading == (None if expected is None else Reading(*expected))


def calm(group: tuple[str, ...], calls: int) -> dict[tuple[str, ...], Summary]:
    durations = tuple(calls if bucket == 30 else 0 for bucket in range(BUCKETS))
    return {group: Summary(inferences=calls, durations=durations)} if calls else {}


# The demo's dice know the date. A Thursday is told over and over, as many weeks later as have passed since.
THURSDAY = datetime(2026, 3, 12, 16, 40, tzinfo=UTC)
SINCE = (datetime.now(UTC) - THURSDAY) // WEEK * WEEK
TOLD = THURSDAY + SINCE
FOUND = {
    0: ((SWAGGY, "high_error_rate"), (SWAGGY, "model_errors"), ("shared", "gpu_heat"), ("shared", "gpu_held_back"),
        ("shared", "queue_age")),
    1: ((SCIENTIA, "high_latency"),),
    2: ((SWAGGY, "cost_spike"), (SWAGGY, "rate_limit_storm"), ("shared", "cache_full")),
    3: ((SCIENTIA, "high_error_rate"), (SCIENTIA, "model_errors")),
}  # fmt: skip


@pytest.fixture
def same_every_week(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the demo makes up for the weeks before THURSDAY, as though it were of the weeks before TOLD."""
    levels, increments = samples.samples, samples.increments

    def earlier(telling: Telling) -> Telling:
        return Telling(telling.told_at - SINCE, telling.story)

    def calls(profile: Profile, hour: datetime, *, zone: Any, telling: Telling) -> list[Item]:
        found = hour_of_calls(profile, hour - SINCE, zone=zone, telling=earlier(telling))
        return [structs.replace(one, occurred_at=(one.occurred_at or hour) + SINCE) for one in found]

    def moved(found: list[Any]) -> list[Any]:
        return [structs.replace(one, at_ms=one.at_ms + SINCE // timedelta(milliseconds=1)) for one in found]

    monkeypatch.setattr(loading, "hour_of_calls", calls)
    monkeypatch.setattr(samples, "samples", lambda at, telling, zones: moved(
        levels(at - SINCE, earlier(telling), zones)))  # fmt: skip
    monkeypatch.setattr(samples, "increments", lambda at, seconds, telling, zones: moved(
        increments(at - SINCE, seconds, earlier(telling), zones)))  # fmt: skip


def load(story: Story, *stretches: tuple[datetime, datetime]) -> None:
    for start, end in stretches:
        loading.load(start, end, telling=Telling(TOLD, story))


@pytest.mark.usefixtures("database", "same_every_week")
class TestDemo:
    def span(self, number: int) -> tuple[datetime, datetime]:
        incident = STORY.incidents[number]
        start = Telling(TOLD).start_of(incident, UTC_ZONE)
        return start, start + incident.hours * HOUR

    @pytest.mark.parametrize("number", FOUND)
    def test_a_planted_incident_is_found_while_it_lasts_and_not_before(self, number: int) -> None:
        start, end = self.span(number)
        load(STORY, (start - WEEK - 3 * HOUR, end - WEEK + 3 * HOUR), (start - 3 * HOUR, end + 3 * HOUR))
        for organization, key in FOUND[number]:
            found = episodes(organization, key, start - 2 * HOUR, end + 2 * HOUR)
            one = BY_KEY[key].definition
            seen = one.window * MINUTE  # how long the incident is in the window, after its end
            rare = HOUR  # between two samples of days that are over
            assert start < min(each.began for each in found) < end, key
            assert all(start < each.began <= end + seen for each in found), key
            assert all(each.ended is not None and each.ended <= end + seen + rare for each in found), key

    def test_each_incident_is_worth_more_than_a_warning_or_says_why(self) -> None:
        start, end = self.span(0)
        load(STORY, (start - 2 * HOUR, end + HOUR))
        [rate] = episodes(SWAGGY, "high_error_rate", start - HOUR, end + HOUR)
        [heat] = episodes("shared", "gpu_heat", start - HOUR, end + HOUR)
        assert (rate.level, heat.level) == ("critical", "critical")
        assert heat.group == ("demo-gpu-1", "1")

    def test_a_model_that_gets_slower_is_found_and_no_other(self) -> None:
        load(STORY, (TOLD - DAY - 3 * HOUR, TOLD), (TOLD - WEEK - DAY - 3 * HOUR, TOLD - WEEK))
        found = episodes(SWAGGY, "slow_responses", TOLD - 2 * HOUR, TOLD)
        assert [(one.group, one.level) for one in found] == [((STORY.slow_model,), "warning")]

    def test_a_new_price_is_found_for_a_week(self) -> None:
        changed = TOLD.replace(minute=0) - STORY.price_ago
        at = changed + 2 * DAY
        load(STORY, (at - DAY - 3 * HOUR, at), (at - WEEK - DAY - 3 * HOUR, at - WEEK))
        found = episodes(SCIENTIA, "token_price", at - 2 * HOUR, at)
        assert [(one.group, one.level) for one in found] == [((STORY.price_model,), "warning")]
        assert 50 < (found[0].peak or 0) < 75

    def test_a_disk_that_fills_is_found(self) -> None:
        load(STORY, (TOLD - 6 * DAY, TOLD - 4 * DAY))
        found = episodes("shared", "disk_full", TOLD - 6 * DAY, TOLD - 4 * DAY)
        assert [(one.group, one.level) for one in found] == [(("demo-app-1", "/var/lib/postgresql"), "warning")]

    def test_no_machine_is_missed_where_the_demo_tells_of_them_once_an_hour(self) -> None:
        load(STORY, (TOLD - 72 * HOUR, TOLD - 69 * HOUR), (TOLD - 49 * HOUR, TOLD - 46 * HOUR))
        for last in (69, 46):
            start, end = TOLD.replace(minute=0) - (last + 3) * HOUR, TOLD - last * HOUR
            rule = ruled(BY_KEY["machine_absent"], "shared")
            minutes = simulation.minutes(rule, start, end, sources=("demo",))
            assert {group for _, groups in minutes for group in groups} == {("demo-app-1",), ("demo-gpu-1",)}
            assert rehearsal.rehearse(rule, minutes).changes == []

    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("days", [1, pytest.param(7, marks=pytest.mark.long)])
    def test_a_quiet_time_is_quiet(self, days: int) -> None:
        """But for the disk, which fills in every story."""
        since = TOLD - days * DAY
        load(QUIET, (since - WEEK - DAY - HOUR, TOLD - WEEK), (max(since - DAY - HOUR, TOLD - WEEK), TOLD))
        fired = {
            (organization, one.key): found
            for organization in everybody()
            for one in pack.of(organization)
            if (found := episodes(organization, one.key, since, TOLD))
        }
        assert list(fired) == [("shared", "disk_full")]

    def test_live_evaluation_hears_nothing_of_it(self) -> None:
        start, end = self.span(0)
        load(STORY, (start - HOUR, end))
        assert episodes(SWAGGY, "high_error_rate", start, end)
        seeding.seed(start)
        for minutes in (5, 30, 55):
            assert evaluation.evaluate(start + minutes * MINUTE).failed == 0
        with EVERYONE.enter(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM alerts_standing WHERE state <> 'ok'")
            assert cursor.fetchone() == (0,)
            assert not Alert.objects.exclude(source="demo").exists()
            assert Alert.objects.filter(source="demo").exists()
