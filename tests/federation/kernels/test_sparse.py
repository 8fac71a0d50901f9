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


def test_pairs_follow_the_names_of_their_rows_then_of_their_columns(rng):
    rows, columns = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    builder = CountsBuilder()
    builder.add(rows, columns)

    table = builder.counts(row_names=NAMES, column_names=NAMES[::-1])

    found = [
        (table.row_names[row], table.column_names[column], count)
        for row, column, count in zip(
            table.rows.tolist(),
            table.columns.tolist(),
            table.counts.tolist(),
            strict=True,
        )
    ]
    wanted = Counter(
        (NAMES[row], NAMES[::-1][column])
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    )
    assert found == [(*pair, count) for pair, count in sorted(wanted.items())]


@pytest.mark.parametrize("largest", [1, 1 << 20, 1 << 40])
def test_counts_of_any_size_stay_with_their_pairs(rng, largest):
    """Those that don't fit into one number with their pair are sorted beside it."""
    columns = np.arange(len(NAMES))
    counts = rng.integers(1, largest, 4, endpoint=True)
    builder = CountsBuilder()
    builder.add(np.full(4, (1 << 31) - 1), columns, counts)

    row = builder.counts(column_names=NAMES).row_dict((1 << 31) - 1)

    assert row == dict(sorted(zip(NAMES, counts.tolist(), strict=True)))


def test_columns_of_another_table_follow(rng):
    contents, genres = CountsBuilder(), CountsBuilder()
    contents.add(np.array([0, 0, 1]), np.array([1, 1, 0]))
    genres.add(np.array([1, 0, 1]), np.array([0, 1, 0]))

    contents.add_beside(genres, column=2)

    table = contents.counts(column_names=["tt2", "tt1", "jazz", "crime"])
    assert table.row_dict(0) == {"crime": 1, "tt1": 2}
    assert table.row_dict(1) == {"jazz": 2, "tt2": 1}
    assert len(genres.counts()) == 0


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
