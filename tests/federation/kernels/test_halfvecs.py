"""Half precision becomes float32 bit for bit."""

from __future__ import annotations

import numpy as np

from federation.kernels.halfvecs import widened


def test_every_finite_number_is_widened_exactly():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = every[np.isfinite(every)].reshape(-1, 16)

    wide = widened(halves)

    assert wide.dtype == np.float32
    assert np.array_equal(
        wide.view(np.uint32), halves.astype(np.float32).view(np.uint32)
    )


def test_rows_may_lie_apart():
    halves = np.arange(60, dtype=np.float16).reshape(6, 10)

    assert np.array_equal(widened(halves[::2, 3:]), halves[::2, 3:].astype(np.float32))


def test_float32_is_left_alone():
    vectors = np.ones((2, 3), dtype=np.float32)

    assert np.shares_memory(widened(vectors), vectors)
