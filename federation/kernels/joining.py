"""Cells that are parts of one cluster become one; see :func:`.fit_cells` for how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Float64Array, Int64Array
from .cells import Cells
from .kmeans import Points
from .quantise import COMPONENT_ONE, to_fixed_point, unit_rows

# Separations below this are halves of one cluster. A cut through an isotropic cloud in
# 384 dimensions measures 0.02 to 0.14 (larger with fewer members); neighbouring cells
# of real embeddings of film titles, 0.2 to 2.
_ONE_CLUSTER = 0.15

# A gap in the separations tells clusters from their parts if it is this wide...
_GAP_RATIO = 1.75
# ...its far side is apart by more than the spread of a cell...
_GAP_SEPARATION = 1.0
# ...and no cluster takes more than this share of all weight. Data without clusters
# joins into one giant and a few stragglers; it is better left as it is.
_LARGEST_CLUSTER = 0.75


def join(points: Points, cells: Cells) -> Cells:
    """Make one cell of cells that are parts of one cluster."""
    if len(cells) < 2:
        return cells
    rows, _ = points.nearest(cells)
    sums = points.sums(rows, len(cells))
    exact = points.weights.astype(np.float64)  # and so are its sums: below 2**53
    weights = np.asarray(np.bincount(rows, exact, len(cells)), dtype=np.float64)
    edges = _spanning_tree(_Spreads.of(points, rows, sums, weights))
    groups = _clusters(edges, weights)
    survivors, first, members = np.unique(
        groups, return_index=True, return_inverse=True
    )
    joined = np.zeros((len(survivors), sums.shape[1]), dtype=np.int64)
    np.add.at(joined, members, sums)  # a few thousand rows, once
    return Cells(cells.ids[first], unit_rows(joined), cells.next_id)


@dataclass(frozen=True)
class _Spreads:
    """What the separation of cells is made of."""

    #: Products of unit means; exact integers in units of 2**-28. (n, n)
    products: Float64Array
    #: Lengths of means, spreads, and spread by effective number. (n,) each
    lengths: Float64Array
    spreads: Float64Array
    chances: Float64Array

    @classmethod
    def of(
        cls,
        points: Points,
        rows: Int64Array,
        sums: Int64Array,
        weights: Float64Array,
    ) -> _Spreads:
        squares = np.bincount(rows, np.square(points.weights.astype(np.float64)))
        effective = np.square(weights) / np.maximum(squares, 1)
        means = sums / (np.maximum(weights, 1) * COMPONENT_ONE)[:, np.newaxis]
        squared_lengths = np.square(means).sum(axis=1)
        # A cell of one pattern has no spread of its own to measure.
        unbiased = effective / np.maximum(effective - 1, 1)
        spreads = np.maximum(1 - squared_lengths, 0) * unbiased
        units = to_fixed_point(unit_rows(sums)).astype(np.float64)
        return cls(
            products=units @ units.T,
            lengths=np.sqrt(squared_lengths),
            spreads=spreads,
            chances=spreads / np.maximum(effective, 1),
        )

    def separations(self, row: int) -> Float64Array:
        """R of one cell with every cell."""
        cosines = self.products[row] / COMPONENT_ONE**2
        squared = (
            np.square(self.lengths)
            + self.lengths[row] ** 2
            - 2 * self.lengths * self.lengths[row] * cosines
        )
        spread = (self.spreads + self.spreads[row]) / 2
        excess: Float64Array = squared - self.chances - self.chances[row]
        separations: Float64Array = excess / np.maximum(spread, 1e-6)
        return separations


def _spanning_tree(spreads: _Spreads) -> list[tuple[float, int, int]]:
    """Edges (R, cell, cell) of the minimum spanning tree, the shortest first (Prim)."""
    n_cells = len(spreads.lengths)
    is_in = np.zeros(n_cells, dtype=np.bool_)
    shortest = np.full(n_cells, np.inf)
    nearest = np.zeros(n_cells, dtype=np.int64)
    edges = []
    newest = 0
    for _ in range(n_cells - 1):
        is_in[newest] = True
        separations = spreads.separations(newest)
        is_shorter = separations < shortest
        shortest[is_shorter] = separations[is_shorter]
        nearest[is_shorter] = newest
        newest = int(np.where(is_in, np.inf, shortest).argmin())
        edges.append((float(shortest[newest]), int(nearest[newest]), newest))
    return sorted(edges)


def _clusters(edges: list[tuple[float, int, int]], weights: Float64Array) -> Int64Array:
    """The lowest cell of the cluster of each cell."""
    heights = np.maximum([height for height, _, _ in edges], _ONE_CLUSTER)
    ratios = heights[1:] / heights[:-1]
    is_gap = (ratios >= _GAP_RATIO) & (heights[1:] >= _GAP_SEPARATION)
    gaps = np.flatnonzero(is_gap)
    widest_first = gaps[np.argsort(-ratios[gaps], kind="stable")]
    n_halves = int((heights <= _ONE_CLUSTER).sum())
    for n_within in [*(widest_first + 1).tolist(), n_halves]:
        groups = _connect(edges[:n_within], len(weights))
        if np.bincount(groups, weights).max() <= _LARGEST_CLUSTER * weights.sum():
            return groups
    return np.arange(len(weights))


def _connect(edges: list[tuple[float, int, int]], n_cells: int) -> Int64Array:
    """Connected components, each called by its lowest cell."""
    parents = list(range(n_cells))

    def root(cell: int) -> int:
        while parents[cell] != cell:
            parents[cell] = parents[parents[cell]]
            cell = parents[cell]
        return cell

    for _, one, other in edges:
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    return np.array([root(cell) for cell in range(n_cells)], dtype=np.int64)
