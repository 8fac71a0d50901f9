"""The cells of a round: last round's, moved to where this round's patterns are.

How many there are is not a setting but an answer: at most as many as asked for, few
enough that TVs stand behind each, and where the patterns lie in clusters, those.
"""

from __future__ import annotations

from .cells import Cells
from .dissolving import dissolve
from .errors import KernelInputError
from .joining import join
from .kmeans import Points, iterate
from .loose import loose_points
from .opening import fillable_cells, largest, open_cells
from .sampling import PatternSample

#: Patterns that the cells are fitted to: 64 for each of 4,096 cells.
SAMPLE_CAPACITY = 1 << 18

# Cells are looked for again without the patterns that lie near no others, which hid
# some of the others: at most this often.
_OPENINGS = 5

# A cell known from a sample only needs this many sampled TVs to have a steady centre.
_MIN_SAMPLED_DEVICES = 8


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
    points = Points.of(sample)
    if len(points) == 0:
        return previous
    required = _required_devices(sample, min_devices)
    budget = min(max_cells, fillable_cells(len(points), required))

    points, cells = _open(points, previous, budget, iterations)
    cells = dissolve(points, cells, required, previous.next_id)
    joined = join(points, cells)
    if len(joined) == len(cells):
        return cells
    return iterate(points, joined, iterations)


def _open(
    points: Points, previous: Cells, budget: int, iterations: int
) -> tuple[Points, Cells]:
    """Cells around patterns that lie near others; those that don't are set aside."""
    for _ in range(_OPENINGS):
        cells = open_cells(points, largest(points, previous, budget), budget)
        cells = iterate(points, cells, iterations)
        is_loose = loose_points(points, cells)
        if not is_loose.any() or is_loose.all():
            break
        points = points.take(~is_loose)
    return points, cells


def _required_devices(sample: PatternSample, min_devices: int) -> int:
    """Sampled TVs that stand for ``min_devices`` of the fleet."""
    if sample.n_patterns <= len(sample):
        return min_devices
    expected = -(-min_devices * len(sample) // sample.n_patterns)
    return min(min_devices, max(expected, _MIN_SAMPLED_DEVICES))
