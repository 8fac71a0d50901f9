"""Reads of the control database: batches, shards, and where a TV lives."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

from shards.databases import configured_shard_ids
from shards.exceptions import (
    BatchUnknown,
    DeviceNotFound,
    EnrolmentKeyInvalid,
    UnknownShard,
)
from shards.forecast import HISTORY, Forecast, Point, forecast
from shards.models import DeviceHome, EnrolmentBatch, Shard, ShardHour

#: How many names a refusal lists.
KNOWN_COUNT = 10


def key_digest(enrolment_key: str) -> bytes:
    return hashlib.sha256(enrolment_key.encode()).digest()


def batch_by_key(enrolment_key: str) -> EnrolmentBatch:
    batch = EnrolmentBatch.objects.filter(key_digest=key_digest(enrolment_key)).first()
    if batch is None:
        raise EnrolmentKeyInvalid(field="enrolment_key")
    return batch


def batch_by_name(name: str) -> EnrolmentBatch:
    batch = EnrolmentBatch.objects.filter(name=name).first()
    if batch is None:
        newest = EnrolmentBatch.objects.values_list("name", flat=True)[:KNOWN_COUNT]
        raise BatchUnknown(batch=name, known=", ".join(newest) or "none yet")
    return batch


def home_of(device_id: UUID) -> DeviceHome:
    """Find where a TV lives; its shard comes along."""
    home = DeviceHome.objects.select_related("shard").filter(pk=device_id).first()
    if home is None:
        raise DeviceNotFound(device_id=device_id)
    return home


def connected_shards() -> list[Shard]:
    """List the shards that this process has a database for."""
    return list(Shard.objects.filter(id__in=configured_shard_ids()))


def shard_called(name_or_id: str) -> Shard:
    """Find a shard by what a person types: its name in any case, or its number."""
    shards = list(Shard.objects.all())
    for shard in shards:
        if name_or_id.lower() in (shard.name.lower(), str(shard.id)):
            return shard
    raise _unknown_shard(name_or_id, shards)


def shard_numbered(shard_id: int) -> Shard:
    shard = Shard.objects.filter(pk=shard_id).first()
    if shard is None:
        raise _unknown_shard(shard_id, list(Shard.objects.all()))
    return shard


def forecasts(now: datetime) -> dict[int, Forecast | None]:
    """Tell by shard when it will be full; None where the history is too short."""
    shards = list(Shard.objects.all())
    points: dict[int, list[Point]] = {shard.id: [] for shard in shards}
    hours = ShardHour.objects.filter(hour__gte=now - HISTORY).order_by("hour")
    for shard_id, hour, device_count in hours.values_list(
        "shard_id", "hour", "device_count"
    ):
        points[shard_id].append(Point(hour, device_count))
    return {
        shard.id: forecast(points[shard.id], free_places=shard.free_places)
        for shard in shards
    }


def _unknown_shard(shard_id: str | int, shards: list[Shard]) -> UnknownShard:
    known = ", ".join(f"{shard.id} ({shard.name})" for shard in shards)
    return UnknownShard(shard_id=shard_id, known=known or "none yet")
