"""The cast, the same in every test.

Three shards: **vega** is healthy, **altair** is nearly full, **deneb** can't be
reached. TVs are named after the shard they live on.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections
from hypothesis import HealthCheck, settings

from federation import holding
from patterns.services import group_commit
from shards.models import Shard
from tests.plugins.databases import (
    django_db_modify_db_settings as django_db_modify_db_settings,
)

# Every run tries the same examples, and a slow machine is no failure.
settings.register_profile(
    "constellation",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("constellation")


@pytest.fixture(autouse=True)
def _nothing_loaded() -> None:
    """What other tests have read may have the version and the checksum of what is
    to be read here, and other codebooks and ordinals."""
    holding.forget()


@pytest.fixture(autouse=True)
def _nothing_open() -> Iterator[None]:
    """Databases that are emptied or dropped want nobody connected."""
    yield
    group_commit.close_all()


@pytest.fixture
def vega(db) -> Shard:
    """Healthy, nearly empty."""
    return Shard.objects.create(id=0, name="vega", max_devices=1_000)


@pytest.fixture
def altair(db) -> Shard:
    """Room for one TV more."""
    return Shard.objects.create(id=1, name="altair", max_devices=10, device_count=9)


@pytest.fixture
def deneb(db) -> Iterator[Shard]:
    """Its database doesn't answer: its socket is nowhere."""
    shard = Shard.objects.create(id=2, name="deneb", max_devices=1_000)
    connection = connections[shard.alias]
    host = connection.settings_dict["HOST"]
    # Other threads read the same settings; this one needs a wrapper that hasn't
    # connected, and the old one back, for the test's transaction is open in it.
    connection.settings_dict["HOST"] = "/nonexistent"
    connections[shard.alias] = connection.copy()
    yield shard
    connections[shard.alias].close()
    connections[shard.alias] = connection
    connection.settings_dict["HOST"] = host
