"""What a round does about cells that don't fit the rest, and what it says of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from federation.kernels import (
    CellHistory,
    Cells,
    PublishableCells,
    Screen,
    guard_cells,
)
from federation.kernels.arrays import BoolArray
from federation.quarantined import Quarantined


@dataclass(frozen=True, kw_only=True)
class Defences:
    """What was held back or left out, for operators. Cells by number, ascending."""

    #: Enrolment batches that were left out of all cells.
    left_out_batches: tuple[int, ...] = ()
    #: Cell and batch of what was left out of single cells besides.
    left_out_of_cells: tuple[tuple[int, int], ...] = ()
    #: Cell and shard of what was left out.
    left_out_shards: tuple[tuple[int, int], ...] = ()
    #: Cells that moved too far, and are published where they were.
    held_cells: tuple[int, ...] = ()
    #: Cells that aren't published: too new, or filled by few batches or vectors...
    waiting_cells: tuple[int, ...] = ()
    #: ...or mostly by what was left out...
    contested_cells: tuple[int, ...] = ()
    #: ...or under quarantine.
    quarantined_cells: tuple[int, ...] = ()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was held back or left out but what operators chose."""
        quiet = replace(self, quarantined_cells=())
        return quiet == Defences()


@dataclass(frozen=True)
class Defended:
    published: PublishableCells
    defences: Defences
    cells: Cells
    history: CellHistory


def defend(
    enough_behind: PublishableCells,
    *,
    cells: Cells,
    screen: Screen,
    n_devices: int,
    history: CellHistory,
    quarantined: Quarantined,
    outlying: Mapping[int, BoolArray],
) -> Defended:
    """Choose what is published of the cells that enough TVs stand behind."""
    rows = enough_behind.rows
    ids = cells.ids[rows]
    guarded = guard_cells(
        cells,
        rows=rows,
        embeddings=enough_behind.embeddings,
        is_narrow=screen.is_narrow,
        n_devices=n_devices,
        history=history,
    )
    is_quarantined = np.isin(ids, np.array(quarantined.cells, dtype=np.int64))
    is_contested = screen.is_contested[rows] & ~is_quarantined
    is_waiting = guarded.is_waiting & ~is_contested & ~is_quarantined
    is_published = ~(is_waiting | is_contested | is_quarantined)
    published = replace(enough_behind, embeddings=guarded.embeddings)
    return Defended(
        published=published.take(is_published),
        defences=Defences(
            left_out_batches=tuple(screen.batches.tolist()),
            left_out_of_cells=tuple(
                zip(
                    cells.ids[screen.rows].tolist(),
                    screen.row_batches.tolist(),
                    strict=True,
                )
            ),
            left_out_shards=tuple(
                (cell, shard_id)
                for shard_id, is_out in sorted(outlying.items())
                for cell in cells.ids[is_out].tolist()
            ),
            held_cells=tuple(ids[guarded.is_held & is_published].tolist()),
            waiting_cells=tuple(ids[is_waiting].tolist()),
            contested_cells=tuple(ids[is_contested].tolist()),
            quarantined_cells=tuple(ids[is_quarantined].tolist()),
        ),
        cells=guarded.cells,
        history=guarded.history,
    )
