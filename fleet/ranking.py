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
from fleet.wire import Received, Vector

Scores = NDArray[np.float64]

#: A like fades to 1/e of its weight after so many newer ones.
RECENCY_LIKES = 80.0

#: Cosines between unrelated films are far from zero; powers push them there.
SIMILARITY_POWER = 4


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What each kind of evidence counts for; its best content counts one."""

    links: float = 1.0
    similar: float = 0.1
    trends: float = 0.1
    own: float = 0.1


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
    total: Scores = np.zeros(len(catalogue))
    for weight, evidence in kinds:
        if weight:
            total += weight * _scaled(evidence(brain, received, catalogue))
    return total


def _links(brain: Brain, received: Received, catalogue: Catalogue) -> Scores:
    """Add up the links of the household's own likes, the latest and dearest most."""
    evidence: Scores = np.zeros(len(catalogue))
    newest_first = [c for c in reversed(brain.liked) if c in received.links]
    for age, content_id in enumerate(newest_first):
        enjoyment = brain.liked[content_id].viewing.enjoyment
        weight = enjoyment * np.exp(-age / RECENCY_LIKES)
        for other, strength in received.links[content_id]:
            row = catalogue.row(other)
            if row is not None:
                evidence[row] += weight * strength
    return evidence


def _similar(brain: Brain, received: Received, catalogue: Catalogue) -> Scores:
    """Add up the contents of global patterns close to one of the own."""
    evidence: Scores = np.zeros(len(catalogue))
    patterns = brain.patterns()
    if not patterns or not received.similar_content_ids:
        return evidence

    own = np.stack([pattern.embedding for pattern in patterns])
    liked = np.array([pattern.liked_count for pattern in patterns])
    cosines = own @ received.similar_embeddings.astype(np.float32).T
    # The nearest own pattern decides: the average of several tastes is nobody's.
    closeness = (_sharpened(cosines) * liked[:, None]).max(axis=0)
    closeness *= received.similar_success
    for value, content_ids in zip(closeness, received.similar_content_ids, strict=True):
        for place, row in enumerate(catalogue.rows(content_ids), start=1):
            # The first that a pattern names stands for it best.
            evidence[row] += value / np.sqrt(place)
    return evidence


def _trends(_brain: Brain, received: Received, catalogue: Catalogue) -> Scores:
    evidence: Scores = np.zeros(len(catalogue))
    for content_id, score in received.trends:
        row = catalogue.row(content_id)
        if row is not None:
            evidence[row] = max(evidence[row], score)
    return evidence


def _own(brain: Brain, _received: Received, catalogue: Catalogue) -> Scores:
    """Sum the similarity to the household's own patterns."""
    patterns = brain.patterns()
    if not patterns:
        return np.zeros(len(catalogue))
    own = np.stack([pattern.embedding for pattern in patterns])
    liked = np.array([pattern.liked_count for pattern in patterns])
    evidence: Scores = liked @ _sharpened(own @ catalogue.embeddings.T)
    return evidence


def _sharpened(cosines: Vector) -> Scores:
    sharp: Scores = np.clip(cosines, 0, 1).astype(np.float64) ** SIMILARITY_POWER
    return sharp


def _scaled(evidence: Scores) -> Scores:
    best = evidence.max(initial=0.0)
    return evidence / best if best > 0 else evidence
