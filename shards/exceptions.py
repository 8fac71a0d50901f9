"""What can go wrong, each situation a class with a stable code.

Every door answers with the same code: HTTP by ``sync/problems.py``, commands by
``CommandError``. 401 means "enrol again, then retry"; 403 means "known, not allowed".
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar


class ConstellationError(Exception):
    """The base: subclasses are class attributes and no code.

    Facts are passed by keyword, fill ``message`` and are kept for machines in
    ``facts``. The fact ``field`` is the dotted path of the offending part of a
    request, ``accepted`` says what would have been accepted there.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    grpc_status: ClassVar[str] = "INTERNAL"
    message: ClassVar[str] = "Something failed on the server."

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        super().__init__(self.message.format(**facts))


class NoShardAvailable(ConstellationError):
    code = "no_shard_available"
    http_status = HTTPStatus.SERVICE_UNAVAILABLE
    grpc_status = "RESOURCE_EXHAUSTED"
    message = "No shard of region {region} has room for another TV. Try again later."


class ShardUnavailable(ConstellationError):
    code = "shard_unavailable"
    http_status = HTTPStatus.SERVICE_UNAVAILABLE
    grpc_status = "UNAVAILABLE"
    message = "Shard {shard_id} can't be reached. Send the same again later."


class ControlUnavailable(ConstellationError):
    code = "control_unavailable"
    http_status = HTTPStatus.SERVICE_UNAVAILABLE
    grpc_status = "UNAVAILABLE"
    message = "The control database can't be reached. Try again later."


class ShardNotServed(ConstellationError):
    code = "shard_not_served"
    http_status = HTTPStatus.MISDIRECTED_REQUEST
    grpc_status = "FAILED_PRECONDITION"
    message = "Shard {shard_id} isn't served here. Use the sync_url given at enrolment."


class UnknownShard(ConstellationError):
    code = "unknown_shard"
    http_status = HTTPStatus.NOT_FOUND
    grpc_status = "NOT_FOUND"
    message = "There is no shard {shard_id}; the shards are {known}."


class TokenMissing(ConstellationError):
    code = "token_missing"
    http_status = HTTPStatus.UNAUTHORIZED
    grpc_status = "UNAUTHENTICATED"
    message = "Send the token given at enrolment: 'Authorization: Device <token>'."


class TokenInvalid(ConstellationError):
    code = "token_invalid"
    http_status = HTTPStatus.UNAUTHORIZED
    grpc_status = "UNAUTHENTICATED"
    message = "This token wasn't issued here. Enrol again to get one."


class TokenExpired(ConstellationError):
    code = "token_expired"
    http_status = HTTPStatus.UNAUTHORIZED
    grpc_status = "UNAUTHENTICATED"
    message = "This token expired at {expired_at}. Enrol again to get a fresh one."


class TokenOfAnotherDevice(ConstellationError):
    code = "token_of_another_device"
    http_status = HTTPStatus.FORBIDDEN
    grpc_status = "PERMISSION_DENIED"
    message = "The token belongs to another TV than device_id {device_id}."


class DeviceUnknown(ConstellationError):
    code = "device_unknown"
    http_status = HTTPStatus.UNAUTHORIZED
    grpc_status = "UNAUTHENTICATED"
    message = "TV {device_id} isn't known here (never enrolled, or forgotten)."


class DeviceNotFound(ConstellationError):
    """An operator named a TV that isn't there; a TV itself gets DeviceUnknown."""

    code = "device_not_found"
    http_status = HTTPStatus.NOT_FOUND
    grpc_status = "NOT_FOUND"
    message = "There is no TV {device_id}."


class DeviceRevoked(ConstellationError):
    code = "device_revoked"
    http_status = HTTPStatus.FORBIDDEN
    grpc_status = "PERMISSION_DENIED"
    message = "TV {device_id} was revoked by an operator."


class EnrolmentKeyInvalid(ConstellationError):
    code = "enrolment_key_invalid"
    http_status = HTTPStatus.FORBIDDEN
    grpc_status = "PERMISSION_DENIED"
    message = "No enrolment batch has this enrolment_key."


class BatchClosed(ConstellationError):
    code = "batch_closed"
    http_status = HTTPStatus.FORBIDDEN
    grpc_status = "PERMISSION_DENIED"
    message = "Enrolment batch {batch} is {status}: it takes no new TVs."


class BatchFull(ConstellationError):
    code = "batch_full"
    http_status = HTTPStatus.FORBIDDEN
    grpc_status = "RESOURCE_EXHAUSTED"
    message = "Enrolment batch {batch} has all of its {max_devices} TVs."


class BatchUnknown(ConstellationError):
    code = "batch_unknown"
    http_status = HTTPStatus.NOT_FOUND
    grpc_status = "NOT_FOUND"
    message = "There is no enrolment batch {batch}; the newest are: {known}."


class BatchRevoked(ConstellationError):
    code = "batch_revoked"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "Enrolment batch {batch} was revoked, which is for good."


class NameTaken(ConstellationError):
    code = "name_taken"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "ALREADY_EXISTS"
    message = "There is already one called {name} ({kind}). Choose another name."


class DeviceOfAnotherBatch(ConstellationError):
    code = "device_of_another_batch"
    http_status = HTTPStatus.FORBIDDEN
    grpc_status = "PERMISSION_DENIED"
    message = "TV {device_id} was enrolled with another enrolment_key."


class InvalidRequest(ConstellationError):
    """Well-formed, but one field isn't acceptable."""

    code = "invalid_request"
    http_status = HTTPStatus.UNPROCESSABLE_ENTITY
    grpc_status = "INVALID_ARGUMENT"
    message = "{field}: {problem}. Accepted: {accepted}."
