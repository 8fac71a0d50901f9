"""Ordinals of items: given once, in order, and taken to the shards."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.db import DataError, connections, transaction
from django.test.utils import CaptureQueriesContext

from patterns import items as tables
from patterns.exceptions import ItemsOfAnotherControl
from patterns.models import Item
from patterns.services import items

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"], transaction=True)

SHARD = "shard_000"


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(tables, "BATCH", 3)


@pytest.fixture
def in_threads():
    """Run calls at the same time, each with its own connections, and wait for all."""

    def run(*calls: Callable[[], object]) -> list[object]:
        with ThreadPoolExecutor(len(calls)) as pool:
            return [done.result() for done in [pool.submit(_own, c) for c in calls]]

    return run


def _own(call: Callable[[], object]) -> object:
    try:
        return call()
    finally:
        connections.close_all()


def stored(alias: str) -> list[tuple[int, str]]:
    return list(Item.objects.using(alias).values_list("ordinal", "name"))


# Registered


def test_names_get_ordinals_in_the_order_they_come_in():
    registered = items.register(["tt2", "genre:crime", "tt1"])

    assert sorted(registered, key=registered.__getitem__) == [
        "tt2",
        "genre:crime",
        "tt1",
    ]
    assert stored("default") == sorted((o, n) for n, o in registered.items())


def test_known_names_keep_their_ordinals_and_new_ones_follow():
    first = items.register(["tt1", "tt2"])

    second = items.register(["tt0", "tt2"])

    assert second["tt2"] == first["tt2"]
    assert second["tt0"] > max(first.values())
    assert Item.objects.count() == 3


def test_a_name_given_twice_is_one_item():
    assert items.register(["tt1", "tt1"]) == items.register(["tt1"])
    assert Item.objects.count() == 1


def test_registering_nothing_asks_nothing():
    with CaptureQueriesContext(connections["default"]) as queries:
        assert items.register([]) == {}

    assert len(queries) == 0


def test_known_names_use_up_no_ordinals():
    registered = items.register(["tt1"])
    for _ in range(5):
        items.register(["tt1"])

    assert items.register(["tt2"])["tt2"] == registered["tt1"] + 1


def test_a_name_that_cannot_be_stored_leaves_none_of_the_others():
    with pytest.raises(DataError):
        items.register(["tt1", "x" * 71])

    assert Item.objects.count() == 0


@pytest.mark.parametrize("count", [1, 500])
def test_registering_takes_two_statements_however_many_names(count):
    with (
        transaction.atomic(),
        CaptureQueriesContext(connections["default"]) as queries,
    ):
        items.register(f"tt{number}" for number in range(count))

    statements = [q["sql"] for q in queries if "SAVEPOINT" not in q["sql"]]
    assert len(statements) == 2


def test_an_ordinal_that_was_given_up_is_not_given_again():
    with transaction.atomic():
        given_up = items.register(["tt1"])["tt1"]
        transaction.set_rollback(True)

    assert items.register(["tt2"])["tt2"] > given_up
    assert [name for _, name in stored("default")] == ["tt2"]


def test_many_who_register_at_once_agree(in_threads):
    wanted = [
        [f"tt{n}" for n in range(start, start + 40)] for start in range(0, 80, 10)
    ]

    answers = in_threads(
        *(lambda names=names: items.register(names) for names in wanted)
    )

    assert Item.objects.count() == 110
    assert len(set(stored("default"))) == 110
    everybody = {name: ordinal for ordinal, name in stored("default")}
    for names, answer in zip(wanted, answers, strict=True):
        assert answer == {name: everybody[name] for name in names}


def test_a_higher_ordinal_is_never_seen_before_a_lower_one(in_threads):
    """Whoever registers second waits, however long the first takes to commit."""
    first_has_its_ordinal, first_may_commit = Event(), Event()

    def slow() -> dict[str, int]:
        with transaction.atomic():
            registered = items.register(["tt-slow"])
            first_has_its_ordinal.set()
            assert first_may_commit.wait(timeout=60)
            return registered

    def quick() -> dict[str, int]:
        assert first_has_its_ordinal.wait(timeout=60)
        return items.register(["tt-quick"])

    def watch() -> list[tuple[int, str]]:
        assert first_has_its_ordinal.wait(timeout=60)
        try:
            _until_somebody_waits_for_the_lock()
            return stored("default")
        finally:
            first_may_commit.set()

    first, second, seen = in_threads(slow, quick, watch)

    assert seen == []
    assert second["tt-quick"] > first["tt-slow"]


def _until_somebody_waits_for_the_lock() -> None:
    waits = Event()
    for _ in range(6000):
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database "
                "WHERE locktype = 'advisory' AND NOT granted "
                "AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return
        waits.wait(0.01)
    raise AssertionError("nobody waited for the lock in a minute")


# Copied to a shard


def test_a_shard_gets_all_items(small_batches):
    items.register(f"tt{number}" for number in range(8))

    copied = items.copy_new(SHARD)

    assert copied == 8
    assert stored(SHARD) == stored("default")


def test_a_shard_gets_only_what_is_new(small_batches):
    items.register(f"tt{number}" for number in range(8))
    items.copy_new(SHARD)
    items.register(f"tt{number}" for number in range(12))

    assert items.copy_new(SHARD) == 4
    assert items.copy_new(SHARD) == 0
    assert stored(SHARD) == stored("default")


def test_without_items_there_is_nothing_to_copy():
    assert items.copy_new(SHARD) == 0


def test_the_control_database_needs_no_copy():
    items.register(["tt1"])

    assert items.copy_new("default") == 0


def test_a_batch_is_a_statement_on_each_side(small_batches):
    items.register(f"tt{number}" for number in range(6))

    with (
        CaptureQueriesContext(connections["default"]) as reads,
        CaptureQueriesContext(connections[SHARD]) as writes,
    ):
        items.copy_new(SHARD)

    # One more read finds that there is no third batch, one on the shard where to begin.
    assert (len(reads), len(writes)) == (3, 3)


def test_copies_at_the_same_time_are_one_copy(in_threads, small_batches):
    items.register(f"tt{number}" for number in range(60))

    copied = in_threads(*[lambda: items.copy_new(SHARD)] * 4)

    assert sum(copied) == 60
    assert stored(SHARD) == stored("default")


def test_a_copy_that_was_interrupted_is_gone_on_with(small_batches):
    items.register(f"tt{number}" for number in range(8))
    Item.objects.using(SHARD).bulk_create(Item.objects.all()[:3])

    assert items.copy_new(SHARD) == 5
    assert stored(SHARD) == stored("default")


@pytest.mark.parametrize("here", [["tt1", "tt9"], ["tt1"]])
def test_a_shard_with_ordinals_of_another_control_database_gets_none(here):
    ordinals = items.register(["tt1", "tt2"])
    items.copy_new(SHARD)
    _begin_again_with(here, first=ordinals["tt1"])

    with pytest.raises(ItemsOfAnotherControl, match=f"{ordinals['tt2']} is tt2"):
        items.copy_new(SHARD)

    assert [name for _, name in stored(SHARD)] == ["tt1", "tt2"]


def _begin_again_with(names: list[str], *, first: int) -> None:
    """As after a restored backup."""
    Item.objects.all().delete()
    Item.objects.bulk_create(
        Item(ordinal=ordinal, name=name) for ordinal, name in enumerate(names, first)
    )
