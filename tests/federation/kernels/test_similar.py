from __future__ import annotations

import numpy as np
import pytest

from federation.kernels import (
    KernelInputError,
    heaviest_cells,
    nearest_cells,
    nearest_cells_of_each,
)
from tests.federation.kernels.planting import around, directions


@pytest.fixture
def centroids(rng):
    return directions(rng, 300).astype(np.float32)


@pytest.fixture
def masses(rng):
    return rng.uniform(1, 100, 300).astype(np.float32)


def naive_nearest(own, weights, centroids, k):
    """Serve the patterns like queues: whoever asks earliest is served next."""
    asked = []
    shares = weights.astype(np.float64) / weights.astype(np.float64).sum()
    for pattern, share in zip(own, shares, strict=True):
        if share == 0:
            continue
        cosines = centroids @ pattern
        nearest = sorted(range(len(centroids)), key=lambda cell: (-cosines[cell], cell))
        asked += [((j + 1) / share, cell) for j, cell in enumerate(nearest)]
    served = []
    for _, cell in sorted(asked):
        if cell not in served:
            served.append(cell)
    return served[:k]


@pytest.mark.parametrize("k", [1, 7, 100, 300])
@pytest.mark.parametrize("n_patterns", [1, 2, 8])
def test_matches_the_queues(rng, centroids, masses, n_patterns, k):
    own = directions(rng, n_patterns).astype(np.float32)
    weights = rng.uniform(0.1, 5, n_patterns).astype(np.float32)

    cells = nearest_cells(own, weights, centroids, masses=masses, k=k)

    assert cells.tolist() == naive_nearest(own, weights, centroids, k)


def test_every_taste_gets_places_by_its_weight(rng, masses):
    tastes = directions(rng, 2).astype(np.float32)
    centroids = around(rng, np.repeat(tastes, 150, axis=0), cosine=0.8)

    cells = nearest_cells(
        tastes, np.array([3, 1], dtype=np.float32), centroids, masses=masses, k=100
    )

    assert np.bincount(cells // 150).tolist() == [75, 25]


def test_only_ratios_of_weights_matter(rng, centroids, masses):
    own = directions(rng, 3).astype(np.float32)
    weights = np.array([1, 2, 4], dtype=np.float32)

    some, more = (
        nearest_cells(own, scale * weights, centroids, masses=masses)
        for scale in (np.float32(1), np.float32(2**40))
    )

    assert np.array_equal(some, more)


def test_a_pattern_without_weight_gets_no_place(rng, centroids, masses):
    own = directions(rng, 2).astype(np.float32)

    cells = nearest_cells(
        own, np.array([0, 1], dtype=np.float32), centroids, masses=masses
    )

    alone = nearest_cells(
        own[1:], np.ones(1, dtype=np.float32), centroids, masses=masses
    )
    assert np.array_equal(cells, alone)


def test_equally_near_cells_come_lowest_first(rng, masses):
    centre = directions(rng, 1).astype(np.float32)
    centroids = np.repeat(centre, 300, axis=0)

    cells = nearest_cells(
        centre, np.ones(1, dtype=np.float32), centroids, masses=masses, k=5
    )

    assert cells.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("n_patterns", [0, 2])
def test_an_unknown_tv_gets_the_heaviest_cells(rng, centroids, masses, n_patterns):
    own = directions(rng, n_patterns).astype(np.float32)

    cells = nearest_cells(
        own, np.zeros(n_patterns, dtype=np.float32), centroids, masses=masses, k=10
    )

    by_mass = sorted(range(300), key=lambda cell: (-masses[cell], cell))
    assert cells.tolist() == by_mass[:10]


def test_of_few_cells_all_are_returned_once(rng, centroids, masses):
    own = directions(rng, 3).astype(np.float32)

    cells = nearest_cells(
        own, np.ones(3, dtype=np.float32), centroids[:20], masses=masses[:20]
    )

    assert sorted(cells.tolist()) == list(range(20))


def test_without_cells_there_is_no_answer(rng, centroids, masses):
    own = directions(rng, 3).astype(np.float32)

    cells = nearest_cells(
        own, np.ones(3, dtype=np.float32), centroids[:0], masses=masses[:0]
    )

    assert cells.tolist() == []
    assert heaviest_cells(masses[:0]).tolist() == []


@pytest.mark.parametrize(
    ("own", "weights", "masses", "message"),
    [
        ((2, 383), 2, 300, "own has shape (2, 383) while centroids has (300, 384)"),
        ((2, 384), 3, 300, "weights has shape (3,) while own has 2 patterns"),
        ((2, 384), 2, 299, "masses has shape (299,) while there are 300 cells"),
    ],
)
def test_shapes_that_disagree_are_refused(centroids, own, weights, masses, message):
    with pytest.raises(KernelInputError) as caught:
        nearest_cells(
            np.zeros(own, dtype=np.float32),
            np.ones(weights, dtype=np.float32),
            centroids,
            masses=np.ones(masses, dtype=np.float32),
        )

    assert message in str(caught.value)


def test_negative_weights_are_refused(rng, centroids, masses):
    own = directions(rng, 1).astype(np.float32)

    with pytest.raises(KernelInputError, match="negative"):
        nearest_cells(own, -np.ones(1, np.float32), centroids, masses=masses)


def test_inputs_are_left_alone(rng, centroids, masses):
    own = directions(rng, 4).astype(np.float32)
    weights = np.ones(4, dtype=np.float32)
    arrays = (own, weights, centroids, masses)
    before = [array.tobytes() for array in arrays]

    nearest_cells(own, weights, centroids, masses=masses)

    assert [array.tobytes() for array in arrays] == before


@pytest.mark.parametrize("n_patterns", [2, 8])
def test_nearest_that_lie_where_no_guess_looks_are_found(rng, n_patterns):
    own = directions(rng, n_patterns).astype(np.float32)
    centroids = directions(rng, 1000).astype(np.float32)
    # One column in eight is looked at; half of those are next to the first pattern.
    centroids[:512:8] = around(rng, np.repeat(own[:1], 64, axis=0), cosine=0.9)
    weights = np.ones(n_patterns, dtype=np.float32)

    cells = nearest_cells(own, weights, centroids, masses=np.ones(1000, np.float32))

    assert cells.tolist() == naive_nearest(own, weights, centroids, 100)


@pytest.mark.parametrize("n_tvs", [1, 2, 60])
def test_several_tvs_get_what_each_would_alone(rng, centroids, masses, n_tvs):
    """60 of them have more patterns than one product takes."""
    owns = [directions(rng, 1 + n % 5).astype(np.float32) for n in range(n_tvs)]
    weights = [rng.uniform(0.1, 5, len(own)).astype(np.float32) for own in owns]

    found = nearest_cells_of_each(owns, weights, centroids, masses=masses, k=20)

    assert [cells.tolist() for cells in found] == [
        naive_nearest(own, weight, centroids, 20)
        for own, weight in zip(owns, weights, strict=True)
    ]


def test_a_tv_without_a_say_among_others_gets_the_heaviest(rng, centroids, masses):
    own = directions(rng, 2).astype(np.float32)
    none = np.empty((0, own.shape[1]), dtype=np.float32)
    weight = np.ones(2, dtype=np.float32)

    nothing, unweighted, other = nearest_cells_of_each(
        [none, own, own],
        [weight[:0], 0 * weight, weight],
        centroids,
        masses=masses,
        k=5,
    )

    heaviest = heaviest_cells(masses, k=5).tolist()
    assert nothing.tolist() == unweighted.tolist() == heaviest
    assert other.tolist() == naive_nearest(own, weight, centroids, 5)


def test_scores_of_either_sign_are_in_order(masses):
    """Whole numbers stand for them: opposite, at right angles (0 and -0), alike."""
    axes = np.eye(4, dtype=np.float32)
    centroids = np.stack([-axes[0], axes[1], axes[0], -axes[1], axes[0]])
    own = axes[:1] * np.array([1, -1, 1, 1], dtype=np.float32)

    cells = nearest_cells(
        own, np.ones(1, np.float32), centroids, masses=masses[:5], k=5
    )

    assert cells.tolist() == [2, 4, 1, 3, 0]
