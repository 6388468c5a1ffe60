"""Query parameters read strictly: none unknown, none twice, no control characters."""

from collections.abc import Collection, Sequence

from django.http import QueryDict

from bedrock.text import text_problem


class BadParameters(ValueError):
    """Query parameters that are refused; `errors` holds {pointer, code, message} for each."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{error['pointer'].lstrip('?')} {error['message']}" for error in errors))
        self.errors = errors

    @classmethod
    def of(cls, name: str, message: str, code: str = "invalid") -> "BadParameters":
        return cls([{"pointer": f"?{name}", "code": code, "message": message}])


def read(query: QueryDict, allowed: Collection[str]) -> dict[str, str]:
    """The parameters by name.

    Raises:
        BadParameters: for names not in `allowed`, repeated ones, control characters, more than 200 characters.
    """
    errors = []
    for name, values in query.lists():
        if name not in allowed:
            errors.append(_unknown(name, allowed))
        elif len(values) != 1:
            errors.append(("repeated-parameter", name, "must be given once"))
        elif problem := text_problem(values[0], 200):
            errors.append(("invalid", name, problem))
    _refuse(errors)
    return {name: str(query[name]) for name in query}


def read_lists(query: QueryDict, allowed: Collection[str], *, most: int, longest: int) -> dict[str, list[str]]:
    """The words of each parameter, by its name: it may be given several times, and several words between commas.

    Raises:
        BadParameters: for names not in `allowed`, more than `most` words of one name, empty words, words longer than
            `longest` characters or with control characters.
    """
    errors = []
    found: dict[str, list[str]] = {}
    for name, values in query.lists():
        words = [word for value in values for word in str(value).split(",", most + 1)]
        problems = [text_problem(word, longest) if word else "must not hold an empty word" for word in words]
        if name not in allowed:
            errors.append(_unknown(name, allowed))
        elif len(words) > most:
            errors.append(("invalid", name, f"must hold at most {most} words"))
        elif problem := next(filter(None, problems), None):
            errors.append(("invalid", name, problem))
        found[name] = words
    _refuse(errors)
    return found


def _unknown(name: str, allowed: Collection[str]) -> tuple[str, str, str]:
    known = f"; known are {', '.join(sorted(allowed))}" if allowed else ""
    return "unknown-parameter", name, f"is not a parameter of this address{known}"


def _refuse(errors: Sequence[tuple[str, str, str]]) -> None:
    if errors:
        raise BadParameters(
            [{"pointer": f"?{name[:100]}", "code": code, "message": told} for code, name, told in errors]
        )
