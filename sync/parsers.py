"""Formats in: bounded, decompressed, and no deeper than anything we understand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from rest_framework.parsers import BaseParser

from sync import encodings
from sync.exceptions import MalformedBody

#: A sync has six levels.
DEPTH_LIMIT = 8

#: Where the META of a request says how long the body was that was read.
RECEIVED_BYTES = "constellation.received_bytes"

# Strings that hold a backslash, or only brackets; one that never ends takes the rest.
_ESCAPED_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_PLAIN_STRING = re.compile(rb'"[^"]*+(?:"|\Z)')

_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_ONE_KIND_OF_BRACKET = bytes.maketrans(b"{}", b"[]")


class JsonParser(BaseParser):
    """For Django REST framework, whose own parser trips over nested brackets."""

    media_type = "application/json"

    def parse(
        self,
        _stream: IO[Any],
        _media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        request = (parser_context or {})["request"]
        return loads(read_body(request._request))


class ProtobufParser(BaseParser):
    """Gives the bytes of a message, which its wire format knows how to read."""

    media_type = "application/protobuf"

    def parse(
        self,
        _stream: IO[Any],
        _media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        request = (parser_context or {})["request"]
        return read_body(request._request)


class OldProtobufParser(ProtobufParser):
    """The name before RFC 9996."""

    media_type = "application/x-protobuf"


def read_body(request: HttpRequest) -> bytes:
    """Read and inflate a request's body, within the limits.

    Django takes a request without a Content-Length for empty; a server that ends the
    stream itself says so, and then it is read.
    """
    length = content_length(request)
    stream: Any = request
    if length is None and request.META.get("wsgi.input_terminated"):
        assert isinstance(request, WSGIRequest)
        stream = request.environ["wsgi.input"]
    body = encodings.read_bounded(stream, content_length=length)
    request.META[RECEIVED_BYTES] = len(body)
    return encodings.inflate(body, request.headers.get("Content-Encoding", ""))


def loads(body: bytes) -> Any:
    """Parse JSON, refusing what is nested too deeply before it takes memory."""
    if nests_deeper(body, DEPTH_LIMIT):
        raise MalformedBody(
            problem=f"its brackets nest deeper than {DEPTH_LIMIT}, or don't match",
            limit=DEPTH_LIMIT,
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise MalformedBody(
            problem=f"{exc.msg} at byte {exc.pos}", position=exc.pos
        ) from exc


def nests_deeper(body: bytes, limit: int) -> bool:
    """Tell whether brackets nest deeper than a limit, or don't match.

    Takes out the strings, keeps the brackets, and peels them from the inside, one
    level at a time: a few passes in C, whatever somebody sends.
    """
    if b"\\" in body:
        body = _ESCAPED_STRING.sub(b"", body)
    skeleton = body.translate(_ONE_KIND_OF_BRACKET, delete=_NOT_STRUCTURE)
    skeleton = _PLAIN_STRING.sub(b"", skeleton.replace(b'""', b""))
    for _ in range(limit):
        skeleton = skeleton.replace(b"[]", b"")
    return bool(skeleton)


def content_length(request: HttpRequest) -> int | None:
    """Read the header; None if it is missing or no number."""
    try:
        return int(request.META["CONTENT_LENGTH"])
    except (KeyError, ValueError):
        return None
