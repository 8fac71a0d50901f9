"""Noise: how much of it a round needs, and what a round then tells of any one TV.

OpenDP draws it and does the accounting; imported by rounds with noise only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain, map_domain, vector_domain
from opendp.measurements import make_gaussian, make_gaussian_threshold
from opendp.metrics import absolute_distance, l02inf_distance, l2_distance
from opendp.mod import enable_features

from .arrays import Int64Array
from .blocks import EMBEDDING_DIMENSIONS
from .clipping import Clipping
from .errors import KernelInputError
from .quantise import COMPONENT_ONE, RATE_ONE, WEIGHT_ONE

# OpenDP's word for what its committee has not yet looked at twice.
enable_features("contrib")

_VECTORS = (vector_domain(atom_domain(T="i64")), l2_distance(T="f64"))
_NAMED_COUNTS = (
    map_domain(atom_domain(T="i64"), atom_domain(T="i64")),
    l02inf_distance(absolute_distance(T="f64")),
)

#: Beyond it nothing is hidden.
LARGEST_EPSILON = 100.0

# How the privacy of a round is shared out: which shards have TVs in a cell, sums over
# cells, and counts of TVs, which links need most of.
_SHARES = {"sources": 0.1, "sums": 0.3, "counts": 0.6}

# Weights and deficits may be this many times as noisy as a component of a vector: they
# are sums over a cell, not what is left of 384 opposing ones.
_COARSER = 4.0


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """Gaussian noise on some whole numbers, each as if it were drawn alone."""

    name: str
    #: Standard deviation, in units of what the noise is added to.
    scale: float
    #: How far one TV can move all of them together, in the same units: Euclidean.
    sensitivity: float
    #: How many of them one TV can move, and what one at least is shown with. Only of
    #: counts whose names are data themselves; else 0.
    at_most: int = 0
    threshold: int = 0
    #: What it costs: zero-concentrated, and chance that a threshold fails.
    rho: float
    delta: float = 0.0


@dataclass(frozen=True, kw_only=True)
class NoisePlan:
    """All noise of a round. A pure function of what it was planned for."""

    epsilon: float
    delta: float
    #: What counts of one TV.
    clipping: Clipping
    #: Distinct TVs that must truly stand behind what is counted.
    min_devices: int
    sources: Mechanism
    vectors: Mechanism
    weights: Mechanism
    deficits: Mechanism
    counts: Mechanism

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        return (self.sources, self.vectors, self.weights, self.deficits, self.counts)

    @property
    def rho(self) -> float:
        return math.fsum(each.rho for each in self.mechanisms)

    @property
    def threshold_delta(self) -> float:
        return math.fsum(each.delta for each in self.mechanisms)

    @property
    def least_count(self) -> int:
        """What is counted is shown from this on: ``min_devices``, and the noise."""
        return self.min_devices - 1 + self.counts.threshold


def plan_noise(
    *,
    epsilon: float,
    delta: float,
    clipping: Clipping,
    min_devices: int,
    min_quality: float,
) -> NoisePlan:
    """Decide how much noise a round needs.

    Parameters
    ----------
    epsilon : float
        Above 0, to ``LARGEST_EPSILON``. What the round may tell of one TV: that it
        takes part changes the chance of any outcome by ``exp(epsilon)`` at most...
    delta : float
        ...but for outcomes of this chance. Above 0, and far below one in the fleet.
    clipping : Clipping
        What counts of one TV.
    min_devices : int
        Distinct TVs that must stand behind anything, noise or not.
    min_quality : float
        Success rate that every pattern has, 0 to 1.

    Returns
    -------
    NoisePlan
        With ``epsilon_of(plan.rho, delta / 2) <= epsilon`` and
        ``plan.threshold_delta <= delta / 2``.

    Raises
    ------
    KernelInputError
        If epsilon or delta is out of range.

    Notes
    -----
    Neighbours are fleets of which one has one TV more. What a TV moves at most, P, C
    and G being its patterns, contents and genres (``Clipping``):

    - *sources*: TVs by cell on its own shard, 1 in each of P cells.
    - *vectors*: ``|sum w x| <= sum w <= 1``, as ``|x| <= 1``; stored components are
      rounded, which adds half a unit to each.
    - *weights* and *deficits*: ``sum w <= 1`` and ``sum w (1 - r) <= 1 - min_quality``.
      Success is 1 less deficit by weight: so little is left to be hidden.
    - *counts*, all in one: TVs by cell (P), cell and batch (P), cell and code of three
      contexts (3 P), cell and content (C), cell and genre (G), region (1), region and
      item (C + G), paired content (C), pair of contents (C (C - 1) / 2). Each is moved
      by 1, so all together by the root of how many they are.

    Names are data: that a name is there tells that somebody had it. What fewer than
    ``min_devices`` TVs have is dropped first, k - 1 is taken off what is left, so that
    one TV more brings a new name in with a count of 1, and only noisy counts from a
    threshold on are shown, which that 1 reaches with chance delta (stability).
    So both hold: k true TVs, and differential privacy.

    References
    ----------
    Bun, Steinke (2016), Concentrated Differential Privacy (zCDP, Gaussian mechanism).
    Canonne, Kamath, Steinke (2020), The Discrete Gaussian for Differential Privacy.
    Rogers (2023), A Unifying Privacy Analysis Framework for Unknown Domain Algorithms.
    """
    if not (0 < epsilon <= LARGEST_EPSILON and 0 < delta < 1):
        raise KernelInputError(
            f"epsilon is {epsilon} and delta {delta}; expected above 0, to "
            f"{LARGEST_EPSILON} and below 1."
        )
    rho = _rho_for(epsilon, delta / 2)
    share = {name: rho * part for name, part in _SHARES.items()}
    # rho = (1 + 2 / coarser^2) / (2 scale^2) in units of what one TV can have
    relative = math.sqrt((1 + 2 / _COARSER**2) / (2 * share["sums"]))
    vector = WEIGHT_ONE * (COMPONENT_ONE + math.sqrt(EMBEDDING_DIMENSIONS) / 2)
    deficit = float(WEIGHT_ONE * (math.ceil((1 - min_quality) * RATE_ONE) + 1))
    p, c, g = clipping.patterns, clipping.contents, clipping.genres
    n_counts = 5 * p + 3 * c + 2 * g + 1 + clipping.pairs
    return NoisePlan(
        epsilon=epsilon,
        delta=delta,
        clipping=clipping,
        min_devices=min_devices,
        sources=_counting("sources", p, share["sources"], delta / 4),
        vectors=_adding("vectors", vector, relative),
        weights=_adding("weights", float(WEIGHT_ONE), relative * _COARSER),
        deficits=_adding("deficits", deficit, relative * _COARSER),
        counts=_counting("counts", n_counts, share["counts"], delta / 4),
    )


def epsilon_of(rho: float, delta: float) -> float:
    """What ``rho`` comes to.

    Parameters
    ----------
    rho : float
        At least 0; the sum over everything that was ever shown of the same TVs.
    delta : float
        Above 0.

    Returns
    -------
    float
        Epsilon, by OpenDP's conversion.
    """
    if rho == 0:
        return 0.0
    profile = _converter().map(d_in=math.sqrt(2 * rho))
    return float(profile.epsilon(delta=delta))


def noisy(values: Int64Array, mechanism: Mechanism) -> Int64Array:
    """Add noise to each of some numbers.

    Parameters
    ----------
    values : ndarray of shape (n,), int64
        Any numbers; what doesn't fit into 64 bits any more becomes the largest.
    mechanism : Mechanism
        One without a threshold.

    Returns
    -------
    ndarray of shape (n,), int64
    """
    measurement = make_gaussian(*_VECTORS, scale=mechanism.scale)
    return np.array(measurement(values.tolist()), dtype=np.int64)


def shown(counts: Int64Array, mechanism: Mechanism) -> Int64Array:
    """Add noise to counts and hide the small ones.

    Parameters
    ----------
    counts : ndarray of shape (n,), int64
        At least 0. What nobody has stays hidden.
    mechanism : Mechanism
        One with a threshold.

    Returns
    -------
    ndarray of shape (n,), int64
        From the threshold on; 0 for hidden ones.
    """
    measurement = make_gaussian_threshold(
        *_NAMED_COUNTS, scale=mechanism.scale, threshold=mechanism.threshold
    )
    there = np.flatnonzero(counts)
    kept = measurement(dict(zip(there.tolist(), counts[there].tolist(), strict=True)))
    seen = np.zeros_like(counts)
    seen[list(kept)] = list(kept.values())
    return seen


@cache
def _converter() -> Any:
    # With noise of 1, a distance of d costs d^2 / 2.
    return make_zCDP_to_approxDP(make_gaussian(*_VECTORS, scale=1.0))


@cache
def _rho_for(epsilon: float, delta: float) -> float:
    """The most rho whose epsilon is no more, to 2**-50 of it."""
    low, high = 0.0, epsilon
    for _ in range(50):
        middle = (low + high) / 2
        if epsilon_of(middle, delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low


def _adding(name: str, sensitivity: float, relative: float) -> Mechanism:
    scale = relative * sensitivity
    measurement: Any = make_gaussian(*_VECTORS, scale=scale)
    return Mechanism(
        name=name,
        scale=scale,
        sensitivity=sensitivity,
        rho=measurement.map(d_in=sensitivity),
    )


def _counting(name: str, at_most: int, rho: float, delta: float) -> Mechanism:
    """Noise for counts of which a TV moves ``at_most`` by 1."""
    sensitivity = math.sqrt(at_most)
    scale = sensitivity / math.sqrt(2 * rho)
    # 1 and noise reach it with chance delta / at_most, or a little more: noise comes in
    # whole numbers.
    threshold = math.ceil(1 - scale * NormalDist().inv_cdf(delta / at_most))
    while True:
        measurement: Any = make_gaussian_threshold(
            *_NAMED_COUNTS, scale=scale, threshold=threshold
        )
        rho_used, delta_used = measurement.map(d_in=(at_most, sensitivity, 1.0))
        if delta_used <= delta:
            break
        threshold += 1
    return Mechanism(
        name=name,
        scale=scale,
        sensitivity=sensitivity,
        at_most=at_most,
        threshold=threshold,
        rho=rho_used,
        delta=delta_used,
    )
