"""What the data plane refuses, in words for the sender; the roof turns each into its status."""

from collections.abc import Sequence


class BadItems(Exception):
    """Input that is not valid: `errors` names each field as a JSON pointer, with a code and the limit in words."""

    def __init__(self, message: str, errors: Sequence[dict[str, str]] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)


class KeyConflict(Exception):
    """An idempotency key that was used before, with other content."""


class TooLarge(Exception):
    """A body or a list beyond its limit."""
