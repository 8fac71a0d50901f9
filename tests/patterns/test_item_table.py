"""Items in memory: tables that never change, and grow into new ones."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import items as tables
from patterns.items import ItemTable
from patterns.services import items

SHARD = "shard_000"

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
STEPS = st.dictionaries(NAMES, st.integers(1, 5), max_size=30)


def test_a_table_without_items_knows_nobody():
    empty = ItemTable()

    assert empty.last_ordinal == 0
    assert empty.ordinal_of("tt1") is None
    assert [empty.name_of(ordinal) for ordinal in (-1, 0, 1, 1 << 63)] == [None] * 4


@given(STEPS, st.integers(0, 30))
def test_a_table_answers_as_a_dictionary_would(steps, cut):
    rows, last = [], 0
    for name, step in steps.items():
        last += step
        rows.append((last, name))

    first = ItemTable().extended(rows[:cut])
    both = first.extended(rows[cut:])

    for table, within in ((first, rows[:cut]), (both, rows)):
        by_ordinal = dict(within)
        assert table.last_ordinal == max(by_ordinal, default=0)
        for ordinal in range(-1, last + 2):
            assert table.name_of(ordinal) == by_ordinal.get(ordinal)
        for ordinal, name in rows:
            expected = ordinal if ordinal in by_ordinal else None
            assert table.ordinal_of(name) == expected


def test_a_table_can_be_made_of_names():
    table = ItemTable.of({"tt9": 4, "genre:crime": 2})

    assert [table.name_of(ordinal) for ordinal in range(1, 6)] == [
        None,
        "genre:crime",
        None,
        "tt9",
        None,
    ]


def test_two_that_extend_the_same_table_get_the_same():
    before = ItemTable.of({"tt1": 1})
    rows = [(2, "tt2"), (4, "tt4")]

    short, long = before.extended(rows[:1]), before.extended(rows)

    assert (short.name_of(4), short.ordinal_of("tt4")) == (None, None)
    assert (long.name_of(4), long.ordinal_of("tt4")) == ("tt4", 4)
    assert before.last_ordinal == 1


def test_readers_of_a_table_see_nothing_of_what_is_added():
    table = ItemTable.of({f"tt{n}": n for n in range(1, 101)})
    rows = [(n, f"tt{n}") for n in range(101, 20_101)]

    def read() -> set[tuple[int | None, str | None]]:
        return {
            (table.ordinal_of(f"tt{n}"), table.name_of(n))
            for _ in range(20)
            for n in range(50, 250)
        }

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        grown = pool.submit(table.extended, rows).result()
        seen = set().union(*(reader.result() for reader in readers))

    assert seen == {(None, None), *((n, f"tt{n}") for n in range(50, 101))}
    assert grown.last_ordinal == 20_100


def test_a_grown_table_costs_what_is_new():
    table = ItemTable.of({f"tt{n}": n for n in range(1, 50_001)})

    tracemalloc.start()
    try:
        grown = table.extended([(50_001, "tt-new")])
        cost, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown.name_of(50_001) == "tt-new"
    # Half a megabyte is what the list takes that has room for no more names.
    assert cost < 1_000_000


# Loaded


@pytest.mark.django_db(databases=["default", SHARD])
def test_a_table_holds_what_its_database_has(monkeypatch):
    monkeypatch.setattr(tables, "BATCH", 3)
    ordinals = items.register(f"tt{number}" for number in range(7))
    items.copy_new(SHARD)
    items.register(["tt-later"])

    here, there = tables.load("default"), tables.load(SHARD)

    assert {name: there.ordinal_of(name) for name in ordinals} == ordinals
    assert there.ordinal_of("tt-later") is None
    assert here.name_of(here.last_ordinal) == "tt-later"


@pytest.mark.django_db
def test_only_what_is_new_is_read(django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(tables, "BATCH", 3)
    items.register(f"tt{number}" for number in range(7))
    before = tables.load("default")
    items.register(["tt-later"])

    with django_assert_num_queries(1) as queries:
        after = tables.load("default", before)

    assert f"ordinal > {before.last_ordinal} " in queries[0]["sql"]
    assert after.name_of(after.last_ordinal) == "tt-later"
    assert before.name_of(after.last_ordinal) is None


@pytest.mark.django_db
def test_a_database_without_items_gives_an_empty_table():
    assert tables.load("default").last_ordinal == 0
