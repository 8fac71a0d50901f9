"""What one shard gives to a round: two readings, of which only sums leave.

Each reading is one snapshot, streamed TV after TV in blocks, so that memory stays flat
whatever the shard's size. Whoever runs these (a thread today) runs one shard at a time
and passes what they return to ``federation.merge``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from django.db import connections, transaction
from django.db.models import Sum
from psycopg import sql

from federation.kernels import (
    CONTENTS_PER_TV,
    LARGEST_HASH,
    SAMPLE_CAPACITY,
    CellCollector,
    Cells,
    CellSums,
    ItemCensus,
    ItemCounter,
    ItemFilter,
    PairCollector,
    PairCounts,
    PairPlan,
    PatternBlock,
    PatternSample,
    PatternSampler,
    pattern_keys,
)
from federation.kernels.clipping import clip
from federation.rows import copied_rows
from patterns.vectors import as_matrix
from shards.models import ShardTally

if TYPE_CHECKING:
    from federation.kernels.noise import NoisePlan

#: A block ends with the first TV that reaches this many patterns: about 60 MiB.
BLOCK_ROWS = 20_000

# A TV's rows come together, which is what the kernels count TVs by. Revoked TVs have
# no say.
_PATTERNS = """
    COPY (
        SELECT pattern.device_id, pattern.pattern_id, pattern.embedding,
            pattern.success_rate, pattern.sample_count,
            pattern.time_of_day, pattern.day_of_week, pattern.content_type,
            pattern.genre_hints, pattern.content_ids,
            {is_fresh}, device.region, device.batch_id
        FROM patterns_pattern AS pattern
        JOIN shards_device AS device ON device.id = pattern.device_id
        WHERE pattern.success_rate >= {min_quality} AND device.revoked_at IS NULL
        ORDER BY pattern.device_id, pattern.pattern_id
    ) TO STDOUT (FORMAT binary)
"""

# ``bytea`` passes a value's bytes through as they come.
_TYPES = [
    *("bytea", "bytea", "bytea", "float8", "int8"),
    *("int2", "int2", "int2", "varchar[]", "varchar[]"),
    *("bool", "varchar", "int8"),
]


class _Columns(NamedTuple):
    """What ``_PATTERNS`` yields, one value a row in each."""

    device_id: tuple[bytes, ...]
    pattern_id: tuple[bytes, ...]
    embedding: tuple[bytes, ...]
    success_rate: tuple[float, ...]
    sample_count: tuple[int, ...]
    time_of_day: tuple[int, ...]
    day_of_week: tuple[int, ...]
    content_type: tuple[int, ...]
    genres: tuple[list[str], ...]
    content_ids: tuple[list[str], ...]
    is_fresh: tuple[bool, ...]
    region: tuple[str, ...]
    batch_id: tuple[int, ...]


@dataclass(frozen=True)
class FirstReading:
    """A sample to fit cells to, and which contents are named often enough."""

    sample: PatternSample
    census: ItemCensus
    #: All that the shard stores, by its own tally.
    stored_device_count: int
    stored_pattern_count: int


@dataclass(frozen=True)
class SecondReading:
    """Sums over cells, and counts of contents found in the same TVs."""

    sums: CellSums
    pairs: PairCounts


def sample(
    shard_alias: str,
    *,
    min_quality: float,
    seed: int,
    hash_limit: int = LARGEST_HASH,
    noise: NoisePlan | None = None,
) -> FirstReading:
    """Read a shard for the first time; only hashes up to the limit are sampled."""
    sampler = PatternSampler(capacity=SAMPLE_CAPACITY, seed=seed, hash_limit=hash_limit)
    counter = ItemCounter(seed=seed, contents_per_tv=CONTENTS_PER_TV)
    read = blocks(shard_alias, min_quality=min_quality)
    for block in _clipped(read, noise, seed=seed):
        sampler.add(block)
        counter.add(block)
    return FirstReading(
        sample=sampler.sample(),
        census=counter.census(),
        stored_device_count=stored_device_count(shard_alias),
        stored_pattern_count=stored_pattern_count(shard_alias),
    )


def collect(
    shard_alias: str,
    cells: Cells,
    *,
    item_filter: ItemFilter,
    pair_plan: PairPlan,
    min_quality: float,
    fresh_since: datetime | None,
    noise: NoisePlan | None = None,
) -> SecondReading:
    """Read a shard for the second time, adding its patterns up by cell.

    What was reported after ``fresh_since`` counts for trends; None: everything. In a
    round with noise only so much of each TV counts, in both readings.
    """
    collector = CellCollector(cells.centroids, item_filter=item_filter)
    pair_collector = PairCollector(pair_plan)
    read = blocks(shard_alias, min_quality=min_quality, fresh_since=fresh_since)
    for block in _clipped(read, noise, seed=pair_plan.seed):
        collector.add(block)
        pair_collector.add(block)
    sums = collector.sums()
    if noise is not None:
        # Only rounds with noise have OpenDP in their memory.
        from federation.kernels.privacy import with_noisy_sources

        sums = with_noisy_sources(sums, noise)
    return SecondReading(sums=sums, pairs=pair_collector.counts())


def _clipped(
    read: Iterator[PatternBlock], noise: NoisePlan | None, *, seed: int
) -> Iterator[PatternBlock]:
    if noise is None:
        return read
    return (clip(block, noise.clipping, seed=seed) for block in read)


def stored_device_count(shard_alias: str) -> int:
    """How many TVs the shard has, by its tally."""
    return _tallied(shard_alias, "device_count")


def stored_pattern_count(shard_alias: str) -> int:
    """How many patterns of any quality the shard stores, by its tally."""
    return _tallied(shard_alias, "pattern_count")


def blocks(
    shard_alias: str,
    *,
    min_quality: float,
    fresh_since: datetime | None = None,
    block_rows: int = BLOCK_ROWS,
) -> Generator[PatternBlock, None, None]:
    """Stream a shard's quality patterns in one snapshot, whole TVs at a time."""
    statement = sql.SQL(_PATTERNS).format(
        min_quality=sql.Literal(min_quality),
        is_fresh=sql.SQL("true")
        if fresh_since is None
        else sql.SQL("pattern.reported_at > {}").format(sql.Literal(fresh_since)),
    )
    with transaction.atomic(using=shard_alias):
        cursor = connections[shard_alias].cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        waiting: list[tuple[Any, ...]] = []
        for row in copied_rows(cursor, statement, _TYPES):
            if len(waiting) >= block_rows and row[0] != waiting[-1][0]:
                yield _block(waiting)
                waiting = []
            waiting.append(row)
        if waiting:
            yield _block(waiting)


def _tallied(shard_alias: str, field: str) -> int:
    tallies = ShardTally.objects.using(shard_alias)
    total: int = tallies.aggregate(total=Sum(field, default=0))["total"]
    return max(0, total)  # a column of the round's row can't be negative


def _block(rows: list[tuple[Any, ...]]) -> PatternBlock:
    column = _Columns(*zip(*rows, strict=True))
    starts = [0] + [
        row
        for row, (before, here) in enumerate(pairwise(column.device_id), start=1)
        if before != here
    ]
    lengths = np.diff([*starts, len(rows)])
    return PatternBlock(
        pattern_keys=pattern_keys(column.device_id, column.pattern_id),
        device_index=np.repeat(np.arange(len(starts), dtype=np.int64), lengths),
        embeddings=as_matrix(column.embedding),
        success_rate=np.array(column.success_rate, dtype=np.float32),
        sample_count=np.array(column.sample_count, dtype=np.int64),
        time_of_day=np.array(column.time_of_day, dtype=np.int8),
        day_of_week=np.array(column.day_of_week, dtype=np.int8),
        content_type=np.array(column.content_type, dtype=np.int8),
        genres=column.genres,
        content_ids=column.content_ids,
        is_fresh=np.array(column.is_fresh, dtype=np.bool_),
        device_region=[column.region[row] for row in starts],
        device_batch=np.array([column.batch_id[row] for row in starts], dtype=np.int64),
    )
