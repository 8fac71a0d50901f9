"""Cells told instead of found: a collect without the products of its assignment.

Reading is held against COPY and assignment against sgemm, so each is measured without
the other. A made-up pattern names the first content of its taste, which tells the cell.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.federation.filling import CONTENTS, CONTENTS_PER_TASTE, TITLE
from federation import collect
from federation.kernels import PatternBlock, sums
from federation.kernels.names import NameLists, OfNames

_TASTES = {TITLE % number: number // CONTENTS_PER_TASTE for number in range(CONTENTS)}


@contextmanager
def told_cells() -> Iterator[None]:
    """Have collects go on with the cells they are told."""
    told: list[NDArray[np.int64]] = []
    read = collect.blocks

    def blocks(*args: Any, **options: Any) -> Generator[PatternBlock, None, None]:
        for block in read(*args, **options):
            told[:] = [tastes(block)]
            yield block

    class Told:
        def __init__(self, centroids: NDArray[np.float32]) -> None:
            self._count = len(centroids)

        def __len__(self) -> int:
            return self._count

        def assign(
            self, vectors: NDArray[np.float32]
        ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            return told[0] % self._count, np.ones(len(vectors), dtype=np.float32)

    with (
        patch.object(collect, "blocks", blocks),
        patch.object(sums, "CodedCentroids", Told),
    ):
        yield


def tastes(block: PatternBlock) -> NDArray[np.int64]:
    """The taste of each pattern, from the content that it names first."""
    named = NameLists.of(block.content_ids)
    return _tastes_of(named.names)[named.numbers[named.bounds[:-1]]]


_tastes_of = OfNames(
    lambda names: np.array([*map(_TASTES.__getitem__, names)], dtype=np.int64)
)
