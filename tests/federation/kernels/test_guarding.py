from __future__ import annotations

import numpy as np
import pytest

from federation.kernels import Cells, guard_cells, no_cell_history
from federation.kernels.guarding import LEAST_COSINE, PROBATION_ROUNDS
from tests.federation.kernels.planting import directions, unit

N_CELLS = 3
N_DEVICES = 100


@pytest.fixture
def cells(rng):
    centroids = directions(rng, N_CELLS).astype(np.float32)
    return Cells(np.array([2, 5, 7]), centroids, 8)


def guard(
    cells, history, *, embeddings=None, rows=(0, 1, 2), n_devices=N_DEVICES, narrow=()
):
    is_narrow = np.zeros(len(cells), dtype=np.bool_)
    is_narrow[list(narrow)] = True
    rows = np.array(rows)
    return guard_cells(
        cells,
        rows=rows,
        embeddings=cells.centroids[rows] if embeddings is None else embeddings,
        is_narrow=is_narrow,
        n_devices=n_devices,
        history=history,
    )


def turned(rng, vectors, cosine):
    aside = directions(rng, len(vectors))
    aside -= (aside * vectors).sum(axis=1, keepdims=True) * vectors
    return unit(cosine * vectors + np.sqrt(1 - cosine**2) * unit(aside)).astype(
        np.float32
    )


def test_a_first_round_is_believed(cells):
    first = guard(cells, no_cell_history())

    assert not (first.is_held | first.is_waiting).any()
    assert np.array_equal(first.embeddings, cells.centroids)
    assert np.allclose(first.history.anchors, cells.centroids, atol=1e-6)


@pytest.mark.parametrize(
    ("cosine", "is_held"), [(LEAST_COSINE + 0.001, False), (LEAST_COSINE - 0.001, True)]
)
def test_a_cell_that_leaps_is_published_where_it_was(rng, cells, cosine, is_held):
    first = guard(cells, no_cell_history())
    moved = turned(rng, cells.centroids, cosine)

    second = guard(cells, first.history, embeddings=moved)

    assert second.is_held.all() == second.is_held.any() == is_held
    expected = first.history.anchors if is_held else moved
    assert np.allclose(second.embeddings, expected, atol=1e-6)
    # The next round looks for its patterns there.
    kept = first.history.anchors if is_held else cells.centroids
    assert np.allclose(second.cells.centroids, kept, atol=1e-6)


def test_what_is_pushed_a_little_each_round_is_held_in_the_end(rng, cells):
    goal = turned(rng, cells.centroids, 0.5)
    history, was_held = guard(cells, no_cell_history()).history, []
    for step in range(1, 12):
        at = unit((1 - step / 12) * cells.centroids + step / 12 * goal)
        told = guard(cells, history, embeddings=at.astype(np.float32))
        history = told.history
        was_held.append(bool(told.is_held.any()))

    assert not was_held[0]
    assert was_held[-1]


def test_what_has_truly_moved_is_let_go_in_the_end(rng, cells):
    moved = turned(rng, cells.centroids, 0.9)
    history = guard(cells, no_cell_history()).history
    for rounds in range(1, 100):  # noqa: B007
        told = guard(cells, history, embeddings=moved)
        history = told.history
        if not told.is_held.any():
            break

    assert 20 < rounds < 99


def test_a_new_cell_waits_and_an_old_one_does_not(rng, cells):
    two = Cells(cells.ids[:2], cells.centroids[:2], 7)
    history = guard(two, no_cell_history(), rows=(0, 1)).history
    waited = []
    for _ in range(PROBATION_ROUNDS + 1):
        told = guard(cells, history)
        history = told.history
        waited.append(told.is_waiting.tolist())

    assert waited == [[False, False, True]] * PROBATION_ROUNDS + [[False] * 3]


def test_a_narrow_cell_waits_in_a_first_round_too(cells):
    first = guard(cells, no_cell_history(), narrow=[1])

    assert first.is_waiting.tolist() == [False, True, False]


def test_a_fleet_that_has_doubled_is_believed(rng, cells):
    first = guard(cells, no_cell_history())
    moved = turned(rng, cells.centroids, 0.5)

    doubled = guard(cells, first.history, embeddings=moved, n_devices=2 * N_DEVICES)
    almost = guard(cells, first.history, embeddings=moved, n_devices=2 * N_DEVICES - 1)

    assert not doubled.is_held.any()
    assert almost.is_held.all()
    assert np.allclose(doubled.history.anchors, moved, atol=1e-6)


def test_a_cell_that_too_few_stand_behind_keeps_its_anchor_and_age(cells):
    first = guard(cells, no_cell_history())

    second = guard(cells, first.history, rows=(0, 2))

    assert np.array_equal(second.history.anchors[1], first.history.anchors[1])
    assert second.history.ages[1] == first.history.ages[1]
    assert len(second.is_held) == 2


def test_no_cells_leave_no_history(cells):
    none = Cells(cells.ids[:0], cells.centroids[:0], 1)

    told = guard(none, no_cell_history(), rows=np.zeros(0, dtype=np.int64))

    assert len(told.embeddings) == len(told.history.ids) == 0
