from __future__ import annotations

from collections import Counter
from dataclasses import astuple

import numpy as np
import pytest

from federation.kernels import KernelInputError
from federation.kernels.sparse import CountsBuilder, merge_counts

NAMES = ["nature", "crime", "jazz", "western"]


def random_table(rng, n=500):
    rows, columns = rng.integers(0, 9, n), rng.integers(0, 4, n)
    builder = CountsBuilder()
    for part in np.array_split(np.arange(n), 7):
        builder.add(rows[part], columns[part])
    return builder.counts(column_names=NAMES), Counter(
        (row, NAMES[column])
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    )


def as_counter(table):
    return Counter(
        {
            (row, name): count
            for row in range(9)
            for name, count in table.row_dict(row).items()
        }
    )


def same(one, other):
    return all(
        np.array_equal(a, b) for a, b in zip(astuple(one), astuple(other), strict=True)
    )


def test_counts_like_a_counter(rng):
    table, counter = random_table(rng)

    assert as_counter(table) == counter


def test_merging_adds_up_in_any_order(rng):
    tables, counters = zip(*[random_table(rng) for _ in range(4)], strict=True)

    merged = merge_counts(tables)

    assert as_counter(merged) == sum(counters, Counter())
    assert same(merged, merge_counts(tables[::-1]))


def test_names_are_in_alphabetical_order_and_all_used():
    builder = CountsBuilder()
    builder.add(np.array([0, 0]), np.array([2, 0]))

    table = builder.counts(column_names=NAMES)

    assert table.column_names == ("jazz", "nature")


def test_rows_can_be_named(rng):
    builder = CountsBuilder()
    builder.add(np.array([1, 0, 1]), np.array([0, 0, 0]))

    table = builder.counts(row_names=["us", "eu"], column_names=["tt1"])

    assert table.row_dict("eu") == {"tt1": 2}
    assert table.row_dict("mars") == {}


def test_row_totals_count_columns():
    builder = CountsBuilder()
    builder.add(np.array([0, 0, 2]), np.array([5, 6, 5]), np.array([10, 1, 1]))

    assert builder.counts().row_totals(4).tolist() == [2, 0, 1, 0]


def test_nothing_counts_nothing():
    empty = CountsBuilder().counts(column_names=NAMES)

    assert len(empty) == 0
    assert same(merge_counts([empty, empty]), merge_counts([]))


def test_named_and_numbered_columns_are_not_mixed(rng):
    named, _ = random_table(rng)
    numbered = CountsBuilder()
    numbered.add(np.array([0]), np.array([0]))

    with pytest.raises(KernelInputError, match="Named and numbered"):
        merge_counts([named, numbered.counts()])
