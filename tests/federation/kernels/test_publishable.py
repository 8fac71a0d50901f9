from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from federation.kernels import (
    CellCollector,
    ItemCounter,
    KernelInputError,
    merge_sums,
    publishable_cells,
)
from federation.kernels.publishable import typical_codes
from federation.kernels.quantise import pattern_weights
from tests.federation.kernels.planting import SEED, around, block_of, dealt, directions


@pytest.fixture
def centroids(rng):
    return directions(rng, 2).astype(np.float32)


def crowd(rng, centroids, n_devices=30, **columns):
    """TVs with one pattern each near the first centroid, spread over batches 1 to 3."""
    embeddings = around(rng, np.repeat(centroids[:1], n_devices, axis=0), cosine=0.9)
    defaults = {
        "embeddings": embeddings,
        "device_batch": np.arange(n_devices) % 3 + 1,
        "content_ids": [[]] * n_devices,
        "genres": [[]] * n_devices,
    }
    return block_of(rng, [1] * n_devices, **{**defaults, **columns})


def sums_of(centroids, *shards):
    counter = ItemCounter(seed=SEED)
    for block in shards:
        counter.add(block)
    names = counter.census().filter(min_devices=1)
    parts = []
    for block in shards:
        collector = CellCollector(centroids, item_filter=names)
        collector.add(block)
        parts.append(collector.sums())
    return merge_sums(parts)


def test_the_embedding_is_the_weighted_mean(rng, centroids):
    block = crowd(rng, centroids)
    weights = pattern_weights(block).astype(np.float64)

    published = publishable_cells(
        sums_of(centroids, block), min_sources=1, min_devices=5
    )

    mean = weights @ block.embeddings
    assert published.embeddings.dtype == np.float32
    assert published.embeddings[0] @ (mean / np.linalg.norm(mean)) > 1 - 1e-6
    assert np.linalg.norm(published.embeddings[0]) == pytest.approx(1)


def test_rate_and_counts_are_those_of_the_cell(rng, centroids):
    block = crowd(rng, centroids, sample_count=np.full(30, 7))
    weights = pattern_weights(block)

    published = publishable_cells(
        sums_of(centroids, *dealt(block, 3)), min_sources=3, min_devices=30
    )

    assert published.rows.tolist() == [0]
    assert published.success_rate[0] == pytest.approx(
        np.average(block.success_rate, weights=weights), abs=1e-4
    )
    assert published.sample_count.tolist() == [210]
    assert published.device_count.tolist() == [30]
    assert published.source_count.tolist() == [3]
    assert published.mass[0] == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize(
    ("limits", "is_published"),
    [
        ({"min_sources": 3, "min_devices": 30, "min_batches": 3}, True),
        # One shard, TV or batch short:
        ({"min_sources": 4, "min_devices": 30, "min_batches": 3}, False),
        ({"min_sources": 3, "min_devices": 31, "min_batches": 3}, False),
        ({"min_sources": 3, "min_devices": 30, "min_batches": 4}, False),
    ],
)
def test_enough_must_stand_behind_a_cell(rng, centroids, limits, is_published):
    sums = sums_of(centroids, *dealt(crowd(rng, centroids), 3))

    published = publishable_cells(sums, **limits)

    assert len(published) == is_published
    assert published.n_suppressed == (not is_published)


def test_one_tv_with_all_the_weight_is_not_published(rng, centroids):
    """Thirty TVs, but twenty-nine of them have their evidence elsewhere."""
    n_others = 29
    near = np.repeat(centroids[:1], n_others + 1, axis=0)
    far = np.repeat(centroids[1:], n_others, axis=0)
    embeddings = np.concatenate([near[:1], np.hstack([near[1:], far]).reshape(-1, 384)])
    block = block_of(
        rng,
        [1] + [2] * n_others,
        embeddings=embeddings,
        sample_count=np.array([10] + [1, 999] * n_others),
    )

    published = publishable_cells(
        sums_of(centroids, block), min_sources=1, min_devices=5
    )

    assert published.rows.tolist() == [1]
    assert published.n_suppressed == 1


def test_vectors_that_cancel_out_are_not_published(rng, centroids):
    sums = sums_of(centroids, crowd(rng, centroids))
    cancelled = replace(sums, vectors=np.zeros_like(sums.vectors))

    assert len(publishable_cells(cancelled, min_sources=1, min_devices=5)) == 0


def test_no_published_vector_is_a_tvs_own(rng, centroids):
    block = crowd(rng, centroids)

    published = publishable_cells(
        sums_of(centroids, block), min_sources=1, min_devices=2
    )

    assert (published.embeddings @ block.embeddings.T).max() < 0.999


def test_names_need_enough_tvs_of_their_own(rng, centroids):
    contents = [["tt1", "tt2"]] * 6 + [["tt2", "tt3"]] * 4 + [[]] * 20
    block = crowd(rng, centroids, content_ids=contents, genres=contents)

    published = publishable_cells(
        sums_of(centroids, block), min_sources=1, min_devices=5
    )

    assert published.contents == [["tt2", "tt1"]]
    assert published.genres == [["tt2", "tt1"]]


def test_a_context_needs_enough_tvs_of_its_own(rng, centroids):
    """One TV weighs as much here as ten others, and it alone names the evening."""
    n_others = 29
    near = np.repeat(centroids[:1], n_others + 1, axis=0)
    far = np.repeat(centroids[1:], n_others, axis=0)
    embeddings = np.concatenate([near[:1], np.hstack([near[1:], far]).reshape(-1, 384)])
    codes = np.array([[code, 0] for code in [1, 2, 3] * 5 + [0] * 14]).ravel()
    block = block_of(
        rng,
        [1] + [2] * n_others,
        embeddings=embeddings,
        sample_count=np.array([10] + [1, 9] * n_others),
        time_of_day=np.concatenate([[4], codes]).astype(np.int8),
        content_type=np.full(1 + 2 * n_others, 5, dtype=np.int8),
    )
    sums = sums_of(centroids, block)

    published = publishable_cells(sums, min_sources=1, min_devices=5)

    assert typical_codes(sums.time_of_day[:1]).tolist() == [4]
    assert published.time_of_day.tolist() == [0, 0]
    assert published.content_type.tolist() == [5, 5]


def test_at_most_eight_names_are_told_of_a_cell(rng, centroids):
    contents = [[f"tt{n:02}" for n in range(12)]] * 30
    block = crowd(rng, centroids, content_ids=contents)

    published = publishable_cells(
        sums_of(centroids, block), min_sources=1, min_devices=5
    )

    assert published.contents == [[f"tt{n:02}" for n in range(8)]]


@pytest.mark.parametrize(
    ("histogram", "code"),
    [
        ([0, 60, 40, 0], 1),  # a majority
        ([0, 40, 25, 25], 1),  # 44 % and far ahead
        ([0, 40, 35, 25], 0),  # 40 %, but 35 % are close behind
        ([0, 34, 22, 22], 1),  # 44 %
        ([0, 30, 20, 20, 20, 10], 0),  # ahead, but 30 % are not typical
        ([60, 40, 0, 0], 0),  # most say nothing
        ([50, 50, 0, 0], 1),
        ([0, 50, 50, 0], 0),
        ([0, 0, 0, 0], 0),
    ],
)
def test_a_context_is_told_where_it_is_typical(histogram, code):
    assert typical_codes(np.array([histogram])).tolist() == [code]


def test_nothing_publishes_nothing(centroids):
    published = publishable_cells(
        sums_of(centroids, block_of(np.random.default_rng(0), [])),
        min_sources=1,
        min_devices=1,
    )

    assert len(published) == published.n_suppressed == 0
    assert published.embeddings.shape == (0, 384)


def test_limits_start_at_one(rng, centroids):
    with pytest.raises(KernelInputError, match="min_devices is 0"):
        publishable_cells(
            sums_of(centroids, crowd(rng, centroids)), min_sources=1, min_devices=0
        )
