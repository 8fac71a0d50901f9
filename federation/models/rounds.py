"""Rounds: what each shard gave to one, its units of work, parts and events."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from shards.databases import LivesOn
from shards.models import Shard


class FederationRound(models.Model):
    """One federation round. Its id is its number.

    Whoever coordinates it holds its lease and writes under its term; whoever takes a
    round over raises the term, and what the one before writes then counts no more.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        PUBLISHED = "published", "Published"
        #: Published without some of the shards.
        PARTIAL = "partial", "Published in part"
        #: The old version stays.
        ABANDONED = "abandoned", "Abandoned"

    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.RUNNING
    )
    #: Which step it is in, for people who watch.
    step = models.CharField(max_length=32, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    #: Its coordinator renews this; once it has passed, another may take the round over.
    lease_until = models.DateTimeField()
    #: How many coordinators it had, one after the other.
    term = models.PositiveIntegerField(default=1)
    #: All that decides its result besides what TVs say, fixed when it opens.
    parameters = models.JSONField(default=dict)
    #: 64 bits that TVs cannot know, by which patterns and contents are sampled.
    seed = models.BinaryField(default=bytes)

    #: The version it published; empty until the control database has it as current.
    global_version = models.PositiveBigIntegerField(null=True, blank=True)
    #: The version it stages, given to no other round whatever becomes of this one.
    reserved_version = models.PositiveBigIntegerField(
        null=True, blank=True, unique=True, editable=False
    )
    #: A roll-back: the version whose result it published again.
    rollback_of = models.PositiveBigIntegerField(null=True, blank=True)
    #: SHA-256 of what was published, in hexadecimal; the same data, the same sum.
    checksum = models.CharField(max_length=64, blank=True)
    pattern_count = models.PositiveIntegerField("global patterns", default=0)
    trend_count = models.PositiveIntegerField("trends", default=0)
    link_count = models.PositiveIntegerField("links", default=0)
    suppressed_count = models.PositiveIntegerField(
        "suppressed", default=0, help_text="Cells with too few TVs or shards behind."
    )
    #: Items of regions, and pairs of contents, that some TVs named, but too few.
    suppressed_trend_count = models.PositiveBigIntegerField(default=0)
    suppressed_link_count = models.PositiveBigIntegerField(default=0)
    #: What was held back or left out because it didn't fit the rest, for operators.
    defences = models.JSONField(default=dict, editable=False)
    #: What went in, by digest, and what read it: enough to do its merge again.
    manifest = models.JSONField(default=dict, editable=False)
    #: What went wrong, for people.
    problem = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["status"],
                condition=Q(status="running"),
                name="only_one_round_runs",
            ),
        ]

    def __str__(self) -> str:
        return f"Round {self.pk}"


class RoundShard(models.Model):
    """What one shard gave to one round."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    class Status(models.TextChoices):
        COLLECTING = "collecting", "Collecting"
        COLLECTED = "collected", "Collected"
        PUBLISHED = "published", "Published"
        #: Couldn't be collected from.
        MISSING = "missing", "Missing"
        #: Not asked: the round was for other shards. It gets the result all the same.
        LEFT_OUT = "left_out", "Left out"
        #: Collected, but couldn't be published to: its TVs keep the old version.
        BEHIND = "behind", "Behind"

    round = models.ForeignKey(
        FederationRound, models.CASCADE, related_name="round_shards"
    )
    shard = models.ForeignKey(Shard, models.PROTECT)
    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.COLLECTING
    )
    device_count = models.PositiveIntegerField("contributing TVs", default=0)
    pattern_count = models.PositiveBigIntegerField("quality patterns", default=0)
    reporting_count = models.PositiveIntegerField("TVs with news", default=0)
    #: All it stores, by its tally: what the capacity forecast goes by.
    stored_device_count = models.PositiveIntegerField("TVs", default=0)
    stored_pattern_count = models.PositiveBigIntegerField("patterns", default=0)
    #: Both readings together.
    collect_seconds = models.FloatField(default=0.0)
    problem = models.TextField(blank=True)

    class Meta:
        ordering = ["round_id", "shard_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "shard"], name="round_has_a_shard_once"
            ),
        ]


class RoundUnit(models.Model):
    """A step of a round on one shard: whoever claims it does it.

    The number of attempts is its fencing number: what is done counts only if nobody
    has claimed the unit since, and while the lease runs.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    class Step(models.TextChoices):
        SAMPLING = "sampling", "Sampling"
        COLLECTING = "collecting", "Collecting"
        STAGING = "staging", "Staging"
        FLIPPING = "flipping", "Flipping"

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        CLAIMED = "claimed", "Claimed"
        DONE = "done", "Done"
        #: Given up: the round goes on without.
        FAILED = "failed", "Failed"

    round = models.ForeignKey(FederationRound, models.CASCADE, related_name="units")
    shard = models.ForeignKey(Shard, models.PROTECT)
    step = models.CharField(max_length=16, choices=Step.choices)
    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.WAITING
    )
    #: Nobody claims it before.
    available_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    #: Who has claimed it, or had last: host and process.
    worker = models.CharField(max_length=128, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    #: Its worker renews this; once it has passed, another may claim the unit.
    lease_until = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    #: SHA-256 of what it gave, in hexadecimal.
    checksum = models.CharField(max_length=64, blank=True)
    problem = models.TextField(blank=True)

    class Meta:
        ordering = ["round_id", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "step", "shard"], name="round_has_a_unit_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_step_display()} of shard {self.shard_id}"


class RoundPart(models.Model):
    """What a step of a round gave, kept until no later step or replay needs it."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    round = models.ForeignKey(FederationRound, models.CASCADE, related_name="parts")
    name = models.CharField(max_length=32)
    #: Of the bytes before they were compressed, in hexadecimal.
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    zstd = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["round", "name"], name="round_has_a_part_once"
            ),
        ]


class RoundEvent(models.Model):
    """A line of a round's history: who did what, and when."""

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    round = models.ForeignKey(FederationRound, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    #: Host and process.
    who = models.CharField(max_length=128)
    what = models.TextField()

    class Meta:
        ordering = ["id"]
