"""Rows of a COPY come whole and in order, as columns that say what was written."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import psycopg
import pytest
from django.db import DataError, OperationalError, ProgrammingError, connections
from psycopg import sql

from federation.copying import PARCEL_ROWS, Columns, UnexpectedRow, parcels
from federation.texts import TextTable

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"], transaction=True)


def copied(query):
    with connections["shard_000"].cursor() as cursor:
        statement = sql.SQL(f"COPY ({query}) TO STDOUT (FORMAT binary)")
        return list(parcels(cursor, statement))


def columns_of(query):
    (rows,) = copied(query)
    return Columns(rows), len(rows)


def fixed(columns, count, kinds):
    kind = np.dtype([(f"column {place}", kind) for place, kind in enumerate(kinds)])
    sizes = np.array([np.dtype(each).itemsize for each in kinds])
    out = np.empty((count, kind.itemsize), dtype=np.uint8)
    columns.fixed(sizes, out)
    return out.view(kind)[:, 0]


def names_of(query):
    columns, _ = columns_of(query)
    names = columns.text_lists(TextTable())
    columns.end()
    return list(names)


@pytest.mark.parametrize("count", [0, 1, 2, 499, 500, 501, 1_000, 2_500])
def test_every_row_comes_once_and_in_order(count):
    query = f"SELECT n, n / 8.0::float8, n % 2 = 0 FROM generate_series(1, {count}) n"

    found = []
    for rows in copied(query):
        assert 0 < len(rows) <= PARCEL_ROWS
        columns = Columns(rows)
        found += fixed(columns, len(rows), [">i4", ">f8", "?"]).tolist()
        columns.end()

    assert found == [(n, n / 8, n % 2 == 0) for n in range(1, count + 1)]


@pytest.mark.parametrize("megabytes", [1, 3, 20])
def test_rows_of_any_length_come_whole(megabytes):
    query = (
        "SELECT repeat('z', CASE WHEN n % 70 = 1 THEN "
        f"{megabytes} * 1000000 ELSE n END) FROM generate_series(1, 100) n"
    )

    (rows,) = copied(query)

    sizes = rows.ends - rows.starts - 6  # the number of columns, and the text's size
    assert sizes.tolist() == [
        megabytes * 1_000_000 if n % 70 == 1 else n for n in range(1, 101)
    ]
    sent = rows.data[: rows.ends[-1]].tobytes()
    assert sent.count(b"z") == sizes.sum()


def test_texts_of_any_length_are_told_apart():
    texts = ["", "a", "seven77", "eight888", "nine99999", "ü" * 64, "a", "é"]
    values = ", ".join(f"({place}, '{text}')" for place, text in enumerate(texts))

    columns, _ = columns_of(f"SELECT t FROM (VALUES {values}) v (n, t) ORDER BY n")

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


def test_a_column_of_another_size_is_noticed():
    columns, count = columns_of("SELECT 1::int8, 2::int4")

    with pytest.raises(UnexpectedRow, match="8 bytes"):
        fixed(columns, count, [">i8", ">i8"])


def test_a_null_of_a_fixed_size_is_noticed():
    columns, count = columns_of("SELECT NULL::int8")

    with pytest.raises(UnexpectedRow, match="8 bytes"):
        fixed(columns, count, [">i8"])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ARRAY['a', NULL]::varchar[]",
        "SELECT NULL::varchar[]",
        "SELECT ARRAY[ARRAY['a'], ARRAY['b']]::varchar[]",
        "SELECT 1::int8",
        "SELECT 'a'::varchar",
    ],
)
def test_what_is_no_list_of_texts_is_noticed(query):
    columns, _ = columns_of(query)

    with pytest.raises(UnexpectedRow):
        columns.text_lists(TextTable())


def test_a_text_that_is_null_is_noticed():
    columns, _ = columns_of("SELECT NULL::varchar")

    with pytest.raises(UnexpectedRow):
        columns.texts(TextTable())


def test_a_column_that_is_missing_is_noticed():
    columns, count = columns_of("SELECT 1::int8")
    fixed(columns, count, [">i8"])

    with pytest.raises(UnexpectedRow):
        columns.texts(TextTable())


def test_a_column_too_many_is_noticed():
    columns, count = columns_of("SELECT 1::int8, 2::int8")
    fixed(columns, count, [">i8"])

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


def test_a_server_that_ends_while_its_reader_pauses_is_noticed():
    statement = sql.SQL(
        "COPY (SELECT repeat('a', 1000) FROM generate_series(1, 1000000)) "
        "TO STDOUT (FORMAT binary)"
    )
    connection = connections["shard_000"]

    with connection.cursor() as cursor:
        reading = parcels(cursor, statement)
        next(reading)
        terminate_blocked(connection.connection.info.backend_pid)
        with pytest.raises(OperationalError, match=r"terminat|closed"):
            list(reading)
    connection.close()


def test_a_server_that_ended_before_its_rows_were_taken_says_why():
    statement = sql.SQL(
        "COPY (SELECT repeat('a', 1000), "
        "CASE WHEN n = 3000 THEN pg_terminate_backend(pg_backend_pid()) END "
        "FROM generate_series(1, 1000000) n) TO STDOUT (FORMAT binary)"
    )
    connection = connections["shard_000"]

    with connection.cursor() as cursor:
        reading = parcels(cursor, statement)
        next(reading)
        read_to_the_end_of_the_connection(connection.connection.pgconn)
        with pytest.raises(OperationalError, match="terminat"):
            list(reading)
    connection.close()


def read_to_the_end_of_the_connection(pgconn):
    with suppress(psycopg.OperationalError):
        while True:
            pgconn.consume_input()
    with pytest.raises(psycopg.OperationalError, match="lost"):
        pgconn.socket  # noqa: B018


def terminate_blocked(pid):
    """End a backend once it waits for its client to take more."""
    waits = "SELECT wait_event = 'ClientWrite' FROM pg_stat_activity WHERE pid = %s"
    with connections["default"].cursor() as cursor:
        for _ in range(1_000):
            cursor.execute(waits, [pid])
            if cursor.fetchone() == (True,):
                break
            time.sleep(0.01)
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        assert cursor.fetchone() == (True,)
