"""Shards, the TVs on them, and the counts that are kept so that nobody counts."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from shards.databases import LivesOn, shard_alias

#: The region whose shards take the TVs of every region without a shard of its own.
GLOBAL_REGION = "global"

REGION_LENGTH = 32


class Shard(models.Model):
    """One database of TVs, its capacity, and what was last seen of it."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        #: Answers its TVs, takes no new ones.
        DRAINING = "draining", "Draining"

    id = models.PositiveSmallIntegerField("number", primary_key=True)
    name = models.CharField(max_length=64, unique=True)
    region = models.CharField(max_length=REGION_LENGTH, default=GLOBAL_REGION)
    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.ACTIVE
    )
    max_devices = models.PositiveIntegerField("capacity in TVs")
    sync_url = models.URLField(
        blank=True, help_text="Where its TVs sync; empty: where they enrolled."
    )
    grpc_target = models.CharField(
        max_length=255, blank=True, help_text="host:port for gRPC."
    )

    #: Places taken, claimed by enrolment before the TV's row is written.
    device_count = models.PositiveIntegerField("TVs", default=0, editable=False)

    # What the observer saw last.
    observed_at = models.DateTimeField(null=True, editable=False)
    is_reachable = models.BooleanField(default=False, editable=False)
    active_device_count = models.PositiveIntegerField(default=0, editable=False)
    pattern_count = models.PositiveBigIntegerField(default=0, editable=False)
    syncs_per_minute = models.FloatField(default=0.0, editable=False)
    mean_latency_ms = models.FloatField(default=0.0, editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(max_devices__gte=1), name="shard_has_room_for_one_tv"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def alias(self) -> str:
        return shard_alias(self.id)

    @property
    def used_fraction(self) -> float:
        """Share of its places taken, 0 to 1 (more if the capacity was lowered)."""
        return self.device_count / self.max_devices

    @property
    def free_places(self) -> int:
        return max(0, self.max_devices - self.device_count)


class EnrolmentBatch(models.Model):
    """TVs made or sold together: they share an enrolment key and a fate.

    Of the key only its SHA-256 digest is stored: it is random, so a slow hash
    would protect nothing.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"
        #: Closed, and every TV of it was revoked.
        REVOKED = "revoked", "Revoked"

    name = models.CharField(max_length=64, unique=True)
    region = models.CharField(
        max_length=REGION_LENGTH,
        blank=True,
        help_text="For TVs that don't say where they are.",
    )
    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.OPEN
    )
    max_devices = models.PositiveIntegerField(
        "largest number of TVs", null=True, blank=True
    )
    key_digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    device_count = models.PositiveIntegerField("TVs", default=0, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "enrolment batches"

    def __str__(self) -> str:
        return self.name


class DeviceHome(models.Model):
    """Which shard a TV lives on: the directory behind enrolment and look-up.

    400 million rows are about 35 GB with their key; each use is one look-up by
    primary key, and none is on the path of a sync (the token carries the shard).
    """

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    device_id = models.UUIDField(primary_key=True)
    # No indexes on the references: nothing lists the TVs of a shard from here.
    shard = models.ForeignKey(Shard, models.PROTECT, db_index=False)
    batch = models.ForeignKey(EnrolmentBatch, models.PROTECT, db_index=False)


class Device(models.Model):
    """A TV. Its row is locked while one of its syncs is applied.

    No index but the key: what changes with each sync stays a HOT update (the
    migration sets the fillfactor for it).
    """

    lives_on: ClassVar[LivesOn] = LivesOn.SHARD

    id = models.UUIDField(primary_key=True)
    #: ``EnrolmentBatch.id`` in the control database.
    batch_id = models.BigIntegerField()
    region = models.CharField(max_length=REGION_LENGTH)
    model = models.CharField(max_length=64, blank=True)
    firmware = models.CharField(max_length=64, blank=True)
    enrolled_at = models.DateTimeField()

    #: Tokens of an older epoch are refused.
    token_epoch = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True)

    #: Version of the last delta applied; 0 before the first.
    local_version = models.PositiveBigIntegerField(default=0)
    #: SHA-256 of that delta's canonical form; empty before the first.
    delta_digest = models.BinaryField(max_length=32, default=b"")
    # What was answered to it, so that a retry hears the same.
    stored_count = models.PositiveSmallIntegerField(default=0)
    filtered_count = models.PositiveSmallIntegerField(default=0)
    updated_count = models.PositiveSmallIntegerField(default=0)
    removed_count = models.PositiveSmallIntegerField(default=0)

    pattern_count = models.PositiveSmallIntegerField(default=0)
    last_synced_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.id)


class ShardTally(models.Model):
    """How many TVs and patterns a shard has, kept by whoever changes it.

    Spread over slots so that concurrent transactions rarely wait for each other's
    row; a slot alone may be negative, their sum is exact. At most ``SLOT_COUNT``
    rows are summed.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.SHARD

    slot = models.PositiveSmallIntegerField(primary_key=True)
    device_count = models.BigIntegerField(default=0)
    pattern_count = models.BigIntegerField(default=0)


class SyncMinute(models.Model):
    """Syncs of one minute, spread over slots like ShardTally.

    ``active_delta`` is +1 for each sync in its own minute and −1 in the minute of
    the same TV's previous sync, if that was within ``ACTIVE_WINDOW``: the sum over
    that window is the number of TVs whose last sync lies in it.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.SHARD

    pk = models.CompositePrimaryKey("minute", "slot")
    minute = models.DateTimeField()
    slot = models.PositiveSmallIntegerField()
    sync_count = models.IntegerField(default=0)
    #: Summed time from the request's arrival to its commit, in microseconds.
    latency_us = models.BigIntegerField(default=0)
    active_delta = models.IntegerField(default=0)


class ShardHour(models.Model):
    """How a shard stood in one hour: what growth is forecast from."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    shard = models.ForeignKey(
        Shard, models.CASCADE, db_index=False, related_name="hours"
    )
    hour = models.DateTimeField()
    device_count = models.PositiveIntegerField("TVs")
    active_device_count = models.PositiveIntegerField()
    pattern_count = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["shard_id", "hour"]
        constraints = [
            models.UniqueConstraint(
                fields=["shard", "hour"], name="shard_has_an_hour_once"
            ),
        ]


def claim_place(shard: Shard) -> bool:
    """Take one place; False when another enrolment took the last one first."""
    return bool(
        Shard.objects.filter(
            pk=shard.pk,
            status=Shard.Status.ACTIVE,
            device_count__lt=F("max_devices"),
        ).update(device_count=F("device_count") + 1)
    )
