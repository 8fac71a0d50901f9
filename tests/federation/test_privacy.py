"""Nothing is given out that too few TVs stand behind, whatever the fleet is like."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from federation import merge
from federation.collect import FirstReading, SecondReading
from federation.kernels import (
    CellCollector,
    ItemCounter,
    ItemHistory,
    PairCollector,
    PatternBlock,
    PatternSampler,
    Trend,
    concatenate_blocks,
    no_cells,
)
from federation.kernels.clipping import clip
from federation.kernels.privacy import with_noisy_sources
from federation.merge import Thresholds
from federation.result import RoundResult
from federation.totals import FirstTotal, SecondTotal
from tests.federation.kernels.planting import SEED, around, block_of, dealt, directions
from tests.federation.recount import Recount, n_tvs

CONTEXTS = ("time_of_day", "day_of_week", "content_type")


@dataclass(frozen=True)
class Fleet:
    """Blocks of two rounds, a block a shard; the same TVs in both."""

    rounds: tuple[list[PatternBlock], list[PatternBlock]]


@st.composite
def fleets(draw):
    """Few TVs or many, alike or not, alone on a shard or not, with much to tell or not.

    What is in a block is drawn by numpy from one seed: Hypothesis would take minutes.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_tastes = draw(st.integers(1, 5))
    n_devices = draw(st.integers(1, 60))
    n_names = draw(st.sampled_from([2, 6, 40]))
    cosine = draw(st.sampled_from([0.5, 0.9, 0.99]))
    n_shards = draw(st.integers(1, 5))
    is_lopsided = draw(st.booleans())
    patterns = rng.integers(1, draw(st.integers(2, 6)), n_devices)
    tastes = directions(rng, n_tastes)
    taste_of = rng.choice(n_tastes, int(patterns.sum()), p=shares(rng, n_tastes))
    embeddings = around(rng, tastes[taste_of], cosine=cosine)

    def one_round(fresh_share: float):
        n = len(embeddings)
        return block_of(
            np.random.default_rng(rng.integers(1 << 32)),
            patterns,
            embeddings=embeddings,
            sample_count=rng.choice([0, 1, 5, 10**9], n),
            content_ids=names(rng, "tt", n_names, 8, n),
            genres=names(rng, "g", 3, 2, n),
            is_fresh=rng.random(n) < fresh_share,
            device_region=rng.choice(["eu", "us", "global"], n_devices).tolist(),
        )

    rounds = [one_round(draw(st.sampled_from([0.1, 0.6, 1.0]))) for _ in range(2)]
    return Fleet(tuple(spread(block, n_shards, is_lopsided) for block in rounds))


def shares(rng, count):
    weights = 1 / np.arange(1, count + 1) ** 2
    return weights / weights.sum()


def names(rng, prefix, n_names, at_most, n_rows):
    counts = rng.integers(0, at_most + 1, n_rows)
    # The low numbers are named often, the high ones by few TVs.
    return [
        [f"{prefix}-{int(n_names * u**2)}" for u in rng.random(count)]
        for count in counts
    ]


def spread(block, n_shards, is_lopsided):
    if not is_lopsided:
        return dealt(block, n_shards)
    few = min(n_shards - 1, block.n_devices)
    devices = np.arange(block.n_devices)
    return [
        *(block.take_devices(devices[n : n + 1]) for n in range(few)),
        block.take_devices(devices[few:]),
    ]


thresholds = st.builds(
    Thresholds,
    min_quality=st.just(0.8),
    min_sources=st.integers(1, 4),
    min_devices=st.integers(2, 9),
    min_batches=st.integers(1, 3),
    trend_decay=st.just(0.9),
    max_cells=st.sampled_from([1, 4, 64]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(fleet=fleets(), limits=thresholds)
def test_enough_tvs_stand_behind_whatever_is_given_out(fleet, limits):
    cells = no_cells()
    history: dict[tuple[str, str], ItemHistory] = {}
    trends: list[Trend] = []

    for blocks in fleet.rounds:
        plan = merge.plan(first_reading(blocks), previous=cells, thresholds=limits)
        second, recount = second_reading(blocks, plan)
        outcome = merge.conclude(
            second,
            cells=plan.cells,
            history=history,
            previous_trends=trends,
            thresholds=limits,
        )

        result = outcome.result
        assert_cells_are_backed(result, recount, limits)
        assert_trends_are_backed(result, recount, limits, kept=trends)
        assert_links_are_backed(result, recount, limits)
        event(f"patterns: {bool(result.patterns)}, links: {bool(result.links)}")
        cells, history = plan.cells, outcome.history
        trends = [
            Trend(row.region, row.item, row.score, *rates(row)) for row in result.trends
        ]


@settings(max_examples=10, deadline=None)
@given(fleet=fleets(), limits=thresholds, epsilon=st.sampled_from([2.0, 20.0, 100.0]))
def test_enough_tvs_stand_behind_whatever_noise_lets_through(fleet, limits, epsilon):
    """Ten times as many TVs, for noise would hide all of the few."""
    limits = replace(limits, epsilon=epsilon, delta=0.01)
    noise = merge.noise_plan(limits)
    assert noise is not None
    blocks = [
        clip(tenfold(block), noise.clipping, seed=SEED) for block in fleet.rounds[0]
    ]

    plan = merge.plan(first_reading(blocks), previous=no_cells(), thresholds=limits)
    second, recount = second_reading(blocks, plan, noise=noise)
    result = merge.conclude(
        second,
        released=merge.release(second, noise),
        cells=plan.cells,
        history={},
        previous_trends=[],
        thresholds=limits,
    ).result

    event(f"patterns: {bool(result.patterns)}, links: {bool(result.links)}")
    for pattern in result.patterns:
        assert pattern.device_count >= noise.least_count
        assert 0.7 <= pattern.success_rate <= 1
    for trend in result.trends:
        assert trend.device_count >= noise.least_count
        assert 0 <= trend.score <= 1
        assert trend.rate <= 1
    for link in result.links:
        assert max(link.weights) <= 1
    assert_links_are_backed(result, recount, limits)
    for pattern in result.patterns:
        assert_cell_is_backed(pattern, recount, limits)
    for trend in result.trends:
        assert recount.naming(trend.item, trend.region) >= limits.min_devices


def tenfold(block):
    """The same patterns, of ten times as many TVs."""
    return concatenate_blocks(
        [
            replace(block, pattern_keys=block.pattern_keys ^ np.uint64(number))
            for number in range(10)
        ]
    )


def first_reading(blocks):
    readings = []
    for block in blocks:
        sampler = PatternSampler(capacity=1 << 12, seed=SEED)
        counter = ItemCounter(seed=SEED)
        sampler.add(block)
        counter.add(block)
        readings.append(FirstReading(sampler.sample(), counter.census(), 0, 0))
    return added(readings, FirstTotal())


def second_reading(blocks, plan, *, noise=None):
    readings, recount = [], Recount()
    for shard, block in enumerate(blocks):
        collector = CellCollector(plan.cells.centroids, item_filter=plan.item_filter)
        pairs = PairCollector(plan.pair_plan)
        cells = collector.add(block)
        pairs.add(block)
        recount.add(block, cells, shard=shard, ids=plan.cells.ids)
        sums = collector.sums()
        if noise is not None:
            sums = with_noisy_sources(sums, noise)
        readings.append(SecondReading(sums, pairs.counts()))
    return added(readings, SecondTotal()), recount


def added(readings, to):
    for reading in readings:
        to.add(reading)
    return to.total()


def rates(row):
    return row.rate, row.usual_rate, row.device_count


def assert_cells_are_backed(result, recount, limits):
    for pattern in result.patterns:
        assert_cell_is_backed(pattern, recount, limits)
        assert n_tvs(recount.in_cell(pattern.cell)) == pattern.device_count
        assert recount.heaviest_share(pattern.cell) <= 0.5


def assert_cell_is_backed(pattern, recount, limits):
    inside = recount.in_cell(pattern.cell)
    assert n_tvs(inside) >= limits.min_devices
    assert len({raw.shard for raw in inside}) >= limits.min_sources
    assert len({raw.batch for raw in inside}) >= limits.min_batches
    for content in pattern.content_ids:
        naming = [raw for raw in inside if content in raw.contents]
        assert n_tvs(naming) >= limits.min_devices
    for genre in pattern.genre_hints:
        naming = [raw for raw in inside if genre in raw.genres]
        assert n_tvs(naming) >= limits.min_devices
    for name in CONTEXTS:
        if code := getattr(pattern, name):
            alike = [raw for raw in inside if raw.codes[name] == code]
            assert n_tvs(alike) >= limits.min_devices


def assert_trends_are_backed(result, recount, limits, *, kept):
    before = {(trend.region, trend.item): trend.device_count for trend in kept}
    for trend in result.trends:
        assert trend.device_count >= limits.min_devices
        naming = recount.naming(trend.item, trend.region)
        if naming < limits.min_devices:
            # Too few reported to judge it: the round before gave it out.
            assert before[trend.region, trend.item] == trend.device_count
        else:
            assert naming == trend.device_count


def assert_links_are_backed(result, recount, limits):
    for link in result.links:
        for related in link.related_ids:
            both = recount.with_both(link.content_id, related)
            assert both >= limits.min_devices


def test_all_that_is_given_out_is_recounted():
    """A new member of the result has to be looked at above, or named here."""
    assert {field.name for field in fields(RoundResult)} == {
        *("patterns", "trends", "links"),
        *("embeddings", "source_counts"),
        # For operators only.
        *("fading", "origins"),
    }
