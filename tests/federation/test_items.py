"""Whatever a shard publishes has an ordinal there, the same as everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from constellation.v1 import bundle_pb2
from federation import holding, publish, rollback, rounds, rows
from federation.bundles.messages import items_of
from federation.models import Bundle, BundlePayload, RoundShard
from patterns.models import Item
from patterns.services import content, items
from patterns.services.content import ContentItem
from tests.federation import fleets
from tests.federation.test_publish import a_result, an_edition

ALIASES = ["default", "shard_000", "shard_001"]
SHARD = "shard_000"

pytestmark = [
    pytest.mark.django_db(databases=ALIASES, transaction=True),
    pytest.mark.usefixtures("low_thresholds"),
]


@pytest.fixture
def fleet():
    fleets.store(fleets.plant(tv_count=60), fleets.make_shards(2))


def stored(alias: str) -> dict[str, int]:
    return dict(Item.objects.using(alias).values_list("name", "ordinal"))


def put_out(version: int, *, alias: str = SHARD) -> None:
    edition = an_edition(version, a_result(seed=version))
    publish.stage(alias, edition)
    publish.flip(alias, version, edition.checksum)


def test_a_round_gives_ordinals_to_all_that_it_publishes(fleet):
    rounds.run_round()

    published = items_of(rows.read_result("default", 1))
    assert {"genre:genre 1", "film-1-a"} < published
    for alias in ALIASES:
        assert set(stored(alias)) == published
        assert stored(alias) == stored("default")


def test_a_dry_run_gives_none(fleet):
    report = rounds.run_round(dry_run=True)

    assert report.pattern_count > 0
    assert Item.objects.count() == 0


def test_ordinals_change_nothing_of_the_checksum(fleet):
    first = rounds.run_round(dry_run=True)
    items.register(["film-9-z", "genre:genre 1"])

    assert rounds.run_round().checksum == first.checksum


def test_the_next_round_keeps_them(fleet):
    rounds.run_round()
    before = stored("default")

    rounds.run_round()

    assert stored("default") == before


def test_the_catalogue_and_rounds_give_the_same_ordinals(fleet):
    rounds.run_round()
    film = ContentItem(
        content_id="film-1-a", title="Film", embedding=np.ones(384, dtype=np.float32)
    )

    (listed,) = content.upsert_contents([film])

    assert listed.ordinal == stored(SHARD)["film-1-a"]


def test_a_roll_back_gives_them_to_a_version_that_is_older_than_items(fleet):
    rounds.run_round()
    rounds.run_round()
    for alias in ALIASES:
        Item.objects.using(alias).all().delete()

    rollback.republish(version=1)

    published = items_of(rows.read_result("default", 1))
    for alias in ALIASES:
        assert set(stored(alias)) == published
        assert stored(alias) == stored("default")


def test_bundles_refer_to_everything_by_ordinal(fleet):
    rounds.run_round()

    def body(name: str) -> bytes:
        bundle = Bundle.objects.using(SHARD).get(version=1, name=name)
        return bytes(
            BundlePayload.objects.using(SHARD).get(pk=bundle.payload_id).identity
        )

    named = bundle_pb2.ItemsBundle.FromString(body("items"))
    ordinals = np.cumsum(named.ordinal_deltas).tolist()
    assert dict(zip(named.items, ordinals, strict=True)) == stored(SHARD)
    patterns = bundle_pb2.PatternsBundle.FromString(body("patterns"))
    assert len(patterns.genres) > 0
    assert list(patterns.names) == []


def test_a_shard_of_another_control_database_stays_behind(fleet):
    Item.objects.using(SHARD).create(ordinal=1, name="a stranger's")

    report = rounds.run_round()

    behind = RoundShard.objects.get(status=RoundShard.Status.BEHIND)
    assert report.status == "partial"
    assert behind.shard.alias == SHARD
    assert "ordinal 1 is a stranger's" in behind.problem
    assert stored("shard_001") == stored("default")


# In memory


def test_a_publication_is_loaded_with_the_ordinals_of_its_items(fleet):
    rounds.run_round()

    loaded = holding.current(SHARD)

    for name, ordinal in stored("default").items():
        assert loaded.items.ordinal_of(name) == ordinal
        assert loaded.items.name_of(ordinal) == name


def test_the_next_publication_reads_only_new_items():
    items.register(["Zulu", "alien"])
    items.copy_new(SHARD)
    put_out(1)
    before = holding.current(SHARD)
    brazil = items.register(["brazil"])["brazil"]
    items.copy_new(SHARD)
    put_out(2)

    with CaptureQueriesContext(connections[SHARD]) as queries:
        after = holding.current(SHARD)

    reads = [q["sql"] for q in queries if "patterns_item" in q["sql"]]
    assert len(reads) == 1
    assert f"ordinal > {before.items.last_ordinal} " in reads[0]
    assert after.items.name_of(brazil) == "brazil"
    assert before.items.name_of(brazil) is None


def test_a_publication_that_predates_items_has_none():
    put_out(1)

    loaded = holding.current(SHARD)

    assert loaded.items.last_ordinal == 0
    assert loaded.items.ordinal_of("Zulu") is None
    assert loaded.trends["north"][0] == ("film-é", 0.9)
