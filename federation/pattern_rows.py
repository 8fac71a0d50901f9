"""Patterns as a ``COPY`` sends them, made into blocks of whole TVs."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from federation.copying import PARCEL_ROWS, Columns, Rows
from federation.kernels import EMBEDDING_DIMENSIONS, PatternBlock
from federation.kernels.names import NameLists, joined
from federation.quarantined import Quarantined
from federation.texts import TextTable
from patterns.raw_vectors import half_type

# A TV's rows come together, which is what the kernels count TVs by. Revoked TVs have
# no say. Columns of a fixed size come first.
_PATTERNS = """
    COPY (
        SELECT pattern.device_id, pattern.pattern_id,
            pattern.success_rate, pattern.sample_count,
            pattern.time_of_day, pattern.day_of_week, pattern.content_type,
            {is_fresh}, device.batch_id, {embedding},
            device.region, pattern.genre_hints, pattern.content_ids
        FROM patterns_pattern AS pattern
        JOIN shards_device AS device ON device.id = pattern.device_id
        WHERE pattern.success_rate >= {min_quality} AND device.revoked_at IS NULL
            {and_not_quarantined} {and_of_some}
        ORDER BY pattern.device_id, pattern.pattern_id
    ) TO STDOUT (FORMAT binary)
"""

#: Of TVs, whose ids are random.
HALVES = (
    sql.SQL("AND pattern.device_id < '80000000-0000-0000-0000-000000000000'"),
    sql.SQL("AND pattern.device_id >= '80000000-0000-0000-0000-000000000000'"),
)
_ALL = sql.SQL("")

_FIXED = np.dtype(
    [
        ("device_id", ">u8", 2),
        ("pattern_id", ">u8", 2),
        ("success_rate", ">f8"),
        ("sample_count", ">i8"),
        ("time_of_day", ">i2"),
        ("day_of_week", ">i2"),
        ("content_type", ">i2"),
        ("is_fresh", "?"),
        ("batch_id", ">i8"),
    ]
)
_FIXED_SIZES = np.array([_FIXED[name].itemsize for name in _FIXED.names or ()])

# How many numbers the embedding has, zero, and the numbers.
_HEADER_BYTES = 4
_VECTOR_SIZES = np.array([_HEADER_BYTES + 2 * EMBEDDING_DIMENSIONS])

# Where a row has its device_id: after the number of columns and its own size.
_DEVICE_ID = slice(6, 22)


def patterns_statement(
    min_quality: float,
    fresh_since: datetime | None,
    quarantined: Quarantined,
    *,
    is_raw: bool,
    devices: sql.Composable = _ALL,
) -> sql.Composable:
    """The ``COPY`` that both readings are made with; vectors raw where they can be.

    Of all TVs, or of one of ``HALVES``.
    """
    vector = "pattern.embedding::bytea" if is_raw else "pattern.embedding"
    return sql.SQL(_PATTERNS).format(
        embedding=sql.SQL(vector),
        min_quality=sql.Literal(min_quality),
        is_fresh=sql.SQL("true")
        if fresh_since is None
        else sql.SQL("pattern.reported_at > {}").format(sql.Literal(fresh_since)),
        and_not_quarantined=_without(quarantined),
        and_of_some=devices,
    )


def _without(quarantined: Quarantined) -> sql.Composable:
    conditions: list[sql.Composable] = []
    if quarantined.devices:
        condition = sql.SQL("AND pattern.device_id <> ALL({}::uuid[])")
        conditions.append(condition.format(sql.Literal(list(quarantined.devices))))
    if quarantined.batches:
        condition = sql.SQL("AND device.batch_id <> ALL({}::bigint[])")
        conditions.append(condition.format(sql.Literal(list(quarantined.batches))))
    return sql.SQL(" ").join(conditions)


def blocks_of(
    read: Iterable[Rows], block_rows: int
) -> Generator[PatternBlock, None, None]:
    """Blocks of so many rows and those that are left of the last TV."""
    texts = _Texts()
    block = _Block(block_rows)
    for parcel in read:
        rest = parcel
        while (end := _next_tv(block, rest, block_rows - len(block))) is not None:
            block.add(rest.part(slice(end)), texts)
            yield block.made()
            block = _Block(block_rows)
            rest = rest.part(slice(end, None))
        block.add(rest, texts)
    if len(block):
        yield block.made()


def _next_tv(before: _Block, rows: Rows, first: int) -> int | None:
    """The row, of those from the first on, that another TV than the last begins."""
    first = max(first, 0)
    if first >= len(rows):
        return None
    last = rows.bytes_of(first - 1, _DEVICE_ID) if first else before.last_device
    places = range(first, len(rows))
    return next((n for n in places if rows.bytes_of(n, _DEVICE_ID) != last), None)


@dataclass(frozen=True)
class _Texts:
    """The texts of a reading, numbered over all its blocks."""

    regions: TextTable = field(default_factory=TextTable)
    genres: TextTable = field(default_factory=TextTable)
    content_ids: TextTable = field(default_factory=TextTable)


class _Block:
    """Rows that are parsed as they come, while the cache has them."""

    def __init__(self, row_count: int) -> None:
        room = row_count + PARCEL_ROWS
        self._fixed = np.empty((room, _FIXED.itemsize), dtype=np.uint8)
        self._vectors = np.empty((room, int(_VECTOR_SIZES[0])), dtype=np.uint8)
        self._count = 0
        self._regions: list[NameLists] = []
        self._genres: list[NameLists] = []
        self._content_ids: list[NameLists] = []

    def __len__(self) -> int:
        return self._count

    @property
    def last_device(self) -> bytes:
        """The id of the TV that was added last."""
        width = _DEVICE_ID.stop - _DEVICE_ID.start
        return self._fixed[self._count - 1, :width].tobytes()

    def add(self, rows: Rows, texts: _Texts) -> None:
        place = slice(self._count, self._count + len(rows))
        if place.stop > len(self._fixed):  # a TV with more patterns than a parcel
            self._fixed, self._vectors = map(_doubled, (self._fixed, self._vectors))
        columns = Columns(rows)
        columns.fixed(_FIXED_SIZES, self._fixed[place])
        columns.fixed(_VECTOR_SIZES, self._vectors[place])
        self._regions.append(columns.texts(texts.regions))
        self._genres.append(columns.text_lists(texts.genres))
        self._content_ids.append(columns.text_lists(texts.content_ids))
        columns.end()
        self._count = place.stop

    def made(self) -> PatternBlock:
        fixed = self._fixed[: self._count].view(_FIXED)[:, 0]
        regions = joined(self._regions)
        keys = np.concatenate([fixed["device_id"], fixed["pattern_id"]], axis=1)
        is_first = np.ones(len(fixed), dtype=np.bool_)
        is_first[1:] = (keys[1:, :2] != keys[:-1, :2]).any(axis=1)
        return PatternBlock(
            pattern_keys=keys.astype(np.uint64),
            device_index=np.cumsum(is_first) - 1,
            embeddings=self._embeddings(),
            success_rate=fixed["success_rate"].astype(np.float32),
            sample_count=fixed["sample_count"].astype(np.int64),
            time_of_day=fixed["time_of_day"].astype(np.int8),
            day_of_week=fixed["day_of_week"].astype(np.int8),
            content_type=fixed["content_type"].astype(np.int8),
            genres=joined(self._genres),
            content_ids=joined(self._content_ids),
            is_fresh=fixed["is_fresh"].copy(),
            device_region=[
                regions.names[number] for number in regions.numbers[is_first].tolist()
            ],
            device_batch=fixed["batch_id"][is_first].astype(np.int64),
        )

    def _embeddings(self) -> NDArray[np.float16]:
        sent = self._vectors[: self._count]
        counts = sent[:, :2].copy().view(">u2")
        halves = sent.view(half_type(counts))[:, _HEADER_BYTES // 2 :]
        return halves.astype(np.float16, copy=False)


def _doubled(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy with room for as many again."""
    return np.concatenate([rows, np.empty_like(rows)])
