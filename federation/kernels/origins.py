"""Where a trend comes from: which enrolment batches, which shards, how concentrated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .arrays import Int64Array, group_starts
from .blocks import PatternBlock, device_keys
from .items import GENRE_PREFIX, ItemFilter
from .names import OfNames
from .sampling import hash_keys
from .sparse import Alphabet, CountsBuilder, SparseCounts
from .trends import GLOBAL_REGION, ShardNews, Trend

#: How many shards and batches are named of a trend.
TOP_ORIGINS = 5

#: A shard or batch carries a trend if it has at least this share of its TVs...
CARRYING_SHARE = 0.5
# ...at odds so many times those of its share in all reporting TVs, which is more than
# chance by so many standard errors.
_CARRYING_ODDS = 4.0
_CARRYING_ERRORS = 3.0

_BATCH_BITS = 31


@dataclass(frozen=True)
class Origin:
    """The TVs behind a trend by shard, or by batch."""

    #: (id, share of the TVs that named it), largest first; at most five, and none that
    #: has fewer TVs behind it than may be shown.
    largest: tuple[tuple[int, float], ...] = ()
    #: Sum of all squared shares (Herfindahl): 1 if all are in one, 1/n if n share
    #: equally; 0 if nothing is known.
    concentration: float = 0.0
    #: Which one carries the trend, far beyond its share of the region's TVs.
    carried_by: int | None = None


@dataclass(frozen=True)
class TrendOrigin:
    """Where one trend comes from."""

    shards: Origin = Origin()
    batches: Origin = Origin()


class OriginCounter:
    """Counts TVs by region, enrolment batch and item.

    Parameters
    ----------
    item_filter : ItemFilter
        Says of how many TVs the batch is noted.
    """

    def __init__(self, item_filter: ItemFilter) -> None:
        self._filter = item_filter
        self._rows: dict[int, int] = {}
        self._limits = {
            prefix: OfNames(partial(item_filter.traced_up_to, prefix=prefix))
            for prefix in ("", GENRE_PREFIX)
        }
        self._items = {"": CountsBuilder(), GENRE_PREFIX: CountsBuilder()}
        self._reporters = CountsBuilder()
        self._device_rows = np.zeros(0, dtype=np.int64)
        self._device_hashes = np.zeros(0, dtype=np.uint64)

    def start_block(
        self, block: PatternBlock, regions: Int64Array, reporting: Int64Array
    ) -> None:
        """Count who reports, and get ready for what they named.

        Parameters
        ----------
        block : PatternBlock
            TVs not seen before.
        regions : ndarray of shape (n_devices,), int64
            A number for the region of each TV.
        reporting : ndarray of shape (n,), int64
            TVs with a fresh pattern, each once.
        """
        pairs = regions << _BATCH_BITS | block.device_batch
        distinct, places = np.unique(pairs, return_inverse=True)
        rows = [
            self._rows.setdefault(pair, len(self._rows)) for pair in distinct.tolist()
        ]
        self._device_rows = np.array(rows, dtype=np.int64)[places]
        present = block.device_index[group_starts(block.device_index)]
        self._device_hashes = np.zeros(block.n_devices, dtype=np.uint64)
        self._device_hashes[present] = hash_keys(
            device_keys(block), seed=self._filter.seed
        )
        self._reporters.add(self._device_rows[reporting], np.zeros_like(reporting))

    def add(
        self, owners: Int64Array, numbers: Int64Array, names: Sequence[str], prefix: str
    ) -> None:
        """Count what the block's TVs named.

        Parameters
        ----------
        owners, numbers : ndarrays of shape (n,), int64
            TV and item, no pair twice.
        names : sequence of str
            All names so far; those of before first.
        prefix : str
            ``genre:`` or nothing, for what the names lack.
        """
        limits = self._limits[prefix](names)
        traced = np.flatnonzero(self._device_hashes[owners] <= limits[numbers])
        self._items[prefix].add(self._device_rows[owners[traced]], numbers[traced])

    def reporters(self, regions: Sequence[str]) -> SparseCounts:
        """Reporting TVs by (region and batch, 0).

        Parameters
        ----------
        regions : sequence of str
            The regions by number.

        Returns
        -------
        SparseCounts
            Rows named, see :func:`region_and_batch`.
        """
        return self._reporters.counts(row_names=self._row_names(regions))

    def items(
        self, regions: Sequence[str], items: Alphabet, *, n_contents: int
    ) -> SparseCounts:
        """TVs by (region and batch, item).

        Parameters
        ----------
        regions : sequence of str
            The regions by number.
        items : Alphabet
            Contents by number, then genres by number, with their prefix.
        n_contents : int
            How many of the items are contents.

        Returns
        -------
        SparseCounts
            Rows and columns named.
        """
        contents, genres = self._items[""], self._items[GENRE_PREFIX]
        contents.add_beside(genres, column=n_contents)
        return contents.counts(row_names=self._row_names(regions), column_names=items)

    def _row_names(self, regions: Sequence[str]) -> list[str]:
        return [
            f"{pair & (1 << _BATCH_BITS) - 1} {regions[pair >> _BATCH_BITS]}"
            for pair in self._rows
        ]


def region_and_batch(row_name: str) -> tuple[str, int]:
    """Read the name of a row.

    Parameters
    ----------
    row_name : str
        Of a table by region and batch.

    Returns
    -------
    region : str
    batch : int
    """
    batch, region = row_name.split(" ", 1)
    return region, int(batch)


def trace_trends(
    trends: Iterable[Trend],
    *,
    shards: Mapping[int, ShardNews],
    batch_items: SparseCounts,
    batch_reporters: SparseCounts,
    min_devices: int,
) -> list[TrendOrigin]:
    """Tell where each trend comes from.

    Parameters
    ----------
    trends : iterable of Trend
        Of one round.
    shards : mapping of int to ShardNews
        What each shard gave to the round.
    batch_items, batch_reporters : SparseCounts
        ``CellSums.batch_items`` and ``CellSums.batch_reporters`` of the round.
    min_devices : int
        TVs without which no shard and no batch is named.

    Returns
    -------
    list of TrendOrigin
        One a trend. Empty origins where nobody of this round named it.

    Notes
    -----
    A batch or shard carries a trend if at least half of the TVs behind it are its own,
    if the odds of that are four times those of its share among the reporting TVs, and
    if chance would not do that: more than three standard errors.
    """
    by_batch = _Table(batch_items)
    batch_totals = _by_region(batch_reporters)
    by_shard = {shard: _Table(news.region_items) for shard, news in shards.items()}
    origins = []
    for trend in trends:
        region = trend.region
        of_shards = {
            shard: table.count(region, trend.item) for shard, table in by_shard.items()
        }
        shard_totals = {
            shard: _total(news.reporters, region) for shard, news in shards.items()
        }
        of_batches = by_batch.by_batch(region, trend.item)
        n_named, n_traced = sum(of_shards.values()), sum(of_batches.values())
        scale = max(n_named, n_traced) / n_traced if n_traced else 1.0
        origins.append(
            TrendOrigin(
                shards=_origin(of_shards, shard_totals, 1.0, min_devices),
                batches=_origin(
                    of_batches, batch_totals.get(region, {}), scale, min_devices
                ),
            )
        )
    return origins


class _Table:
    """Counts of a table looked up by item: its entries are sorted by row."""

    def __init__(self, counts: SparseCounts) -> None:
        self._counts = counts
        self._order = np.argsort(counts.columns, kind="stable")
        self._columns = counts.columns[self._order]
        self._codes = {name: code for code, name in enumerate(counts.column_names)}

    def count(self, region: str, item: str) -> int:
        """TVs that named it in a region; the table is by (region, item)."""
        return sum(
            n for name, n in self._entries(item) if region in (name, GLOBAL_REGION)
        )

    def by_batch(self, region: str, item: str) -> dict[int, int]:
        """TVs that named it by batch; the table is by (region and batch, item)."""
        batches: dict[int, int] = {}
        for name, count in self._entries(item):
            where, batch = region_and_batch(name)
            if region in (where, GLOBAL_REGION):
                batches[batch] = batches.get(batch, 0) + count
        return batches

    def _entries(self, item: str) -> Iterable[tuple[str, int]]:
        code = self._codes.get(item)
        if code is None:
            return []
        start, end = np.searchsorted(self._columns, [code, code + 1])
        entries = self._order[start:end]
        names = self._counts.row_names
        return [
            (names[row], count)
            for row, count in zip(
                self._counts.rows[entries].tolist(),
                self._counts.counts[entries].tolist(),
                strict=True,
            )
        ]


def _by_region(reporters: SparseCounts) -> dict[str, dict[int, int]]:
    """Reporting TVs by region and batch; ``global`` holds the sums over all."""
    totals: dict[str, dict[int, int]] = {}
    for name, count in zip(reporters.row_names, reporters.counts.tolist(), strict=True):
        region, batch = region_and_batch(name)
        for where in {region, GLOBAL_REGION}:
            of_region = totals.setdefault(where, {})
            of_region[batch] = of_region.get(batch, 0) + count
    return totals


def _total(reporters: Mapping[str, int], region: str) -> int:
    return (
        sum(reporters.values()) if region == GLOBAL_REGION else reporters.get(region, 0)
    )


def _origin(
    counts: Mapping[int, int],
    reporters: Mapping[int, int],
    scale: float,
    min_devices: int,
) -> Origin:
    """``scale`` is how many TVs stand behind each that was counted."""
    total, all_reporters = sum(counts.values()), sum(reporters.values())
    if not total:
        return Origin()
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    first, most = ordered[0]
    return Origin(
        largest=tuple(
            (each, round(count / total, 4))
            for each, count in ordered[:TOP_ORIGINS]
            if count * scale >= max(min_devices, 1)
        ),
        concentration=round(
            math.fsum((count / total) ** 2 for count in counts.values()), 4
        ),
        carried_by=first
        if _carries(most, total, reporters.get(first, 0) / max(all_reporters, 1))
        else None,
    )


def _carries(count: int, total: int, usual_share: float) -> bool:
    share = count / total
    if share < CARRYING_SHARE or usual_share >= 1:
        return False
    odds = count / (total - count) if count < total else math.inf
    usual_odds = usual_share / (1 - usual_share)
    by_chance = math.sqrt(total * usual_share * (1 - usual_share))
    return (
        odds >= _CARRYING_ODDS * usual_odds
        and count - total * usual_share > _CARRYING_ERRORS * by_chance
    )
