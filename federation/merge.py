"""From the readings of all shards to the result of the round. Pure: no database.

Readings are added up as they come in, in any order: everything in them is a whole
number, and the sums are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from federation import listing
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
    PairPlan,
    Screen,
    ShardHistory,
    ShardNews,
    Trend,
    TrendOutcome,
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
    ResultOrigin,
    RoundResult,
)

if TYPE_CHECKING:
    from federation.kernels.noise import NoisePlan


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
    if noise is None:
        basis = _Basis(
            reading=reading,
            min_devices=enough,
            reporters=reading.sums.reporters(),
            previous_trends=_still_named(previous_trends, reading.sums, enough),
            shard_history=shard_history,
            shards=shards or {},
            absent=absent if shards else (),
        )
    else:
        basis = _noisy_basis(released, noise, previous_trends, is_whole=not absent)
    sums = basis.reading.sums
    enough_behind = publishable_cells(
        sums,
        min_sources=thresholds.min_sources,
        min_devices=basis.min_devices,
        min_batches=thresholds.min_batches,
    )
    defended = defend(
        enough_behind,
        cells=cells,
        screen=screen or open_screen(len(cells)),
        n_devices=sums.n_devices,
        history=cell_history or no_cell_history(),
        quarantined=quarantined,
        outlying=outlying or {},
    )
    trends = basis.find_trends(history, decay=thresholds.trend_decay)
    links = link_contents(basis.reading.pairs, min_devices=basis.min_devices)
    return Outcome(
        result=RoundResult(
            patterns=listing.patterns(defended.published, basis.reading, cells),
            trends=listing.ranked(trends.trends),
            links=listing.by_content(links),
            embeddings=defended.published.embeddings,
            source_counts=defended.published.source_count,
            fading=listing.ranked(trends.fading),
            origins=basis.origins_of([*trends.trends, *trends.fading]),
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


@dataclass(frozen=True, kw_only=True)
class _Basis:
    """What a round makes its result of."""

    reading: SecondReading
    min_devices: int
    #: TVs with news by region; none if no trend is judged.
    reporters: Mapping[str, int]
    previous_trends: Sequence[Trend]
    shard_history: Mapping[tuple[str, int], ShardHistory] | None = None
    shards: Mapping[int, ShardNews] = field(default_factory=dict)
    absent: Collection[int] = ()

    def find_trends(
        self, history: Mapping[tuple[str, str], ItemHistory], *, decay: float
    ) -> TrendOutcome:
        return find_trends(
            self.reading.sums.region_items,
            self.reporters,
            history=history,
            previous=self.previous_trends,
            decay=decay,
            min_devices=self.min_devices,
            shard_history=self.shard_history,
            shards=self.shards,
            absent=self.absent,
        )

    def origins_of(self, trends: Sequence[Trend]) -> tuple[ResultOrigin, ...]:
        origins = trace_trends(
            trends,
            shards=self.shards,
            batch_items=self.reading.sums.batch_items,
            batch_reporters=self.reading.sums.batch_reporters,
            min_devices=self.min_devices,
        )
        return tuple(map(listing.origin_of, trends, origins))


def _noisy_basis(
    released: SecondReading | None,
    noise: NoisePlan,
    previous_trends: Sequence[Trend],
    *,
    is_whole: bool,
) -> _Basis:
    """What a round with noise goes by: nothing that was counted without."""
    if released is None:
        raise ValueError("A round with noise goes on with what was released.")
    return _Basis(
        reading=released,
        min_devices=noise.least_count,
        reporters=released.sums.reporters() if is_whole else {},
        # What was released once tells no more if it is told again.
        previous_trends=previous_trends,
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
