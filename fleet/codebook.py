"""The codebook at the TV: vectors to codes and back, after ``codebook.proto``.

A TV's own reading of the specification: nothing here is shared with the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from constellation.v1 import codebook_pb2
from fleet.errors import UnreadableReply
from fleet.wire import EMBEDDING_DIMENSIONS, Vector

Codes = NDArray[np.uint8]

GROUPS = 8
GROUP_DIMENSIONS = 32
TURNED_DIMENSIONS = GROUPS * GROUP_DIMENSIONS
STAGES = 6
CENTROIDS = 256

#: What a beam keeps of each group after each stage. Against the greedy choice of one
#: it brings a code of 40 bytes 0.004 nearer to its vector; a wider one hardly more.
BEAM = 8

#: Rows encoded at a time: bounds what the beam holds to some megabytes.
BLOCK_ROWS = 128


@dataclass(frozen=True, eq=False)
class Codebook:
    """One version; immutable, and shared by all TVs of a process."""

    version: int
    #: shape: (384,)
    mean: Vector
    #: shape: (256, 384)
    basis: Vector
    #: With their scales. shape: (6, 8, 256, 32)
    centroids: Vector

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read the bytes of a codebook's bundle.

        Raises UnreadableReply if they aren't one.
        """
        try:
            message = codebook_pb2.Codebook.FromString(body)
            basis = _matrix(message.basis, message.basis_scales, EMBEDDING_DIMENSIONS)
            tables = _matrix(
                message.centroids,
                message.centroid_scales,
                CENTROIDS * GROUP_DIMENSIONS,
            )
            return cls(
                version=message.version,
                mean=np.array(message.mean, np.float32).reshape(EMBEDDING_DIMENSIONS),
                basis=basis.reshape(TURNED_DIMENSIONS, EMBEDDING_DIMENSIONS),
                centroids=tables.reshape(STAGES, GROUPS, CENTROIDS, GROUP_DIMENSIONS),
            )
        except (DecodeError, ValueError) as exc:
            raise UnreadableReply(f"the codebook is not one: {exc}") from exc

    def decode(self, codes: Codes) -> Vector:
        """Read codes.

        Parameters
        ----------
        codes : ndarray of shape (n, n_bytes), uint8
            8, 16, 24, 32, 40 or 48 bytes a row.

        Returns
        -------
        ndarray of shape (n, 384), float32
            Of length one.
        """
        stages = _stages(codes.shape[1])
        chosen = codes.reshape(-1, stages, GROUPS)
        turned = np.zeros((len(codes), GROUPS, GROUP_DIMENSIONS), np.float32)
        for stage in range(stages):
            turned += self.centroids[stage, np.arange(GROUPS), chosen[:, stage]]
        return self._turned_back(turned)

    def encode(self, vectors: Vector, n_bytes: int, *, beam: int = BEAM) -> Codes:
        """Find codes for vectors.

        Parameters
        ----------
        vectors : ndarray of shape (n, 384)
            Of length one.
        n_bytes : int
            8, 16, 24, 32, 40 or 48.
        beam : int
            How many approximations of each group are followed; 1 is greedy.

        Returns
        -------
        ndarray of shape (n, n_bytes), uint8
        """
        stages = _stages(n_bytes)
        blocks = [
            self._encode_block(vectors[start : start + BLOCK_ROWS], stages, beam)
            for start in range(0, len(vectors), BLOCK_ROWS)
        ]
        return np.concatenate([np.zeros((0, n_bytes), np.uint8), *blocks])

    def _encode_block(self, vectors: Vector, stages: int, beam: int) -> Codes:
        n = len(vectors)
        turned = (vectors - self.mean) @ self.basis.T
        # What is left of each group, for each approximation that is followed.
        left = turned.reshape(n, GROUPS, 1, GROUP_DIMENSIONS).transpose(1, 0, 2, 3)
        paths = np.zeros((GROUPS, n, 1, 0), np.uint8)
        for stage in range(stages):
            table = self.centroids[stage]  # shape: (8, 256, 32)
            followed = left.shape[2]
            products = left.reshape(GROUPS, n * followed, -1) @ table.swapaxes(1, 2)
            costs = (
                np.square(left).sum(axis=3)[..., None]
                - 2 * products.reshape(GROUPS, n, followed, CENTROIDS)
                + self._square_lengths[stage][:, None, None, :]
            ).reshape(GROUPS, n, followed * CENTROIDS)
            best = _smallest(costs, beam)  # shape: (8, n, beam)
            parents, centroids = np.divmod(best, CENTROIDS)
            groups = np.arange(GROUPS)[:, None, None]
            left = (
                np.take_along_axis(left, parents[..., None], axis=2)
                - table[groups, centroids]
            )
            paths = np.concatenate(
                [
                    np.take_along_axis(paths, parents[..., None], axis=2),
                    centroids[..., None].astype(np.uint8),
                ],
                axis=3,
            )
        codes: Codes = paths[:, :, 0].transpose(1, 2, 0).reshape(n, stages * GROUPS)
        return codes

    @cached_property
    def _square_lengths(self) -> Vector:
        lengths: Vector = np.square(self.centroids).sum(axis=3)
        return lengths

    def _turned_back(self, turned: Vector) -> Vector:
        vectors = self.mean + turned.reshape(-1, TURNED_DIMENSIONS) @ self.basis
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vector = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit


def _matrix(data: bytes, scales: object, row_size: int) -> Vector:
    """Read rows of int8, each with its scale."""
    rows = np.frombuffer(data, np.int8).astype(np.float32).reshape(-1, row_size)
    factors = np.array(scales, np.float32)
    if len(factors) != len(rows):
        raise ValueError(f"{len(rows)} rows have {len(factors)} scales")
    scaled: Vector = rows * factors[:, None]
    return scaled


def _stages(n_bytes: int) -> int:
    stages, rest = divmod(n_bytes, GROUPS)
    if rest or not 1 <= stages <= STAGES:
        raise ValueError(f"a code has 8, 16, 24, 32, 40 or 48 bytes, not {n_bytes}")
    return stages


def _smallest(costs: Vector, count: int) -> NDArray[np.intp]:
    """Give the places of the smallest along the last axis, the smallest first."""
    count = min(count, costs.shape[-1])
    if count == 1:
        nearest: NDArray[np.intp] = costs.argmin(axis=-1, keepdims=True)
        return nearest
    places = np.argpartition(costs, count - 1, axis=-1)[..., :count]
    order = np.take_along_axis(costs, places, axis=-1).argsort(axis=-1, kind="stable")
    smallest: NDArray[np.intp] = np.take_along_axis(places, order, axis=-1)
    return smallest
