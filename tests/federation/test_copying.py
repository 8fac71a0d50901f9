"""Rows of a COPY come whole and in order, as columns that say what was written."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import DataError, OperationalError, ProgrammingError, connections
from psycopg import sql

from federation.copying import Columns, UnexpectedRow, joined, parcels
from federation.texts import TextTable

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"], transaction=True)


def copied(query):
    with connections["shard_000"].cursor() as cursor:
        statement = sql.SQL(f"COPY ({query}) TO STDOUT (FORMAT binary)")
        return joined(list(parcels(cursor, statement)))


def names_of(query):
    columns = Columns(copied(query))
    names = columns.text_lists(TextTable())
    columns.end()
    return list(names)


@pytest.mark.parametrize("count", [0, 1, 2, 999, 1_000, 1_001, 2_500])
def test_every_row_comes_once_and_in_order(count):
    rows = copied(
        f"SELECT n, n / 8.0::float8, n % 2 = 0 FROM generate_series(1, {count}) n"
    )

    columns = Columns(rows)
    fixed = columns.fixed({"number": ">i4", "rate": ">f8", "is_even": "?"})
    columns.end()
    assert fixed["number"].tolist() == list(range(1, count + 1))
    assert np.array_equal(fixed["rate"], np.arange(1, count + 1) / 8)
    assert fixed["is_even"].tolist() == [n % 2 == 0 for n in range(1, count + 1)]


def test_texts_of_any_length_are_told_apart():
    texts = ["", "a", "seven77", "eight888", "nine99999", "ü" * 64, "a", "é"]
    values = ", ".join(f"({place}, '{text}')" for place, text in enumerate(texts))

    columns = Columns(copied(f"SELECT t FROM (VALUES {values}) v (n, t) ORDER BY n"))

    found = columns.texts(TextTable())
    columns.end()
    assert [name for (name,) in found] == texts
    assert len(found.names) == len(set(texts))


def test_lists_of_texts_of_any_length():
    lists = [["tt1", "tt22"], [], ["tt1"], ["x" * 200, "", "tt1", "ß"]]
    values = ", ".join(
        f"({place}, ARRAY[{', '.join(map(repr, texts))}]::varchar[])"
        for place, texts in enumerate(lists)
    )

    assert names_of(f"SELECT t FROM (VALUES {values}) v (n, t) ORDER BY n") == lists


def test_a_column_of_another_type_is_noticed():
    columns = Columns(copied("SELECT 1::int4"))

    with pytest.raises(UnexpectedRow, match="number"):
        columns.fixed({"number": ">i8"})


def test_a_null_is_noticed():
    columns = Columns(copied("SELECT ARRAY['a', NULL]::varchar[]"))

    with pytest.raises(UnexpectedRow):
        columns.text_lists(TextTable())


def test_a_column_too_many_is_noticed():
    columns = Columns(copied("SELECT 1::int8, 2::int8"))
    columns.fixed({"number": ">i8"})

    with pytest.raises(UnexpectedRow):
        columns.end()


def test_an_error_of_the_database_reaches_the_caller():
    with pytest.raises(ProgrammingError, match="nowhere"):
        copied("SELECT 1 FROM nowhere")


def test_who_stops_early_keeps_the_connection():
    statement = sql.SQL(
        "COPY (SELECT * FROM generate_series(1, 1000000)) TO STDOUT (FORMAT binary)"
    )
    with connections["shard_000"].cursor() as cursor:
        reading = parcels(cursor, statement)
        next(reading)
        reading.close()

        cursor.execute("SELECT 1")

        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("end", ["pg_cancel_backend", "pg_terminate_backend"])
def test_an_error_amid_the_rows_reaches_the_caller(end):
    statement = sql.SQL(
        "COPY (SELECT n, CASE WHEN n = 100000 THEN {}(pg_backend_pid()) END "
        "FROM generate_series(1, 1000000) n) TO STDOUT (FORMAT binary)"
    ).format(sql.Identifier(end))
    connection = connections["shard_000"]

    with connection.cursor() as cursor, pytest.raises(OperationalError) as error:
        list(parcels(cursor, statement))
    connection.close()

    assert "terminat" in str(error.value) or "cancel" in str(error.value)


def test_a_statement_that_fails_amid_the_rows_leaves_the_connection_usable():
    statement = sql.SQL(
        "COPY (SELECT 1 / (500000 - n) FROM generate_series(1, 1000000) n) "
        "TO STDOUT (FORMAT binary)"
    )
    with connections["shard_000"].cursor() as cursor:
        with pytest.raises(DataError, match="division by zero"):
            list(parcels(cursor, statement))

        cursor.execute("SELECT 1")

        assert cursor.fetchone() == (1,)
