from __future__ import annotations

import numpy as np
import pytest

from federation.kernels import fit_screened_cells, no_cells, open_screen
from federation.kernels.kmeans import Points
from federation.kernels.loose import loose_points, mutual_cosines
from federation.kernels.screening import Screen
from tests.federation.kernels.planting import (
    around,
    block_of,
    concatenate_blocks,
    directions,
    planted,
    sample_of,
)


def fit(*blocks):
    return fit_screened_cells(
        sample_of(*blocks), previous=no_cells(), max_cells=256, min_devices=5
    )


def screen_of(n_cells, **changes):
    return Screen(**{**vars(open_screen(n_cells)), **changes})


def test_an_open_screen_lets_everything_through():
    rows = np.array([0, 1, 1])
    cosines = np.array([-1, 0, 1], dtype=np.float32)

    assert open_screen(2).keeps(rows, cosines, np.array([1, 2, 3])).all()
    assert not open_screen(0).keeps(rows - 9, cosines, rows).any()


def test_a_screen_passes_over_what_is_far_or_of_a_batch_left_out():
    screen = screen_of(
        2,
        least_cosines=np.array([0.5, 0.9], dtype=np.float32),
        batches=np.array([4]),
        rows=np.array([1]),
        row_batches=np.array([7]),
    )
    # cell, cosine, batch, kept
    table = [
        (0, 0.50, 1, True),
        (0, 0.49, 1, False),
        (1, 0.89, 1, False),
        (1, 0.95, 1, True),
        (0, 0.95, 4, False),
        (1, 0.95, 7, False),
        (0, 0.95, 7, True),
    ]
    rows, cosines, batches, kept = (
        np.array(column) for column in zip(*table, strict=True)
    )

    is_kept = screen.keeps(rows, cosines.astype(np.float32), batches)

    assert is_kept.tolist() == kept.tolist()


def test_honest_fleets_pass_but_for_a_few_in_a_hundred_thousand(rng):
    block, _ = planted(rng, directions(rng, 8), households=600)

    cells, screen = fit(block)

    rows, cosines = Points.of(sample_of(block)).nearest(cells)
    kept = screen.keeps(rows, cosines, np.zeros_like(rows))
    assert kept.mean() > 0.995
    assert len(screen.batches) == len(screen.rows) == 0
    assert not (screen.is_contested | screen.is_narrow).any()


@pytest.mark.parametrize(("n_batches", "is_narrow"), [(8, True), (4, False)])
def test_a_cell_of_one_batch_alone_is_narrow(rng, n_batches, is_narrow):
    centres = directions(rng, 6)
    block, _ = planted(rng, centres[:5], households=400)
    block.device_batch[:] = 1 + np.arange(400) % n_batches
    alone = block_of(
        rng,
        [1] * 60,
        embeddings=around(rng, np.repeat(centres[5:], 60, axis=0), cosine=0.8),
        device_batch=np.full(60, 1),
    )

    cells, screen = fit(block, alone)

    of_one = (cells.centroids @ centres[5]).argmax()
    assert screen.is_narrow[of_one] == is_narrow
    assert screen.is_narrow.sum() == int(is_narrow)


def test_mutual_cosines_match_loops_over_pairs(rng):
    block = block_of(rng, [1] * 12)
    points = Points.of(sample_of(block))
    rows = np.array([0] * 7 + [1] * 4 + [2])

    cosines = mutual_cosines(points, rows, 4)

    vectors, weights = points.vectors / 2**14, points.weights.astype(float)
    for row in range(3):
        members = np.flatnonzero(rows == row)
        pairs = [(i, j) for i in members for j in members if i != j]
        product = sum(
            weights[i] * weights[j] * (vectors[i] @ vectors[j]) for i, j in pairs
        )
        weight = sum(weights[i] * weights[j] for i, j in pairs)
        assert cosines[row] == pytest.approx(product / weight if pairs else 0, abs=1e-6)
    assert cosines[3] == 0


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_vectors_at_random_hide_no_planted_cluster(rng, share):
    centres = directions(rng, 8)
    honest, _ = planted(rng, centres, households=400)
    noise = block_of(rng, [3] * round(400 * share / (1 - share)))

    cells, _ = fit(honest, noise)

    assert (cells.centroids @ centres.T).max(axis=0).min() > 0.97
    assert len(cells) <= 9


def test_points_of_a_fleet_without_noise_are_not_loose(rng):
    block, _ = planted(rng, directions(rng, 8), households=200)
    sample = sample_of(block)
    cells, _ = fit(block)

    assert not loose_points(Points.of(sample), cells).any()
    assert not loose_points(
        Points.of(sample_of(concatenate_blocks([block]))), cells
    ).any()
