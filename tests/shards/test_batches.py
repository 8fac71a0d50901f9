from __future__ import annotations

import json
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from shards import services, tokens
from shards.exceptions import BatchClosed, BatchRevoked, DeviceRevoked, NameTaken
from shards.models import Device, EnrolmentBatch
from shards.services import batches

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def spring(db) -> batches.NewBatch:
    return batches.create_batch(name="spring")


def run(*args: str) -> str:
    out = StringIO()
    call_command("enrolment_batch", *args, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*args: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run(*args, "--json"))
    return facts


def test_the_key_itself_is_not_stored(spring):
    stored = EnrolmentBatch.objects.values().get(name="spring")

    assert spring.enrolment_key not in str(stored)
    assert spring.enrolment_key.encode() not in bytes(stored["key_digest"])


def test_a_name_is_used_once(spring):
    with pytest.raises(NameTaken, match="called spring"):
        batches.create_batch(name="spring")


def test_revoking_a_batch_refuses_its_tvs_on_every_shard(vega, altair, spring):
    summer = batches.create_batch(name="summer")
    on_vega = services.enrol(enrolment_key=spring.enrolment_key)
    bystander = services.enrol(enrolment_key=summer.enrolment_key)
    services.shards.drain_shard(vega)
    on_altair = services.enrol(enrolment_key=spring.enrolment_key)

    revocation = batches.revoke_batch(spring.batch)

    assert revocation.revoked_count == 2
    assert revocation.failed_shards == []
    revoked = {
        device.id: device.revoked_at is not None
        for shard in (vega, altair)
        for device in Device.objects.using(shard.alias)
    }
    assert revoked == {
        on_vega.device_id: True,
        on_altair.device_id: True,
        bystander.device_id: False,
    }


def test_a_token_of_a_revoked_batch_has_no_standing(vega, spring):
    enrolment = services.enrol(enrolment_key=spring.enrolment_key)
    batches.revoke_batch(spring.batch)

    token = tokens.read(f"Device {enrolment.issued.token}")
    device = Device.objects.using(vega.alias).get(pk=enrolment.device_id)
    with pytest.raises(DeviceRevoked):
        tokens.check_standing(token, device)


def test_a_revoked_batch_neither_renews_nor_takes_tvs(vega, spring):
    enrolment = services.enrol(enrolment_key=spring.enrolment_key)
    batches.revoke_batch(spring.batch)

    with pytest.raises(DeviceRevoked):
        services.enrol(
            enrolment_key=spring.enrolment_key, device_id=enrolment.device_id
        )
    with pytest.raises(BatchClosed, match="spring is revoked"):
        services.enrol(enrolment_key=spring.enrolment_key)


def test_a_tv_that_moves_in_behind_the_sweep_is_refused_too(vega, spring, monkeypatch):
    """It read the batch as open, and its row came after the sweep had passed."""
    write_device = services.enrolment._write_device

    def revoked_just_before(**facts):
        batches.revoke_batch(EnrolmentBatch.objects.get(pk=spring.batch.pk))
        return write_device(**facts)

    monkeypatch.setattr(services.enrolment, "_write_device", revoked_just_before)

    with pytest.raises(DeviceRevoked):
        services.enrol(enrolment_key=spring.enrolment_key)
    assert Device.objects.using(vega.alias).get().revoked_at is not None


def test_the_sweep_goes_step_by_step_over_all_tvs(vega, spring, monkeypatch):
    """Steps of 3 over 7 TVs: 3 + 3 + 1, and of every second TV the batch is another."""
    monkeypatch.setattr(batches, "REVOKE_STEP", 3)
    Device.objects.using(vega.alias).bulk_create(
        Device(
            id=UUID(int=number),
            batch_id=spring.batch.pk + number % 2,
            region="global",
            enrolled_at=spring.batch.created_at,
        )
        for number in range(1, 8)
    )

    revocation = batches.revoke_batch(spring.batch)

    revoked = Device.objects.using(vega.alias).exclude(revoked_at=None)
    assert revocation.revoked_count == 3
    assert {device.id.int for device in revoked} == {2, 4, 6}


def test_a_revoked_batch_is_not_opened_again(spring):
    batches.revoke_batch(spring.batch)

    with pytest.raises(BatchRevoked):
        batches.reopen_batch(spring.batch)


def test_the_command_prints_the_key_once_for_machines(vega):
    facts = run_json("create", "spring", "--region", "eu", "--max-devices", "5")

    enrolment = services.enrol(enrolment_key=facts["enrolment_key"])
    batch = EnrolmentBatch.objects.get(pk=facts["batch_id"])
    assert set(facts) == {"batch_id", "name", "region", "enrolment_key"}
    assert (batch.name, batch.region, batch.max_devices) == ("spring", "eu", 5)
    assert enrolment.is_new


def test_the_command_prints_the_key_for_people(vega):
    key = run("create", "spring").splitlines()[-1]

    assert services.enrol(enrolment_key=key).is_new


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "spring", "--region", "E U"], "--region 'E U': accepted are 1 to"),
        (["create", "spring", "--max-devices", "0"], "--max-devices 0: accepted are 1"),
        (["create", "n" * 65], "NAME: accepted are 1 to 64"),
        (["close", "winter"], "no enrolment batch winter; the newest are: none yet"),
    ],
)
def test_the_command_says_what_is_accepted(db, arguments, message):
    with pytest.raises(CommandError) as caught:
        run(*arguments)

    assert message in str(caught.value)


def test_the_command_lists_batches(vega, spring):
    services.enrol(enrolment_key=spring.enrolment_key)

    listed = run_json("list")["batches"]

    assert [(b["name"], b["status"], b["devices"]) for b in listed] == [
        ("spring", "open", 1)
    ]
    assert run("list") == "spring: open, 1 TVs\n"


def test_the_command_closes_and_reopens(spring):
    assert run_json("close", "spring")["status"] == "closed"
    assert run_json("reopen", "spring")["status"] == "open"


def test_the_command_revokes_nothing_without_yes(vega, spring):
    services.enrol(enrolment_key=spring.enrolment_key)

    output = run("revoke", "spring")

    assert "1 TVs of spring would be refused" in output
    assert Device.objects.using(vega.alias).get().revoked_at is None
    assert EnrolmentBatch.objects.get().status == "open"


def test_the_command_revokes(vega, spring):
    services.enrol(enrolment_key=spring.enrolment_key)

    facts = run_json("revoke", "spring", "--yes")

    assert (facts["revoked"], facts["failed_shards"]) == (1, [])
    assert Device.objects.using(vega.alias).get().revoked_at is not None


def test_the_command_names_shards_it_could_not_reach(vega, deneb, spring):
    services.shards.drain_shard(deneb)
    services.enrol(enrolment_key=spring.enrolment_key)

    with pytest.raises(CommandError, match="No answer from shards 2"):
        run("revoke", "spring", "--yes")

    assert Device.objects.using(vega.alias).get().revoked_at is not None


def test_the_command_says_that_the_control_database_is_down(db, monkeypatch):
    def is_down(_name: str) -> EnrolmentBatch:
        raise OperationalError

    monkeypatch.setattr("shards.selectors.batch_by_name", is_down)

    with pytest.raises(CommandError, match="control database can't be reached"):
        run("close", "spring")


def test_key_may_follow_an_option_on_a_command_line(monkeypatch):
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: "-k-3y")

    assert batches.create_batch(name="dashes").enrolment_key == "_k-3y"
