"""Reports from outside: read, raised, and answered one by one; a deployment is one of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import structs

from alerts import lifecycle, reading, serializers
from alerts.answers import Answer
from alerts.lifecycle import Fired
from alerts.reading import Filter
from alerts.serializers import MAX_ITEMS, Deployment, Faults, NewAlert
from alerts.states import Report
from alerts.wire import Alert, AlertResult, AlertResults, alert_of
from bedrock.problem import Fault
from monitoring.errors import BadItems, TooLarge
from organizations.scope import Scope

DEPLOYMENT, DEPLOYMENT_LASTS = "deployment", timedelta(hours=24)
_ELSEWHERE = Fault("/organization", "not-found", "is not the organization of this request")
_encode = msgspec.json.Encoder().encode


def read(plain: Any) -> list[NewAlert | Faults]:
    """The reports of a body, each as its type or as what is wrong with it.

    Raises:
        BadItems: when there is none. TooLarge: when there are more than MAX_ITEMS.
    """
    items = plain if isinstance(plain, list) else [plain]
    if not items:
        raise BadItems("There is no alert in the body.")
    if len(items) > MAX_ITEMS:
        raise TooLarge(f"At most {MAX_ITEMS} alerts a request.")
    return [serializers.read(item, NewAlert) for item in items]


def named_by(items: Sequence[NewAlert | Faults]) -> str | None:
    """The organization that the reports name, where they name one."""
    names = {item.organization for item in items if isinstance(item, NewAlert)} - {None}
    return names.pop() if len(names) == 1 else None


def answer_one(item: NewAlert | Faults, *, scope: Scope, organization: str, now: datetime, via: str) -> Answer:
    """201 with a new alert, 200 with one that was open.

    Raises:
        BadItems: naming what is wrong with the report.
    """
    faults = item if isinstance(item, list) else _faults(item, organization)
    if faults or isinstance(item, list):
        raise BadItems("The alert is not valid.", [msgspec.to_builtins(fault) for fault in faults])
    return _one(serializers.report_of(item), scope=scope, organization=organization, now=now, via=via)


def answer_all(
    items: Sequence[NewAlert | Faults], *, scope: Scope, organization: str, now: datetime, via: str
) -> Answer:
    """201 when all were raised, 200 when all were open, 400 when all were rejected, 207 when some were."""
    read = [item if isinstance(item, list) else _faults(item, organization) or item for item in items]
    good = [item for item in read if isinstance(item, NewAlert)]
    reports = [serializers.report_of(item) for item in good]
    fired = lifecycle.fire(scope=scope, organization=organization, reports=reports, now=now, via=via) if good else []
    told = iter(_told(fired))
    results = [
        AlertResult(index, "rejected", errors=item)
        if isinstance(item, list)
        else structs.replace(next(told), index=index)
        for index, item in enumerate(read)
    ]
    counts = Counter(result.status for result in results)
    content = AlertResults(counts["created"], counts["repeated"], counts["rejected"], results)
    return Answer(_status(content), _encode(content))


def _status(content: AlertResults) -> int:
    if content.rejected:
        return 207 if content.rejected < len(content.results) else 400
    return 201 if content.created else 200


def answer_deployment(body: Deployment, *, scope: Scope, organization: str, now: datetime, via: str) -> Answer:
    """The info alert that says so: over by itself after DEPLOYMENT_LASTS, or when another version takes its place.

    So a version that comes back is news again, and stands on the charts once more.
    """
    if faults := _faults(body, organization):
        raise BadItems("The deployment is not valid.", [msgspec.to_builtins(fault) for fault in faults])
    report = structs.replace(_report_of(body), ends_at=now + DEPLOYMENT_LASTS)
    own = Scope.of(organization)
    if before := _replaced_by(report, own):
        lifecycle.resolve(scope=own, ids=before, now=now, via=via, note=f"Replaced by {body.version}.")
    return _one(report, scope=scope, organization=organization, now=now, via=via)


def _replaced_by(report: Report, own: Scope) -> list[UUID]:
    """The open deployments of other versions of the same service at the same place."""
    wanted = Filter(organizations=own.organizations or (), statuses=reading.OPEN, types=(DEPLOYMENT,))
    place = (report.endpoint_id, report.model_name, _without_version(report.labels))
    return [
        state.id
        for state in reading.page(own, wanted, limit=MAX_ITEMS)
        if (state.endpoint_id, state.model_name, _without_version(state.labels)) == place
        and state.labels != report.labels
    ]


def _without_version(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "version"}


def _report_of(body: Deployment) -> Report:
    where = f" in {body.environment}" if body.environment else ""
    labels = {"service": body.service, "version": body.version, "environment": body.environment}
    more = {"description": body.description, "url": body.url}
    return Report(
        alert_type=DEPLOYMENT,
        severity="info",
        message=f"{body.service} {body.version} went live{where}.",
        endpoint_id=body.endpoint_id or "",
        model_name=body.model_name or "",
        labels=_given(labels),
        metadata=_given(more),
    )


def _given(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _one(report: Report, *, scope: Scope, organization: str, now: datetime, via: str) -> Answer:
    fired = lifecycle.fire(scope=scope, organization=organization, reports=[report], now=now, via=via)
    [result] = _told(fired)
    return Answer(201 if result.status == "created" else 200, _encode(result.alert))


def _told(fired: Sequence[Fired]) -> list[AlertResult]:
    names = reading.names(one.state.owner_id for one in fired)
    alerts: list[Alert] = [alert_of(one.state, names) for one in fired]
    return [
        AlertResult(index, "created" if one.created else "repeated", alert=alert)
        for index, (one, alert) in enumerate(zip(fired, alerts))
    ]


def _faults(body: NewAlert | Deployment, organization: str) -> Faults:
    return [_ELSEWHERE] if body.organization not in (None, organization) else []
