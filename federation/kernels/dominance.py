"""Leaves no direction of a covariance to one TV.

A direction in which only one TV's patterns lie is a piece of that TV's patterns. The
rule is that of statistical disclosure control, as for cells, and for every direction
there is, not only for the axes of some basis: within the sum of all products ``r rᵀ``,
the share of a TV is largest along one direction, and there it is an eigenvalue.
"""

from __future__ import annotations

import numpy as np

from .arrays import Float64Array, Int64Array, group_starts

#: Nobody's: this much of the whole variance is added evenly to all directions, so that
#: along each there is something to have a share of.
EVEN_SHARE = 0.02

#: Mostly one is enough. Where there are hardly more TVs than dimensions, about ten:
#: what one TV gives up makes the others' shares larger.
_ROUNDS = 20
_TOLERANCE = 1.001

#: Instead of zero where something is divided by.
_TINY = float(np.finfo(np.float32).tiny)


def shared_covariance(
    apart: Float64Array, tvs: Int64Array, *, largest_share: float
) -> Float64Array:
    """The covariance of differences, with no TV standing out in any direction.

    Differences of a TV that has more than its share somewhere are shortened until it
    has not, and all of the covariance is scaled back to what it was. 16,384 patterns
    take a second of one core, of 64 TVs a quarter of a minute.

    Parameters
    ----------
    apart : ndarray of shape (n, d), float64
        Differences between patterns and their cells, at least one.
    tvs : ndarray of shape (n,), int64
        Which TV each pattern is from, by any numbers.
    largest_share : float
        What one TV may have of the variance along any direction, below 1.

    Returns
    -------
    ndarray of shape (d, d), float64
        Its trace is the mean of ``|r|²``, or next to nothing where that is zero.
    """
    n, dimensions = apart.shape
    order = np.argsort(tvs, kind="stable")
    rows = apart[order]
    starts = group_starts(tvs[order])
    energy = max(float(np.einsum("ij,ij->", rows, rows)), _TINY)
    even = EVEN_SHARE * energy / dimensions * np.eye(dimensions)
    for _ in range(_ROUNDS):
        total = rows.T @ rows + even
        shares = _largest_shares(rows, starts, total, above=largest_share)
        if shares.max() <= largest_share * _TOLERANCE:
            break
        factors = _factors(shares, largest_share)
        factors = np.repeat(factors, np.diff(starts, append=n))
        rows = rows * factors[:, None]
    shared: Float64Array = rows.T @ rows + even
    shared *= energy / n / float(np.trace(shared))
    return shared


def _largest_shares(
    rows: Float64Array, starts: Int64Array, total: Float64Array, *, above: float
) -> Float64Array:
    """The largest share of each TV along any direction, or what is no less.

    Rows of TV i begin at ``starts[i]``. Exact only for shares above ``above``.
    """
    # Along v a TV has vᵀ(Σ r rᵀ)v of vᵀ total v; with v turned by the root of total,
    # the largest such quotient is the largest eigenvalue.
    dimensions = rows.shape[1]
    whitened = np.linalg.solve(np.linalg.cholesky(total), rows.T).T
    # Their sum is no less, and mostly small enough.
    shares: Float64Array = np.add.reduceat(
        np.einsum("ij,ij->i", whitened, whitened), starts
    )
    ends = np.append(starts[1:], len(rows))
    for tv in np.flatnonzero(shares > above):
        own = whitened[starts[tv] : ends[tv]]
        # Those of the smaller product are the same, and found much faster.
        products = own @ own.T if len(own) < dimensions else own.T @ own
        shares[tv] = np.linalg.eigvalsh(products)[-1]
    return shares


def _factors(shares: Float64Array, largest_share: float) -> Float64Array:
    """By what to multiply each TV's differences, so that its share is small enough."""
    shares = np.clip(shares, _TINY, 1 - 1e-9)
    allowed = largest_share / (1 - largest_share)
    factors: Float64Array = np.minimum(1, np.sqrt(allowed * (1 - shares) / shares))
    return factors
