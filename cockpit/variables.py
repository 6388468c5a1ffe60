"""Variables of the environment taken one by one: typed, with all that is wrong with them collected."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path


class Reader:
    """Takes variables out of a mapping one by one and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []
        self.seen: set[str] = set()

    def fault(self, name: str, problem: str) -> None:
        self.faults.append(f"{name}: {problem}")

    def text(self, name: str, default: str = "") -> str:
        self.seen.add(name)
        return self._environ.get(name, "").strip() or default

    def secret(self, name: str) -> str | None:
        """`NAME`, or the content of the file that `NAME_FILE` names (for container secrets)."""
        value, path = self.text(name), self.text(f"{name}_FILE")
        if value and path:
            self.fault(name, f"is set, and {name}_FILE too; set only one of them")
        if path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                self.fault(f"{name}_FILE", f"cannot be read ({type(error).__name__})")
        return value or None

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            self.fault(name, f"must be a whole number from {low} to {high}")
            return default
        return int(text)

    def boolean(self, name: str, default: bool) -> bool:
        text = self.text(name, "true" if default else "false").lower()
        if text not in ("true", "false", "1", "0"):
            self.fault(name, "must be true or false")
        return text in ("true", "1")

    def words(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        text = self.text(name)
        return tuple(word.strip() for word in text.split(",") if word.strip()) if text else default

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(name, default).lower()
        if text not in choices:
            self.fault(name, f"must be one of {', '.join(choices)}")
            return default
        return text

    def url(self, name: str, check: Callable[[str], str | None]) -> str | None:
        value = self.secret(name)
        problem = check(value) if value else None
        if problem:
            self.fault(name, problem)
            return None
        return value
