"""Compact replies: ordinals, codes, and never more than 5,120 bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation.v1 import sync_pb2
from federation.bundles.messages import items_of
from federation.codebooks import Codebooks
from federation.publication import LoadedPublication, of_result
from federation.result import ResultLinks, ResultPattern, ResultTrend, RoundResult
from federation.selectors import Pointer
from patterns.delta import Accepted
from patterns.items import ItemTable
from sync import protobuf_wire
from sync.embeddings import EmbeddingEncoding
from sync.messages import GlobalNews, SyncReply, Wishes
from tests.sync.publishing import a_codebook

LIMIT = 5120

CODED = Wishes(
    embedding_encoding=EmbeddingEncoding.CODES, codebook_version=1, is_compact=True
)


class Spread(ItemTable):
    """Items whose ordinals lie far apart, without a table of all between them."""

    def __init__(self, ordinals: dict[str, int]) -> None:
        super().__init__()
        self._ordinals = ordinals

    def ordinal_of(self, name: str) -> int | None:
        return self._ordinals.get(name)


def a_pattern(cell: int) -> ResultPattern:
    return ResultPattern(
        cell=cell,
        success_rate=0.9,
        sample_count=1200,
        mass=3.0,
        device_count=60,
        batch_count=2,
        time_of_day=4,
        day_of_week=0,
        content_type=1,
        genre_hints=("drama",),
        content_ids=(f"c{cell}",),
    )


def a_trend(region: str, rank: int, item: str) -> ResultTrend:
    return ResultTrend(
        region=region,
        rank=rank,
        item=item,
        score=1 / rank,
        rate=0.1,
        usual_rate=0.01,
        device_count=60,
    )


def published(
    *,
    cells: Sequence[int] = (),
    trends: dict[str, Sequence[str]] | None = None,
    links: dict[str, Sequence[tuple[str, float]]] | None = None,
    ordinals: dict[str, int] | None = None,
    largest_ordinal: int = 60_000,
    seed: int = 0,
) -> LoadedPublication:
    """Make a publication in memory, with ordinals drawn up to some number."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(len(cells), 384)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    result = RoundResult(
        patterns=tuple(a_pattern(cell) for cell in sorted(cells)),
        trends=tuple(
            a_trend(region, rank, item)
            for region, items in (trends or {}).items()
            for rank, item in enumerate(items, start=1)
        ),
        links=tuple(
            ResultLinks(name, tuple(n for n, _ in to), tuple(w for _, w in to))
            for name, to in (links or {}).items()
        ),
        embeddings=embeddings,
    )
    if ordinals is None:
        names = sorted(items_of(result))
        drawn: set[int] = set()
        while len(drawn) < len(names):
            drawn.update(rng.integers(1, largest_ordinal, len(names), endpoint=True))
        ordinals = dict(zip(names, map(int, drawn), strict=False))
    return of_result(
        result,
        Pointer(7, ""),
        items=Spread(ordinals),
        codebooks=Codebooks(by_version={1: a_codebook(1)}, by_digest={}),
    )


def everything(
    publication: LoadedPublication, *, named: Sequence[str] = (), region: str = "eu"
) -> SyncReply:
    """Answer a TV that is near to all cells, and named all contents that lead on."""
    return SyncReply(
        global_version=publication.version,
        news=GlobalNews(
            publication=publication,
            similar=np.arange(len(publication.cells)),
            region=region,
            linked=list(publication.links),
            named={*named},
        ),
        accepted=Accepted(stored=10, filtered=3, updated=5, removed=5),
        local_version=2**40,
        next_sync_seconds=900,
        codebook_version=1,
    )


def written(reply: SyncReply, wishes: Wishes = CODED) -> sync_pb2.SyncReply:
    return sync_pb2.SyncReply.FromString(protobuf_wire.write_sync(reply, wishes))


def links_in(reply: sync_pb2.SyncReply) -> dict[int, list[tuple[int, int]]]:
    """Read (ordinal, weight) of each link by the ordinal it leads from."""
    links = reply.global_news.links
    targets = np.cumsum(links.related_deltas, dtype=np.int64).tolist()
    assert sorted(set(targets)) == targets
    places = np.frombuffer(links.places, "u1" if len(targets) <= 256 else "<u2")
    ends = np.cumsum(list(links.counts), dtype=np.int64)
    assert len(places) == len(links.weights) == (ends[-1] if len(ends) else 0)
    assert set(places.tolist()) == set(range(len(targets)))
    pairs = [
        (targets[place], weight)
        for place, weight in zip(places.tolist(), links.weights, strict=True)
    ]
    return {
        source: pairs[end - count : end]
        for source, count, end in zip(
            links.references, links.counts, ends.tolist(), strict=True
        )
    }


def random_links(
    rng: np.random.Generator, *, contents: int, targets: int
) -> dict[str, Sequence[tuple[str, float]]]:
    popular = np.minimum(rng.zipf(1.5, size=(contents, 10)), targets)
    return {
        f"s{row}": [
            (f"t{target}", float(weight))
            for target, weight in zip(
                dict.fromkeys(popular[row].tolist()), rng.random(10), strict=False
            )
        ]
        for row in range(contents)
    }


def randomly_published(
    seed: int, *, contents: int, targets: int, largest_ordinal: int, largest_cell: int
) -> LoadedPublication:
    rng = np.random.default_rng(seed)
    cells = rng.choice(largest_cell, size=100, replace=False)
    regions = {"eu": 30, "global": 50}
    return published(
        cells=sorted(cells.tolist()),
        trends={
            region: [f"{region}-{i}" for i in range(count)]
            for region, count in regions.items()
        },
        links=random_links(rng, contents=contents, targets=targets),
        largest_ordinal=largest_ordinal,
        seed=seed,
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    contents=st.integers(0, 80),
    targets=st.sampled_from([1, 5, 100, 300, 5000, 10**6]),
    largest_ordinal=st.sampled_from([1000, 60_000, 10**7, 2**40, 2**62]),
    largest_cell=st.sampled_from([100, 4096, 2**31]),
)
def test_compact_reply_in_codes_fits(
    seed, contents, targets, largest_ordinal, largest_cell
):
    publication = randomly_published(
        seed,
        contents=contents,
        targets=targets,
        largest_ordinal=max(largest_ordinal, 20 * (contents + 8)),
        largest_cell=largest_cell,
    )

    body = protobuf_wire.write_sync(everything(publication), CODED)

    assert len(body) <= LIMIT
    news = sync_pb2.SyncReply.FromString(body).global_news
    assert len(news.similar.id_deltas) == 100
    assert sum(len(trends.references) for trends in news.trending) == 50
    links_in(sync_pb2.SyncReply.FromString(body))


def test_what_is_left_out_matters_least():
    publication = randomly_published(
        3, contents=80, targets=5000, largest_ordinal=60_000, largest_cell=4096
    )
    reply = everything(publication)
    whole = links_in(written(reply, Wishes(is_compact=True)))
    importance: dict[int, int] = {}
    for links in whole.values():
        for target, weight in links:
            importance[target] = importance.get(target, 0) + weight

    kept = {
        target for links in links_in(written(reply)).values() for target, _ in links
    }

    left_out = importance.keys() - kept
    assert left_out
    assert kept
    assert max(importance[t] for t in left_out) <= min(importance[t] for t in kept)


def test_links_that_stay_are_as_they_were():
    publication = randomly_published(
        4, contents=80, targets=5000, largest_ordinal=60_000, largest_cell=4096
    )
    reply = everything(publication)
    whole = links_in(written(reply, Wishes(is_compact=True)))

    fitted = links_in(written(reply))

    kept = {target for links in fitted.values() for target, _ in links}
    assert fitted == {
        source: stays
        for source, links in whole.items()
        if (stays := [link for link in links if link[0] in kept])
    }


def test_few_bytes_are_left_unused():
    publication = randomly_published(
        5, contents=80, targets=10**6, largest_ordinal=60_000, largest_cell=4096
    )

    size = len(protobuf_wire.write_sync(everything(publication), CODED))

    assert size > LIMIT - 150


def test_links_to_contents_the_tv_named_are_left_out():
    publication = published(
        links={
            "a": [("b", 0.9), ("c", 0.5), ("nobody", 0.4)],
            "d": [("a", 0.5), ("b", 0.1)],
        },
        ordinals={"a": 1, "b": 2, "c": 3, "d": 4, "x": 5},
    )
    reply = everything(publication, named=["a", "b", "d", "x", "unheard of"])

    compact, full = written(reply), written(reply, Wishes())

    assert links_in(compact) == {1: [(3, 128)]}
    assert links_in(full) == {1: [(2, 230), (3, 128)], 4: [(1, 128), (2, 26)]}


def test_items_without_an_ordinal_are_left_out():
    publication = published(
        cells=[1, 2],
        trends={"global": ["known", "unknown"]},
        links={"known": [("unknown", 0.5)], "unknown": [("known", 0.5)]},
        ordinals={"known": 9, "c2": 10},
    )

    news = written(everything(publication), Wishes()).global_news

    assert [list(trends.references) for trends in news.trending] == [[9]]
    assert not news.links.references
    assert list(news.similar.content_ids.counts) == [0, 1]
    assert list(news.similar.content_ids.references) == [10]
    assert not news.similar.genre_hints.counts
    assert not news.names


def test_reply_in_int8_is_as_large_as_it_is():
    """Without any link it wouldn't fit either, so none is left out for it."""
    publication = randomly_published(
        6, contents=80, targets=10**6, largest_ordinal=60_000, largest_cell=4096
    )

    reply = written(everything(publication), Wishes(is_compact=True))

    assert reply.ByteSize() > 38_400
    assert len(reply.global_news.links.references) == 80


def test_codes_are_those_of_the_publication():
    publication = published(cells=range(5))

    block = written(everything(publication)).global_news.similar.embeddings

    codes = publication.codes.of(1)
    assert codes is not None
    assert block.codebook_version == 1
    assert block.codes == codes.tobytes()


@pytest.mark.parametrize("region", ["eu", "us", "global"])
def test_trends_are_those_of_the_region_and_then_of_all(region: str):
    publication = published(
        trends={"eu": ["a", "b"], "global": ["b", "c"]},
        ordinals={"a": 1, "b": 2, "c": 3},
    )

    trending = written(everything(publication, region=region)).global_news.trending

    told = {trends.region: list(trends.references) for trends in trending}
    assert told == (
        {"eu": [1, 2], "global": [3]} if region == "eu" else {"global": [2, 3]}
    )
