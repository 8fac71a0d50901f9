"""What a round leaves to the next: its cells, and how often things were named."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from federation.models.rounds import FederationRound
from patterns.context import ITEM_LENGTH
from shards.databases import LivesOn
from shards.models import REGION_LENGTH


class RoundCells(models.Model):
    """All cells of a published round, suppressed ones too: the next one's start."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    round = models.OneToOneField(
        FederationRound, models.CASCADE, primary_key=True, related_name="cells"
    )
    #: int64, little-endian, ascending, shape (n,).
    cell_ids = models.BinaryField()
    #: float32, little-endian, row i belongs to cell i, shape (n, 384).
    centroids = models.BinaryField()
    #: The next identity to give; identities are never given twice.
    next_cell = models.PositiveIntegerField()
    #: Where each cell was, on average over its rounds: float32, little-endian, shape
    #: (n, 384), zeros for a cell that has no such place yet. Empty: for none.
    anchors = models.BinaryField(default=bytes)
    #: In how many rounds each cell has been: int64, little-endian, shape (n,).
    ages = models.BinaryField(default=bytes)
    #: TVs that took part: what a fleet that has doubled is told by.
    device_count = models.PositiveBigIntegerField(default=0)


class TrendHistory(models.Model):
    """How often a content was named in a region so far, decayed round by round."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    region = models.CharField(max_length=REGION_LENGTH)
    item = models.CharField(max_length=ITEM_LENGTH)
    #: Decayed mean of the share of reporting TVs that named it, 0 to 1.
    mean_rate = models.FloatField()
    #: Decayed number of rounds in that mean, and of the TVs that reported in them.
    effective_rounds = models.FloatField()
    effective_reporters = models.FloatField()
    #: Of its rates from round to round, beyond chance.
    variance = models.FloatField(default=0.0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["region", "item"], name="history_once_per_region_and_item"
            ),
        ]


class TrendShardHistory(models.Model):
    """Which shards the history of a region was made of."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    region = models.CharField(max_length=REGION_LENGTH)
    #: Not a foreign key: the history outlives a shard that is removed.
    shard = models.PositiveIntegerField()
    #: Decayed number of its TVs that reported, and of rounds that did without it.
    effective_reporters = models.FloatField()
    missed_rounds = models.FloatField()
    #: Whether the last round did.
    is_away = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["region", "shard"], name="history_once_per_region_and_shard"
            ),
        ]
