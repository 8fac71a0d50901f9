"""One region in one round: which items stand out from their own past, and how much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from statistics import NormalDist
from typing import NamedTuple

from .composition import Composition

#: Steady items score at most this, others at least: the list is never empty in a
#: quiet hour, and what is merely popular never stands above what rises.
STEADY_SCORE = 0.25

# How many items of a region and round may stand out by chance, on average.
_CHANCE_FINDS = 0.03

# Usual rates wobble from round to round, at least by this much of themselves.
_LEAST_WOBBLE = 0.1

# What a round may add to what is known of an item's wobble: a trend is no habit.
_HABIT_ERRORS = 3.0

# Histories of items this rare are forgotten: below one TV in a hundred thousand.
_FORGOTTEN_RATE = 1e-5


class Kind(StrEnum):
    """What becomes of an item."""

    #: It rises, and usually too few TVs name it to be shown.
    NEW = "new"
    RISING = "rising"
    STEADY = "steady"
    FADING = "fading"


@dataclass(frozen=True)
class ItemHistory:
    """The decayed mean of an item's past rates in a region."""

    mean_rate: float
    #: How many rounds the mean stands for, the last counting one...
    effective_rounds: float
    #: ...and how many TVs that reported in them, those of older rounds counting less.
    effective_reporters: float
    #: Variance of its rates from round to round, beyond chance.
    variance: float = 0.0


@dataclass(frozen=True)
class Judged:
    """An item's place in a round."""

    kind: Kind
    score: float
    rate: float
    usual_rate: float
    device_count: int


class _Standing(NamedTuple):
    """How far a rate is from what is expected."""

    distance: float
    #: The standard error of the distance, and what of it is chance.
    error: float
    chance: float


_AS_EXPECTED = _Standing(0.0, 1.0, 1.0)


class Season:
    """The items of one region in one round.

    Parameters
    ----------
    device_counts : mapping of str to int
        Distinct TVs that named each item; what fewer than ``min_devices`` TVs of the
        whole fleet named may be missing.
    n_reporters : int
        TVs that reported, at least 1.
    past : mapping of str to ItemHistory
        By item.
    composition : Composition
        The shards behind the history and behind this round.
    min_devices : int
        Distinct TVs behind anything shown.

    Notes
    -----
    With n reporting TVs of which a share r named the item, and a usual rate m that
    stands for e rounds in which N TVs reported, a steady item is expected between
    ``low(m) min(f, 1)`` and ``high(m) max(f, 1)``. ``low`` and ``high`` are what shards
    that are missing can explain, m itself in a whole fleet; f, the weighted median of
    r / m over the region's items, takes out rounds in which TVs report more than
    usual or less. An item may have gone unseen at ``(min_devices - 1) e / N``, which m
    is taken to be at least before it rises: a fleet that has grown sees much that
    isn't new.

    Its distance from there has two reasons to be held against. Chance: the signed root
    of the likelihood ratio of two binomial counts, ``r n`` of n and ``m N`` of N
    (Wilks, 1938), z, so that the distance is worth z standard errors. And habit: items
    go up and down with the hour and the day, by 0.1 m at least or by what their history
    shows. It stands out if the distance is more than q joint errors, q being the normal
    quantile at which 0.03 items of a region would do so by chance.

    What stands out scores ``1/4 + 3/4 (1 - exp(-d))``, d being the square root of the
    divergence ``r ln(r/v) + (1-r) ln((1-r)/(1-v))`` of its rate from the expected one
    and one TV more, v: a large change of a small rate and a change of a large one both
    show. Any other item scores ``r / 4``, or r in the region's first round.

    The history moves to ``(d N m + n r) / (d N + n)`` over ``d N + n`` TVs and
    ``d e + 1`` rounds, d being the decay: a round of few TVs says little.
    """

    def __init__(
        self,
        device_counts: Mapping[str, int],
        n_reporters: int,
        past: Mapping[str, ItemHistory],
        *,
        composition: Composition,
        min_devices: int,
    ) -> None:
        self._device_counts = device_counts
        self._n = n_reporters
        self._past = past
        self._composition = composition
        self._min_devices = min_devices
        # An item that was never seen was unseen as long as the region is known.
        known = past.values()
        self._rounds = max((each.effective_rounds for each in known), default=0.0)
        self._reporters = max((each.effective_reporters for each in known), default=0.0)
        #: All that was named, in this round or before, in alphabetical order.
        self.items = sorted({*device_counts, *past})
        chance = _CHANCE_FINDS / max(len(self.items), 1)
        self._quantile = NormalDist().inv_cdf(1 - chance)
        self._standings: dict[str, _Standing] = {}

    def judge(self, item: str) -> Judged:
        """Tell an item's kind and score.

        Parameters
        ----------
        item : str
            One that was named in this round or before.

        Returns
        -------
        Judged
            Of a fading item that fewer than ``min_devices`` TVs named, neither rate nor
            count is told: both are 0.
        """
        rate, usual_rate = self._rate(item), self._usual_rate(item)
        count = self._device_counts.get(item, 0)
        kind = self._kind(item)
        if kind is Kind.FADING and count < self._min_devices:
            rate, count = 0.0, 0
        return Judged(kind, self._score(item, kind), rate, usual_rate, count)

    def cannot_tell(self, item: str, rate: float) -> bool:
        """Whether so few TVs reported that an item of this rate needn't show.

        Parameters
        ----------
        item : str
            One of the last round's trends.
        rate : float
            Its rate then.

        Returns
        -------
        bool
            False for an item that is shown.
        """
        is_shown = self._device_counts.get(item, 0) >= self._min_devices
        return not is_shown and rate * self._n < self._min_devices

    def next_history(self, decay: float) -> dict[str, ItemHistory]:
        """What the next round is held against.

        Parameters
        ----------
        decay : float
            Weight of a round one round later.

        Returns
        -------
        dict of str to ItemHistory
            In alphabetical order; items that hardly anybody names are forgotten.
        """
        carried = decay * self._reporters
        rounds, reporters = decay * self._rounds + 1, carried + self._n
        moved = {}
        for item in self.items:
            named = carried * self._usual_rate(item) + self._device_counts.get(item, 0)
            if named >= _FORGOTTEN_RATE * reporters:
                before = decay * self._rounds * self._variance(item)
                variance = (before + self._beyond_chance(item)) / rounds
                moved[item] = ItemHistory(
                    named / reporters, rounds, reporters, variance
                )
        return moved

    def _kind(self, item: str) -> Kind:
        if self._reporters == 0:
            return Kind.STEADY
        distance, error, _ = self._standing(item)
        if abs(distance) <= self._quantile * error:
            return Kind.STEADY
        if distance < 0:
            return Kind.FADING
        was_shown = self._usual_rate(item) * self._n >= self._min_devices
        return Kind.RISING if was_shown else Kind.NEW

    def _score(self, item: str, kind: Kind) -> float:
        rate = self._rate(item)
        if self._reporters == 0:
            return rate
        if kind is Kind.STEADY:
            return STEADY_SCORE * rate
        low, high = self._expected(item)
        expected = low if kind is Kind.FADING else high
        floor = min(expected + 1 / self._n, 1.0)
        strength = math.sqrt(max(_divergence(rate, floor), 0.0))
        return STEADY_SCORE + (1 - STEADY_SCORE) * (1 - math.exp(-strength))

    def _standing(self, item: str) -> _Standing:
        known = self._standings.get(item)
        if known is None:
            known = self._standings[item] = self._stand(item)
        return known

    def _stand(self, item: str) -> _Standing:
        rate = self._rate(item, or_unseen=True)
        low, high = self._expected(item)
        if low <= rate <= high:
            return _AS_EXPECTED
        expected = high if rate > high else low
        distance = rate - expected
        chance = self._chance_error(rate, expected, self._known_rate(item))
        wobble = max(_LEAST_WOBBLE * expected, math.sqrt(self._variance(item)))
        return _Standing(distance, math.hypot(chance, wobble), chance)

    def _chance_error(self, rate: float, expected: float, known_rate: float) -> float:
        """The standard error that chance gives to a distance."""
        # A bound that is k times the known rate is known k times less well.
        past = self._reporters / max(expected / known_rate, 1.0)
        # One TV at least on either side: what was never seen may have been missed.
        nearer_rate = max(rate, 1 / self._n)
        nearer = min(max(expected, 1 / past), 1.0)
        pooled = (nearer_rate * self._n + nearer * past) / (self._n + past)
        ratio = self._n * _divergence(nearer_rate, pooled)
        ratio += past * _divergence(nearer, pooled)
        errors = math.sqrt(2 * max(ratio, 0.0))
        return abs(rate - expected) / errors if errors else math.inf

    def _expected(self, item: str) -> tuple[float, float]:
        """The least and the most that a steady item's rate can be."""
        low = self._composition.lowest(self._usual_rate(item)) * min(self._volume, 1.0)
        high = self._composition.highest(self._known_rate(item))
        return low, min(high * max(self._volume, 1.0), 1.0)

    def _beyond_chance(self, item: str) -> float:
        """The squared distance of this round that chance does not explain."""
        if item not in self._past:
            return 0.0  # what is new has no habits yet
        distance, error, chance = self._standing(item)
        if not distance or math.isinf(chance):
            return 0.0
        explained = min(abs(distance), _HABIT_ERRORS * error)
        return max(explained**2 - chance**2, 0.0)

    @cached_property
    def _unseen_rate(self) -> float:
        """The most an item can have had without being counted or remembered."""
        if self._reporters == 0:
            return 0.0
        uncounted = (self._min_devices - 1) * self._rounds / self._reporters
        return min(max(uncounted, _FORGOTTEN_RATE), 1.0)

    @cached_property
    def _volume(self) -> float:
        """Weighted median over the usual items of rate now / usual rate."""
        # Weighted by both: by the usual rate alone, what was high by chance would weigh
        # more, and every round seem quieter than the last.
        ratios = sorted(
            (self._rate(item) / each.mean_rate, each.mean_rate + self._rate(item))
            for item, each in self._past.items()
            if each.mean_rate > 0
        )
        half = math.fsum(weight for _, weight in ratios) / 2
        reached = 0.0
        for ratio, weight in ratios:
            reached += weight
            if reached >= half:
                return ratio
        return 1.0

    def _rate(self, item: str, *, or_unseen: bool = False) -> float:
        """The share of TVs that named it; at most so many if it wasn't counted."""
        count = self._device_counts.get(item)
        if count is None:
            unseen = min(self._min_devices - 1, self._n) if or_unseen else 0
            usual = self._usual_rate(item)
            return min(unseen / self._n, usual) if or_unseen else 0.0
        return count / self._n

    def _usual_rate(self, item: str) -> float:
        return self._past[item].mean_rate if item in self._past else 0.0

    def _known_rate(self, item: str) -> float:
        """Its usual rate, or what may have gone unseen."""
        return max(self._usual_rate(item), self._unseen_rate)

    def _variance(self, item: str) -> float:
        return self._past[item].variance if item in self._past else 0.0


def _divergence(rate: float, expected: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    divergence = rate * math.log(rate / expected) if rate > 0 else 0.0
    if rate < 1 and expected < 1:
        divergence += (1 - rate) * math.log((1 - rate) / (1 - expected))
    return divergence
