"""Give a TV its home and its token.

Two databases take part, and any process may die between them, so the order is:

1. in one control transaction: the DeviceHome row, a place on a shard, a place in the
   batch. From here on the TV has a home, whatever happens.
2. holding a lock on that DeviceHome row: the Device row on its shard. If this fails
   the place isn't lost: the TV's next attempt finds its home and completes it.

Forgetting a TV takes the same lock, so neither ever sees the other half done.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from shards import placement, reaching, selectors, statistics, tokens
from shards.databases import CONTROL_ALIAS
from shards.exceptions import (
    BatchClosed,
    BatchFull,
    ControlUnavailable,
    DeviceOfAnotherBatch,
    DeviceRevoked,
    NoShardAvailable,
)
from shards.models import Device, DeviceHome, EnrolmentBatch, Shard, claim_place
from shards.services import devices
from shards.tokens import IssuedToken

#: A TV that is forgotten while it enrols starts over, but not for ever.
MAX_ATTEMPTS = 5

#: A TV's first epoch is one of these; the column has room for as many after it.
FIRST_EPOCHS = 2**30

#: Room is made by people, so there is no hurry; spread, as always.
NO_ROOM_RETRY_SECONDS = (300, 900)


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    device_id: UUID
    shard: Shard
    issued: IssuedToken
    #: False for a TV that was known, whose token was renewed.
    is_new: bool


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a TV says of itself; what it leaves out stays as it was."""

    region: str = ""
    model: str = ""
    firmware: str = ""


class _PlaceTaken(Exception):
    """Another enrolment took the shard's last place first."""


def enrol(
    *,
    enrolment_key: str,
    device_id: UUID | None = None,
    region: str = "",
    model: str = "",
    firmware: str = "",
    now: datetime | None = None,
) -> Enrolment:
    """Enrol a TV, or renew the token of one that is enrolled.

    Without a region the TV gets the batch's, else ``settings.REGION``; without an id
    it gets a random one.
    """
    now = now or timezone.now()
    device_id = device_id or uuid4()
    profile = Profile(region=region, model=model, firmware=firmware)
    with reaching.control():
        batch = selectors.batch_by_key(enrolment_key)
        for _ in range(MAX_ATTEMPTS):
            _give_home(device_id=device_id, batch=batch, profile=profile, now=now)
            enrolment = _move_in(
                device_id=device_id, batch=batch, profile=profile, now=now
            )
            if enrolment is not None:
                return enrolment
    raise ControlUnavailable(retry_after_seconds=reaching.retry_after_seconds())


def _give_home(
    *, device_id: UUID, batch: EnrolmentBatch, profile: Profile, now: datetime
) -> None:
    """Take a place for a TV that has no home yet."""
    if DeviceHome.objects.filter(pk=device_id).exists():
        return

    if batch.status != EnrolmentBatch.Status.OPEN:
        raise BatchClosed(batch=batch.name, status=batch.status)
    region = _region(batch, profile)
    shards = selectors.connected_shards()
    for shard in placement.candidates(shards, region=region, now=now):
        try:
            _take_place(device_id=device_id, batch=batch, shard=shard)
        except IntegrityError:
            return  # The same TV enrols twice at once, and the other was first.
        except _PlaceTaken:
            continue
        return
    raise NoShardAvailable(
        region=region, retry_after_seconds=random.randint(*NO_ROOM_RETRY_SECONDS)
    )


@transaction.atomic(using=CONTROL_ALIAS)
def _take_place(*, device_id: UUID, batch: EnrolmentBatch, shard: Shard) -> None:
    """Write the home and claim both places, or nothing.

    The two counts are rows that every enrolment wants, so they come last.
    """
    DeviceHome.objects.create(device_id=device_id, shard=shard, batch=batch)
    if not claim_place(shard):
        raise _PlaceTaken
    _claim_place_in_batch(batch)


def _claim_place_in_batch(batch: EnrolmentBatch) -> None:
    is_claimed = (
        EnrolmentBatch.objects.filter(pk=batch.pk, status=EnrolmentBatch.Status.OPEN)
        .filter(Q(max_devices=None) | Q(device_count__lt=F("max_devices")))
        .update(device_count=F("device_count") + 1)
    )
    if is_claimed:
        return
    # Closed in the meantime, or full.
    batch.refresh_from_db()
    if batch.status != EnrolmentBatch.Status.OPEN:
        raise BatchClosed(batch=batch.name, status=batch.status)
    raise BatchFull(batch=batch.name, max_devices=batch.max_devices)


def _move_in(
    *, device_id: UUID, batch: EnrolmentBatch, profile: Profile, now: datetime
) -> Enrolment | None:
    """Write the TV's row on its shard; None if it was forgotten in the meantime."""
    with transaction.atomic(using=CONTROL_ALIAS):
        home = devices.lock_home(device_id)
        if home is None:
            return None
        if home.batch_id != batch.pk:
            raise DeviceOfAnotherBatch(device_id=device_id)
        if batch.status == EnrolmentBatch.Status.REVOKED:
            raise DeviceRevoked(device_id=device_id)

        with reaching.shard(home.shard_id):
            device, is_new = _write_device(
                home=home, batch=batch, profile=profile, now=now
            )
            if is_new and _was_revoked_meanwhile(batch):
                devices.mark_revoked(home=home, now=now)
                raise DeviceRevoked(device_id=device_id)
        if device.revoked_at is not None:
            raise DeviceRevoked(device_id=device_id)

    issued = tokens.issue(
        device_id=device_id,
        shard_id=home.shard_id,
        token_epoch=device.token_epoch,
        now=now,
    )
    return Enrolment(
        device_id=device_id, shard=home.shard, issued=issued, is_new=is_new
    )


def _write_device(
    *, home: DeviceHome, batch: EnrolmentBatch, profile: Profile, now: datetime
) -> tuple[Device, bool]:
    """Return the TV's row, and whether it is new."""
    alias = home.shard.alias
    with transaction.atomic(using=alias):
        device, is_new = Device.objects.using(alias).get_or_create(
            id=home.device_id,
            defaults={
                "batch_id": batch.pk,
                "region": _region(batch, profile),
                "model": profile.model,
                "firmware": profile.firmware,
                "enrolled_at": now,
                # So that the tokens it had before it was forgotten stay worthless.
                "token_epoch": secrets.randbelow(FIRST_EPOCHS),
            },
        )
        if is_new:
            statistics.record_devices(shard_alias=alias, delta=1)
        else:
            _update_profile(device, profile)
    return device, is_new


def _update_profile(device: Device, profile: Profile) -> None:
    """Keep up with a TV that moved or was updated."""
    changes = {
        name: value
        for name, value in vars(profile).items()
        if value and value != getattr(device, name)
    }
    if changes:
        # Only these columns: the TV may be syncing at this moment.
        Device.objects.using(device._state.db).filter(pk=device.pk).update(**changes)


def _was_revoked_meanwhile(batch: EnrolmentBatch) -> bool:
    """Whether the sweep that revokes a batch may have passed before this TV came."""
    return EnrolmentBatch.objects.filter(
        pk=batch.pk, status=EnrolmentBatch.Status.REVOKED
    ).exists()


def _region(batch: EnrolmentBatch, profile: Profile) -> str:
    return profile.region or batch.region or str(settings.REGION)
