"""Cells: places among the patterns that keep their numbers over rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, Float32Array, Int64Array
from .blocks import EMBEDDING_DIMENSIONS
from .quantise import CodedCentroids, quantise


@dataclass(frozen=True)
class Cells:
    """Cells with a number each that is never given to another."""

    #: Ascending. (n,)
    ids: Int64Array
    #: Unit vectors. (n, 384)
    centroids: Float32Array
    #: The number the next new cell gets; above every number ever given.
    next_id: int

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, is_kept: BoolArray) -> Cells:
        """The cells that a mask keeps.

        Parameters
        ----------
        is_kept : ndarray of shape (n,), bool
            Which cells stay.

        Returns
        -------
        Cells
            Same numbers, same next number.
        """
        return Cells(self.ids[is_kept], self.centroids[is_kept], self.next_id)


def no_cells() -> Cells:
    """What the first round starts from.

    Returns
    -------
    Cells
        None; the first new one will be number 1.
    """
    return Cells(
        ids=np.zeros(0, dtype=np.int64),
        centroids=np.zeros((0, EMBEDDING_DIMENSIONS), dtype=np.float32),
        next_id=1,
    )


def nearest_cell_rows(vectors: Float32Array, cells: Cells) -> Int64Array:
    """The cell each vector belongs to, by the round's own exact rule.

    Parameters
    ----------
    vectors : ndarray of shape (n, 384), float32
        Unit vectors.
    cells : Cells
        Possibly none.

    Returns
    -------
    ndarray of shape (n,), int64
        Row of the nearest cell, of equals the lowest; -1 where there are no cells.
    """
    rows, _ = CodedCentroids(cells.centroids).nearest(quantise(vectors))
    return rows
