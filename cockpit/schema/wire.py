"""Types of msgspec as parts of the description; DRF's own serializers fit beside them."""

from typing import Annotated, Any, get_origin

import msgspec
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import Direction

_REF = "#/components/schemas/{name}"


class WireType(OpenApiSerializerExtension):
    """A Struct, or an Annotated type whose Meta names it by its title."""

    target_class = msgspec.Struct

    @classmethod
    def _matches(cls, target: Any) -> bool:
        return get_origin(target) is Annotated or (isinstance(target, type) and issubclass(target, msgspec.Struct))

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        if isinstance(self.target, type):
            return self.target.__name__
        return str(self.target.__metadata__[0].title)

    def get_identity(self, auto_schema: AutoSchema, direction: Direction) -> str:
        return self.get_name(auto_schema, direction)

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        (own,), parts = msgspec.json.schema_components([self.target], ref_template=_REF)
        for name, part in parts.items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, _told(part), name)
            if name != self.get_name(auto_schema, direction):
                auto_schema.registry.register_on_missing(component)
        told: dict[str, Any] = _told(parts.get(self.get_name(auto_schema, direction), own))
        return told


def _told(schema: Any) -> Any:
    """A schema as it is told: what stands under `x-told` takes the place of what the type alone would say."""
    if isinstance(schema, list):
        return [_told(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-told" in schema:
        generated = ("type", "format", "enum")
        schema = {name: it for name, it in schema.items() if name not in generated} | schema["x-told"]
        schema.pop("x-told")
    return {name: _told(it) for name, it in schema.items()}
