"""What a TV gets from the publication: cells near its tastes, trends, links.

Nothing here touches a pattern of another TV: the only source is the publication, and
the TV's own patterns only choose from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.kernels.similar import SIMILAR_CELLS, nearest_cells_of_each
from federation.publication import LoadedPublication
from patterns.selectors import Tastes
from shards.models import GLOBAL_REGION
from sync.messages import GlobalNews

TRENDING_LIMIT = 50
LINKED_CONTENTS_LIMIT = 80


@dataclass(frozen=True, kw_only=True)
class Trending:
    #: A content id, or ``genre:`` and a genre.
    item: str
    score: float
    region: str


def news(
    publication: LoadedPublication,
    tastes: Tastes,
    *,
    similar: NDArray[np.int64],
    region: str,
) -> GlobalNews:
    """Choose what to tell a TV of a region with these tastes, besides ``similar``."""
    weights = named(tastes)
    return GlobalNews(
        publication=publication,
        similar=similar,
        region=region,
        linked=linked(publication, weights),
        named=weights.keys(),
    )


def similar(
    publication: LoadedPublication, tastes: Sequence[Tastes]
) -> list[NDArray[np.int64]]:
    """Choose for each of some TVs the rows nearest to its tastes.

    The heaviest for a TV without any.
    """
    return nearest_cells_of_each(
        [each.embeddings for each in tastes],
        [each.weights for each in tastes],
        publication.centroids,
        masses=publication.mass,
        k=SIMILAR_CELLS,
    )


def trending(publication: LoadedPublication, region: str) -> Sequence[Trending]:
    """List the trends of a region, filled up with those of the whole fleet."""
    chosen: dict[str, Trending] = {}
    for source in dict.fromkeys([region, GLOBAL_REGION]):
        for item, score in publication.trends.get(source, ()):
            if len(chosen) == TRENDING_LIMIT:
                break
            chosen.setdefault(item, Trending(item=item, score=score, region=source))
    return list(chosen.values())


def named(tastes: Tastes) -> dict[str, float]:
    """Weigh the contents that a TV named."""
    weights: defaultdict[str, float] = defaultdict(float)
    for weight, content_ids in zip(
        tastes.weights.tolist(), tastes.content_ids, strict=True
    ):
        for content_id in content_ids:
            weights[content_id] += weight
    return weights


def linked(publication: LoadedPublication, weights: dict[str, float]) -> Sequence[str]:
    """List the named contents that lead on to others, the TV's favourites first."""
    leading = weights.keys() & publication.links.keys()
    favourites = sorted(leading, key=lambda name: (-weights[name], name))
    return favourites[:LINKED_CONTENTS_LIMIT]
