"""The end of cells that too few TVs stand behind."""

from __future__ import annotations

import numpy as np

from .arrays import Int64Array
from .cells import Cells
from .kmeans import Points, iterate
from .quantise import CodedCentroids


def dissolve(points: Points, cells: Cells, required: int, first_new_id: int) -> Cells:
    """End cells with too few TVs, until none is left or only one cell is."""
    while len(cells) > 1:
        rows, _ = points.nearest(cells)
        if points.device_counts(rows, len(cells)).min() >= required:
            break
        cells = _end_weak(points, cells, rows, required, first_new_id)
        cells = iterate(points, cells, 2)
    return cells


def _end_weak(
    points: Points, cells: Cells, rows: Int64Array, required: int, first_new_id: int
) -> Cells:
    """End them half at a time: the patterns of one may make the next strong enough.

    Centroids stay where they are meanwhile, so only the patterns of ended cells have to
    look for another.
    """
    while len(cells) > 1:
        counts = points.device_counts(rows, len(cells))
        weak = np.flatnonzero(counts < required)
        if len(weak) == 0:
            break
        is_old = cells.ids[weak] < first_new_id
        order = weak[np.lexsort((-cells.ids[weak], counts[weak], is_old))]
        ended = order[: min((len(order) + 1) // 2, len(cells) - 1)]
        is_kept = np.ones(len(cells), dtype=np.bool_)
        is_kept[ended] = False
        orphans = np.flatnonzero(~is_kept[rows])
        cells = cells.take(is_kept)
        rows = (np.cumsum(is_kept) - 1)[rows]
        coded = CodedCentroids(cells.centroids)
        rows[orphans] = coded.nearest(points.codes[orphans])[0]
    return cells
