"""Formats in: bounded, decompressed, and no deeper than anything we understand."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.parsers import BaseParser

from sync import encodings
from sync.exceptions import MalformedBody

#: A sync has six levels.
DEPTH_LIMIT = 8

#: Where the environ of a request says how long the body was that was read.
RECEIVED_BYTES = "constellation.received_bytes"

#: Of a request that has none, or doesn't say where it ends.
_NO_BODY = io.BytesIO()

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
        return loads(read_body(request.META))


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
        return read_body(request.META)


class OldProtobufParser(ProtobufParser):
    """The name before RFC 9996."""

    media_type = "application/x-protobuf"


def read_body(environ: dict[str, Any]) -> bytes:
    """Read and inflate the body of a WSGI request, within the limits.

    One without a Content-Length is empty, unless the server says that it ends the
    stream itself.
    """
    length = content_length(environ)
    has_end = length is not None or environ.get("wsgi.input_terminated")
    stream = environ["wsgi.input"] if has_end else _NO_BODY
    body = encodings.read_bounded(stream, content_length=length)
    environ[RECEIVED_BYTES] = len(body)
    return encodings.inflate(body, environ.get("HTTP_CONTENT_ENCODING", ""))


def of_media_type(media_type: str, environ: dict[str, Any]) -> Any:
    """Read the body of a TV's request: a document, or the bytes of a message."""
    body = read_body(environ)
    return loads(body) if media_type == JsonParser.media_type else body


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


def content_length(environ: Mapping[str, Any]) -> int | None:
    """Read the header; None if it is missing or no number."""
    try:
        return int(environ["CONTENT_LENGTH"])
    except (KeyError, ValueError):
        return None
