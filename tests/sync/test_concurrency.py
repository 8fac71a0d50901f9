"""Syncs at the same moment, on connections of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections, transaction
from django.db.models import Sum
from django.utils import timezone

from patterns.services import forget
from shards import services, statistics
from shards.models import Device, ShardTally
from shards.services import batches
from tests.sync.television import Television, addition, update

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "shard_000"])


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call all of them in threads that start together; return what they return."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait()
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return list(pool.map(run, calls))


def patterns_tallied() -> int:
    tally = ShardTally.objects.using("shard_000")
    return int(tally.aggregate(total=Sum("pattern_count", default=0))["total"])


def test_same_delta_sent_many_times_at_once_is_applied_once(vega_tv):
    counted = uuid4()
    vega_tv.sync(added=[addition(counted, sample_count=10)])
    body = vega_tv.body(added=[addition()], updated=[update(counted, samples=1)])

    responses = at_once([lambda: vega_tv.post(body)] * 6)

    assert {r.status_code for r in responses} == {200}
    assert len({str(r.json()["accepted"]) for r in responses}) == 1
    assert vega_tv.stored()[counted].sample_count == 11
    assert len(vega_tv.stored()) == patterns_tallied() == 2


def test_of_different_deltas_with_one_version_exactly_one_wins(vega_tv):
    bodies = [vega_tv.body(added=[addition()]) for _ in range(6)]

    responses = at_once([partial(vega_tv.post, body) for body in bodies])

    codes = sorted(r.json().get("code", "applied") for r in responses)
    assert codes == ["applied"] + ["version_reused"] * 5
    assert len(vega_tv.stored()) == patterns_tallied() == 1


def test_tvs_do_not_wait_for_or_disturb_each_other(vega, enrol_tv):
    tvs = [enrol_tv(vega) for _ in range(4)]
    shared = [uuid4() for _ in range(8)]

    def live(tv: Television) -> None:
        for pattern_id in shared:
            tv.sync(added=[addition(pattern_id)])
        tv.sync(removed=shared[:3], updated=[update(shared[5])])

    at_once([partial(live, tv) for tv in tvs])

    for tv in tvs:
        assert set(tv.stored()) == set(shared[3:])
        assert tv.stored()[shared[5]].sample_count == 15
    assert patterns_tallied() == 4 * 5
    seen = statistics.read(shard_alias="shard_000", now=timezone.now())
    assert seen.active_devices == 4


def test_sync_holds_nobody_up_while_another_tv_is_locked(vega_tv, vega_neighbour):
    """A TV whose row is locked waits; its neighbours don't."""
    with transaction.atomic(using="shard_000"):
        Device.objects.using("shard_000").select_for_update().get(pk=vega_tv.device_id)

        [response] = at_once([lambda: vega_neighbour.post(vega_neighbour.body())])

    assert response.status_code == 200


def test_tv_that_is_forgotten_while_it_syncs_leaves_nothing(vega):
    spring = batches.create_batch(name="spring")
    enrolment = services.enrol(enrolment_key=spring.enrolment_key)
    tv = Television(
        device_id=enrolment.device_id,
        shard_alias=vega.alias,
        token=enrolment.issued.token,
    )

    def keep_syncing() -> list[int]:
        return [
            tv.post(tv.body(added=[addition()], local_version=v)).status_code
            for v in range(1, 12)
        ]

    statuses, was_there = at_once(
        [
            keep_syncing,
            lambda: forget.forget_device(device_id=tv.device_id),
        ]
    )

    assert was_there
    assert statuses == sorted(statuses), "once forgotten, always forgotten"
    assert set(statuses) <= {200, 401}
    assert tv.stored() == {}
    assert patterns_tallied() == 0
