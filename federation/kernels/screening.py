"""What of a fleet doesn't fit the rest, told from the sample before cells are added up.

Enrolment batches that point elsewhere than the others are left out, patterns far from
the middle of their cell too, and cells that few batches fill are told. The second
reading then passes over what was left out, so that everything it counts agrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from .alike import alike_cells
from .arrays import (
    BoolArray,
    Float32Array,
    Int64Array,
    float_sums,
    group_starts,
)
from .batches import (
    LEAST_BATCHES,
    BatchGroups,
    find_deviating,
    minority,
    totals_by,
    weighted_medians,
)
from .cells import Cells
from .fitting import fit_cells
from .kmeans import Points, iterate
from .sampling import PatternSample

# A pattern is far from its cell if its cosine to the centroid lies this many median
# deviations (times 1.4826, as for a normal law) below the median of the cell's.
_FAR_DEVIATIONS = 6 * 1.4826
# Cells with fewer sampled patterns than this go by the deviations of all cells.
_KNOWN_SPREAD = 16

# A cell is narrow if two of its TVs share a batch this many times as often as two TVs
# of the fleet do, and as often as two TVs of a cell usually do...
_NARROW_RATIO = 2.0
# ...by more than chance explains, in standard deviations.
_NARROW_CERTAINTY = 4.0

# Steps of k-means without what was left out.
_REFITTING = 3

_KEY_BITS = 32


@dataclass(frozen=True)
class Screen:
    """What the second reading passes over. Row i is cell i."""

    #: A pattern counts in its cell from this cosine with the centroid. (n_cells,)
    least_cosines: Float32Array
    #: Batches that are left out of every cell, ascending. (n,)
    batches: Int64Array
    #: Cell and batch of what is left out of single cells, ascending. (n,) each
    rows: Int64Array
    row_batches: Int64Array
    #: Most of the cell's weight was left out: who is right can't be told. (n_cells,)
    is_contested: BoolArray
    #: Few batches fill the cell, or copies of few vectors do. (n_cells,)
    is_narrow: BoolArray

    def keeps(
        self, rows: Int64Array, cosines: Float32Array, batches: Int64Array
    ) -> BoolArray:
        """Which patterns count in their cells.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64
            The cell of each pattern.
        cosines : ndarray of shape (n,), float32
            With the cell's centroid.
        batches : ndarray of shape (n,), int64
            The enrolment batch of the TV behind each.

        Returns
        -------
        ndarray of shape (n,), bool
            False for what is far, or of a batch that is left out.
        """
        if len(self.least_cosines) == 0:
            return np.zeros(len(rows), dtype=np.bool_)
        is_kept: BoolArray = cosines >= self.least_cosines[rows]
        if len(self.batches):
            is_kept &= ~np.isin(batches, self.batches)
        if len(self.rows):
            pairs = rows << _KEY_BITS | batches
            is_kept &= ~np.isin(pairs, self.rows << _KEY_BITS | self.row_batches)
        return is_kept


def open_screen(n_cells: int) -> Screen:
    """A screen that lets everything through.

    Parameters
    ----------
    n_cells : int
        How many cells there are.

    Returns
    -------
    Screen
        Without a limit.
    """
    none = np.zeros(0, dtype=np.int64)
    return Screen(
        least_cosines=np.full(n_cells, -2, dtype=np.float32),
        batches=none,
        rows=none,
        row_batches=none,
        is_contested=np.zeros(n_cells, dtype=np.bool_),
        is_narrow=np.zeros(n_cells, dtype=np.bool_),
    )


def fit_screened_cells(
    sample: PatternSample, *, previous: Cells, max_cells: int, min_devices: int
) -> tuple[Cells, Screen]:
    """Fit cells, and find what doesn't fit them.

    Parameters
    ----------
    sample : PatternSample
        Merged over all shards.
    previous : Cells
        Last round's cells.
    max_cells, min_devices : int
        As for :func:`.fit_cells`.

    Returns
    -------
    cells : Cells
        As :func:`.fit_cells` finds them, unless some batches lie apart from the rest:
        then as it finds them without these, moved on with them.
    screen : Screen
        For these cells.

    Notes
    -----
    Everything is decided on the merged sample, which is the same however TVs are
    spread over shards. See :mod:`.batches` for when a batch is left out.

    A pattern is *far* if its cosine with the centroid lies more than six (normal)
    median deviations below the median of its cell; the deviation is that of the cell or
    of all cells, whichever is larger. Honest patterns with noise of any shape lose a
    few in ten thousand; what is left bounds the rest: a share a of a cell's weight at
    cosine t turns a cell of mean length R by at most
    ``atan(a sqrt(1 - t^2) / ((1 - a) R + a t))``.

    A cell is *narrow* by the chance that two of its patterns are of one batch, each
    batch counted by its share f of the fleet: ``sum_b P(both of b) / f_b`` is 1 where
    batches mix, and 1 / f where one batch is alone. So is one of copies of few vectors,
    see :mod:`.alike`.

    Batches that are left out, or have most of their weight in narrow cells, are kept
    from opening and joining the cells of the others: cells are fitted without them
    first, and what they have of their own then opens cells beside those.
    """
    fit = partial(fit_cells, max_cells=max_cells, min_devices=min_devices)
    cells = fit(sample, previous=previous)
    points = Points.of(sample)
    if len(cells) == 0 or len(points) == 0:
        return cells, open_screen(len(cells))
    screen, apart = _screen(points, cells)
    if len(apart):
        others = fit(sample.without(apart), previous=previous)
        cells = fit(sample, previous=others)
        screen, _ = _screen(points, cells)
    if len(screen.batches) or len(screen.rows):
        rows, cosines = points.nearest(cells)
        kept = points.take(screen.keeps(rows, cosines, points.batches))
        cells = iterate(kept, cells, _REFITTING)
        screen, _ = _screen(points, cells)
    return cells, screen


def _screen(points: Points, cells: Cells) -> tuple[Screen, Int64Array]:
    """The screen for some cells, and the batches that lie apart from the rest."""
    rows, cosines = points.nearest(cells)
    n_cells = len(cells)
    groups = BatchGroups.of(points, rows)
    is_deviating, batches = find_deviating(groups)
    is_out = np.isin(groups.batches, batches)
    is_alone = is_deviating & ~is_out
    is_out |= is_deviating
    is_kept = ~is_out[groups.of_points]
    is_of_few_batches = _cells_of_few_batches(groups, n_cells)
    weights = float_sums(groups.rows, groups.weights, n_cells)
    left = float_sums(groups.rows, groups.weights * is_out, n_cells)
    screen = Screen(
        least_cosines=_least_cosines(rows[is_kept], cosines[is_kept], n_cells),
        batches=batches,
        rows=groups.rows[is_alone],
        row_batches=groups.batches[is_alone],
        is_contested=2 * left > weights,
        is_narrow=is_of_few_batches | alike_cells(points, rows, n_cells),
    )
    return screen, minority(groups, is_out | is_of_few_batches[groups.rows])


def _least_cosines(
    rows: Int64Array, cosines: Float32Array, n_cells: int
) -> Float32Array:
    """The limit of each cell, from the patterns that count."""
    least = np.full(n_cells, -2, dtype=np.float32)
    if len(rows) == 0:
        return least
    medians, present, sizes = _medians(rows, cosines)
    middle = np.zeros(n_cells, dtype=np.float32)
    middle[present] = medians
    apart = np.abs(cosines - middle[rows])
    deviations, _, _ = _medians(rows, apart)
    usual_deviation = np.median(apart)
    # Of few patterns neither is known well.
    is_known = sizes >= _KNOWN_SPREAD
    usual = np.float32(np.median(cosines))
    medians = np.where(is_known, medians, np.minimum(medians, usual))
    deviations = np.maximum(deviations, usual_deviation)
    least[present] = medians - np.float32(_FAR_DEVIATIONS) * deviations
    return least


def _medians(
    groups: Int64Array, values: Float32Array
) -> tuple[Float32Array, Int64Array, Int64Array]:
    """The lower median of each group that occurs, its number and its size."""
    order = np.lexsort((values, groups))
    starts = group_starts(groups[order])
    sizes = np.diff(np.r_[starts, len(order)])
    middle = order[starts + (sizes - 1) // 2]
    return values[middle], groups[order[starts]], sizes


def _cells_of_few_batches(groups: BatchGroups, n_cells: int) -> BoolArray:
    """Cells whose TVs share a batch far more often than TVs do."""
    shares = totals_by(groups.batches, groups.weights) / groups.weights.sum()
    n_batches = len(np.unique(groups.batches))
    if n_batches < LEAST_BATCHES:
        return np.zeros(n_cells, dtype=np.bool_)
    weights = float_sums(groups.rows, groups.weights, n_cells)
    own = float_sums(groups.rows, groups.own_pairs, n_cells)
    pairs = np.maximum(np.square(weights) - own, 1.0)
    ratios = float_sums(groups.rows, groups.pairs / shares, n_cells) / pairs
    counts = np.bincount(groups.rows, groups.counts, n_cells)
    chance = np.sqrt(2 * n_batches / np.maximum(counts * (counts - 1), 1))
    usual = max(1.0, float(weighted_medians(ratios[:, np.newaxis], weights)[0]))
    is_narrow: BoolArray = ratios > _NARROW_RATIO * usual + _NARROW_CERTAINTY * chance
    return is_narrow
