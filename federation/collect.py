"""What one shard gives to a round: two readings, of which only sums leave.

Each reading is one snapshot, streamed TV after TV in blocks, so that memory stays flat
whatever the shard's size. Whoever runs these (a thread today) runs one shard at a time
and passes what they return to ``federation.merge``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.db.models import Sum
from psycopg import sql

from federation.ahead import ahead_of
from federation.copying import parcels
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
    Screen,
)
from federation.kernels.clipping import clip
from federation.pattern_rows import HALVES, blocks_of, patterns_statement
from federation.quarantined import NOTHING, Quarantined
from patterns.raw_vectors import has_raw_vectors
from shards.models import ShardTally

if TYPE_CHECKING:
    from federation.kernels.noise import NoisePlan

#: A block ends with the first TV that reaches this many patterns: about 20 MiB.
BLOCK_ROWS = 20_000

# Blocks that may wait, so that the server isn't kept waiting by what takes them.
_BLOCKS_AHEAD = 2

#: One state of the shard, in the order of its keys: an index begins at once and holds
#: nothing, where a sort would first write the whole shard to disk. Parallel workers
#: would hand all rows to the one process that sends them. Whose state it is has nothing
#: to do while others read it.
SNAPSHOT = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL enable_sort = off;
    SET LOCAL enable_incremental_sort = off;
    SET LOCAL max_parallel_workers_per_gather = 0
"""


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
    quarantined: Quarantined = NOTHING,
) -> FirstReading:
    """Read a shard for the first time; only hashes up to the limit are sampled."""
    sampler = PatternSampler(capacity=SAMPLE_CAPACITY, seed=seed, hash_limit=hash_limit)
    counter = ItemCounter(seed=seed, contents_per_tv=CONTENTS_PER_TV)
    read = blocks(shard_alias, min_quality=min_quality, quarantined=quarantined)
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
    screen: Screen | None = None,
    noise: NoisePlan | None = None,
    quarantined: Quarantined = NOTHING,
) -> SecondReading:
    """Read a shard for the second time, adding its patterns up by cell.

    What was reported after ``fresh_since`` counts for trends; None: everything. In a
    round with noise only so much of each TV counts, in both readings.
    """
    collector = CellCollector(cells.centroids, item_filter=item_filter, screen=screen)
    pair_collector = PairCollector(pair_plan)
    read = blocks(
        shard_alias,
        min_quality=min_quality,
        fresh_since=fresh_since,
        quarantined=quarantined,
    )
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
    quarantined: Quarantined = NOTHING,
) -> Generator[PatternBlock, None, None]:
    """Stream a shard's quality patterns in one snapshot, whole TVs at a time.

    Two halves at once, each on a connection of its own: while the server waits until
    there is room for more of one, it goes on with the other.
    """
    with transaction.atomic(using=shard_alias):
        cursor = connections[shard_alias].cursor()
        cursor.execute(SNAPSHOT)
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        is_raw = has_raw_vectors(cursor)
        streams = [
            partial(
                _stream,
                shard_alias,
                snapshot,
                patterns_statement(
                    min_quality, fresh_since, quarantined, is_raw=is_raw, devices=some
                ),
                block_rows,
            )
            for some in HALVES
        ]
        yield from ahead_of(streams, room=_BLOCKS_AHEAD)


def _stream(
    shard_alias: str, snapshot: str, statement: sql.Composable, block_rows: int
) -> Generator[PatternBlock, None, None]:
    """Read what a statement gives, on this thread's own connection."""
    try:
        with transaction.atomic(using=shard_alias):
            cursor = connections[shard_alias].cursor()
            cursor.execute(SNAPSHOT)
            cursor.execute(
                sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot))
            )
            yield from blocks_of(parcels(cursor, statement), block_rows)
    finally:
        connections[shard_alias].close()


def _tallied(shard_alias: str, field: str) -> int:
    tallies = ShardTally.objects.using(shard_alias)
    total: int = tallies.aggregate(total=Sum(field, default=0))["total"]
    return max(0, total)  # a column of the round's row can't be negative
