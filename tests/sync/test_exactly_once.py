"""What makes a sync exactly once: the five rows of the contract's table."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.sync.television import WIRES, addition, update

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


def test_higher_version_is_applied(vega_tv):
    pattern_id = uuid4()

    reply = vega_tv.sync(added=[addition(pattern_id)], local_version=7, base_version=0)

    assert reply["local_version"] == 7
    assert reply["accepted"] == {"stored": 1, "filtered": 0, "updated": 0, "removed": 0}
    assert reply["resync"] is False
    assert set(vega_tv.stored()) == {pattern_id}


def test_base_version_may_be_left_out(vega_tv):
    vega_tv.sync(added=[addition()])

    vega_tv.sync(added=[addition()], local_version=10)

    assert len(vega_tv.stored()) == 2


def test_retry_is_answered_as_before_and_applied_once(vega_tv):
    known = uuid4()
    vega_tv.sync(added=[addition(known)])
    body = vega_tv.body(
        added=[addition(), addition(success_rate=0.1)], updated=[update(known)]
    )
    first = vega_tv.post(body).json()
    after_first = vega_tv.stored()[known].sample_count

    second = vega_tv.post(body).json()

    assert second["accepted"] == first["accepted"]
    assert second["local_version"] == first["local_version"]
    assert vega_tv.stored()[known].sample_count == after_first == 15
    assert len(vega_tv.stored()) == 2


def test_retry_is_recognised_whatever_base_version_it_was_made_on(vega_tv):
    vega_tv.sync(added=[addition()])
    body = vega_tv.body(added=[addition()], base_version=1)
    vega_tv.post(body)

    assert vega_tv.post(body).status_code == 200


def test_retry_after_fields_moved_around_is_still_a_retry(vega_tv):
    body = vega_tv.body(added=[addition()])
    vega_tv.post(body)
    added = body["delta"]["patterns_added"][0]
    body["delta"]["patterns_added"] = [dict(reversed(added.items()))]

    assert vega_tv.post(body).status_code == 200


def test_same_version_with_other_content_is_refused(vega_tv):
    vega_tv.sync(added=[addition()])

    response = vega_tv.post(vega_tv.body(added=[addition()], local_version=1))

    assert response.status_code == 422
    assert response.json()["code"] == "version_reused"
    assert response.json()["local_version"] == 1
    assert len(vega_tv.stored()) == 1


def test_lower_version_is_stale(vega_tv):
    vega_tv.sync(added=[addition()], local_version=5)

    response = vega_tv.post(vega_tv.body(added=[addition()], local_version=4))

    assert response.status_code == 409
    assert response.json()["code"] == "stale_version"
    assert response.json()["local_version"] == 5
    assert len(vega_tv.stored()) == 1


@pytest.mark.parametrize("base_version", [0, 4, 6])
def test_other_base_version_is_a_gap(vega_tv, base_version):
    vega_tv.sync(added=[addition()], local_version=5)

    response = vega_tv.post(
        vega_tv.body(added=[addition()], local_version=8, base_version=base_version)
    )

    assert response.status_code == 409
    assert response.json()["code"] == "version_gap"
    assert response.json()["local_version"] == 5
    assert response.json()["resync"] is True
    assert len(vega_tv.stored()) == 1


def test_new_tv_stands_at_version_zero_with_nothing_sent(vega_tv):
    assert vega_tv.post(vega_tv.body(local_version=0)).status_code == 200

    response = vega_tv.post(vega_tv.body(added=[addition()], local_version=0))

    assert response.json()["code"] == "version_reused"


def test_tv_that_follows_a_gap_gets_through(vega_tv):
    """The answer to a gap says everything that is needed to go on."""
    vega_tv.sync(added=[addition()], local_version=5)
    gap = vega_tv.post(vega_tv.body(local_version=3, base_version=2)).json()

    vega_tv.sync(
        added=[addition()],
        base_version=gap["local_version"],
        local_version=gap["local_version"] + 1,
    )

    assert len(vega_tv.stored()) == 2
