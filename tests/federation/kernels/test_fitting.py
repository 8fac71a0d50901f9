from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from federation.kernels import (
    Cells,
    KernelInputError,
    fit_cells,
    merge_samples,
    nearest_cell_rows,
    no_cells,
)
from tests.federation.kernels.planting import (
    around,
    block_of,
    concatenate_blocks,
    dealt,
    directions,
    nothing,
    planted,
    sample_of,
    unit,
)


def fit(*blocks, previous=None, max_cells=4096, min_devices=5, **options):
    return fit_cells(
        sample_of(*blocks),
        previous=no_cells() if previous is None else previous,
        max_cells=max_cells,
        min_devices=min_devices,
        **options,
    )


def agreement(cells, block, clusters):
    return adjusted_rand_score(clusters, nearest_cell_rows(block.embeddings, cells))


def device_counts(cells, block):
    rows = nearest_cell_rows(block.embeddings, cells)
    pairs = {
        (int(tv), int(row)) for tv, row in zip(block.device_index, rows, strict=True)
    }
    return np.bincount([row for _, row in pairs], minlength=len(cells))


def film_like(rng, n_devices, per_device):
    """Without clusters: combinations of twenty directions, fading out."""
    axes = directions(rng, 20) * 0.85 ** np.arange(20)[:, np.newaxis]
    rows = rng.normal(size=(n_devices * per_device, 20)) @ axes
    rows += rng.normal(size=rows.shape) * 0.02
    embeddings = unit(rows).astype(np.float32)
    return block_of(rng, [per_device] * n_devices, embeddings=embeddings)


@pytest.mark.parametrize("min_devices", [3, 10, 30])
@pytest.mark.parametrize("cosine", [0.5, 0.8, 0.95])
def test_planted_clusters_are_found(rng, cosine, min_devices):
    block, clusters = planted(rng, directions(rng, 30), households=500, cosine=cosine)

    cells = fit(block, min_devices=min_devices)

    assert agreement(cells, block, clusters) > 0.98
    assert len(cells) == 30


def test_clusters_of_popular_contents_are_found_whole(rng):
    """A cluster's patterns average a few contents, some far more popular: it has parts.

    Embeddings of sentence models also share a direction, so clusters are not far apart.
    """
    common = directions(rng, 1)
    centres = unit(0.6 * common + 0.8 * directions(rng, 24))
    contents = around(rng, np.repeat(centres[:, None], 40, axis=1), cosine=0.85)
    popularity = 1 / np.arange(1, 41)
    clusters = rng.integers(0, 24, 1500)
    embeddings = unit(
        np.stack(
            [
                contents[c, rng.choice(40, 4, p=popularity / popularity.sum())].mean(0)
                for c in clusters
            ]
        )
    )
    block = block_of(rng, [3] * 500, embeddings=embeddings.astype(np.float32))

    cells = fit(block)

    assert agreement(cells, block, clusters) > 0.98


def test_clusters_of_very_different_size_are_found(rng):
    sizes = (1000 / np.arange(1, 21)).astype(int)
    clusters = rng.permutation(np.repeat(np.arange(20), sizes))
    embeddings = around(rng, directions(rng, 20)[clusters], cosine=0.8)
    block = block_of(rng, [1] * len(clusters), embeddings=embeddings)

    cells = fit(block)

    assert agreement(cells, block, clusters) > 0.98


def test_data_without_clusters_is_divided_finely(rng):
    block = film_like(rng, 600, 6)

    cells = fit(block)

    assert len(cells) > 50
    assert device_counts(cells, block).min() >= 5


def test_a_cell_too_small_to_publish_is_dissolved(rng):
    block, clusters = planted(rng, directions(rng, 4), households=40, tastes=1)
    hermits, _ = planted(rng, directions(rng, 1), households=4, tastes=1)

    cells = fit(concatenate_blocks([block, hermits]), min_devices=5)

    assert len(cells) == len(np.unique(clusters))


def test_never_more_cells_than_asked_for(rng):
    block = film_like(rng, 300, 6)

    assert len(fit(block, max_cells=7)) <= 7


def test_cells_are_where_the_mean_of_their_patterns_is(rng):
    block, _ = planted(rng, directions(rng, 10), households=200)
    sample = sample_of(block)

    cells = fit(block)

    vectors = sample.vectors.astype(np.float64)
    rows = nearest_cell_rows(sample.vectors.astype(np.float32), cells)
    for row, centroid in enumerate(cells.centroids):
        members = rows == row
        mean = unit(sample.weights[members] @ vectors[members])
        assert mean @ centroid > 1 - 1e-6


def test_the_result_does_not_depend_on_sharding(rng):
    block = film_like(rng, 300, 5)

    results = [
        fit_cells(
            merge_samples([sample_of(part) for part in dealt(block, n_shards)]),
            previous=no_cells(),
            max_cells=4096,
            min_devices=5,
        )
        for n_shards in (1, 3, 10)
    ]

    for other in results[1:]:
        assert other.centroids.tobytes() == results[0].centroids.tobytes()
        assert other.ids.tolist() == results[0].ids.tolist()


def test_cells_keep_their_numbers(rng):
    centres = directions(rng, 20)
    first_block, _ = planted(rng, centres, households=300)
    second_block, _ = planted(rng, centres, households=300)
    first = fit(first_block)

    second = fit(second_block, previous=first)

    assert second.ids.tolist() == first.ids.tolist()
    assert np.sum(first.centroids * second.centroids, axis=1).min() > 0.95


def test_cells_without_clusters_mostly_keep_their_numbers(rng):
    block = film_like(rng, 600, 6)
    first = fit(block)

    second = fit(block.take_devices(np.arange(60, 600)), previous=first)

    kept = np.intersect1d(first.ids, second.ids)
    assert len(kept) > 0.85 * len(first)
    assert len(second) < 1.1 * len(first)


def test_a_new_taste_gets_a_new_number(rng):
    centres = directions(rng, 12)
    old, _ = planted(rng, centres[:10], households=300)
    new, clusters = planted(rng, centres[10:], households=60, tastes=1)
    first = fit(old)

    second = fit(old, new, previous=first)

    assert np.isin(first.ids, second.ids).all()
    newcomers = second.ids[nearest_cell_rows(new.embeddings, second)]
    assert newcomers.min() >= first.next_id
    assert adjusted_rand_score(clusters, newcomers) == 1


def test_the_number_of_an_ended_cell_is_not_given_again(rng):
    centres = directions(rng, 12)
    everything, _ = planted(rng, centres[:8], households=200)
    shrunken, _ = planted(rng, centres[:4], households=200)
    regrown, _ = planted(rng, centres[4:], households=200)
    first = fit(everything)

    second = fit(shrunken, previous=first)
    third = fit(shrunken, regrown, previous=second)

    ended = np.setdiff1d(first.ids, second.ids)
    assert len(ended) == 4
    assert not np.isin(ended, third.ids).any()
    assert len(third) == 12
    assert third.next_id > third.ids.max() >= second.next_id


def test_numbers_ascend(rng):
    block, _ = planted(rng, directions(rng, 15), households=200)

    cells = fit(block)

    assert np.all(np.diff(cells.ids) > 0)
    assert cells.ids[0] >= 1
    assert cells.next_id > cells.ids[-1]


def test_when_fewer_cells_are_allowed_the_largest_stay(rng):
    centres = directions(rng, 2)
    large, _ = planted(rng, centres[:1], households=60, tastes=1)
    small, _ = planted(rng, centres[1:], households=30, tastes=1)
    first = fit(large, small)

    second = fit(large, small, previous=first, max_cells=1)

    kept = nearest_cell_rows(centres[:1].astype(np.float32), first)
    assert second.ids.tolist() == first.ids[kept].tolist()


def test_without_patterns_cells_stay_as_they_are(rng):
    block, _ = planted(rng, directions(rng, 5), households=100)
    first = fit(block)

    assert fit(nothing(), previous=first) is first
    assert len(fit(nothing())) == 0


def test_one_pattern_is_one_cell(rng):
    block = block_of(rng, [1])

    cells = fit(block, min_devices=1)

    assert cells.ids.tolist() == [1]
    assert cells.centroids[0] @ block.embeddings[0] > 0.9999


def test_equal_patterns_are_one_cell(rng):
    embeddings = np.repeat(directions(rng, 1), 200, axis=0).astype(np.float32)
    block = block_of(rng, [1] * 200, embeddings=embeddings)

    assert len(fit(block)) == 1


def test_weightless_patterns_are_passed_over(rng):
    block, _ = planted(rng, directions(rng, 5), households=100)
    weightless = replace(block, sample_count=np.zeros_like(block.sample_count))

    assert len(fit(weightless)) == 0


def test_of_a_sample_cells_need_their_share_of_tvs(rng):
    """A tenth of the patterns is seen; 10 TVs in the sample stand for 100."""
    block, clusters = planted(rng, directions(rng, 6), households=3000, tastes=1)
    sampled = sample_of(block, capacity=300)

    cells = fit_cells(sampled, previous=no_cells(), max_cells=64, min_devices=100)

    assert agreement(cells, block, clusters) > 0.98


@pytest.mark.parametrize("name", ["max_cells", "min_devices", "iterations"])
def test_limits_start_at_one(name):
    with pytest.raises(KernelInputError, match=f"{name} is 0; expected at least 1"):
        fit(nothing(), **{name: 0})


def test_inputs_are_left_alone(rng):
    block, _ = planted(rng, directions(rng, 5), households=100)
    sample = sample_of(block)
    previous = Cells(np.array([7]), directions(rng, 1).astype(np.float32), 9)
    before = sample.vectors.tobytes(), previous.centroids.tobytes()

    fit_cells(sample, previous=previous, max_cells=64, min_devices=5)

    assert (sample.vectors.tobytes(), previous.centroids.tobytes()) == before
