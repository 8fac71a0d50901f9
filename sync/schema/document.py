"""The whole document: what drf-spectacular finds, completed by our descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

from sync.problems import MEDIA_TYPE
from sync.schema import (
    about,
    bundles,
    catalogue,
    devices,
    operations,
    operators,
    parts,
    problems,
    syncing,
)
from sync.schema.operations import Operation, Operations

#: In the order in which somebody who meets the API wants to read them.
SUBJECTS = (devices, syncing, bundles, catalogue, about, operators)

TAGS = {
    devices.TAG: "A TV gets a home and a token, and is forgotten.",
    syncing.TAG: "What a TV learned goes in, what everyone learned comes out.",
    bundles.TAG: "What everyone learned, whole, as signed files for caches.",
    catalogue.TAG: "The catalogue, written by operators and read by TVs.",
    about.TAG: "What this server is, and what it has published.",
    operators.TAG: "What operators and their scripts read.",
}

DESCRIPTION = """\
TVs learn from each other without telling anyone what they watch. A TV enrols once,
then syncs every few minutes: it sends the patterns it has learned and gets what many
TVs have in common.

**Formats.** Bodies are JSON (UTF-8), encoded with zstd, gzip or not at all, both ways.
TVs enrol and sync in protobuf as well, in a tenth of the bytes: the messages are in
`proto/constellation/v1/`, and without an `Accept` a reply is in the format of its
request.
`/api/v1/info` has every limit. Fields that nobody knows are ignored in requests;
replies may get new ones.

**Errors.** Every 4xx and 5xx, of whatever address, is `application/problem+json` with a
stable `code`; an address that doesn't exist is `not_found`, another method, from who
may call, `method_not_allowed`. What a TV does about them:

| answer | do |
|---|---|
| 401 | enrol again, then retry |
| 403 | stop; an operator decided so |
| 409 | resync |
| 413, 415, 422 | a bug of the TV: the same body will never be accepted |
| 421 | sync at the `sync_url` of the enrolment |
| 503, 5xx, no answer | wait `Retry-After`, or back off; then send the same again |

**Numbers** carry their unit in their name or in their description. A fraction, rate or
score is 0 to 1.
"""


class DescribedSchema(AutoSchema):
    """Gives drf-spectacular the description of an address that it has found."""

    def get_operation(  # type: ignore[no-untyped-def]
        self, path: str, path_regex, path_prefix, method: str, registry
    ) -> Operation | None:
        found: Operation | None = described().get(f"{method} {path}")
        # A view nobody has described yet gets what can be guessed, and its warnings.
        return found or super().get_operation(
            path, path_regex, path_prefix, method, registry
        )


def described() -> Operations:
    """Every operation of the API, in the order in which it is read."""
    return {
        name: operation
        for subject in SUBJECTS
        for name, operation in subject.described().items()
    }


def complete(result: dict[str, Any], **_facts: Any) -> dict[str, Any]:
    """Add what no address has: descriptions, tags and components."""
    result["info"]["description"] = DESCRIPTION
    result["tags"] = [
        {"name": name, "description": description} for name, description in TAGS.items()
    ]
    order = list(dict.fromkeys(name.split()[1] for name in described()))
    result["paths"] = dict(
        sorted(result["paths"].items(), key=lambda item: _place(item[0], order))
    )
    components = result.setdefault("components", {})
    components["schemas"] = {
        **components.get("schemas", {}),
        **{
            name: schema
            for subject in SUBJECTS
            for name, schema in subject.schemas().items()
        },
    }
    components["schemas"]["Embedding"] = parts.embedding()
    components["parameters"] = operations.shared_parameters() | bundles.parameters()
    components["headers"] = operations.shared_headers() | bundles.headers()
    components["securitySchemes"] = operations.security_schemes()
    return result


def name_problems(result: dict[str, Any], **_facts: Any) -> dict[str, Any]:
    """Describe the problem, last, for its codes are those that operations name.

    An example that several operations give is kept once.
    """
    components = result["components"]
    shared: dict[str, Any] = components.setdefault("examples", {})
    for examples in _problem_examples(result):
        for code, example in examples.items():
            if shared.setdefault(code, example) == example:
                examples[code] = {"$ref": f"#/components/examples/{code}"}
    components["schemas"]["Problem"] = problems.problem_schema(
        set(shared) | problems.ANYWHERE
    )
    return result


def _problem_examples(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operation in operations_of(result):
        for status, response in operation["responses"].items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                yield response["content"][MEDIA_TYPE]["examples"]


def operations_of(document: dict[str, Any]) -> list[Operation]:
    return [each for item in document["paths"].values() for each in item.values()]


@cache
def document() -> dict[str, Any]:
    """Make the document once for each process: it changes with the code alone."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    made: dict[str, Any] = generator.get_schema(  # type: ignore[no-untyped-call]
        request=None, public=True
    )
    return made


def _place(path: str, order: list[str]) -> int:
    return order.index(path) if path in order else len(order)
