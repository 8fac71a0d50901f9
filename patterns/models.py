"""What TVs learned, and the catalogue of contents that they learned it from."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Func, Q, Value
from pgvector.django import HalfVectorField

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


class Pattern(models.Model):
    """One taste of one TV, in some circumstances.

    The key begins with the TV, so a TV can only ever reach its own rows. There is
    no HNSW index: inserting into one costs 7 ms against 0.1 ms without. Neighbours
    are found through ``cell``, exactly within it; docs/recipes.md has the command
    that builds HNSW here for those who want it.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.SHARD

    pk = models.CompositePrimaryKey("device_id", "pattern_id")
    device_id = models.UUIDField()
    pattern_id = models.UUIDField()

    # Unit length, half precision: half the size of float32 at the same recall.
    embedding = HalfVectorField(dimensions=EMBEDDING_DIMENSIONS)
    success_rate = models.FloatField()  # 0 to 1
    sample_count = models.PositiveBigIntegerField()

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

    #: Nearest global pattern when it arrived; null before the first publication.
    cell = models.PositiveIntegerField(null=True)
    #: When the TV last said something about it, by the server's clock.
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(success_rate__gte=0, success_rate__lte=1),
                name="pattern_success_rate_is_a_fraction",
            ),
            models.CheckConstraint(
                condition=Q(sample_count__gte=1), name="pattern_has_a_sample"
            ),
        ]
        indexes = [
            # patterns.selectors.similar_patterns: neighbours within some cells.
            models.Index(fields=["cell"], name="pattern_by_cell"),
        ]


class Item(models.Model):
    """A content or a genre that compact messages may refer to, and by which number.

    Rows are only ever added, each above all others: an ordinal is for ever, whatever
    becomes of its content. Shards have the first so many rows of the control database.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.EVERYWHERE

    ordinal = models.BigAutoField(primary_key=True)
    #: A content id, or ``genre:`` and a genre.
    name = models.CharField(max_length=ITEM_LENGTH)

    class Meta:
        ordering = ["ordinal"]
        constraints = [
            models.UniqueConstraint(fields=["name"], name="item_has_one_ordinal"),
        ]

    def __str__(self) -> str:
        return self.name


class Content(models.Model):
    """Something to watch, as the catalogue describes it."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    #: Its item's.
    ordinal = models.BigIntegerField(primary_key=True)
    #: Rises with each content that is added. It is the ordinal, unless TVs named the
    #: content before the catalogue did: then a later number of the same sequence.
    position = models.BigIntegerField(
        unique=True,
        editable=False,
        db_default=Func(Value("patterns_item_ordinal_seq"), function="nextval"),
    )
    content_id = models.CharField(max_length=CONTENT_ID_LENGTH, unique=True)
    title = models.CharField(max_length=255)
    # Unit length.
    embedding = HalfVectorField(dimensions=EMBEDDING_DIMENSIONS)
    genres = ArrayField(models.CharField(max_length=GENRE_LENGTH), default=list)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    duration_min = models.PositiveSmallIntegerField(
        "duration in minutes", null=True, blank=True
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["ordinal"]
        verbose_name_plural = "content"

    def __str__(self) -> str:
        return f"{self.title} ({self.year})" if self.year else self.title
