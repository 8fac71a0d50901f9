"""Syncs that meet: one statement for many, and nobody pays for another's mistake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import numpy as np
import pytest
from django.db import connections, transaction
from django.utils import timezone

from patterns import metrics, selectors
from patterns.exceptions import VersionGap, WriterIsBusy
from patterns.services import group_commit, store
from patterns.services.store import Applied
from shards.exceptions import DeviceUnknown
from shards.models import Device
from tests.patterns.deltas import Addition, delta
from tests.running import wait_for

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "shard_000"])

SHARD = "shard_000"


def no_cells(embeddings):
    return np.full(len(embeddings), -1)


@pytest.fixture
def tvs(vega) -> list[Device]:
    return Device.objects.using(SHARD).bulk_create(
        Device(id=uuid4(), batch_id=1, region="global", enrolled_at=timezone.now())
        for _ in range(6)
    )


def learn(
    tv: Device,
    version: int = 1,
    assign_cells=no_cells,
    with_tastes: bool = False,
    **parts,
) -> Applied:
    sync = store.prepare(
        device_id=tv.id,
        delta=delta(version, added=[Addition()], **parts),
        assign_cells=assign_cells,
        with_tastes=with_tastes,
    )
    return store.apply(SHARD, sync)


@pytest.fixture
def pool() -> Iterator[Callable[..., Future[Applied]]]:
    """Runs things in threads with connections of their own."""

    def closing(call: Callable[[], Applied]) -> Applied:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=8) as threads:
        yield lambda call, *given, **parts: threads.submit(
            closing, partial(call, *given, **parts)
        )


@contextmanager
def while_one_is_written(pool, tv: Device) -> Iterator[None]:
    """Have a group under way: it waits for its cells as long as the block takes."""
    is_under_way, may_go_on = threading.Event(), threading.Event()

    def slow(embeddings):
        is_under_way.set()
        may_go_on.wait(60)
        return no_cells(embeddings)

    first = pool(learn, tv, assign_cells=slow)
    assert is_under_way.wait(60)
    try:
        yield
    finally:
        may_go_on.set()
    assert not first.result().is_replay


def wait_until_queued(count: int) -> None:
    wait_for(lambda: len(group_commit.of(SHARD)._waiting) == count)


def groups_and_syncs() -> tuple[float, float]:
    """How many there were: statements, and syncs in them."""
    (metric,) = metrics.GROUP_SIZE.collect()
    values = {sample.name: sample.value for sample in metric.samples}
    return (
        values["constellation_group_commit_size_count"],
        values["constellation_group_commit_size_sum"],
    )


def test_those_who_come_meanwhile_are_written_together(pool, tvs):
    first, *others = tvs
    groups_before, syncs_before = groups_and_syncs()

    with while_one_is_written(pool, first):
        learning = [pool(learn, tv) for tv in others]
        wait_until_queued(len(others))
    applied = [each.result() for each in learning]

    groups, syncs = groups_and_syncs()
    assert (groups - groups_before, syncs - syncs_before) == (2, 6)
    assert [each.accepted.stored for each in applied] == [1] * 5
    assert all(len(selectors.patterns_of(SHARD, tv.id)) == 1 for tv in tvs)
    assert selectors.pattern_count(SHARD) == 6


def test_each_gets_its_own_tastes(pool, tvs):
    first, ahead, *behind = tvs

    with while_one_is_written(pool, first):
        learning = [pool(learn, tv, with_tastes=True) for tv in behind]
        other = pool(learn, ahead)
        wait_until_queued(5)
    found = [each.result() for each in learning]
    more = learn(behind[0], 2, with_tastes=True)

    assert other.result().tastes is None
    assert [len(each.tastes.weights) for each in [*found, more]] == [1, 1, 1, 1, 2]


def test_two_syncs_of_one_tv_are_never_in_one_group(pool, tvs):
    first, twice, other = tvs[:3]
    groups_before, _ = groups_and_syncs()

    with while_one_is_written(pool, first):
        learning = [pool(learn, twice, 1, base_version=0)]
        wait_until_queued(1)
        learning.append(pool(learn, twice, 2, base_version=1))
        wait_until_queued(2)
        learning.append(pool(learn, other))
        wait_until_queued(3)
    applied = [each.result() for each in learning]

    assert groups_and_syncs()[0] - groups_before == 3
    assert [each.pattern_count for each in applied] == [1, 2, 1]


def test_only_the_guilty_sync_of_a_group_gets_the_error(pool, tvs):
    first, guilty, *others = tvs

    def failing(_embeddings):
        raise ArithmeticError("no cells today")

    with while_one_is_written(pool, first):
        failed = pool(learn, guilty, assign_cells=failing)
        learning = [pool(learn, tv) for tv in others]
        wait_until_queued(5)

    with pytest.raises(ArithmeticError, match="no cells today"):
        failed.result()
    assert [each.result().pattern_count for each in learning] == [1] * 4
    guilty.refresh_from_db()
    assert (guilty.local_version, guilty.pattern_count) == (0, 0)
    assert selectors.pattern_count(SHARD) == 5


def test_refused_syncs_leave_the_others_of_their_group_alone(pool, tvs):
    first, behind, *others = tvs
    groups_before, _ = groups_and_syncs()

    with while_one_is_written(pool, first):
        refused = pool(learn, behind, 9, base_version=8)
        unknown = pool(learn, Device(id=uuid4()))
        learning = [pool(learn, tv) for tv in others]
        wait_until_queued(6)

    with pytest.raises(VersionGap):
        refused.result()
    with pytest.raises(DeviceUnknown):
        unknown.result()
    assert [each.result().pattern_count for each in learning] == [1] * 4
    # Neither made anybody else try again.
    assert groups_and_syncs()[0] - groups_before == 2


def test_a_tv_that_is_written_elsewhere_waits_alone(pool, tvs):
    """Its neighbours in the group don't, and its sync sees what was written."""
    locked, *others = tvs
    with transaction.atomic(using=SHARD):
        Device.objects.using(SHARD).select_for_update().get(pk=locked.id)
        waiting = pool(learn, locked, 2, base_version=1)
        learning = [pool(learn, tv) for tv in others]
        assert [each.result(60).pattern_count for each in learning] == [1] * 5
        assert not waiting.done()
        Device.objects.using(SHARD).filter(pk=locked.id).update(
            local_version=1, pattern_count=7
        )

    assert waiting.result(60).pattern_count == 8


def test_a_connection_that_was_cut_costs_no_sync(tvs):
    learn(tvs[0])
    with connections["default"].cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_terminate_backend(pid, 10000)
            FROM pg_stat_activity
            WHERE datname = %s AND backend_type = 'client backend'
            """,
            [connections[SHARD].settings_dict["NAME"]],
        )
        assert cursor.rowcount >= 2  # the groups', and this thread's own

    assert learn(tvs[1]).pattern_count == 1
    assert learn(tvs[0], 2).pattern_count == 2


def test_whoever_leads_writes_on_the_same_connection(pool, tvs):
    for tv in tvs:
        pool(learn, tv).result()

    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            " AND query LIKE 'WITH sent%%' OR query LIKE '%%held AS MATERIALIZED%%'"
            " AND pid <> pg_backend_pid()",
            [connections[SHARD].settings_dict["NAME"]],
        )
        assert cursor.fetchone() == (1,)


def test_full_queue_turns_syncs_away_with_nothing_written(pool, tvs, monkeypatch):
    monkeypatch.setattr(group_commit, "QUEUE_SYNCS", 2)
    first, second, third, late = tvs[:4]

    with while_one_is_written(pool, first):
        learning = [pool(learn, tv) for tv in (second, third)]
        wait_until_queued(2)
        with pytest.raises(WriterIsBusy):
            learn(late)

    assert [each.result().pattern_count for each in learning] == [1, 1]
    assert not selectors.patterns_of(SHARD, late.id)
    assert learn(late).pattern_count == 1


def test_nobody_waits_for_ever_to_be_taken(pool, tvs, monkeypatch):
    monkeypatch.setattr(group_commit, "PATIENCE_SECONDS", 0.05)
    first, late = tvs[:2]

    with while_one_is_written(pool, first):
        waiting = pool(learn, late)
        with pytest.raises(WriterIsBusy):
            waiting.result(60)

    assert not selectors.patterns_of(SHARD, late.id)
