"""Every 4xx and 5xx of every address, as RFC 9457 ``application/problem+json``.

Clients branch on ``code``; people read ``detail``; docs/errors.md has a line for each
code. The console alone keeps Django's HTML pages.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from django.conf import settings
from django.core import exceptions as django_exceptions
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.connection import ConnectionDoesNotExist
from django.views import csrf, defaults
from rest_framework import exceptions as drf_exceptions

from shards import reaching
from shards.exceptions import (
    ConstellationError,
    ControlUnavailable,
    InvalidRequest,
)
from shards.tokens import SCHEME
from sync import exceptions
from sync.encodings import ACCEPTED_ENCODINGS

MEDIA_TYPE = "application/problem+json"

#: A URN, since a problem type is a name for ever and addresses are not.
TYPE_PREFIX = "urn:constellation:problem:"

#: Facts that only fill the sentence in ``detail``.
_UNTOLD_FACTS = {"problem"}


def members(error: ConstellationError) -> dict[str, Any]:
    """Describe an error: the five members of every problem, then its facts."""
    facts = {k: v for k, v in error.facts.items() if k not in _UNTOLD_FACTS}
    return facts | {
        "type": TYPE_PREFIX + error.code,
        "title": error.code.replace("_", " ").capitalize(),
        "status": int(error.http_status),
        "detail": str(error),
        "code": error.code,
    }


class ProblemResponse(HttpResponse):
    """An error on its way out; ``error`` stays readable for whoever counts."""

    def __init__(self, error: ConstellationError) -> None:
        body = orjson.dumps(members(error), default=str)
        super().__init__(body, status=error.http_status, content_type=MEDIA_TYPE)
        self.error = error


def response(error: ConstellationError) -> ProblemResponse:
    """Answer with an error, and the headers that belong to its kind."""
    status = error.http_status
    answer = ProblemResponse(complete(error))
    answer["Cache-Control"] = "no-store"
    if "retry_after_seconds" in error.facts:
        answer["Retry-After"] = str(error.facts["retry_after_seconds"])
    if status == HTTPStatus.UNAUTHORIZED:
        is_operator = isinstance(error, exceptions.NotAuthenticated)
        answer["WWW-Authenticate"] = "Token" if is_operator else SCHEME
    if isinstance(error, exceptions.MethodNotAllowed):
        answer["Allow"] = error.facts["accepted"]
    if isinstance(error, exceptions.UnsupportedEncoding):
        answer["Accept-Encoding"] = ", ".join(ACCEPTED_ENCODINGS)
    if isinstance(error, exceptions.RangeNotSatisfiable):
        answer["Content-Range"] = f"bytes */{error.facts['limit']}"
    if isinstance(error, exceptions.UnsupportedMediaType):
        answer["Accept"] = error.facts["accepted"]
    return answer


def complete(error: ConstellationError) -> ConstellationError:
    """Say when to come back, as every 503 does."""
    if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        error.facts.setdefault("retry_after_seconds", reaching.retry_after_seconds())
    return error


def exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Translate for Django REST framework; None leaves a bug to ``server_error``."""
    error = translated(exc, context)
    return None if error is None else response(error)


def translated(exc: Exception, context: dict[str, Any]) -> ConstellationError | None:
    """Say what a view raised in our own words; None if it's a bug."""
    match exc:
        case ConstellationError():
            return exc
        case OperationalError() | InterfaceError() | ConnectionDoesNotExist():
            # Whoever talks to a shard says so; what is left is the control database.
            return ControlUnavailable()
        case Http404() | drf_exceptions.NotFound():
            return exceptions.NotFound()
        case drf_exceptions.NotAuthenticated():
            return exceptions.NotAuthenticated(
                problem="Sign in, or send 'Authorization: Token <token>'."
            )
        case drf_exceptions.AuthenticationFailed():
            return exceptions.NotAuthenticated(problem=str(exc.detail))
        case django_exceptions.PermissionDenied() | drf_exceptions.PermissionDenied():
            return exceptions.PermissionDenied(
                problem="You aren't allowed to do that. An administrator can give "
                "your account another role."
            )
        case drf_exceptions.MethodNotAllowed():
            return exceptions.MethodNotAllowed(
                method=context["request"].method,
                accepted=", ".join(context["view"].allowed_methods),
            )
        case drf_exceptions.NotAcceptable():
            return exceptions.NotAcceptable(available=_media_types(exc))
        case drf_exceptions.UnsupportedMediaType():
            return exceptions.UnsupportedMediaType(
                media_type=context["request"].content_type[:64] or "(none)",
                accepted=", ".join(
                    each.media_type for each in context["view"].parser_classes
                ),
            )
        case drf_exceptions.ParseError():
            return exceptions.MalformedBody(problem="it isn't JSON")
        case drf_exceptions.ValidationError():
            return _invalid(exc.detail)
    return None


def _media_types(exc: drf_exceptions.NotAcceptable) -> str:
    renderers = exc.available_renderers or []
    return ", ".join(str(renderer.media_type) for renderer in renderers)


def _invalid(detail: Any) -> InvalidRequest:
    """Tell the first thing that a serializer refused."""
    path: list[str] = []
    while not isinstance(detail, str):
        if isinstance(detail, dict):
            name, detail = next(iter(detail.items()))
            path.append(str(name))
        else:
            detail = next(item for item in detail if item)
    return InvalidRequest(
        field=".".join(path), problem="not acceptable", accepted=detail.rstrip(".")
    )


# Django's own handlers, named in constellation_site/urls.py and settings.py.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if _is_for_people(request):
        return defaults.bad_request(request, exception)
    return response(exceptions.BadRequest())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if _is_for_people(request):
        return defaults.permission_denied(request, exception)
    return response(exceptions.PermissionDenied(problem="That isn't allowed."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    if _is_for_people(request):
        return csrf.csrf_failure(request, reason)
    return response(exceptions.PermissionDenied(problem=exceptions.CSRF_PROBLEM))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if _is_for_people(request):
        return defaults.page_not_found(request, exception)
    return response(exceptions.NotFound())


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer for a bug; Django has logged it, and its details stay in the log."""
    if _is_for_people(request):
        return defaults.server_error(request)
    return response(ConstellationError())


def _is_for_people(request: HttpRequest) -> bool:
    console, static = reverse("admin:index"), settings.STATIC_URL
    return request.path_info.startswith((console, static))
