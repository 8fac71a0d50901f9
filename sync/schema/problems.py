"""What can go wrong with an operation: its refusals, by status, each with an example.

The examples are real errors with made-up facts, so their members and their sentences
are those that clients get.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any

from django.conf import settings

from patterns.exceptions import StaleVersion, TooManyPatterns, VersionGap, VersionReused
from shards.exceptions import (
    BatchClosed,
    BatchFull,
    ConstellationError,
    ControlUnavailable,
    DeviceNotFound,
    DeviceOfAnotherBatch,
    DeviceRevoked,
    DeviceUnknown,
    EnrolmentKeyInvalid,
    InvalidRequest,
    NoShardAvailable,
    ShardNotServed,
    ShardUnavailable,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
    TokenOfAnotherDevice,
    UnknownShard,
)
from sync import exceptions, pacing, problems
from sync.schema import parts
from sync.schema.parts import Schema

#: Codes of addresses and methods that don't exist, so of no operation.
ANYWHERE = frozenset(
    {exceptions.NotFound.code, exceptions.MethodNotAllowed.code},
)

#: What a 406 or a 415 of an address says there is.
JSON_ONLY = "application/json"
PROTOBUF_ONLY = "application/protobuf, application/x-protobuf"
JSON_OR_PROTOBUF = "application/json, application/protobuf, application/x-protobuf"

SYNC_URL = "https://shard-3.example/api/v1/sync"


def any_call(formats: str = JSON_ONLY) -> list[ConstellationError]:
    """What every address of the API may say."""
    return [
        exceptions.BadRequest(),
        exceptions.NotAcceptable(available=formats),
        ConstellationError(),
    ]


def any_body(formats: str = JSON_ONLY) -> list[ConstellationError]:
    return [
        exceptions.MalformedBody(
            problem="unexpected end of data at byte 812", position=812
        ),
        exceptions.BodyTooLarge(limit=settings.BODY_LIMIT_BYTES, sent=300_000),
        exceptions.BodyInflatesTooLarge(limit=settings.INFLATED_LIMIT_BYTES),
        exceptions.UnsupportedEncoding(encoding="br", accepted="zstd, gzip, identity"),
        exceptions.UnsupportedMediaType(media_type="text/plain", accepted=formats),
    ]


def device_token() -> list[ConstellationError]:
    return [
        TokenMissing(),
        TokenInvalid(),
        TokenExpired(expired_at="2026-03-01T12:00:00+00:00"),
    ]


def operator() -> list[ConstellationError]:
    return [
        exceptions.NotAuthenticated(
            problem="Sign in, or send 'Authorization: Token <token>'."
        ),
    ]


def permission() -> list[ConstellationError]:
    return [
        exceptions.PermissionDenied(
            problem="You aren't allowed to do that. An administrator can give your "
            "account another role."
        )
    ]


def invalid(field: str, problem: str, accepted: str) -> list[ConstellationError]:
    return [InvalidRequest(field=field, problem=problem, accepted=accepted)]


def partial() -> list[ConstellationError]:
    """What conditions and ranges may come to."""
    return [
        exceptions.PreconditionFailed(
            field="If-Match", accepted='"9f86d081884c7d659a2feaa0c55ad015"'
        ),
        exceptions.RangeNotSatisfiable(
            field="Range", accepted="bytes below 100000", limit=100_000
        ),
    ]


def control_down() -> list[ConstellationError]:
    return [ControlUnavailable(retry_after_seconds=42)]


def shard_down() -> list[ConstellationError]:
    return [ShardUnavailable(shard_id=3, retry_after_seconds=42)]


def served_elsewhere() -> list[ConstellationError]:
    return [ShardNotServed(shard_id=3, sync_url=SYNC_URL)]


def enrolling() -> list[ConstellationError]:
    return [
        EnrolmentKeyInvalid(),
        BatchClosed(batch="spring", status="closed"),
        BatchFull(batch="spring", max_devices=5000),
        DeviceOfAnotherBatch(device_id=parts.DEVICE_ID),
        DeviceRevoked(device_id=parts.DEVICE_ID),
        NoShardAvailable(region="eu", retry_after_seconds=1800),
    ]


def syncing() -> list[ConstellationError]:
    limit = settings.PATTERNS_PER_SYNC
    return [
        DeviceUnknown(device_id=parts.DEVICE_ID),
        TokenOfAnotherDevice(field="device_id", device_id=parts.DEVICE_ID),
        DeviceRevoked(device_id=parts.DEVICE_ID),
        StaleVersion(
            field="delta.local_version",
            accepted="more than 123",
            sent=120,
            local_version=123,
        ),
        VersionGap(
            field="base_version",
            accepted="120",
            sent=122,
            local_version=120,
            resync=True,
        ),
        VersionReused(
            field="delta.local_version", accepted="more than 123", local_version=123
        ),
        TooManyPatterns(
            field="delta",
            problem=f"its lists name {limit + 6} patterns",
            accepted=f"at most {limit} in the three lists together",
            limit=limit,
            limit_name="patterns_per_sync",
        ),
        exceptions.CodebookUnknown(
            field="delta.codebook_version",
            sent=2,
            codebook_version=7,
            known="4, 5, 6, 7",
            accepted="codes of 4, 5, 6, 7",
        ),
        exceptions.Overloaded(retry_after_seconds=42),
    ]


def forgetting() -> list[ConstellationError]:
    return [
        TokenOfAnotherDevice(device_id=parts.DEVICE_ID),
        DeviceRevoked(device_id=parts.DEVICE_ID),
        DeviceNotFound(device_id=parts.DEVICE_ID),
    ]


def asking_for_a_shard() -> list[ConstellationError]:
    return [UnknownShard(shard_id=5, known="0 (vega), 1 (altair)")]


def responses(
    errors: Iterable[ConstellationError],
    *,
    own_members: Mapping[str, Mapping[str, Schema]],
) -> dict[str, Any]:
    """Describe refusals, one response a status; ``own_members`` is by code."""
    ordered = sorted(errors, key=_status)
    return {
        str(status): _response(list(group), own_members)
        for status, group in groupby(ordered, key=_status)
    }


def problem_schema(codes: Iterable[str]) -> Schema:
    """Describe the members that a problem always has, and those that it may have."""
    return parts.obj(
        {
            "type": parts.text(
                f"The same as `code`, as a URN: `{problems.TYPE_PREFIX}` and the code.",
                example=problems.TYPE_PREFIX + "invalid_request",
                pattern=f"^{problems.TYPE_PREFIX}[a-z_]+$",
            ),
            "title": parts.text(
                "The same as `code`, in words.", example="Invalid request"
            ),
            "status": {
                "type": "integer",
                "description": "The HTTP status again.",
                "minimum": 400,
                "maximum": 599,
                "examples": [422],
            },
            "detail": parts.text(
                "What happened and what to do, for people. Its wording may change.",
                example="delta.local_version: missing. Accepted: a whole number from "
                "0 to 9223372036854775807.",
            ),
            "code": parts.choice(
                "What programs branch on. A code never changes its meaning.",
                sorted(codes),
                example="invalid_request",
            ),
            **_facts(),
        },
        description="An error (RFC 9457). The first five members are always there, "
        "the others where they apply.",
        optional=list(_facts()),
    )


def _facts() -> dict[str, Schema]:
    return {
        "field": parts.text(
            "The part of the request that isn't acceptable, as a dotted path.",
            example="delta.patterns_added[3].sample_count",
        ),
        "accepted": parts.text(
            "What would have been accepted there.",
            example="a whole number from 1 to 2147483647",
        ),
        "limit": parts.whole(
            "The limit that was passed: bytes, levels, fields or patterns, as the code "
            "and `detail` say. Of a range: how many bytes there are.",
            example=64,
        ),
        "limit_name": parts.choice(
            "Which limit of `/api/v1/info` it was.",
            ["patterns_per_sync", "patterns_per_device"],
            example="patterns_per_sync",
        ),
        "retry_after_seconds": parts.whole(
            "When to come back, in seconds; the header `Retry-After` too. 10 to 60, "
            "and later, up to 7200, the more TVs are sent away.",
            example=42,
            at_least=1,
            at_most=pacing.HORIZON_SECONDS,
        ),
        "local_version": parts.version(
            "The version that the server has stored for the TV.", example=123
        ),
        "resync": parts.flag(
            "True if the TV has to send all of its patterns again.", example=True
        ),
        "sent": parts.whole(
            "What was sent instead: a version, or a size in bytes.", example=120
        ),
        "position": parts.whole(
            "Where in the inflated body, as a byte from 0, reading failed.",
            example=812,
        ),
        "encoding": parts.text(
            "The `Content-Encoding` that was sent.", example="br", at_least=0
        ),
        "media_type": parts.text(
            "The `Content-Type` that was sent.", example="text/plain"
        ),
        "available": parts.text(
            "The media types there are, comma-separated.", example="application/json"
        ),
        "method": parts.text("The HTTP method that was sent.", example="PUT"),
        "expired_at": parts.instant("When the token expired."),
        "device_id": parts.uuid("The TV in question."),
        "shard_id": parts.whole("The number of the shard in question.", example=3),
        "sync_url": parts.uri(
            "Where the TV's shard answers, if it is known here.", example=SYNC_URL
        ),
        "known": parts.text("What there is instead.", example="0 (vega), 1 (altair)"),
        "codebook_version": parts.whole(
            "The current codebook; 0 before the first.", example=7
        ),
        "path": parts.text(
            "The address in question, below `/api/v1/`.", example="publications/18/star"
        ),
        "version": parts.version("The publication in question.", example=12),
        "kept": parts.text("The publications there are.", example="18, 17, 16"),
        "region": parts.text("The region in question.", example="eu"),
        "batch": parts.text("The enrolment batch in question.", example="spring"),
        "max_devices": parts.whole("TVs that the batch may have.", example=5000),
    }


def _status(error: ConstellationError) -> int:
    return int(error.http_status)


def _response(
    errors: list[ConstellationError],
    own_members: Mapping[str, Mapping[str, Schema]],
) -> dict[str, Any]:
    status = _status(errors[0])
    more: dict[str, Schema] = {}
    for error in errors:
        more |= own_members.get(error.code, {})
    narrowed: Schema = {
        "type": "object",
        "properties": {
            "status": {"const": status},
            "code": {"enum": [error.code for error in errors]},
            **more,
        },
    }
    return {
        "description": "\n".join(f"- `{error.code}`: {error}" for error in errors),
        "headers": _headers(status),
        "content": {
            problems.MEDIA_TYPE: {
                "schema": {"allOf": [parts.ref("Problem"), narrowed]},
                "examples": {
                    error.code: {"value": problems.members(error)} for error in errors
                },
            }
        },
    }


def _headers(status: int) -> dict[str, Any]:
    headers = {"Cache-Control": {"$ref": "#/components/headers/NoStore"}}
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        headers["Content-Range"] = {"$ref": "#/components/headers/ContentRange"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/Challenge"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return headers
