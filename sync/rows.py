"""Additions and updates that a wire format writes one by one, put into columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from patterns.delta import Additions, SentCode, Updates
from sync import rules


class Context(NamedTuple):
    """The circumstances of a pattern: codes of ``patterns/context.py``."""

    time_of_day: int = 0
    day_of_week: int = 0
    content_type: int = 0
    genre_hints: tuple[str, ...] = ()
    content_ids: tuple[str, ...] = ()


class Addition(NamedTuple):
    """What stands beside an embedding."""

    #: 16 bytes
    id: bytes
    success_rate: float
    sample_count: int
    context: Context


class Update(NamedTuple):
    #: 16 bytes
    id: bytes
    new_success_rate: float
    additional_samples: int


def additions(
    rows: Sequence[Addition],
    embeddings: NDArray[np.float32],
    codes: Sequence[SentCode | None],
    paths: Sequence[str],
) -> Additions:
    ids = [row.id for row in rows]
    rules.check_distinct(ids, paths)
    contexts = [row.context for row in rows]
    return Additions(
        ids=ids,
        embeddings=embeddings,
        success_rates=[row.success_rate for row in rows],
        sample_counts=[row.sample_count for row in rows],
        times_of_day=bytes(context.time_of_day for context in contexts),
        days_of_week=bytes(context.day_of_week for context in contexts),
        content_types=bytes(context.content_type for context in contexts),
        genre_hints=[context.genre_hints for context in contexts],
        content_ids=[context.content_ids for context in contexts],
        codes=codes,
    )


def updates(rows: Sequence[Update], paths: Sequence[str]) -> Updates:
    ids = [row.id for row in rows]
    rules.check_distinct(ids, paths)
    return Updates(
        ids=ids,
        new_success_rates=[row.new_success_rate for row in rows],
        additional_samples=[row.additional_samples for row in rows],
    )
