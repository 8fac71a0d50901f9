"""The same cells by pgvector's HNSW, beside the kernel and by turns with it.

One prepared statement a TV, binary, over a Unix socket: the 100 nearest of each of its
tastes. Sharing the places out among tastes, which the kernel also does, is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from threadpoolctl import threadpool_limits

from benchmarks.sync import similar, tastes
from benchmarks.sync.similar import Household

M = 32
EF_CONSTRUCTION = 100
EF_SEARCH = 100

_INDEX = "bench_cell_hnsw"


class NoIndex(Exception):
    """PostgreSQL would search without the index."""


def measured(
    connection: psycopg.Connection,
    *,
    rounds: int = 3,
    tvs: int = 100,
    n_cells: int = tastes.TASTES,
) -> dict[str, float]:
    """Measure both by turns; ratios are of medians, and the median over rounds.

    ``connection`` is in autocommit and of a database with pgvector. Keys:
    ``ratio_hnsw`` (for a TV), ``ratio_hnsw_one_taste``, ``hnsw_p50_ms``,
    ``hnsw_p99_ms``.
    """
    published = similar.cells()[:n_cells]
    _fill(connection, published)
    whole = _by_turns(connection, published, similar.TASTES_PER_TV, rounds, tvs)
    single = _by_turns(connection, published, 1, rounds, tvs)
    connection.execute("DROP TABLE bench_cell")
    ours, theirs = whole
    return {
        "ratio_hnsw": _ratio(ours, theirs),
        "ratio_hnsw_one_taste": _ratio(*single),
        "hnsw_p50_ms": float(np.median(theirs)) * 1000,
        "hnsw_p99_ms": similar.p99_ms(theirs),
    }


def _by_turns(
    connection: psycopg.Connection,
    published: NDArray[np.float32],
    n_tastes: int,
    rounds: int,
    tvs: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds of the kernel and of HNSW, each of shape (rounds, tvs)."""
    asking = similar.households(tvs, n_tastes=n_tastes)
    search, peer = similar.searching(published), _peer(connection, n_tastes)
    ours, theirs = [], []
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(rounds):
            ours.append(similar.timed(search, asking))
            theirs.append(similar.timed(peer, asking))
    return np.array(ours), np.array(theirs)


def _ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    return float(np.median(np.median(theirs, axis=1) / np.median(ours, axis=1)))


def _fill(connection: psycopg.Connection, published: NDArray[np.float32]) -> None:
    register_vector(connection)
    connection.execute("DROP TABLE IF EXISTS pg_temp.bench_cell")
    connection.execute("CREATE TEMP TABLE bench_cell (id int4, embedding vector(384))")
    statement = "COPY bench_cell FROM STDIN (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int4", "vector"])
        for row, vector in enumerate(published):
            copy.write_row((row, Vector(vector)))
    connection.execute(
        f"CREATE INDEX {_INDEX} ON bench_cell USING hnsw (embedding vector_cosine_ops) "
        f"WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})"
    )
    connection.execute("ANALYZE bench_cell")
    connection.execute(f"SET hnsw.ef_search = {EF_SEARCH}")
    # Among so few rows the planner takes a sequential scan to be as good.
    connection.execute("SET enable_seqscan = off")


def _peer(
    connection: psycopg.Connection, n_tastes: int
) -> Callable[[Household], list[tuple[int, int]]]:
    rows = ", ".join(f"({row}, %b::vector)" for row in range(n_tastes))
    statement = f"""
        SELECT taste.row, near.id
        FROM (VALUES {rows}) AS taste (row, embedding), LATERAL (
            SELECT id FROM bench_cell
            ORDER BY bench_cell.embedding <=> taste.embedding LIMIT {similar.WANTED}
        ) AS near
    """

    def search(tv: Household) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = connection.execute(
            statement, [Vector(each) for each in tv.own], prepare=True, binary=True
        ).fetchall()
        return found

    _check_index(connection, statement, n_tastes)
    return search


def _check_index(connection: psycopg.Connection, statement: str, n_tastes: int) -> None:
    some = [Vector(each) for each in similar.households(1, n_tastes=n_tastes)[0].own]
    plan = connection.execute(f"EXPLAIN {statement}", some).fetchall()
    if not any(_INDEX in line for (line,) in plan):
        raise NoIndex("\n".join(line for (line,) in plan))
