"""Holds real requests and replies against docs/openapi.yaml's own words.

Requests: whatever a view accepts must be valid by the document. Replies: the status,
the media type, each header and each member must be in it; one that isn't is a lie by
omission.
"""

from __future__ import annotations

import re
from copy import deepcopy
from datetime import datetime
from functools import cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker, validators

from sync import encodings
from sync.problems import MEDIA_TYPE
from sync.schema.document import document

#: Told by HTTP itself, or by Django for the console's sake.
UNTOLD_HEADERS = {
    "Allow",
    "Accept",
    "Accept-Encoding",
    "Content-Length",
    "Content-Type",
    "Cross-Origin-Opener-Policy",
    "Referrer-Policy",
    "Vary",
    "X-Content-Type-Options",
    "X-Frame-Options",
}

#: Described, and absent where nothing was encoded.
OPTIONAL_HEADERS = {"Content-Encoding"}


def is_instant(value: object) -> bool:
    return not isinstance(value, str) or (
        datetime.fromisoformat(value).tzinfo is not None
    )


checker = FormatChecker(["uuid"])
checker.checks("date-time", raises=ValueError)(is_instant)


def items(validator: Any, schema: Any, instance: Any, whole: Any) -> Any:
    """Numbers of an embedding at once: one by one they would take the suite an hour."""
    if schema == {"type": "number"} and {*map(type, instance)} <= {int, float}:
        return
    yield from Draft202012Validator.VALIDATORS["items"](
        validator, schema, instance, whole
    )


Validator = validators.extend(Draft202012Validator, {"items": items})


def problems_with(schema: dict[str, Any], instance: Any, *, is_closed: bool) -> str:
    """Say what isn't valid; "" if nothing. Closed: no member but those described."""
    components = closed_components() if is_closed else document()["components"]
    told = closed(schema) if is_closed else schema
    validator = Validator(told | {"components": components}, format_checker=checker)
    return "\n".join(
        f"{error.json_path}: {error.message[:300]}"
        for error in validator.iter_errors(instance)
    )


def operation_at(path: str, method: str) -> dict[str, Any] | None:
    method = "get" if method == "HEAD" else method.lower()
    for template, operations in document()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: dict[str, Any] | None = operations.get(method)
            return found
    return None


def check_request(
    operation: dict[str, Any], body: bytes, *, content_type: str, encoding: str
) -> None:
    """Hold a body that was accepted against the document."""
    if "requestBody" not in operation:
        return
    told = operation["requestBody"]["content"]
    media_type = content_type.partition(";")[0].strip().lower()
    assert media_type in told, f"{operation['operationId']} took {media_type}"
    if not media_type.endswith("json"):
        return  # what is in a message, its .proto says
    sent = encodings.inflate(body, encoding)
    schema = told[media_type]["schema"]

    problems = problems_with(schema, orjson.loads(sent), is_closed=False)
    assert not problems, f"{operation['operationId']} took {problems}"


def check_reply(operation: dict[str, Any], method: str, response: Any) -> None:
    name = operation["operationId"]
    told = operation["responses"].get(str(response.status_code))
    assert told, f"{name} doesn't mention {response.status_code}: {response.content!r}"
    headers = {*response.headers} - UNTOLD_HEADERS
    promised = {*told.get("headers", {})}
    assert headers <= promised, f"{name} doesn't mention {headers - promised}"
    missing = promised - headers - OPTIONAL_HEADERS
    assert not missing, f"{name} {response.status_code} lacks {missing}"
    if "content" not in told or method == "HEAD":
        assert not response.content
        return
    media_type = response["Content-Type"].partition(";")[0]
    assert media_type in told["content"], f"{name} doesn't mention {media_type}"
    if media_type.endswith("json"):
        schema = told["content"][media_type]["schema"]
        body = encodings.inflate(
            response.content, response.headers.get("Content-Encoding", "")
        )
        problems = problems_with(schema, orjson.loads(body), is_closed=True)
        assert not problems, f"{name} {response.status_code}: {problems}"


def check_elsewhere(response: Any) -> None:
    """No operation: an address or a method that doesn't exist, or a caller unknown."""
    assert response.status_code in (401, 404, 405), response
    assert response["Content-Type"] == MEDIA_TYPE
    problem = document()["components"]["schemas"]["Problem"]
    problems = problems_with(problem, orjson.loads(response.content), is_closed=True)
    assert not problems, problems


@cache
def closed_components() -> dict[str, Any]:
    components: dict[str, Any] = deepcopy(document()["components"])
    for name, schema in components["schemas"].items():
        # The problem is a part of others, which have members of their own.
        if name != "Problem":
            components["schemas"][name] = closed(schema)
    return components


def closed(schema: Any) -> Any:
    """Forbid every member that a schema doesn't name, at every level."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "allOf" in schema:
        return schema | {"unevaluatedProperties": False}
    inner = {name: closed(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict):
        inner["unevaluatedProperties"] = False
    return inner
