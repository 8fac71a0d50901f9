"""A result as rows of a database, both ways, by binary COPY."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np
from django.db import connections
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray
from psycopg import sql

from federation.kernels import EMBEDDING_DIMENSIONS, Kind
from federation.models import GlobalPattern, Link, Trend
from federation.result import (
    ResultLinks,
    ResultOrigin,
    ResultPattern,
    ResultTrend,
    RoundResult,
)

#: What pgvector sends before a vector's components: their number, and zero.
_VECTOR_HEADER = struct.pack(">hh", EMBEDDING_DIMENSIONS, 0)

Part = TypeVar("Part", ResultPattern, ResultTrend, ResultOrigin, ResultLinks)

# Each column with the type it is copied as; ``bytea`` passes bytes through. Trends have
# the order of ``ResultTrend``, then that of ``ResultOrigin``.
_PATTERN_COLUMNS = {
    "version": "int8",
    "cell": "int4",
    "embedding": "bytea",
    "success_rate": "float8",
    "sample_count": "int8",
    "mass": "float8",
    "device_count": "int4",
    "source_count": "int2",
    "batch_count": "int4",
    "time_of_day": "int2",
    "day_of_week": "int2",
    "content_type": "int2",
    "genre_hints": "varchar[]",
    "content_ids": "varchar[]",
}
_TREND_COLUMNS = {
    "version": "int8",
    "region": "varchar",
    "rank": "int2",
    "item": "varchar",
    "score": "float8",
    "rate": "float8",
    "usual_rate": "float8",
    "device_count": "int4",
    "kind": "varchar",
    "course": "float8[]",
    "shard_ids": "int4[]",
    "shard_shares": "float8[]",
    "batch_ids": "int8[]",
    "batch_shares": "float8[]",
    "shard_concentration": "float8",
    "batch_concentration": "float8",
    "carrying_shard": "int4",
    "carrying_batch": "int8",
}
_LINK_COLUMNS = {
    "version": "int8",
    "content_id": "varchar",
    "related_ids": "varchar[]",
    "weights": "float8[]",
}


def write_result(alias: str, version: int, result: RoundResult) -> None:
    """Copy a result in under its version; the caller holds the transaction."""
    with connections[alias].cursor() as cursor:
        copy_in(
            cursor,
            GlobalPattern._meta.db_table,
            _PATTERN_COLUMNS,
            _pattern_rows(version, result),
        )
        copy_in(
            cursor,
            Trend._meta.db_table,
            _TREND_COLUMNS,
            _trend_rows(version, result),
        )
        copy_in(
            cursor,
            Link._meta.db_table,
            _LINK_COLUMNS,
            (
                (version, row.content_id, list(row.related_ids), list(row.weights))
                for row in result.links
            ),
        )


def read_result(alias: str, version: int) -> RoundResult:
    """Read a version back, in the order its checksum is taken in.

    Three statements: the caller holds a snapshot if the version may go away.
    """
    with connections[alias].cursor() as cursor:
        patterns = _copy_out(
            cursor, GlobalPattern._meta.db_table, _PATTERN_COLUMNS, version
        )
        trends = _copy_out(cursor, Trend._meta.db_table, _TREND_COLUMNS, version)
        links = _copy_out(cursor, Link._meta.db_table, _LINK_COLUMNS, version)
    # Sorted here, by code points: the database would follow its collation.
    patterns.sort(key=itemgetter("cell"))
    trends.sort(
        key=lambda row: (row["kind"] == Kind.FADING, row["region"], row["rank"])
    )
    links.sort(key=itemgetter("content_id"))
    return RoundResult(
        patterns=tuple(_as(ResultPattern, row) for row in patterns),
        trends=tuple(_as(ResultTrend, row) for row in trends if not _is_fading(row)),
        fading=tuple(_as(ResultTrend, row) for row in trends if _is_fading(row)),
        origins=tuple(_as(ResultOrigin, row) for row in trends),
        links=tuple(_as(ResultLinks, row) for row in links),
        embeddings=_as_matrix([row["embedding"] for row in patterns]),
        source_counts=np.array([row["source_count"] for row in patterns], np.int64),
    )


def _pattern_rows(version: int, result: RoundResult) -> Iterator[tuple[Any, ...]]:
    for row, embedding, source_count in zip(
        result.patterns, result.embeddings, result.source_counts.tolist(), strict=True
    ):
        yield (
            version,
            row.cell,
            _VECTOR_HEADER + embedding.astype(">f4").tobytes(),
            row.success_rate,
            row.sample_count,
            row.mass,
            row.device_count,
            source_count,
            row.batch_count,
            row.time_of_day,
            row.day_of_week,
            row.content_type,
            list(row.genre_hints),
            list(row.content_ids),
        )


def _is_fading(row: dict[str, Any]) -> bool:
    return bool(row["kind"] == Kind.FADING)


def _trend_rows(version: int, result: RoundResult) -> Iterator[tuple[Any, ...]]:
    trends = (*result.trends, *result.fading)
    origins = result.origins or (ResultOrigin(),) * len(trends)
    for trend, origin in zip(trends, origins, strict=True):
        told = (list(v) if isinstance(v, tuple) else v for v in astuple(origin))
        yield (version, *astuple(trend), *told)


def _as(kind: type[Part], row: dict[str, Any]) -> Part:
    """Make one part of a result from the columns that are called as its fields."""
    values = (row[field.name] for field in fields(kind))
    arguments: list[Any] = [tuple(v) if isinstance(v, list) else v for v in values]
    return kind(*arguments)


def _as_matrix(sent: Sequence[bytes]) -> NDArray[np.float32]:
    """Turn what pgvector sent into a float32 array of shape (n, 384)."""
    joined = b"".join([row[len(_VECTOR_HEADER) :] for row in sent])
    components = np.frombuffer(joined, dtype=">f4")
    return components.reshape(-1, EMBEDDING_DIMENSIONS).astype(np.float32)


def copy_in(
    cursor: CursorWrapper,
    table: str,
    columns: dict[str, str],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    """Write rows by binary ``COPY``; each column comes with the type it is sent as."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with cursor.db.wrap_database_errors, cursor.copy(statement) as copy:
        copy.set_types(list(columns.values()))
        for row in rows:
            copy.write_row(row)


def _copy_out(
    cursor: CursorWrapper, table: str, columns: dict[str, str], version: int
) -> list[dict[str, Any]]:
    statement = sql.SQL(
        "COPY (SELECT {} FROM {} WHERE version = {}) TO STDOUT (FORMAT binary)"
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.Identifier(table),
        sql.Literal(version),
    )
    copied = copied_rows(cursor, statement, list(columns.values()))
    return [dict(zip(columns, row, strict=True)) for row in copied]


def copied_rows(
    cursor: CursorWrapper, statement: sql.Composable, types: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Stream the rows of a binary ``COPY … TO STDOUT``."""
    with cursor.db.wrap_database_errors, cursor.copy(statement) as copy:
        copy.set_types(types)
        yield from copy.rows()
