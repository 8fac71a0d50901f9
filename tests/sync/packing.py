"""Deltas column by column, for TVs of tests: ``PackedPatterns``.

Written from the comments in ``proto/``, without the server's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from constellation.v1 import content_pb2, context_pb2, embedding_pb2, pattern_pb2
from constellation.v1.sync_pb2 import SyncRequest
from tests.sync.binary import sync_message

_LISTS = ("patterns_added", "patterns_updated", "patterns_removed")
_CONTEXT_LISTS = {"genre_hints": "genre:", "content_ids": ""}
_WORDS = {
    "times_of_day": ("time_of_day", context_pb2.TimeOfDay),
    "days_of_week": ("day_of_week", context_pb2.DayOfWeek),
    "content_types": ("content_type", context_pb2.ContentType),
}


class Inexpressible(Exception):
    """Columns have no way to say this."""


def packed_message(document: Mapping[str, Any]) -> SyncRequest:
    """Write a sync's document packed; as lists if columns can't say it."""
    delta = document.get("delta")
    if delta is None:
        return sync_message(document)
    try:
        packed = pack(delta)
    except Inexpressible:
        return sync_message(document)
    rest = {name: value for name, value in delta.items() if name not in _LISTS}
    message = sync_message({**document, "delta": rest})
    message.delta.packed.CopyFrom(packed)
    return message


def pack(
    delta: Mapping[str, Any], *, ordinals: Mapping[str, int] | None = None
) -> pattern_pb2.PackedPatterns:
    """Write the three lists of a document; by names what has no ordinal here."""
    added, updated, removed = (delta.get(name) or [] for name in _LISTS)
    names = _names_of(added, ordinals or {})
    message = pattern_pb2.PackedPatterns(
        added_ids=_ids(each.get("id") for each in added),
        success_rates=[_rate(each.get("success_rate")) for each in added],
        sample_counts=[_uint32(each.get("sample_count")) for each in added],
        updated_ids=_ids(each.get("id") for each in updated),
        new_success_rates=[_rate(each.get("new_success_rate")) for each in updated],
        additional_samples=[
            _uint32(each.get("additional_samples")) for each in updated
        ],
        removed_ids=_ids(removed),
        names=names,
    )
    if added:
        message.embeddings.CopyFrom(_embeddings([e.get("embedding") for e in added]))
    contexts = [each.get("context") or {} for each in added]
    for column, (field, enum) in _WORDS.items():
        codes = bytes(_word(enum, field, each.get(field)) for each in contexts)
        setattr(message, column, codes if any(codes) else b"")
    _check_clocks(added)
    for column, prefix in _CONTEXT_LISTS.items():
        rows = [[prefix + x for x in each.get(column) or []] for each in contexts]
        getattr(message, column).CopyFrom(references(rows, names, ordinals or {}))
    return message


def references(
    rows: Sequence[Sequence[str]], names: Sequence[str], ordinals: Mapping[str, int]
) -> content_pb2.ReferenceLists:
    if not any(rows):
        return content_pb2.ReferenceLists()
    return content_pb2.ReferenceLists(
        counts=bytes(map(len, rows)),
        references=[
            names.index(x) if x in names else len(names) + ordinals[x]
            for row in rows
            for x in row
        ],
    )


def _names_of(added: Sequence[Any], ordinals: Mapping[str, int]) -> list[str]:
    items = (
        prefix + name
        for each in added
        for column, prefix in _CONTEXT_LISTS.items()
        for name in (each.get("context") or {}).get(column) or []
    )
    return [name for name in dict.fromkeys(items) if name not in ordinals]


def _ids(ids: Any) -> bytes:
    found = [UUID(each).bytes if isinstance(each, str) else each for each in ids]
    _require(all(isinstance(each, bytes) and len(each) == 16 for each in found))
    return b"".join(found)


def _rate(value: Any) -> int:
    _require(isinstance(value, int | float) and 0 <= value < 1e5)
    steps: int = round(value * 10_000)
    _require(steps / 10_000 == value)
    return steps


def _uint32(value: Any) -> int:
    _require(isinstance(value, int) and 0 <= value < 2**32)
    whole: int = value
    return whole


def _word(enum: Any, field: str, value: Any) -> int:
    if value is None or isinstance(value, int):
        _require(value is None or 0 <= value < 256)
        return value or 0
    return int(enum.Value(f"{field.upper()}_{value.upper()}"))


def _embeddings(sent: Sequence[Any]) -> embedding_pb2.Embeddings:
    """Write vectors of 384 numbers as float32; bytes are what they say they are."""
    if all(isinstance(each, dict) for each in sent):
        (encoding,) = {name for each in sent for name in each}
        rows = [each[encoding] for each in sent]
    else:
        _require(all(isinstance(x, list) and len(x) == 384 for x in sent))
        encoding, rows = "float32", [np.array(x, "<f4").tobytes() for x in sent]
    message = embedding_pb2.Embeddings()
    setattr(message, encoding, b"".join(rows))
    return message


def _check_clocks(added: Sequence[Any]) -> None:
    """Instants are checked and thrown away, so columns leave them out."""
    for each in added:
        for name in ("created_at", "updated_at"):
            _require(0 <= (each.get(name) or 0) <= 253402300799)


def _require(condition: bool) -> None:
    if not condition:
        raise Inexpressible
