"""The drift guard: a cell that leaps stays where it was, a new one waits to be seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .arrays import BoolArray, Float32Array, Float64Array, Int64Array
from .blocks import EMBEDDING_DIMENSIONS
from .cells import Cells

#: A cell is held back if its cosine to its anchor is below this (11.5 degrees).
LEAST_COSINE = 0.98

#: Rounds that a new cell waits for in a fleet that has others already.
PROBATION_ROUNDS = 3

# By what share of the way an anchor follows its cell, and one that is held back: what
# has truly moved by 60 degrees is let go after some 90 rounds.
_FOLLOWING = 0.2
_FOLLOWING_HELD = 0.02

# A fleet that has grown this much says more of itself than its past does.
_OUTGROWN = 2


@dataclass(frozen=True)
class CellHistory:
    """What rounds leave of their cells, row i belonging to cell ``ids[i]``."""

    #: Ascending. (n,)
    ids: Int64Array
    #: Where the cell was, on average; of unit length, or zeros. (n, 384)
    anchors: Float32Array
    #: In how many rounds enough TVs stood behind it. (n,)
    ages: Int64Array
    #: TVs that took part in the last round.
    n_devices: int


@dataclass(frozen=True)
class Guarded:
    """What the guard says of cells that enough TVs stand behind, in their order."""

    #: Where the cells are published: held ones where they were. (n, 384)
    embeddings: Float32Array
    #: Moved too far in too short a time. (n,)
    is_held: BoolArray
    #: Too new to be published. (n,)
    is_waiting: BoolArray
    #: All cells; those held back look for their patterns where they were.
    cells: Cells
    history: CellHistory


def no_cell_history() -> CellHistory:
    """What the first round starts from.

    Returns
    -------
    CellHistory
        Of no cell.
    """
    return CellHistory(
        ids=np.zeros(0, dtype=np.int64),
        anchors=np.zeros((0, EMBEDDING_DIMENSIONS), dtype=np.float32),
        ages=np.zeros(0, dtype=np.int64),
        n_devices=0,
    )


def guard_cells(
    cells: Cells,
    *,
    rows: Int64Array,
    embeddings: Float32Array,
    is_narrow: BoolArray,
    n_devices: int,
    history: CellHistory,
) -> Guarded:
    """Hold back what moved too far, and what is too new.

    Parameters
    ----------
    cells : Cells
        All cells of the round.
    rows : ndarray of shape (n,), int64
        Cells that enough TVs stand behind, ascending.
    embeddings : ndarray of shape (n, 384), float32
        Where they are now; unit vectors.
    is_narrow : ndarray of shape (n_cells,), bool
        Cells that few batches fill, or copies of few vectors.
    n_devices : int
        TVs that take part.
    history : CellHistory
        Of the round before.

    Returns
    -------
    Guarded
        With the history to keep.

    Notes
    -----
    An anchor follows its cell by a fifth of the way each round, ``a' = unit(a +
    (x - a) / 5)``, and by a fiftieth while the cell is held back: a cell that is pushed
    a little each round is compared with where it was some rounds ago, and a cell that
    has truly moved is let go in the end.

    In a first round, and once the TVs are twice as many as in the round before, all is
    believed but narrow cells: the few that were there say little of the many.
    """
    is_settled = 0 < n_devices < _OUTGROWN * history.n_devices
    anchors, ages = _remembered(cells, history)
    here = ages[rows]
    if not is_settled:
        here = np.where(is_narrow[rows], here, np.maximum(here, PROBATION_ROUNDS))
    is_waiting = here < PROBATION_ROUNDS

    before = anchors[rows].astype(np.float64)
    now = embeddings.astype(np.float64)
    has_anchor = np.any(before != 0, axis=1)
    cosines = np.einsum("ij,ij->i", before, now)
    is_held = has_anchor & (cosines < LEAST_COSINE) & is_settled

    rates = np.where(is_held, _FOLLOWING_HELD, _FOLLOWING)
    rates = np.where(has_anchor & is_settled, rates, 1.0)[:, np.newaxis]
    placed = np.where(is_held[:, np.newaxis], before, now).astype(np.float32)
    centroids = cells.centroids.copy()
    centroids[rows[is_held]] = placed[is_held]
    anchors[rows] = _unit(before + rates * (now - before))
    ages[rows] = here + 1
    return Guarded(
        embeddings=placed,
        is_held=is_held,
        is_waiting=is_waiting,
        cells=replace(cells, centroids=centroids),
        history=CellHistory(cells.ids, anchors, ages, n_devices),
    )


def _remembered(cells: Cells, history: CellHistory) -> tuple[Float32Array, Int64Array]:
    """Anchors and ages of this round's cells."""
    anchors = np.zeros((len(cells), EMBEDDING_DIMENSIONS), dtype=np.float32)
    ages = np.zeros(len(cells), dtype=np.int64)
    _, here, there = np.intersect1d(cells.ids, history.ids, return_indices=True)
    anchors[here] = history.anchors[there]
    ages[here] = history.ages[there]
    return anchors, ages


def _unit(vectors: Float64Array) -> Float32Array:
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    units: Float32Array = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return units
