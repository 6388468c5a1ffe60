"""Inferences read from the wire: fast where nothing is odd, careful and complete in complaints where something is."""

import json
import re
import zlib
from typing import Any

import msgspec

from bedrock import text
from bedrock.problem import Fault
from monitoring.errors import BadItems, TooLarge
from monitoring.ingest import Faults, Item, text_faults

MAX_WIRE, MAX_INFLATED, MAX_ITEMS = 2 * 1024 * 1024, 8 * 1024 * 1024, 5_000
MAX_VALUES = 500_000  # of all items together: what is decoded must stay small beside what is sent
MAX_FAULTS = 20  # told of one item
_WIRE_SOURCES = ("live", "replay")  # demo data are made in process only

_items = msgspec.json.Decoder(list[Item])
_item = msgspec.json.Decoder(Item)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_names = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(Item)}
# Money as a string must be plain digits: Decimal alone would take "1_0", " 1" and digits of other scripts.
_MONEY = re.compile(r"[0-9]{1,30}(\.[0-9]{1,60})?", re.ASCII)
_ODD_MONEY = re.compile(rb'"(?:cost|revenue)"\s*:\s*"(?![0-9]{1,30}(?:\.[0-9]{1,60})?")')
_SPACED_COLONS = (b" :", b"\t:", b"\n:", b"\r:")
_PLACE = re.compile(r" - at `\$(?:\.)?([^`]*)`$")


def inflate(body: bytes) -> bytes:
    """A gzip body, unpacked to at most MAX_INFLATED bytes.

    Raises:
        BadItems: when it is no gzip. TooLarge: when it holds more.
    """
    plain = b""
    while body:  # a gzip file may have several members
        unpacker = zlib.decompressobj(wbits=31)
        try:
            plain += unpacker.decompress(body, MAX_INFLATED + 1 - len(plain))
        except zlib.error:
            raise BadItems("The body is not valid gzip.") from None
        if len(plain) > MAX_INFLATED:
            raise TooLarge(f"At most {MAX_INFLATED // 1024 // 1024} MiB after decompression.")
        if not unpacker.eof:
            raise BadItems("The gzip body is cut short.")
        body = unpacker.unused_data
    return plain


def read_one(body: bytes) -> Item | Faults:
    """A single JSON object.

    Raises:
        TooLarge: beyond MAX_VALUES.
    """
    _check_values(body)
    return _carefully(body)


def read_array(body: bytes) -> list[Item | Faults]:
    """A JSON array of objects.

    Raises:
        BadItems: when the text as a whole is not JSON. TooLarge: beyond MAX_ITEMS.
    """
    _check_values(body)
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
    _check_values(body)
    # Only whole objects may be joined: pieces of lines could make sense together that make none alone.
    whole = all(line.lstrip()[:1] == b"{" and line.rstrip()[-1:] == b"}" for line in lines)
    quick = _quickly(b"[" + b",".join(lines) + b"]") if whole else None
    return [_carefully(line) for line in lines] if quick is None or len(quick) != len(lines) else quick


def _check_values(body: bytes) -> None:
    if body.count(b",") > MAX_VALUES:
        raise TooLarge(f"At most {MAX_VALUES:,} values a request.")


def _check_count(count: int) -> None:
    if count > MAX_ITEMS:
        raise TooLarge(f"At most {MAX_ITEMS} inferences a request.")


def _quickly(body: bytes) -> list[Item | Faults] | None:
    """The items, when a few byte scans and the decoder find nothing that needs a closer look; else None.

    Without a backslash or a DEL no string holds a control character. With as many field names in the text as in the
    decoded objects, and each right before its colon, none stands twice in one object. (A text that only looks odd
    costs no more than the closer look.)
    """
    if b"\\" in body or b"\x7f" in body or any(odd in body for odd in _SPACED_COLONS) or _ODD_MONEY.search(body):
        return None
    try:
        items = _items.decode(body)
        objects = _names.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    distinct = sum(map(len, objects)) + sum(len(item.tags) for item in items if item.tags)
    if body.count(b'":') != distinct:
        return None
    if any(item.source not in _WIRE_SOURCES for item in items):
        return None
    _check_count(len(items))
    return list(items)


def _carefully(body: bytes) -> Item | Faults:
    try:
        plain = text.strict_json(body)
    except text.BadText as error:
        return [Fault("", "not-json", str(error))]
    if not isinstance(plain, dict):
        return [Fault("", "not-an-object", "must be a JSON object")]
    faults = _odd_money(plain)
    try:
        item = _item.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _some(_every_fault(plain) + faults) or [Fault("", "invalid", "is not a valid inference")]
    faults += text_faults(item)
    if item.source not in _WIRE_SOURCES:
        faults.append(Fault("/source", "invalid", "must be live or replay"))
    return faults or item


def _some(faults: Faults) -> Faults:
    """The first faults, and how many more there are: an answer must not grow far beyond what was sent."""
    more = len(faults) - MAX_FAULTS
    return faults if more <= 0 else [*faults[:MAX_FAULTS], Fault("", "more", f"has {more} more faults")]


def _odd_money(plain: dict[str, Any]) -> Faults:
    return [
        Fault(f"/{name}", "invalid", "must be plain digits, such as 0.0042")
        for name in ("cost", "revenue")
        if isinstance(plain.get(name), str) and not _MONEY.fullmatch(plain[name])
    ]


def _every_fault(plain: dict[str, Any]) -> Faults:
    """Each field held against its type on its own, so that all faults are told at once."""
    unknown = (text.printable(name[:100]) for name in plain if name not in _FIELDS)
    faults = [Fault(f"/{name}", "unknown-field", "is not a field of an inference") for name in unknown]
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
    words = _PLACE.sub("", message)
    if "surrogate" in words or "malformed" in words:
        words = "must not hold control characters or lone surrogates"
    return Fault(f"/{name}", "invalid", words[:1].lower() + words[1:])


def _why_not_json(body: bytes) -> str:
    try:
        found = text.strict_json(body)
    except text.BadText as error:
        return f"The body is {error}." if str(error).startswith("not") else f"The body is refused: {error}."
    return "The body must be a JSON object or array." if not isinstance(found, list) else "The body is not valid JSON."
