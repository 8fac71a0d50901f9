"""The arithmetic of a federation round: numpy and the standard library, no Django.

A round reads every shard twice, block by block (``PatternBlock``: some whole TVs). Each
collector takes blocks in any order; what two shards collected merges exactly, so the
result is bit-identical however TVs are spread. ``seed`` is 64 bits that TVs cannot
know, the same on every shard of a round (and best for all rounds).

First pass, per shard::

    sampler = PatternSampler(capacity=SAMPLE_CAPACITY, seed=seed)
    counter = ItemCounter(seed=seed, contents_per_tv=CONTENTS_PER_TV)
    for block in blocks:
        sampler.add(block)
        counter.add(block)
    sampler.sample(), counter.census()            # -> PatternSample, ItemCensus

Between the passes, once::

    sample = merge_samples(samples)
    census = merge_censuses(censuses)
    cells, screen = fit_screened_cells(
        sample,
        previous=cells_of_last_round,   # Cells(ids, centroids, next_id) or no_cells()
        max_cells=FEDERATION_CELLS,
        min_devices=MIN_DEVICES_PER_PATTERN,
    )                                   # -> Cells; Screen: what is passed over in them
    item_filter = census.filter(min_devices=MIN_DEVICES_PER_PATTERN)
    plan = plan_pairs(census, min_devices=MIN_DEVICES_PER_PATTERN,
                      contents_per_tv=CONTENTS_PER_TV)

Second pass, per shard::

    collector = CellCollector(
        cells.centroids, item_filter=item_filter, screen=screen
    )
    pair_collector = PairCollector(plan)
    for block in blocks:
        rows = collector.add(block)               # cell of each row: index into cells
        pair_collector.add(block)
    collector.sums(), pair_collector.counts()     # -> CellSums, PairCounts

At the end, once::

    sums = merge_sums(parts)                      # sums.digest(): SHA-256
    published = publishable_cells(
        sums, min_sources=MIN_SOURCE_COUNT, min_devices=MIN_DEVICES_PER_PATTERN,
        min_batches=1,
    )                                # numbers on the wire: cells.ids[published.rows]
    guarded = guard_cells(
        cells, rows=published.rows, embeddings=published.embeddings,
        is_narrow=screen.is_narrow, n_devices=sums.n_devices,
        history=cell_history,        # of the last round, or no_cell_history()
    )                                # -> .embeddings, .is_held, .is_waiting, .history
    outcome = find_trends(
        sums.region_items,
        sums.reporters(),                         # {region: TVs with a fresh pattern}
        history=history,                          # {(region, item): ItemHistory(
                                                  #     mean_rate, effective_rounds,
                                                  #     effective_reporters)}
        shard_history=shard_history,              # {(region, shard): ShardHistory}
        previous=trends_of_last_round,            # [Trend], for silent regions
        decay=TREND_DECAY_RATE,
        min_devices=MIN_DEVICES_PER_PATTERN,
        per_region=50,
        shards={shard: ShardNews(part.region_items, part.reporters())},
        absent=shards_that_gave_nothing,
    )                               # -> .trends, .fading, both histories (complete)
    origins = trace_trends(
        [*outcome.trends, *outcome.fading], shards=shards,
        batch_items=sums.batch_items, batch_reporters=sums.batch_reporters,
        min_devices=MIN_DEVICES_PER_PATTERN,
    )                                             # -> [TrendOrigin]
    links = link_contents(
        merge_pairs(pair_parts), min_devices=MIN_DEVICES_PER_PATTERN, per_content=14,
    )                                             # -> Links; .by_content()

Answering a TV::

    nearest_cells(own, weights, centroids, masses=masses, k=100)   # -> rows, best first

``own`` (p, 384) float32 unit vectors of the TV, ``weights`` (p,) how much each counts,
``centroids`` (n, 384) and ``masses`` (n,) of the published cells.
"""

from __future__ import annotations

from .blocks import (
    EMBEDDING_DIMENSIONS,
    PatternBlock,
    concatenate_blocks,
    pattern_keys,
)
from .cells import Cells, nearest_cell_rows, no_cells
from .composition import ShardHistory
from .errors import KernelInputError
from .fitting import SAMPLE_CAPACITY, fit_cells
from .guarding import CellHistory, guard_cells, no_cell_history
from .items import (
    CONTENTS_PER_TV,
    GENRE_PREFIX,
    ItemCensus,
    ItemCounter,
    ItemFilter,
    merge_censuses,
)
from .kmeans import step_cells
from .links import (
    LINKS_PER_CONTENT,
    Links,
    PairCollector,
    PairCounts,
    PairPlan,
    link_contents,
    merge_pairs,
    plan_pairs,
)
from .origins import TrendOrigin, trace_trends
from .publishable import PublishableCells, publishable_cells
from .sampling import LARGEST_HASH, PatternSample, PatternSampler, merge_samples
from .screening import Screen, fit_screened_cells, open_screen
from .season import ItemHistory, Kind
from .similar import (
    SIMILAR_CELLS,
    heaviest_cells,
    nearest_cells,
    nearest_cells_of_each,
)
from .sparse import SparseCounts
from .sums import CellCollector, CellSums, merge_sums
from .trends import (
    GLOBAL_REGION,
    TRENDS_PER_REGION,
    ShardNews,
    Trend,
    TrendOutcome,
    find_trends,
)

__all__ = [
    "CONTENTS_PER_TV",
    "EMBEDDING_DIMENSIONS",
    "GENRE_PREFIX",
    "GLOBAL_REGION",
    "LARGEST_HASH",
    "LINKS_PER_CONTENT",
    "SAMPLE_CAPACITY",
    "SIMILAR_CELLS",
    "TRENDS_PER_REGION",
    "CellCollector",
    "CellHistory",
    "CellSums",
    "Cells",
    "ItemCensus",
    "ItemCounter",
    "ItemFilter",
    "ItemHistory",
    "KernelInputError",
    "Kind",
    "Links",
    "PairCollector",
    "PairCounts",
    "PairPlan",
    "PatternBlock",
    "PatternSample",
    "PatternSampler",
    "PublishableCells",
    "Screen",
    "ShardHistory",
    "ShardNews",
    "SparseCounts",
    "Trend",
    "TrendOrigin",
    "TrendOutcome",
    "concatenate_blocks",
    "find_trends",
    "fit_cells",
    "fit_screened_cells",
    "guard_cells",
    "heaviest_cells",
    "link_contents",
    "merge_censuses",
    "merge_pairs",
    "merge_samples",
    "merge_sums",
    "nearest_cell_rows",
    "nearest_cells",
    "nearest_cells_of_each",
    "no_cell_history",
    "no_cells",
    "open_screen",
    "pattern_keys",
    "plan_pairs",
    "publishable_cells",
    "step_cells",
    "trace_trends",
]
