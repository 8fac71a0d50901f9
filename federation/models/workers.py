"""Who works on rounds, and when they begin."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django_celery_beat.models import PeriodicTask

from shards.databases import LivesOn


class Worker(models.Model):
    """A process that takes units of work, and says every few seconds that it is there.

    Nothing depends on it but how long a coordinator leaves units to others.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    #: Host and process.
    name = models.CharField(max_length=128, primary_key=True)
    slots = models.PositiveSmallIntegerField(help_text="Units it does at once.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Schedule(PeriodicTask):  # type: ignore[misc]  # untyped
    """When rounds begin: a row of django-celery-beat's, as operators see it."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    class Meta:
        proxy = True
        verbose_name = "schedule"
        verbose_name_plural = "schedules"
