"""Reads about rounds and what they published."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from django.db import connections, transaction
from django.db.models import Max, QuerySet
from django.db.models.functions import Now
from numpy.typing import NDArray
from pgvector.django import CosineDistance

from federation.models import (
    FederationRound,
    GlobalPattern,
    Publication,
)
from shards.databases import CONTROL_ALIAS


class Pointer(NamedTuple):
    """Which version a database has as current; version 0 before the first."""

    version: int
    checksum: str


#: Where a database tells those who listen that a version was staged or made current.
CHANNEL = "constellation_publication"


def pointer(alias: str) -> Pointer:
    """Read one row by a partial index that has one entry."""
    row = (
        Publication.objects.using(alias)
        .filter(is_current=True)
        .order_by()
        .values_list("version", "checksum")
        .first()
    )
    return Pointer(*row) if row else Pointer(0, "")


def pointers(alias: str) -> tuple[Pointer, Pointer | None]:
    """Read which version is current, and the newest that is staged above it, if any.

    One statement over the few rows there are.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT is_current, version, checksum FROM federation_publication "
            "ORDER BY version"
        )
        rows = cursor.fetchall()
    current = next((Pointer(*row) for is_it, *row in rows if is_it), Pointer(0, ""))
    newest = Pointer(*rows[-1][1:]) if rows else current
    return current, newest if newest.version > current.version else None


def current_version(alias: str = CONTROL_ALIAS) -> int:
    """Tell which version a shard gives its TVs; the control database's by default."""
    return pointer(alias).version


def newest_version(alias: str) -> int:
    """The highest version a database has, staged or published."""
    newest: int | None = Publication.objects.using(alias).aggregate(
        newest=Max("version")
    )["newest"]
    return newest or 0


def highest_cell(alias: str) -> int:
    """The highest number of a cell that a database has, staged or published."""
    highest: int | None = GlobalPattern.objects.using(alias).aggregate(
        highest=Max("cell")
    )["highest"]
    return highest or 0


def recent_rounds(count: int = 50) -> QuerySet[FederationRound]:
    """The last rounds, newest first, each with what its shards gave."""
    return FederationRound.objects.prefetch_related("round_shards__shard")[:count]


def running_round() -> FederationRound | None:
    return FederationRound.objects.filter(status=FederationRound.Status.RUNNING).first()


def last_collecting_round() -> FederationRound | None:
    """The last round that read the shards and published; roll-backs don't count."""
    return FederationRound.objects.filter(cells__isnull=False).order_by("-id").first()


def seconds_since_last_round() -> float | None:
    """Tell how long ago a round began, however it ended; None before the first.

    By the control database's clock; roll-backs and dry runs don't count.
    """
    begun = (
        FederationRound.objects.filter(rollback_of=None)
        .annotate(now=Now())
        .values_list("now", "started_at")
        .first()
    )
    return (begun[0] - begun[1]).total_seconds() if begun else None


def similar_global_patterns(
    embedding: NDArray[np.float32], k: int = 10, *, alias: str = CONTROL_ALIAS
) -> list[GlobalPattern]:
    """The current global patterns nearest to a vector, by HNSW, nearest first.

    For operators' pages and engineers' SQL: approximate, a few milliseconds. TVs are
    answered from memory, exactly. Each comes with its cosine ``distance``.
    """
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        # The index holds older versions too: go on until k of this one are found.
        cursor.execute("SET LOCAL hnsw.iterative_scan = strict_order")
        return list(
            GlobalPattern.objects.using(alias)
            .filter(version=current_version(alias))
            .annotate(distance=CosineDistance("embedding", embedding))
            .order_by("distance")[:k]
        )
