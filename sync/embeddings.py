"""Embeddings as bytes, in both directions: float32, float16, int8.

Only directions matter, so no encoding carries a scale. docs/tv.md has the error of
each; a test measures it. Codes are written and read by ``federation.kernels.codebook``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from django.db import models
from numpy.typing import NDArray

from patterns.vectors import EMBEDDING_DIMENSIONS

#: The largest magnitude of an int8 row; −128 is never written, but may be read.
INT8_MAX = 127


class EmbeddingEncoding(models.IntegerChoices):
    """The numbers of the enum in ``embedding.proto``."""

    UNSPECIFIED = 0, ""
    FLOAT32 = 1, "float32"
    FLOAT16 = 2, "float16"
    INT8 = 3, "int8"
    CODES = 4, "codes"


#: How one number is written.
_NUMBERS: Mapping[EmbeddingEncoding, np.dtype[Any]] = {
    EmbeddingEncoding.FLOAT32: np.dtype("<f4"),
    EmbeddingEncoding.FLOAT16: np.dtype("<f2"),
    EmbeddingEncoding.INT8: np.dtype("i1"),
}

#: Those that need no codebook.
PLAIN_ENCODINGS = tuple(_NUMBERS)


def vector_bytes(encoding: EmbeddingEncoding) -> int:
    """Tell how many bytes one vector takes."""
    return EMBEDDING_DIMENSIONS * _NUMBERS[encoding].itemsize


def encode(vectors: NDArray[np.float32], encoding: EmbeddingEncoding) -> bytes:
    """Write a (n, 384) matrix of unit vectors, row by row."""
    if encoding is EmbeddingEncoding.INT8:
        largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)  # shape: (n, 1)
        vectors = np.rint(vectors * (INT8_MAX / largest))
    return vectors.astype(_NUMBERS[encoding]).tobytes()


def decode(data: bytes, encoding: EmbeddingEncoding) -> NDArray[np.float32]:
    """Read vectors of ``vector_bytes`` each, shape (n, 384); checks nothing else."""
    numbers = np.frombuffer(data, dtype=_NUMBERS[encoding])
    with np.errstate(invalid="ignore"):  # a signalling NaN is refused by others
        vectors = numbers.astype(np.float32)
    if encoding is EmbeddingEncoding.INT8:
        vectors /= np.float32(INT8_MAX)
    return vectors.reshape(-1, EMBEDDING_DIMENSIONS)
