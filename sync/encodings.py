"""Bodies in and out: bounded on the wire, bounded when inflated.

Neither a Content-Length nor the size a zstd frame states about itself is believed:
8 KB that claim to be 1 MB may become 256 MiB. Inflated is read from a stream and the
reading stops one byte past the limit, so a bomb costs what an honest body costs.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

import zstandard
from django.conf import settings

from sync.exceptions import (
    BodyInflatesTooLarge,
    BodyTooLarge,
    MalformedBody,
    UnsupportedEncoding,
)

#: Best first: what a reply is encoded with when the caller likes several equally.
ACCEPTED_ENCODINGS = ("zstd", "gzip")

#: What RFC 9659 lets a decoder expect of HTTP; more would be memory for a stranger.
ZSTD_WINDOW_LIMIT_BYTES = 8 * 1024 * 1024

#: Below it a reply fits one packet anyway.
WORTH_ENCODING_BYTES = 1024

#: Numbers as text hardly shrink further at higher levels, which cost milliseconds.
ZSTD_LEVEL = 1
GZIP_LEVEL = 1

#: Bytes inflated at a time. A block of 4 bytes may become 128 KiB, so this many
#: never become more than 2 MiB.
_ZSTD_STEP_BYTES = 64

#: The longest header of a zstd frame.
_ZSTD_HEADER_BYTES = 18

_GZIP_WINDOW = zlib.MAX_WBITS | 16


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _OfThread(threading.local):
    """What costs more to make than to use, and serves one thread at a time."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor(
            max_window_size=ZSTD_WINDOW_LIMIT_BYTES
        )


_of_thread = _OfThread()


def read_bounded(stream: Readable, *, content_length: int | None) -> bytes:
    """Read a body of at most ``BODY_LIMIT_BYTES``, refusing a longer one unread.

    With a ``content_length`` it ends there, without one where the stream ends.
    """
    limit = settings.BODY_LIMIT_BYTES
    if content_length is None:
        body = _read_up_to(limit + 1, stream)
        if len(body) > limit:
            raise BodyTooLarge(limit=limit)
        return body
    if content_length > limit:
        raise BodyTooLarge(limit=limit, sent=content_length)
    return _read_up_to(content_length, stream)


def inflate(body: bytes, content_encoding: str) -> bytes:
    """Undo a Content-Encoding, to at most ``INFLATED_LIMIT_BYTES``."""
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        _check_size(len(body))
        return body
    if encoding not in _INFLATORS:
        # Also "gzip, zstd": nobody needs both, and each layer is another bomb.
        raise UnsupportedEncoding(
            encoding=encoding[:64],
            accepted=", ".join((*ACCEPTED_ENCODINGS, "identity")),
        )
    return _INFLATORS[encoding](body)


def encode(body: bytes, accept_encoding: str) -> tuple[bytes, str]:
    """Encode a reply as its caller likes it best; the second is "" for as it is."""
    if len(body) < WORTH_ENCODING_BYTES:
        return body, ""
    encoding = preferred(accept_encoding)
    if encoding == "zstd":
        encoded = _of_thread.compressor.compress(body)
    elif encoding == "gzip":
        encoded = gzip.compress(body, compresslevel=GZIP_LEVEL, mtime=0)
    else:
        return body, ""
    # Vectors in bytes may not shrink at all.
    return (encoded, encoding) if len(encoded) < len(body) else (body, "")


# TVs of one make all say the same.
@lru_cache(maxsize=1024)
def preferred(accept_encoding: str) -> str:
    """Choose from an Accept-Encoding header; "" for identity."""
    weights = quality_values(accept_encoding)
    everything_else = weights.get("*", 0.0)
    best = max(ACCEPTED_ENCODINGS, key=lambda name: weights.get(name, everything_else))
    weight = weights.get(best, everything_else)
    # Identity is always acceptable, but by default less welcome than what is named.
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else ""


def quality_values(header: str) -> dict[str, float]:
    """Parse ``gzip;q=0.5, zstd`` into weights; what can't be read weighs nothing."""
    weights: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name:
            weights[name] = _weight(parameters)
    return weights


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                weight = float(parameter[2:])
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0


def _inflate_zstd(body: bytes) -> bytes:
    """Inflate one frame after the other, as a stream may hold several."""
    whole = _inflate_one_frame(body)
    return _inflate_frames(body) if whole is None else whole


def _inflate_one_frame(body: bytes) -> bytes | None:
    """Inflate what is one frame and as large as it states; None for anything else.

    It gets just the memory that it states, so a frame that holds more is found out.
    """
    try:
        stated = zstandard.frame_content_size(body)
        if not 0 < stated <= settings.INFLATED_LIMIT_BYTES:
            return None
        inflated: bytes = _of_thread.decompressor.decompress(
            body, allow_extra_data=False
        )
    except zstandard.ZstdError:
        return None
    return inflated


def _inflate_frames(body: bytes) -> bytes:
    # One of its own: a stranger's window would stay with the thread's for good.
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_LIMIT_BYTES)
    inflated = bytearray()
    position = 0
    try:
        while position < len(body):
            _check_stated_size(body[position : position + _ZSTD_HEADER_BYTES])
            frame = decompressor.decompressobj()
            while not frame.eof:
                chunk = body[position : position + _ZSTD_STEP_BYTES]
                if not chunk:
                    raise MalformedBody(problem="its zstd frame ends too early")
                inflated += frame.decompress(chunk)
                _check_size(len(inflated))
                position += len(chunk)
            position -= len(frame.unused_data)
    except zstandard.ZstdError as exc:
        if "memory" in str(exc):  # the window is too large: the only sign of it
            raise _inflates_too_large() from exc
        raise MalformedBody(problem="it isn't zstd") from exc
    return bytes(inflated)


def _read_up_to(size_bytes: int, stream: Readable) -> bytes:
    chunks = []
    room = size_bytes
    while room > 0 and (chunk := stream.read(room)):
        chunks.append(chunk)
        room -= len(chunk)
    return b"".join(chunks)


def _check_stated_size(header: bytes) -> None:
    stated = zstandard.frame_content_size(header)
    if stated > 0:  # -1 if the frame doesn't say
        _check_size(stated)


def _inflate_gzip(body: bytes) -> bytes:
    """Inflate one member after the other, as a stream may hold several."""
    inflated = bytearray()
    rest = body
    try:
        while rest:
            member = zlib.decompressobj(_GZIP_WINDOW)
            room = settings.INFLATED_LIMIT_BYTES + 1 - len(inflated)
            inflated += member.decompress(rest, room)
            _check_size(len(inflated))
            if not member.eof:
                raise MalformedBody(problem="its gzip stream ends too early")
            rest = member.unused_data
    except zlib.error as exc:
        raise MalformedBody(problem="it isn't gzip") from exc
    return bytes(inflated)


def _check_size(size_bytes: int) -> None:
    if size_bytes > settings.INFLATED_LIMIT_BYTES:
        raise _inflates_too_large()


def _inflates_too_large() -> BodyInflatesTooLarge:
    return BodyInflatesTooLarge(limit=settings.INFLATED_LIMIT_BYTES)


_INFLATORS: Mapping[str, Callable[[bytes], bytes]] = {
    "zstd": _inflate_zstd,
    "gzip": _inflate_gzip,
    "x-gzip": _inflate_gzip,  # its name before 1997, which RFC 9110 keeps alive
}
