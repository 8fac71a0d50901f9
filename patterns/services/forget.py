"""Forget a TV and all it ever sent.

The danger is a TV that is half gone: its place freed while its patterns are still
federated, or a home whose TV is nowhere. So a lock on its DeviceHome row is held
throughout, what is on the shard goes first and in one transaction, and the home last:
whoever dies in between leaves a home without a TV, which the next attempt finishes.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from patterns.models import Pattern
from shards import reaching, statistics
from shards.databases import CONTROL_ALIAS
from shards.models import Device
from shards.services import devices


def forget_device(*, device_id: UUID, now: datetime | None = None) -> bool:
    """Delete every trace of a TV; False if there was none. Idempotent."""
    with reaching.control(), transaction.atomic(using=CONTROL_ALIAS):
        home = devices.lock_home(device_id)
        if home is None:
            return False
        with reaching.shard(home.shard_id):
            _forget_on_shard(
                shard_alias=home.shard.alias,
                device_id=device_id,
                now=now or timezone.now(),
            )
        devices.give_up_home(home)
    return True


def _forget_on_shard(*, shard_alias: str, device_id: UUID, now: datetime) -> None:
    with transaction.atomic(using=shard_alias):
        # A sync of this TV holds the same lock until it is stored and counted.
        device = (
            Device.objects.using(shard_alias)
            .select_for_update()
            .filter(pk=device_id)
            .first()
        )
        if device is None:
            return
        pattern_count, _ = (
            Pattern.objects.using(shard_alias).filter(device_id=device_id).delete()
        )
        device.delete(using=shard_alias)
        statistics.record_forgotten(
            shard_alias=shard_alias,
            now=now,
            last_synced_at=device.last_synced_at,
            pattern_count=pattern_count,
        )
