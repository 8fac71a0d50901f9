"""Ordinals of a catalogue that is older than items, on a database with rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from patterns.models import Content, Item
from patterns.services import items

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"], transaction=True)

BEFORE, AFTER = "0001_initial", "0002_items"


@pytest.fixture
def migrate() -> Iterator[Callable[[str, str], None]]:
    def migrate(alias: str, name: str) -> None:
        executor = MigrationExecutor(connections[alias])
        executor.migrate([("patterns", name)])

    yield migrate
    for alias in ("default", "shard_000"):
        executor = MigrationExecutor(connections[alias])
        executor.migrate(executor.loader.graph.leaf_nodes("patterns"))


@pytest.fixture
def as_before(migrate):
    """A control database from before, to whose catalogue contents can be added."""
    migrate("default", BEFORE)

    def add(*content_ids: str) -> dict[str, int]:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO patterns_content
                    (content_id, title, embedding, genres, updated_at)
                SELECT name, 'Film', array_fill(1, ARRAY[384])::halfvec, '{}', now()
                FROM unnest(%s::text[]) AS name
                RETURNING content_id, ordinal
                """,
                [list(content_ids)],
            )
            return dict(cursor.fetchall())

    return add


def delete(content_id: str) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "DELETE FROM patterns_content WHERE content_id = %s", [content_id]
        )


def test_contents_keep_their_ordinals(migrate, as_before):
    ordinals = as_before("tt3", "tt1", "tt2")

    migrate("default", AFTER)

    assert {item.name: item.ordinal for item in Item.objects.all()} == ordinals
    contents = Content.objects.values_list("content_id", "ordinal", "position")
    assert set(contents) == {(name, o, o) for name, o in ordinals.items()}


def test_the_next_ordinal_is_above_all_that_were_given(migrate, as_before):
    ordinals = as_before("tt1", "tt2")
    delete("tt2")

    migrate("default", AFTER)

    assert items.register(["tt1", "tt2"]) == {
        "tt1": ordinals["tt1"],
        "tt2": ordinals["tt2"] + 1,
    }


def test_a_catalogue_without_contents_is_migrated(migrate, as_before):
    migrate("default", AFTER)

    assert Item.objects.count() == 0
    assert items.register(["tt1"])["tt1"] >= 1


def test_ordinals_outlive_the_way_back(migrate, as_before):
    ordinals = as_before("tt1")
    migrate("default", AFTER)
    by_a_round = items.register(["genre:crime"])["genre:crime"]

    migrate("default", BEFORE)
    later = as_before("tt2")
    migrate("default", AFTER)

    assert later["tt2"] > by_a_round
    assert items.register(["tt1", "tt2"]) == ordinals | later


def test_a_shard_has_items_and_no_contents(migrate):
    migrate("shard_000", BEFORE)

    migrate("shard_000", AFTER)

    assert Item.objects.using("shard_000").count() == 0
    tables = connections["shard_000"].introspection.table_names()
    assert "patterns_content" not in tables
