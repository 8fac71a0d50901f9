"""Reads of patterns: a TV's own, and for operators the neighbours within a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connections
from django.db.models import QuerySet, Sum
from numpy.typing import NDArray
from pgvector.django import CosineDistance

from patterns.models import Content, Item, Pattern
from patterns.vectors import EMBEDDING_DIMENSIONS, as_matrix
from shards.models import ShardTally
from shards.raw_cursors import raw_cursor


@dataclass(frozen=True, eq=False)
class Tastes:
    """All patterns of one TV, column by column."""

    #: Unit length. shape: (n, 384)
    embeddings: NDArray[np.float32]
    #: Success rate times samples. shape: (n,)
    weights: NDArray[np.float32]
    content_ids: Sequence[Sequence[str]]


NO_TASTES = Tastes(
    embeddings=np.empty((0, EMBEDDING_DIMENSIONS), dtype=np.float32),
    weights=np.empty(0, dtype=np.float32),
    content_ids=(),
)


#: What answering some TVs needs: a look-up by the head of the key for each. With
#: ``raw_cursor``.
TASTES = """
    SELECT device_id, halfvec_send(embedding), success_rate * sample_count, content_ids
    FROM patterns_pattern
    WHERE device_id = ANY($1::uuid[])
    ORDER BY device_id, pattern_id
"""


def tastes_of(shard_alias: str, device_id: UUID) -> Tastes:
    """Read what answering a TV needs."""
    with raw_cursor(connections[shard_alias]) as cursor:
        cursor.execute(TASTES, [[device_id]])
        return tastes_by_device(cursor.fetchall()).get(device_id, NO_TASTES)


def tastes_by_device(rows: Sequence[Sequence[Any]]) -> dict[UUID, Tastes]:
    """Sort what ``TASTES`` gives by TV; those without patterns have none."""
    embeddings = as_matrix([row[1] for row in rows])
    weights = np.array([row[2] for row in rows], dtype=np.float32)
    found: dict[UUID, Tastes] = {}
    end = 0
    for device_id, of_device in groupby(rows, key=itemgetter(0)):
        content_ids = [row[3] for row in of_device]
        start, end = end, end + len(content_ids)
        found[device_id] = Tastes(
            embeddings=embeddings[start:end],
            weights=weights[start:end],
            content_ids=content_ids,
        )
    return found


def patterns_of(shard_alias: str, device_id: UUID) -> QuerySet[Pattern]:
    """List a TV's patterns for an operator, the latest word first."""
    return (
        Pattern.objects.using(shard_alias)
        .filter(device_id=device_id)
        .order_by("-reported_at", "pattern_id")
    )


def similar_patterns(
    shard_alias: str,
    embedding: NDArray[np.float32],
    *,
    k: int,
    cells: Sequence[int],
) -> QuerySet[Pattern]:
    """List the k patterns nearest to a vector among those of some cells, exactly.

    ``cells`` are the few nearest to the vector: they go through the index, and every
    pattern in them is compared. Each row carries its cosine ``distance``. For
    operators and engineers only: these are raw patterns, which no TV may see.
    """
    if embedding.shape != (EMBEDDING_DIMENSIONS,):
        raise ValueError(
            f"embedding has shape {embedding.shape}; expected ({EMBEDDING_DIMENSIONS},)"
        )
    return (
        Pattern.objects.using(shard_alias)
        .filter(cell__in=list(cells))
        .annotate(distance=CosineDistance("embedding", embedding))
        .order_by("distance", "device_id", "pattern_id")[:k]
    )


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A pattern of another TV, and how far it is from the nearest of one TV's own."""

    device_id: UUID
    pattern_id: UUID
    #: Cosine distance, 0 to 2.
    distance: float


def neighbours_of(shard_alias: str, device_id: UUID, *, k: int) -> list[Neighbour]:
    """List the k patterns of other TVs nearest to a TV's own, within its shard.

    Through the cells of its patterns, exact inside them. For operators and engineers
    only, like ``similar_patterns``.
    """
    with connections[shard_alias].cursor() as cursor:
        cursor.execute(
            """
            SELECT other.device_id, other.pattern_id,
                   min(other.embedding <=> mine.embedding) AS distance
            FROM patterns_pattern AS mine
            JOIN patterns_pattern AS other USING (cell)
            WHERE mine.device_id = %s AND other.device_id <> mine.device_id
            GROUP BY other.device_id, other.pattern_id
            ORDER BY distance, other.device_id, other.pattern_id
            LIMIT %s
            """,
            [device_id, k],
        )
        return [
            Neighbour(device_id=other_id, pattern_id=pattern_id, distance=distance)
            for other_id, pattern_id, distance in cursor.fetchall()
        ]


def contents_after(position: int, *, limit: int) -> list[Content]:
    """Read a page of the catalogue, in the order it grew."""
    contents = Content.objects.filter(position__gt=position)
    return list(contents.order_by("position")[:limit])


def pattern_count(shard_alias: str) -> int:
    """Tell how many patterns a shard stores: a sum of at most 64 rows, no count."""
    tally = ShardTally.objects.using(shard_alias)
    return int(tally.aggregate(total=Sum("pattern_count", default=0))["total"])


def item_ordinals() -> dict[str, int]:
    """Give the ordinals of all items by name: 100 bytes of memory each."""
    return dict(Item.objects.values_list("name", "ordinal").iterator())
