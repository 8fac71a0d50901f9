"""Counts kept as things happen, against counting what is there."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connections, transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from patterns.services.forget import forget_device
from shards import services, statistics
from shards.models import Device, DeviceHome, Shard, SyncMinute
from shards.statistics import ShardStatistics
from tests.counting import record_sync

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)

pytestmark = pytest.mark.django_db(databases="__all__")


def sync(
    shard: Shard,
    *,
    at: datetime,
    after: datetime | None = None,
    latency_us: int = 0,
    pattern_delta: int = 0,
) -> None:
    record_sync(
        shard_alias=shard.alias,
        now=at,
        previous_sync_at=after,
        latency_us=latency_us,
        pattern_delta=pattern_delta,
    )


def read(shard: Shard, now: datetime) -> ShardStatistics:
    return statistics.read(shard_alias=shard.alias, now=now)


def test_a_shard_without_tvs_has_zeros(vega):
    assert read(vega, NOON) == ShardStatistics(
        total_devices=0,
        active_devices=0,
        patterns_stored=0,
        sync_requests_per_min=0.0,
        avg_sync_latency_ms=0.0,
    )


def test_a_tv_is_active_through_its_minute_and_fifteen_more(vega):
    sync(vega, at=NOON)
    end = NOON.replace(minute=15, second=59)

    assert read(vega, end).active_devices == 1
    assert read(vega, end + timedelta(seconds=1)).active_devices == 0


def test_a_tv_that_syncs_often_is_active_once(vega):
    for minute in range(10):
        at = NOON + timedelta(minutes=minute)
        sync(vega, at=at, after=at - timedelta(minutes=1) if minute else None)

    assert read(vega, NOON + timedelta(minutes=20)).active_devices == 1


def test_syncs_a_minute_are_taken_over_this_minute_and_the_last(vega):
    """3 in the minute before, 2 in half a minute: 5 in 1.5 minutes."""
    for second in (0, 20, 59):
        sync(vega, at=NOON.replace(minute=9, second=second))
    for second in (0, 29):
        sync(vega, at=NOON.replace(minute=10, second=second))
    sync(vega, at=NOON.replace(minute=8))  # too long ago

    rate = read(vega, NOON.replace(minute=10, second=30)).sync_requests_per_min

    assert rate == pytest.approx(5 / 1.5)


def test_the_latency_is_the_mean_of_the_same_syncs(vega):
    sync(vega, at=NOON, latency_us=2_000)
    sync(vega, at=NOON, latency_us=6_000)

    assert read(vega, NOON).avg_sync_latency_ms == 4.0


def test_patterns_add_up(vega):
    sync(vega, at=NOON, pattern_delta=7)
    sync(vega, at=NOON, pattern_delta=-3)

    assert read(vega, NOON).patterns_stored == 4


def test_what_was_rolled_back_was_not_counted(vega):
    with transaction.atomic(using=vega.alias):
        sync(vega, at=NOON, pattern_delta=7)
        transaction.set_rollback(True, using=vega.alias)

    assert read(vega, NOON).active_devices == 0
    assert read(vega, NOON).patterns_stored == 0


def test_few_rows_are_read_however_many_tvs_sync(vega):
    for number in range(200):
        sync(vega, at=NOON + timedelta(seconds=number))

    assert SyncMinute.objects.using(vega.alias).count() <= 5  # minutes, of one thread


class Tvs(RuleBasedStateMachine):
    """TVs enrol, sync and are forgotten while the clock runs, never backwards."""

    def __init__(self) -> None:
        super().__init__()
        # Every example runs in a transaction of its own.
        self.transactions = ExitStack()
        for alias in ("default", "shard_000"):
            self.transactions.enter_context(transaction.atomic(using=alias))
        self.vega = Shard.objects.create(id=0, name="vega", max_devices=1_000)
        self.key = services.batches.create_batch(name="spring").enrolment_key
        self.now = NOON
        self.ids: list[UUID] = []

    def teardown(self) -> None:
        for alias in ("default", "shard_000"):
            transaction.set_rollback(True, using=alias)
        self.transactions.close()

    @rule(seconds=st.integers(0, 20 * 60))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def a_tv_enrols(self) -> None:
        enrolment = services.enrol(enrolment_key=self.key, now=self.now)
        self.ids.append(enrolment.device_id)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), slot=st.integers(0, 63))
    def a_tv_syncs(self, data: st.DataObject, slot: int) -> None:
        devices = Device.objects.using(self.vega.alias)
        device = devices.get(pk=data.draw(st.sampled_from(self.ids)))
        with pytest.MonkeyPatch.context() as elsewhere:
            elsewhere.setattr(statistics, "_slot", lambda: slot)
            sync(self.vega, at=self.now, after=device.last_synced_at)
        devices.filter(pk=device.pk).update(last_synced_at=self.now)

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def a_tv_is_forgotten(self, data: st.DataObject) -> None:
        device_id = data.draw(st.sampled_from(self.ids))
        self.ids.remove(device_id)
        assert forget_device(device_id=device_id, now=self.now)

    @invariant()
    def counts_are_what_counting_gives(self) -> None:
        devices = Device.objects.using(self.vega.alias)
        since = self.now.replace(second=0) - timedelta(minutes=15)
        counted = read(self.vega, self.now)
        assert counted.total_devices == devices.count() == len(self.ids)
        assert (
            counted.active_devices == devices.filter(last_synced_at__gte=since).count()
        )
        self.vega.refresh_from_db()
        assert self.vega.device_count == DeviceHome.objects.count() == len(self.ids)


def test_counts_are_what_counting_gives():
    run_state_machine_as_test(
        Tvs,
        settings=settings(max_examples=20, stateful_step_count=25, deadline=None),
    )


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_threads_that_share_a_slot_lose_no_count_and_do_not_deadlock(vega, monkeypatch):
    """Each writes two minutes and the tally, in whatever order its TVs come."""
    monkeypatch.setattr(statistics, "_slot", lambda: 7)
    n_threads, n_syncs = 4, 20

    def one_tv_after_another(seed: int) -> None:
        try:
            for number in range(n_syncs):
                at = NOON + timedelta(minutes=(seed * 7 + number * 5) % 11)
                after = at - timedelta(minutes=1 + number % 3)
                with transaction.atomic(using=vega.alias):
                    sync(vega, at=at, after=after, pattern_delta=1)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=one_tv_after_another, args=(seed,))
        for seed in range(n_threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(vega, NOON).patterns_stored == n_threads * n_syncs
    syncs = SyncMinute.objects.using(vega.alias).values_list("sync_count", flat=True)
    assert sum(syncs) == n_threads * n_syncs


def test_a_tv_without_a_previous_sync_leaves_no_trace_when_forgotten(vega):
    key = services.batches.create_batch(name="spring").enrolment_key
    enrolment = services.enrol(enrolment_key=key, device_id=uuid4(), now=NOON)

    forget_device(device_id=enrolment.device_id, now=NOON)

    assert read(vega, NOON).total_devices == 0
    assert not SyncMinute.objects.using(vega.alias).exists()
