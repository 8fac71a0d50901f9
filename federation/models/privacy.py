"""What rounds with noise have told, and what rounds leave out."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from patterns.context import CONTENT_ID_LENGTH
from shards.databases import LivesOn


class PrivacySpending(models.Model):
    """What a round with noise tells of any one TV at most. Never deleted.

    Written before the noise is drawn: a round that then fails counts all the same.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    #: ``FederationRound.id``; the ledger outlives the rounds.
    round_id = models.BigIntegerField(primary_key=True)
    spent_at = models.DateTimeField()
    #: The round alone: (epsilon, delta)-differential privacy.
    epsilon = models.FloatField()
    delta = models.FloatField()
    #: The same as it adds up: (threshold_delta)-approximate rho-zCDP.
    rho = models.FloatField()
    threshold_delta = models.FloatField()
    #: Each mechanism's noise, sensitivity and share.
    mechanisms = models.JSONField(default=list)

    class Meta:
        ordering = ["-round_id"]
        verbose_name_plural = "privacy spendings"

    def __str__(self) -> str:
        return f"Spending of round {self.pk}"


class Quarantine(models.Model):
    """A TV, an enrolment batch, a cell or a content that rounds leave out.

    TVs under quarantine sync as before and are told nothing of it.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    class Kind(models.TextChoices):
        DEVICE = "device", "TV"
        BATCH = "batch", "Enrolment batch"
        CELL = "cell", "Cell"
        CONTENT = "content", "Content"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    #: The TV's id, the batch's number, the cell's number, or the content's id.
    name = models.CharField(max_length=CONTENT_ID_LENGTH)
    reason = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "quarantine"
        constraints = [
            models.UniqueConstraint(fields=["kind", "name"], name="quarantined_once"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}"
