"""The pieces that schemas are made of: plain dicts in the words of JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from patterns.vectors import EMBEDDING_DIMENSIONS
from sync.fields import VERSION_MAX

Schema: TypeAlias = dict[str, Any]

#: A TV's id in every example, so that they read as one story.
DEVICE_ID = "6b0e4d52-8c44-4b1e-9e5c-3a3b1c9f5a10"
PATTERN_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
INSTANT = "2026-03-01T12:00:00Z"
CONTENT_ID = "tt0133093"

REGION_PATTERN = "^[a-z0-9][a-z0-9_-]*$"


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def obj(
    properties: Mapping[str, Schema],
    *,
    description: str = "",
    optional: Sequence[str] = (),
) -> Schema:
    """Describe an object; all of its properties are required but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        **({"description": description} if description else {}),
        "properties": dict(properties),
        **({"required": required} if required else {}),
    }


def array(items: Schema, description: str, *, at_most: int | None = None) -> Schema:
    limit = {} if at_most is None else {"maxItems": at_most}
    return {"type": "array", "description": description, "items": items, **limit}


def text(
    description: str,
    *,
    example: str,
    at_least: int = 1,
    at_most: int | None = None,
    **more: Any,
) -> Schema:
    """Describe a string; its length counts characters, not bytes."""
    return {
        "type": "string",
        "description": description,
        **({"minLength": at_least} if at_least else {}),
        **({} if at_most is None else {"maxLength": at_most}),
        **more,
        "examples": [example],
    }


def choice(description: str, names: Sequence[str], *, example: str) -> Schema:
    return {
        "type": "string",
        "description": description,
        "enum": list(names),
        "examples": [example],
    }


def whole(
    description: str, *, example: int, at_least: int = 0, at_most: int | None = None
) -> Schema:
    return _ranged("integer", description, example, at_least, at_most)


def number(
    description: str,
    *,
    example: float,
    at_least: float | None = 0,
    at_most: float | None = None,
) -> Schema:
    return _ranged("number", description, example, at_least, at_most)


def fraction(description: str, *, example: float) -> Schema:
    return number(description, example=example, at_most=1)


def flag(description: str, *, example: bool) -> Schema:
    return {"type": "boolean", "description": description, "examples": [example]}


def uuid(description: str, *, example: str = DEVICE_ID) -> Schema:
    return text(description, example=example, at_least=0, format="uuid")


def uri(description: str, *, example: str) -> Schema:
    return text(description, example=example, at_least=0, format="uri")


def instant(description: str) -> Schema:
    return text(
        f"{description} RFC 3339, UTC.",
        example=INSTANT,
        at_least=0,
        format="date-time",
    )


def version(description: str, *, example: int) -> Schema:
    return whole(description, example=example, at_most=VERSION_MAX)


def nullable(schema: Schema) -> Schema:
    """Allow null too, which the server takes for a field that was left out."""
    names = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **names, "type": [schema["type"], "null"]}


def vector(description: str) -> Schema:
    """Describe an embedding; what all have in common is said once."""
    return ref("Embedding") | {"description": description}


def embedding() -> Schema:
    # As good a direction as any.
    example = [0.051, -0.051] * (EMBEDDING_DIMENSIONS // 2)
    return {
        "type": "array",
        "description": "Numbers of float32.",
        "items": {"type": "number"},
        "minItems": EMBEDDING_DIMENSIONS,
        "maxItems": EMBEDDING_DIMENSIONS,
        "examples": [example],
    }


def _ranged(
    kind: str,
    description: str,
    example: float,
    at_least: float | None,
    at_most: float | None,
) -> Schema:
    return {
        "type": kind,
        "description": description,
        **({} if at_least is None else {"minimum": at_least}),
        **({} if at_most is None else {"maximum": at_most}),
        "examples": [example],
    }
