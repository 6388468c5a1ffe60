"""Query parameters read strictly: none unknown, none twice, no control characters."""

from collections.abc import Collection

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
            known = f"; known are {', '.join(sorted(allowed))}" if allowed else ""
            errors.append(("unknown-parameter", name, f"is not a parameter of this address{known}"))
        elif len(values) != 1:
            errors.append(("repeated-parameter", name, "must be given once"))
        elif problem := text_problem(values[0], 200):
            errors.append(("invalid", name, problem))
    if errors:
        raise BadParameters(
            [{"pointer": f"?{name[:100]}", "code": code, "message": told} for code, name, told in errors]
        )
    return {name: str(query[name]) for name in query}
