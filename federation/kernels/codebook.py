"""A residual quantiser: embeddings as 8 to 48 bytes, and back.

The format, and how it is read, is told in ``proto/constellation/v1/codebook.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .arrays import Float32Array, Int8Array
from .blocks import EMBEDDING_DIMENSIONS
from .errors import KernelInputError

UInt8Array: TypeAlias = npt.NDArray[np.uint8]

#: Stages of each group; a code may stop after any.
STAGES = 6
GROUPS = 8
#: As many as a byte tells apart.
CENTROIDS = 256
GROUP_DIMENSIONS = 32
TURNED_DIMENSIONS = GROUPS * GROUP_DIMENSIONS

#: Bytes a code may have.
CODE_SIZES = tuple(GROUPS * (stage + 1) for stage in range(STAGES))

INT8_MAX = 127

#: What is shorter has no direction to speak of.
_SHORTEST = np.float32(1e-3)


@dataclass(frozen=True, eq=False)
class Codebook:
    """What codes mean.

    A vector x is turned, ``y = basis @ (x - mean)``, and each group of y is the sum of
    one centroid a stage. Names and scales are those of ``codebook.proto``.
    """

    #: (384,)
    mean: Float32Array
    #: Row by row an orthonormal basis, but for rounding. (256, 384)
    basis: Int8Array
    #: (256,)
    basis_scales: Float32Array
    #: (6 stages, 8 groups, 256, 32)
    centroids: Int8Array
    #: (6 stages, 8 groups)
    centroid_scales: Float32Array

    @cached_property
    def _basis(self) -> Float32Array:
        basis: Float32Array = self.basis * self.basis_scales[:, None]
        return basis

    @cached_property
    def _centroids(self) -> Float32Array:
        return self.centroids * self.centroid_scales[:, :, None, None]

    @cached_property
    def _flat_centroids(self) -> Float32Array:
        flat: Float32Array = self._centroids.reshape(-1, GROUP_DIMENSIONS)
        return flat

    def encode(self, vectors: Float32Array, n_bytes: int) -> UInt8Array:
        """Write vectors as codes, stage by stage the nearest centroid.

        Parameters
        ----------
        vectors : ndarray of shape (n, 384), float32
            Unit vectors.
        n_bytes : int
            One of ``CODE_SIZES``.

        Returns
        -------
        ndarray of shape (n, n_bytes), uint8
            The first 8, 16, ... bytes of a row are its coarser codes.

        Raises
        ------
        KernelInputError
            For another number of bytes.
        """
        if n_bytes not in CODE_SIZES:
            raise KernelInputError(
                f"A code has {', '.join(map(str, CODE_SIZES))} bytes, not {n_bytes}."
            )
        turned: Any = (vectors - self.mean) @ self._basis.T
        codes = np.empty((len(vectors), n_bytes), dtype=np.uint8)
        for group in range(GROUPS):
            columns = slice(group * GROUP_DIMENSIONS, (group + 1) * GROUP_DIMENSIONS)
            left = turned[:, columns]
            for stage in range(n_bytes // GROUPS):
                centroids = self._centroids[stage, group]
                nearest = nearest_centroids(left, centroids)
                left = left - centroids[nearest]
                codes[:, stage * GROUPS + group] = nearest
        return codes

    def decode(self, codes: UInt8Array) -> Float32Array:
        """Read codes of any one size.

        Parameters
        ----------
        codes : ndarray of shape (n, n_bytes), uint8
            ``n_bytes`` is one of ``CODE_SIZES``.

        Returns
        -------
        ndarray of shape (n, 384), float32
            Unit vectors; zero where the codes add up to next to nothing.
        """
        n, n_bytes = codes.shape
        rows = codes + _FIRST_ROWS[:n_bytes]
        # ``take`` is several times faster than indexing here.
        parts = self._flat_centroids.take(rows, axis=0)
        stages = n_bytes // GROUPS
        turned: Any = np.add.reduce(parts.reshape(n, stages, TURNED_DIMENSIONS), axis=1)
        vectors: Float32Array = turned @ self._basis
        vectors += self.mean
        lengths = np.sqrt(np.vecdot(vectors, vectors))
        if min(lengths.tolist(), default=1.0) <= _SHORTEST:
            lengths[lengths <= _SHORTEST] = np.inf
        vectors /= lengths[:, None]
        return vectors


#: Where the centroids of each byte of a code begin. (48,)
_FIRST_ROWS = np.arange(STAGES * GROUPS, dtype=np.int64) * CENTROIDS


def nearest_centroids(
    vectors: Float32Array, centroids: Float32Array
) -> npt.NDArray[np.intp]:
    """The nearest centroid of each vector, by Euclidean distance.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
    centroids : ndarray of shape (k, d), float32
        At least one.

    Returns
    -------
    ndarray of shape (n,), int
        Of equals the lowest.
    """
    # The vector's own length is the same for all, so it is left out.
    squares = np.einsum("ij,ij->i", centroids, centroids)
    distances: Float32Array = squares - 2 * (vectors @ centroids.T)
    nearest: npt.NDArray[np.intp] = distances.argmin(axis=1)
    return nearest


def cosines(one: Float32Array, other: Float32Array) -> Float32Array:
    """The cosine of each pair of unit vectors.

    Parameters
    ----------
    one, other : ndarray of shape (n, 384), float32

    Returns
    -------
    ndarray of shape (n,), float32
    """
    products: Float32Array = np.einsum("ij,ij->i", one, other)
    return products


def codebook_of(**columns: npt.NDArray[Any]) -> Codebook:
    """Make a codebook of the arrays of ``Codebook``, each in any shape.

    Raises
    ------
    KernelInputError
        If an array has more or fewer numbers than ``Codebook`` says.
    """
    shaped = {}
    for name, shape in _SHAPES.items():
        found = columns[name].size
        if found != prod(shape):
            raise KernelInputError(f"{name} has {found} numbers, not {prod(shape)}.")
        shaped[name] = columns[name].reshape(shape)
    return Codebook(**shaped)


_SHAPES = {
    "mean": (EMBEDDING_DIMENSIONS,),
    "basis": (TURNED_DIMENSIONS, EMBEDDING_DIMENSIONS),
    "basis_scales": (TURNED_DIMENSIONS,),
    "centroids": (STAGES, GROUPS, CENTROIDS, GROUP_DIMENSIONS),
    "centroid_scales": (STAGES, GROUPS),
}
