"""What TVs are answered from, in memory, and how it moves to the next version."""

from __future__ import annotations

from threading import Event, Thread, Timer

import numpy as np
import pytest
from django.db import connections

from federation import publication, publish, rounds, rows
from tests.federation import fleets
from tests.federation.test_publish import a_result, an_edition

pytestmark = pytest.mark.django_db(
    databases=["default", "shard_000", "shard_001"], transaction=True
)

ALIAS = "shard_000"


def put_out(version: int, result=None, *, alias: str = ALIAS) -> None:
    edition = an_edition(version, result or a_result(seed=version))
    publish.stage(alias, edition)
    publish.flip(alias, version, edition.checksum)


def test_before_the_first_publication_it_is_empty():
    empty = publication.current(ALIAS)

    assert (empty.version, empty.patterns, empty.trends, empty.links) == (0, (), {}, {})
    assert empty.centroids.shape == (0, 384)
    assert empty.assign(np.ones((2, 384), dtype=np.float32)).tolist() == [-1, -1]


def test_patterns_speak_the_language_of_the_reply():
    result = a_result()
    put_out(1, result)

    loaded = publication.current(ALIAS)

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
    put_out(1)

    loaded = publication.current(ALIAS)

    assert loaded.trends == {"north": [("film-é", 0.9), ("genre:comedy", 0.1)]}
    assert loaded.links["Zulu"] == [("alien", 0.5), ("brazil", 0.25)]


def test_the_same_version_is_read_once():
    put_out(1)

    assert publication.current(ALIAS) is publication.current(ALIAS)


def test_a_new_version_is_seen_at_the_next_call():
    put_out(1)
    publication.current(ALIAS)

    put_out(2)

    assert publication.current(ALIAS).version == 2


def test_shards_with_the_same_version_share_one_copy():
    put_out(1)
    put_out(1, alias="shard_001")

    assert publication.current("shard_001") is publication.current(ALIAS)


def test_a_shard_that_is_behind_answers_with_its_own_version():
    put_out(1)
    put_out(1, alias="shard_001")
    put_out(2)

    assert publication.current(ALIAS).version == 2
    assert publication.current("shard_001").version == 1


@pytest.fixture
def slow_reading(monkeypatch) -> tuple[Event, Event]:
    """Reading a version says that it has begun, and waits until it may end."""
    is_reading, may_finish = Event(), Event()
    read_result = rows.read_result

    def slowly(alias, version):
        is_reading.set()
        assert may_finish.wait(timeout=60)
        return read_result(alias, version)

    monkeypatch.setattr(rows, "read_result", slowly)
    return is_reading, may_finish


def test_while_one_request_reads_the_new_version_others_get_the_old(slow_reading):
    is_reading, may_finish = slow_reading
    may_finish.set()
    put_out(1)
    publication.current(ALIAS)
    put_out(2)
    is_reading.clear()
    may_finish.clear()
    seen = []
    reader = Thread(target=lambda: seen.append(_version_in_a_thread()))
    reader.start()
    assert is_reading.wait(timeout=60)

    meanwhile = publication.current(ALIAS).version
    may_finish.set()
    reader.join()

    assert (meanwhile, seen) == (1, [2])


def test_a_tv_that_holds_the_new_version_already_waits_for_it(slow_reading):
    is_reading, may_finish = slow_reading
    may_finish.set()
    put_out(1)
    publication.current(ALIAS)
    put_out(2)
    is_reading.clear()
    may_finish.clear()
    reader = Thread(target=_version_in_a_thread)
    reader.start()
    assert is_reading.wait(timeout=60)
    meanwhile = Timer(0.2, may_finish.set)
    meanwhile.start()

    version = publication.current(ALIAS, at_least=2).version
    meanwhile.join()
    reader.join()

    assert version == 2


def test_what_could_not_be_read_is_tried_again(monkeypatch):
    put_out(1)
    publication.current(ALIAS)
    put_out(2)
    with monkeypatch.context() as patch:
        patch.delattr(rows, "read_result")
        with pytest.raises(AttributeError):
            publication.current(ALIAS)

    assert publication.current(ALIAS).version == 2


def test_assigns_to_the_nearest_published_cell():
    result = a_result(50)
    put_out(1, result)
    rng = np.random.default_rng(3)
    tvs = rng.standard_normal((200, 384)).astype(np.float32)
    tvs /= np.linalg.norm(tvs, axis=1, keepdims=True)

    cells = publication.current(ALIAS).assign(tvs)

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

    loaded = publication.current(ALIAS)
    tastes = np.stack([taste.direction for taste in fleet.tastes])

    for taste, cell in zip(fleet.tastes, loaded.assign(tastes), strict=True):
        pattern = loaded.patterns[loaded.cells.tolist().index(cell)]
        assert pattern["context"]["genre_hints"] == [taste.genre]
        assert set(pattern["content_ids"]) <= set(taste.contents)


def _version_in_a_thread() -> int:
    try:
        return publication.current(ALIAS).version
    finally:
        connections.close_all()
