"""Enrolment batches: made, closed, opened again, revoked."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from shards import reaching, selectors
from shards.databases import CONTROL_ALIAS, shard_alias
from shards.exceptions import BatchRevoked, NameTaken, ShardUnavailable
from shards.models import Device, EnrolmentBatch, Shard

KEY_BYTES = 32

#: TVs looked at in one transaction while a batch is revoked: some milliseconds.
REVOKE_STEP = 10_000


@dataclass(frozen=True, kw_only=True)
class NewBatch:
    batch: EnrolmentBatch
    #: Shown now and never again: only its digest is kept.
    enrolment_key: str


@dataclass(kw_only=True)
class Revocation:
    """What revoking a batch did, shard by shard."""

    revoked_count: int = 0
    #: Shards that didn't answer: their TVs of the batch are still believed.
    failed_shards: list[int] = field(default_factory=list)


def create_batch(
    *, name: str, region: str = "", max_devices: int | None = None
) -> NewBatch:
    # A command line would take one with a dash in front for an option.
    enrolment_key = re.sub("^-", "_", secrets.token_urlsafe(KEY_BYTES))
    try:
        with transaction.atomic(using=CONTROL_ALIAS):
            batch = EnrolmentBatch.objects.create(
                name=name,
                region=region,
                max_devices=max_devices,
                key_digest=selectors.key_digest(enrolment_key),
            )
    except IntegrityError as exc:
        raise NameTaken(kind="enrolment batch", name=name) from exc
    return NewBatch(batch=batch, enrolment_key=enrolment_key)


def close_batch(batch: EnrolmentBatch) -> None:
    """Take no new TVs into it; those it has go on, and renew their tokens."""
    _change_status(batch, EnrolmentBatch.Status.CLOSED)


def reopen_batch(batch: EnrolmentBatch) -> None:
    _change_status(batch, EnrolmentBatch.Status.OPEN)


def revoke_batch(batch: EnrolmentBatch, *, now: datetime | None = None) -> Revocation:
    """Close a batch for good and refuse every TV of it.

    Safe to stop and to repeat: a second run revokes what the first one left. A
    shard that doesn't answer doesn't keep the others from being swept.
    """
    # First, so that an enrolment under way sees it when the sweep has passed.
    EnrolmentBatch.objects.filter(pk=batch.pk).update(
        status=EnrolmentBatch.Status.REVOKED
    )
    batch.refresh_from_db()

    revocation = Revocation()
    for shard_id in Shard.objects.values_list("id", flat=True):
        try:
            with reaching.shard(shard_id):
                revocation.revoked_count += _sweep(
                    shard_alias(shard_id), batch_id=batch.pk, now=now or timezone.now()
                )
        except ShardUnavailable:
            revocation.failed_shards.append(shard_id)
    return revocation


def _change_status(batch: EnrolmentBatch, status: EnrolmentBatch.Status) -> None:
    is_changed = (
        EnrolmentBatch.objects.filter(pk=batch.pk)
        .exclude(status=EnrolmentBatch.Status.REVOKED)
        .update(status=status)
    )
    batch.refresh_from_db()
    if not is_changed:
        raise BatchRevoked(batch=batch.name)


def _sweep(alias: str, *, batch_id: int, now: datetime) -> int:
    """Walk a shard's TVs in the order of their key, each step its own statement."""
    devices = Device.objects.using(alias)
    revoked_count = 0
    after = UUID(int=0)
    while True:
        ids = devices.filter(id__gt=after).order_by("id").values_list("id", flat=True)
        # One id a step; the last step has fewer TVs, so no such id.
        last = ids[REVOKE_STEP - 1 : REVOKE_STEP].first()
        step = devices.filter(id__gt=after, batch_id=batch_id, revoked_at=None)
        if last is not None:
            step = step.filter(id__lte=last)
        revoked_count += step.update(revoked_at=now, token_epoch=F("token_epoch") + 1)
        if last is None:
            return revoked_count
        after = last
