"""Tables of the peer."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from pgvector.django import HalfVectorField, HnswIndex, VectorField

EMBEDDING_DIMENSIONS = 384


class Device(models.Model):
    id = models.UUIDField(primary_key=True)
    token = models.CharField(max_length=64, unique=True)
    region = models.CharField(max_length=32)
    local_version = models.BigIntegerField(default=0)
    last_synced_at = models.DateTimeField(null=True)

    #: For IsAuthenticated.
    is_authenticated = True

    objects: ClassVar[models.Manager[Device]] = models.Manager()

    class Meta:
        app_label = "naive"


class Pattern(models.Model):
    id = models.UUIDField(primary_key=True)
    device = models.ForeignKey(Device, models.CASCADE)
    embedding = HalfVectorField(dimensions=EMBEDDING_DIMENSIONS)
    success_rate = models.FloatField()
    sample_count = models.BigIntegerField()
    time_of_day = models.SmallIntegerField(default=0)
    day_of_week = models.SmallIntegerField(default=0)
    content_type = models.SmallIntegerField(default=0)
    genre_hints = ArrayField(models.CharField(max_length=32), default=list)
    content_ids = ArrayField(models.CharField(max_length=64), default=list)
    reported_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[Pattern]] = models.Manager()

    class Meta:
        app_label = "naive"


class GlobalPattern(models.Model):
    cell = models.IntegerField()
    embedding = VectorField(dimensions=EMBEDDING_DIMENSIONS)
    success_rate = models.FloatField()
    mass = models.FloatField()

    objects: ClassVar[models.Manager[GlobalPattern]] = models.Manager()

    class Meta:
        app_label = "naive"
        indexes = [
            HnswIndex(
                name="naive_global_hnsw",
                fields=["embedding"],
                m=32,
                ef_construction=100,
                opclasses=["vector_cosine_ops"],
            )
        ]


class Trend(models.Model):
    region = models.CharField(max_length=32, db_index=True)
    rank = models.IntegerField()
    content_id = models.CharField(max_length=64)
    score = models.FloatField()

    objects: ClassVar[models.Manager[Trend]] = models.Manager()

    class Meta:
        app_label = "naive"
        ordering = ["rank"]
