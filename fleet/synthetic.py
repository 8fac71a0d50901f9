"""A fleet out of nothing: seeded households with tastes, habits and a bit of noise.

What is in it was planted, so a test can ask whether it was found: which cluster each
content belongs to, which content starts rising in which region and when, and one
content that everyone has always watched and that is therefore no trend.

Everything a household watches in a round follows from the seed, the household's
number and the round alone: replaying it gives the same viewings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fleet.brain import Viewing
from fleet.ranking import Catalogue
from fleet.wire import EMBEDDING_DIMENSIONS, Vector

#: How close a cluster's centre is to the direction that all embeddings share (those of
#: sentence models do), and content to its cluster's centre. Two contents of a cluster
#: then have a cosine of 0.77, two of different clusters 0.27; real films of one series
#: have 0.8, and any two 0.38.
CENTRE_COSINE = 0.6
CONTENT_COSINE = 0.88

TASTES_PER_HOUSEHOLD = (2, 4)
VIEWINGS_PER_ROUND = (6, 12)

#: One viewing in so many is of a cluster the household has no taste for.
STRAY_FRACTION = 0.08
LIKED_IF_TASTE = 0.95
LIKED_IF_STRAY = 0.2

ZIPF_EXPONENT = 1.0

#: The popular content: watched by this share of households, in every round.
POPULAR_FRACTION = 0.5
#: A planted trend reaches this share of its region's households in its first round,
#: and so much more in every round after.
TREND_START_FRACTION = 0.25
TREND_GROWTH_FRACTION = 0.15
TREND_PEAK_FRACTION = 0.7

#: Rounds are an evening apart, so that contexts differ.
ROUND_INTERVAL = timedelta(days=1)
FIRST_ROUND_AT = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday

GENRES = (
    "thriller",
    "comedy",
    "nature",
    "football",
    "cooking",
    "science fiction",
    "crime",
    "romance",
    "history",
    "animation",
    "western",
    "jazz",
)
CONTENT_TYPES = ("movie", "series", "documentary", "sports", "kids", "music")

#: Titles are a mood and a thing, with a number where they repeat.
MOODS = (
    "Silent",
    "Golden",
    "Northern",
    "Hidden",
    "Restless",
    "Distant",
    "Paper",
    "Electric",
    "Winter",
    "Second",
    "Crooked",
    "Velvet",
    "Burning",
)
THINGS = (
    "Harbour",
    "Orchard",
    "Signal",
    "Kingdom",
    "Kitchen",
    "Meridian",
    "Letters",
    "Tide",
    "Garden",
    "Engine",
    "Parade",
)


@dataclass(frozen=True, kw_only=True)
class Content:
    content_id: str
    title: str
    #: Its planted cluster; -1 for what was planted to be popular or to rise.
    cluster: int
    embedding: Vector
    genres: tuple[str, ...]
    content_type: str


@dataclass(frozen=True, kw_only=True)
class PlantedTrend:
    content: Content
    region: str
    #: The round in which it starts; nobody watches it before.
    starts_in_round: int

    def reach(self, round_number: int) -> float:
        """Return the share of the region's households that watch it in a round."""
        age = round_number - self.starts_in_round
        if age < 0:
            return 0.0
        return min(
            TREND_START_FRACTION + age * TREND_GROWTH_FRACTION, TREND_PEAK_FRACTION
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to plant."""

    seed: int = 0
    households: int = 500
    clusters: int = 24
    contents_per_cluster: int = 40
    regions: tuple[str, ...] = ("global",)
    trends_start_in_round: int = 3

    def __post_init__(self) -> None:
        if self.clusters < TASTES_PER_HOUSEHOLD[1]:
            raise ValueError(
                f"{self.clusters} clusters are too few: a household has up to "
                f"{TASTES_PER_HOUSEHOLD[1]} tastes."
            )


class SyntheticFleet:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        rng = np.random.default_rng((plan.seed, 0))
        common = _unit(rng.standard_normal(EMBEDDING_DIMENSIONS))
        #: The directions that were planted. shape: (n_clusters, 384)
        self.centres: Vector = np.stack(
            [_around(common, rng, cosine=CENTRE_COSINE) for _ in range(plan.clusters)]
        )
        self.contents = [
            _content(cluster, number, self.centres[cluster], rng)
            for cluster in range(plan.clusters)
            for number in range(plan.contents_per_cluster)
        ]
        self.popular = _planted("popular", "The Evening Report", common, rng)
        self.trends = tuple(
            PlantedTrend(
                content=_planted(f"rising-{region}", f"Rising {region}", common, rng),
                region=region,
                starts_in_round=plan.trends_start_in_round,
            )
            for region in plan.regions
        )
        ranks = np.arange(1, plan.contents_per_cluster + 1)
        weights = ranks**-ZIPF_EXPONENT
        self._zipf = weights / weights.sum()

    @cached_property
    def catalogue(self) -> Catalogue:
        every = self.everything
        embeddings = np.stack([content.embedding for content in every])
        return Catalogue([content.content_id for content in every], embeddings)

    @property
    def everything(self) -> list[Content]:
        return [*self.contents, self.popular, *(t.content for t in self.trends)]

    def region(self, household: int) -> str:
        return self.plan.regions[household % len(self.plan.regions)]

    def tastes(self, household: int) -> list[int]:
        """Return the clusters a household has a taste for, the dearest first."""
        rng = np.random.default_rng((self.plan.seed, 1, household))
        low, high = TASTES_PER_HOUSEHOLD
        count = int(rng.integers(low, high + 1))
        chosen = rng.choice(self.plan.clusters, size=count, replace=False)
        return [int(cluster) for cluster in chosen]

    def viewings(self, household: int, round_number: int) -> list[Viewing]:
        """Return what a household watched in a round, in the order it did."""
        rng = np.random.default_rng((self.plan.seed, 2, household, round_number))
        tastes = self.tastes(household)
        low, high = VIEWINGS_PER_ROUND
        watched = [
            self._ordinary_viewing(tastes, round_number, rng)
            for _ in range(int(rng.integers(low, high + 1)))
        ]
        # Drawn whether it airs or not: planting a trend changes nothing else.
        drawn = rng.random(1 + len(self.trends))
        if drawn[0] < POPULAR_FRACTION:
            watched.append(_watched(self.popular, round_number, 19, is_liked=True))
        for trend, draw in zip(self.trends, drawn[1:], strict=True):
            is_here = trend.region == self.region(household)
            if is_here and draw < trend.reach(round_number):
                watched.append(_watched(trend.content, round_number, 20, is_liked=True))
        return sorted(watched, key=lambda viewing: viewing.watched_at)

    def nearest_cluster(self, embeddings: Vector) -> NDArray[np.int64]:
        """Return the planted cluster that each row points at most."""
        nearest: NDArray[np.int64] = (embeddings @ self.centres.T).argmax(axis=1)
        return nearest

    def _ordinary_viewing(
        self, tastes: Sequence[int], round_number: int, rng: np.random.Generator
    ) -> Viewing:
        if rng.random() < STRAY_FRACTION:
            cluster = int(rng.integers(self.plan.clusters))
        else:
            # The first taste is as dear as all that follow it: 1, 1/2, 1/3…
            dear = 1 / np.arange(1, len(tastes) + 1)
            cluster = int(rng.choice(tastes, p=dear / dear.sum()))
        rank = int(rng.choice(self.plan.contents_per_cluster, p=self._zipf))
        content = self.contents[cluster * self.plan.contents_per_cluster + rank]
        liked = LIKED_IF_TASTE if cluster in tastes else LIKED_IF_STRAY
        return _watched(
            content,
            round_number,
            # Each taste has its hour: breakfast news, a thriller at night.
            hour=6 + cluster * 5 % 17,
            is_liked=bool(rng.random() < liked),
        )


def _watched(
    content: Content, round_number: int, hour: int, *, is_liked: bool
) -> Viewing:
    return Viewing(
        content_id=content.content_id,
        embedding=content.embedding,
        is_liked=is_liked,
        watched_at=FIRST_ROUND_AT
        + round_number * ROUND_INTERVAL
        + timedelta(hours=hour),
        genres=content.genres,
        content_type=content.content_type,
    )


def _content(
    cluster: int, number: int, centre: Vector, rng: np.random.Generator
) -> Content:
    serial = cluster * 1009 + number * 7
    mood = MOODS[serial % len(MOODS)]
    thing = THINGS[serial // len(MOODS) % len(THINGS)]
    return Content(
        content_id=f"syn-{cluster:03}-{number:03}",
        title=f"{mood} {thing} {cluster}.{number}",
        cluster=cluster,
        embedding=_around(centre, rng, cosine=CONTENT_COSINE),
        genres=(
            GENRES[cluster % len(GENRES)],
            GENRES[(cluster * 5 + 3) % len(GENRES)],
        ),
        content_type=CONTENT_TYPES[cluster % len(CONTENT_TYPES)],
    )


def _planted(
    name: str, title: str, common: Vector, rng: np.random.Generator
) -> Content:
    return Content(
        content_id=f"syn-{name}",
        title=title,
        cluster=-1,
        embedding=_around(common, rng, cosine=CENTRE_COSINE),
        genres=("news",),
        content_type="other",
    )


def _around(centre: Vector, rng: np.random.Generator, *, cosine: float) -> Vector:
    """Return a random unit vector at about this cosine from ``centre``."""
    # In 384 dimensions a random direction is all but orthogonal to any other.
    astray = _unit(rng.standard_normal(EMBEDDING_DIMENSIONS))
    return _unit(cosine * centre + np.sqrt(1 - cosine**2) * astray)


def _unit(vector: NDArray[np.floating]) -> Vector:
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
