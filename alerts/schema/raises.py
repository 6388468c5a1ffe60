"""How raising alerts is described, and announcing deployments."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, OpenApiResponse

from alerts.answers import KEPT
from alerts.raising import DEPLOYMENT, DEPLOYMENT_LASTS
from alerts.schema.parts import BODY_REFUSALS, HEADER, JSON, ONE, PROBLEM, alert, examples, operation, refused
from alerts.serializers import MAX_BODY, MAX_ITEMS, Deployment
from alerts.wire import Alert, AlertResults, NewAlerts

_ANOTHER = {"alertType": "gpu_hot", "severity": "critical", "message": "GPU 0 has 91 °C", "labels": {"gpu": "0"}}
_BAD = {**_ANOTHER, "message": " "}
_FAULT = {"pointer": "/message", "code": "blank", "message": "must not be blank"}
_DEPLOYMENT = {"service": "gateway", "version": "2.4.1", "environment": "production"}
_DEPLOYED: dict[str, Any] = {
    "alert_type": DEPLOYMENT, "severity": "info", "message": "gateway 2.4.1 went live in production.",
    "endpoint_id": None, "model_name": None, "metadata": {}, "labels": _DEPLOYMENT,
}  # fmt: skip
_OF = OpenApiParameter(
    "organization",
    str,
    description="The slug of the organization meant. Without it the one that the body names; then that of the key, "
    "a person's first.",
)


def _key(*statuses: int) -> list[OpenApiParameter]:
    return [
        OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[\\x21-\\x7e]+$"},
            HEADER,
            description=f"Makes sending the same body again harmless for {KEPT.days} days: nothing is raised or "
            "counted once more, and the answer is the first one, with `Idempotent-Replay: true`.",
        ),
        OpenApiParameter(
            "Idempotent-Replay",
            {"type": "string", "const": "true"},
            HEADER,
            response=list(statuses),
            description="This was done before, and is answered as it was then.",
        ),
        OpenApiParameter("Location", str, HEADER, response=[201], description="Where the alert is, when it is one."),
    ]


_KEY_USED = refused(
    422, "Idempotency key used for other content", "The Idempotency-Key stands for another content.",
    detail="This idempotency key was used before, for a request with other content.",
)  # fmt: skip


def _results(**counts: int) -> dict[str, Any]:
    rows = [
        {"status": "rejected", "errors": [_FAULT]} if status == "rejected" else {"status": status, "alert": alert()}
        for status, count in counts.items()
        for _ in range(count)
    ]
    every = {"created": 0, "repeated": 0, "rejected": 0, **counts}
    return {**every, "results": [{"index": index, **row} for index, row in enumerate(rows)]}


_EITHER = {"anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (Alert, AlertResults)]}

raised = operation(
    "raiseAlerts",
    "Raise alerts",
    "Raises one alert, or an array of them, and answers when they are committed. The same organization, type, "
    "endpoint, model and labels are the same alert: while one is open, another report of it only counts it once more. "
    "What is valid in an array is raised even where the rest is not.\n\n"
    f"At most {MAX_ITEMS} alerts and {MAX_BODY >> 10} KiB a request, all of one organization.",
    parameters=[_OF, *_key(200, 201, 207)],
    request={
        JSON: OpenApiRequest(
            NewAlerts,
            examples=examples({
                "one": ONE, "repeated": ONE, "several": [ONE, _ANOTHER], "partly refused": [ONE, _BAD],
                "refused": _BAD, "all refused": [_BAD, _BAD],
            }),
        )
    },
    responses={
        200: OpenApiResponse(
            _EITHER, "All were open already, and are counted once more: `Alert` for one, `AlertResults` for an array.",
            examples({"repeated": alert(count=2)}),
        ),
        201: OpenApiResponse(
            _EITHER, "New ones were raised: `Alert` for one, `AlertResults` for an array.",
            examples({"one": alert(), "several": _results(created=2)}),
        ),
        207: OpenApiResponse(
            AlertResults, "Some were raised and some rejected.",
            examples({"partly refused": _results(created=1, rejected=1)}),
        ),
        (400, PROBLEM): refused(
            400, "Not valid", "Nothing was raised: the body or a parameter is not valid (a problem), or every report "
            "of an array was rejected (results).", named="refused", detail="The alert is not valid.", errors=[_FAULT],
        ),
        (400, JSON): OpenApiResponse(AlertResults, "", examples({"all refused": _results(rejected=2)})),
        **BODY_REFUSALS,
        (422, PROBLEM): _KEY_USED,
    },
)  # fmt: skip

deployed = operation(
    "announceDeployment",
    "Announce a deployment",
    f"Raises an info alert of the type `{DEPLOYMENT}`, which is over by itself after "
    f"{DEPLOYMENT_LASTS.total_seconds() / 3600:.0f} hours. Announcing the same service, version and environment "
    "meanwhile counts it once more.",
    parameters=[_OF, *_key(200, 201)],
    request={JSON: OpenApiRequest(Deployment, examples=examples({"one": _DEPLOYMENT, "repeated": _DEPLOYMENT}))},
    responses={
        200: OpenApiResponse(
            Alert, "It was announced already.", examples({"repeated": alert(**_DEPLOYED, count=2)})
        ),
        201: OpenApiResponse(Alert, "The alert.", examples({"one": alert(**_DEPLOYED)})),
        **BODY_REFUSALS,
        (422, PROBLEM): _KEY_USED,
    },
)  # fmt: skip
