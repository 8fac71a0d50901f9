"""``/api/v1/stats`` and ``/api/v1/shards`` in OpenAPI's words."""

from __future__ import annotations

from shards.models import REGION_LENGTH, Shard
from sync.schema import operations, parts, problems
from sync.schema.operations import Operations
from sync.schema.parts import Schema

TAG = "Operators"

_STATISTICS = """\
Of the shards that this process serves as of now, of the others as the observer saw
them last. `reachable` is false for a shard that didn't answer just now; then its
figures are the last known.
"""


def described() -> Operations:
    refusals = [
        *problems.any_call(),
        *problems.device_token(),
        *problems.operator(),
        *problems.permission(),
        *problems.control_down(),
    ]
    return {
        "GET /api/v1/stats": operations.operation(
            "list_statistics",
            tag=TAG,
            summary="What each shard does",
            description=_STATISTICS,
            security=operations.OPERATOR,
            parameters=[
                operations.query(
                    "shard_id",
                    parts.whole("Only this shard.", example=3, at_most=99_999),
                )
            ],
            replies={
                200: operations.reply(
                    "One entry a shard, by number.",
                    parts.array(parts.ref("ShardStatistics"), "By number."),
                )
            },
            refusals=[
                *refusals,
                *problems.asking_for_a_shard(),
                *problems.invalid(
                    "shard_id", "not a shard's number", "a shard's number, as 0"
                ),
            ],
        ),
        "GET /api/v1/shards": operations.operation(
            "list_shards",
            tag=TAG,
            summary="Where TVs live, and how much room there is",
            description="Every shard there is, whoever serves it.",
            security=operations.OPERATOR,
            replies={
                200: operations.reply(
                    "One entry a shard, by number.",
                    parts.array(parts.ref("Shard"), "By number."),
                )
            },
            refusals=refusals,
        ),
    }


def schemas() -> dict[str, Schema]:
    return {"ShardStatistics": _statistics(), "Shard": _shard()}


def _statistics() -> Schema:
    return parts.obj(
        {
            "shard_id": parts.whole("The shard's number.", example=3),
            "total_devices": parts.whole("TVs that live there.", example=2_618_004),
            "active_devices": parts.whole(
                "TVs that synced within the last 15 minutes.", example=1_904_551
            ),
            "patterns_stored": parts.whole("Patterns it keeps.", example=81_004_377),
            "sync_requests_per_min": parts.number(
                "Syncs a minute, as a mean.", example=253_940.2
            ),
            "avg_sync_latency_ms": parts.number(
                "Mean time from a sync's arrival to its commit, in milliseconds.",
                example=8.4,
            ),
            "reachable": parts.flag("Whether it answers.", example=True),
        }
    )


def _shard() -> Schema:
    return parts.obj(
        {
            "id": parts.whole("The shard's number.", example=3),
            "name": parts.text("Its name.", example="vega", at_most=64),
            "region": parts.text(
                "Whose TVs it takes; `global` takes those of every region without a "
                "shard of its own.",
                example="eu",
                at_most=REGION_LENGTH,
            ),
            "devices": parts.whole("TVs that live there.", example=2_618_004),
            "max_devices": parts.whole(
                "TVs it has room for.", example=4_000_000, at_least=1
            ),
            "used_fraction": parts.number(
                "Share of its places taken, 0 to 1; more if the capacity was lowered.",
                example=0.6545,
            ),
            "status": parts.choice(
                "A draining shard answers its TVs and takes no new ones.",
                Shard.Status.values,
                example="active",
            ),
        }
    )
