from __future__ import annotations

import numpy as np
import pytest

from federation.kernels import CellCollector, ItemCounter, merge_sums
from federation.kernels.outlying import ShardMeans, outlying_cells, without_cells
from tests.federation.kernels.planting import (
    SEED,
    around,
    block_of,
    directions,
    unit,
)

TASTES = 4


def shard_of(rng, centres, *, households=120, cosine=0.8):
    chosen = rng.integers(0, len(centres), households)
    return block_of(
        rng, [1] * households, embeddings=around(rng, centres[chosen], cosine=cosine)
    )


def sums_of(block, centres):
    counter = ItemCounter(seed=SEED)
    counter.add(block)
    collector = CellCollector(
        centres.astype(np.float32), item_filter=counter.census().filter(min_devices=1)
    )
    collector.add(block)
    return collector.sums()


def pushed(rng, centres):
    """Centres turned by 60 degrees, still nearest to where they were."""
    aside = directions(rng, len(centres))
    aside -= (aside * centres).sum(axis=1, keepdims=True) * centres
    return unit(0.5 * centres + np.sqrt(0.75) * unit(aside))


@pytest.fixture
def centres(rng):
    return directions(rng, TASTES)


def outlying(parts):
    return outlying_cells([ShardMeans.of(part) for part in parts])


def test_honest_shards_are_all_kept(rng, centres):
    parts = [sums_of(shard_of(rng, centres), centres) for _ in range(10)]

    assert not outlying(parts).any()


def test_one_captured_shard_of_ten_is_left_out_of_the_cells_it_pushes(rng, centres):
    elsewhere = centres.copy()
    elsewhere[1] = pushed(rng, centres)[1]
    parts = [sums_of(shard_of(rng, centres), centres) for _ in range(9)]
    captured = sums_of(shard_of(rng, elsewhere, cosine=0.95), centres)

    is_out = outlying([*parts, captured])

    assert not is_out[:9].any()
    assert is_out[9].tolist() == [False, True, False, False]


def test_a_captured_shard_with_most_of_the_tvs_is_outvoted(rng, centres):
    parts = [sums_of(shard_of(rng, centres), centres) for _ in range(9)]
    crowd = shard_of(rng, pushed(rng, centres), households=4_000, cosine=0.95)

    is_out = outlying([*parts, sums_of(crowd, centres)])

    assert is_out[9].all()
    assert not is_out[:9].any()


def test_halves_that_disagree_are_both_kept(rng, centres):
    other = pushed(rng, centres)
    parts = [
        sums_of(shard_of(rng, where, cosine=0.9), centres)
        for where in (centres, other) * 4
    ]

    assert not outlying(parts).any()


@pytest.mark.parametrize("n_shards", [1, 4])
def test_of_a_few_shards_none_can_be_outvoted(rng, centres, n_shards):
    parts = [sums_of(shard_of(rng, centres), centres) for _ in range(n_shards - 1)]
    captured = sums_of(shard_of(rng, pushed(rng, centres)), centres)

    assert not outlying([*parts, captured]).any()


def test_sums_without_cells_are_those_of_tvs_without_them(rng, centres):
    block = shard_of(rng, centres)
    whole = sums_of(block, centres)
    is_out = np.array([False, True, False, True])

    left = without_cells(whole, is_out)

    for name in ("vectors", "weights", "devices", "heaviest", "sources", "samples"):
        rows, before = getattr(left, name), getattr(whole, name)
        assert not rows[is_out].any()
        assert np.array_equal(rows[~is_out], before[~is_out])
    for name in ("batches", "genres", "contents"):
        assert set(getattr(left, name).rows.tolist()) <= {0, 2}
        for row in (0, 2):
            for one, other in zip(
                getattr(left, name).row(row), getattr(whole, name).row(row), strict=True
            ):
                assert np.array_equal(one, other)
    assert left.region_items.counts.sum() == whole.region_items.counts.sum()
    assert merge_sums([left, whole]).n_patterns == 2 * whole.n_patterns
