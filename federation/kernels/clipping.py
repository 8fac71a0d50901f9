"""How much of a TV a round with noise looks at: a bound on what one TV can change.

What is kept of a TV depends on that TV alone, never on what others said: else one TV
more could change what counts of all others, and no bound would hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .arrays import Float32Array, Int64Array, group_starts
from .blocks import PatternBlock
from .halfvecs import widened
from .items import choose_per_device
from .names import NameLists
from .quantise import pattern_weights
from .sampling import hash_text


@dataclass(frozen=True, kw_only=True)
class Clipping:
    """What counts of one TV at most."""

    patterns: int = 4
    contents: int = 12
    genres: int = 4

    @property
    def pairs(self) -> int:
        """Pairs of contents of one TV."""
        return self.contents * (self.contents - 1) // 2


def clip(block: PatternBlock, clipping: Clipping, *, seed: int) -> PatternBlock:
    """Keep so much of each TV and no more.

    Parameters
    ----------
    block : PatternBlock
        Any block.
    clipping : Clipping
        The bounds, each at least 1.
    seed : int
        64 bits that TVs cannot know.

    Returns
    -------
    PatternBlock
        The same TVs. Of each the patterns that count most, what was reported afresh
        first; in these so many distinct contents and genres, chosen by keyed hash and
        each left in one pattern only. Vectors are of length one at most.
    """
    block = _heaviest(block, clipping.patterns)
    return replace(
        block,
        embeddings=_within_one(widened(block.embeddings)),
        content_ids=_chosen(block, block.content_ids, clipping.contents, seed),
        genres=_chosen(block, block.genres, clipping.genres, seed),
    )


def _heaviest(block: PatternBlock, limit: int) -> PatternBlock:
    """The rows that count most of each TV, in the order in which they do."""
    order = np.lexsort((-pattern_weights(block), ~block.is_fresh, block.device_index))
    starts = group_starts(block.device_index)
    sizes = np.diff(np.r_[starts, len(order)])
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    rows = order[place < limit]
    return replace(
        block,
        **{
            name: getattr(block, name)[rows]
            for name in (
                *("pattern_keys", "device_index", "embeddings", "success_rate"),
                *("sample_count", "time_of_day", "day_of_week", "content_type"),
                "is_fresh",
            )
        },
        genres=[block.genres[row] for row in rows.tolist()],
        content_ids=[block.content_ids[row] for row in rows.tolist()],
    )


def _within_one(embeddings: Float32Array) -> Float32Array:
    lengths = np.sqrt(np.square(embeddings, dtype=np.float64).sum(axis=1))
    within: Float32Array = embeddings / np.maximum(lengths, 1)[:, np.newaxis]
    return within.astype(np.float32)


def _chosen(
    block: PatternBlock, lists: Sequence[Sequence[str]], limit: int, seed: int
) -> list[list[str]]:
    """Distinct names of each TV, each in the first of its rows that has it."""
    named = NameLists.of(lists)
    rows, numbers = _first_of_each(block.device_index, named.rows(), named.numbers)
    hashes = np.array([hash_text(name, seed=seed) for name in named.names], np.uint64)
    kept = choose_per_device(
        block, block.device_index[rows], hashes[numbers], limit=limit, seed=seed
    )
    chosen: list[list[str]] = [[] for _ in range(len(block))]
    for place in np.sort(kept).tolist():
        chosen[rows[place]].append(named.names[numbers[place]])
    return chosen


def _first_of_each(
    device_index: Int64Array, rows: Int64Array, numbers: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Each (TV, name) once, in the order of rows."""
    devices = device_index[rows]
    order = np.lexsort((rows, numbers, devices))
    is_new = np.ones(len(order), dtype=np.bool_)
    same_tv = devices[order][1:] == devices[order][:-1]
    is_new[1:] = ~(same_tv & (numbers[order][1:] == numbers[order][:-1]))
    first = np.sort(order[is_new])
    return rows[first], numbers[first]
