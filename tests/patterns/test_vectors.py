"""Vectors between pgvector's form and numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.db import connections
from pgvector import HalfVector

from patterns.vectors import BinaryHalfVector, as_array, as_matrix, unit_rows

RNG = np.random.default_rng(11)
VECTORS = unit_rows(RNG.normal(size=(5, 384)).astype(np.float32))


@pytest.mark.parametrize(
    "form", [list, HalfVector, np.asarray], ids=["list", "HalfVector", "array"]
)
def test_every_form_becomes_float32(form):
    array = as_array(form(VECTORS[0].astype(np.float16)))

    assert array.dtype == np.float32
    assert array == pytest.approx(VECTORS[0], abs=1e-3)


def test_unit_rows_have_length_one_and_leave_their_input_alone():
    vectors = RNG.normal(size=(4, 384)).astype(np.float32) * np.float32(300)
    before = vectors.copy()

    unit = unit_rows(vectors)

    assert unit.dtype == np.float32
    assert np.linalg.norm(unit, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(vectors, before)


def test_unit_rows_survive_squares_that_float32_does_not():
    huge = np.full((1, 384), 3e30, dtype=np.float32)

    assert np.linalg.norm(unit_rows(huge)) == pytest.approx(1, abs=1e-6)


@pytest.mark.django_db(databases=["shard_000"])
def test_vectors_travel_both_ways_in_binary():
    sent: list[Any] = [BinaryHalfVector(vector) for vector in VECTORS[:2]]

    with connections["shard_000"].cursor() as cursor:
        cursor.execute(
            "SELECT halfvec_send(v) FROM unnest(ARRAY[%s::halfvec, %s::halfvec]) AS v",
            sent,
        )
        received = as_matrix([row[0] for row in cursor.fetchall()])

    assert np.array_equal(received, VECTORS[:2].astype(np.float16).astype(np.float32))


def test_no_rows_are_an_empty_matrix():
    assert as_matrix([]).shape == (0, 384)
