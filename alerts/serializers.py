"""Bodies read from the wire: each a type whose limits msgspec holds, with every fault told by its field."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from alerts.states import Report, Severity
from bedrock import text
from bedrock.problem import Fault
from monitoring.errors import BadItems, TooLarge

MAX_BODY, MAX_ITEMS = 256 * 1024, 200
MAX_LABELS, MAX_METADATA, MAX_METADATA_DEPTH = 32, 16 * 1024, 8
LONGEST_MESSAGE, LONGEST_NOTE, LONGEST_NAME, LONGEST_LABEL = 2000, 2000, 200, 200
MAX_FAULTS = 20  # told of one item
_LINES = str.maketrans("\n\t\r", "   ")  # the control characters that words for people may hold
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_WHOLE = 2**63

# What `extra_json_schema` says is only told: `_texts` holds it, with words of its own.
_PRINTABLE = {"pattern": r"^[^\u0000-\u001f\u007f]*$"}
Slug = Annotated[str, Meta(min_length=1, max_length=50, description="The slug of the organization meant.")]
Text = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, extra_json_schema=_PRINTABLE)]
Words = Annotated[str, Meta(min_length=1, max_length=LONGEST_NOTE, description="Words for who looks at it next.")]
Moment = Annotated[datetime, Meta(tz=True)]
Label = Annotated[str, Meta(max_length=LONGEST_LABEL, extra_json_schema=_PRINTABLE)]


class _Body(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What all bodies have in common: fields in camel case, and none that is not known."""


class NewAlert(_Body):
    """That something is wrong. The same type, endpoint, model and labels are the same alert."""

    alert_type: Annotated[
        str,
        Meta(min_length=1, max_length=100, description="What kind of thing is wrong, in a word.",
             examples=["high_error_rate"], extra_json_schema=_PRINTABLE),
    ]  # fmt: skip
    severity: Annotated[Severity, Meta(description="critical: a failure; warning: it gets worse; info: news.")]
    message: Annotated[
        str,
        Meta(min_length=1, max_length=LONGEST_MESSAGE, description="What is wrong, for people.",
             examples=["API error rate exceeded 5% threshold"]),
    ]  # fmt: skip
    organization: Annotated[Slug | None, Meta(description="Whose it is; without it, the one of the caller.")] = None
    endpoint_id: Annotated[Text | None, Meta(description="The deployment concerned.")] = None
    model_name: Annotated[Text | None, Meta(description="The model concerned.")] = None
    metadata: Annotated[
        dict[str, Any] | None,
        Meta(description="What was seen: values, thresholds, links. At most 16 KiB, 8 levels deep; no part of which "
             "alert it is.", examples=[{"errorRate": 0.07, "threshold": 0.05, "timeWindow": "5m"}]),
    ] = None  # fmt: skip
    labels: Annotated[
        dict[str, Label] | None,
        Meta(description="Names and values that tell this alert from others of its type.", examples=[{"region": "eu"}],
             extra_json_schema={"maxProperties": MAX_LABELS, "propertyNames": {"pattern": f"^{_LABEL_NAME.pattern}$"}}),
    ] = None  # fmt: skip


class Note(_Body):
    """Why, in words."""

    note: Words | None = None


class Acknowledgement(_Body):
    """That somebody looks after it."""

    note: Words | None = None
    until: Annotated[
        Moment | None, Meta(description="When it fires again by itself; at most 30 days ahead. Absent is never.")
    ] = None


class Shelving(_Body):
    """That nobody is to be told of it for a while."""

    until: Annotated[Moment, Meta(description="When it comes back by itself; at most 30 days ahead.")]
    note: Words | None = None


class Assignment(_Body):
    """Whose it is."""

    owner: Annotated[Text | None, Meta(description="The user name of a member of its organization; null is nobody.")]
    note: Words | None = None


class Comment(_Body):
    """Words for the timeline."""

    note: Words


class Bulk(_Body):
    """One verb for several alerts."""

    action: Literal["acknowledge", "unacknowledge", "assign", "comment", "shelve", "unshelve", "resolve", "reopen"]
    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_ITEMS)]
    note: Words | None = None
    until: Annotated[Moment | None, Meta(description="Of acknowledge and shelve alone.")] = None
    owner: Annotated[Text | None, Meta(description="Of assign alone.")] = None


class Deployment(_Body):
    """That a version went live."""

    service: Annotated[Text, Meta(description="What was deployed.", examples=["gateway"])]
    version: Annotated[Text, Meta(description="Which version is live now.", examples=["2.4.1"])]
    organization: Slug | None = None
    environment: Annotated[Text | None, Meta(examples=["production"])] = None
    description: Words | None = None
    endpoint_id: Text | None = None
    model_name: Text | None = None
    url: Annotated[
        Annotated[str, Meta(max_length=2000, pattern=r"^https?://[^\s]+$")] | None,
        Meta(description="Where more can be read of it."),
    ] = None


Body = TypeVar("Body", bound=_Body)
Faults = list[Fault]


def parse(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        TooLarge: beyond MAX_BODY. BadItems: when it is no strict JSON.
    """
    if len(body) > MAX_BODY:
        raise TooLarge(f"At most {MAX_BODY // 1024} KiB a request.")
    try:
        return text.strict_json(body)
    except text.BadText as error:
        words = str(error)
        raise BadItems(
            f"The body is {words}." if words.startswith("not") else f"The body is refused: {words}."
        ) from None


def read(plain: Any, kind: type[Body]) -> Body | Faults:
    """One object as a value of its type, or everything that is wrong with it."""
    if not isinstance(plain, dict):
        return [Fault("", "not-an-object", "must be a JSON object")]
    faults = list(_texts(plain))
    if "labels" in plain:
        faults += _labels(plain["labels"])
    if isinstance(plain.get("metadata"), dict):
        faults += _metadata(plain["metadata"])
    try:
        value = msgspec.convert(plain, kind)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter: a lone surrogate, also in a field's name
        faults = [*_every(plain, kind), *faults]
        value = None
    if faults or value is None:
        return _some(faults)
    return value


def demand(plain: Any, kind: type[Body]) -> Body:
    """As `read`.

    Raises:
        BadItems: with the faults.
    """
    found = read(plain, kind)
    if isinstance(found, list):
        raise BadItems("The body is not valid.", [msgspec.to_builtins(fault) for fault in found])
    return found


def report_of(alert: NewAlert) -> Report:
    return Report(
        alert_type=alert.alert_type,
        severity=alert.severity,
        message=alert.message,
        endpoint_id=alert.endpoint_id or "",
        model_name=alert.model_name or "",
        metadata=alert.metadata or {},
        labels=alert.labels or {},
    )


def _some(faults: Faults) -> Faults:
    more = len(faults) - MAX_FAULTS
    return faults if more <= 0 else [*faults[:MAX_FAULTS], Fault("", "more", f"has {more} more faults")]


def _texts(plain: Mapping[str, Any]) -> Iterator[Fault]:
    """Texts that are blank or hold what may not be stored; lengths are the types' own care."""
    for name, value in plain.items():
        if isinstance(value, str):
            if problem := _odd_text(value, lines=name in ("message", "note", "description")):
                yield Fault(f"/{text.printable(name[:100])}", "invalid", problem)
            elif value and value.isspace():
                yield Fault(f"/{text.printable(name[:100])}", "blank", "must not be blank")


def _labels(labels: Any) -> Iterator[Fault]:
    if not isinstance(labels, dict):
        return
    if len(labels) > MAX_LABELS:
        yield Fault("/labels", "too-many", f"must hold at most {MAX_LABELS} labels")
        return
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            words = "a name has 1 to 64 letters, digits, _ . or -, and begins with no digit"
            yield Fault(f"/labels/{text.printable(name[:64])}", "invalid", words)
        elif isinstance(value, str) and (problem := text.text_problem(value, LONGEST_LABEL)):
            yield Fault(f"/labels/{name}", "invalid", problem)


def _odd_text(words: str, *, lines: bool) -> str | None:
    """What may not be stored in a text, of one line or of several."""
    problem = text.text_problem(words, len(words))
    return text.text_problem(words.translate(_LINES), len(words)) if problem and lines else problem


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Fault]:
    if problem := next(_odd(metadata, 1), None):
        yield Fault("/metadata", "invalid", problem)
    elif len(msgspec.json.encode(metadata)) + _zeros(metadata) > MAX_METADATA:
        yield Fault("/metadata", "too-large", f"must be at most {MAX_METADATA // 1024} KiB of JSON")


def _zeros(value: Any) -> int:
    """About how many characters longer a JSON value is as it is stored, where 1e300 is written out."""
    if isinstance(value, float):
        return max(0, abs(math.frexp(value)[1]) * 3 // 10 - 17)
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return sum(map(_zeros, inner))


def _odd(value: Any, depth: int) -> Iterator[str]:
    """What may not be stored in a JSON value."""
    if isinstance(value, str):
        if problem := _odd_text(value, lines=True):
            yield f"its texts {problem}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            yield "its numbers must be finite"
        elif isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
            yield "its whole numbers must be within 64 bits"
    elif isinstance(value, Mapping | list | tuple):
        if depth > MAX_METADATA_DEPTH:
            yield f"must be nested at most {MAX_METADATA_DEPTH} levels deep"
            return
        inner = [*value, *value.values()] if isinstance(value, Mapping) else value
        for each in inner:
            yield from _odd(each, depth + 1)
    elif value is not None and not isinstance(value, bool):  # from code in this process, for JSON has no other
        yield "must hold values that JSON has"


def _every(plain: Mapping[str, Any], kind: type[_Body]) -> Faults:
    """Each field held against its type on its own, so that all faults are told at once."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    unknown = (text.printable(name[:100]) for name in plain if name not in fields)
    faults = [Fault(f"/{name}", "unknown-field", "is not a field of this body") for name in unknown]
    for name, field in fields.items():
        if name not in plain:
            faults += [Fault(f"/{name}", "required", "is required")] if field.required else []
            continue
        try:
            msgspec.convert(plain[name], field.type)
        except msgspec.ValidationError as error:
            faults.append(_fault(name, str(error)))
        except UnicodeEncodeError:
            faults.append(Fault(f"/{name}", "invalid", "must not hold lone surrogates"))
    return faults


def _fault(name: str, message: str) -> Fault:
    place = _PLACE.search(message)
    inner = "/".join(re.findall(r"[^.\[\]]+", place["path"])) if place else ""
    words = _PLACE.sub("", message)[:LONGEST_NAME]  # some repeat what was sent
    return Fault(f"/{name}" + (f"/{inner}" if inner else ""), "invalid", words[:1].lower() + words[1:])
