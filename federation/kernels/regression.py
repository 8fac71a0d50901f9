"""How much each content speaks for another, all others in view: a small regression.

Two contents may be found in the same TVs only because both go with a third. So every
content is regressed on the contents it is found with, and what is left of each of
them counts. Only operations that IEEE 754 rounds in one way are used, none of a
library of linear algebra: every machine finds the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Float64Array, Int64Array, group_starts

#: A content is regressed on so many of those it is found with, the closest by cosine.
NEIGHBOURS = 64

#: The ridge, for each TV that has to stand behind a pair. What fewer share is unknown,
#: so the more that are needed, the less the counts are to be trusted.
RIDGE_PER_DEVICE = 20

# Elements of the matrices that are solved side by side: 2 MiB.
_BATCH_ELEMENTS = 1 << 18

_CODE_BITS = 32


@dataclass(frozen=True)
class BackedPairs:
    """The pairs of contents that enough TVs have, and what surrounds them."""

    #: Contents of each pair, ``first < second``; sorted, no pair twice. (n,)
    first: Int64Array
    second: Int64Array
    #: Distinct TVs with both. (n,)
    together: Int64Array
    #: Distinct TVs with each content. (n_contents,)
    devices: Int64Array
    #: Sum of the TVs with both over all pairs, backed or not.
    pair_total: int
    min_devices: int


@dataclass(frozen=True)
class Edges:
    """Contents that speak for others, by target, then by source."""

    sources: Int64Array
    targets: Int64Array
    #: Any sign; of the order of 1 at most.
    coefficients: Float64Array
    #: Distinct TVs with both.
    together: Int64Array


def regress(pairs: BackedPairs, *, neighbours: int = NEIGHBOURS) -> Edges:
    """Regress each content on its closest neighbours.

    Parameters
    ----------
    pairs : BackedPairs
        Merged over all shards.
    neighbours : int, default 64
        How many at most.

    Returns
    -------
    Edges
        Each backed pair at most once in each direction.

    Notes
    -----
    Content ``j`` with neighbours ``S`` gets ``b = (G_SS + λ I)⁻¹ G_Sj``: EASE^R's
    regression of one column without the column itself, kept to neighbours as in fsSLIM.
    ``G`` counts the TVs with both, and on its diagonal those with one. Of pairs that
    too few TVs have, nothing is used but that: as many are assumed as chance would
    give, ``n_a n_b 2 T / (Σ n)²`` for ``T`` pairs in all, yet fewer than
    ``min_devices``. ``λ`` is 20 ``min_devices``.

    ``G_SS`` need not be positive definite then. No pivot of a matrix that is can be
    below ``λ``, so none is let fall below.

    Time is ``O(neighbours²)`` for each backed pair, of which a round's budget of pairs
    allows ``budget / min_devices``. Memory is that of the pairs.

    References
    ----------
    Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data, section 3.1.
    https://arxiv.org/abs/1905.03375
    Ning, Karypis (2011), SLIM: Sparse Linear Methods for Top-N Recommender Systems,
    section 4.3 (fsSLIM).
    """
    sources, targets, together = _neighbourhoods(pairs, neighbours)
    edges = Edges(sources, targets, np.zeros(len(sources)), together)
    if len(sources) == 0:
        return edges

    starts = group_starts(targets)
    sizes = np.diff(np.r_[starts, len(targets)])
    place = np.arange(len(targets)) - np.repeat(starts, sizes)
    by_size = np.argsort(sizes, kind="stable")
    done = 0
    while done < len(by_size):
        width = int(sizes[by_size[done]])
        batch = by_size[done : done + max(1, _BATCH_ELEMENTS // width**2)]
        # The last is the widest, and may not fill more than was meant either.
        batch = batch[: max(1, _BATCH_ELEMENTS // int(sizes[batch[-1]]) ** 2)]
        done += len(batch)
        column = np.repeat(np.arange(len(batch)), sizes[batch])
        edge = np.repeat(starts[batch], sizes[batch]) + (
            np.arange(len(column))
            - np.repeat(np.cumsum(sizes[batch]) - sizes[batch], sizes[batch])
        )
        found = _solved(pairs, edges, edge, place[edge], column)
        edges.coefficients[edge] = found[place[edge], column]
    return edges


def _neighbourhoods(
    pairs: BackedPairs, neighbours: int
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Sources, targets and TVs with both, the closest of each target."""
    devices = pairs.devices.astype(np.float64)
    cosines = pairs.together / np.sqrt(devices[pairs.first] * devices[pairs.second])
    sources = np.concatenate([pairs.first, pairs.second])
    targets = np.concatenate([pairs.second, pairs.first])
    order = np.lexsort((sources, -np.concatenate([cosines, cosines]), targets))
    starts = group_starts(targets[order])
    sizes = np.diff(np.r_[starts, len(order)])
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    kept = order[place < neighbours]
    kept = kept[np.lexsort((sources[kept], targets[kept]))]
    together = np.concatenate([pairs.together, pairs.together])
    return sources[kept], targets[kept], together[kept]


def _solved(
    pairs: BackedPairs,
    edges: Edges,
    edge: Int64Array,
    place: Int64Array,
    column: Int64Array,
) -> Float64Array:
    """Coefficients of several targets, one a column, their neighbours in rows."""
    shape = int(place.max()) + 1, int(column.max()) + 1
    # Where a target has fewer neighbours stands a content that no TV has.
    nobody = len(pairs.devices)
    members = np.full(shape, nobody, np.int64)
    members[place, column] = edges.sources[edge]
    right = np.zeros(shape)
    right[place, column] = edges.together[edge]
    ridge = float(RIDGE_PER_DEVICE * pairs.min_devices)
    return _solve(_gram(pairs, members, ridge), right, least_pivot=ridge)


def _gram(pairs: BackedPairs, members: Int64Array, ridge: float) -> Float64Array:
    """``G_SS + λ I`` of each column of members, ascending. (m, m, n)"""
    devices = np.append(pairs.devices, 0).astype(np.float64)[members]
    size = len(members)
    rows, columns = np.triu_indices(size, 1)
    keys = pairs.first << _CODE_BITS | pairs.second
    wanted = members[rows] << _CODE_BITS | members[columns]
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    by_chance = devices[rows] * devices[columns] * _chance(pairs)
    counts = np.where(
        keys[at] == wanted,
        pairs.together[at],
        np.minimum(by_chance, pairs.min_devices - 1),
    )
    gram = np.empty((size, *members.shape))
    gram[rows, columns] = counts
    gram[columns, rows] = counts
    gram[np.arange(size), np.arange(size)] = devices + ridge
    return gram


def _chance(pairs: BackedPairs) -> float:
    """TVs with both of two contents, for one TV with each, were all independent."""
    total = int(pairs.devices.sum())
    return 2 * pairs.pair_total / total**2


def _solve(
    matrix: Float64Array, right: Float64Array, *, least_pivot: float
) -> Float64Array:
    """Solve symmetric systems by elimination, one in each place of the last axis.

    ``matrix`` has shape (m, m, n) and ``right`` (m, n); both are overwritten.
    """
    size = len(matrix)
    for k in range(size):
        np.maximum(matrix[k, k], least_pivot, out=matrix[k, k])
        factors = matrix[k + 1 :, k] / matrix[k, k]
        matrix[k + 1 :, k + 1 :] -= factors[:, None] * matrix[k, k + 1 :]
        right[k + 1 :] -= factors * right[k]
    for k in reversed(range(size)):
        right[k] /= matrix[k, k]
        right[:k] -= matrix[:k, k] * right[k]
    return right
