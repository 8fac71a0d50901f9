"""Read a MovieLens folder: its users become TVs, its ratings viewings.

The folder holds ``ratings.csv`` and ``movies.csv`` as GroupLens publishes them
("ml-latest-small") and ``embeddings.npy``, whose row i is the embedding of row i of
``movies.csv``. The data are not ours to distribute: the operator brings them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fleet.brain import Viewing
from fleet.ranking import Catalogue
from fleet.wire import EMBEDDING_DIMENSIONS, Vector

RATINGS, MOVIES, EMBEDDINGS = "ratings.csv", "movies.csv", "embeddings.npy"

#: Stars from which on a film was liked.
LIKED_STARS = 4.0

LEARNED_FRACTION = 0.8

#: Whoever learned or kept back less is a TV all the same, but isn't scored.
LEARNED_AT_LEAST = 15
HELD_OUT_LIKED_AT_LEAST = 3

GENRE_LENGTH = 32


class DatasetError(Exception):
    """The folder isn't what its reader expects."""


@dataclass(frozen=True)
class User:
    user_id: int
    #: In time order.
    viewings: tuple[Viewing, ...]


@dataclass(frozen=True)
class Dataset:
    catalogue: Catalogue
    users: tuple[User, ...]


@dataclass(frozen=True)
class Split:
    """What a TV learns from, and the liked contents it should then find."""

    user_id: int
    learned: tuple[Viewing, ...]
    held_out_liked: frozenset[str]

    @property
    def is_scored(self) -> bool:
        return (
            len(self.learned) >= LEARNED_AT_LEAST
            and len(self.held_out_liked) >= HELD_OUT_LIKED_AT_LEAST
        )


def read(folder: Path) -> Dataset:
    for name in (RATINGS, MOVIES, EMBEDDINGS):
        if not (folder / name).is_file():
            raise DatasetError(
                f"{folder / name} is missing: a MovieLens folder holds {RATINGS}, "
                f"{MOVIES} and {EMBEDDINGS} (row i for row i of {MOVIES})."
            )

    films = _films(folder)
    embeddings = _embeddings(folder / EMBEDDINGS, n_films=len(films))
    rows = {movie_id: row for row, (movie_id, _) in enumerate(films)}
    by_user: dict[int, list[tuple[int, int, float]]] = {}
    for user_id, movie_id, stars, moment in _ratings(folder):
        if movie_id not in rows:
            raise DatasetError(f"{RATINGS} rates film {movie_id}, not in {MOVIES}.")
        by_user.setdefault(user_id, []).append((moment, rows[movie_id], stars))

    content_ids = [f"ml-{movie_id}" for movie_id, _ in films]

    def viewing(moment: int, row: int, stars: float) -> Viewing:
        return Viewing(
            content_id=content_ids[row],
            embedding=embeddings[row],
            is_liked=stars >= LIKED_STARS,
            enjoyment=max(stars - LIKED_STARS + 1, 0.0),  # 4 stars: 1, 5 stars: 2
            watched_at=datetime.fromtimestamp(moment, UTC),
            genres=films[row][1],
            content_type="movie",
        )

    return Dataset(
        catalogue=Catalogue(content_ids, embeddings),
        users=tuple(
            User(user_id, tuple(viewing(*rating) for rating in sorted(ratings)))
            for user_id, ratings in sorted(by_user.items())
        ),
    )


def split(viewings: Sequence[Viewing], *, user_id: int) -> Split:
    """Part a user's past in time order: the first four fifths are learned."""
    cut = int(len(viewings) * LEARNED_FRACTION)
    return Split(
        user_id=user_id,
        learned=tuple(viewings[:cut]),
        held_out_liked=frozenset(v.content_id for v in viewings[cut:] if v.is_liked),
    )


def splits(dataset: Dataset, *, is_rehearsal: bool = False) -> list[Split]:
    """Split every user.

    A rehearsal splits only what would have been learned: parameters are chosen
    there, so that the ratings held out for the performance stay unseen.
    """
    whole = [split(user.viewings, user_id=user.user_id) for user in dataset.users]
    if not is_rehearsal:
        return whole
    return [split(each.learned, user_id=each.user_id) for each in whole]


def _films(folder: Path) -> list[tuple[int, tuple[str, ...]]]:
    return [
        (int(row["movieId"]), _genres(row["genres"]))
        for row in _rows(folder / MOVIES, ("movieId", "genres"))
    ]


def _ratings(folder: Path) -> Iterator[tuple[int, int, float, int]]:
    for row in _rows(folder / RATINGS, ("userId", "movieId", "rating", "timestamp")):
        yield (
            int(row["userId"]),
            int(row["movieId"]),
            float(row["rating"]),
            int(row["timestamp"]),
        )


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        lacking = set(columns) - set(reader.fieldnames or ())
        if lacking:
            raise DatasetError(
                f"{path} lacks the columns {', '.join(sorted(lacking))}."
            )
        yield from reader


def _genres(field: str) -> tuple[str, ...]:
    if field == "(no genres listed)":
        return ()
    return tuple(genre.lower()[:GENRE_LENGTH] for genre in field.split("|"))


def _embeddings(path: Path, *, n_films: int) -> Vector:
    embeddings = np.load(path, allow_pickle=False).astype(np.float32)
    expected = (n_films, EMBEDDING_DIMENSIONS)
    if embeddings.shape != expected:
        raise DatasetError(
            f"{path} has shape {embeddings.shape}; {MOVIES} asks for {expected}."
        )
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise DatasetError(f"{path} has an embedding without a direction.")
    unit: Vector = embeddings / lengths
    return unit
