"""What is rising, region by region.

Popular is not trending: an item is held against its own decayed history, in shares of
the TVs that reported, so that neither its size nor a shard that did not answer counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .errors import KernelInputError
from .sparse import SparseCounts

#: The region of all TVs together.
GLOBAL_REGION = "global"

#: How many trends a region gets.
TRENDS_PER_REGION = 50

# Steady items score at most this, rising ones at least: the list is never empty in a
# quiet hour, and what is merely popular never stands above what rises.
_STEADY_SCORE = 0.25

# A rise is told from noise at three standard errors...
_RISE_ERRORS = 3.0
# ...where usual rates are also granted this relative wobble from round to round.
_USUAL_WOBBLE = 0.1

# Histories of items this rare are forgotten: below one TV in a hundred thousand.
_FORGOTTEN_RATE = 1e-5


@dataclass(frozen=True)
class Trend:
    """An item in a region, and how much it stands out this round."""

    region: str
    #: A content id, or ``genre:<name>``.
    item: str
    #: 0 to 1; above 0.25 it rises, below it is steady.
    score: float
    #: Share of the reporting TVs that named it, now and usually.
    rate: float
    usual_rate: float
    #: Distinct TVs that named it this round.
    device_count: int


@dataclass(frozen=True)
class ItemHistory:
    """The decayed mean of an item's past rates in a region."""

    mean_rate: float
    #: How many rounds the mean stands for, the last counting one...
    effective_rounds: float
    #: ...and how many TVs that reported in them, those of older rounds counting less.
    effective_reporters: float


#: By region and item. An item without an entry was never seen in its region.
TrendHistory = Mapping[tuple[str, str], ItemHistory]


@dataclass(frozen=True)
class TrendOutcome:
    """The trends of a round and the history the next one is held against."""

    #: By region in alphabetical order, then by score, highest first.
    trends: list[Trend]
    #: Complete: entries that are not here are forgotten.
    history: dict[tuple[str, str], ItemHistory]


def find_trends(
    region_items: SparseCounts,
    reporters: Mapping[str, int],
    *,
    history: TrendHistory,
    previous: Sequence[Trend] = (),
    decay: float,
    min_devices: int,
    per_region: int = TRENDS_PER_REGION,
) -> TrendOutcome:
    """Score what TVs named this round against what they usually name.

    Parameters
    ----------
    region_items : SparseCounts
        Distinct TVs by (region, item) in fresh patterns: ``CellSums.region_items``.
    reporters : mapping of str to int
        TVs with a fresh pattern by region: ``CellSums.reporters()``. All of them
        together are the region ``global``, in which TVs of no other region count too.
    history : mapping of (region, item) to ItemHistory
        What the last round returned; empty for the first round.
    previous : sequence of Trend, optional
        The trends of the last round, kept for regions where hardly anybody reported.
    decay : float
        Weight of a round's rates one round later, above 0 and below 1.
    min_devices : int
        Distinct TVs that must have named an item this round. What fewer named may be
        missing in ``region_items``.
    per_region : int, default 50
        How many trends a region gets at most.

    Returns
    -------
    TrendOutcome
        Trends, and the history for the next round.

    Raises
    ------
    KernelInputError
        If ``decay`` is not between 0 and 1.

    Notes
    -----
    With n reporting TVs of which a share r named the item, and a usual rate m that
    stands for e rounds in which N = w n TVs reported, the expected rate is ``u = m f``;
    f, the weighted median of r / m over the region's items, takes out rounds in which
    TVs report more than usual. It is at least 1: where TVs report less, or others than
    usual, nothing is called rising that isn't above its own past. An item may have gone
    unseen at ``(min_devices - 1) e / N``, which m is taken to be at least: a fleet that
    has grown sees much that isn't new.

    An item rises if ``r - u > 3 sqrt(p (1 - p) (1 + 1/w) / n + (0.1 u)^2)`` with
    ``p = (r + w u + 1/n) / (1 + w)``. Its score is then ``1/4 + 3/4 (1 - exp(-d))``,
    d being the square root of the divergence ``r ln(r/v) + (1-r) ln((1-r)/(1-v))`` of
    its rate from ``v = u + 1/n``: a large change of a small rate and a change of a
    large one both show. Any other item scores ``r / 4``.

    A trend of the last round that n reporting TVs would not show at its rate then,
    ``r n < min_devices``, stays with its score times the decay, 1/4 at most: a short
    round empties no list, and nothing it keeps stands above what rises.

    In a region's first round everything is new; items score their rate, so that the
    first list is the most popular.

    The history moves to ``(decay N m + n r) / (decay N + n)`` over ``decay N + n`` TVs
    and ``decay e + 1`` rounds: a round of few TVs says little. A region with fewer
    reporters than could be shown keeps its history and its trends, and one that always
    has so few gets neither.
    """
    if not 0 < decay < 1:
        raise KernelInputError(f"The decay is {decay}; expected between 0 and 1.")
    counts = _counts_by_region(region_items)
    totals = {region: n for region, n in reporters.items() if region != GLOBAL_REGION}
    totals[GLOBAL_REGION] = sum(reporters.values())
    histories = _histories_by_region(history)
    kept = _trends_by_region(
        trend for trend in previous if trend.device_count >= min_devices
    )

    trends: list[Trend] = []
    next_history: dict[tuple[str, str], ItemHistory] = {}
    for region in sorted({*totals, *histories, *kept}):
        past = histories.get(region, {})
        n_reporters = totals.get(region, 0)
        if n_reporters < max(min_devices, 1):
            trends += kept.get(region, [])
            next_history |= {(region, item): past[item] for item in sorted(past)}
            continue
        season = _Season(
            region, counts.get(region, {}), n_reporters, past, min_devices=min_devices
        )
        found = season.trends()
        found += season.unjudged(kept.get(region, []), decay=decay)
        trends += sorted(found, key=_strongest_first)[:per_region]
        next_history |= season.next_history(decay)
    return TrendOutcome(trends=trends, history=next_history)


class _Season:
    """One region in one round."""

    def __init__(
        self,
        region: str,
        device_counts: Mapping[str, int],
        n_reporters: int,
        past: Mapping[str, ItemHistory],
        *,
        min_devices: int,
    ) -> None:
        self._region = region
        self._device_counts = device_counts
        self._n = n_reporters
        self._past = past
        self._min_devices = min_devices
        # An item that was never seen was unseen as long as the region is known.
        known = past.values()
        self._rounds = max((each.effective_rounds for each in known), default=0)
        self._reporters = max((each.effective_reporters for each in known), default=0)
        self._unseen_rate = self._rate_that_goes_unseen()
        self._volume = self._volume_against_usual()

    def trends(self) -> list[Trend]:
        return [
            self._trend(item, count)
            for item, count in self._device_counts.items()
            if count >= self._min_devices
        ]

    def unjudged(self, previous: Iterable[Trend], *, decay: float) -> list[Trend]:
        """Keep what too few TVs reported to expect to see it: no news isn't a fall."""
        return [
            replace(each, score=round(min(decay * each.score, _STEADY_SCORE), 6))
            for each in previous
            if self._device_counts.get(each.item, 0) < self._min_devices
            and each.rate * self._n < self._min_devices
        ]

    def next_history(self, decay: float) -> dict[tuple[str, str], ItemHistory]:
        carried = decay * self._reporters
        rounds, reporters = decay * self._rounds + 1, carried + self._n
        moved = {}
        for item in sorted({*self._past, *self._device_counts}):
            named = carried * self._usual_rate(item) + self._device_counts.get(item, 0)
            if named >= _FORGOTTEN_RATE * reporters:
                history = ItemHistory(named / reporters, rounds, reporters)
                moved[(self._region, item)] = history
        return moved

    def _trend(self, item: str, device_count: int) -> Trend:
        rate = self._rate(item)
        usual_rate = self._usual_rate(item)
        return Trend(
            region=self._region,
            item=item,
            score=round(self._score(rate, self._expected_rate(usual_rate)), 6),
            rate=rate,
            usual_rate=usual_rate,
            device_count=device_count,
        )

    def _score(self, rate: float, expected: float) -> float:
        if self._reporters == 0:
            return rate
        if not self._rises(rate, expected):
            return _STEADY_SCORE * rate
        floor = min(expected + 1 / self._n, 1.0)
        strength = math.sqrt(max(_divergence(rate, floor), 0.0))
        return _STEADY_SCORE + (1 - _STEADY_SCORE) * (1 - math.exp(-strength))

    def _rises(self, rate: float, expected: float) -> bool:
        weight = self._reporters / self._n
        pooled = min((rate + weight * expected + 1 / self._n) / (1 + weight), 1.0)
        chance = pooled * (1 - pooled) * (1 + 1 / weight) / self._n
        error = math.sqrt(chance + (_USUAL_WOBBLE * expected) ** 2)
        return rate - expected > _RISE_ERRORS * error

    def _expected_rate(self, usual_rate: float) -> float:
        return min(max(usual_rate, self._unseen_rate) * self._volume, 1.0)

    def _rate_that_goes_unseen(self) -> float:
        """The most an item can have had without being counted or remembered."""
        if self._reporters == 0:
            return 0.0
        uncounted = (self._min_devices - 1) * self._rounds / self._reporters
        return max(uncounted, _FORGOTTEN_RATE)

    def _volume_against_usual(self) -> float:
        """Weighted median over the usual items of rate now / usual rate, from 1."""
        ratios = sorted(
            (self._rate(item) / each.mean_rate, each.mean_rate)
            for item, each in self._past.items()
            if each.mean_rate > 0
        )
        half = math.fsum(weight for _, weight in ratios) / 2
        reached = 0.0
        for ratio, weight in ratios:
            reached += weight
            if reached >= half:
                return max(1.0, ratio)
        return 1.0

    def _rate(self, item: str) -> float:
        return self._device_counts.get(item, 0) / self._n

    def _usual_rate(self, item: str) -> float:
        return self._past[item].mean_rate if item in self._past else 0.0


def _strongest_first(trend: Trend) -> tuple[float, int, str]:
    return (-trend.score, -trend.device_count, trend.item)


def _divergence(rate: float, expected: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    divergence = rate * math.log(rate / expected) if rate > 0 else 0.0
    if rate < 1 and expected < 1:
        divergence += (1 - rate) * math.log((1 - rate) / (1 - expected))
    return divergence


def _counts_by_region(region_items: SparseCounts) -> dict[str, dict[str, int]]:
    """Counts by item of each region; ``global`` holds the sums over all."""
    together: dict[str, int] = {}
    counts = {GLOBAL_REGION: together}
    for region in region_items.row_names:
        of_region = region_items.row_dict(region)
        for item, count in of_region.items():
            together[item] = together.get(item, 0) + count
        if region != GLOBAL_REGION:
            counts[region] = of_region
    return counts


def _histories_by_region(history: TrendHistory) -> dict[str, dict[str, ItemHistory]]:
    regions: dict[str, dict[str, ItemHistory]] = {}
    for (region, item), each in history.items():
        regions.setdefault(region, {})[item] = each
    return regions


def _trends_by_region(trends: Iterable[Trend]) -> dict[str, list[Trend]]:
    regions: dict[str, list[Trend]] = {}
    for trend in trends:
        regions.setdefault(trend.region, []).append(trend)
    return regions
