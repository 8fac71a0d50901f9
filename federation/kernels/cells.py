"""The cells: a spherical k-means whose cells keep their identity over rounds.

How many cells there are is not a setting but an answer: at most as many as asked for,
few enough that TVs stand behind each, and where the patterns lie in clusters, those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int8Array,
    Int16Array,
    Int64Array,
)
from .blocks import EMBEDDING_DIMENSIONS
from .errors import KernelInputError
from .quantise import (
    COMPONENT_ONE,
    CodedCentroids,
    code_norms,
    quantise,
    sums_by_group,
    to_fixed_point,
    unit_rows,
)
from .sampling import PatternSample

#: Patterns that the cells are fitted to: 64 for each of 4,096 cells.
SAMPLE_CAPACITY = 1 << 18

# A cell is opened for as many patterns as a publishable one needs, but at least for
# these: the spread of a handful of patterns cannot be told. What proves too
# small is dissolved again. Small fleets may open this many cells all the same.
_PATTERNS_PER_OPENING = 10
_SMALL_FLEET_CELLS = 64

# A cell known from a sample only needs this many sampled TVs to have a steady centre.
_MIN_SAMPLED_DEVICES = 8

# Last round's cells are refined once they are fewer than a quarter of what the fleet
# could fill; until then new cells are opened for new tastes only, or cells would churn.
_REFINE_BELOW = 0.25

# A pattern is a new taste if its cosine to the nearest cell lies this many deviations
# below the median. The deviation is the median one, times 1.4826 as for a normal law.
_NEW_TASTE_DEVIATIONS = 4 * 1.4826

# Sampled patterns looked at to choose where cells open.
_OPENING_PATTERNS = 1 << 15
_OPENING_STEP = 1024
_OPENING_TRIALS = 8

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


def fit_cells(
    sample: PatternSample,
    *,
    previous: Cells,
    max_cells: int,
    min_devices: int,
    iterations: int = 12,
) -> Cells:
    """Move last round's cells to where this round's patterns are.

    Parameters
    ----------
    sample : PatternSample
        Merged over all shards. Patterns without weight are passed over.
    previous : Cells
        Last round's cells, or :func:`no_cells`.
    max_cells : int
        At most this many cells, at least 1.
    min_devices : int
        Distinct TVs a cell needs to be published, at least 1.
    iterations : int, default 12
        At most this many steps of k-means.

    Returns
    -------
    Cells
        A cell that lives on keeps its number; new cells count on from
        ``previous.next_id``; the numbers of cells that end are not used again. Without
        a pattern, the previous cells.

    Raises
    ------
    KernelInputError
        If a limit is below 1.

    Notes
    -----
    1. *Open.* The first sampled pattern whose cosine to every cell lies below a
       threshold opens a cell, and so on. In a first round, or where the fleet has
       outgrown its cells, the threshold is the one that opens as many cells as the
       patterns could fill; else it is far enough below the usual cosine that only new
       tastes fall under it.
    2. *k-means.* Assign every pattern to the nearest centroid, sum ``w_i x_i`` in
       int64, renormalise; until nothing moves or ``iterations`` are done.
    3. *Dissolve* cells with fewer TVs than can be published, half of them at a time,
       new ones before old ones, small ones before larger; their patterns go to the next
       cell.
    4. *Join* cells that are parts of one cluster, see below. The lowest number
       survives.
    5. k-means again, if cells were joined.

    Let m be the mean vector of a cell, n its effective number of patterns
    ``(sum w)^2 / sum w^2`` and ``s^2 = (1 - |m|^2) n / (n - 1)`` its spread. The
    separation of two cells is the squared distance of their means, less what chance
    puts there, in units of their spread::

        R(a, b) = (|m_a - m_b|^2 - s_a^2 / n_a - s_b^2 / n_b) / ((s_a^2 + s_b^2) / 2)

    R does not change with the scale of the data. Two halves of one isotropic cloud have
    R near 0 and are joined. Beyond that, the edges of the minimum spanning tree
    of R are sorted; where one is much longer than the one before, the shorter ones lie
    within clusters and the longer ones between. Planted clusters show a gap of 1.8 to
    60 (their parts 0.02 to 4 apart, they 2.8 to 18), whether isotropic, of low rank or
    made of popular contents; real film embeddings grow by less than 1.5 from edge to
    edge until only one giant cluster is left. No join may make a cluster of more than
    three quarters of all weight: data without clusters stays as fine as it is.

    Every product is exact, so the result does not depend on threads or on the order in
    which shards answered.

    References
    ----------
    Dhillon, Modha (2001), Concept decompositions for large sparse text data using
    clustering (spherical k-means).
    Hartigan (1975), Clustering Algorithms, ch. 4 and 11 (leaders; gaps of single
    linkage).
    """
    limits = {
        "max_cells": max_cells,
        "min_devices": min_devices,
        "iterations": iterations,
    }
    for name, limit in limits.items():
        if limit < 1:
            raise KernelInputError(f"{name} is {limit}; expected at least 1.")
    points = _Points.of(sample)
    if len(points) == 0:
        return previous
    required = _required_devices(sample, min_devices)
    budget = min(max_cells, _fillable_cells(len(points), required))

    cells = _open(points, _largest(points, previous, budget), budget)
    cells = _iterate(points, cells, iterations)
    cells = _dissolve(points, cells, required, previous.next_id)
    joined = _join(points, cells)
    if len(joined) == len(cells):
        return cells
    return _iterate(points, joined, iterations)


def step_cells(sample: PatternSample, cells: Cells, *, iterations: int) -> Cells:
    """Plain spherical k-means: no cell is opened, dissolved or joined.

    Parameters
    ----------
    sample : PatternSample
        Merged over all shards.
    cells : Cells
        Where to start.
    iterations : int
        At most this many steps; fewer if nothing moves any more.

    Returns
    -------
    Cells
        The same cells at their means, without those that ended up empty.
    """
    return _iterate(_Points.of(sample), cells, iterations)


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


@dataclass(frozen=True)
class _Points:
    """Sampled patterns with weight, ready for k-means."""

    vectors: Int16Array
    codes: Int8Array
    code_norms: Float32Array
    weights: Int64Array
    devices: Int64Array

    @classmethod
    def of(cls, sample: PatternSample) -> _Points:
        rows = np.flatnonzero(sample.weights > 0)
        vectors = sample.vectors[rows]
        codes = np.empty(vectors.shape, dtype=np.int8)
        for start in range(0, len(rows), 1 << 14):  # 24 MiB of float32 at a time
            part = slice(start, start + (1 << 14))
            codes[part] = quantise(vectors[part].astype(np.float32))
        return cls(
            vectors=vectors,
            codes=codes,
            code_norms=code_norms(codes),
            weights=sample.weights[rows],
            devices=sample.device_numbers()[rows],
        )

    def __len__(self) -> int:
        return len(self.weights)

    def nearest(self, cells: Cells) -> tuple[Int64Array, Float32Array]:
        """The nearest cell of every pattern, and the cosine with it."""
        rows, scores = CodedCentroids(cells.centroids).nearest(self.codes)
        return rows, scores / self.code_norms

    def sums(self, rows: Int64Array, n_cells: int) -> Int64Array:
        return sums_by_group(self.vectors, self.weights, rows, n_cells)

    def device_counts(self, rows: Int64Array, n_cells: int) -> Int64Array:
        pairs = np.unique(self.devices * n_cells + rows)
        return np.bincount(pairs % n_cells, minlength=n_cells).astype(np.int64)


def _required_devices(sample: PatternSample, min_devices: int) -> int:
    """Sampled TVs that stand for ``min_devices`` of the fleet."""
    if sample.n_patterns <= len(sample):
        return min_devices
    expected = -(-min_devices * len(sample) // sample.n_patterns)
    return min(min_devices, max(expected, _MIN_SAMPLED_DEVICES))


def _fillable_cells(n_patterns: int, required: int) -> int:
    """How many cells the patterns could fill."""
    large = n_patterns // max(required, _PATTERNS_PER_OPENING)
    small = min(n_patterns // required, _SMALL_FLEET_CELLS)
    return max(large, small, 1)


def _largest(points: _Points, cells: Cells, limit: int) -> Cells:
    """The cells with the most TVs; of equals the older."""
    if len(cells) <= limit:
        return cells
    counts = points.device_counts(points.nearest(cells)[0], len(cells))
    is_kept = np.zeros(len(cells), dtype=np.bool_)
    is_kept[np.argsort(-counts, kind="stable")[:limit]] = True
    return cells.take(is_kept)


def _open(points: _Points, cells: Cells, budget: int) -> Cells:
    room = budget - len(cells)
    if room <= 0:
        return cells
    if len(cells) < _REFINE_BELOW * budget:
        threshold = _filling_threshold(points, cells, room)
    else:
        threshold = _new_taste_threshold(points, cells)
    seeds = _leaders(points, cells, threshold, room)
    ids = cells.next_id + np.arange(len(seeds), dtype=np.int64)
    return Cells(
        ids=np.concatenate([cells.ids, ids]),
        centroids=np.concatenate(
            [cells.centroids, unit_rows(points.vectors[seeds].astype(np.int64))]
        ),
        next_id=cells.next_id + len(seeds),
    )


def _filling_threshold(points: _Points, cells: Cells, room: int) -> float:
    """The highest cosine, in steps of 1/256, whose leaders fit into the room."""
    low, high = -1.0, 1.0
    for _ in range(_OPENING_TRIALS):
        middle = (low + high) / 2
        if len(_leaders(points, cells, middle, room + 1)) > room:
            high = middle
        else:
            low = middle
    return low


def _new_taste_threshold(points: _Points, cells: Cells) -> float:
    _, cosines = points.nearest(cells)
    median = float(np.median(cosines))
    deviation = float(np.median(np.abs(cosines - np.float32(median))))
    return median - _NEW_TASTE_DEVIATIONS * deviation


def _leaders(points: _Points, cells: Cells, threshold: float, limit: int) -> Int64Array:
    """Patterns, in the order of the sample, far from every cell and earlier leader."""
    n_looked_at = max(_OPENING_PATTERNS, 8 * limit)
    codes = points.codes[:n_looked_at]
    norms = points.code_norms[:n_looked_at]
    leaders: list[int] = []
    for start in range(0, len(codes), _OPENING_STEP):
        part = slice(start, start + _OPENING_STEP)
        opened = codes[leaders].astype(np.float32)
        known = CodedCentroids(np.concatenate([cells.centroids, opened]))
        _, scores = known.nearest(codes[part])
        is_far = scores / norms[part] < threshold if len(known) else scores == scores
        far = start + np.flatnonzero(is_far)
        while len(far):
            leaders.append(int(far[0]))
            if len(leaders) >= limit:
                return np.array(leaders, dtype=np.int64)
            leader = CodedCentroids(codes[far[:1]].astype(np.float32))
            cosines = leader.scores(codes[far])[:, 0] / norms[far]
            is_far = cosines < threshold
            is_far[0] = False
            far = far[is_far]
    return np.array(leaders, dtype=np.int64)


def _iterate(points: _Points, cells: Cells, iterations: int) -> Cells:
    """Steps of k-means; cells that end up empty end."""
    last = np.zeros(0, dtype=np.int64)
    for _ in range(iterations):
        rows, _ = points.nearest(cells)
        if np.array_equal(rows, last):
            break
        last = rows
        sums = points.sums(rows, len(cells))
        is_alive = np.any(sums != 0, axis=1)
        if not is_alive.all():
            last = np.zeros(0, dtype=np.int64)  # rows no longer number these cells
        cells = Cells(cells.ids, unit_rows(sums), cells.next_id).take(is_alive)
    return cells


def _dissolve(points: _Points, cells: Cells, required: int, first_new_id: int) -> Cells:
    """End cells with too few TVs, until none is left or only one cell is."""
    while len(cells) > 1:
        rows, _ = points.nearest(cells)
        if points.device_counts(rows, len(cells)).min() >= required:
            break
        cells = _end_weak(points, cells, rows, required, first_new_id)
        cells = _iterate(points, cells, 2)
    return cells


def _end_weak(
    points: _Points, cells: Cells, rows: Int64Array, required: int, first_new_id: int
) -> Cells:
    """End them half at a time: the patterns of one may make the next strong enough.

    Centroids stay where they are meanwhile, so only the patterns of ended cells have to
    look for another.
    """
    while len(cells) > 1:
        counts = points.device_counts(rows, len(cells))
        weak = np.flatnonzero(counts < required)
        if len(weak) == 0:
            break
        is_old = cells.ids[weak] < first_new_id
        order = weak[np.lexsort((-cells.ids[weak], counts[weak], is_old))]
        ended = order[: min((len(order) + 1) // 2, len(cells) - 1)]
        is_kept = np.ones(len(cells), dtype=np.bool_)
        is_kept[ended] = False
        orphans = np.flatnonzero(~is_kept[rows])
        cells = cells.take(is_kept)
        rows = (np.cumsum(is_kept) - 1)[rows]
        coded = CodedCentroids(cells.centroids)
        rows[orphans] = coded.nearest(points.codes[orphans])[0]
    return cells


def _join(points: _Points, cells: Cells) -> Cells:
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
        points: _Points,
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
