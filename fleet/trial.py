"""Grade TVs on what they would have liked next: alone, with help, and ideally."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fleet import lift, ranking
from fleet.brain import Brain
from fleet.lift import Floats
from fleet.movielens import Split
from fleet.news import Received
from fleet.ranking import Catalogue, Weights

#: The ways a TV can rank by itself, by their names in reports.
WAYS: dict[str, Weights] = {
    "ndcg_alone": ranking.ALONE,
    "ndcg_trends": ranking.TRENDS_ONLY,
    "ndcg_federated": ranking.FEDERATED,
}


@dataclass(frozen=True)
class Contestant:
    """A TV at the end of its trial."""

    split: Split
    brain: Brain
    received: Received


@dataclass(frozen=True, kw_only=True)
class Lift:
    """NDCG@10, averaged over the users that are scored."""

    users: int
    ndcg_alone: float
    ndcg_trends: float
    ndcg_federated: float
    #: Item-kNN with everyone's likes in one place.
    ndcg_centralised: float
    #: EASE^R, likewise.
    ndcg_ease: float


def grade(
    contestants: Sequence[Contestant],
    catalogue: Catalogue,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Lift:
    """Grade all that can be; ``advance`` is called after each."""
    scored = [c for c in contestants if c.split.is_scored]
    if not scored:
        raise ValueError("No user learned and kept back enough to be scored.")

    grades: dict[str, list[float]] = {way: [] for way in WAYS}
    for contestant in scored:
        for way, weights in WAYS.items():
            scores = ranking.scores(
                contestant.brain, contestant.received, catalogue, weights
            )
            grades[way].append(_grade(scores, contestant.split, catalogue))
        advance()

    likes = _likes(contestants, catalogue)
    rows = np.array([i for i, c in enumerate(contestants) if c.split.is_scored])
    splits = [contestant.split for contestant in scored]
    return Lift(
        users=len(scored),
        **{way: float(np.mean(values)) for way, values in grades.items()},
        ndcg_centralised=_mean_grade(lift.item_knn(likes, rows), splits, catalogue),
        ndcg_ease=_mean_grade(lift.ease(likes, rows), splits, catalogue),
    )


def _grade(scores: Floats, split: Split, catalogue: Catalogue) -> float:
    return lift.ndcg(
        scores,
        relevant=set(catalogue.rows(split.held_out_liked)),
        seen=catalogue.rows({viewing.content_id for viewing in split.learned}),
    )


def _mean_grade(scores: Floats, splits: Sequence[Split], catalogue: Catalogue) -> float:
    grades = [_grade(*pair, catalogue) for pair in zip(scores, splits, strict=True)]
    return float(np.mean(grades))


def _likes(contestants: Sequence[Contestant], catalogue: Catalogue) -> Floats:
    likes = np.zeros((len(contestants), len(catalogue)))
    for row, contestant in enumerate(contestants):
        liked = [v.content_id for v in contestant.split.learned if v.is_liked]
        likes[row, catalogue.rows(liked)] = 1
    return likes
