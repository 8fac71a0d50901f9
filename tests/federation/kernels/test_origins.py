from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from federation.kernels import (
    CellCollector,
    ItemCounter,
    ShardNews,
    Trend,
    merge_censuses,
    merge_sums,
    trace_trends,
)
from tests.federation.kernels.planting import SEED, block_of, cut, dealt

NO_CELLS = np.zeros((0, 384), dtype=np.float32)
MIN_DEVICES = 10


def fleet(rng, *, batches, naming):
    """One fresh pattern a TV; those that name the item, by place."""
    n_devices = len(batches)
    return block_of(
        rng,
        np.ones(n_devices, dtype=np.int64),
        is_fresh=np.ones(n_devices, dtype=bool),
        genres=[[] for _ in range(n_devices)],
        content_ids=[["hit"] if place in naming else [] for place in range(n_devices)],
        device_region=["eu" if place % 2 else "us" for place in range(n_devices)],
        device_batch=np.array(batches),
    )


def parts_of(shards, *, min_devices=MIN_DEVICES, n_blocks=1):
    counters = []
    for block in shards:
        counters.append(ItemCounter(seed=SEED))
        counters[-1].add(block)
    census = merge_censuses([counter.census() for counter in counters])
    item_filter = census.filter(min_devices=min_devices)
    parts = []
    for block in shards:
        collector = CellCollector(NO_CELLS, item_filter=item_filter)
        for piece in cut(block, n_blocks):
            collector.add(piece)
        parts.append(collector.sums())
    return parts


def origin_of(parts, region="global", item="hit", min_devices=MIN_DEVICES):
    merged = merge_sums(parts)
    (origin,) = trace_trends(
        [Trend(region, item, 0.5, 0.1, 0.0, 10)],
        shards={
            number: ShardNews(part.region_items, part.reporters())
            for number, part in enumerate(parts)
        },
        batch_items=merged.batch_items,
        batch_reporters=merged.batch_reporters,
        min_devices=min_devices,
    )
    return origin


def test_a_trend_of_all_is_spread_as_the_fleet_is(rng):
    batches = [1, 1, 2, 3] * 200
    block = fleet(rng, batches=batches, naming=set(range(400)))

    origin = origin_of(parts_of(dealt(block, 2)))

    assert origin.shards.largest == ((0, 0.5), (1, 0.5))
    assert origin.shards.concentration == 0.5
    assert dict(origin.batches.largest) == {1: 0.5, 2: 0.25, 3: 0.25}
    assert origin.batches.concentration == 0.375
    assert origin.shards.carried_by is origin.batches.carried_by is None


def test_a_batch_that_pushes_an_item_carries_it(rng):
    batches = [9] * 60 + [1, 2, 3] * 200
    block = fleet(rng, batches=batches, naming=set(range(80)))

    origin = origin_of(parts_of(dealt(block, 3)))

    assert origin.batches.carried_by == 9
    assert origin.batches.largest[0] == (9, 0.75)
    assert origin.shards.carried_by is None


def test_a_shard_that_pushes_an_item_carries_it(rng):
    one = fleet(rng, batches=[1, 2] * 100, naming=set(range(90)))
    others = [fleet(rng, batches=[1, 2] * 300, naming={0, 1}) for _ in range(2)]

    origin = origin_of(parts_of([others[0], one, others[1]]))

    assert origin.shards.carried_by == 1
    assert origin.batches.carried_by is None


def test_a_fleet_of_one_batch_is_carried_by_none(rng):
    block = fleet(rng, batches=[5] * 100, naming=set(range(50)))

    origin = origin_of(parts_of([block]))

    assert origin.batches.largest == ((5, 1.0),)
    assert origin.batches.concentration == origin.shards.concentration == 1
    assert origin.shards.carried_by is origin.batches.carried_by is None


def test_what_chance_does_to_a_few_tvs_carries_nothing(rng):
    batches = [1, 2, 3, 4] * 50
    # Three of five are of batch 1.
    block = fleet(rng, batches=batches, naming={0, 4, 8, 1, 2})

    origin = origin_of(parts_of([block], min_devices=5), min_devices=5)

    assert origin.batches.concentration == pytest.approx((9 + 1 + 1) / 25)
    assert origin.batches.carried_by is None


def test_no_batch_of_too_few_tvs_is_named(rng):
    batches = [1] * 30 + [2] * 9
    block = fleet(rng, batches=batches, naming=set(range(39)))

    origin = origin_of(parts_of([block]))

    assert [batch for batch, _ in origin.batches.largest] == [1]


def test_a_region_counts_its_own_tvs_only(rng):
    # Every other TV is in "eu", and so is all of batch 2.
    block = fleet(rng, batches=[1, 2] * 100, naming=set(range(200)))

    in_region = origin_of(parts_of([block]), region="eu")

    assert in_region.batches.largest == ((2, 1.0),)
    assert in_region.batches.carried_by is None  # so is everything else there


def test_an_item_nobody_named_comes_from_nowhere(rng):
    block = fleet(rng, batches=[1] * 50, naming=set(range(20)))

    origin = origin_of(parts_of([block]), item="unknown")

    assert origin.shards.largest == origin.batches.largest == ()
    assert origin.shards.concentration == origin.batches.concentration == 0


def test_of_a_popular_item_a_sample_is_traced_wherever_its_tvs_are(rng):
    n_devices = 20_000
    block = block_of(
        rng,
        np.ones(n_devices, dtype=np.int64),
        embeddings=np.broadcast_to(np.float32(0), (n_devices, 384)),
        is_fresh=np.ones(n_devices, dtype=bool),
        genres=[[]] * n_devices,
        content_ids=[["hit"]] * n_devices,
        device_batch=rng.choice([1, 2], n_devices, p=[0.8, 0.2]),
    )

    together, apart = parts_of([block]), parts_of(dealt(block, 3), n_blocks=2)

    traced = int(together[0].batch_items.counts.sum())
    assert 2_048 <= traced <= 4_096
    merged = replace(merge_sums(apart), sources=together[0].sources)
    assert merged.digest() == together[0].digest()
    (batch, share), _ = origin_of(apart).batches.largest
    assert batch == 1
    assert share == pytest.approx(0.8, abs=0.05)
