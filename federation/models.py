"""Rounds, and what they publish: global patterns, trends and links, by version."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django_celery_beat.models import PeriodicTask
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
from shards.models import REGION_LENGTH, Shard


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
    #: At most 10, strongest first, each with its weight at the same place.
    related_ids = ArrayField(models.CharField(max_length=CONTENT_ID_LENGTH))
    weights = ArrayField(models.FloatField())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "content_id"], name="links_once_per_content"
            ),
        ]


class TrainedCodebook(models.Model):
    """A codebook that was published; the newest four are understood.

    This is the master copy. TVs and shards have them as bundles.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.CONTROL

    version = models.PositiveIntegerField(primary_key=True)
    #: The message ``Codebook``.
    payload = models.BinaryField()
    #: ``FederationRound.id`` that trained it.
    round_id = models.BigIntegerField()
    cell_count = models.PositiveIntegerField("global patterns")
    cosine = models.FloatField(
        help_text="Between patterns and what servers read, when new."
    )
    trained_at = models.DateTimeField()

    class Meta:
        ordering = ["-version"]
        verbose_name = "codebook"

    def __str__(self) -> str:
        return f"Codebook {self.version}"


class BundlePayload(models.Model):
    """The bytes of bundles as they are sent, compressed once. Never changed.

    A payload may belong to bundles of several versions, and is deleted after the last.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.EVERYWHERE

    #: Of ``identity``, in hexadecimal.
    sha256 = models.CharField(max_length=64, primary_key=True)
    identity = models.BinaryField()
    #: The same with a Content-Encoding; null where that saves nothing worth having.
    zstd = models.BinaryField(null=True)
    gzip = models.BinaryField(null=True)
    #: SHA-256 of the encoded bytes, in hexadecimal: ETags.
    zstd_sha256 = models.CharField(max_length=64, blank=True)
    gzip_sha256 = models.CharField(max_length=64, blank=True)


class Bundle(models.Model):
    """One of the files that a version consists of, under its address.

    Staged, made current and deleted together with the rows of its version.
    """

    lives_on: ClassVar[LivesOn] = LivesOn.EVERYWHERE

    version = models.PositiveBigIntegerField()
    #: What it is: ``patterns``, ``trends/eu``, ``catalogue/1001`` and so on.
    name = models.CharField(max_length=64)
    #: Where it is served, below ``/api/v1/``. Some outlive a version there.
    path = models.CharField(max_length=96)
    # The database refuses to lose a payload that is used; nothing to look up here.
    payload = models.ForeignKey(BundlePayload, models.DO_NOTHING, related_name="+")
    size_bytes = models.PositiveIntegerField()
    #: The header that carries its signatures.
    signature = models.TextField()
    #: Of a page of the catalogue: a digest of what it was made from.
    source = models.CharField(max_length=32, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "name"], name="bundle_once_per_version"
            ),
        ]
        indexes = [
            # federation.bundles.serving.find: every request of a cache.
            models.Index(fields=["path", "version"], name="bundle_by_path"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of version {self.version}"


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
