"""Deltas for tests, written entry by entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from patterns.delta import Additions, Delta, SentCode, Updates

EMBEDDING = np.eye(1, 384, dtype=np.float32)[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Addition:
    id: UUID = field(default_factory=uuid4)
    embedding: NDArray[np.float32] = field(default_factory=EMBEDDING.copy)
    success_rate: float = 0.9
    sample_count: int = 4
    time_of_day: int = 0
    day_of_week: int = 0
    content_type: int = 0
    genre_hints: tuple[str, ...] = ()
    content_ids: tuple[str, ...] = ()
    code: SentCode | None = None


@dataclass(frozen=True, kw_only=True)
class Update:
    id: UUID
    new_success_rate: float = 0.9
    additional_samples: int = 4


def delta(
    local_version: int = 1,
    *,
    base_version: int | None = None,
    added: Sequence[Addition] = (),
    updated: Sequence[Update] = (),
    removed: Sequence[UUID] = (),
) -> Delta:
    return Delta(
        local_version=local_version,
        base_version=base_version,
        added=additions(added),
        updated=Updates(
            ids=[each.id.bytes for each in updated],
            new_success_rates=[each.new_success_rate for each in updated],
            additional_samples=[each.additional_samples for each in updated],
        ),
        removed=[each.bytes for each in removed],
    )


def additions(rows: Sequence[Addition]) -> Additions:
    embeddings = [row.embedding for row in rows]
    return Additions(
        ids=[row.id.bytes for row in rows],
        embeddings=np.array(embeddings, dtype=np.float32).reshape(-1, 384),
        success_rates=[row.success_rate for row in rows],
        sample_counts=[row.sample_count for row in rows],
        times_of_day=bytes(row.time_of_day for row in rows),
        days_of_week=bytes(row.day_of_week for row in rows),
        content_types=bytes(row.content_type for row in rows),
        genre_hints=[row.genre_hints for row in rows],
        content_ids=[row.content_ids for row in rows],
        codes=[row.code for row in rows],
    )
