"""What is around each sync of a stream, without a look at what is inside.

``StreamSyncRequest`` and ``StreamSyncReply`` have a number and a message. The message
stays as it came, bytes, so that a sync of a stream is read by the same code as any
other, with the same limits, and only once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from constellation.v1 import sync_pb2
from sync.exceptions import MalformedBody

_SEQUENCE = sync_pb2.StreamSyncRequest.SEQUENCE_FIELD_NUMBER
_SYNC = sync_pb2.StreamSyncRequest.SYNC_FIELD_NUMBER

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES = 10


@dataclass(frozen=True)
class Envelope:
    sequence: int
    #: A SyncRequest.
    sync: bytes


def read(body: bytes) -> Envelope:
    """Open an envelope. Of a field that comes twice, do what protobuf does."""
    sequence, parts = 0, []
    for number, value in _fields(body):
        if number == _SEQUENCE and isinstance(value, int):
            sequence = value
        elif number == _SYNC and isinstance(value, bytes):
            parts.append(value)  # one after the other, messages are merged
    return Envelope(sequence, b"".join(parts))


def reply(sequence: int, sync_reply: bytes) -> bytes:
    return _write(sequence, sync_pb2.StreamSyncReply.REPLY_FIELD_NUMBER, sync_reply)


def problem(sequence: int, message: bytes) -> bytes:
    return _write(sequence, sync_pb2.StreamSyncReply.PROBLEM_FIELD_NUMBER, message)


def _write(sequence: int, number: int, message: bytes) -> bytes:
    head = b"" if sequence == 0 else b"\x08" + _varint(sequence)
    return head + _varint(number << 3 | _BYTES) + _varint(len(message)) + message


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes | None]]:
    """List the fields; those of a fixed size, which nobody knows, without a value."""
    position = 0
    while position < len(body):
        tag, position = _read_varint(body, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _read_varint(body, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _read_varint(body, position)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise _malformed()  # a group: no envelope has one
        end = position + size
        if number == 0 or end > len(body):
            raise _malformed()
        yield number, body[position:end] if kind == _BYTES else None
        position = end


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(body[position : position + _VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + count + 1
    raise _malformed()


def _malformed() -> MalformedBody:
    return MalformedBody(problem="it isn't a StreamSyncRequest")
