"""Finding similar cells beside a naive search and pgvector's HNSW."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connections

from benchmarks.sync import hnsw, similar


def test_the_kernel_finds_what_a_naive_search_finds():
    published, asking = similar.cells(), similar.households(5)
    search = similar.searching(published)

    answers = [search(tv) for tv in asking]

    assert similar.recall(published, asking, answers) == 1


def test_what_is_not_found_costs_recall():
    published, asking = similar.cells(), similar.households(2)
    search = similar.searching(published)
    right, wrong = search(asking[0]), search(asking[1])

    worse = similar.recall(published, [asking[0]] * 2, [right, wrong])

    assert 0.5 <= worse < 1


def test_a_report_of_the_kernel_has_its_figures():
    found = similar.measured(rounds=2, tvs=4)

    assert found["similar_recall"] == 1
    assert 0 < found["similar_p50_ms"] <= found["similar_p99_ms"]


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_a_report_beside_hnsw_has_its_figures():
    facts = connections["shard_000"].get_connection_params()
    place = {key: facts[key] for key in ("dbname", "user", "host")}
    with psycopg.connect(**place, autocommit=True) as connection:
        found = hnsw.measured(connection, rounds=2, tvs=3, n_cells=300)
        left = connection.execute("SELECT to_regclass('bench_cell')").fetchone()

    assert found["ratio_hnsw"] > 0
    assert found["ratio_hnsw_one_taste"] > 0
    assert 0 < found["hnsw_p50_ms"] <= found["hnsw_p99_ms"]
    assert left == (None,)
