"""What a TV gets from the publication: cells near its tastes, trends, links.

Nothing here touches a pattern of another TV: the only source is the publication, and
the TV's own patterns only choose from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from federation.kernels.similar import SIMILAR_CELLS, nearest_cells
from federation.publication import LoadedPublication
from patterns.selectors import Tastes
from shards.models import GLOBAL_REGION
from sync.messages import GlobalNews, Links, Trending

TRENDING_LIMIT = 50
LINKED_CONTENTS_LIMIT = 80


def news(publication: LoadedPublication, tastes: Tastes, *, region: str) -> GlobalNews:
    """Choose what to tell a TV of a region with these tastes."""
    rows = similar(publication, tastes)
    return GlobalNews(
        similar=[publication.patterns[row] for row in rows],
        masses=[float(publication.mass[row]) for row in rows],
        trending=trending(publication, region),
        links=links(publication, tastes),
    )


def similar(publication: LoadedPublication, tastes: Tastes) -> list[int]:
    """Choose the rows nearest to each taste; the heaviest for a TV without any."""
    rows: list[int] = nearest_cells(
        tastes.embeddings,
        tastes.weights,
        publication.centroids,
        masses=publication.mass,
        k=SIMILAR_CELLS,
    ).tolist()
    return rows


def trending(publication: LoadedPublication, region: str) -> Sequence[Trending]:
    """List the trends of a region, filled up with those of the whole fleet."""
    chosen: dict[str, Trending] = {}
    for source in dict.fromkeys([region, GLOBAL_REGION]):
        for item, score in publication.trends.get(source, ()):
            if len(chosen) == TRENDING_LIMIT:
                break
            chosen.setdefault(item, Trending(item=item, score=score, region=source))
    return list(chosen.values())


def links(publication: LoadedPublication, tastes: Tastes) -> Sequence[Links]:
    """Give the links of the contents this TV named, its favourites first."""
    weights: defaultdict[str, float] = defaultdict(float)
    for weight, content_ids in zip(
        tastes.weights.tolist(), tastes.content_ids, strict=True
    ):
        for content_id in content_ids:
            if content_id in publication.links:
                weights[content_id] += weight
    favourites = sorted(weights, key=lambda name: (-weights[name], name))
    return [
        Links(content_id=content_id, related=publication.links[content_id])
        for content_id in favourites[:LINKED_CONTENTS_LIMIT]
    ]
