"""New cells: as many as the fleet could fill at first, later for new tastes only."""

from __future__ import annotations

import numpy as np

from .arrays import Int64Array
from .cells import Cells
from .kmeans import Points
from .quantise import CodedCentroids, unit_rows

# A cell is opened for as many patterns as a publishable one needs, but at least for
# these: the spread of a handful of patterns cannot be told. What proves too
# small is dissolved again. Small fleets may open this many cells all the same.
_PATTERNS_PER_OPENING = 10
_SMALL_FLEET_CELLS = 64

# Last round's cells are refined once they are fewer than a quarter of what the fleet
# could fill; until then new cells are opened for new tastes only, or cells would churn.
_REFINE_BELOW = 0.25

# A pattern is a new taste if its cosine to the nearest cell lies this many deviations
# below the median. The deviation is the median one, times 1.4826 as for a normal law.
_NEW_TASTE_DEVIATIONS = 4 * 1.4826

# Sampled patterns looked at to choose where cells open.
_OPENING_PATTERNS = 1 << 15
_OPENING_STEP = 1024
_OPENING_TRIALS = 8


def fillable_cells(n_patterns: int, required: int) -> int:
    """How many cells the patterns could fill."""
    large = n_patterns // max(required, _PATTERNS_PER_OPENING)
    small = min(n_patterns // required, _SMALL_FLEET_CELLS)
    return max(large, small, 1)


def largest(points: Points, cells: Cells, limit: int) -> Cells:
    """The cells with the most TVs; of equals the older."""
    if len(cells) <= limit:
        return cells
    counts = points.device_counts(points.nearest(cells)[0], len(cells))
    is_kept = np.zeros(len(cells), dtype=np.bool_)
    is_kept[np.argsort(-counts, kind="stable")[:limit]] = True
    return cells.take(is_kept)


def open_cells(points: Points, cells: Cells, budget: int) -> Cells:
    """The cells and the new ones, numbered on; at most ``budget`` together."""
    room = budget - len(cells)
    if room <= 0:
        return cells
    if len(cells) < _REFINE_BELOW * budget:
        threshold = _filling_threshold(points, cells, room)
    else:
        threshold = _new_taste_threshold(points, cells)
    seeds = _leaders(points, cells, threshold, room)
    ids = cells.next_id + np.arange(len(seeds), dtype=np.int64)
    return Cells(
        ids=np.concatenate([cells.ids, ids]),
        centroids=np.concatenate(
            [cells.centroids, unit_rows(points.vectors[seeds].astype(np.int64))]
        ),
        next_id=cells.next_id + len(seeds),
    )


def _filling_threshold(points: Points, cells: Cells, room: int) -> float:
    """The highest cosine, in steps of 1/256, whose leaders fit into the room."""
    low, high = -1.0, 1.0
    for _ in range(_OPENING_TRIALS):
        middle = (low + high) / 2
        if len(_leaders(points, cells, middle, room + 1)) > room:
            high = middle
        else:
            low = middle
    return low


def _new_taste_threshold(points: Points, cells: Cells) -> float:
    _, cosines = points.nearest(cells)
    median = float(np.median(cosines))
    deviation = float(np.median(np.abs(cosines - np.float32(median))))
    return median - _NEW_TASTE_DEVIATIONS * deviation


def _leaders(points: Points, cells: Cells, threshold: float, limit: int) -> Int64Array:
    """Patterns, in the order of the sample, far from every cell and earlier leader."""
    n_looked_at = max(_OPENING_PATTERNS, 8 * limit)
    codes = points.codes[:n_looked_at]
    norms = points.code_norms[:n_looked_at]
    leaders: list[int] = []
    for start in range(0, len(codes), _OPENING_STEP):
        part = slice(start, start + _OPENING_STEP)
        opened = codes[leaders].astype(np.float32)
        known = CodedCentroids(np.concatenate([cells.centroids, opened]))
        _, scores = known.nearest(codes[part])
        is_far = scores / norms[part] < threshold if len(known) else scores == scores
        far = start + np.flatnonzero(is_far)
        while len(far):
            leaders.append(int(far[0]))
            if len(leaders) >= limit:
                return np.array(leaders, dtype=np.int64)
            leader = CodedCentroids(codes[far[:1]].astype(np.float32))
            cosines = leader.scores(codes[far])[:, 0] / norms[far]
            is_far = cosines < threshold
            is_far[0] = False
            far = far[is_far]
    return np.array(leaders, dtype=np.int64)
