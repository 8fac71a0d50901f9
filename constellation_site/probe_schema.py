"""The probes in OpenAPI's words; they are plain views, which nobody would find."""

from __future__ import annotations

from typing import Any

from constellation_site.health import NotReady
from shards.exceptions import ConstellationError
from sync.exceptions import BadRequest
from sync.schema import operations, parts
from sync.schema.operations import Operation
from sync.schema.parts import Schema

TAG = "Probes"

_READY = """\
Whether this process should get traffic: 200 unless it drains or none of its shards
answers. One dead shard never fails the others. The control database isn't asked: TVs
are answered without it.
"""


def add_probes(result: dict[str, Any], **_facts: Any) -> dict[str, Any]:
    result["tags"].append(
        {"name": TAG, "description": "What orchestrators and load balancers ask."}
    )
    for path, operation in _described().items():
        result["paths"][path] = {"get": operation}
    result["components"]["schemas"]["Component"] = _component()
    return result


def _described() -> dict[str, Operation]:
    return {
        "/health": _probe("health", "The same as /health/ready", _READY, _draining()),
        "/health/live": _probe(
            "live", "Is it alive?", "200 while the process runs. Asks nobody.", []
        ),
        "/health/ready": _probe("ready", "Should it get traffic?", _READY, _draining()),
        "/health/detailed": _probe(
            "health_in_detail",
            "What is wrong?",
            "Every database of this process and how long it took to answer; 503 if "
            "one of them didn't, or while the process drains.",
            [
                NotReady(
                    reason="no answer from shard_002",
                    health="degraded",
                    retry_after_seconds=42,
                    draining=False,
                    components=[
                        {"name": "default", "status": "ok", "latency_ms": 0.61},
                        {
                            "name": "shard_002",
                            "status": "down",
                            "latency_ms": 5.2,
                            "problem": "OperationalError",
                        },
                    ],
                )
            ],
            more=_details(),
        ),
    }


def _draining() -> list[ConstellationError]:
    return [
        NotReady(reason="it is draining", health="draining", retry_after_seconds=42)
    ]


def _probe(
    name: str,
    summary: str,
    description: str,
    refusals: list[ConstellationError],
    *,
    more: dict[str, Schema] | None = None,
) -> Operation:
    more = more or {}
    status = {"type": "string", "const": "ok", "description": "Always so with 200."}
    return operations.operation(
        name,
        tag=TAG,
        summary=summary,
        description=description,
        security=operations.ANYONE,
        replies={
            200: {
                "description": "All is well.",
                "content": {
                    operations.JSON: {"schema": parts.obj({"status": status, **more})}
                },
            }
        },
        refusals=[BadRequest(), ConstellationError(), *refusals],
        own_members={NotReady.code: more | _reasons()},
    )


def _reasons() -> dict[str, Schema]:
    return {
        "health": parts.choice(
            "In a word.", ["draining", "down", "degraded"], example="draining"
        ),
        "reason": parts.text("Why.", example="it is draining"),
    }


def _details() -> dict[str, Schema]:
    return {
        "draining": parts.flag(
            "Whether the process was told to end its work.", example=False
        ),
        "components": parts.array(
            parts.ref("Component"), "The control database, then the shards'."
        ),
    }


def _component() -> Schema:
    return parts.obj(
        {
            "name": parts.text("The database.", example="shard_000"),
            "status": parts.choice("Did it answer?", ["ok", "down"], example="ok"),
            "latency_ms": parts.number(
                "How long it took, in milliseconds.", example=0.61
            ),
            "problem": parts.text(
                "The kind of error, if it didn't answer.", example="OperationalError"
            ),
        },
        optional=["problem"],
    )
