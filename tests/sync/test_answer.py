"""What a TV gets back: cells near its tastes, trends, links, and when to return."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from patterns.vectors import as_array
from sync import load
from tests.sync.publishing import FIRST_CELL, publish
from tests.sync.television import WIRES, addition, embedding

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


SHARD = "shard_000"


def directions(count: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 384))


def near(vector: np.ndarray, *, seed: int, noise: float = 0.01) -> list[float]:
    """A vector of a TV whose taste is that of a cell, but not exactly."""
    unit = vector / np.linalg.norm(vector)
    wandering = np.random.default_rng(seed).normal(size=384) * noise
    vector_of_tv: list[float] = (unit + wandering).tolist()
    return vector_of_tv


def cells_of(reply: dict[str, Any]) -> list[int]:
    return [similar["id"] for similar in reply["global"]["similar"]]


def test_before_the_first_publication_there_is_version_0(vega_tv):
    reply = vega_tv.sync(added=[addition()])

    assert reply["global"] == {
        "similar": [],
        "trending": [],
        "links": [],
        "global_version": 0,
    }


def test_reply_carries_what_was_published(vega_tv):
    centroids = directions(3)
    publish(SHARD, version=18, centroids=centroids)

    similar = vega_tv.sync(added=[addition()])["global"]["similar"][0]

    row = similar["id"] - FIRST_CELL
    unit = centroids[row] / np.linalg.norm(centroids[row])
    assert similar.pop("embedding") == pytest.approx(unit.tolist(), abs=1e-6)
    assert similar == {
        "id": similar["id"],
        "success_rate": 0.9,
        "sample_count": 1200,
        "context": {"time_of_day": "evening", "genre_hints": ["drama"]},
        "content_ids": [f"tt{similar['id']}"],
    }


def test_up_to_date_tv_is_told_the_version_and_nothing_else(vega_tv):
    publish(SHARD, version=18, centroids=directions(3))

    reply = vega_tv.sync(added=[addition()], global_version=18)

    assert reply["global"] == {"global_version": 18}


@pytest.mark.parametrize("held", [None, 0, 17, 19])
def test_tv_with_any_other_version_gets_all_of_the_current_one(vega_tv, held):
    publish(SHARD, version=18, centroids=directions(3))

    reply = vega_tv.sync(global_version=held)

    assert reply["global"]["global_version"] == 18
    assert len(reply["global"]["similar"]) == 3


def test_new_version_is_noticed_at_once(vega_tv):
    publish(SHARD, version=1, centroids=directions(3))
    vega_tv.sync()
    publish(SHARD, version=2, centroids=directions(5, seed=1))

    reply = vega_tv.sync(global_version=1)

    assert reply["global"]["global_version"] == 2
    assert len(reply["global"]["similar"]) == 5


def test_the_nearest_hundred_come_nearest_first(vega_tv):
    centroids = directions(250)
    publish(SHARD, version=1, centroids=centroids)
    mine = near(centroids[77], seed=1)

    reply = vega_tv.sync(added=[addition(embedding=mine)])

    cosines = (centroids / np.linalg.norm(centroids, axis=1)[:, None]) @ np.array(mine)
    expected = np.argsort(-cosines)[:100] + FIRST_CELL
    assert len(cells_of(reply)) == 100
    assert cells_of(reply)[0] == FIRST_CELL + 77
    # Half precision may swap neighbours that are equally near.
    assert len(set(cells_of(reply)) & set(expected.tolist())) >= 98


def test_every_taste_gets_places_by_its_weight(vega_tv):
    """Two opposite tastes: their average would be near neither."""
    rng = np.random.default_rng(5)
    axis = rng.normal(size=384)
    crime = axis + 0.2 * rng.normal(size=(120, 384))
    cartoons = -axis + 0.2 * rng.normal(size=(120, 384))
    publish(SHARD, version=1, centroids=np.concatenate([crime, cartoons]))

    reply = vega_tv.sync(
        added=[
            addition(embedding=near(axis, seed=1), success_rate=0.9, sample_count=300),
            addition(embedding=near(-axis, seed=2), success_rate=0.9, sample_count=100),
        ]
    )

    n_crime = sum(cell < FIRST_CELL + 120 for cell in cells_of(reply))
    assert n_crime == 75
    assert len(cells_of(reply)) == 100


def test_tv_of_which_nothing_is_known_gets_the_heaviest_cells(vega_tv):
    publish(SHARD, version=1, centroids=directions(3), masses=[2.0, 9.0, 5.0])

    reply = vega_tv.sync()

    assert cells_of(reply) == [FIRST_CELL + 1, FIRST_CELL + 2, FIRST_CELL]


def test_patterns_get_the_cell_they_are_nearest_to(vega_tv):
    centroids = directions(20)
    early, late = uuid4(), uuid4()
    vega_tv.sync(added=[addition(early, embedding=near(centroids[7], seed=1))])
    publish(SHARD, version=1, centroids=centroids)

    vega_tv.sync(added=[addition(late, embedding=near(centroids[7], seed=2))])

    stored = vega_tv.stored()
    assert stored[late].cell == FIRST_CELL + 7
    assert stored[early].cell is None


def test_trends_are_those_of_the_tvs_region_then_of_all(vega, enrol_tv):
    tv = enrol_tv(vega, region="iceland")
    publish(
        SHARD,
        version=1,
        trends={
            "iceland": ["tt1", "genre:saga"],
            "global": ["tt2", "tt1"],
            "peru": ["tt3"],
        },
    )

    trending = tv.sync()["global"]["trending"]

    assert trending == [
        {"content_id": "tt1", "trending_score": 1.0, "region": "iceland"},
        {"content_id": "genre:saga", "trending_score": 0.5, "region": "iceland"},
        {"content_id": "tt2", "trending_score": 1.0, "region": "global"},
    ]


def test_there_are_at_most_fifty_trends(vega, enrol_tv):
    tv = enrol_tv(vega, region="iceland")
    publish(
        SHARD,
        version=1,
        trends={
            "iceland": [f"local-{i}" for i in range(30)],
            "global": [f"global-{i}" for i in range(60)],
        },
    )

    trending = tv.sync()["global"]["trending"]

    assert len(trending) == 50
    assert [t["region"] for t in trending] == ["iceland"] * 30 + ["global"] * 20


def test_links_are_those_of_the_contents_this_tv_named(vega_tv):
    publish(SHARD, version=1, links={"tt1": ["tt9", "tt8"], "tt2": ["tt7"]})
    named = {"content_ids": ["tt1", "unheard of"]}

    links = vega_tv.sync(added=[addition(context=named)])["global"]["links"]

    assert links == [{"content_id": "tt1", "related": [["tt9", 0.5], ["tt8", 0.5]]}]


def test_links_are_given_for_eighty_favourites(vega_tv):
    names = [f"tt{i}" for i in range(96)]
    publish(SHARD, version=1, links={name: ["tt999"] for name in names})

    reply = vega_tv.sync(
        added=[
            addition(
                seed=i,
                sample_count=100 - i,
                context={"content_ids": names[8 * i : 8 * i + 8]},
            )
            for i in range(12)
        ]
    )

    given = [link["content_id"] for link in reply["global"]["links"]]
    assert given == [
        name for i in range(10) for name in sorted(names[8 * i : 8 * i + 8])
    ]


def test_retry_is_answered_with_the_news_too(vega_tv):
    publish(SHARD, version=3, centroids=directions(2))
    body = vega_tv.body(added=[addition()])

    first, second = vega_tv.post(body).json(), vega_tv.post(body).json()

    assert second["global"] == first["global"]


def test_next_sync_is_spread_over_five_to_fifteen_minutes(monkeypatch):
    idle = [load.next_sync_seconds() for _ in range(400)]
    monkeypatch.setattr(load, "_in_flight", load.in_flight_limit())
    busy = [load.next_sync_seconds() for _ in range(400)]

    assert min(idle) >= 300
    assert max(idle) <= 600 <= min(busy)
    assert max(busy) <= 900
    assert len(set(idle)) > 100


def test_no_vector_of_any_tv_is_ever_in_a_reply(vega, enrol_tv):
    """However tight a fleet's clusters are, only what was published goes out.

    Every TV asks, with patterns of its own and without; each vector of each reply is
    held against every vector that is stored.
    """
    rng = np.random.default_rng(23)
    centroids = directions(12, seed=9)
    units = centroids / np.linalg.norm(centroids, axis=1)[:, None]
    fleet = [enrol_tv(vega) for _ in range(30)]
    for tv in fleet:
        cells = rng.choice(12, size=4, replace=False)
        tv.sync(
            added=[
                addition(
                    embedding=near(units[c], seed=int(rng.integers(1 << 30)), noise=n)
                )
                for c, n in zip(cells, (0.0002, 0.002, 0.01, 0.05), strict=True)
            ]
        )
    stored = np.stack(
        [as_array(p.embedding) for tv in fleet for p in tv.stored().values()]
    ).astype(np.float64)
    stored /= np.linalg.norm(stored, axis=1)[:, None]
    publish(SHARD, version=1, centroids=centroids)

    replies = [tv.sync() for tv in fleet]
    replies += [tv.post(tv.body(added=[addition()])).json() for tv in fleet[:5]]
    replies.append(enrol_tv(vega).sync())

    assert set().union(*map(cells_of, replies)) == {FIRST_CELL + i for i in range(12)}
    for reply in replies:
        assert_holds_published_vectors_only(reply, units, stored)


def assert_holds_published_vectors_only(reply, published, stored) -> None:
    found = np.array(list(vectors_in(reply)))
    assert len(found) == len(reply["global"]["similar"])
    # float32 keeps seven digits: cosine 1 to 1e-12 with what was published ...
    nearest_published = (found @ published.T).max(axis=1)
    assert nearest_published == pytest.approx(1, abs=1e-6)
    # ... while the tightest pattern is 0.0002 of noise away: a cosine of 1 - 8e-6.
    assert (found @ stored.T).max() < 1 - 2e-6


def vectors_in(value):
    """Every list of many numbers, wherever in a reply it may be."""
    if isinstance(value, dict):
        for part in value.values():
            yield from vectors_in(part)
    elif isinstance(value, list):
        if len(value) >= 48 and all(isinstance(x, int | float) for x in value):
            yield value
        else:
            for part in value:
                yield from vectors_in(part)


@pytest.mark.parametrize("wire", ["json", "protobuf"])
def test_replies_are_compressed_for_those_who_can_read_it(vega_tv):
    publish(SHARD, version=1, centroids=directions(100))
    body = vega_tv.body(added=[addition(embedding=embedding(3))])

    plain = vega_tv.post(body)
    encoded = vega_tv.post(body, accept_encoding="zstd, gzip")

    assert "Content-Encoding" not in plain
    assert encoded["Content-Encoding"] == "zstd"
    # Vectors of noise hardly shrink unless they are text.
    share = {"json": 0.5, "protobuf": 0.95}[vega_tv.wire]
    assert len(encoded.content) < share * len(plain.content)
