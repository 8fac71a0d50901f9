"""Covariances in which no TV stands out."""

from __future__ import annotations

import numpy as np
import pytest

from federation.kernels.dominance import (
    EVEN_SHARE,
    shared_covariance,
)

DIMENSIONS = 16
LARGEST_SHARE = 0.25


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def along(covariance, direction) -> float:
    return float(direction @ covariance @ direction)


def test_of_many_tvs_it_is_the_covariance_and_a_little_of_everything(rng):
    apart = rng.standard_normal((4000, DIMENSIONS)) * np.arange(1, DIMENSIONS + 1)
    tvs = rng.permutation(4000) // 2

    shared = shared_covariance(apart, tvs, largest_share=LARGEST_SHARE)

    plain = apart.T @ apart / len(apart)
    even = EVEN_SHARE * np.trace(plain) / DIMENSIONS * np.eye(DIMENSIONS)
    np.testing.assert_allclose(shared, (plain + even) / (1 + EVEN_SHARE), rtol=1e-9)


def test_what_one_tv_adds_to_any_direction_is_bounded(rng):
    others = rng.standard_normal((400, DIMENSIONS))
    others[:, 0] = 0
    tvs = np.arange(400) // 4
    own = np.zeros((30, DIMENSIONS))
    own[:, 0] = 5

    without = shared_covariance(others, tvs, largest_share=LARGEST_SHARE)
    shared = shared_covariance(
        np.concatenate([others, own]),
        np.concatenate([tvs, np.full(30, 100)]),
        largest_share=LARGEST_SHARE,
    )

    first = np.eye(DIMENSIONS)[0]
    told = along(shared, first) / np.trace(shared)
    # With it there is more to be shared evenly, and then its share of that.
    energy = 1 + (own**2).sum() / (others**2).sum()
    allowed = along(without, first) / np.trace(without) * energy / (1 - LARGEST_SHARE)
    assert told < 1.05 * allowed
    plain = 30 * 25 / ((others**2).sum() + (own**2).sum())
    assert plain > 5 * told


def test_many_patterns_of_a_tv_in_many_directions_are_bounded_too(rng):
    """The sum of its shares is large, and none of them: nothing is lost."""
    apart = rng.standard_normal((800, DIMENSIONS))
    tvs = np.concatenate([np.arange(640) // 4, np.full(160, 160)])

    shared = shared_covariance(apart, tvs, largest_share=LARGEST_SHARE)

    plain = apart.T @ apart / len(apart)
    assert np.abs(shared - plain).max() < 0.1


def test_a_single_tv_tells_next_to_nothing(rng):
    apart = np.outer(np.ones(9), rng.standard_normal(DIMENSIONS))

    shared = shared_covariance(
        apart, np.zeros(9, dtype=np.int64), largest_share=LARGEST_SHARE
    )

    variances = np.linalg.eigvalsh(shared)
    assert variances[-1] < variances[0] * 1.01 / (1 - LARGEST_SHARE)
    assert variances.sum() == pytest.approx((apart[0] ** 2).sum())


def test_the_order_of_patterns_and_the_numbers_of_tvs_are_nothing(rng):
    apart = rng.standard_normal((60, DIMENSIONS))
    tvs = np.arange(60) // 5
    order = rng.permutation(60)

    shared = shared_covariance(apart, tvs, largest_share=LARGEST_SHARE)

    again = shared_covariance(
        apart[order], 1000 - 7 * tvs[order], largest_share=LARGEST_SHARE
    )
    np.testing.assert_allclose(again, shared, rtol=1e-6, atol=1e-9)


def test_without_differences_there_is_next_to_nothing():
    shared = shared_covariance(
        np.zeros((3, DIMENSIONS)), np.arange(3), largest_share=LARGEST_SHARE
    )

    assert np.isfinite(shared).all()
    assert np.abs(shared).max() < 1e-30
