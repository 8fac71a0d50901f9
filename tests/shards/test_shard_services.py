from __future__ import annotations

import pytest

from shards import selectors, services
from shards.databases import configured_shard_ids
from shards.exceptions import NameTaken, UnknownShard
from shards.models import Shard

pytestmark = pytest.mark.django_db(databases="__all__")


def test_every_database_gets_a_shard(settings):
    settings.REGION, settings.MAX_DEVICES = "eu", 77

    shards = services.ensure_shards()

    assert [shard.id for shard in shards] == configured_shard_ids()
    assert {(shard.region, shard.max_devices) for shard in shards} == {("eu", 77)}
    assert shards[0].name == "Vega"
    assert len({shard.name for shard in shards}) == len(shards)


def test_shards_stay_as_operators_made_them(vega, settings):
    settings.REGION, settings.MAX_DEVICES = "eu", 77

    services.ensure_shards()

    vega.refresh_from_db()
    assert (vega.name, vega.region, vega.max_devices) == ("vega", "global", 1_000)


def test_a_star_whose_name_is_taken_is_passed_over(vega):
    Shard.objects.filter(pk=vega.pk).update(name="altair")

    second = services.shards.add_shard(shard_id=1)

    assert second.name == "Deneb"


def test_shards_beyond_the_stars_have_names_too(db):
    assert services.shards.add_shard(shard_id=998).name == "Vega"
    assert services.shards.add_shard(shard_id=999).name == "Altair"


def test_stars_run_out_into_numbers(db, monkeypatch):
    monkeypatch.setattr("shards.services.shards.STARS", ("Vega",))

    names = [services.shards.add_shard(shard_id=i).name for i in range(3)]

    assert names == ["Vega", "Star 1", "Star 2"]


def test_a_name_is_used_once(vega):
    with pytest.raises(NameTaken, match="called vega"):
        services.shards.add_shard(shard_id=1, name="vega")


@pytest.mark.parametrize("spelling", ["vega", "Vega", "0"])
def test_a_shard_is_found_by_name_or_number(vega, spelling):
    assert selectors.shard_called(spelling) == vega


def test_an_unknown_shard_is_answered_with_those_there_are(vega, altair):
    with pytest.raises(UnknownShard, match=r"no shard mizar.*0 \(vega\), 1 \(altair\)"):
        selectors.shard_called("mizar")
