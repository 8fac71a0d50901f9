"""Cells of copies, told from cells of tastes."""

from __future__ import annotations

import numpy as np
import pytest

from federation.kernels.alike import alike_cells
from federation.kernels.kmeans import Points
from tests.federation.kernels.planting import (
    around,
    block_of,
    directions,
    sample_of,
    unit,
)

PER_CELL = 40


def points_of(rng, vectors, *, per_tv=1):
    """So many patterns a TV, and the planted cell of each in the order of the sample.

    A TV has them in cells that are neighbours in the list.
    """
    middles = np.stack([unit(cell.mean(axis=0, keepdims=True))[0] for cell in vectors])
    embeddings = np.concatenate(
        [
            np.stack(vectors[place : place + per_tv], axis=1).reshape(
                -1, vectors[0].shape[1]
            )
            for place in range(0, len(vectors), per_tv)
        ]
    ).astype(np.float32)
    tvs = [per_tv] * (len(embeddings) // per_tv)
    block = block_of(rng, tvs, embeddings=embeddings)
    points = Points.of(sample_of(block))
    return points, (points.vectors @ middles.T).argmax(axis=1)


def tastes(rng, count):
    return [
        around(rng, np.repeat(middle[np.newaxis], PER_CELL, axis=0), cosine=0.8)
        for middle in directions(rng, count)
    ]


def copies(rng, *, of):
    """Of some vectors that lie apart within a cell."""
    middle = np.repeat(directions(rng, 1), of, axis=0)
    return np.resize(around(rng, middle, cosine=0.8), (PER_CELL, middle.shape[1]))


@pytest.mark.parametrize("of", [1, 2, 3])
def test_a_cell_of_copies_of_few_vectors_is_told(rng, of):
    points, rows = points_of(rng, [*tastes(rng, 6), copies(rng, of=of)])

    is_alike = alike_cells(points, rows, 7)

    assert is_alike.tolist() == [False] * 6 + [True]


def test_copies_among_patterns_that_differ_are_what_tvs_like(rng):
    vectors = [*tastes(rng, 7), copies(rng, of=1)]
    points, rows = points_of(rng, vectors, per_tv=2)

    assert not alike_cells(points, rows, 8).any()


def test_tvs_with_several_copies_are_told(rng):
    vectors = [*tastes(rng, 6), copies(rng, of=1), copies(rng, of=1)]
    points, rows = points_of(rng, vectors, per_tv=2)

    assert alike_cells(points, rows, 8).tolist() == [False] * 6 + [True] * 2


def test_tastes_that_are_twice_as_narrow_as_others_are_tastes(rng):
    middle = np.repeat(directions(rng, 1), PER_CELL, axis=0)
    narrow = around(rng, middle, cosine=0.95)  # 18 degrees, others 37
    points, rows = points_of(rng, [*tastes(rng, 6), narrow])

    assert not alike_cells(points, rows, 7).any()


def test_where_all_tvs_are_alike_none_is(rng):
    points, rows = points_of(rng, [copies(rng, of=1) for _ in range(6)])

    assert not alike_cells(points, rows, 6).any()


def test_of_few_cells_none_is_unusual(rng):
    points, rows = points_of(rng, [*tastes(rng, 3), copies(rng, of=1)])

    assert not alike_cells(points, rows, 4).any()


def test_cells_without_a_sampled_pattern_or_with_one_are_not_alike(rng):
    points, rows = points_of(rng, [*tastes(rng, 6), copies(rng, of=1)])
    rows[rows == 6] = np.r_[6, np.arange(PER_CELL - 1) % 6]

    assert not alike_cells(points, rows, 8).any()
