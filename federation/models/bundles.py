"""Publications as files for caches, and the codebooks that they are packed by."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from shards.databases import LivesOn


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
