"""The one validator of strings and JSON: what may be stored, logged and shown without a second thought."""

import json
import re
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 32
_REFUSED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# A string of a JSON text, to its end where nothing closes it; possessive, so that no text makes it go back.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class BadText(ValueError):
    """A string or JSON text that is refused; the message names the limit and stands for a person to read."""


def text_problem(text: str, longest: int) -> str | None:
    """Why `text` may not be stored, or None. Letters of every script are fine; control characters are not."""
    if len(text) > longest:
        return f"must be at most {longest} characters long"
    if _REFUSED.search(text):
        return "must not hold control characters or lone surrogates"
    return None


def printable(text: str) -> str:
    """`text` as it may be sent and logged: control characters and lone surrogates written out."""
    return "".join(
        letter
        if 0x20 <= ord(letter) < 0x7F or (ord(letter) > 0x9F and not 0xD800 <= ord(letter) <= 0xDFFF)
        else f"\\u{ord(letter):04x}"
        for letter in text
    )


def depth_of(body: bytes) -> int:
    """The deepest nesting of a JSON text, brackets in strings left out; no parsing, no recursion."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(name: str) -> Any:
    raise BadText(f"{name} is not a JSON number")


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadText(f"the field {printable(name[:100])!r} stands twice in one object")
        found[name] = value
    return found


def strict_json(body: bytes) -> Any:
    """A JSON text read strictly: UTF-8, no byte order mark, no NaN or Infinity, no field twice, depth at most 32.

    Raises:
        BadText: naming what is wrong.
    """
    # Quick bound first: only a text with more opening brackets than MAX_DEPTH can be too deep.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and depth_of(body) > MAX_DEPTH:
        raise BadText(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadText("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadText(f"not JSON: {error.msg} at character {error.pos}") from None
    except (RecursionError, ValueError) as error:  # a ValueError: an integer of more than 4,300 digits
        raise error if isinstance(error, BadText) else BadText("not JSON that can be read") from None
