"""What a round with noise goes on with: sums and counts that hide any one TV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .arrays import Int64Array
from .links import PairCounts
from .noise import NoisePlan, noisy, shown
from .quantise import RATE_ONE, WEIGHT_ONE
from .sparse import CountsBuilder, SparseCounts
from .sums import CellSums


def with_noisy_sources(sums: CellSums, plan: NoisePlan) -> CellSums:
    """What one shard gives: whether it has TVs in a cell, noise decides too.

    Parameters
    ----------
    sums : CellSums
        Of one shard, whose TVs are on no other.
    plan : NoisePlan
        The round's plan.

    Returns
    -------
    CellSums
        With other ``sources``. All else is as it was, and not to be given out yet.
    """
    seen = shown(sums.devices, plan.sources)
    return replace(sums, sources=(seen > 0).astype(np.int64))


def release(
    sums: CellSums, pairs: PairCounts, plan: NoisePlan
) -> tuple[CellSums, PairCounts]:
    """Put noise on all that a round goes on with.

    Parameters
    ----------
    sums, pairs : CellSums and PairCounts
        Merged over all shards, of clipped blocks, with noisy sources.
    plan : NoisePlan
        The round's plan.

    Returns
    -------
    CellSums, PairCounts
        Whatever is made of them tells no more of any TV. Counts are 0, or missing,
        where fewer than ``plan.min_devices`` TVs were counted or noise hid them.
        Contexts weigh as many as have them, samples are TVs, and no TV is known to be
        heavy: nothing else was measured.
    """
    arrays, tables = _with_noise(*counted(sums, pairs), plan)
    devices, reporters = arrays["devices"], tables["region_reporters"]
    vectors, weights, successes = _noisy_sums(sums, devices, plan)
    released = CellSums(
        n_devices=int(max(devices.max(initial=0), reporters.counts.sum())),
        n_patterns=0,
        vectors=vectors,
        weights=weights,
        successes=successes,
        samples=devices,
        patterns=devices,
        devices=devices,
        heaviest=np.zeros_like(devices),
        sources=np.where(devices > 0, sums.sources, 0),
        time_of_day=arrays["time_of_day"] * WEIGHT_ONE,
        day_of_week=arrays["day_of_week"] * WEIGHT_ONE,
        content_type=arrays["content_type"] * WEIGHT_ONE,
        time_of_day_devices=arrays["time_of_day"],
        day_of_week_devices=arrays["day_of_week"],
        content_type_devices=arrays["content_type"],
        batches=_at_least_one_each(tables["batches"], devices),
        genres=tables["genres"],
        contents=tables["contents"],
        region_items=_of_reporters(tables["region_items"], reporters),
        region_reporters=reporters,
        content_devices=CountsBuilder().counts(),
        batch_items=CountsBuilder().counts(),
        batch_reporters=CountsBuilder().counts(),
    )
    return released, PairCounts(
        contents=tables["paired"], pairs=_of_contents(tables["pairs"], tables["paired"])
    )


def counted(
    sums: CellSums, pairs: PairCounts
) -> tuple[dict[str, Int64Array], dict[str, SparseCounts]]:
    """All counts of TVs that a release is made of.

    Parameters
    ----------
    sums, pairs : CellSums and PairCounts
        Merged over all shards.

    Returns
    -------
    dict of str to ndarray, dict of str to SparseCounts
        In the order in which they go through the mechanism ``counts``.
    """
    arrays = {
        "devices": sums.devices,
        "time_of_day": sums.time_of_day_devices,
        "day_of_week": sums.day_of_week_devices,
        "content_type": sums.content_type_devices,
    }
    tables = {
        "batches": sums.batches,
        "genres": sums.genres,
        "contents": sums.contents,
        "region_items": sums.region_items,
        "region_reporters": sums.region_reporters,
        "paired": pairs.contents,
        "pairs": pairs.pairs,
    }
    return arrays, tables


def _with_noise(
    arrays: Mapping[str, Int64Array],
    tables: Mapping[str, SparseCounts],
    plan: NoisePlan,
) -> tuple[dict[str, Int64Array], dict[str, SparseCounts]]:
    """All counts through one mechanism, each in the place it came from."""
    flat = [
        *(array.ravel() for array in arrays.values()),
        *(table.counts for table in tables.values()),
    ]
    taken_off = plan.min_devices - 1
    excess = np.maximum(np.concatenate(flat) - taken_off, 0)
    seen = shown(excess, plan.counts)
    seen = np.where(seen > 0, seen + taken_off, 0)
    ends = np.cumsum([len(each) for each in flat])
    parts = iter(np.split(seen, ends[:-1]))
    return (
        {name: next(parts).reshape(array.shape) for name, array in arrays.items()},
        {name: _with_counts(table, next(parts)) for name, table in tables.items()},
    )


def _noisy_sums(
    sums: CellSums, devices: Int64Array, plan: NoisePlan
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Vectors, weights and successes of the cells that are shown; 0 elsewhere."""
    vectors = np.zeros_like(sums.vectors)
    weights, successes = np.zeros_like(sums.weights), np.zeros_like(sums.successes)
    rows = np.flatnonzero(devices)
    deficits = sums.weights[rows] * RATE_ONE - sums.successes[rows]
    for row in rows.tolist():  # a few MiB of Python's numbers at a time
        vectors[row] = noisy(sums.vectors[row], plan.vectors)
    weights[rows] = np.clip(
        noisy(sums.weights[rows], plan.weights), 1, devices[rows] * WEIGHT_ONE
    )
    whole = weights[rows] * RATE_ONE
    successes[rows] = whole - np.clip(noisy(deficits, plan.deficits), 0, whole)
    return vectors, weights, successes


def _with_counts(table: SparseCounts, counts: Int64Array) -> SparseCounts:
    """The same pairs with other counts; those of 0 are left out."""
    builder = CountsBuilder()
    kept = counts > 0
    builder.add(table.rows[kept], table.columns[kept], counts[kept])
    return builder.counts(row_names=table.row_names, column_names=table.column_names)


def _of_reporters(items: SparseCounts, reporters: SparseCounts) -> SparseCounts:
    """Items of regions that report, each named by no more TVs than do."""
    totals = dict(zip(reporters.row_names, reporters.counts.tolist(), strict=True))
    limits = np.array([totals.get(name, 0) for name in items.row_names], np.int64)
    return _with_counts(items, np.minimum(items.counts, limits[items.rows]))


def _of_contents(pairs: SparseCounts, contents: SparseCounts) -> SparseCounts:
    """Pairs of shown contents, each with no more TVs than either."""
    totals = dict(zip(contents.column_names, contents.counts.tolist(), strict=True))
    first = np.array([totals.get(name, 0) for name in pairs.row_names], np.int64)
    second = np.array([totals.get(name, 0) for name in pairs.column_names], np.int64)
    limits = np.minimum(first[pairs.rows], second[pairs.columns])
    return _with_counts(pairs, np.minimum(pairs.counts, limits))


def _at_least_one_each(batches: SparseCounts, devices: Int64Array) -> SparseCounts:
    """Where no batch is shown, TVs are of some batch all the same: number 0."""
    is_bare = (devices > 0) & (batches.row_totals(len(devices)) == 0)
    rows = np.flatnonzero(is_bare)
    builder = CountsBuilder()
    builder.add(batches.rows, batches.columns, batches.counts)
    builder.add(rows, np.zeros_like(rows), devices[rows])
    return builder.counts()
