"""What the doors refuse by themselves, before any service is called."""

from __future__ import annotations

from http import HTTPStatus

from shards.exceptions import ConstellationError


class MalformedBody(ConstellationError):
    code = "malformed_body"
    http_status = HTTPStatus.BAD_REQUEST
    grpc_status = "INVALID_ARGUMENT"
    message = "The body can't be read: {problem}."


class BodyTooLarge(ConstellationError):
    code = "body_too_large"
    http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    grpc_status = "RESOURCE_EXHAUSTED"
    message = "The body is larger than {limit} bytes. Send the delta in several syncs."


class BodyInflatesTooLarge(ConstellationError):
    code = "body_inflates_too_large"
    http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    grpc_status = "RESOURCE_EXHAUSTED"
    message = "The body inflates to more than {limit} bytes, or needs a larger window."


class CodebookUnknown(ConstellationError):
    """Codes of a codebook that is too old, or never was."""

    code = "codebook_unknown"
    http_status = HTTPStatus.UNPROCESSABLE_ENTITY
    grpc_status = "INVALID_ARGUMENT"
    message = "{field}: codebook {sent} isn't understood. Accepted: {accepted}."


class UnsupportedEncoding(ConstellationError):
    code = "unsupported_encoding"
    http_status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    grpc_status = "INVALID_ARGUMENT"
    message = "Content-Encoding {encoding} isn't known. Accepted: {accepted}."


class UnsupportedMediaType(ConstellationError):
    code = "unsupported_media_type"
    http_status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    grpc_status = "INVALID_ARGUMENT"
    message = "Content-Type {media_type} isn't known here. Accepted: {accepted}."


class NotAcceptable(ConstellationError):
    code = "not_acceptable"
    http_status = HTTPStatus.NOT_ACCEPTABLE
    grpc_status = "INVALID_ARGUMENT"
    message = "The Accept header excludes every format there is: {available}."


class Overloaded(ConstellationError):
    code = "overloaded"
    http_status = HTTPStatus.SERVICE_UNAVAILABLE
    grpc_status = "RESOURCE_EXHAUSTED"
    message = "More requests are under way than can be answered. Try again later."


class DeadlineExceeded(ConstellationError):
    """The caller had given up, by its own deadline, before its turn came."""

    code = "deadline_exceeded"
    http_status = HTTPStatus.GATEWAY_TIMEOUT
    grpc_status = "DEADLINE_EXCEEDED"
    message = "The call's deadline passed before it was begun. Nothing was applied."


class ServerStopping(ConstellationError):
    code = "server_stopping"
    http_status = HTTPStatus.SERVICE_UNAVAILABLE
    grpc_status = "UNAVAILABLE"
    message = "This server is stopping. Connect again: another one answers."


class NotFound(ConstellationError):
    code = "not_found"
    http_status = HTTPStatus.NOT_FOUND
    grpc_status = "NOT_FOUND"
    message = "There is nothing at this address."


class MethodNotAllowed(ConstellationError):
    code = "method_not_allowed"
    http_status = HTTPStatus.METHOD_NOT_ALLOWED
    grpc_status = "UNIMPLEMENTED"
    message = "{method} isn't possible here. Accepted: {accepted}."


class NotAuthenticated(ConstellationError):
    code = "not_authenticated"
    http_status = HTTPStatus.UNAUTHORIZED
    grpc_status = "UNAUTHENTICATED"
    message = "{problem}"


#: Of a PermissionDenied, when a browser may have been tricked into the request.
CSRF_PROBLEM = (
    "A session alone changes nothing. Send its csrftoken as the header X-CSRFToken "
    "too, or 'Authorization: Token <token>' instead."
)


class PermissionDenied(ConstellationError):
    code = "permission_denied"
    http_status = HTTPStatus.FORBIDDEN
    grpc_status = "PERMISSION_DENIED"
    message = "{problem}"


class BadRequest(ConstellationError):
    """Refused by HTTP itself: a Host header or a form that can't be."""

    code = "bad_request"
    http_status = HTTPStatus.BAD_REQUEST
    grpc_status = "INVALID_ARGUMENT"
    message = "The request isn't well-formed."


class PreconditionFailed(ConstellationError):
    code = "precondition_failed"
    http_status = HTTPStatus.PRECONDITION_FAILED
    grpc_status = "FAILED_PRECONDITION"
    message = "{field} names something else than what is here: {accepted}."


class RangeNotSatisfiable(ConstellationError):
    code = "range_not_satisfiable"
    http_status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    grpc_status = "OUT_OF_RANGE"
    message = "{field} asks for none of the bytes there are. Accepted: {accepted}."
