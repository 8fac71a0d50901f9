from __future__ import annotations

import numpy as np
import pytest

from federation.kernels.batches import (
    BatchGroups,
    find_deviating,
    minority,
    weighted_medians,
)
from federation.kernels.kmeans import Points
from tests.federation.kernels.planting import (
    around,
    block_of,
    concatenate_blocks,
    directions,
    sample_of,
    unit,
)

TASTES = 3


def points_of(*blocks):
    return Points.of(sample_of(concatenate_blocks(blocks)))


def tvs(rng, centres, households, *, batches, cosine=0.8):
    """TVs with one pattern; and the taste of each is its place modulo the tastes."""
    chosen = np.arange(households) % len(centres)
    return block_of(
        rng,
        [1] * households,
        embeddings=around(rng, centres[chosen], cosine=cosine),
        device_batch=np.resize(batches, households),
    )


def cells_of(points, centres):
    return (points.vectors.astype(np.float64) @ centres.T).argmax(axis=1)


def turned(rng, centres, cosine):
    aside = directions(rng, len(centres))
    aside -= (aside * centres).sum(axis=1, keepdims=True) * centres
    return unit(cosine * centres + np.sqrt(1 - cosine**2) * unit(aside))


@pytest.fixture
def centres(rng):
    return directions(rng, TASTES)


def naive_groups(points, rows):
    """Every number of every group, by loops over its patterns."""
    weights = points.weights.astype(float)
    vectors = points.vectors / 2**14
    fleet = {
        batch: weights[points.batches == batch].sum() for batch in set(points.batches)
    }
    told = []
    for row in sorted(set(rows)):
        means, votes, rest, rest_votes = [], [], [], 0.0
        here = {
            batch: np.flatnonzero((rows == row) & (points.batches == batch))
            for batch in sorted(set(points.batches[rows == row]))
        }
        for batch, members in here.items():
            if len(members) >= 4:
                total = sum(weights[i] * vectors[i] for i in members)
                means.append(total / weights[members].sum())
                votes.append(fleet[batch])
            else:
                rest += list(members)
                rest_votes += fleet[batch]
        if len(rest) >= 4 or not means:
            total = sum(weights[i] * vectors[i] for i in rest)
            means.append(total / weights[rest].sum())
            votes.append(rest_votes)
        middle = unit(naive_medians(np.array(means), np.array(votes)))
        for batch, members in here.items():
            total = sum(weights[i] * vectors[i] for i in members)
            aside = [
                weights[i] * (vectors[i] - (vectors[i] @ middle) * middle)
                for i in members
            ]
            across = sum(
                aside[i] @ aside[j]
                for i in range(len(aside))
                for j in range(len(aside))
                if i != j
            )
            told.append((row, batch, total @ middle, across))
    return told


def naive_medians(values, weights):
    medians = []
    for column in values.T:
        reached = 0.0
        for place in np.argsort(column, kind="stable"):
            reached += weights[place]
            if 2 * reached >= weights.sum():
                medians.append(column[place])
                break
    return np.array(medians)


def test_groups_match_loops_over_all_pairs(rng, centres):
    points = points_of(tvs(rng, centres, 90, batches=[1, 1, 1, 2, 2, 3, 4]))
    rows = cells_of(points, centres)

    groups = BatchGroups.of(points, rows)

    expected = naive_groups(points, rows)
    assert groups.rows.tolist() == [row for row, *_ in expected]
    assert groups.batches.tolist() == [batch for _, batch, *_ in expected]
    scale = groups.weights
    assert groups.along / scale == pytest.approx(
        np.array([along for *_, along, _ in expected]) / scale, abs=1e-9
    )
    assert groups.across / scale**2 == pytest.approx(
        np.array([across for *_, across in expected]) / scale**2, abs=1e-6
    )
    assert groups.rows[groups.of_points].tolist() == rows.tolist()
    assert groups.batches[groups.of_points].tolist() == points.batches.tolist()


@pytest.mark.parametrize("n_rows", [1, 2, 5, 40])
def test_weighted_medians_match_walking_through_the_columns(rng, n_rows):
    values = rng.integers(0, 4, (n_rows, 6)).astype(float)
    weights = rng.integers(1, 5, n_rows).astype(float)

    medians = weighted_medians(values, weights)

    assert medians.tolist() == naive_medians(values, weights).tolist()


def test_honest_batches_are_all_kept_whatever_their_sizes(rng, centres):
    points = points_of(tvs(rng, centres, 900, batches=[1] * 20 + [2] * 6 + [3, 4, 5]))

    is_left_out, batches = find_deviating(
        BatchGroups.of(points, cells_of(points, centres))
    )

    assert not is_left_out.any()
    assert len(batches) == 0


def test_a_batch_that_points_elsewhere_everywhere_is_left_out(rng, centres):
    honest = tvs(rng, centres, 480, batches=[1, 2, 3, 4])
    liars = tvs(rng, turned(rng, centres, 0.8), 120, batches=[9], cosine=0.95)
    points = points_of(honest, liars)

    _, batches = find_deviating(BatchGroups.of(points, cells_of(points, centres)))

    assert batches.tolist() == [9]


def test_a_batch_that_points_elsewhere_in_one_cell_is_left_out_of_it(rng, centres):
    where = centres.copy()
    where[1] = turned(rng, centres, 0.7)[1]
    honest = tvs(rng, centres, 480, batches=[1, 2, 3, 4])
    points = points_of(honest, tvs(rng, where, 120, batches=[9]))
    groups = BatchGroups.of(points, cells_of(points, centres))

    is_left_out, batches = find_deviating(groups)

    left_out = zip(groups.rows[is_left_out], groups.batches[is_left_out], strict=True)
    assert list(left_out) == [(1, 9)]
    assert len(batches) == 0


def test_small_batches_are_told_by_all_their_cells_together(rng):
    centres = directions(rng, 40)
    honest = tvs(rng, centres, 2_000, batches=np.arange(1, 9))
    liars = tvs(rng, turned(rng, centres, 0.7), 120, batches=[9], cosine=0.95)
    points = points_of(honest, liars)
    groups = BatchGroups.of(points, cells_of(points, centres))
    assert groups.counts[groups.batches == 9].max() < 4  # none has a say anywhere

    _, batches = find_deviating(groups)

    assert batches.tolist() == [9]


@pytest.mark.parametrize(
    ("batches", "liars"),
    [
        ([1, 2, 3], 60),  # of four batches none can be outvoted
        ([1, 2, 3, 4, 5], 400),  # half of the fleet is no minority
    ],
)
def test_nobody_is_left_out_without_a_clear_majority(rng, centres, batches, liars):
    honest = tvs(rng, centres, 300, batches=batches)
    others = tvs(rng, turned(rng, centres, 0.8), liars, batches=[9], cosine=0.95)
    points = points_of(honest, others)

    is_left_out, left_out = find_deviating(
        BatchGroups.of(points, cells_of(points, centres))
    )

    assert not is_left_out.any()
    assert len(left_out) == 0


def test_a_minority_has_most_of_its_weight_in_what_was_chosen(rng, centres):
    points = points_of(tvs(rng, centres, 300, batches=[1, 2, 3, 4]))
    groups = BatchGroups.of(points, cells_of(points, centres))
    of_one = groups.batches == 1

    assert minority(groups, of_one).tolist() == [1]
    assert minority(groups, of_one & (groups.rows == 0)).tolist() == []
    assert minority(groups, groups.batches <= 2).tolist() == []
