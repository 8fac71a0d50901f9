"""What a delta does: additions, updates, removals, and whose patterns they reach."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest

from patterns.context import ContentType, DayOfWeek, TimeOfDay
from patterns.vectors import as_array
from shards.models import Device
from tests.sync.television import WIRES, addition, embedding, update

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


def test_addition_is_stored_as_it_was_sent(vega_tv):
    pattern_id = uuid4()

    vega_tv.sync(added=[addition(pattern_id, seed=5)])

    pattern = vega_tv.stored()[pattern_id]
    assert (pattern.success_rate, pattern.sample_count) == (0.83, 12)
    assert pattern.time_of_day == TimeOfDay.EVENING
    assert pattern.day_of_week == DayOfWeek.SATURDAY
    assert pattern.content_type == ContentType.MOVIE
    assert pattern.genre_hints == ["thriller"]
    assert pattern.content_ids == ["tt0133093"]
    assert as_array(pattern.embedding) == pytest.approx(embedding(5), abs=1e-3)


def test_embedding_of_another_length_is_normalised(vega_tv):
    pattern_id = uuid4()
    sent = [900 * x for x in embedding(5)]

    vega_tv.sync(added=[addition(pattern_id, embedding=sent)])

    stored = as_array(vega_tv.stored()[pattern_id].embedding)
    assert stored == pytest.approx(embedding(5), abs=1e-3)
    assert np.linalg.norm(stored) == pytest.approx(1, abs=1e-3)


def test_whole_numbers_are_numbers_too(vega_tv):
    pattern_id = uuid4()
    sent = [1] + [0] * 383

    vega_tv.sync(added=[addition(pattern_id, embedding=sent, success_rate=1)])

    assert vega_tv.stored()[pattern_id].success_rate == 1.0


def test_context_may_be_left_out(vega_tv):
    bare, empty, null = uuid4(), uuid4(), uuid4()
    without = addition(bare)
    del without["context"], without["created_at"], without["updated_at"]

    vega_tv.sync(
        added=[without, addition(empty, context={}), addition(null, context=None)]
    )

    for pattern in vega_tv.stored().values():
        assert pattern.time_of_day == TimeOfDay.UNSPECIFIED
        assert pattern.genre_hints == pattern.content_ids == []


def test_adding_an_id_again_replaces_the_pattern(vega_tv):
    pattern_id = uuid4()
    vega_tv.sync(added=[addition(pattern_id, seed=1)])

    reply = vega_tv.sync(
        added=[addition(pattern_id, seed=2, success_rate=0.95, context={})]
    )

    pattern = vega_tv.stored()[pattern_id]
    assert reply["accepted"]["stored"] == 1
    assert pattern.success_rate == 0.95
    assert pattern.genre_hints == []
    assert as_array(pattern.embedding) == pytest.approx(embedding(2), abs=1e-3)


def test_update_averages_by_samples(vega_tv):
    pattern_id = uuid4()
    vega_tv.sync(added=[addition(pattern_id, success_rate=0.8, sample_count=12)])

    reply = vega_tv.sync(updated=[update(pattern_id, rate=0.9, samples=3)])

    pattern = vega_tv.stored()[pattern_id]
    assert reply["accepted"]["updated"] == 1
    assert pattern.success_rate == pytest.approx(0.82)  # (0.8 * 12 + 0.9 * 3) / 15
    assert pattern.sample_count == 15


def test_update_keeps_everything_else(vega_tv):
    pattern_id = uuid4()
    vega_tv.sync(added=[addition(pattern_id, seed=4)])
    before = vega_tv.stored()[pattern_id]

    vega_tv.sync(updated=[update(pattern_id)])

    after = vega_tv.stored()[pattern_id]
    assert after.embedding == before.embedding
    assert after.content_ids == before.content_ids
    assert after.reported_at > before.reported_at


def test_removal_removes(vega_tv):
    kept, gone = uuid4(), uuid4()
    vega_tv.sync(added=[addition(kept), addition(gone)])

    reply = vega_tv.sync(removed=[gone])

    assert reply["accepted"]["removed"] == 1
    assert set(vega_tv.stored()) == {kept}


def test_lists_apply_in_the_order_added_updated_removed(vega_tv):
    updated, removed = uuid4(), uuid4()

    reply = vega_tv.sync(
        added=[addition(updated, success_rate=0.8), addition(removed)],
        updated=[update(updated, rate=1.0, samples=12)],
        removed=[removed],
    )

    assert reply["accepted"] == {"stored": 2, "filtered": 0, "updated": 1, "removed": 1}
    assert set(vega_tv.stored()) == {updated}
    assert vega_tv.stored()[updated].success_rate == pytest.approx(0.9)
    assert vega_tv.stored()[updated].sample_count == 24


def test_addition_below_the_quality_threshold_is_filtered(vega_tv):
    at, below = uuid4(), uuid4()

    reply = vega_tv.sync(
        added=[addition(at, success_rate=0.7), addition(below, success_rate=0.6999)]
    )

    assert reply["accepted"] == {"stored": 1, "filtered": 1, "updated": 0, "removed": 0}
    assert set(vega_tv.stored()) == {at}


def test_replacement_below_the_quality_threshold_takes_the_old_pattern_along(vega_tv):
    pattern_id = uuid4()
    vega_tv.sync(added=[addition(pattern_id)])

    reply = vega_tv.sync(added=[addition(pattern_id, success_rate=0.1)])

    assert reply["accepted"]["filtered"] == 1
    assert vega_tv.stored() == {}


def test_update_below_the_quality_threshold_removes_the_pattern(vega_tv):
    pattern_id = uuid4()
    vega_tv.sync(added=[addition(pattern_id, success_rate=0.8, sample_count=1)])

    reply = vega_tv.sync(updated=[update(pattern_id, rate=0.0, samples=1)])

    assert reply["accepted"] == {"stored": 0, "filtered": 1, "updated": 0, "removed": 0}
    assert vega_tv.stored() == {}


def test_unknown_ids_are_not_found_and_not_counted(vega_tv):
    reply = vega_tv.sync(updated=[update(uuid4())], removed=[uuid4()])

    assert set(reply["accepted"].values()) == {0}


def test_pattern_of_another_tv_is_simply_not_found(vega_tv, vega_neighbour):
    theirs = uuid4()
    vega_neighbour.sync(added=[addition(theirs, success_rate=0.8)])
    before = vega_neighbour.stored()[theirs]

    reply = vega_tv.sync(updated=[update(theirs, rate=0.0)], removed=[theirs])

    assert set(reply["accepted"].values()) == {0}
    after = vega_neighbour.stored()[theirs]
    assert after.success_rate == before.success_rate
    assert after.reported_at == before.reported_at


def test_two_tvs_may_use_the_same_pattern_id(vega_tv, vega_neighbour):
    shared = uuid4()
    vega_neighbour.sync(added=[addition(shared, success_rate=0.8)])

    vega_tv.sync(added=[addition(shared, success_rate=0.9)])

    assert vega_neighbour.stored()[shared].success_rate == 0.8
    assert vega_tv.stored()[shared].success_rate == 0.9


def test_request_without_the_optional_fields_is_complete(vega_tv):
    response = vega_tv.post(
        {"device_id": str(vega_tv.device_id), "delta": {"local_version": 1}}
    )

    assert response.status_code == 200
    assert response.json()["local_version"] == 1


def test_unknown_fields_are_ignored(vega_tv):
    pattern_id = uuid4()
    body = vega_tv.body(added=[addition(pattern_id, mood="calm")], firmware={"v": [1]})
    body["delta"]["battery"] = None

    assert vega_tv.post(body).status_code == 200
    assert set(vega_tv.stored()) == {pattern_id}


def test_refused_delta_leaves_nothing_behind(vega_tv):
    """One bad entry among good ones: all or nothing."""
    response = vega_tv.post(
        vega_tv.body(added=[addition(), addition(), addition(success_rate=2)])
    )

    assert response.status_code == 422
    assert vega_tv.stored() == {}
    device = Device.objects.using("shard_000").get(pk=vega_tv.device_id)
    assert (device.local_version, device.last_synced_at) == (0, None)


def test_device_row_keeps_count_of_its_patterns(vega_tv):
    first, second = uuid4(), uuid4()
    vega_tv.sync(added=[addition(first), addition(second)])
    vega_tv.sync(added=[addition(second), addition()], removed=[first])

    device = Device.objects.using("shard_000").get(pk=vega_tv.device_id)
    assert device.pattern_count == len(vega_tv.stored()) == 2


def test_stores_nothing_that_a_tv_sends_about_time(vega_tv):
    early, late = uuid4(), uuid4()
    first = 0.5 if vega_tv.wire == "json" else 0  # a message has whole seconds

    vega_tv.sync(
        added=[
            addition(early, created_at=first),
            addition(late, created_at=253402300799),
        ]
    )

    stored = vega_tv.stored()
    assert stored[early].reported_at == stored[late].reported_at
