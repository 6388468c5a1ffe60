"""How the verbs of alerts are described, for one alert and for several."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiRequest, OpenApiResponse

from alerts import wire
from alerts.acting import BODIES, LONGEST_AHEAD, Verb
from alerts.schema.parts import (
    ABSENT_ID,
    AT,
    BODY_REFUSALS,
    ID,
    IDENTIFIER,
    JSON,
    NO_SUCH,
    OWNER,
    PROBLEM,
    UNTIL,
    Described,
    alert,
    examples,
    operation,
    refused,
)
from alerts.serializers import MAX_ITEMS, Bulk
from alerts.wire import Alert, BulkResults

_SHELF = [wire.AlertSuppression(kind="shelved", since=AT, until=UNTIL, by="ada", note="the vendor knows")]


def _verb(
    verb: Verb, summary: str, words: str, sent: Mapping[str, tuple[Any, Any]], *, unless: str = "", status: int = 200
) -> Described:
    """One verb of one alert; `sent` has a body and what is answered to it by the name of an example."""
    conflict = {(409, PROBLEM): refused(409, "Not possible as it stands", unless, detail=_RESOLVED.get(verb, ""))}
    return operation(
        f"{verb}Alert",
        summary,
        words,
        parameters=[IDENTIFIER],
        request={
            JSON: OpenApiRequest(BODIES[verb], examples=examples({name: body for name, (body, _) in sent.items()}))
        },
        responses={
            status: OpenApiResponse(
                Alert, "The alert as it stands.", examples({name: answer for name, (_, answer) in sent.items()})
            ),
            (404, PROBLEM): NO_SUCH,
            **(conflict if unless else {}),
            **BODY_REFUSALS,
        },
    )


_RESOLVED: Mapping[Verb, str] = {
    "acknowledge": "The alert is resolved; it cannot be acknowledged.",
    "unacknowledge": "The alert is resolved; it cannot be unacknowledged.",
    "assign": "The alert is resolved; it cannot be assigned.",
    "shelve": "The alert is resolved; it cannot be shelved.",
    "reopen": "Another episode of this alert is open; it cannot be reopened.",
}
_OVER = "The alert is resolved."
_NOTHING: dict[str, Any] = {}
_WHY = {"note": "looking into it"}

acknowledge = _verb(
    "acknowledge",
    "Acknowledge an alert",
    f"You look after it. With `until`, at most {LONGEST_AHEAD.days} days ahead, it fires again by itself then; it does "
    "so at once when it is reported with a worse severity. Acknowledging once more changes nothing, but for `until`.",
    {
        "for a while": (
            {**_WHY, "until": UNTIL},
            alert(status="acknowledged", acknowledged_at=AT, acknowledged_by="ada", acknowledged_until=UNTIL),
        ),
        "without words": (_NOTHING, alert(status="acknowledged", acknowledged_at=AT, acknowledged_by="ada")),
    },
    unless=_OVER,
)
unacknowledge = _verb(
    "unacknowledge",
    "Take an acknowledgement back",
    "Nobody looks after it any more: it fires again.",
    {"with a note": (_WHY, alert()), "without words": (_NOTHING, alert())},
    unless=_OVER,
)
assign = _verb(
    "assign",
    "Assign an alert",
    "Whose it is: a member of its organization, or nobody.",
    {"to a person": ({"owner": OWNER}, alert(owner=OWNER)), "to nobody": ({"owner": None}, alert())},
    unless=_OVER,
)
shelve = _verb(
    "shelve",
    "Shelve an alert",
    f"Nobody is told of it until then, at most {LONGEST_AHEAD.days} days ahead; what it is and who looks after it stay "
    "as they are. A worse severity takes it off the shelf.",
    {"for a while": ({"until": UNTIL, "note": "the vendor knows"}, alert(suppressed_by=_SHELF))},
    unless=_OVER,
)
unshelve = _verb(
    "unshelve",
    "Take an alert off the shelf",
    "People are told of it again.",
    {"with a note": (_WHY, alert()), "without words": (_NOTHING, alert())},
)
resolve = _verb(
    "resolve",
    "Resolve an alert",
    "It is over. Resolving once more changes nothing: the first time and name stay. Reported again, it is a new alert, "
    "the next episode of its fingerprint.",
    {
        "with a note": (
            {"note": "rolled back"},
            alert(status="resolved", resolved_at=AT, resolved_by="ada"),
        ),
        "without words": (_NOTHING, alert(status="resolved", resolved_at=AT, resolved_by="ada")),
    },
)
reopen = _verb(
    "reopen",
    "Reopen an alert",
    "It was not over: the same episode fires again. An open one stays as it is.",
    {"with a note": ({"note": "it is back"}, alert()), "without words": (_NOTHING, alert())},
    unless="Another alert of its fingerprint is open.",
)
comment = _verb(
    "comment",
    "Comment on an alert",
    "Words for its timeline.",
    {"comment": ({"note": "The new driver is to blame."}, alert())},
    status=201,
)


def _bulk_results(**counts: int) -> dict[str, Any]:
    absent = {"pointer": "", "code": "not-found", "message": "no such alert"}
    rows = {
        "changed": {"id": ID, "status": "changed", "alert": alert(status="resolved", resolved_at=AT)},
        "rejected": {"id": ABSENT_ID, "status": "rejected", "errors": [absent]},
    }
    every = {"changed": 0, "unchanged": 0, "rejected": 0, **counts}
    return {**every, "results": [rows[status] for status in counts]}


bulk = operation(
    "changeAlerts",
    "Do one thing to several alerts",
    f"Any of the verbs for up to {MAX_ITEMS} alerts in one transaction; beside `action` and `ids` the body has the "
    "fields of that verb's own. What cannot be done to one alert hinders none of the others.",
    request={
        JSON: OpenApiRequest(
            Bulk,
            examples=examples({
                "resolve": {"action": "resolve", "ids": [ID], "note": "rolled back"},
                "partly refused": {"action": "resolve", "ids": [ID, ABSENT_ID]},
                "all refused": {"action": "resolve", "ids": [ABSENT_ID]},
            }),
        )
    },
    responses={
        200: OpenApiResponse(BulkResults, "It is done to all.", examples({"resolve": _bulk_results(changed=1)})),
        207: OpenApiResponse(
            BulkResults, "It is done to some, and some were rejected.",
            examples({"partly refused": _bulk_results(changed=1, rejected=1)}),
        ),
        (400, PROBLEM): refused(
            400, "Not valid", "Nothing was done: the body is not valid (a problem), or every alert was rejected "
            "(results).", detail="The body is not valid.",
        ),
        (400, JSON): OpenApiResponse(BulkResults, "", examples({"all refused": _bulk_results(rejected=1)})),
        **BODY_REFUSALS,
    },
)  # fmt: skip
