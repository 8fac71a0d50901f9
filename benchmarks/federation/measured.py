"""What is measured on the shard, each in a process of its own (``child``)."""

from __future__ import annotations

import hashlib
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import zstandard
from django.db import connections, transaction
from psycopg import sql

from benchmarks.federation.filling import PATTERNS_PER_TV
from benchmarks.federation.telling import told_cells
from federation import collect, parts
from federation.collect import SecondReading
from federation.kernels import CellCollector, Cells, PairCollector, plan_pairs
from federation.kernels.screening import open_screen
from federation.kernels.serialising import from_bytes, to_bytes
from federation.merge import Plan
from federation.pattern_rows import patterns_statement
from federation.quarantined import NOTHING
from federation.totals import SecondTotal

Found = dict[str, Any]

ALIAS = "shard_000"
MIN_QUALITY = 0.8
MIN_DEVICES = 50
N_CELLS = 4_096

#: The shard is one of so many like it: TVs are sampled for pairs as in such a fleet.
N_SHARDS = 100

# What the second reading asks patterns for, in the order of the table.
_COPY_TABLE = sql.SQL("""
    COPY patterns_pattern (
        device_id, pattern_id, embedding, success_rate, sample_count, time_of_day,
        day_of_week, content_type, genre_hints, content_ids, reported_at
    ) TO STDOUT (FORMAT binary)
""")


def first_reading(plan_file: Path) -> Found:
    """Read for the first time, and write down what the second reading counts."""
    seconds, first = _timed(
        lambda: collect.sample(ALIAS, min_quality=MIN_QUALITY, seed=1)
    )
    peak = _peak_rss_mib()
    centroids = first.sample.vectors[:N_CELLS].astype(np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    census = replace(
        first.census, n_content_pairs=first.census.n_content_pairs * N_SHARDS
    )
    plan = Plan(
        cells=Cells(np.arange(len(centroids)), centroids, len(centroids)),
        screen=open_screen(len(centroids)),
        item_filter=census.filter(min_devices=MIN_DEVICES),
        pair_plan=plan_pairs(census, min_devices=MIN_DEVICES),
    )
    plan_file.write_bytes(to_bytes(plan))
    return {"first_reading_seconds": seconds, "first_reading_rss_mib": peak}


def beside_copy(plan_file: Path, repeats: int) -> Found:
    """The second reading without its products, and COPY, by turns; medians.

    And the reading's own statement alone, and the reading where the database has no
    cast that hands vectors out as they are.
    """
    plan = _plan(plan_file)
    own = patterns_statement(MIN_QUALITY, None, NOTHING, is_raw=True)
    seconds: dict[str, list[float]] = defaultdict(list)
    with told_cells():
        # Once more than it counts: the first finds cold caches.
        for _ in range(repeats + 1):
            seconds["copy"].append(_timed(lambda: _copy(_COPY_TABLE))[0])
            seconds["collect"].append(_timed(lambda: _collect(plan))[0])
            seconds["own_copy"].append(_timed(lambda: _copy(own))[0])
            with patch.object(collect, "has_raw_vectors", lambda _: False):
                seconds["castless"].append(_timed(lambda: _collect(plan))[0])
    return {f"{n}_seconds": statistics.median(s[1:]) for n, s in seconds.items()}


def whole(plan_file: Path) -> Found:
    """The second reading with everything in it, once."""
    plan = _plan(plan_file)
    seconds, _ = _timed(lambda: _collect(plan))
    return {"whole_seconds": seconds, "peak_rss_mib": _peak_rss_mib()}


def merging(plan_file: Path, pattern_count: int) -> Found:
    """The shard's TVs dealt out to 100 shards, whose sums are merged again."""
    plan = _plan(plan_file)
    with tempfile.TemporaryDirectory(prefix="constellation-bench-") as name:
        folder = Path(name)
        with told_cells():
            tvs = -(-pattern_count // PATTERNS_PER_TV // N_SHARDS)
            files, sha256 = _deal_out(plan, folder, tvs * PATTERNS_PER_TV)
            alone = _collect(plan)
        seconds, merged = _timed(lambda: _merged(files, sha256))
        size = sum(file.stat().st_size for file in files)
    return {
        "merge_100_seconds": seconds,
        "merge_shards": len(files),
        "merge_mib": size / (1 << 20),
        "merge_contents": len(merged.sums.contents),
        "merge_pairs": len(merged.pairs.pairs),
        "merge_is_exact": merged.sums.digest() == alone.sums.digest(),
        "merge_rss_mib": _peak_rss_mib(),
    }


def _deal_out(plan: Plan, folder: Path, rows: int) -> tuple[list[Path], list[str]]:
    """What shards of so many patterns each would give, as a round keeps it."""
    files: list[Path] = []
    sha256: list[str] = []
    for block in collect.blocks(ALIAS, min_quality=MIN_QUALITY, block_rows=rows):
        sums = CellCollector(plan.cells.centroids, item_filter=plan.item_filter)
        pairs = PairCollector(plan.pair_plan)
        sums.add(block)
        pairs.add(block)
        part = parts.packed(1, "", SecondReading(sums.sums(), pairs.counts()))
        files.append(folder / str(len(files)))
        files[-1].write_bytes(part.zstd)
        sha256.append(part.sha256)
    return files, sha256


def _merged(files: list[Path], sha256: list[str]) -> SecondReading:
    """Check, read and add up, one after the other, as a round does."""
    total = SecondTotal()
    for file, digest in zip(files, sha256, strict=True):
        data = zstandard.ZstdDecompressor().decompress(file.read_bytes())
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError(f"{file} was damaged.")
        total.add(from_bytes(SecondReading, data))
    merged = total.total()
    if merged is None:
        raise ValueError("There is no pattern.")
    return merged


def _collect(plan: Plan) -> SecondReading:
    return collect.collect(
        ALIAS,
        plan.cells,
        screen=plan.screen,
        item_filter=plan.item_filter,
        pair_plan=plan.pair_plan,
        min_quality=MIN_QUALITY,
        fresh_since=None,
    )


def _copy(statement: sql.Composable) -> None:
    """Read and drop."""
    with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
        cursor.execute(collect.SNAPSHOT)
        with cursor.copy(statement) as copy:
            while copy.read():
                pass


def _plan(file: Path) -> Plan:
    return from_bytes(Plan, file.read_bytes())


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _peak_rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
