"""Made-up TVs for a shard, written as fast as PostgreSQL takes them.

TVs come by three times and leave four patterns of one taste each time, in another order
each time: so their rows lie apart, as on a shard that has been synced with for a while.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.copying import copy_in, halfvecs, rows, same, text_lists, whole

DIMENSIONS = 384
VISITS = 3
PATTERNS_PER_VISIT = 4
PATTERNS_PER_TV = VISITS * PATTERNS_PER_VISIT

#: A TV's tastes are neighbours; so are the contents of neighbouring tastes.
TASTES = 4_096
NEIGHBOURING_TASTES = 64

#: A taste's own contents, of which the first is named by each of its patterns.
CONTENTS_PER_TASTE = 7
CONTENTS = TASTES * CONTENTS_PER_TASTE
CONTENTS_PER_PATTERN = (2, 3, 4, 5)
GENRES = 40

BATCHES = 50
REGIONS = ("north", "east", "south", "west", "coast")

#: How far patterns lie from their taste.
SPREAD = 0.6

#: Visits written together; 16,000 patterns are 20 MiB.
CHUNK_VISITS = 4_000

TITLE = "film-%05d"
_GENRE = "genre %02d"
_REPORTED_AT = 26 * 365 * 86_400 * 10**6  # about 2026, in PostgreSQL's microseconds


def add_patterns(connection: psycopg.Connection, *, up_to: int) -> int:
    """Add TVs until there are so many patterns; how many there are then.

    The connection commits by itself. The same number of patterns, reached in the same
    steps, is always the same.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shards_device")
        (there,) = cursor.fetchone() or (0,)
        wanted = -(-up_to // PATTERNS_PER_TV)
        tvs = np.arange(there, max(there, wanted))
        rng = np.random.default_rng(there)
        copy_in(cursor, _DEVICES, _devices(tvs, rng))
        copy_in(cursor, _PATTERNS, _patterns(tvs, rng))
        cursor.execute("TRUNCATE shards_shardtally")
        cursor.execute(
            "INSERT INTO shards_shardtally (slot, device_count, pattern_count) "
            "VALUES (0, %s, %s)",
            [wanted, wanted * PATTERNS_PER_TV],
        )
        cursor.execute("VACUUM ANALYZE patterns_pattern, shards_device")
    return wanted * PATTERNS_PER_TV


_DEVICES = """
    COPY shards_device (id, batch_id, region, model, firmware, enrolled_at, token_epoch,
        local_version, delta_digest, stored_count, filtered_count, updated_count,
        removed_count, pattern_count)
    FROM STDIN (FORMAT binary)
"""
_PATTERNS = """
    COPY patterns_pattern (device_id, pattern_id, embedding, success_rate, sample_count,
        time_of_day, day_of_week, content_type, genre_hints, content_ids, cell,
        reported_at)
    FROM STDIN (FORMAT binary)
"""


def _devices(tvs: NDArray[np.int64], rng: np.random.Generator) -> Iterator[bytes]:
    for start in range(0, len(tvs), 1 << 14):
        some = tvs[start : start + (1 << 14)]
        for place, region in enumerate(REGIONS):
            chosen = some[some % len(REGIONS) == place]
            yield rows(
                [
                    _device_ids(chosen),
                    rng.integers(1, BATCHES + 1, len(chosen)).astype(">i8"),
                    same(region, len(chosen)),
                    *[same("", len(chosen))] * 2,
                    same(_REPORTED_AT, len(chosen), ">i8"),
                    same(0, len(chosen), ">i4"),
                    same(1, len(chosen), ">i8"),
                    same("", len(chosen)),
                    *[same(0, len(chosen), ">i2")] * 4,
                    same(PATTERNS_PER_TV, len(chosen), ">i2"),
                ]
            )


def _patterns(tvs: NDArray[np.int64], rng: np.random.Generator) -> Iterator[bytes]:
    tastes = _directions(np.random.default_rng(0))
    visits = np.concatenate([rng.permutation(tvs) for _ in range(VISITS)])
    for number, start in enumerate(range(0, len(visits), CHUNK_VISITS)):
        visitors = visits[start : start + CHUNK_VISITS]
        taste = visitors % TASTES - visitors % NEIGHBOURING_TASTES
        taste += rng.integers(NEIGHBOURING_TASTES, size=len(visitors))
        device, taste = (
            np.repeat(each, PATTERNS_PER_VISIT) for each in (visitors, taste)
        )
        count = len(device)
        named = CONTENTS_PER_PATTERN[number % len(CONTENTS_PER_PATTERN)]
        yield rows(
            [
                _device_ids(device),
                np.frombuffer(rng.bytes(16 * count), "V16"),
                _embeddings(tastes[taste], rng),
                rng.uniform(0.8, 1.0, count).astype(">f8"),
                rng.integers(1, 30, count).astype(">i8"),
                rng.integers(0, 7, count).astype(">i2"),
                rng.integers(0, 10, count).astype(">i2"),
                rng.integers(0, 12, count).astype(">i2"),
                text_lists(_GENRE, taste[:, np.newaxis] % GENRES),
                text_lists(TITLE, _contents(taste, named, rng)),
                (taste + 1).astype(">i4"),
                same(_REPORTED_AT, len(device), ">i8"),
            ]
        )


def _directions(rng: np.random.Generator) -> NDArray[np.float32]:
    """Unit vectors whose components fade out, as those of sentence models do."""
    fading = (0.985 ** np.arange(DIMENSIONS)).astype(np.float32)
    return _unit(rng.standard_normal((TASTES, DIMENSIONS), dtype=np.float32) * fading)


def _embeddings(
    tastes: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.void]:
    noise = rng.standard_normal(tastes.shape, dtype=np.float32)
    noise *= np.float32(SPREAD / np.sqrt(DIMENSIONS))
    return halfvecs(_unit(tastes + noise))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / norms


def _contents(
    taste: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The taste's first, and others at growing distance from it."""
    steps = rng.integers(1, 8, size=(len(taste), count)).cumsum(axis=1)
    steps[:, 0] = 0
    places: NDArray[np.int64] = taste[:, np.newaxis] * CONTENTS_PER_TASTE + steps
    return places % CONTENTS


def _device_ids(numbers: NDArray[np.int64]) -> NDArray[np.void]:
    """Sixteen bytes for each TV, spread over all ids."""
    words = np.empty((len(numbers), 2), dtype=">u8")
    words[:, 0] = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words[:, 1] = numbers
    return whole(words)
