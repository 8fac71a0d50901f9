"""Vectors for tests, and how they are written as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np


def directions(count: int, *, seed: int = 0) -> Any:
    rows = np.random.default_rng(seed).normal(size=(count, 384))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def realistic(count: int, *, seed: int = 0) -> Any:
    """Unit vectors as sentence models make them, with a few large numbers."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 384)) * np.exp(0.3 * rng.normal(size=384))
    rows[:, rng.choice(384, 3, replace=False)] *= 2
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def quantised(row: np.ndarray) -> Any:
    return np.rint(row * (127 / np.abs(row).max()))


def vector(encoding: str, numbers: list[float] | np.ndarray) -> dict[str, bytes]:
    dtype = {"float32": "<f4", "float16": "<f2", "int8": "i1"}[encoding]
    return {encoding: np.array(numbers).astype(dtype).tobytes()}
