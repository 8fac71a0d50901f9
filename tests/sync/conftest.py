"""TVs for the tests of the doors, each named after the shard it lives on."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from shards import tokens
from shards.models import Device, Shard
from tests.sync.television import Television

EnrolTv = Callable[..., Television]


@pytest.fixture
def enrol_tv() -> EnrolTv:
    """Put a TV on a shard, as enrolment does."""

    def enrol(shard: Shard, *, device_id: UUID | None = None, **facts) -> Television:
        device = Device.objects.using(shard.alias).create(
            id=device_id or uuid4(),
            **{"batch_id": 1, "region": "global", "enrolled_at": timezone.now()}
            | facts,
        )
        issued = tokens.issue(
            device_id=device.id, shard_id=shard.id, token_epoch=device.token_epoch
        )
        return Television(
            device_id=device.id, shard_alias=shard.alias, token=issued.token
        )

    return enrol


@pytest.fixture
def vega_tv(vega: Shard, enrol_tv: EnrolTv) -> Television:
    """A TV like any other."""
    return enrol_tv(vega)


@pytest.fixture
def vega_neighbour(vega: Shard, enrol_tv: EnrolTv) -> Television:
    """Another household on the same shard."""
    return enrol_tv(vega)
