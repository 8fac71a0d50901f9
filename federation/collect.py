"""What one shard gives to a round: two readings, of which only sums leave.

Each reading is one snapshot, streamed TV after TV in blocks, so that memory stays flat
whatever the shard's size. Whoever runs these (a thread today) runs one shard at a time
and passes what they return to ``federation.merge``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from django.db import connections, transaction
from django.db.models import Sum
from psycopg import sql

from federation.copying import Columns, Rows, joined, parcels
from federation.kernels import (
    CONTENTS_PER_TV,
    EMBEDDING_DIMENSIONS,
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
from federation.quarantined import NOTHING, Quarantined
from federation.texts import TextTable
from patterns.raw_vectors import halfvecs, has_raw_vectors
from shards.models import ShardTally

if TYPE_CHECKING:
    from federation.kernels.noise import NoisePlan

#: A block ends with the first TV that reaches this many patterns: about 60 MiB.
BLOCK_ROWS = 20_000

#: One state of the shard, in the order of its keys: an index begins at once and holds
#: nothing, where a sort would first write the whole shard to disk. Parallel workers
#: would hand all rows to the one process that sends them.
SNAPSHOT = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
    SET LOCAL enable_sort = off;
    SET LOCAL enable_incremental_sort = off;
    SET LOCAL max_parallel_workers_per_gather = 0
"""

# A TV's rows come together, which is what the kernels count TVs by. Revoked TVs have
# no say. Columns of a fixed size come first, see ``federation.copying``.
_PATTERNS = """
    COPY (
        SELECT pattern.device_id, pattern.pattern_id, {embedding},
            pattern.success_rate, pattern.sample_count,
            pattern.time_of_day, pattern.day_of_week, pattern.content_type,
            {is_fresh}, device.batch_id,
            device.region, pattern.genre_hints, pattern.content_ids
        FROM patterns_pattern AS pattern
        JOIN shards_device AS device ON device.id = pattern.device_id
        WHERE pattern.success_rate >= {min_quality} AND device.revoked_at IS NULL
            {and_not_quarantined}
        ORDER BY pattern.device_id, pattern.pattern_id
    ) TO STDOUT (FORMAT binary)
"""

_FIXED_COLUMNS = {
    "device_id": "(2,)>u8",
    "pattern_id": "(2,)>u8",
    "embedding": f"({2 + EMBEDDING_DIMENSIONS},)>i2",
    "success_rate": ">f8",
    "sample_count": ">i8",
    "time_of_day": ">i2",
    "day_of_week": ">i2",
    "content_type": ">i2",
    "is_fresh": "?",
    "batch_id": ">i8",
}

# Where a row has its device_id: after the number of columns and its own size.
_DEVICE_ID = slice(6, 22)


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
    """Stream a shard's quality patterns in one snapshot, whole TVs at a time."""
    with transaction.atomic(using=shard_alias):
        cursor = connections[shard_alias].cursor()
        cursor.execute(SNAPSHOT)
        statement = patterns_statement(
            min_quality, fresh_since, quarantined, is_raw=has_raw_vectors(cursor)
        )
        texts = _Texts()
        for rows in _whole_tvs(parcels(cursor, statement), block_rows):
            yield _block(rows, texts)


def _whole_tvs(read: Iterable[Rows], block_rows: int) -> Iterator[Rows]:
    """Rows by so many, and those that are left of the last TV."""
    waiting: list[Rows] = []
    count = 0
    for parcel in read:
        waiting.append(parcel)
        count += len(parcel)
        if count <= block_rows:
            continue
        rows = joined(waiting)
        while end := _first_tv_from(block_rows, rows):
            yield rows.part(slice(end))
            rows = rows.part(slice(end, None))
        waiting, count = [rows], len(rows)
    if waiting:
        yield joined(waiting)


def patterns_statement(
    min_quality: float,
    fresh_since: datetime | None,
    quarantined: Quarantined,
    *,
    is_raw: bool,
) -> sql.Composable:
    """The ``COPY`` that both readings are made with; vectors raw where they can be."""
    vector = "pattern.embedding::bytea" if is_raw else "pattern.embedding"
    return sql.SQL(_PATTERNS).format(
        embedding=sql.SQL(vector),
        min_quality=sql.Literal(min_quality),
        is_fresh=sql.SQL("true")
        if fresh_since is None
        else sql.SQL("pattern.reported_at > {}").format(sql.Literal(fresh_since)),
        and_not_quarantined=_without(quarantined),
    )


def _without(quarantined: Quarantined) -> sql.Composable:
    conditions: list[sql.Composable] = []
    if quarantined.devices:
        condition = sql.SQL("AND pattern.device_id <> ALL({}::uuid[])")
        conditions.append(condition.format(sql.Literal(list(quarantined.devices))))
    if quarantined.batches:
        condition = sql.SQL("AND device.batch_id <> ALL({}::bigint[])")
        conditions.append(condition.format(sql.Literal(list(quarantined.batches))))
    return sql.SQL(" ").join(conditions)


def _tallied(shard_alias: str, field: str) -> int:
    tallies = ShardTally.objects.using(shard_alias)
    total: int = tallies.aggregate(total=Sum(field, default=0))["total"]
    return max(0, total)  # a column of the round's row can't be negative


def _first_tv_from(row: int, rows: Rows) -> int | None:
    """Where the first TV begins from a row on, but for the first of all."""
    before = max(row, 1) - 1
    devices = rows.part(slice(before, None)).taken_by(_DEVICE_ID)
    ends = np.flatnonzero(devices[1:] != devices[:-1])
    return before + 1 + int(ends[0]) if len(ends) else None


@dataclass(frozen=True)
class _Texts:
    """The texts of a reading, numbered over all its blocks."""

    regions: TextTable = field(default_factory=TextTable)
    genres: TextTable = field(default_factory=TextTable)
    content_ids: TextTable = field(default_factory=TextTable)


def _block(rows: Rows, texts: _Texts) -> PatternBlock:
    columns = Columns(rows)
    fixed = columns.fixed(_FIXED_COLUMNS)
    regions = columns.texts(texts.regions)
    genres = columns.text_lists(texts.genres)
    content_ids = columns.text_lists(texts.content_ids)
    columns.end()
    keys = np.concatenate([fixed["device_id"], fixed["pattern_id"]], axis=1)
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = (keys[1:, :2] != keys[:-1, :2]).any(axis=1)
    return PatternBlock(
        pattern_keys=keys.astype(np.uint64),
        device_index=np.cumsum(is_first) - 1,
        embeddings=halfvecs(fixed["embedding"]),
        success_rate=fixed["success_rate"].astype(np.float32),
        sample_count=fixed["sample_count"].astype(np.int64),
        time_of_day=fixed["time_of_day"].astype(np.int8),
        day_of_week=fixed["day_of_week"].astype(np.int8),
        content_type=fixed["content_type"].astype(np.int8),
        genres=genres,
        content_ids=content_ids,
        is_fresh=fixed["is_fresh"].copy(),
        device_region=[
            regions.names[number] for number in regions.numbers[is_first].tolist()
        ],
        device_batch=fixed["batch_id"][is_first].astype(np.int64),
    )
