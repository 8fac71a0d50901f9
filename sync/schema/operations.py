"""An operation in OpenAPI's words: what is the same about all of them is said once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from shards.exceptions import ConstellationError
from sync.encodings import ACCEPTED_ENCODINGS
from sync.parsers import OldProtobufParser, ProtobufParser
from sync.renderers import ProtobufRenderer
from sync.schema import problems
from sync.schema.parts import Schema

JSON = "application/json"

#: What a message may be declared as; the second is the old name of the first.
PROTOBUF_UP = (ProtobufParser.media_type, OldProtobufParser.media_type)
PROTOBUF_DOWN = ProtobufRenderer.media_type

Operation: TypeAlias = dict[str, Any]
#: By "METHOD path".
Operations: TypeAlias = dict[str, Operation]

#: Who may call; any one of a list is enough.
ANYONE: list[dict[str, list[str]]] = []
DEVICE: list[dict[str, list[str]]] = [{"Device": []}]
OPERATOR: list[dict[str, list[str]]] = [{"Token": []}, {"Session": []}]
DEVICE_OR_OPERATOR = DEVICE + OPERATOR


def operation(
    name: str,
    *,
    tag: str,
    summary: str,
    description: str,
    security: list[dict[str, list[str]]],
    replies: Mapping[int, dict[str, Any]],
    refusals: Iterable[ConstellationError],
    parameters: Sequence[Schema] = (),
    body: Schema | None = None,
    message: str = "",
    own_members: Mapping[str, Mapping[str, Schema]] | None = None,
) -> Operation:
    """Describe an operation.

    ``body`` is the schema of what it takes as JSON, ``message`` names the same in
    protobuf, ``own_members`` are those that only some codes of its refusals have.
    """
    common = []
    taken = {}
    if body is not None:
        common = [parameter("ContentEncoding")]
        content = {JSON: {"schema": body}}
        if message:
            content |= {each: binary(message, each) for each in PROTOBUF_UP}
        taken = {"requestBody": {"required": True, "content": content}}
    if any("Content-Encoding" in each.get("headers", {}) for each in replies.values()):
        common.append(parameter("AcceptEncoding"))
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "security": security,
        "parameters": [*parameters, *common],
        **taken,
        "responses": {
            **{str(status): reply for status, reply in replies.items()},
            **problems.responses(refusals, own_members=own_members or {}),
        },
    }


def reply(description: str, schema: Schema, *, message: str = "") -> dict[str, Any]:
    """Describe an answer for one caller, encoded as it likes."""
    content = {JSON: {"schema": schema}}
    if message:
        content[PROTOBUF_DOWN] = binary(message, PROTOBUF_DOWN)
    return {
        "description": description,
        "headers": _headers("ContentEncoding", cache_control="NoStore"),
        "content": content,
    }


def cacheable(description: str, schema: Schema) -> dict[int, dict[str, Any]]:
    """Describe an answer with an ETag, and that of who has it already."""
    kept = {"ETag": {"$ref": "#/components/headers/ETag"}}
    return {
        200: {
            "description": description,
            "headers": kept | _headers("ContentEncoding", cache_control="MaxAge"),
            "content": {JSON: {"schema": schema}},
        },
        304: {
            "description": "`If-None-Match` names what is still the answer. No body.",
            "headers": kept | _headers(cache_control="MaxAge"),
        },
    }


def parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def query(name: str, schema: Schema, *, default: int | None = None) -> Schema:
    """Describe a parameter of the query, which may be left out."""
    described = dict(schema)
    if default is not None:
        described["default"] = default
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": described.pop("description"),
        "schema": described,
    }


def shared_parameters() -> dict[str, Schema]:
    return {
        "ContentEncoding": {
            "name": "Content-Encoding",
            "in": "header",
            "description": "How the body is encoded. Sizes are limited on the wire "
            "and inflated; a zstd window to 8 MiB (RFC 9659).",
            "schema": {
                "type": "string",
                "enum": [*ACCEPTED_ENCODINGS, "identity"],
                "default": "identity",
            },
        },
        "AcceptEncoding": {
            "name": "Accept-Encoding",
            "in": "header",
            "description": "What the reply may be encoded with, with q-values. A reply "
            "below 1 KiB is sent as it is.",
            "schema": {"type": "string", "examples": ["zstd, gzip;q=0.5"]},
        },
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of the answer that the caller has.",
            "schema": {"type": "string", "examples": [_ETAG]},
        },
    }


def shared_headers() -> dict[str, Schema]:
    return {
        "ContentEncoding": {
            "description": "Absent: as it is.",
            "schema": {"type": "string", "enum": list(ACCEPTED_ENCODINGS)},
        },
        "NoStore": {
            "description": "For this caller, now.",
            "schema": {"type": "string", "enum": ["no-store"]},
        },
        "MaxAge": {
            "description": "How long, in seconds, a cache may keep it.",
            "schema": {"type": "string", "examples": ["public, max-age=60"]},
        },
        "ETag": {
            "description": "Of the content, whatever its encoding.",
            "schema": {"type": "string", "examples": [_ETAG]},
        },
        "RetryAfter": {
            "description": "When to come back, in seconds; spread, so that not all "
            "come back at once.",
            "schema": {"type": "integer", "minimum": 1, "examples": [42]},
        },
        "Challenge": {
            "description": "The scheme of the `Authorization` that was expected.",
            "schema": {"type": "string", "enum": ["Device", "Token"]},
        },
    }


def security_schemes() -> dict[str, Schema]:
    return {
        "Device": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "A TV: `Device <token>`, with the token of its enrolment. "
            "On 401 enrol again, with the same `device_id`.",
        },
        "Token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "An operator's script: `Token <token>`, as `manage.py "
            "operator create` prints it.",
        },
        "Session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "An operator who is signed in to the console. What changes "
            "something needs the header `X-CSRFToken` as well.",
        },
    }


def binary(message: str, media_type: str) -> dict[str, Schema]:
    """Describe bytes: no JSON Schema can say what is in them."""
    return {
        "schema": {
            "description": f"The message `{message}` of `proto/constellation/v1/`.",
            "contentMediaType": media_type,
        }
    }


def _headers(*names: str, cache_control: str) -> dict[str, Any]:
    headers = {"Cache-Control": {"$ref": f"#/components/headers/{cache_control}"}}
    if "ContentEncoding" in names:
        headers["Content-Encoding"] = {"$ref": "#/components/headers/ContentEncoding"}
    return headers


_ETAG = 'W/"6d1f0a9c27bb5f5f1d7f7f7c0ad8b5e1"'
