"""The reference brain: what a household watched becomes a handful of tastes.

A household has several tastes, and their average is nobody's taste. So liked content
is gathered into small groups by direction (spherical, cosine): it joins the nearest
taste that is close enough or founds one, and a taste that names more content than a
pattern can carry is split in two. Tastes keep their identity while they grow, so that
a sync tells only what changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

import numpy as np

from fleet.wire import Context, LearnedPattern, Vector

#: What a pattern can name; a larger taste is split.
CONTENT_IDS_PER_PATTERN = 8

#: Liked content that a household still stands for; older likes fade from its tastes.
#: Chosen by lift: links learned from the latest 128 serve better than from all.
LIKED_REMEMBERED = 128

#: Disliked content that still speaks against a taste.
DISLIKED_REMEMBERED = 1024

#: Content closer than this to a taste belongs to it. Two random films of the
#: embedding space have a cosine of 0.38 on average, 0.54 in one pair of twenty.
JOIN_COSINE = 0.5

#: Disliked content speaks against the nearest taste if it is as close as this, about
#: the middle of the members of a wide taste. Chosen by lift: further out there is much
#: that is disliked around everything that is liked, and no taste would be told.
AGAINST_COSINE = 0.8

#: A pattern that pleases less often isn't worth telling; servers drop it anyway.
WORTH_TELLING_SUCCESS = 0.7

GENRE_HINTS_PER_PATTERN = 3

#: A circumstance is worth naming when it holds for at least half of the viewings.
CONTEXT_MAJORITY = 0.5

SPLIT_ITERATIONS = 8

#: The first hour of each part of the day; the night before five is late.
DAY_PARTS = (
    (5, "early_morning"),
    (8, "morning"),
    (12, "afternoon"),
    (17, "evening"),
    (21, "night"),
)
DAYS = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Viewing:
    """Something was watched, and liked or not."""

    content_id: str
    #: Unit length.
    embedding: Vector
    is_liked: bool
    #: How much it was liked, for the household's own ranking: 1 is liked, 2 loved.
    enjoyment: float = 1.0
    watched_at: datetime
    genres: tuple[str, ...] = ()
    content_type: str | None = None


@dataclass(eq=False)
class Memory:
    """One liked content: its latest viewing, and the circumstances of all."""

    viewing: Viewing
    times: int = 0
    day_parts: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)

    def add(self, viewing: Viewing) -> None:
        self.viewing = viewing
        self.times += 1
        self.day_parts[day_part(viewing.watched_at)] += 1
        self.days[DAYS[viewing.watched_at.weekday()]] += 1


@dataclass(eq=False)
class Taste:
    id: UUID
    members: list[str]
    centre: Vector


class Brain:
    """Learns one household's tastes, one viewing after the other."""

    def __init__(self, *, household_id: UUID) -> None:
        self.household_id = household_id
        #: Liked content, the latest last.
        self.liked: dict[str, Memory] = {}
        self.watched: set[str] = set()
        self._disliked: dict[str, Vector] = {}
        self._tastes: list[Taste] = []
        self._tastes_founded = 0

    def watch(self, viewings: Iterable[Viewing]) -> None:
        for viewing in viewings:
            self.watched.add(viewing.content_id)
            if viewing.is_liked:
                self._like(viewing)
            else:
                self._dislike(viewing)

    def patterns(self) -> list[LearnedPattern]:
        """Return the tastes worth telling, the largest first."""
        against = self._views_against()
        learned = [
            self._pattern(taste, against=count)
            for taste, count in zip(self._tastes, against, strict=True)
        ]
        worth = [p for p in learned if p.success_rate >= WORTH_TELLING_SUCCESS]
        return sorted(worth, key=lambda p: -p.watched_count)

    def _like(self, viewing: Viewing) -> None:
        self._disliked.pop(viewing.content_id, None)
        memory = self.liked.pop(viewing.content_id, None)
        is_new = memory is None
        memory = memory or Memory(viewing)
        memory.add(viewing)
        self.liked[viewing.content_id] = memory  # now the latest
        if is_new:
            self._join(viewing.content_id)
        if len(self.liked) > LIKED_REMEMBERED:
            self._forget(next(iter(self.liked)))

    def _dislike(self, viewing: Viewing) -> None:
        if viewing.content_id in self.liked:
            self._forget(viewing.content_id)
        self._disliked.pop(viewing.content_id, None)
        self._disliked[viewing.content_id] = viewing.embedding
        if len(self._disliked) > DISLIKED_REMEMBERED:
            del self._disliked[next(iter(self._disliked))]

    def _join(self, content_id: str) -> None:
        nearest = self._nearest_taste(self.liked[content_id].viewing.embedding)
        if nearest is None:
            self._tastes.append(self._found([content_id]))
            return

        nearest.members.append(content_id)
        if len(nearest.members) > CONTENT_IDS_PER_PATTERN:
            larger, smaller = self._split(nearest.members)
            nearest.members = larger
            self._tastes.append(self._found(smaller))
        nearest.centre = self._centre(nearest.members)

    def _forget(self, content_id: str) -> None:
        del self.liked[content_id]
        taste = next(t for t in self._tastes if content_id in t.members)
        taste.members.remove(content_id)
        if taste.members:
            taste.centre = self._centre(taste.members)
        else:
            self._tastes.remove(taste)

    def _nearest_taste(self, embedding: Vector) -> Taste | None:
        if not self._tastes:
            return None
        cosines = self._centres() @ embedding
        nearest = int(cosines.argmax())
        return self._tastes[nearest] if cosines[nearest] >= JOIN_COSINE else None

    def _found(self, members: list[str]) -> Taste:
        self._tastes_founded += 1
        # Counted, not drawn: a household that replays its past gets the same ids.
        taste_id = uuid5(self.household_id, f"taste {self._tastes_founded}")
        return Taste(taste_id, members, self._centre(members))

    def _split(self, members: list[str]) -> tuple[list[str], list[str]]:
        """Part the members in two by direction, the larger part first."""
        labels = two_means(self._embeddings(members))
        parts: tuple[list[str], list[str]] = ([], [])
        for member, label in zip(members, labels, strict=True):
            parts[label].append(member)
        first, second = sorted(parts, key=len, reverse=True)
        return first, second

    def _views_against(self) -> list[int]:
        """Count the disliked contents within reach of each taste."""
        counts = np.zeros(len(self._tastes), np.int64)
        if not self._tastes or not self._disliked:
            return [int(count) for count in counts]

        cosines = np.stack(list(self._disliked.values())) @ self._centres().T
        within = cosines.max(axis=1) >= AGAINST_COSINE
        np.add.at(counts, cosines.argmax(axis=1)[within], 1)
        return [int(count) for count in counts]

    def _pattern(self, taste: Taste, *, against: int) -> LearnedPattern:
        memories = [self.liked[content_id] for content_id in taste.members]
        liked_count = sum(memory.times for memory in memories)
        return LearnedPattern(
            id=taste.id,
            embedding=taste.centre,
            watched_count=liked_count + against,
            liked_count=liked_count,
            context=_context(memories),
            content_ids=tuple(taste.members),
        )

    def _embeddings(self, content_ids: Sequence[str]) -> Vector:
        return np.stack([self.liked[c].viewing.embedding for c in content_ids])

    def _centres(self) -> Vector:
        return np.stack([taste.centre for taste in self._tastes])

    def _centre(self, members: Sequence[str]) -> Vector:
        return _unit(self._embeddings(members).sum(axis=0))


def two_means(embeddings: Vector) -> list[int]:
    """Part unit vectors in two groups by direction; neither is empty.

    Starts from the two that point furthest apart, so nothing is left to chance.
    """
    cosines = embeddings @ embeddings.T
    seeds = np.unravel_index(int(cosines.argmin()), cosines.shape)
    labels = cosines[:, list(seeds)].argmax(axis=1)
    if labels.min() == labels.max():
        # All alike: any halves do.
        return [i % 2 for i in range(len(embeddings))]

    for _ in range(SPLIT_ITERATIONS):
        centres = np.stack([_unit(embeddings[labels == k].sum(axis=0)) for k in (0, 1)])
        moved = (embeddings @ centres.T).argmax(axis=1)
        if moved.min() == moved.max() or (moved == labels).all():
            break
        labels = moved
    return [int(label) for label in labels]


def day_part(moment: datetime) -> str:
    name = "late_night"
    for first_hour, part in DAY_PARTS:
        if moment.hour >= first_hour:
            name = part
    return name


def _context(memories: Sequence[Memory]) -> Context:
    day_parts: Counter[str] = Counter()
    days: Counter[str] = Counter()
    types: Counter[str] = Counter()
    genres: Counter[str] = Counter()
    for memory in memories:
        day_parts += memory.day_parts
        days += memory.days
        genres.update(memory.viewing.genres)
        if memory.viewing.content_type is not None:
            types[memory.viewing.content_type] += 1
    return Context(
        time_of_day=_majority(day_parts),
        day_of_week=_majority(days) or _majority(_halves_of_week(days)),
        content_type=_majority(types),
        genre_hints=tuple(g for g, _ in genres.most_common(GENRE_HINTS_PER_PATTERN)),
    )


def _majority(counts: Counter[str]) -> str | None:
    if not counts:
        return None
    name, count = counts.most_common(1)[0]
    return name if count >= CONTEXT_MAJORITY * counts.total() else None


def _halves_of_week(days: Counter[str]) -> Counter[str]:
    halves: Counter[str] = Counter()
    for day, count in days.items():
        halves["weekend" if day in DAYS[5:] else "weekday"] += count
    return halves


def _unit(vector: Vector) -> Vector:
    unit: Vector = vector / np.linalg.norm(vector)
    return unit
