"""Vectors come out the same, turned over by PostgreSQL or as it keeps them."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from django.db import connections, transaction

from patterns.raw_vectors import half_type, has_raw_vectors
from patterns.vectors import BinaryHalfVector, unit_rows

RNG = np.random.default_rng(11)
VECTORS = unit_rows(RNG.normal(size=(5, 384)).astype(np.float32))
MIGRATION = import_module("patterns.migrations.0003_raw_vectors")

pytestmark = pytest.mark.django_db(databases=["shard_000"])


@pytest.fixture
def cursor():
    with connections["shard_000"].cursor() as cursor:
        yield cursor


@pytest.mark.parametrize("form", ["halfvec_send(v)", "v::bytea"])
def test_vectors_come_out_as_they_went_in(cursor, form):
    cursor.execute(
        f"SELECT {form} FROM unnest(ARRAY[%s::halfvec, %s::halfvec]) AS v",
        [BinaryHalfVector(vector) for vector in VECTORS[:2]],
    )

    sent = b"".join(bytes(row[0]) for row in cursor.fetchall())

    rows = np.frombuffer(sent, dtype=np.uint8).reshape(2, -1)
    halves = rows.view(half_type(rows[:, :2].copy().view(">u2")))[:, 2:]
    assert np.array_equal(halves, VECTORS[:2].astype(np.float16))


def test_vectors_of_another_length_are_noticed():
    with pytest.raises(ValueError, match="384"):
        half_type(np.array([384, 383], dtype=">u2"))


def test_a_database_tells_whether_it_has_the_cast(cursor):
    assert has_raw_vectors(cursor)

    cursor.execute(MIGRATION._DROP)

    assert not has_raw_vectors(cursor)


def test_who_may_not_make_the_cast_goes_on_without(cursor):
    cursor.execute(MIGRATION._DROP)
    cursor.execute("CREATE ROLE no_superuser")
    cursor.execute("SET LOCAL ROLE no_superuser")

    with transaction.atomic("shard_000"):
        cursor.execute(MIGRATION._CREATE)

    assert not has_raw_vectors(cursor)


def test_a_cast_that_is_there_is_left_alone(cursor):
    cursor.execute(MIGRATION._CREATE)

    assert has_raw_vectors(cursor)
