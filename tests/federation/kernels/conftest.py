from __future__ import annotations

import numpy as np
import pytest

from tests.federation.kernels.planting import block_of


@pytest.fixture
def rng():
    return np.random.default_rng(384)


@pytest.fixture
def vega(rng):
    """A healthy shard: 60 TVs with one to six patterns each."""
    return block_of(rng, rng.integers(1, 7, 60))
