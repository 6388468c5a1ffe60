"""A refusal as it is sent: application/problem+json (RFC 9457)."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Pointer = Annotated[
    str, Meta(description="A JSON pointer into the body (`/cost`), or `?` and the name of a query parameter.")
]
Code = Annotated[str, Meta(description="What kind of fault it is, for programs: `required`, `invalid`, `too-old`.")]


class Fault(Struct, frozen=True):
    """One thing wrong with one field."""

    pointer: Pointer
    code: Code
    message: Annotated[str, Meta(description="What is wrong and which limit holds, for people.")]


class Problem(Struct, rename="camel", frozen=True, kw_only=True):
    """Why a request was refused."""

    type: Annotated[str, Meta(description="Always `about:blank`: status and title say it all.")]
    title: Annotated[str, Meta(description="The kind of problem in a few words.")]
    status: Annotated[int, Meta(description="The HTTP status, once more.", extra_json_schema={"minimum": 400})]
    detail: Annotated[str, Meta(description="What was wrong with this very request.")] | UnsetType = UNSET
    request_id: Annotated[str, Meta(description="Quote it when you ask for help.")] | UnsetType = UNSET
    errors: Annotated[list[Fault], Meta(description="Each field at fault, where fields are.")] | UnsetType = UNSET
