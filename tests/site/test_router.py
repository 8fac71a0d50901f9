"""Where rows go, and the refusal to guess."""

from __future__ import annotations

import pytest
from django.apps import apps

from constellation_site.router import ConstellationRouter, ShardAliasRequired
from federation.models import GlobalPattern
from patterns.models import Pattern
from shards.databases import LivesOn, shard_alias, shard_id_of
from shards.models import Device, Shard

router = ConstellationRouter()


@pytest.mark.parametrize("model", [Device, Pattern])
def test_shard_model_without_an_alias_is_refused(model):
    with pytest.raises(ShardAliasRequired, match=r"\.using\(shard_alias\)"):
        model.objects.first()


def test_row_read_from_a_shard_is_saved_to_that_shard():
    device = Device(pk="00000000-0000-0000-0000-000000000001")
    device._state.db = "shard_001"

    assert router.db_for_write(Device, instance=device) == "shard_001"


@pytest.mark.parametrize("model", [Shard, GlobalPattern])
def test_control_and_published_models_default_to_the_control_database(model):
    assert router.db_for_read(model) == "default"


@pytest.mark.parametrize(
    ("model_name", "on_control", "on_shard"),
    [
        ("shards.shard", True, False),
        ("shards.device", False, True),
        ("federation.globalpattern", True, True),
        # Other people's tables are control data.
        ("auth.user", True, False),
    ],
)
def test_tables_are_made_where_their_rows_live(model_name, on_control, on_shard):
    app_label, name = model_name.split(".")

    assert router.allow_migrate("default", app_label, name) is on_control
    assert router.allow_migrate("shard_000", app_label, name) is on_shard


def test_every_model_of_the_rooms_says_where_it_lives():
    for room in ("shards", "patterns", "federation"):
        for model in apps.get_app_config(room).get_models():
            assert isinstance(model.__dict__.get("lives_on"), LivesOn), model


def test_alias_and_number_of_a_shard_name_each_other():
    assert shard_id_of(shard_alias(42)) == 42
