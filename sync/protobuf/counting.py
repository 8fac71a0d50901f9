"""How many fields a request has, before anything is made of them.

A megabyte of empty patterns would become 50 in memory. Numbers and names of columns
become sixteen at most, so what is inside of ``packed`` need not be counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from constellation.v1 import pattern_pb2, sync_pb2
from sync import rules
from sync.exceptions import MalformedBody

#: Fields of a request and of its delta, without what is inside of patterns. A TV of
#: today sends at most 72.
FIELDS_LIMIT = 1024

_DELTA = sync_pb2.SyncRequest.DELTA_FIELD_NUMBER
_LISTS = {
    pattern_pb2.Delta.PATTERNS_ADDED_FIELD_NUMBER,
    pattern_pb2.Delta.PATTERNS_UPDATED_FIELD_NUMBER,
    pattern_pb2.Delta.PATTERNS_REMOVED_FIELD_NUMBER,
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields_limit() -> int:
    return FIELDS_LIMIT + settings.PATTERNS_PER_SYNC


def check_field_count(body: bytes) -> None:
    """Refuse what would take much more memory than it has bytes.

    Only counts: whether the body is well-formed, the parser says.
    """
    # Each field has a byte at least.
    if len(body) <= FIELDS_LIMIT:
        return
    limit = fields_limit()
    if len(body) <= limit:
        return
    n_fields = n_patterns = 0
    for number, start, end in _fields(body, 0, len(body)):
        n_fields += 1
        if number == _DELTA and end > start:
            for inner, _, _ in _fields(body, start, end):
                n_fields += 1
                n_patterns += inner in _LISTS
                if n_fields > limit:
                    break
        if n_fields > limit:
            rules.check_pattern_count(n_patterns, at_least="at least ")
            raise MalformedBody(problem=f"it has more than {limit} fields", limit=limit)


def _fields(body: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """List fields by number, with where their bytes are; stop at what can't be read."""
    while position < end:
        tag, position = _varint(body, position)
        start, kind = position, tag & 7
        if kind == _VARINT:
            _, position = _varint(body, position)
        elif kind == _FIXED64:
            position += 8
        elif kind == _FIXED32:
            position += 4
        elif kind == _BYTES:
            length, start = _varint(body, position)
            position = start + length
        # What is in a group counts as if it stood beside it.
        yield tag >> 3, start, min(position, end) if kind == _BYTES else start


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(body) and shift < 70:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, position
