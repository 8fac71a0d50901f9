"""A delta written as three lists of messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from google.protobuf.message import Message

from constellation.v1 import context_pb2, pattern_pb2
from federation.publication import LoadedPublication
from patterns.context import (
    CONTENT_IDS_LIMIT,
    GENRE_HINTS_LIMIT,
    ContentType,
    DayOfWeek,
    TimeOfDay,
)
from patterns.delta import Additions, Updates
from sync import fields, rows, rules
from sync.protobuf import vectors
from sync.protobuf.parsing import or_none
from sync.rows import Addition, Context, Update


def additions(
    messages: Sequence[pattern_pb2.PatternAddition],
    *,
    codebook_version: int,
    publication: Callable[[], LoadedPublication],
) -> Additions:
    paths = [f"delta.patterns_added[{i}]" for i in range(len(messages))]
    sent = vectors.of_list(
        messages,
        [f"{path}.embedding" for path in paths],
        codebook_version=codebook_version,
        publication=publication,
    )
    read = [_addition(m, path) for m, path in zip(messages, paths, strict=True)]
    return rows.additions(read, sent.rows, sent.codes, paths)


def _addition(message: pattern_pb2.PatternAddition, path: str) -> Addition:
    for name in ("created_at", "updated_at"):
        fields.seconds(or_none(message, name), f"{path}.{name}")
    return Addition(
        id=fields.id_bytes(or_none(message, "id"), f"{path}.id"),
        success_rate=_rate(message, "success_rate", path),
        sample_count=rules.sample_count(or_none(message, "sample_count"), path),
        context=_context(message.context, f"{path}.context"),
    )


def _rate(message: Message, name: str, path: str) -> float:
    """Read a float32 as the shortest decimal that names it.

    Widened, 0.7 would be 0.699999988: below a threshold of 0.7, and another content
    than the same delta in JSON.
    """
    value = or_none(message, name)
    return fields.fraction(
        None if value is None else float(str(np.float32(value))), f"{path}.{name}"
    )


def _context(message: context_pb2.Context, path: str) -> Context:
    for name, limit in (
        ("genre_hints", GENRE_HINTS_LIMIT),
        ("content_ids", CONTENT_IDS_LIMIT),
    ):
        # Before any is looked at: there may be half a million.
        fields.check_length(
            len(getattr(message, name)), f"{path}.{name}", at_most=limit
        )
    return Context(
        time_of_day=fields.code(message.time_of_day, f"{path}.time_of_day", TimeOfDay),
        day_of_week=fields.code(message.day_of_week, f"{path}.day_of_week", DayOfWeek),
        content_type=fields.code(
            message.content_type, f"{path}.content_type", ContentType
        ),
        genre_hints=rules.genre_hints(list(message.genre_hints), path),
        content_ids=rules.content_ids(list(message.content_ids), path),
    )


def updates(messages: Sequence[pattern_pb2.PatternUpdate]) -> Updates:
    paths = [f"delta.patterns_updated[{i}]" for i in range(len(messages))]
    read = [_update(m, path) for m, path in zip(messages, paths, strict=True)]
    return rows.updates(read, paths)


def _update(message: pattern_pb2.PatternUpdate, path: str) -> Update:
    return Update(
        id=fields.id_bytes(or_none(message, "id"), f"{path}.id"),
        new_success_rate=_rate(message, "new_success_rate", path),
        additional_samples=rules.additional_samples(
            or_none(message, "additional_samples"), path
        ),
    )


def removals(sent: Sequence[bytes]) -> list[bytes]:
    paths = [f"delta.patterns_removed[{i}]" for i in range(len(sent))]
    ids = [fields.id_bytes(each, path) for each, path in zip(sent, paths, strict=True)]
    fields.distinct(ids, paths)
    return ids
