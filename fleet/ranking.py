"""How a TV ranks a catalogue: its own past and what it received, nothing else.

Four kinds of evidence are each brought to the same scale and added up. The links of
what the household itself liked carry nearly all of it; the rest decides between
contents that no link reaches. All figures here were chosen on a split inside the
learned part of MovieLens, never on ratings held out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet.brain import Brain
from fleet.news import Received
from fleet.wire import EMBEDDING_DIMENSIONS, Vector

Scores = NDArray[np.float64]

#: A like fades to 1/e of its weight after so many newer ones.
RECENCY_LIKES = 30.0


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What each kind of evidence counts for; its best content counts one."""

    links: float = 1.0
    similar: float = 0.1
    trends: float = 0.05
    own: float = 0.3


ALONE = Weights(links=0, similar=0, trends=0, own=1)
TRENDS_ONLY = Weights(links=0, similar=0, trends=1, own=0.1)
FEDERATED = Weights()


class Catalogue:
    """What can be watched; row i of ``embeddings`` is ``content_ids[i]``."""

    def __init__(self, content_ids: Sequence[str], embeddings: Vector) -> None:
        self.content_ids = list(content_ids)
        self.embeddings = embeddings
        self._rows = {content_id: row for row, content_id in enumerate(content_ids)}

    def __len__(self) -> int:
        return len(self.content_ids)

    def row(self, content_id: str) -> int | None:
        return self._rows.get(content_id)

    def rows(self, content_ids: Iterable[str]) -> list[int]:
        """Return the rows of those that are in the catalogue."""
        return [self._rows[c] for c in content_ids if c in self._rows]


@dataclass(frozen=True, eq=False)
class Household:
    """The own past, as ranking looks at it."""

    brain: Brain
    #: Of the own patterns, row by row. shape: (n_patterns, 384)
    embeddings: Vector
    #: How often each pattern pleased. shape: (n_patterns,)
    liked: Vector


def scores(
    brain: Brain, received: Received, catalogue: Catalogue, weights: Weights
) -> Scores:
    """Score every content of the catalogue; the more, the better."""
    kinds = (
        (weights.links, _links),
        (weights.similar, _similar),
        (weights.trends, _trends),
        (weights.own, _own),
    )
    household = _household(brain)
    total: Scores = np.zeros(len(catalogue))
    for weight, evidence in kinds:
        if weight:
            total += weight * _scaled(evidence(household, received, catalogue))
    return total


def _household(brain: Brain) -> Household:
    patterns = brain.patterns()
    embeddings = np.zeros((len(patterns), EMBEDDING_DIMENSIONS), np.float32)
    for row, pattern in enumerate(patterns):
        embeddings[row] = pattern.embedding
    liked = np.array([pattern.liked_count for pattern in patterns], np.float32)
    return Household(brain, embeddings, liked)


def _links(household: Household, received: Received, catalogue: Catalogue) -> Scores:
    """Add up the links of the household's own likes, the latest and dearest most."""
    evidence: Scores = np.zeros(len(catalogue))
    likes = household.brain.liked
    newest_first = [content for content in reversed(likes) if content in received.links]
    for age, content_id in enumerate(newest_first):
        enjoyment = likes[content_id].viewing.enjoyment
        weight = enjoyment * np.exp(-age / RECENCY_LIKES)
        for other, strength in received.links[content_id]:
            row = catalogue.row(other)
            if row is not None:
                evidence[row] += weight * strength
    return evidence


def _similar(household: Household, received: Received, catalogue: Catalogue) -> Scores:
    """Add up the contents of global patterns close to one of the own."""
    evidence: Scores = np.zeros(len(catalogue))
    similar = received.similar_embeddings.astype(np.float32)
    cosines = household.embeddings @ similar.T  # shape: (n_patterns, n_similar)
    # The nearest own pattern decides: the average of several tastes is nobody's.
    closeness = (_sharpened(cosines) * household.liked[:, None]).max(axis=0, initial=0)
    closeness *= received.similar_success
    for value, content_ids in zip(closeness, received.similar_content_ids, strict=True):
        for place, row in enumerate(catalogue.rows(content_ids), start=1):
            # The first that a pattern names stands for it best.
            evidence[row] += value / np.sqrt(place)
    return evidence


def _trends(_household: Household, received: Received, catalogue: Catalogue) -> Scores:
    evidence: Scores = np.zeros(len(catalogue))
    for content_id, score in received.trends:
        row = catalogue.row(content_id)
        if row is not None:
            evidence[row] = max(evidence[row], score)
    return evidence


def _own(household: Household, _received: Received, catalogue: Catalogue) -> Scores:
    """Sum the similarity to the household's own patterns."""
    cosines = household.embeddings @ catalogue.embeddings.T
    evidence: Scores = (household.liked @ _sharpened(cosines)).astype(np.float64)
    return evidence


def _sharpened(cosines: Vector) -> Vector:
    """Raise cosines to the fourth power: those of unrelated films are far from zero."""
    squares: Vector = np.square(np.maximum(cosines, 0))
    return np.square(squares)


def _scaled(evidence: Scores) -> Scores:
    best = evidence.max(initial=0.0)
    return evidence / best if best > 0 else evidence
