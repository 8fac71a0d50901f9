"""The regression of contents on contents, against numpy's linear algebra."""

from __future__ import annotations

import numpy as np
import pytest

from federation.kernels.regression import RIDGE_PER_DEVICE, BackedPairs, regress

N_CONTENTS = 40
MIN_DEVICES = 5


@pytest.fixture
def counts(rng):
    """TVs with both of each two contents, on the diagonal TVs with one."""
    popularity = rng.uniform(0.05, 0.6, N_CONTENTS)
    has = (rng.random((200, N_CONTENTS)) < popularity).astype(np.int64)
    return has.T @ has


def pairs_of(counts):
    upper = np.triu(counts, 1)
    first, second = np.nonzero(upper >= MIN_DEVICES)
    return BackedPairs(
        first=first,
        second=second,
        together=upper[first, second],
        devices=np.diag(counts).copy(),
        pair_total=int(upper.sum()),
        min_devices=MIN_DEVICES,
    )


def gram_of(counts):
    devices = np.diag(counts)
    by_chance = np.outer(devices, devices) * np.triu(counts, 1).sum() * 2
    by_chance = by_chance / devices.sum() ** 2
    gram = np.where(
        counts >= MIN_DEVICES, counts, np.minimum(by_chance, MIN_DEVICES - 1)
    )
    np.fill_diagonal(gram, devices + RIDGE_PER_DEVICE * MIN_DEVICES)
    return gram


@pytest.mark.parametrize("neighbours", [1, 3, 20, 64])
def test_coefficients_solve_the_regression_of_each_content(counts, neighbours):
    edges = regress(pairs_of(counts), neighbours=neighbours)

    gram = gram_of(counts)
    for target in range(N_CONTENTS):
        here = edges.targets == target
        members = edges.sources[here]
        backed = (counts[:, target] >= MIN_DEVICES).sum() - 1
        assert len(members) == min(neighbours, backed)
        assert edges.coefficients[here] == pytest.approx(
            np.linalg.solve(gram[np.ix_(members, members)], counts[members, target])
        )


def test_neighbours_are_the_closest_by_cosine(counts):
    edges = regress(pairs_of(counts), neighbours=4)

    devices = np.diag(counts)
    cosines = counts / np.sqrt(np.outer(devices, devices))
    cosines[counts < MIN_DEVICES] = 0
    np.fill_diagonal(cosines, 0)
    for target in range(N_CONTENTS):
        chosen = edges.sources[edges.targets == target]
        assert cosines[chosen, target].min() >= np.sort(cosines[:, target])[-4]


def test_targets_do_not_depend_on_what_is_solved_beside_them(counts):
    """Bit for bit: batches end elsewhere when there are more contents."""
    alone = regress(pairs_of(counts))
    twice = np.kron(np.eye(2, dtype=np.int64), counts)
    pairs = pairs_of(twice)
    # What chance would give depends on all; here it is to be the same.
    pairs = BackedPairs(**(vars(pairs) | {"pair_total": 2 * pairs.pair_total}))

    beside = regress(pairs)

    half = len(alone.coefficients)
    assert beside.coefficients[:half].tobytes() == alone.coefficients.tobytes()
    assert beside.coefficients[half:].tobytes() == alone.coefficients.tobytes()


def test_contents_without_company_speak_for_nothing():
    nobody = np.zeros(0, np.int64)
    pairs = BackedPairs(nobody, nobody, nobody, np.array([7, 9]), 0, MIN_DEVICES)

    assert len(regress(pairs).sources) == 0
