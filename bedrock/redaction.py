"""One place that takes secrets out of everything that is logged: by the name of a key, and by the shape of a value."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "[redacted]"
LONGEST = 4096  # characters of one logged value; what is longer is cut and says so

# Letters of a key, without case and punctuation, that mark its value as secret.
_SECRET_NAMES = (
    "authorization", "cookie", "password", "passwd", "secret", "apikey", "accesskey", "privatekey", "routingkey",
    "accesstoken", "refreshtoken", "sessionid", "sessionkey", "csrf", "pepper", "credential", "databaseurl", "redisurl",
)  # fmt: skip
_SECRET_EXACT = frozenset({"token", "auth", "key", "bearer", "pwd"})

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    # A credential has a digit, a capital inside or padding; "basic information" and "bearer certificate" have none.
    (
        re.compile(r"(?i)\b(bearer|basic)\s+(?=[^\s,;\"']*(?:[0-9=]|(?-i:[a-z][A-Z])))[a-z0-9._~+/=-]{8,}"),
        rf"\1 {MASK}",
    ),
    (re.compile(r"\bck_([a-z0-9]{12})_[A-Za-z0-9_-]{20,}"), rf"ck_\1_{MASK}"),
    (re.compile(r"\bct_[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]*)?"), f"ct_{MASK}"),
    (re.compile(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|\bgsk_[A-Za-z0-9]{16,}|\bglpat-[A-Za-z0-9_-]{16,}"), MASK),
    (re.compile(r"\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}"), MASK),
    (re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}|\bwhsec_[A-Za-z0-9+/=]{16,}"), MASK),
    (re.compile(r"(hooks\.slack\.com/services)/[A-Za-z0-9/_-]+"), rf"\1/{MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/@:]*:[^\s/]+@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)\b((?:set-)?cookie\s*[=:]\s*)[^\r\n]{4,}"), rf"\1{MASK}"),
    (
        re.compile(
            r"(?i)((?:password|passwd|secret|api[_-]?key|access[_-]?key|token|pepper)[a-z0-9_-]*[\"']?\s*[=:]\s*)"
            r"(?:\"[^\"]{4,}\"|'[^']{4,}'|(?![0-9]+\b|\[redacted)[^\s'\"&,;}\])]{4,})"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+\b"), "[e-mail]"),
)
# Most log values are short words: none of the shapes can match without one of these.
_SUSPECT = re.compile(
    r"[@:=]|-----BEGIN|bearer|basic|c[kt]_|[spr]k[-_]|gsk_|glpat|hf_|gh[pousr]_|github|AKIA|ASIA|AIza|xox|whsec|slack|eyJ",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    letters = re.sub(r"[^a-z]", "", name.lower())
    return letters in _SECRET_EXACT or any(word in letters for word in _SECRET_NAMES)


def redact_text(text: str) -> str:
    """`text` without the secrets whose shape is known, at most LONGEST characters long."""
    length = len(text)
    text = text[: 2 * LONGEST]  # masked before it is cut to size, so that no half of a key is left at the end
    if _SUSPECT.search(text):
        for pattern, replacement in _SHAPES:
            text = pattern.sub(replacement, text)
    return text if length <= LONGEST and len(text) <= LONGEST else f"{text[:LONGEST]}… ({length} characters)"


def redact(value: Any, depth: int = 0) -> Any:
    """`value` with every secret masked, through mappings and sequences; anything unknown by its text."""
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth > 8:
        return "…"
    if isinstance(value, Mapping):
        return {
            redact_text(str(name)): MASK if is_secret_name(str(name)) and item else redact(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth + 1) for item in value]
    return redact_text(str(value))
