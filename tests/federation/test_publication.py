"""What a publication is in memory, ready to answer TVs from."""

from __future__ import annotations

import numpy as np
import pytest

from federation import holding, rounds
from tests.federation import fleets
from tests.federation.publishing import put_out
from tests.federation.test_publish import a_result

pytestmark = pytest.mark.django_db(
    databases=["default", "shard_000", "shard_001"], transaction=True
)

ALIAS = "shard_000"


def test_before_the_first_publication_it_is_empty():
    empty = holding.current(ALIAS)

    assert (empty.version, empty.patterns, empty.trends, empty.links) == (0, (), {}, {})
    assert empty.centroids.shape == (0, 384)
    assert empty.assign(np.ones((2, 384), dtype=np.float32)).tolist() == [-1, -1]


def test_patterns_speak_the_language_of_the_reply():
    result = a_result()
    put_out(ALIAS, 1, result)

    loaded = holding.current(ALIAS)

    pattern = loaded.patterns[1]
    assert pattern["id"] == loaded.cells[1] == 3
    assert np.array_equal(pattern["embedding"], result.embeddings[1])
    assert pattern["context"] == {
        "time_of_day": "evening",
        # No day is typical of it, so none is told.
        "content_type": "movie",
        "genre_hints": ["film noir", "comédie"],
    }
    assert (pattern["sample_count"], pattern["content_ids"]) == (7, [])
    assert loaded.mass.tolist() == [1.5, 1.5, 1.5]


def test_trends_and_links_come_strongest_first():
    put_out(ALIAS, 1)

    loaded = holding.current(ALIAS)

    assert loaded.trends == {"north": [("film-é", 0.9), ("genre:comedy", 0.1)]}
    assert loaded.links["Zulu"] == [("alien", 0.5), ("brazil", 0.25)]


def test_assigns_to_the_nearest_published_cell():
    result = a_result(50)
    put_out(ALIAS, 1, result)
    rng = np.random.default_rng(3)
    tvs = rng.standard_normal((200, 384)).astype(np.float32)
    tvs /= np.linalg.norm(tvs, axis=1, keepdims=True)

    cells = holding.current(ALIAS).assign(tvs)

    cosines = tvs @ result.embeddings.T
    chosen = cosines[np.arange(200), (cells - 1) // 2]
    # Rounded to int8, two cells within 0.002 of each other may change places.
    assert np.all(chosen >= cosines.max(axis=1) - 0.002)


def test_a_round_assigns_its_own_patterns_to_their_cells(settings):
    settings.MIN_DEVICES_PER_PATTERN = 5
    settings.MIN_SOURCE_COUNT = 2
    fleet = fleets.plant(tv_count=60, taste_count=3)
    fleets.store(fleet, fleets.make_shards(2))
    rounds.run_round()

    loaded = holding.current(ALIAS)
    tastes = np.stack([taste.direction for taste in fleet.tastes])

    for taste, cell in zip(fleet.tastes, loaded.assign(tastes), strict=True):
        pattern = loaded.patterns[loaded.cells.tolist().index(cell)]
        assert pattern["context"]["genre_hints"] == [taste.genre]
        assert set(pattern["content_ids"]) <= set(taste.contents)
