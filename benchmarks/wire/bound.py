"""How well vectors could be told in so many bytes at all: Shannon's bound.

Of all sources with one covariance, Gaussian ones are the hardest to tell, and how well
those can be told is known: by reverse water-filling over the eigenvalues (Cover and
Thomas, Elements of Information Theory, 10.3.3). Real vectors come in clusters, so a
codebook that knows these may pass the bound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HALVINGS = 200


def best_cosine(vectors: NDArray[np.floating], n_bytes: float) -> float:
    """Bound the cosine of unit vectors and what so many bytes can tell of each.

    Parameters
    ----------
    vectors : ndarray of shape (n, d)
        Of length one.
    n_bytes : float
        For each vector, 0 or more.

    Returns
    -------
    float
        From 0 to 1. The best guess y of x has ``E x·y = E |y|² = 1 - D``, hence
        a cosine of ``sqrt(1 - D)`` at distortion D.
    """
    variances = np.linalg.eigvalsh(np.cov(vectors, rowvar=False, bias=True))
    return float(np.sqrt(1 - distortion(variances, 8 * n_bytes)))


def distortion(variances: NDArray[np.floating], bits: float) -> float:
    """Least mean squared error of independent Gaussian numbers told in so many bits.

    Parameters
    ----------
    variances : ndarray of shape (d,)
        One for each number. What is below zero by rounding counts as zero.
    bits : float
        For all of them together, 0 or more.

    Returns
    -------
    float
        ``sum_i min(w, v_i)`` at the water level w where
        ``sum_i max(0, log2(v_i / w) / 2)`` is ``bits``.
    """
    positive = np.maximum(variances.astype(np.float64), 0)
    positive = positive[positive > 0]
    if len(positive) == 0:
        return 0.0
    # Far more bits at the lowest level than anybody has.
    low, high = -1000.0, float(np.log2(positive.max()))
    logarithms = np.log2(positive)
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        if np.maximum(logarithms - level, 0).sum() / 2 > bits:
            low = level
        else:
            high = level
    return float(np.minimum(positive, 2.0**high).sum())
