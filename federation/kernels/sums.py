"""What leaves a shard: exact sums by cell, and counts of what its TVs named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .arrays import (
    BoolArray,
    Float32Array,
    Int64Array,
    distinct,
    distinct_pairs,
    group_starts,
)
from .blocks import EMBEDDING_DIMENSIONS, N_CONTEXT_CODES, PatternBlock
from .errors import KernelInputError
from .items import GENRE_PREFIX, ItemFilter, Vocabulary
from .names import NameLists, OfNames
from .origins import OriginCounter
from .quantise import (
    CodedCentroids,
    GroupSums,
    capped_samples,
    pattern_weights,
    rate_fixed_point,
)
from .screening import Screen, open_screen
from .sparse import Alphabet, CountsBuilder, CountsMerger, SparseCounts

# Values summed in float64 at a time: with 2**30 each, they stay exact.
_SUMMED_VALUES = 1 << 22

_CONTEXTS = ("time_of_day", "day_of_week", "content_type")


@dataclass(frozen=True)
class CellSums:
    """Sums over patterns and counts of distinct TVs, row i being cell i.

    Everything is a whole number, so sums of shards add up to the sums of their union
    exactly, in any order.
    """

    #: How many TVs had a pattern, and how many patterns counted.
    n_devices: int
    n_patterns: int

    #: Sum of weight x component, in 2**-30. (n_cells, 384)
    vectors: Int64Array
    #: Sum of weight, in 2**-16. (n_cells,)
    weights: Int64Array
    #: Sum of weight x success rate, in 2**-30. (n_cells,)
    successes: Int64Array
    #: Sum of capped sample counts. (n_cells,)
    samples: Int64Array
    #: Patterns and distinct TVs. (n_cells,) each
    patterns: Int64Array
    devices: Int64Array
    #: The largest weight that one TV has in the cell. (n_cells,)
    heaviest: Int64Array
    #: Shards with at least one TV in the cell. (n_cells,)
    sources: Int64Array

    #: Weight by context code, 0 for unspecified. (n_cells, 16) each
    time_of_day: Int64Array
    day_of_week: Int64Array
    content_type: Int64Array

    #: Distinct TVs by context code. (n_cells, 16) each
    time_of_day_devices: Int64Array
    day_of_week_devices: Int64Array
    content_type_devices: Int64Array

    #: Distinct TVs by (cell, enrolment batch), numbered.
    batches: SparseCounts
    #: Distinct TVs by (cell, genre) and (cell, content), columns named.
    genres: SparseCounts
    contents: SparseCounts

    #: Distinct TVs by (region, item), both named, fresh patterns only. An item is a
    #: content id or ``genre:<name>``.
    region_items: SparseCounts
    #: Distinct TVs with a fresh pattern by (region, 0), rows named.
    region_reporters: SparseCounts
    #: Distinct TVs by (region and enrolment batch, item), both named, fresh patterns
    #: only; of popular items a sample, see ``ItemFilter.traced_up_to``.
    batch_items: SparseCounts
    #: Distinct TVs with a fresh pattern by (region and enrolment batch, 0), rows named.
    batch_reporters: SparseCounts
    #: Distinct TVs by (0, content), columns named, whether fresh or not.
    content_devices: SparseCounts

    @property
    def n_cells(self) -> int:
        """How many cells the sums are over."""
        return len(self.weights)

    def reporters(self) -> dict[str, int]:
        """TVs with a fresh pattern, by region.

        Returns
        -------
        dict of str to int
            In alphabetical order.
        """
        table = self.region_reporters
        return dict(zip(table.row_names, table.counts.tolist(), strict=True))

    def digest(self) -> str:
        """A fingerprint of what the TVs said, wherever they are stored.

        Returns
        -------
        str
            SHA-256, 64 hexadecimal digits, over every field but ``sources``: the one
            that says how many shards there were.
        """
        digest = hashlib.sha256()
        for field in fields(self):
            if field.name != "sources":
                _update(digest, field.name, getattr(self, field.name))
        return digest.hexdigest()


class CellCollector:
    """Takes the blocks of one shard in any order and adds them up.

    Memory follows the number of cells and of names enough TVs use, not of rows.

    Parameters
    ----------
    centroids : ndarray of shape (n_cells, 384), float32
        Unit vectors. May be empty; then only regions and contents are counted.
    item_filter : ItemFilter
        Which names to count, from the merged census of all shards.
    screen : Screen, optional
        Patterns to pass over in cells; none by default.
    """

    def __init__(
        self,
        centroids: Float32Array,
        *,
        item_filter: ItemFilter,
        screen: Screen | None = None,
    ) -> None:
        n_cells = len(centroids)
        self._screen = screen or open_screen(n_cells)
        self._coded = CodedCentroids(centroids)
        self._n_devices = 0
        self._n_patterns = 0
        self._vectors = GroupSums(n_cells, EMBEDDING_DIMENSIONS)
        self._weights, self._successes, self._samples = _zeros(3, n_cells)
        self._patterns, self._devices, self._heaviest = _zeros(3, n_cells)
        n_codes = n_cells * N_CONTEXT_CODES
        self._contexts = dict(zip(_CONTEXTS, _zeros(3, n_codes), strict=True))
        self._context_devices = dict(zip(_CONTEXTS, _zeros(3, n_codes), strict=True))
        self._contents = Vocabulary(item_filter.allows_contents)
        self._genres = Vocabulary(item_filter.allows_genres)
        self._regions = Vocabulary(lambda names: np.ones(len(names), np.bool_))
        self._content_numbers = OfNames(self._contents.numbers)
        self._genre_numbers = OfNames(self._genres.numbers)
        self._cell_batches = CountsBuilder()
        self._cell_genres = CountsBuilder()
        self._cell_contents = CountsBuilder()
        self._region_contents = CountsBuilder()
        self._region_genres = CountsBuilder()
        self._region_reporters = CountsBuilder()
        self._origins = OriginCounter(item_filter)
        self._content_devices = CountsBuilder()

    def add(self, block: PatternBlock) -> Int64Array:
        """Add a block.

        Parameters
        ----------
        block : PatternBlock
            TVs not seen before.

        Returns
        -------
        ndarray of shape (n,), int64
            The cell of each row, passed over or not; -1 where there are no cells.
        """
        cells, cosines = self._coded.assign(block.embeddings)
        is_kept = self._screen.keeps(
            cells, cosines, block.device_batch[block.device_index]
        )
        weights = np.where(is_kept, pattern_weights(block), 0)
        self._n_devices += len(group_starts(block.device_index))
        self._n_patterns += len(block)
        contents = _Names.of(block.content_ids, self._content_numbers)
        genres = _Names.of(block.genres, self._genre_numbers)
        self._add_regions(block, contents, genres)
        # A weightless pattern would count as a TV without having a say.
        counted = np.flatnonzero((cells >= 0) & (weights > 0))
        if len(counted):
            self._vectors.add(block.embeddings, weights, cells)
            self._add_sums(block, counted, cells[counted], weights[counted])
            self._add_cell_names(block, cells, weights, contents, genres)
        return cells

    def sums(self) -> CellSums:
        """What has been added, as the sums of one shard; the collector is done then.

        Returns
        -------
        CellSums
        """
        shape = (len(self._coded), N_CONTEXT_CODES)
        n_contents = len(self._contents.names)
        self._region_contents.add_beside(self._region_genres, column=n_contents)
        regions = Alphabet(self._regions.names)
        contents = Alphabet(self._contents.names)
        genres = [GENRE_PREFIX + name for name in self._genres.names]
        items = Alphabet([*self._contents.names, *genres])
        return CellSums(
            n_devices=self._n_devices,
            n_patterns=self._n_patterns,
            vectors=self._vectors.sums(),
            weights=self._weights.copy(),
            successes=self._successes.copy(),
            samples=self._samples.copy(),
            patterns=self._patterns.copy(),
            devices=self._devices.copy(),
            heaviest=self._heaviest.copy(),
            sources=(self._devices > 0).astype(np.int64),
            **{
                name: weights.reshape(shape).copy()
                for name, weights in self._contexts.items()
            },
            **{
                f"{name}_devices": devices.reshape(shape).copy()
                for name, devices in self._context_devices.items()
            },
            batches=self._cell_batches.counts(),
            genres=self._cell_genres.counts(column_names=self._genres.names),
            contents=self._cell_contents.counts(column_names=contents),
            region_items=self._region_contents.counts(
                row_names=regions, column_names=items
            ),
            region_reporters=self._region_reporters.counts(row_names=regions),
            content_devices=self._content_devices.counts(column_names=contents),
            batch_items=self._origins.items(
                self._regions.names, items, n_contents=n_contents
            ),
            batch_reporters=self._origins.reporters(self._regions.names),
        )

    def _add_sums(
        self,
        block: PatternBlock,
        rows: Int64Array,
        cells: Int64Array,
        weights: Int64Array,
    ) -> None:
        n_cells = len(self._coded)
        self._weights += _sum_by(cells, weights, n_cells)
        rates = rate_fixed_point(block.success_rate[rows])
        self._successes += _sum_by(cells, weights * rates, n_cells)
        self._samples += _sum_by(cells, capped_samples(block)[rows], n_cells)
        self._patterns += np.bincount(cells, minlength=n_cells)
        for name in _CONTEXTS:
            codes = getattr(block, name)[rows].astype(np.int64)
            self._add_context(
                name,
                cells * N_CONTEXT_CODES + codes,
                weights,
                block.device_index[rows],
            )
        self._add_devices(block, block.device_index[rows], cells, weights)

    def _add_context(
        self, name: str, cell_codes: Int64Array, weights: Int64Array, owner: Int64Array
    ) -> None:
        size = len(self._coded) * N_CONTEXT_CODES
        self._contexts[name] += _sum_by(cell_codes, weights, size)
        _, once = distinct_pairs(owner, cell_codes)
        self._context_devices[name] += np.bincount(once, minlength=size)

    def _add_devices(
        self,
        block: PatternBlock,
        devices: Int64Array,
        cells: Int64Array,
        weights: Int64Array,
    ) -> None:
        """Count each TV once in each of its cells."""
        n_cells = len(self._coded)
        pairs = devices * n_cells + cells
        order = np.argsort(pairs)
        starts = group_starts(pairs[order])
        pair_weights = np.add.reduceat(weights[order], starts)
        pair_cells = cells[order[starts]]
        self._devices += np.bincount(pair_cells, minlength=n_cells)
        np.maximum.at(self._heaviest, pair_cells, pair_weights)
        batches = block.device_batch[devices[order[starts]]]
        self._cell_batches.add(pair_cells, batches)

    def _add_cell_names(
        self,
        block: PatternBlock,
        cells: Int64Array,
        weights: Int64Array,
        contents: _Names,
        genres: _Names,
    ) -> None:
        n_cells = len(self._coded)
        owner = block.device_index * n_cells + cells
        for names, builder in (
            (contents, self._cell_contents),
            (genres, self._cell_genres),
        ):
            owners, numbers = names.distinct(owner, weights > 0)
            builder.add(owners % n_cells, numbers)

    def _add_regions(
        self, block: PatternBlock, contents: _Names, genres: _Names
    ) -> None:
        regions = self._regions.numbers(block.device_region)
        device = block.device_index
        reporting = distinct(device[block.is_fresh])
        self._region_reporters.add(regions[reporting], np.zeros_like(reporting))
        self._origins.start_block(block, regions, reporting)
        for names, builder, vocabulary, prefix in (
            (contents, self._region_contents, self._contents, ""),
            (genres, self._region_genres, self._genres, GENRE_PREFIX),
        ):
            owners, numbers = names.distinct(device, block.is_fresh)
            builder.add(regions[owners], numbers)
            self._origins.add(owners, numbers, vocabulary.names, prefix)
        _, numbers = contents.distinct(device)
        self._content_devices.add(np.zeros_like(numbers), numbers)


def merge_sums(sums: Sequence[CellSums]) -> CellSums:
    """Add the sums of shards up.

    Parameters
    ----------
    sums : sequence of CellSums
        At least one, all over the same centroids; no TV in two of them.

    Returns
    -------
    CellSums
        The same whatever the order, and the same as one shard with all the TVs would
        have collected, but for ``sources``.

    Raises
    ------
    KernelInputError
        If there is nothing to merge or the numbers of cells differ.
    """
    merger = SumsMerger()
    for part in sums:
        merger.add(part)
    return merger.sums()


class SumsMerger:
    """Takes the sums of shards in any order, one after the other, and adds them up."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._arrays: dict[str, Int64Array] = {}
        self._tables: dict[str, CountsMerger] = {}

    def add(self, part: CellSums) -> None:
        """Add the sums of a shard.

        Parameters
        ----------
        part : CellSums
            Over the same centroids as those before; no TV of theirs. Not changed.

        Raises
        ------
        KernelInputError
            If the number of cells differs.
        """
        known = self._arrays.get("weights", part.weights)
        if len(known) != part.n_cells:
            sizes = sorted([len(known), part.n_cells])
            raise KernelInputError(
                f"Sums to merge need the same cells; found {sizes} cells."
            )
        for field in fields(part):
            self._add(field.name, getattr(part, field.name))

    def sums(self) -> CellSums:
        """Everything added; nothing can be added then.

        Returns
        -------
        CellSums
            As :func:`merge_sums`.

        Raises
        ------
        KernelInputError
            If nothing was.
        """
        if not self._arrays:
            raise KernelInputError("There are no sums to merge.")
        tables = {name: merger.counts() for name, merger in self._tables.items()}
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        return CellSums(**self._numbers, **arrays, **tables)  # type: ignore[arg-type]

    def _add(self, name: str, value: int | Int64Array | SparseCounts) -> None:
        if isinstance(value, SparseCounts):
            self._tables.setdefault(name, CountsMerger()).add(value)
        elif isinstance(value, int):
            self._numbers[name] = self._numbers.get(name, 0) + value
        elif name not in self._arrays:
            self._arrays[name] = value.copy()
        elif name == "heaviest":
            np.maximum(self._arrays[name], value, out=self._arrays[name])
        else:
            self._arrays[name] += value


@dataclass(frozen=True)
class _Names:
    """The numbered names of a block's rows; refused names left out."""

    rows: Int64Array
    numbers: Int64Array

    @classmethod
    def of(cls, lists: Sequence[Sequence[str]], numbers: OfNames[np.int64]) -> _Names:
        named = NameLists.of(lists)
        found = numbers(named.names)[named.numbers]
        rows = named.rows()
        is_known = found >= 0
        if is_known.all():
            return cls(rows, found)
        return cls(rows[is_known], found[is_known])

    def distinct(
        self, owner: Int64Array, is_wanted: BoolArray | None = None
    ) -> tuple[Int64Array, Int64Array]:
        """Each (owner, name) once, of the rows that are wanted."""
        if is_wanted is None or is_wanted.all():
            return distinct_pairs(owner[self.rows], self.numbers)
        kept = is_wanted[self.rows]
        return distinct_pairs(owner[self.rows[kept]], self.numbers[kept])


def _sum_by(groups: Int64Array, values: Int64Array, n_groups: int) -> Int64Array:
    """Exact int64 sums of values of up to 2**30 by group."""
    sums = np.zeros(n_groups, dtype=np.int64)
    for start in range(0, len(groups), _SUMMED_VALUES):
        part = slice(start, start + _SUMMED_VALUES)
        found = np.bincount(groups[part], values[part], minlength=n_groups)
        sums += found.astype(np.int64)
    return sums


def _zeros(count: int, size: int) -> list[Int64Array]:
    return [np.zeros(size, dtype=np.int64) for _ in range(count)]


def _update(digest: hashlib._Hash, name: str, value: object) -> None:
    digest.update(name.encode() + b"\0")
    if isinstance(value, SparseCounts):
        for field in fields(value):
            _update(digest, field.name, getattr(value, field.name))
    elif isinstance(value, np.ndarray):
        digest.update(repr(value.shape).encode())
        digest.update(np.ascontiguousarray(value, dtype="<i8").tobytes())
    else:
        digest.update(repr(value).encode())
