"""Enrolment: one place, one home, one token, whatever happens in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import cycle
from typing import TypeVar
from uuid import uuid4

import pytest
from django.db import connections

from patterns.services.forget import forget_device
from shards import services, statistics, tokens
from shards.exceptions import (
    BatchClosed,
    BatchFull,
    DeviceOfAnotherBatch,
    DeviceRevoked,
    EnrolmentKeyInvalid,
    NoShardAvailable,
    ShardUnavailable,
)
from shards.models import Device, DeviceHome, Shard, ShardTally
from shards.services.batches import NewBatch

Result = TypeVar("Result")

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def spring(db) -> NewBatch:
    """An open batch without a region or a limit."""
    return services.batches.create_batch(name="spring")


def enrol(batch: NewBatch, **facts) -> services.enrolment.Enrolment:
    return services.enrol(enrolment_key=batch.enrolment_key, **facts)


def places_taken(shard: Shard) -> int:
    shard.refresh_from_db()
    return shard.device_count


def tvs_in(batch: NewBatch) -> int:
    batch.batch.refresh_from_db()
    return batch.batch.device_count


def device_on(shard: Shard, device_id) -> Device:
    return Device.objects.using(shard.alias).get(pk=device_id)


def test_a_tv_gets_a_home_and_a_token_for_it(vega, spring):
    enrolment = enrol(spring, region="eu", model="LX-55", firmware="4.1")

    token = tokens.read(f"Device {enrolment.issued.token}")
    device = device_on(vega, enrolment.device_id)
    assert enrolment.is_new
    assert (token.device_id, token.shard_id) == (enrolment.device_id, vega.id)
    assert (device.region, device.model, device.firmware) == ("eu", "LX-55", "4.1")
    assert device.batch_id == spring.batch.pk
    assert (places_taken(vega), tvs_in(spring)) == (1, 1)


def test_the_shard_counts_its_tvs(vega, spring):
    enrol(spring)
    enrol(spring)

    tally = ShardTally.objects.using(vega.alias)
    assert sum(tally.values_list("device_count", flat=True)) == 2


def test_the_roomiest_shard_takes_it(vega, altair, spring):
    assert enrol(spring).shard == vega


def test_enrolling_again_renews_the_token_and_takes_no_place(vega, spring):
    first = enrol(spring)

    again = enrol(spring, device_id=first.device_id)

    assert not again.is_new
    assert again.shard == vega
    assert (places_taken(vega), tvs_in(spring)) == (1, 1)


def test_enrolling_again_goes_home_even_when_home_is_full(vega, altair, spring):
    services.shards.drain_shard(vega)
    first = enrol(spring)
    assert first.shard == altair
    assert altair.max_devices == places_taken(altair)
    services.shards.activate_shard(vega)

    assert enrol(spring, device_id=first.device_id).shard == altair


def test_enrolling_again_keeps_what_the_tv_leaves_out(vega, spring):
    first = enrol(spring, region="eu", model="LX-55", firmware="4.1")

    enrol(spring, device_id=first.device_id, firmware="4.2")

    device = device_on(vega, first.device_id)
    assert (device.region, device.model, device.firmware) == ("eu", "LX-55", "4.2")


def test_a_silent_tv_is_where_its_batch_is(vega):
    batch = services.batches.create_batch(name="autumn", region="jp")

    enrolment = enrol(batch)

    assert device_on(vega, enrolment.device_id).region == "jp"


def test_a_silent_tv_of_a_silent_batch_is_where_the_server_is(vega, spring, settings):
    settings.REGION = "us"

    enrolment = enrol(spring)

    assert device_on(vega, enrolment.device_id).region == "us"


def test_an_unknown_key_opens_nothing(vega, spring):
    with pytest.raises(EnrolmentKeyInvalid):
        services.enrol(enrolment_key=spring.enrolment_key + "x")

    assert places_taken(vega) == 0


def test_a_draining_shard_takes_no_new_tvs(vega, altair, spring):
    services.shards.drain_shard(vega)

    assert enrol(spring).shard == altair


def test_no_room_anywhere_is_said_with_when_to_come_back(altair, spring):
    enrol(spring)

    with pytest.raises(NoShardAvailable, match="region global") as caught:
        enrol(spring)

    assert 300 <= caught.value.facts["retry_after_seconds"] <= 900
    assert places_taken(altair) == altair.max_devices


def test_a_place_lost_in_a_race_is_looked_for_elsewhere(
    vega, altair, spring, monkeypatch
):
    """What was read of altair was true a moment ago."""
    services.shards.drain_shard(vega)
    was_true = [Shard.objects.get(pk=altair.pk), Shard.objects.get(pk=vega.pk)]
    was_true[1].status = Shard.Status.ACTIVE
    services.shards.activate_shard(vega)
    Shard.objects.filter(pk=altair.pk).update(device_count=altair.max_devices)
    was_true[0].max_devices = 1_000_000
    monkeypatch.setattr("shards.selectors.connected_shards", lambda: was_true)

    enrolment = enrol(spring)

    assert enrolment.shard == vega
    assert places_taken(altair) == altair.max_devices
    assert tvs_in(spring) == 1


def test_a_full_batch_takes_nobody_and_no_place(vega):
    batch = services.batches.create_batch(name="autumn", max_devices=1)
    enrol(batch)

    with pytest.raises(BatchFull, match="all of its 1 TVs"):
        enrol(batch)

    assert (places_taken(vega), tvs_in(batch)) == (1, 1)


def test_a_closed_batch_takes_no_new_tvs(vega, spring):
    services.batches.close_batch(spring.batch)

    with pytest.raises(BatchClosed, match="spring is closed"):
        enrol(spring)

    assert places_taken(vega) == 0


def test_a_closed_batch_renews_the_tokens_of_its_own(vega, spring):
    first = enrol(spring)
    services.batches.close_batch(spring.batch)

    again = enrol(spring, device_id=first.device_id)

    assert not again.is_new


def test_a_reopened_batch_takes_tvs_again(vega, spring):
    services.batches.close_batch(spring.batch)
    services.batches.reopen_batch(spring.batch)

    assert enrol(spring).is_new


def test_another_batchs_key_does_not_reach_a_known_tv(vega, spring):
    first = enrol(spring)
    autumn = services.batches.create_batch(name="autumn")

    with pytest.raises(DeviceOfAnotherBatch):
        enrol(autumn, device_id=first.device_id)

    assert tvs_in(autumn) == 0


def test_a_revoked_tv_gets_no_token(vega, spring):
    first = enrol(spring)
    services.devices.revoke_device(device_id=first.device_id)

    with pytest.raises(DeviceRevoked):
        enrol(spring, device_id=first.device_id)


def test_a_reinstated_tv_gets_a_token_of_a_new_epoch(vega, spring):
    first = enrol(spring)
    services.devices.revoke_device(device_id=first.device_id)
    services.devices.reinstate_device(device_id=first.device_id)

    again = enrol(spring, device_id=first.device_id)

    device = device_on(vega, first.device_id)
    tokens.check_standing(tokens.read(f"Device {again.issued.token}"), device)
    before = tokens.read(f"Device {first.issued.token}")
    assert device.token_epoch == before.token_epoch + 1


def test_a_shard_that_is_down_keeps_the_place_it_gave(deneb, spring):
    device_id = uuid4()

    with pytest.raises(ShardUnavailable, match="Shard 2") as caught:
        enrol(spring, device_id=device_id)

    assert caught.value.facts["retry_after_seconds"] >= 30
    assert DeviceHome.objects.get(pk=device_id).shard == deneb
    assert (places_taken(deneb), tvs_in(spring)) == (1, 1)


def test_the_next_attempt_completes_what_a_crash_interrupted(vega, spring, monkeypatch):
    """The home is written, the TV's row isn't."""
    device_id = uuid4()
    with monkeypatch.context() as crashing:
        crashing.setattr(statistics, "record_devices", _crash)
        with pytest.raises(SystemError):
            enrol(spring, device_id=device_id)
    assert not Device.objects.using(vega.alias).exists()

    enrolment = enrol(spring, device_id=device_id)

    assert enrolment.is_new
    assert device_on(vega, device_id)
    assert (places_taken(vega), tvs_in(spring)) == (1, 1)


def test_a_shard_that_is_down_does_not_keep_others_from_enrolling(deneb, vega, spring):
    """The observer's word sends new TVs elsewhere."""
    Shard.objects.filter(pk=vega.pk).update(device_count=vega.max_devices - 1)
    Shard.objects.filter(pk=deneb.pk).update(
        observed_at=spring.batch.created_at, is_reachable=False
    )

    assert enrol(spring).shard == vega


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_two_enrolments_of_one_tv_at_once_take_one_place(vega, spring):
    device_id = uuid4()

    enrolments = at_once(8, lambda: enrol(spring, device_id=device_id))

    assert sum(enrolment.is_new for enrolment in enrolments) == 1
    assert (places_taken(vega), tvs_in(spring)) == (1, 1)
    tally = ShardTally.objects.using(vega.alias)
    assert sum(tally.values_list("device_count", flat=True)) == 1


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_many_tvs_at_once_never_overfill_a_shard(vega, spring):
    Shard.objects.filter(pk=vega.pk).update(max_devices=5)

    def attempt() -> bool:
        try:
            return enrol(spring).is_new
        except NoShardAvailable:
            return False

    attempts = at_once(8, attempt)

    assert attempts.count(True) == 5
    assert (places_taken(vega), tvs_in(spring)) == (5, 5)
    assert Device.objects.using(vega.alias).count() == 5


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_tv_that_enrols_while_it_is_forgotten_is_either_there_or_gone(vega, spring):
    """Never a TV without a home, nor a place that nobody has."""
    device_id = uuid4()
    acts = cycle(
        [
            lambda: enrol(spring, device_id=device_id),
            lambda: forget_device(device_id=device_id),
        ]
    )

    for _ in range(5):
        at_once(8, lambda: next(acts)())

    homes = DeviceHome.objects.count()
    assert Device.objects.using(vega.alias).count() == homes
    assert (places_taken(vega), tvs_in(spring)) == (homes, homes)
    tally = ShardTally.objects.using(vega.alias)
    assert sum(tally.values_list("device_count", flat=True)) == homes


def at_once(count: int, act: Callable[[], Result]) -> list[Result]:
    """Run ``act`` in as many threads, all set off at the same moment."""
    barrier = threading.Barrier(count)
    results: list[Result] = []

    def run() -> None:
        try:
            barrier.wait()
            results.append(act())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count, "A thread failed."
    return results


def _crash(**_) -> None:
    raise SystemError("The process died here.")
