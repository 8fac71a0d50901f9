"""Successful answers: encoded as the caller likes, cacheable where they may be."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseNotModified
from django.utils.cache import get_conditional_response, patch_vary_headers

from sync import encodings

JSON = "application/json"


def json(
    request: HttpRequest, body: bytes, *, status: HTTPStatus = HTTPStatus.OK
) -> HttpResponse:
    """Answer one caller in JSON; nobody may keep it for another."""
    reply = _encoded(request, body, status)
    reply["Cache-Control"] = "no-store"
    return reply


def negotiated(
    request: HttpRequest,
    body: bytes,
    *,
    media_type: str,
    status: HTTPStatus = HTTPStatus.OK,
) -> HttpResponse:
    """Answer one caller in the format it asked for."""
    accept_encoding = request.headers.get("Accept-Encoding", "")
    encoded, headers = for_tv(body, media_type, accept_encoding=accept_encoding)
    return HttpResponse(encoded, status=status, headers=dict(headers))


def for_tv(
    body: bytes, media_type: str, *, accept_encoding: str, is_dense: bool = False
) -> tuple[bytes, list[tuple[str, str]]]:
    """Encode an answer in the format a TV asked for, and say what it is.

    A dense body would hardly shrink, and goes out as it is.
    """
    headers = [("Content-Type", media_type), ("Cache-Control", "no-store")]
    if is_dense:
        headers.append(("Vary", "Accept"))
        return body, headers
    encoded, encoding = encodings.encode(body, accept_encoding)
    if encoding:
        headers.append(("Content-Encoding", encoding))
    headers.append(("Vary", "Accept-Encoding, Accept"))
    return encoded, headers


def cacheable_json(
    request: HttpRequest,
    body: bytes,
    *,
    max_age: timedelta,
    media_type: str = JSON,
) -> HttpResponse | HttpResponseNotModified:
    """Answer what is the same for every TV: 304 if the caller has it already."""
    reply = _encoded(request, body, HTTPStatus.OK, media_type)
    # Public, since a shared cache would not keep an answer to Authorization otherwise.
    reply["Cache-Control"] = f"public, max-age={int(max_age.total_seconds())}"
    # Weak: the same for each encoding.
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    reply["ETag"] = etag
    conditional = get_conditional_response(request, etag, response=reply)
    assert conditional is not None
    return conditional


def _encoded(
    request: HttpRequest, body: bytes, status: HTTPStatus, media_type: str = JSON
) -> HttpResponse:
    accept_encoding = request.headers.get("Accept-Encoding", "")
    encoded, encoding = encodings.encode(body, accept_encoding)
    reply = HttpResponse(encoded, status=status, content_type=media_type)
    if encoding:
        reply["Content-Encoding"] = encoding
    patch_vary_headers(reply, ["Accept-Encoding"])
    return reply
