"""What rounds publish, by version: global patterns, trends and links."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from pgvector.django import HnswIndex, VectorField

from patterns.context import (
    CONTENT_ID_LENGTH,
    GENRE_LENGTH,
    ITEM_LENGTH,
    ContentType,
    DayOfWeek,
    TimeOfDay,
)
from patterns.vectors import EMBEDDING_DIMENSIONS
from shards.databases import LivesOn
from shards.models import REGION_LENGTH


class Publication(models.Model):
    """One published version of what the fleet knows.

    Staged under its version beside the current one, verified, and made current by
    one transaction a shard: no reply mixes two versions.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.EVERYWHERE

    version = models.PositiveBigIntegerField(primary_key=True)
    is_current = models.BooleanField(default=False)
    #: ``FederationRound.id`` that made it.
    round_id = models.BigIntegerField()
    #: The version whose content this one repeats, after a rollback.
    rollback_of = models.PositiveBigIntegerField(null=True, blank=True)
    checksum = models.CharField(max_length=64)
    pattern_count = models.PositiveIntegerField("global patterns")
    trend_count = models.PositiveIntegerField("trends")
    link_count = models.PositiveIntegerField("links")
    published_at = models.DateTimeField()

    class Meta:
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_current"],
                condition=Q(is_current=True),
                name="only_one_publication_is_current",
            ),
        ]

    def __str__(self) -> str:
        return f"Version {self.version}"


class GlobalPattern(models.Model):
    """A cell that enough TVs stand behind, as TVs receive it."""

    lives_on: ClassVar[LivesOn] = LivesOn.EVERYWHERE

    version = models.PositiveBigIntegerField()
    #: Its identity, kept from round to round; the ``id`` that TVs see.
    cell = models.PositiveIntegerField()

    embedding = VectorField(dimensions=EMBEDDING_DIMENSIONS)  # unit length, float32
    success_rate = models.FloatField()  # 0 to 1, weighted mean
    sample_count = models.PositiveBigIntegerField("samples")
    #: Sum of its patterns' weights; a TV adds at most 1 over all cells.
    mass = models.FloatField()
    device_count = models.PositiveIntegerField("TVs")
    source_count = models.PositiveSmallIntegerField("shards")
    batch_count = models.PositiveIntegerField("enrolment batches")

    time_of_day = models.PositiveSmallIntegerField(
        choices=TimeOfDay.choices, default=TimeOfDay.UNSPECIFIED
    )
    day_of_week = models.PositiveSmallIntegerField(
        choices=DayOfWeek.choices, default=DayOfWeek.UNSPECIFIED
    )
    content_type = models.PositiveSmallIntegerField(
        choices=ContentType.choices, default=ContentType.UNSPECIFIED
    )
    genre_hints = ArrayField(models.CharField(max_length=GENRE_LENGTH), default=list)
    content_ids = ArrayField(
        models.CharField(max_length=CONTENT_ID_LENGTH), default=list
    )

    class Meta:
        ordering = ["-version", "cell"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "cell"], name="cell_once_per_version"
            ),
        ]
        indexes = [
            # Operators' and engineers' SQL: neighbours of a vector or of a content.
            # TVs are answered from memory. Dropped and built anew while a version
            # is staged, never updated in place.
            HnswIndex(
                name="global_pattern_by_embedding",
                fields=["embedding"],
                m=32,
                ef_construction=100,
                opclasses=["vector_cosine_ops"],
            ),
        ]

    def __str__(self) -> str:
        return f"Cell {self.cell}"


class Trend(models.Model):
    """What the TVs of a region name: more than its own past explains, less, or as ever.

    Fading items are for operators; TVs are given the others.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.EVERYWHERE

    class Kind(models.TextChoices):
        #: It rises, and usually too few TVs name it to be shown.
        NEW = "new", "New"
        RISING = "rising", "Rising"
        #: Merely popular: it fills the list below what rises.
        STEADY = "steady", "Steady"
        FADING = "fading", "Fading"

    version = models.PositiveBigIntegerField()
    region = models.CharField(max_length=REGION_LENGTH)
    item = models.CharField(max_length=ITEM_LENGTH)
    #: 1 is the strongest of its region; fading items are ranked apart.
    rank = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.STEADY)
    score = models.FloatField()  # 0 to 1
    rate = models.FloatField("share of reporting TVs")
    usual_rate = models.FloatField("usual share", help_text="Decayed mean so far.")
    device_count = models.PositiveIntegerField("TVs")

    #: Its rates in the last rounds that listed it, oldest first.
    course = ArrayField(models.FloatField(), default=list)
    #: Where it comes from: at most five shards and batches, those with most of its TVs
    #: first, each with its share of them at the same place. Fewer TVs than may be shown
    #: are never told apart.
    shard_ids = ArrayField(models.PositiveIntegerField(), default=list)
    shard_shares = ArrayField(models.FloatField(), default=list)
    batch_ids = ArrayField(models.PositiveBigIntegerField(), default=list)
    batch_shares = ArrayField(models.FloatField(), default=list)
    #: Sum of all squared shares; 1 if one has all, 0 if nothing is known.
    shard_concentration = models.FloatField(default=0.0)
    batch_concentration = models.FloatField(default=0.0)
    #: The one that most of its TVs belong to, far more than its size explains.
    carrying_shard = models.PositiveIntegerField(null=True, blank=True)
    carrying_batch = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-version", "region", "rank"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "region", "item"], name="trend_once_per_region"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.item} in {self.region}"


class Link(models.Model):
    """Which contents are found in the same TVs as one content."""

    lives_on: ClassVar[LivesOn] = LivesOn.EVERYWHERE

    version = models.PositiveBigIntegerField()
    content_id = models.CharField(max_length=CONTENT_ID_LENGTH)
    #: At most 14, strongest first, each with its weight at the same place.
    related_ids = ArrayField(models.CharField(max_length=CONTENT_ID_LENGTH))
    weights = ArrayField(models.FloatField())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "content_id"], name="links_once_per_content"
            ),
        ]
