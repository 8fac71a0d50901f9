"""Enrolment batches whose patterns lie elsewhere in their cells than others'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, Float64Array, Int64Array, float_sums, group_starts
from .kmeans import Points
from .quantise import COMPONENT_ONE

# A batch is left out if it turns away from the middle of all by more than this squared
# sine (23.6 degrees)...
_TURN = 0.16
# ...which is nine times the squared sine that the others have...
_UNUSUAL = 9.0
# ...and more than chance explains. A batch without a direction of its own measures 0,
# with a standard deviation below 0.32 if the noise has 20 dimensions or more...
_CERTAINTY = 2.0
# ...if all that are left out have less than this share of the votes...
_LARGEST_SHARE = 1 / 3
# ...and so many batches vote: of four, none can be outvoted.
LEAST_BATCHES = 5

# From so many patterns on a batch has a say in a cell.
_LEAST_PATTERNS = 4

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class BatchGroups:
    """Sampled patterns by cell and enrolment batch, ordered by both. (n_groups,) each

    ``along`` is the sum of a group along the middle of its cell, ``across`` the squared
    length of what is across, less ``noise``: what chance adds to it.
    """

    rows: Int64Array
    batches: Int64Array
    #: Patterns, their weights, and the sum of the squares of these.
    counts: Int64Array
    weights: Float64Array
    own_pairs: Float64Array
    along: Float64Array
    across: Float64Array
    noise: Float64Array
    #: The group of each pattern. (n_points,)
    of_points: Int64Array

    @classmethod
    def of(cls, points: Points, rows: Int64Array) -> BatchGroups:
        """Group sampled patterns and measure the groups.

        Parameters
        ----------
        points : Points
            At least one.
        rows : ndarray of shape (n,), int64
            The cell of each.

        Returns
        -------
        BatchGroups
            One for each cell and batch that occur together.

        Notes
        -----
        The *middle* of a cell is the coordinate-wise median of the means of its
        batches, each with the weight the batch has in the whole fleet, not in the cell:
        a batch can't take a cell over by naming nothing else. Batches with few patterns
        in the cell vote together.
        """
        order = np.lexsort((points.batches, rows))
        starts = group_starts(rows[order] << 32 | points.batches[order])
        counts = np.diff(np.r_[starts, len(order)])
        of_points = np.empty(len(order), dtype=np.int64)
        of_points[order] = np.repeat(np.arange(len(starts)), counts)
        first = order[starts]
        exact = points.weights.astype(np.float64)
        weights = float_sums(of_points, exact)
        fleet = totals_by(points.batches[first], weights)
        measured = [
            _measure(points, order[low:high], fleet[cell_low:cell_high])
            for low, high, cell_low, cell_high in _cells(
                rows[first], starts, len(order)
            )
        ]
        along, across, noise = (
            np.concatenate(each) for each in zip(*measured, strict=True)
        )
        return cls(
            rows=rows[first],
            batches=points.batches[first],
            counts=counts,
            weights=weights,
            own_pairs=float_sums(of_points, np.square(exact)),
            along=along,
            across=across,
            noise=noise,
            of_points=of_points,
        )

    @property
    def pairs(self) -> Float64Array:
        """The sum of ``w_i w_j`` over pairs of different patterns of each group."""
        return np.maximum(np.square(self.weights) - self.own_pairs, 0)


def find_deviating(groups: BatchGroups) -> tuple[BoolArray, Int64Array]:
    """Tell which groups point clearly elsewhere, and which batches do on the whole.

    Parameters
    ----------
    groups : BatchGroups
        Of all cells.

    Returns
    -------
    is_left_out : ndarray of shape (n_groups,), bool
        Groups that are left out of their cells.
    batches : ndarray of shape (n,), int64
        Batches that are left out of all cells, ascending.

    Notes
    -----
    Let r be the parts of a group's patterns across the middle, w their weights. By
    pairs of different patterns, so that chance adds nothing::

        U = (|sum w_i r_i|^2 - sum w_i^2 |r_i|^2) / ((sum w_i)^2 - sum w_i^2)

    and with m the mean along the middle, ``U / (U + m^2)`` is the squared sine of the
    angle by which the group turns away. The same quotient of sums over all cells judges
    a batch as a whole, however few of it are in each cell; a batch that is left out of
    more than half of its own is left out of everything.

    Nothing is left out unless those that agree have two thirds of the votes.

    References
    ----------
    Yin, Chen, Ramchandran, Bartlett (2018), Byzantine-robust distributed learning:
    towards optimal statistical rates (medians and trimmed means by coordinate).
    """
    is_left_out = np.zeros(len(groups.rows), dtype=np.bool_)
    known, numbers = np.unique(groups.batches, return_inverse=True)
    numbers = numbers.reshape(-1)
    if len(known) < LEAST_BATCHES:
        return is_left_out, known[:0]
    fleet = float_sums(numbers, groups.weights)
    turns = _turns(groups.across, groups.along, groups.weights, groups.pairs)
    certainty = groups.across / np.maximum(groups.noise, _TINY)
    has_say = groups.counts >= _LEAST_PATTERNS
    for low, high in _runs(groups.rows):
        is_left_out[low:high] = _outvoted(
            turns[low:high], certainty[low:high], fleet[numbers[low:high]],
            has_say[low:high],
        )  # fmt: skip

    is_whole = _deviating_on_the_whole(groups, numbers, fleet)[numbers]
    mostly = minority(groups, is_left_out | is_whole)
    return is_left_out, mostly if len(mostly) else np.unique(groups.batches[is_whole])


def minority(groups: BatchGroups, is_chosen: BoolArray) -> Int64Array:
    """Batches with more than half of their weight in the chosen groups.

    Parameters
    ----------
    groups : BatchGroups
        Of all cells.
    is_chosen : ndarray of shape (n_groups,), bool
        Some of them.

    Returns
    -------
    ndarray of shape (n,), int64
        Ascending; none if together they are a third of the fleet.
    """
    known, numbers = np.unique(groups.batches, return_inverse=True)
    numbers = numbers.reshape(-1)
    fleet = float_sums(numbers, groups.weights)
    chosen = float_sums(numbers, groups.weights * is_chosen)
    is_mostly = 2 * chosen > fleet
    if fleet[is_mostly].sum() >= _LARGEST_SHARE * fleet.sum():
        return known[:0]
    return known[is_mostly]


def totals_by(batches: Int64Array, weights: Float64Array) -> Float64Array:
    """The weight of each group's batch in all cells together.

    Parameters
    ----------
    batches : ndarray of shape (n_groups,), int64
        The batch of each group.
    weights : ndarray of shape (n_groups,), float64
        Its weight.

    Returns
    -------
    ndarray of shape (n_groups,), float64
        The same for all groups of a batch.
    """
    _, numbers = np.unique(batches, return_inverse=True)
    numbers = numbers.reshape(-1)
    totals: Float64Array = float_sums(numbers, weights)[numbers]
    return totals


def weighted_medians(values: Float64Array, weights: Float64Array) -> Float64Array:
    """The median of each column, rows weighted.

    Parameters
    ----------
    values : ndarray of shape (n, d), float64
        At least one row.
    weights : ndarray of shape (n,), float64
        Not all zero.

    Returns
    -------
    ndarray of shape (d,), float64
        The smallest value that at least half of the weight doesn't exceed.
    """
    order = np.argsort(values, axis=0, kind="stable")
    reached = np.cumsum(weights[order], axis=0)
    places = (2 * reached >= weights.sum()).argmax(axis=0)
    columns = np.arange(values.shape[1])
    medians: Float64Array = values[order[places, columns], columns]
    return medians


def _measure(
    points: Points, members: Int64Array, votes: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """``along``, ``across`` and ``noise`` of the groups of one cell.

    Members are ordered by batch. Their weighted sums are exact in float64: 30 bits
    each, and no more of them than 23 bits can count.
    """
    vectors = points.vectors[members] / COMPONENT_ONE
    weights = points.weights[members].astype(np.float64)
    starts = group_starts(points.batches[members])
    sums = np.add.reduceat(vectors * weights[:, np.newaxis], starts, axis=0)
    group_weights = np.add.reduceat(weights, starts)
    counts = np.diff(np.r_[starts, len(members)])
    middle = _middle(sums, group_weights, counts, votes)
    along = np.einsum("ij,j->i", sums, middle)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    apart = squares - np.square(np.einsum("ij,j->i", vectors, middle))
    noise = np.add.reduceat(np.square(weights) * apart, starts)
    across = np.einsum("ij,ij->i", sums, sums) - np.square(along) - noise
    return along, across, noise


def _middle(
    sums: Float64Array, weights: Float64Array, counts: Int64Array, votes: Float64Array
) -> Float64Array:
    """The middle of a cell, of unit length."""
    has_say = counts >= _LEAST_PATTERNS
    means = sums[has_say] / weights[has_say, np.newaxis]
    ballots = votes[has_say]
    if counts[~has_say].sum() >= _LEAST_PATTERNS or not has_say.any():
        together = sums[~has_say].sum(axis=0) / weights[~has_say].sum()
        means = np.vstack([means, together])
        ballots = np.append(ballots, votes[~has_say].sum())
    middle = weighted_medians(means, ballots)
    length = np.sqrt(np.square(middle).sum())
    return middle / max(float(length), _TINY)


def _deviating_on_the_whole(
    groups: BatchGroups, numbers: Int64Array, fleet: Float64Array
) -> BoolArray:
    """Batches that turn away in all their cells together."""
    is_paired = groups.pairs > 0
    means = groups.along / groups.weights
    pairs = float_sums(numbers, groups.pairs)
    across = float_sums(numbers, np.where(is_paired, groups.across, 0))
    ahead = float_sums(numbers, groups.pairs * np.sign(means) * np.square(means))
    noise = np.sqrt(
        float_sums(numbers, np.square(np.where(is_paired, groups.noise, 0)))
    )
    turns = _squared_sines(across, ahead)
    return _outvoted(turns, across / np.maximum(noise, _TINY), fleet, pairs > 0)


def _turns(
    across: Float64Array,
    along: Float64Array,
    weights: Float64Array,
    pairs: Float64Array,
) -> Float64Array:
    means = along / weights
    return _squared_sines(
        across / np.maximum(pairs, _TINY), np.sign(means) * np.square(means)
    )


def _squared_sines(aside: Float64Array, ahead: Float64Array) -> Float64Array:
    """Of the angle, by the squares of its sides; 1 beyond a right angle."""
    aside = np.maximum(aside, 0)
    sines = aside / np.maximum(aside + np.maximum(ahead, 0), _TINY)
    turns: Float64Array = np.where(ahead > 0, sines, 1.0)
    return turns


def _outvoted(
    turns: Float64Array,
    certainty: Float64Array,
    votes: Float64Array,
    has_say: BoolArray,
) -> BoolArray:
    """Those with a say that the others clearly disagree with."""
    nobody = np.zeros(len(turns), dtype=np.bool_)
    if len(turns) < LEAST_BATCHES or not has_say.any():
        return nobody
    usual = weighted_medians(turns[has_say, np.newaxis], votes[has_say])[0]
    limit = max(_TURN, _UNUSUAL * float(usual))
    is_out: BoolArray = has_say & (turns > limit) & (certainty > _CERTAINTY)
    if votes[is_out].sum() >= _LARGEST_SHARE * votes.sum():
        return nobody
    return is_out


def _runs(sorted_rows: Int64Array) -> list[tuple[int, int]]:
    starts = group_starts(sorted_rows)
    ends = np.r_[starts[1:], len(sorted_rows)]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _cells(
    group_rows: Int64Array, starts: Int64Array, n_points: int
) -> list[tuple[int, int, int, int]]:
    """Where the points and the groups of each cell begin and end."""
    bounds = np.r_[starts, n_points]
    return [
        (int(bounds[low]), int(bounds[high]), low, high)
        for low, high in _runs(group_rows)
    ]
