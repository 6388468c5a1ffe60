"""Inferences read from the wire: fast where nothing is odd, careful and complete in complaints where something is."""

import json
import re
import zlib
from typing import Any

import msgspec

from bedrock import text
from monitoring.errors import BadItems, TooLarge
from monitoring.ingest import Fault, Faults, Item, text_faults

MAX_WIRE, MAX_INFLATED, MAX_ITEMS = 2 * 1024 * 1024, 8 * 1024 * 1024, 5_000
_WIRE_SOURCES = ("live", "replay")  # demo data are made in process only

_items = msgspec.json.Decoder(list[Item])
_item = msgspec.json.Decoder(Item)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_names = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(Item)}
# Money as a string must be plain digits: Decimal alone would take "1_0", " 1" and digits of other scripts.
_ODD_MONEY = re.compile(rb'"(?:cost|revenue)"\s*:\s*"(?![0-9]{1,30}(?:\.[0-9]{1,60})?")')
_FIELD_NAME = re.compile(rb'"\s*:')
_PLACE = re.compile(r" - at `\$(?:\.)?([^`]*)`$")


def inflate(body: bytes) -> bytes:
    """A gzip body, unpacked to at most MAX_INFLATED bytes.

    Raises:
        BadItems: when it is no gzip. TooLarge: when it holds more.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, MAX_INFLATED + 1)
    except zlib.error:
        raise BadItems("The body is not valid gzip.") from None
    if len(plain) > MAX_INFLATED:
        raise TooLarge(f"At most {MAX_INFLATED // 1024 // 1024} MiB after decompression.")
    if not unpacker.eof or unpacker.unused_data:
        raise BadItems("The gzip body is cut short or followed by something else.")
    return plain


def read_one(body: bytes) -> Item | Faults:
    """A single JSON object."""
    return _carefully(body)


def read_array(body: bytes) -> list[Item | Faults]:
    """A JSON array of objects.

    Raises:
        BadItems: when the text as a whole is not JSON. TooLarge: beyond MAX_ITEMS.
    """
    quick = _quickly(body)
    if quick is not None:
        return quick
    try:
        raws = _raws.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadItems(_why_not_json(body)) from None
    _check_count(len(raws))
    return [_carefully(bytes(raw)) for raw in raws]


def read_lines(body: bytes) -> list[Item | Faults]:
    """NDJSON: one JSON object a line, empty lines left out."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    _check_count(len(lines))
    quick = _quickly(b"[" + b",".join(lines) + b"]", len(lines))
    return [_carefully(line) for line in lines] if quick is None else quick


def _check_count(count: int) -> None:
    if count > MAX_ITEMS:
        raise TooLarge(f"At most {MAX_ITEMS} inferences a request.")


def _quickly(body: bytes, expected: int | None = None) -> list[Item | Faults] | None:
    """The items, when a few byte scans and the decoder find nothing that needs a closer look; else None.

    Without a backslash no string holds a control character. With as many field names in the text as in the decoded
    objects none stands twice in one object. (A colon inside a text only leads to the closer look.)
    """
    if b"\\" in body or _ODD_MONEY.search(body):
        return None
    try:
        items = _items.decode(body)
        objects = _names.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    distinct = sum(map(len, objects)) + sum(len(item.tags) for item in items if item.tags)
    # Nearly every writer puts the colon right behind the name; the pattern is for those that do not.
    if body.count(b'":') != distinct and len(_FIELD_NAME.findall(body)) != distinct:
        return None
    if any(item.source not in _WIRE_SOURCES for item in items):
        return None
    _check_count(len(items))
    return None if expected is not None and len(items) != expected else list(items)


def _carefully(body: bytes) -> Item | Faults:
    try:
        plain = text.strict_json(body)
    except text.BadText as error:
        return [Fault("", "not-json", str(error))]
    if not isinstance(plain, dict):
        return [Fault("", "not-an-object", "must be a JSON object")]
    faults = _odd_money(body, plain)
    try:
        item = _item.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _every_fault(plain) + faults or [Fault("", "invalid", "is not a valid inference")]
    faults += text_faults(item)
    if item.source not in _WIRE_SOURCES:
        faults.append(Fault("/source", "invalid", "must be live or replay"))
    return faults or item


def _odd_money(body: bytes, plain: dict[str, Any]) -> Faults:
    if not _ODD_MONEY.search(body):
        return []
    return [
        Fault(f"/{name}", "invalid", "must be plain digits, such as 0.0042")
        for name in ("cost", "revenue")
        if isinstance(plain.get(name), str) and not re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,60})?", plain[name], re.ASCII)
    ]


def _every_fault(plain: dict[str, Any]) -> Faults:
    """Each field held against its type on its own, so that all faults are told at once."""
    faults = [
        Fault(f"/{name[:100]}", "unknown-field", "is not a field of an inference")
        for name in plain
        if name not in _FIELDS
    ]
    for name, field in _FIELDS.items():
        if name not in plain:
            if field.required:
                faults.append(Fault(f"/{name}", "required", "is required"))
            continue
        try:
            msgspec.json.decode(json.dumps(plain[name]).encode(), type=field.type)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            if name not in ("cost", "revenue") or not isinstance(plain[name], str):
                faults.append(_fault(name, str(error)))
    return faults


def _fault(name: str, message: str) -> Fault:
    inner = _PLACE.search(message)
    words = _PLACE.sub("", message)
    if "surrogate" in words or "malformed" in words:
        words = "must not hold control characters or lone surrogates"
    return Fault(f"/{name}" + (f" {inner[1]}" if inner and inner[1] else ""), "invalid", words[:1].lower() + words[1:])


def _why_not_json(body: bytes) -> str:
    try:
        found = text.strict_json(body)
    except text.BadText as error:
        return f"The body is {error}." if str(error).startswith("not") else f"The body is refused: {error}."
    return "The body must be a JSON object or array." if not isinstance(found, list) else "The body is not valid JSON."
