"""Revoke a TV, or take that back. Forgetting one is ``patterns/services/forget.py``."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from shards import reaching, selectors, tokens
from shards.databases import CONTROL_ALIAS, shard_alias
from shards.exceptions import DeviceNotFound
from shards.models import Device, DeviceHome, EnrolmentBatch, Shard
from shards.tokens import DeviceToken


def revoke_device(*, device_id: UUID, now: datetime | None = None) -> None:
    """Refuse a TV from now on; its data stay. Idempotent."""
    with reaching.control():
        home = selectors.home_of(device_id)
    with reaching.shard(home.shard_id):
        mark_revoked(home=home, now=now or timezone.now())


def reinstate_device(*, device_id: UUID) -> None:
    """Let a revoked TV enrol again; the tokens it had stay void."""
    with reaching.control():
        home = selectors.home_of(device_id)
    with reaching.shard(home.shard_id):
        is_there = (
            Device.objects.using(home.shard.alias)
            .filter(pk=device_id)
            .update(revoked_at=None)
        )
    if not is_there:
        raise DeviceNotFound(device_id=device_id)


def check_standing(token: DeviceToken) -> None:
    """Refuse a token whose TV was revoked; one that is gone has nothing to lose."""
    with reaching.control():
        home = DeviceHome.objects.filter(pk=token.device_id).first()
    if home is None:
        return
    with reaching.shard(home.shard_id):
        device = (
            Device.objects.using(shard_alias(home.shard_id))
            .filter(pk=token.device_id)
            .first()
        )
    if device is not None:
        tokens.check_standing(token, device)


def mark_revoked(*, home: DeviceHome, now: datetime) -> None:
    Device.objects.using(home.shard.alias).filter(
        pk=home.device_id, revoked_at=None
    ).update(revoked_at=now, token_epoch=F("token_epoch") + 1)


def lock_home(device_id: UUID) -> DeviceHome | None:
    """Keep others from enrolling or forgetting a TV until the transaction ends."""
    return (
        DeviceHome.objects.select_for_update(of=("self",))
        .select_related("shard")
        .filter(pk=device_id)
        .first()
    )


@transaction.atomic(using=CONTROL_ALIAS)
def give_up_home(home: DeviceHome) -> None:
    """Free the places of a TV that is gone from its shard; ``home`` is locked."""
    home.delete()
    Shard.objects.filter(pk=home.shard_id).update(device_count=F("device_count") - 1)
    EnrolmentBatch.objects.filter(pk=home.batch_id).update(
        device_count=F("device_count") - 1
    )
