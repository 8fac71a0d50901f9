"""From what a round found to the rows of its result: rounded, ranked, by name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from federation.collect import SecondReading
from federation.kernels import Cells, Links, PublishableCells, Trend, TrendOrigin
from federation.result import ResultLinks, ResultOrigin, ResultPattern, ResultTrend

#: Published numbers are rounded to this many places: more would be noise, and costs.
DECIMAL_PLACES = 6


def patterns(
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


def ranked(trends: Sequence[Trend]) -> tuple[ResultTrend, ...]:
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


def origin_of(trend: Trend, origin: TrendOrigin) -> ResultOrigin:
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


def by_content(links: Links) -> tuple[ResultLinks, ...]:
    return tuple(
        ResultLinks(
            content_id=content_id,
            related_ids=tuple(related for related, _ in leads),
            weights=tuple(round(weight, DECIMAL_PLACES) for _, weight in leads),
        )
        for content_id, leads in links.by_content().items()
    )
