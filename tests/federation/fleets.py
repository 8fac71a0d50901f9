"""Small fleets for tests: TVs whose tastes were planted, stored on given shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from django.utils import timezone
from numpy.typing import NDArray

from federation.models import (
    Bundle,
    BundlePayload,
    FederationRound,
    GlobalPattern,
    Link,
    Publication,
    RoundShard,
    TrainedCodebook,
    Trend,
    TrendHistory,
    TrendShardHistory,
)
from patterns.context import ContentType, DayOfWeek, TimeOfDay
from patterns.models import Item, Pattern
from patterns.vectors import EMBEDDING_DIMENSIONS
from shards.databases import CONTROL_ALIAS
from shards.models import Device, Shard, ShardTally


@dataclass(frozen=True)
class Taste:
    """What many TVs have in common: a direction, contents and a genre."""

    direction: NDArray[np.float32]
    contents: tuple[str, ...]
    genre: str


@dataclass(frozen=True)
class PlantedPattern:
    id: UUID
    embedding: NDArray[np.float32]
    #: Which taste it was drawn from.
    taste: int
    content_ids: tuple[str, ...]
    genre: str
    success_rate: float = 0.9
    sample_count: int = 10


@dataclass(frozen=True)
class PlantedTV:
    id: UUID
    region: str = "north"
    batch_id: int = 1
    patterns: tuple[PlantedPattern, ...] = ()
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Fleet:
    tvs: tuple[PlantedTV, ...]
    tastes: tuple[Taste, ...] = ()
    reported_at: datetime = field(default_factory=timezone.now)

    def changed(self, **changes: Any) -> Fleet:
        """The same TVs, each with the given fields."""
        return replace(self, tvs=tuple(replace(tv, **changes) for tv in self.tvs))


def plant(
    *,
    tv_count: int,
    taste_count: int = 4,
    patterns_per_tv: int = 2,
    spread: float = 0.4,
    seed: int = 1,
) -> Fleet:
    """Draw TVs, each with some of the tastes, one pattern a taste.

    ``spread`` is the length of the noise against a direction of length 1.
    """
    rng = np.random.default_rng(seed)
    tastes = tuple(
        Taste(
            direction=_unit(rng.standard_normal(EMBEDDING_DIMENSIONS)),
            contents=tuple(f"film-{number}-{letter}" for letter in "abcdef"),
            genre=f"genre {number}",
        )
        for number in range(taste_count)
    )
    tvs = []
    for _ in range(tv_count):
        chosen = rng.choice(taste_count, size=patterns_per_tv, replace=False)
        tvs.append(
            PlantedTV(
                id=UUID(bytes=rng.bytes(16)),
                batch_id=1 + int(rng.integers(3)),
                region=("north", "south")[int(rng.integers(2))],
                patterns=tuple(
                    draw(tastes[taste], taste, rng, spread) for taste in chosen.tolist()
                ),
            )
        )
    return Fleet(tvs=tuple(tvs), tastes=tastes)


def draw(
    taste: Taste, number: int, rng: np.random.Generator, spread: float = 0.4
) -> PlantedPattern:
    noise = _unit(rng.standard_normal(EMBEDDING_DIMENSIONS))
    contents = rng.choice(taste.contents, size=3, replace=False)
    return PlantedPattern(
        id=UUID(bytes=rng.bytes(16)),
        embedding=_unit(taste.direction + spread * noise),
        taste=number,
        content_ids=tuple(contents.tolist()),
        genre=taste.genre,
        success_rate=float(rng.uniform(0.8, 1.0)),
        sample_count=int(rng.integers(1, 30)),
    )


def make_shards(count: int, *, region: str = "global") -> list[Shard]:
    return Shard.objects.bulk_create(
        Shard(id=number, name=f"star {number}", region=region, max_devices=1_000)
        for number in range(count)
    )


def store(fleet: Fleet, shards: Sequence[Shard]) -> None:
    """Deal the TVs out to the shards, one after the other."""
    for position, shard in enumerate(shards):
        dealt = fleet.tvs[position :: len(shards)]
        Device.objects.using(shard.alias).bulk_create(
            Device(
                id=tv.id,
                batch_id=tv.batch_id,
                region=tv.region,
                enrolled_at=fleet.reported_at,
                revoked_at=tv.revoked_at,
            )
            for tv in dealt
        )
        patterns = Pattern.objects.using(shard.alias).bulk_create(
            Pattern(
                device_id=tv.id,
                pattern_id=pattern.id,
                embedding=pattern.embedding,
                success_rate=pattern.success_rate,
                sample_count=pattern.sample_count,
                time_of_day=TimeOfDay.EVENING,
                day_of_week=DayOfWeek.SATURDAY,
                content_type=ContentType.MOVIE,
                genre_hints=[pattern.genre],
                content_ids=list(pattern.content_ids),
                reported_at=fleet.reported_at,
            )
            for tv in dealt
            for pattern in tv.patterns
        )
        ShardTally.objects.using(shard.alias).update_or_create(
            slot=0,
            defaults={"device_count": len(dealt), "pattern_count": len(patterns)},
        )


def wipe_tvs() -> None:
    for shard in Shard.objects.all():
        for model in (Pattern, Device, ShardTally):
            model.objects.using(shard.alias).all().delete()


def wipe() -> None:
    """Empty all databases of TVs, rounds and publications."""
    wipe_tvs()
    for alias in [CONTROL_ALIAS, *(shard.alias for shard in Shard.objects.all())]:
        for published in (
            *(GlobalPattern, Trend, Link, Publication),
            *(Bundle, BundlePayload, Item),
        ):
            published.objects.using(alias).all().delete()
    for told in (
        TrendHistory,
        TrendShardHistory,
        RoundShard,
        FederationRound,
        TrainedCodebook,
        Shard,
    ):
        told.objects.all().delete()


def _unit(vector: NDArray[np.floating]) -> NDArray[np.float32]:
    return (vector / np.linalg.norm(vector)).astype(np.float32)
