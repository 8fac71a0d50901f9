"""What a round leaves to the next: its cells, and how often each content was named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields, replace

import numpy as np
from django.db import connections

from federation import selectors
from federation.kernels import (
    EMBEDDING_DIMENSIONS,
    CellHistory,
    Cells,
    ItemHistory,
    ShardHistory,
    Trend,
    no_cell_history,
    no_cells,
)
from federation.models import RoundCells, TrendHistory, TrendShardHistory
from federation.models import Trend as PublishedTrend
from federation.rows import copy_in
from federation.visits import visits
from shards.databases import CONTROL_ALIAS
from shards.models import Shard

#: Only the last is needed; the others tell what cells were before a roll-back.
KEPT_CELLS = 3

# The fields of ``ItemHistory`` and ``ShardHistory``, in their order.
_HISTORY_COLUMNS = tuple(field.name for field in fields(ItemHistory))
_SHARD_COLUMNS = tuple(field.name for field in fields(ShardHistory))


@dataclass(frozen=True)
class Previous:
    """What a round goes on from."""

    cells: Cells
    cell_history: CellHistory
    history: dict[tuple[str, str], ItemHistory]
    shard_history: dict[tuple[str, int], ShardHistory]
    #: The current trends, for regions where nobody reports.
    trends: list[Trend]


def previous() -> Previous:
    cells = last_cells()
    return Previous(
        cells=replace(cells, next_id=max(cells.next_id, _highest_cell() + 1)),
        cell_history=last_cell_history(),
        history=last_history(),
        shard_history=last_shard_history(),
        trends=last_trends(),
    )


def last_cells() -> Cells:
    """Cells with their identities, as the last published round left them."""
    kept = RoundCells.objects.order_by("-round_id").first()
    if kept is None:
        return no_cells()
    return Cells(
        ids=np.frombuffer(kept.cell_ids, dtype="<i8").astype(np.int64),
        centroids=np.frombuffer(kept.centroids, dtype="<f4")
        .reshape(-1, EMBEDDING_DIMENSIONS)
        .astype(np.float32),
        next_id=kept.next_cell,
    )


def last_cell_history() -> CellHistory:
    """Where the cells were, on average, as the last published round left it."""
    kept = RoundCells.objects.order_by("-round_id").first()
    if kept is None or not kept.ages:
        return no_cell_history()
    return CellHistory(
        ids=np.frombuffer(kept.cell_ids, dtype="<i8").astype(np.int64),
        anchors=np.frombuffer(kept.anchors, dtype="<f4")
        .reshape(-1, EMBEDDING_DIMENSIONS)
        .astype(np.float32),
        ages=np.frombuffer(kept.ages, dtype="<i8").astype(np.int64),
        n_devices=kept.device_count,
    )


def last_history() -> dict[tuple[str, str], ItemHistory]:
    kept = TrendHistory.objects.values_list("region", "item", *_HISTORY_COLUMNS)
    return {
        (region, item): ItemHistory(*numbers)
        for region, item, *numbers in kept.iterator()
    }


def last_shard_history() -> dict[tuple[str, int], ShardHistory]:
    kept = TrendShardHistory.objects.values_list("region", "shard", *_SHARD_COLUMNS)
    return {
        (region, shard): ShardHistory(*numbers)
        for region, shard, *numbers in kept.iterator()
    }


def last_trends() -> list[Trend]:
    """The current trends, for regions where nobody reports."""
    current = PublishedTrend.objects.filter(version=selectors.current_version())
    return [
        Trend(
            region=row.region,
            item=row.item,
            score=row.score,
            rate=row.rate,
            usual_rate=row.usual_rate,
            device_count=row.device_count,
            kind=row.kind,
            course=tuple(row.course),
        )
        for row in current.order_by("region", "rank")
    ]


def _highest_cell() -> int:
    """The highest number of a cell on any shard that answers.

    It is higher than those known here if the control database was restored from a
    backup: no number may mean two cells.
    """
    shard_ids = Shard.objects.values_list("id", flat=True)
    found = visits(shard_ids, selectors.highest_cell)
    return max((visit.value or 0 for visit in found), default=0)


def keep(
    round_id: int,
    cells: Cells,
    cell_history: CellHistory,
    trend_history: Mapping[tuple[str, str], ItemHistory],
    shard_history: Mapping[tuple[str, int], ShardHistory],
) -> None:
    """Replace what the round before left; part of the caller's transaction."""
    RoundCells.objects.create(
        round_id=round_id,
        cell_ids=cells.ids.astype("<i8").tobytes(),
        centroids=cells.centroids.astype("<f4").tobytes(),
        next_cell=cells.next_id,
        anchors=cell_history.anchors.astype("<f4").tobytes(),
        ages=cell_history.ages.astype("<i8").tobytes(),
        device_count=cell_history.n_devices,
    )
    kept = RoundCells.objects.order_by("-round_id").values_list("round_id", flat=True)
    RoundCells.objects.exclude(round_id__in=list(kept[:KEPT_CELLS])).delete()

    TrendShardHistory.objects.all().delete()
    TrendShardHistory.objects.bulk_create(
        TrendShardHistory(region=region, shard=shard, **asdict(each))
        for (region, shard), each in shard_history.items()
    )
    TrendHistory.objects.all().delete()
    with connections[CONTROL_ALIAS].cursor() as cursor:
        copy_in(
            cursor,
            TrendHistory._meta.db_table,
            {
                "region": "varchar",
                "item": "varchar",
                **dict.fromkeys(_HISTORY_COLUMNS, "float8"),
            },
            (
                (region, item, *astuple(each))
                for (region, item), each in trend_history.items()
            ),
        )
