from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from federation.kernels import KernelInputError
from federation.kernels.clipping import Clipping
from federation.kernels.noise import epsilon_of, noisy, plan_noise, shown

DRAWS = 20_000

# So many standard errors from what is expected: once in 10**12 runs.
FAR = 7


def plan(**changes):
    wanted = {
        "epsilon": 2.0,
        "delta": 1e-6,
        "clipping": Clipping(),
        "min_devices": 50,
        "min_quality": 0.8,
    }
    return plan_noise(**{**wanted, **changes})


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 2.0, 8.0, 100.0])
def test_a_plan_costs_what_it_may(epsilon):
    made = plan(epsilon=epsilon)

    assert epsilon_of(made.rho, made.delta / 2) == pytest.approx(epsilon, rel=1e-6)
    assert made.threshold_delta <= made.delta / 2


def test_rho_adds_up_to_what_gaussian_noise_tells():
    """Bun and Steinke, Proposition 1.6: rho = (sensitivity / scale)^2 / 2."""
    for mechanism in plan().mechanisms:
        expected = (mechanism.sensitivity / mechanism.scale) ** 2 / 2
        assert mechanism.rho == pytest.approx(expected)


def test_the_conversion_is_no_worse_than_the_known_one():
    """Bun and Steinke, Proposition 1.3: rho + 2 sqrt(rho ln(1 / delta))."""
    rho, delta = 0.1, 1e-6

    known = rho + 2 * math.sqrt(rho * math.log(1 / delta))

    assert 0.5 * known < epsilon_of(rho, delta) <= known
    assert epsilon_of(0, delta) == 0


def test_more_privacy_is_more_noise():
    little, much = plan(epsilon=8.0), plan(epsilon=1.0)

    for one, other in zip(little.mechanisms, much.mechanisms, strict=True):
        assert one.scale < other.scale
    assert 50 < little.least_count < much.least_count


def test_fewer_contents_a_tv_are_less_noise():
    few = plan(clipping=Clipping(contents=4))

    assert few.counts.scale < plan().counts.scale
    assert few.vectors == plan().vectors


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0.0},
        {"epsilon": -1.0},
        {"epsilon": 101.0},
        {"epsilon": math.nan},
        {"delta": 0.0},
        {"delta": 1.0},
    ],
)
def test_impossible_wishes_are_refused(wrong):
    with pytest.raises(KernelInputError):
        plan(**wrong)


def test_noise_is_as_wide_as_planned():
    mechanism = plan().vectors
    sums = np.full(DRAWS, 1 << 50)

    drawn = (noisy(sums, mechanism) - sums) / mechanism.scale

    assert abs(drawn.mean()) < FAR / math.sqrt(DRAWS)
    assert abs(drawn.std() - 1) < FAR / math.sqrt(2 * DRAWS)


def test_noise_is_drawn_anew():
    mechanism = plan().vectors
    sums = np.zeros(100, dtype=np.int64)

    assert not np.array_equal(noisy(sums, mechanism), noisy(sums, mechanism))


def test_counts_far_above_the_threshold_are_shown_with_noise():
    mechanism = plan().counts
    counts = np.full(DRAWS, 100_000)

    drawn = (shown(counts, mechanism) - counts) / mechanism.scale

    assert abs(drawn.mean()) < FAR / math.sqrt(DRAWS)
    assert abs(drawn.std() - 1) < FAR / math.sqrt(2 * DRAWS)


def test_what_one_tv_brings_in_is_shown_as_rarely_as_planned():
    mechanism = replace(plan().counts, threshold=math.ceil(2 * plan().counts.scale) + 1)
    rare = 0.02275  # beyond two standard deviations

    n_shown = np.count_nonzero(shown(np.ones(DRAWS, dtype=np.int64), mechanism))

    assert n_shown < DRAWS * rare + FAR * math.sqrt(DRAWS * rare)


def test_what_nobody_has_is_never_shown():
    counts = np.zeros(DRAWS, dtype=np.int64)
    counts[7] = 1_000_000

    assert np.flatnonzero(shown(counts, plan().counts)).tolist() == [7]
