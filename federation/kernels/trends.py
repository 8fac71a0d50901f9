"""What is new, rising or fading, region by region.

Popular is not trending: an item is held against its own decayed history, in shares of
the TVs that reported, so that neither its size nor a shard that did not answer counts.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from .composition import Composition, ShardHistories, ShardHistory, without_removed
from .errors import KernelInputError
from .season import STEADY_SCORE, ItemHistory, Kind, Season
from .sparse import SparseCounts

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

#: The region of all TVs together.
GLOBAL_REGION = "global"

#: How many items a region's TVs get, and how many more operators are shown as fading.
TRENDS_PER_REGION = 50
FADING_PER_REGION = 20

#: Rates of so many rounds are remembered with an item that stays in the list.
COURSE_LENGTH = 24


@dataclass(frozen=True)
class Trend:
    """An item in a region, and how much it stands out this round."""

    region: str
    #: A content id, or ``genre:<name>``.
    item: str
    #: 0 to 1; above 0.25 it is new, rises or fades, below it is steady.
    score: float
    #: Share of the reporting TVs that named it, now and usually.
    rate: float
    usual_rate: float
    #: Distinct TVs that named it this round; 0 for fading items that too few named.
    device_count: int
    kind: str = Kind.STEADY.value
    #: Its rates in the rounds since it came into the list, the last 24, oldest first.
    course: tuple[float, ...] = ()


@dataclass(frozen=True)
class ShardNews:
    """What one shard's TVs named this round, kept apart from the sums."""

    #: Distinct TVs by (region, item): ``CellSums.region_items`` of the shard.
    region_items: SparseCounts
    #: TVs with a fresh pattern by region: ``CellSums.reporters()`` of the shard.
    reporters: Mapping[str, int]


#: By region and item. An item without an entry was never seen in its region.
TrendHistory = Mapping[tuple[str, str], ItemHistory]


@dataclass(frozen=True)
class TrendOutcome:
    """The trends of a round and the history the next one is held against."""

    #: What TVs are given. By region in alphabetical order, the highest score first.
    trends: list[Trend]
    #: What operators see beside it: TVs have no use for what others turn away from.
    fading: list[Trend]
    #: Both complete: entries that are not here are forgotten.
    history: dict[tuple[str, str], ItemHistory]
    shard_history: dict[tuple[str, int], ShardHistory]


def find_trends(
    region_items: SparseCounts,
    reporters: Mapping[str, int],
    *,
    history: TrendHistory,
    previous: Sequence[Trend] = (),
    decay: float,
    min_devices: int,
    per_region: int = TRENDS_PER_REGION,
    shard_history: ShardHistories | None = None,
    shards: Mapping[int, ShardNews] | None = None,
    absent: Collection[int] = (),
) -> TrendOutcome:
    """Hold what TVs named this round against what they usually name.

    Parameters
    ----------
    region_items : SparseCounts
        Distinct TVs by (region, item) in fresh patterns: ``CellSums.region_items``.
    reporters : mapping of str to int
        TVs with a fresh pattern by region: ``CellSums.reporters()``. All of them
        together are the region ``global``, in which TVs of no other region count too.
    history, shard_history : mappings
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
    shards : mapping of int to ShardNews, optional
        The parts that ``region_items`` is the sum of. Without them no shard is ever
        missing.
    absent : collection of int
        Installed shards that gave nothing to this round.

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
    How an item of one region is judged: :class:`~federation.kernels.season.Season`;
    what a missing shard may explain: :class:`~federation.kernels.composition.\
Composition`. The news of a shard that missed the last round are those of several
    rounds, so it counts from the next one on: in its first round back it is as absent.

    A trend of the last round that n reporting TVs would not show at its rate then,
    ``r n < min_devices``, stays with its score times the decay, 1/4 at most: a short
    round empties no list, and nothing it keeps stands above what rises. A region with
    fewer reporters than could be shown keeps its history and its trends, and one that
    always has so few gets neither.

    In a region's first round there is nothing to hold items against: all are steady.
    Steady items score their rate then and less later, and fill the list below what is
    new and what rises, the most popular first: a TV that knows nothing begins there.
    """
    if not 0 < decay < 1:
        raise KernelInputError(f"The decay is {decay}; expected between 0 and 1.")
    shards = shards or {}
    shard_history = shard_history or {}
    returning = {
        shard
        for (_, shard), each in shard_history.items()
        if each.is_away and shard in shards
    }
    news = _News.of(region_items, reporters, shards, left_out=returning)
    histories, shard_histories = _by_region(history), _by_region(shard_history)
    kept = _trends_by_region(
        trend
        for trend in previous
        if trend.device_count >= min_devices and trend.kind != Kind.FADING
    )
    courses = {(trend.region, trend.item): trend.course for trend in previous}
    outcome = TrendOutcome([], [], {}, {})
    for region in sorted({*news.totals, *histories, *kept}):
        past, past_shards = histories.get(region, {}), shard_histories.get(region, {})
        of_region = kept.get(region, [])
        if news.totals.get(region, 0) < max(min_devices, 1):
            outcome.trends.extend(of_region)
            _remember(outcome, region, past, _still_away(past_shards, absent))
            continue
        composition = Composition(
            past_shards,
            news.by_shard(region),
            {*absent, *returning},
            rounds=max((each.effective_rounds for each in past.values()), default=0.0),
        )
        season = Season(
            news.counts.get(region, {}),
            news.totals[region],
            past,
            composition=composition,
            min_devices=min_devices,
        )
        found = [_trend(region, season, item) for item in season.items]
        risen = [trend for trend in found if _is_shown(trend, min_devices)]
        risen += _unjudged(of_region, season, decay=decay)
        fallen = [trend for trend in found if trend.kind == Kind.FADING]
        outcome.trends.extend(_with_courses(_strongest(risen)[:per_region], courses))
        outcome.fading.extend(
            _with_courses(_strongest(fallen)[:FADING_PER_REGION], courses)
        )
        moved = {
            shard: replace(each, is_away=shard in absent)
            for shard, each in composition.next_history(decay).items()
        }
        moved = without_removed(moved, installed={*absent, *shards})
        _remember(outcome, region, season.next_history(decay), moved)
    return outcome


@dataclass(frozen=True)
class _News:
    """What counts in a round: TVs by item and in all, by region."""

    counts: dict[str, dict[str, int]]
    totals: dict[str, int]
    #: TVs in all by region, of each shard that counts.
    shards: dict[int, dict[str, int]]

    @classmethod
    def of(
        cls,
        region_items: SparseCounts,
        reporters: Mapping[str, int],
        shards: Mapping[int, ShardNews],
        *,
        left_out: Collection[int],
    ) -> _News:
        counts, totals = _counts_by_region(region_items), _with_global(reporters)
        for shard in left_out:
            _take_away(counts, totals, shards[shard])
        return cls(
            counts,
            totals,
            {
                shard: _with_global(each.reporters)
                for shard, each in shards.items()
                if shard not in left_out
            },
        )

    def by_shard(self, region: str) -> dict[int, int]:
        return {shard: each.get(region, 0) for shard, each in self.shards.items()}


def _remember(
    outcome: TrendOutcome,
    region: str,
    items: Mapping[str, ItemHistory],
    shards: Mapping[int, ShardHistory],
) -> None:
    """Add what the next round has to know of a region."""
    outcome.history.update({(region, item): items[item] for item in sorted(items)})
    outcome.shard_history.update({(region, shard): shards[shard] for shard in shards})


def _still_away(
    shards: Mapping[int, ShardHistory], absent: Collection[int]
) -> dict[int, ShardHistory]:
    """The history of a region that this round says nothing of."""
    return {
        shard: replace(each, is_away=each.is_away and shard in absent)
        for shard, each in shards.items()
    }


def _is_shown(trend: Trend, min_devices: int) -> bool:
    return trend.kind != Kind.FADING and trend.device_count >= min_devices


def _trend(region: str, season: Season, item: str) -> Trend:
    judged = season.judge(item)
    return Trend(
        region=region,
        item=item,
        score=round(judged.score, 6),
        rate=judged.rate,
        usual_rate=judged.usual_rate,
        device_count=judged.device_count,
        kind=judged.kind.value,
    )


def _unjudged(
    previous: Iterable[Trend], season: Season, *, decay: float
) -> list[Trend]:
    """Keep what too few TVs reported to expect to see it: no news isn't a fall."""
    return [
        replace(
            each,
            score=round(min(decay * each.score, STEADY_SCORE), 6),
            kind=Kind.STEADY.value,
        )
        for each in previous
        if season.cannot_tell(each.item, each.rate)
    ]


def _with_courses(
    trends: Iterable[Trend], courses: Mapping[tuple[str, str], tuple[float, ...]]
) -> list[Trend]:
    return [
        replace(
            trend,
            course=(*courses.get((trend.region, trend.item), ()), trend.rate)[
                -COURSE_LENGTH:
            ],
        )
        for trend in trends
    ]


def _strongest(trends: Iterable[Trend]) -> list[Trend]:
    return sorted(
        trends, key=lambda trend: (-trend.score, -trend.device_count, trend.item)
    )


def _with_global(reporters: Mapping[str, int]) -> dict[str, int]:
    totals = {region: n for region, n in reporters.items() if region != GLOBAL_REGION}
    return totals | {GLOBAL_REGION: sum(reporters.values())}


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


def _take_away(
    counts: dict[str, dict[str, int]], totals: dict[str, int], news: ShardNews
) -> None:
    """Leave out what one shard gave."""
    for region, n_reporters in _with_global(news.reporters).items():
        totals[region] = max(totals.get(region, 0) - n_reporters, 0)
    for region, of_shard in _counts_by_region(news.region_items).items():
        of_region = counts.setdefault(region, {})
        for item, count in of_shard.items():
            of_region[item] = of_region.get(item, 0) - count
        counts[region] = {item: n for item, n in of_region.items() if n > 0}


def _by_region(
    histories: Mapping[tuple[str, Key], Value],
) -> dict[str, dict[Key, Value]]:
    regions: dict[str, dict[Key, Value]] = {}
    for (region, key), each in histories.items():
        regions.setdefault(region, {})[key] = each
    return regions


def _trends_by_region(trends: Iterable[Trend]) -> dict[str, list[Trend]]:
    regions: dict[str, list[Trend]] = {}
    for trend in trends:
        regions.setdefault(trend.region, []).append(trend)
    return regions
