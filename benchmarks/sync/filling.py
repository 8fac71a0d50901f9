"""A shard filled by COPY: made-up TVs whose patterns lie apart, in minutes.

Each table is filled within the transaction that empties it, without its indexes, which
are built afterwards: no WAL, no random writes. Rows are frozen, as on a shard that has
been vacuumed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.copying import copy_in, halfvecs, rows, same, text_lists
from benchmarks.sync import tastes, tvs
from benchmarks.sync.tvs import UPDATES, Population

#: Told after each block how many rows are written.
Tell = Callable[[int], None]

#: Rows written together: 16,000 patterns are 16 MiB.
BLOCK = 16_000

REGIONS = ("north", "south")
CONTENTS_PER_PATTERN = (2, 3, 4, 5)

#: What a row takes with its indexes, a fifth above what was seen.
PATTERN_BYTES = 1_300
DEVICE_BYTES = 300
#: For WAL, for sorting, and for what is synced.
SPARE_BYTES = 8 << 30

_REPORTED_AT = 26 * 365 * 86_400 * 10**6  # about 2026, in PostgreSQL's microseconds

_DEVICES = """
    COPY shards_device (id, batch_id, region, model, firmware, enrolled_at, token_epoch,
        local_version, delta_digest, stored_count, filtered_count, updated_count,
        removed_count, pattern_count)
    FROM STDIN (FORMAT binary, FREEZE)
"""
_PATTERNS = """
    COPY patterns_pattern (device_id, pattern_id, embedding, success_rate, sample_count,
        time_of_day, day_of_week, content_type, genre_hints, content_ids, cell,
        reported_at)
    FROM STDIN (FORMAT binary, FREEZE)
"""


class NoRoom(Exception):
    """The disk is too small for what was asked."""


def check_room(folder: Path, populations: Sequence[Population]) -> None:
    """Refuse what the disk has no room for."""
    needed = SPARE_BYTES + sum(
        population.patterns * PATTERN_BYTES + population.devices * DEVICE_BYTES
        for population in populations
    )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoom(
            f"{folder} has {free / 2**30:.0f} GiB free, and this takes "
            f"{needed / 2**30:.0f}: choose another disk with TMPDIR or --keep, or "
            "fewer with --devices and --patterns."
        )


def fill(connection: psycopg.Connection, population: Population, tell: Tell) -> None:
    """Replace all TVs and patterns; the connection commits by itself."""
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        with _emptied(cursor, "shards_device"):
            copy_in(cursor, _DEVICES, _devices(population, tell))
        with _emptied(cursor, "patterns_pattern"):
            copy_in(cursor, _PATTERNS, _patterns(population, tell))
        cursor.execute("TRUNCATE shards_shardtally, shards_syncminute")
        cursor.execute(
            "INSERT INTO shards_shardtally (slot, device_count, pattern_count) "
            "VALUES (0, %s, %s)",
            [population.devices, population.patterns],
        )
        cursor.execute("ANALYZE patterns_pattern, shards_device")


@contextmanager
def _emptied(cursor: psycopg.Cursor, table: str) -> Iterator[None]:
    """One transaction in which a table is empty and has no indexes at first."""
    with cursor.connection.transaction():
        cursor.execute(
            """
            SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid),
                   (SELECT conname FROM pg_constraint WHERE conindid = indexrelid)
            FROM pg_index WHERE indrelid = %s::regclass
            """,
            [table],
        )
        indexes = cursor.fetchall()
        for name, _, constraint in indexes:
            if constraint:
                cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{constraint}"')
            else:
                cursor.execute(f"DROP INDEX {name}")
        cursor.execute(f"TRUNCATE {table}")
        yield
        for name, definition, constraint in indexes:
            cursor.execute(definition)
            if constraint:
                cursor.execute(
                    f'ALTER TABLE {table} ADD CONSTRAINT "{constraint}" '
                    f"PRIMARY KEY USING INDEX {name}"
                )


def _devices(population: Population, tell: Tell) -> Iterator[bytes]:
    counts = _pattern_counts(population)
    rng = np.random.default_rng(population.shard_id)
    for start in range(0, population.devices, BLOCK):
        some = np.arange(start, min(start + BLOCK, population.devices))
        for place, region in enumerate(REGIONS):
            chosen = some[some % len(REGIONS) == place]
            count = len(chosen)
            yield rows(
                [
                    tvs.device_ids(chosen),
                    rng.integers(1, 51, count).astype(">i8"),
                    same(region, count),
                    *[same("", count)] * 2,
                    same(_REPORTED_AT, count, ">i8"),
                    same(0, count, ">i4"),
                    (counts[chosen] > 0).astype(">i8"),
                    same("", count),
                    *[same(0, count, ">i2")] * 4,
                    counts[chosen].astype(">i2"),
                ]
            )
        tell(len(some))


def _patterns(population: Population, tell: Tell) -> Iterator[bytes]:
    rng = np.random.default_rng(population.shard_id)
    stock = tastes.patterns()
    vectors = halfvecs(stock.vectors)
    written = 0
    for owners, places in _visits(population, rng):
        for start in range(0, len(owners), BLOCK):
            owner, place = (each[start : start + BLOCK] for each in (owners, places))
            named = CONTENTS_PER_PATTERN[written // BLOCK % len(CONTENTS_PER_PATTERN)]
            yield _block(owner, place, stock, vectors, named, rng)
            written += len(owner)
            tell(len(owner))


def _visits(
    population: Population, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Patterns in the order they came: each TV's first, then the others, one by one."""
    owners = np.repeat(rng.permutation(population.returning), UPDATES)
    yield owners, np.tile(np.arange(UPDATES), population.returning)
    left = population.patterns - len(owners)
    place = UPDATES
    while left > 0:
        count = min(left, population.returning)
        chosen = rng.permutation(count)
        yield chosen, np.full(count, place)
        left -= count
        place += 1


def _pattern_counts(population: Population) -> NDArray[np.int64]:
    """How many patterns each TV gets from ``_visits``."""
    extra = population.patterns - UPDATES * population.returning
    all_get, some_get = divmod(extra, population.returning)
    counts = np.zeros(population.devices, dtype=np.int64)
    counts[: population.returning] = UPDATES + all_get
    counts[:some_get] += 1
    return counts


def _block(
    owner: NDArray[np.int64],
    place: NDArray[np.int64],
    stock: tastes.Patterns,
    vectors: NDArray[np.void],
    named: int,
    rng: np.random.Generator,
) -> bytes:
    count = len(owner)
    chosen = rng.integers(0, len(vectors), count)
    taste = stock.tastes[chosen]
    return rows(
        [
            tvs.device_ids(owner),
            tvs.pattern_ids(owner, place),
            vectors[chosen],
            rng.uniform(0.8, 1.0, count).astype(">f8"),
            rng.integers(1, 30, count).astype(">i8"),
            rng.integers(0, 7, count).astype(">i2"),
            rng.integers(0, 10, count).astype(">i2"),
            rng.integers(0, 12, count).astype(">i2"),
            text_lists(tastes.GENRE, taste[:, np.newaxis] % tastes.GENRES),
            text_lists(tastes.TITLE, tastes.contents(taste, named, rng)),
            (taste + 1).astype(">i4"),
            same(_REPORTED_AT, count, ">i8"),
        ]
    )
