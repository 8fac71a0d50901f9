"""From the readings of all shards to the result of the round. Pure: no database.

Readings are added up as they come in, in any order: everything in them is a whole
number, and the sums are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from federation.collect import FirstReading, SecondReading
from federation.defences import Defences, defend
from federation.kernels import (
    CONTENTS_PER_TV,
    GENRE_PREFIX,
    CellHistory,
    Cells,
    CellSums,
    ItemFilter,
    ItemHistory,
    Links,
    PairPlan,
    PublishableCells,
    Screen,
    ShardHistory,
    ShardNews,
    Trend,
    TrendOrigin,
    find_trends,
    fit_screened_cells,
    link_contents,
    no_cell_history,
    no_cells,
    open_screen,
    plan_pairs,
    publishable_cells,
    trace_trends,
)
from federation.kernels.arrays import BoolArray
from federation.kernels.clipping import Clipping
from federation.quarantined import NOTHING, Quarantined
from federation.result import (
    ResultLinks,
    ResultOrigin,
    ResultPattern,
    ResultTrend,
    RoundResult,
)

if TYPE_CHECKING:
    from federation.kernels.noise import NoisePlan

#: Published numbers are rounded to this many places: more would be noise, and costs.
DECIMAL_PLACES = 6


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What must stand behind anything published, and how a round is made."""

    min_quality: float
    min_sources: int
    min_devices: int
    min_batches: int
    trend_decay: float
    max_cells: int
    #: Differential privacy of what the round gives out; None: no noise.
    epsilon: float | None = None
    delta: float = 1e-9


@dataclass(frozen=True)
class Plan:
    """What the second reading counts, the same on every shard."""

    cells: Cells
    #: What is passed over in the cells.
    screen: Screen
    item_filter: ItemFilter
    pair_plan: PairPlan


@dataclass(frozen=True)
class Outcome:
    """What a round found out."""

    result: RoundResult
    #: Complete: what isn't in it is forgotten.
    history: dict[tuple[str, str], ItemHistory]
    #: Cells with too few TVs, shards or batches behind them.
    suppressed_count: int
    #: Items of regions, and pairs of contents, that fewer TVs named than may be told.
    #: Of names that so few can have used that they aren't counted, none.
    suppressed_trend_count: int = 0
    suppressed_link_count: int = 0
    #: Complete too: the shards behind the history, by region.
    shard_history: dict[tuple[str, int], ShardHistory] = field(default_factory=dict)
    #: What was held back or left out because it doesn't fit the rest.
    defences: Defences = field(default_factory=Defences)
    #: The cells, and what is to be known of them in the next round.
    cells: Cells = field(default_factory=no_cells)
    cell_history: CellHistory = field(default_factory=no_cell_history)


def plan(
    reading: FirstReading,
    *,
    previous: Cells,
    thresholds: Thresholds,
    quarantined: Quarantined = NOTHING,
) -> Plan:
    """Fit the cells, starting from the last round's, and choose what to count."""
    cells, screen = fit_screened_cells(
        reading.sample,
        previous=previous,
        max_cells=thresholds.max_cells,
        min_devices=thresholds.min_devices,
    )
    item_filter = reading.census.filter(min_devices=thresholds.min_devices)
    item_filter = item_filter.without(quarantined.contents)
    pair_plan = plan_pairs(
        reading.census,
        min_devices=thresholds.min_devices,
        contents_per_tv=CONTENTS_PER_TV,
    )
    return Plan(
        cells=cells,
        screen=screen,
        item_filter=item_filter,
        pair_plan=replace(pair_plan, item_filter=item_filter),
    )


def noise_plan(thresholds: Thresholds) -> NoisePlan | None:
    """Decide how much noise a round with these thresholds needs; None: none."""
    if thresholds.epsilon is None:
        return None
    # Only rounds with noise have OpenDP in their memory.
    from federation.kernels.noise import plan_noise

    return plan_noise(
        epsilon=thresholds.epsilon,
        delta=thresholds.delta,
        clipping=Clipping(),
        min_devices=thresholds.min_devices,
        min_quality=thresholds.min_quality,
    )


def release(reading: SecondReading, noise: NoisePlan) -> SecondReading:
    """Put noise on the reading of all shards; drawn anew each time."""
    from federation.kernels import privacy

    return SecondReading(*privacy.release(reading.sums, reading.pairs, noise))


def conclude(
    reading: SecondReading,
    *,
    released: SecondReading | None = None,
    cells: Cells,
    screen: Screen | None = None,
    history: Mapping[tuple[str, str], ItemHistory],
    previous_trends: Sequence[Trend],
    thresholds: Thresholds,
    shard_history: Mapping[tuple[str, int], ShardHistory] | None = None,
    shards: Mapping[int, ShardNews] | None = None,
    absent: Collection[int] = (),
    cell_history: CellHistory | None = None,
    quarantined: Quarantined = NOTHING,
    outlying: Mapping[int, BoolArray] | None = None,
) -> Outcome:
    """Turn the sums of all shards into what may be published.

    ``previous_trends`` are kept for regions with nothing new to say, as long as enough
    TVs of the fleet still name the item: one may have been forgotten.

    In a round with noise all is made of what was ``released`` of the sums; only what is
    held back is counted without noise, for operators.

    ``shards`` is what each shard's TVs named, ``absent`` the installed shards that gave
    nothing: without them no trend says where it comes from, and a missing shard may
    look like a change. A round with noise uses neither: if a shard is absent, it judges
    no trend at all.

    ``outlying`` are the cells in which shards were left out of the reading.
    """
    counted, enough = reading, thresholds.min_devices
    noise = noise_plan(thresholds)
    if noise is not None:
        if released is None:
            raise ValueError("A round with noise goes on with what was released.")
        reading = released
        thresholds = replace(thresholds, min_devices=noise.least_count)
        shards = None
    is_judged = noise is None or not absent
    # What was released once tells no more if it is told again.
    kept = previous_trends
    if noise is None:
        kept = _still_named(previous_trends, counted.sums, enough)
    enough_behind = publishable_cells(
        reading.sums,
        min_sources=thresholds.min_sources,
        min_devices=thresholds.min_devices,
        min_batches=thresholds.min_batches,
    )
    defended = defend(
        enough_behind,
        cells=cells,
        screen=screen or open_screen(len(cells)),
        n_devices=reading.sums.n_devices,
        history=cell_history or no_cell_history(),
        quarantined=quarantined,
        outlying=outlying or {},
    )
    published = defended.published
    trends = find_trends(
        reading.sums.region_items,
        reading.sums.reporters() if is_judged else {},
        history=history,
        previous=kept,
        decay=thresholds.trend_decay,
        min_devices=thresholds.min_devices,
        shard_history=shard_history if noise is None else None,
        shards=shards,
        absent=absent if shards else (),
    )
    listed = [*trends.trends, *trends.fading]
    origins = trace_trends(
        listed,
        shards=shards or {},
        batch_items=reading.sums.batch_items,
        batch_reporters=reading.sums.batch_reporters,
        min_devices=thresholds.min_devices,
    )
    links = link_contents(reading.pairs, min_devices=thresholds.min_devices)
    return Outcome(
        result=RoundResult(
            patterns=_patterns(published, reading, cells),
            trends=_ranked(trends.trends),
            links=_by_content(links),
            embeddings=published.embeddings,
            source_counts=published.source_count,
            fading=_ranked(trends.fading),
            origins=tuple(map(_origin, listed, origins)),
        ),
        history=trends.history,
        shard_history=trends.shard_history,
        suppressed_count=int((counted.sums.devices > 0).sum()) - len(enough_behind),
        defences=defended.defences,
        cells=defended.cells,
        cell_history=defended.history,
        suppressed_trend_count=int((counted.sums.region_items.counts < enough).sum()),
        suppressed_link_count=int((counted.pairs.pairs.counts < enough).sum()),
    )


def _still_named(
    trends: Sequence[Trend], sums: CellSums, min_devices: int
) -> list[Trend]:
    """Trends of items that enough TVs have in their patterns, whether fresh or not."""
    named = sums.content_devices.row_dict(0)
    for column, count in zip(sums.genres.columns, sums.genres.counts, strict=True):
        # In one cell: how many have a genre in any isn't counted.
        genre = GENRE_PREFIX + sums.genres.column_names[column]
        named[genre] = max(named.get(genre, 0), int(count))
    return [trend for trend in trends if named.get(trend.item, 0) >= min_devices]


def _patterns(
    published: PublishableCells, reading: SecondReading, cells: Cells
) -> tuple[ResultPattern, ...]:
    batch_counts = reading.sums.batches.row_totals(reading.sums.n_cells)
    return tuple(
        ResultPattern(
            cell=int(cells.ids[row]),
            success_rate=round(float(published.success_rate[place]), DECIMAL_PLACES),
            sample_count=int(published.sample_count[place]),
            mass=round(float(published.mass[place]), DECIMAL_PLACES),
            device_count=int(published.device_count[place]),
            batch_count=int(batch_counts[row]),
            time_of_day=int(published.time_of_day[place]),
            day_of_week=int(published.day_of_week[place]),
            content_type=int(published.content_type[place]),
            genre_hints=tuple(published.genres[place]),
            content_ids=tuple(published.contents[place]),
        )
        for place, row in enumerate(published.rows.tolist())
    )


def _ranked(trends: Sequence[Trend]) -> tuple[ResultTrend, ...]:
    return tuple(
        ResultTrend(
            region=region,
            rank=rank,
            item=trend.item,
            score=round(trend.score, DECIMAL_PLACES),
            rate=round(trend.rate, DECIMAL_PLACES),
            usual_rate=round(trend.usual_rate, DECIMAL_PLACES),
            device_count=trend.device_count,
            kind=trend.kind,
        )
        for region, of_region in groupby(trends, key=lambda trend: trend.region)
        for rank, trend in enumerate(of_region, start=1)
    )


def _origin(trend: Trend, origin: TrendOrigin) -> ResultOrigin:
    shards, batches = origin.shards, origin.batches
    return ResultOrigin(
        course=tuple(round(rate, DECIMAL_PLACES) for rate in trend.course),
        shard_ids=tuple(shard for shard, _ in shards.largest),
        shard_shares=tuple(share for _, share in shards.largest),
        batch_ids=tuple(batch for batch, _ in batches.largest),
        batch_shares=tuple(share for _, share in batches.largest),
        shard_concentration=shards.concentration,
        batch_concentration=batches.concentration,
        carrying_shard=shards.carried_by,
        carrying_batch=batches.carried_by,
    )


def _by_content(links: Links) -> tuple[ResultLinks, ...]:
    return tuple(
        ResultLinks(
            content_id=content_id,
            related_ids=tuple(related for related, _ in leads),
            weights=tuple(round(weight, DECIMAL_PLACES) for _, weight in leads),
        )
        for content_id, leads in links.by_content().items()
    )
