from __future__ import annotations

import numpy as np
import pytest

from benchmarks.wire.bound import best_cosine, distortion


def test_equal_numbers_share_the_bits_equally():
    variances = np.full(384, 1 / 384)

    # One bit each: a quarter of the variance is left, so the cosine is sqrt(3/4).
    assert distortion(variances, 384) == pytest.approx(0.25)
    # Two bits each: a sixteenth.
    assert distortion(variances, 768) == pytest.approx(1 / 16)


def test_what_lies_below_the_water_gets_no_bits():
    variances = np.array([16.0, 4.0, 0.25])

    # Water at 1 costs log2(16)/2 + log2(4)/2 = 3 bits, and leaves 1 + 1 + 0.25.
    assert distortion(variances, 3) == pytest.approx(2.25)


def test_without_bits_all_of_the_variance_is_left():
    assert distortion(np.array([3.0, 1.0, 0.0]), 0) == pytest.approx(4)


def test_what_never_varies_needs_no_bits():
    assert distortion(np.zeros(8), 0) == 0


def test_scattered_vectors_are_told_as_well_as_shannon_says():
    """A bit a dimension gives 0.866: rotated Lloyd-Max reaches 0.798."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((50_000, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    cosine = best_cosine(vectors, n_bytes=4)

    assert cosine == pytest.approx(np.sqrt(0.75), abs=1e-3)


def test_more_bytes_never_tell_less():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((500, 24)) * 0.8 ** np.arange(24)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    cosines = [best_cosine(vectors, n_bytes) for n_bytes in range(9)]

    assert cosines == sorted(cosines)
    assert cosines[0] < 0.9 < cosines[-1]
