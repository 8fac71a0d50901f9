from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.kernels import (
    CellCollector,
    CellSums,
    ItemCounter,
    PairCollector,
    PairCounts,
    SparseCounts,
    merge_pairs,
    merge_sums,
    plan_pairs,
)
from federation.kernels.clipping import Clipping, clip
from federation.kernels.noise import plan_noise
from federation.kernels.privacy import counted, release, with_noisy_sources
from federation.kernels.quantise import RATE_ONE, WEIGHT_ONE
from tests.federation.kernels.planting import (
    SEED,
    around,
    block_of,
    dealt,
    directions,
    names,
)

CLIPPING = Clipping(patterns=3, contents=4, genres=2)


def plan(*, epsilon, min_devices=5):
    return plan_noise(
        epsilon=epsilon,
        delta=1e-6,
        clipping=CLIPPING,
        min_devices=min_devices,
        min_quality=0.8,
    )


def silent(*, min_devices=5):
    """A plan like any other, but for the noise: there is none."""
    loud = plan(epsilon=1.0, min_devices=min_devices)
    return replace(
        loud,
        **{
            each.name: replace(each, scale=1e-9, threshold=min(each.threshold, 1))
            for each in loud.mechanisms
        },
    )


class Shards:
    """Some shards that are read by one plan, whichever TVs are on them."""

    def __init__(self, centroids, *blocks):
        counter = ItemCounter(seed=SEED)
        for block in blocks:
            counter.add(block)
        self.centroids = centroids
        self.census = counter.census()

    def read(self, *blocks, noise=None):
        sums, pairs = [], []
        for block in blocks:
            block = clip(block, CLIPPING, seed=SEED)
            collector = CellCollector(
                self.centroids, item_filter=self.census.filter(min_devices=1)
            )
            pair_collector = PairCollector(plan_pairs(self.census, min_devices=1))
            collector.add(block)
            pair_collector.add(block)
            part = collector.sums()
            sums.append(part if noise is None else with_noisy_sources(part, noise))
            pairs.append(pair_collector.counts())
        return merge_sums(sums), merge_pairs(pairs)


def fleet(rng, n_devices=40):
    """TVs that say more than counts, some of them louder than they may be."""
    centres = directions(rng, 3)
    patterns = rng.integers(1, 7, n_devices)
    n = int(patterns.sum())
    embeddings = around(rng, centres[rng.integers(3, size=n)], cosine=0.9)
    embeddings *= rng.choice([1, 1, 7], n)[:, np.newaxis].astype(np.float32)
    block = block_of(
        rng,
        patterns,
        embeddings=embeddings,
        content_ids=[names(rng, "tt", 6, 8) for _ in range(n)],
        genres=[names(rng, "genre", 3, 4) for _ in range(n)],
    )
    return centres.astype(np.float32), block


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_one_tv_moves_no_more_than_noise_is_planned_for(seed):
    rng = np.random.default_rng(seed)
    centroids, block = fleet(rng, n_devices=8)
    shards, wanted = Shards(centroids, block), plan(epsilon=1.0)

    sums, pairs = shards.read(block)
    without, fewer_pairs = shards.read(block.take_devices(np.arange(1, 8)))

    moved = counts_of(sums, pairs) - counts_of(without, fewer_pairs, like=(sums, pairs))
    assert set(moved.tolist()) <= {0, 1}
    assert moved.sum() <= wanted.counts.at_most
    assert (sums.devices - without.devices).sum() <= wanted.sources.at_most
    assert length(sums.vectors - without.vectors) <= wanted.vectors.sensitivity
    assert length(sums.weights - without.weights) <= wanted.weights.sensitivity
    moved_deficits = deficits(sums) - deficits(without)
    assert length(moved_deficits) <= wanted.deficits.sensitivity


def counts_of(sums, pairs, *, like=None):
    """All counts in one order; that of ``like``, if it is given."""
    arrays, tables = counted(sums, pairs)
    keyed = {
        (name, place): n for name, table in tables.items() for place, n in of(table)
    }
    keys = set(keyed)
    if like is not None:
        keys = {
            (name, place)
            for name, table in counted(*like)[1].items()
            for place, _ in of(table)
        }
    return np.concatenate(
        [
            *(array.ravel() for array in arrays.values()),
            [keyed.get(key, 0) for key in sorted(keys)],
        ]
    )


def of(table):
    """(row, column) by name where they have names, and counts."""
    for row, column, count in zip(
        table.rows.tolist(), table.columns.tolist(), table.counts.tolist(), strict=True
    ):
        yield (
            (
                str(table.row_names[row] if table.row_names else row),
                str(table.column_names[column] if table.column_names else column),
            ),
            count,
        )


def length(moved):
    return np.linalg.norm(moved.astype(np.float64))


def deficits(sums):
    return sums.weights * RATE_ONE - sums.successes


def test_without_noise_all_is_released_that_enough_tvs_have(rng):
    centroids, block = fleet(rng)
    wanted = silent()
    sums, pairs = Shards(centroids, block).read(*dealt(block, 3), noise=wanted)

    released, released_pairs = release(sums, pairs, wanted)

    for name in ("devices", "vectors", "weights", "successes", "sources"):
        assert np.array_equal(getattr(released, name), getattr(sums, name)), name
    assert released.sources.tolist() == [3, 3, 3]
    before = dict(keyed(sums, pairs))
    assert dict(keyed(released, released_pairs)) == {
        key: count for key, count in before.items() if count >= 5
    }


def keyed(sums, pairs):
    for name, table in counted(sums, pairs)[1].items():
        for place, count in of(table):
            yield (name, *place), count


def test_too_few_tvs_are_not_shown_whatever_the_noise(rng):
    centroids, block = fleet(rng)
    few = silent(min_devices=41)
    sums, pairs = Shards(centroids, block).read(block, noise=few)

    released, released_pairs = release(sums, pairs, few)

    assert not released.devices.any()
    assert not released.vectors.any()
    assert list(keyed(released, released_pairs)) == []


def test_what_noise_hides_is_not_shown_at_all(rng):
    centroids, block = fleet(rng)
    private = plan(epsilon=1.0)
    assert private.least_count > 40
    sums, pairs = Shards(centroids, block).read(block, noise=private)

    released, released_pairs = release(sums, pairs, private)

    assert list(keyed(released, released_pairs)) == []
    assert released.sources.tolist() == [0, 0, 0]


def test_what_is_released_agrees_with_itself(rng):
    """Later steps divide one count by another."""
    centroids, block = fleet(rng, n_devices=400)
    private = plan(epsilon=20.0, min_devices=2)
    sums, pairs = Shards(centroids, block).read(block, noise=private)

    released, released_pairs = release(sums, pairs, private)

    reporters = released.reporters()
    assert reporters
    for region in released.region_items.row_names:
        named = released.region_items.row_dict(region).values()
        assert max(named) <= reporters[region]
    totals = released_pairs.contents.row_dict(0)
    assert len(released_pairs.pairs)
    for (one, other), together in of(released_pairs.pairs):
        assert together <= min(totals[one], totals[other])
    assert (released.successes <= released.weights * RATE_ONE).all()
    assert (released.weights <= released.devices * WEIGHT_ONE).all()
    assert (released.batches.row_totals(3) > 0).tolist() == [True] * 3


def test_a_shard_with_few_tvs_in_a_cell_is_not_known_to_have_any(rng):
    centroids, block = fleet(rng, n_devices=500)
    private = plan(epsilon=8.0)
    crowd = block.take_devices(np.arange(499))
    one = block.take_devices(np.arange(499, 500))

    sums, _ = Shards(centroids, block).read(crowd, one, noise=private)

    assert sums.devices.min() > 100
    assert sums.sources.tolist() == [1, 1, 1]


def test_nothing_is_passed_on_that_no_noise_is_on():
    """A new field has to be thought about: add it here with the mechanism it gets."""
    of_counts = {
        *("devices", "samples", "patterns", "batches", "genres", "contents"),
        *("time_of_day", "day_of_week", "content_type"),
        *("time_of_day_devices", "day_of_week_devices", "content_type_devices"),
        *("region_items", "region_reporters", "n_devices"),
    }
    of_sums = {"vectors", "weights", "successes"}
    emptied = {"n_patterns", "heaviest", "content_devices"}
    emptied |= {"batch_items", "batch_reporters"}

    assert {field.name for field in fields(CellSums)} == (
        of_counts | of_sums | emptied | {"sources"}
    )
    assert {field.name for field in fields(PairCounts)} == {"contents", "pairs"}


def test_what_is_not_measured_is_empty(rng):
    centroids, block = fleet(rng)
    sums, pairs = Shards(centroids, block).read(block, noise=silent())

    released, _ = release(sums, pairs, silent())

    assert released.n_patterns == 0
    assert not released.heaviest.any()
    assert len(released.content_devices) == 0
    assert len(released.batch_items) == len(released.batch_reporters) == 0
    assert isinstance(released.content_devices, SparseCounts)


def test_one_loud_tv_changes_no_count_of_others(rng):
    """A TV with ten thousand contents counts as much as one with four."""
    centroids, block = fleet(rng, n_devices=10)
    loud = replace(
        block,
        content_ids=[
            [f"junk-{row}-{n}" for n in range(500)] for row in range(len(block))
        ],
    )

    sums, pairs = Shards(centroids, loud).read(loud)

    assert sums.contents.counts.sum() <= 10 * CLIPPING.contents
    assert pairs.pairs.counts.sum() <= 10 * CLIPPING.pairs
