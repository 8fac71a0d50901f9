"""Embeddings: their dimension, and the one place between pgvector's form and numpy's.

Whole matrices travel in binary: 256 patterns read as text take ten times as long to
parse as to find.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

#: all-MiniLM-L6-v2.
EMBEDDING_DIMENSIONS = 384

#: What ``halfvec_send`` puts before the numbers: their count, and zero.
_HEADER = struct.pack(">HH", EMBEDDING_DIMENSIONS, 0)

# Float32 has three more bits of exponent, and 13 of fraction.
_HALF_BITS = np.int32(-0x7000_2000)
_HALF_BIAS = np.float32(2.0**112)
_WIDENED_AT_ONCE = 256  # rows, which a cache holds


def as_array(embedding: Any) -> NDArray[np.float32]:
    """Turn what a pgvector field yields into a float32 array of shape (384,)."""
    if hasattr(embedding, "to_numpy"):
        embedding = embedding.to_numpy()
    return np.asarray(embedding, dtype=np.float32)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row of a (n, 384) matrix to length one; none may be zero."""
    wide = vectors.astype(np.float64)  # a float32 square overflows from 1.8e19 on
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    wide /= norms[:, np.newaxis]
    return wide.astype(np.float32)


def as_matrix(sent: Sequence[bytes]) -> NDArray[np.float32]:
    """Turn what ``halfvec_send`` yields, row by row, into a (n, 384) matrix."""
    joined = b"".join([row[len(_HEADER) :] for row in sent])
    words = np.frombuffer(joined, dtype=">i2")
    return widened(words.reshape(-1, EMBEDDING_DIMENSIONS))


def widened(halves: NDArray[np.int16]) -> NDArray[np.float32]:
    """Turn half-precision numbers, given as their bits, into float32.

    They must be finite, as pgvector's are. Twice as fast as numpy's own conversion.
    """
    wide = np.empty(halves.shape, dtype=np.float32)
    for start in range(0, len(halves), _WIDENED_AT_ONCE):
        part = slice(start, start + _WIDENED_AT_ONCE)
        # Sign, exponent and fraction where float32 has them; then the exponent's bias.
        bits = halves[part].astype(np.int32) << 13
        bits &= _HALF_BITS
        np.multiply(bits.view(np.float32), _HALF_BIAS, out=wide[part])
    return wide


@dataclass(frozen=True, slots=True, eq=False)
class BinaryHalfVector:
    """A vector as a parameter of raw SQL, written ``%s::halfvec``."""

    values: NDArray[np.float32]


class _TextDumper(Dumper):
    """For Django, which writes statements out while it debugs."""

    def dump(self, obj: BinaryHalfVector) -> Buffer:
        return str(obj.values.tolist()).encode()


class _BinaryDumper(Dumper):
    format = Format.BINARY
    # No oid: an extension's type has another one in each database, and the cast in
    # the statement says what it is.

    def dump(self, obj: BinaryHalfVector) -> Buffer:
        return _HEADER + obj.values.astype(">f2").tobytes()


# The one that is registered last is preferred.
psycopg.adapters.register_dumper(BinaryHalfVector, _TextDumper)
psycopg.adapters.register_dumper(BinaryHalfVector, _BinaryDumper)
