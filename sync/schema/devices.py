"""``/api/v1/devices`` in OpenAPI's words."""

from __future__ import annotations

from shards.models import REGION_LENGTH
from sync.rules import KEY_LENGTH, PROFILE_LENGTH
from sync.schema import operations, parts, problems, syncing
from sync.schema.operations import Operations
from sync.schema.parts import Schema

TAG = "Devices"

_ENROL = """\
A TV with the key of its batch gets a home, the roomiest shard of its region, and a
token that holds for some months.

The same key and `device_id` again: 200, the same shard, a fresh token. That is what a
TV does about every 401. A token needn't, and mustn't, be sent along.
"""

_FORGET = """\
Erases the TV and all it ever sent, on the spot. The next round is made without it.

A TV forgets itself; doing so twice is fine. An operator needs the role for it, and
hears 404 if there is no such TV.
"""


def described() -> Operations:
    return {
        "POST /api/v1/devices": operations.operation(
            "enrol",
            tag=TAG,
            summary="Enrol a TV, or renew its token",
            description=_ENROL,
            security=operations.ANYONE,
            body=parts.ref("EnrolmentRequest"),
            message="EnrollRequest",
            replies={
                201: operations.reply(
                    "A new TV.", parts.ref("Enrolment"), message="EnrollReply"
                ),
                200: operations.reply(
                    "A TV that was enrolled before.",
                    parts.ref("Enrolment"),
                    message="EnrollReply",
                ),
            },
            refusals=[
                *problems.any_call(problems.JSON_OR_PROTOBUF),
                *problems.any_body(problems.JSON_OR_PROTOBUF),
                *problems.invalid("device_id", "not a UUID", "a UUID"),
                *problems.enrolling(),
                *problems.shard_down(),
                *problems.control_down(),
            ],
        ),
        "DELETE /api/v1/devices/{id}": operations.operation(
            "forget",
            tag=TAG,
            summary="Forget a TV",
            description=_FORGET,
            security=operations.DEVICE_OR_OPERATOR,
            parameters=[
                {
                    "name": "id",
                    "in": "path",
                    "required": True,
                    "description": "The TV.",
                    "schema": {
                        "type": "string",
                        "format": "uuid",
                        "examples": [parts.DEVICE_ID],
                    },
                }
            ],
            replies={204: {"description": "Forgotten. No body."}},
            refusals=[
                *problems.any_call(problems.JSON_OR_PROTOBUF),
                *problems.device_token(),
                *problems.operator(),
                *problems.permission(),
                *problems.forgetting(),
                *problems.invalid("device_id", "not a UUID", "a UUID"),
                *problems.shard_down(),
                *problems.control_down(),
            ],
        ),
    }


def schemas() -> dict[str, Schema]:
    return {"EnrolmentRequest": _request(), "Enrolment": _reply()}


def _request() -> Schema:
    return parts.obj(
        {
            "enrolment_key": parts.text(
                "The key of the TV's batch, from its factory or its seller.",
                example="spring-2026-example-key",
                at_most=KEY_LENGTH,
            ),
            "device_id": parts.nullable(
                parts.uuid("The TV's id; left out, the server makes one. Keep it.")
            ),
            "region": parts.nullable(
                parts.text(
                    "Where the TV stands: which trends it gets. Kept in lower case. "
                    "Left out or empty: the region of its batch.",
                    example="eu",
                    at_least=0,
                    at_most=REGION_LENGTH,
                    pattern="^([a-zA-Z0-9][a-zA-Z0-9_-]*)?$",
                )
            ),
            "model": _label("The TV's model, for operators to read.", "LX-55"),
            "firmware": _label("Its firmware, for operators to read.", "4.1.7"),
        },
        optional=["device_id", "region", "model", "firmware"],
    )


def _label(description: str, example: str) -> Schema:
    return parts.nullable(
        parts.text(
            f"{description} No control characters.",
            example=example,
            at_least=0,
            at_most=PROFILE_LENGTH,
        )
    )


def _reply() -> Schema:
    return parts.obj(
        {
            "device_id": parts.uuid("The TV's id from now on."),
            "token": parts.text(
                "To be sent as `Authorization: Device <token>`. Opaque.",
                example="a" * 40 + "." + "b" * 43,
            ),
            "token_expires_at": parts.instant("When it has to be renewed."),
            "shard_id": parts.whole("The number of the TV's shard.", example=3),
            "sync_url": parts.uri("Where to sync.", example=problems.SYNC_URL),
            "grpc_target": parts.text(
                "The same for gRPC, as host:port.",
                example="shard-3.example:50051",
                at_least=0,
            ),
            "global_version": parts.version(
                "The publication that is current; 0 before the first.", example=18
            ),
            "next_sync_seconds": syncing.next_sync_seconds(),
        }
    )
