"""The door of ``/api/v1/devices``, as TVs and operators use it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.utils import timezone

from federation.models import Publication
from patterns.models import Pattern
from shards import services, statistics, tokens
from shards.exceptions import ShardUnavailable
from shards.models import Device, DeviceHome, EnrolmentBatch, Shard
from shards.services.batches import NewBatch
from shards.services.operators import Role
from tests.counting import record_sync

pytestmark = pytest.mark.django_db(databases="__all__")

URL = "/api/v1/devices"


@pytest.fixture
def spring(db) -> NewBatch:
    return services.batches.create_batch(name="spring")


def enrol(client: Client, batch: NewBatch | None, **facts):
    key = {} if batch is None else {"enrolment_key": batch.enrolment_key}
    return client.post(URL, json.dumps(key | facts), content_type="application/json")


def forget_by(client: Client, device_id: object, authorization: str | None):
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.delete(f"{URL}/{device_id}", headers=headers)


def operator(role: Role) -> str:
    """Make one; returns what they send as Authorization."""
    credentials = services.operators.create_operator(username=role, role=role)
    return f"Token {credentials.token}"


def store_pattern(shard: Shard, device_id: UUID) -> None:
    Pattern.objects.using(shard.alias).create(
        device_id=device_id,
        pattern_id=uuid4(),
        embedding=[1.0] + [0.0] * 383,
        success_rate=0.9,
        sample_count=3,
        reported_at=timezone.now(),
    )


# Enrolling


@pytest.mark.parametrize(("sent", "kept"), [("EU", "eu"), ("", "global")])
def test_a_region_is_kept_in_lower_case_and_has_a_default(
    client, vega, spring, sent, kept
):
    device_id = enrol(client, spring, region=sent).json()["device_id"]

    assert Device.objects.using(vega.alias).get(pk=device_id).region == kept


def test_a_new_tv_is_told_all_it_needs(client, vega, spring):
    answer = enrol(client, spring, region="eu", model="LX-55", firmware="4.1")

    body = answer.json()
    assert answer.status_code == 201
    assert set(body) == {
        "device_id",
        "token",
        "token_expires_at",
        "shard_id",
        "sync_url",
        "grpc_target",
        "global_version",
        "next_sync_seconds",
    }
    token = tokens.read(f"Device {body['token']}")
    assert (str(token.device_id), token.shard_id) == (body["device_id"], vega.id)
    assert body["shard_id"] == vega.id
    assert body["sync_url"] == "http://testserver/api/v1/sync"
    assert body["grpc_target"] == "testserver:50051"
    assert body["global_version"] == 0
    assert 300 <= body["next_sync_seconds"] <= 900


def test_the_expiry_is_iso_8601_in_utc(client, vega, spring, settings):
    text = enrol(client, spring).json()["token_expires_at"]

    expires_at = datetime.fromisoformat(text)
    assert expires_at.utcoffset() == timedelta(0)
    expected = timezone.now() + timedelta(days=settings.DEVICE_TOKEN_DAYS)
    assert abs(expires_at - expected) < timedelta(minutes=1)


def test_a_shard_with_doors_of_its_own_sends_its_tvs_there(client, vega, spring):
    vega.sync_url = "https://vega.example.org/api/v1/sync"
    vega.grpc_target = "vega.example.org:50051"
    vega.save()

    body = enrol(client, spring).json()

    assert body["sync_url"] == "https://vega.example.org/api/v1/sync"
    assert body["grpc_target"] == "vega.example.org:50051"


def test_the_version_is_what_the_tvs_own_shard_has(client, vega, spring):
    for alias, version in (("default", 8), (vega.alias, 7)):
        Publication.objects.using(alias).create(
            version=version,
            is_current=True,
            round_id=1,
            checksum="",
            pattern_count=0,
            trend_count=0,
            link_count=0,
            published_at=timezone.now(),
        )

    assert enrol(client, spring).json()["global_version"] == 7


def test_a_known_tv_gets_a_fresh_token(client, vega, spring):
    device_id = str(uuid4())
    first = enrol(client, spring, device_id=device_id)

    again = enrol(client, spring, device_id=device_id)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["device_id"] == device_id
    assert again.json()["shard_id"] == first.json()["shard_id"]


def test_a_stale_token_is_not_in_the_way_of_a_fresh_one(client, vega, spring):
    answer = client.post(
        URL,
        json.dumps({"enrolment_key": spring.enrolment_key}),
        content_type="application/json",
        headers={"Authorization": "Device long.gone"},
    )

    assert answer.status_code == 201


def test_optional_fields_may_be_null(client, vega, spring):
    answer = enrol(
        client, spring, device_id=None, region=None, model=None, firmware=None
    )

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("facts", "field", "accepted"),
    [
        ({"enrolment_key": 5}, "enrolment_key", "1 to 128 characters"),
        ({"enrolment_key": "k" * 129}, "enrolment_key", "1 to 128 characters"),
        ({"device_id": "tv-1"}, "device_id", "a UUID"),
        ({"device_id": 17}, "device_id", "a UUID"),
        ({"region": "e u"}, "region", "1 to 32 of a-z"),
        ({"region": "-eu"}, "region", "beginning with a letter or digit"),
        ({"region": "e" * 33}, "region", "1 to 32 of a-z"),
        ({"region": "eu\n"}, "region", "1 to 32 of a-z"),
        ({"model": "m" * 65}, "model", "1 to 64 characters"),
        ({"model": "LX\u0007"}, "model", "control character"),
        ({"firmware": "4.1\n"}, "firmware", "control character"),
        ({"firmware": "\u202e1.4"}, "firmware", "control character"),  # reads backwards
        ({"firmware": 4.1}, "firmware", "1 to 64 characters"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_accepted(
    client, vega, spring, facts, field, accepted
):
    answer = enrol(client, spring, **facts)

    problem = answer.json()
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert (problem["code"], problem["field"]) == ("invalid_request", field)
    assert accepted in problem["accepted"]
    assert not Device.objects.using(vega.alias).exists()


def test_the_key_is_required(client, vega, db):
    problem = enrol(client, None).json()

    assert (problem["code"], problem["field"]) == ("invalid_request", "enrolment_key")


def test_a_body_is_an_object(client, vega):
    answer = client.post(URL, "[]", content_type="application/json")

    assert (answer.status_code, answer.json()["field"]) == (422, "body")


def close(batch: NewBatch) -> None:
    services.batches.close_batch(batch.batch)


def revoke(batch: NewBatch) -> None:
    services.batches.revoke_batch(batch.batch)


def fill(batch: NewBatch) -> None:
    EnrolmentBatch.objects.update(max_devices=1, device_count=1)


def no_room(batch: NewBatch) -> None:
    Shard.objects.update(device_count=1_000)


@pytest.mark.parametrize(
    ("happens", "status", "code"),
    [
        (close, 403, "batch_closed"),
        (revoke, 403, "batch_closed"),
        (fill, 403, "batch_full"),
        (no_room, 503, "no_shard_available"),
    ],
)
def test_enrolment_is_refused(client, vega, spring, happens, status, code):
    happens(spring)

    answer = enrol(client, spring)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("Retry-After" in answer) == (status == 503)


def test_a_wrong_key_is_refused(client, vega, spring):
    answer = client.post(
        URL, json.dumps({"enrolment_key": "x"}), content_type="application/json"
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "enrolment_key_invalid")


def test_a_tv_of_another_batch_is_refused(client, vega, spring):
    device_id = str(uuid4())
    enrol(client, spring, device_id=device_id)
    autumn = services.batches.create_batch(name="autumn")

    answer = enrol(client, autumn, device_id=device_id)

    assert answer.status_code == 403
    assert answer.json()["code"] == "device_of_another_batch"


def test_a_revoked_tv_is_refused(client, vega, spring):
    device_id = enrol(client, spring).json()["device_id"]
    services.devices.revoke_device(device_id=UUID(device_id))

    answer = enrol(client, spring, device_id=device_id)

    assert (answer.status_code, answer.json()["code"]) == (403, "device_revoked")


def test_a_host_that_cannot_be_takes_no_place(client, vega, spring):
    answer = client.post(
        URL,
        json.dumps({"enrolment_key": spring.enrolment_key}),
        content_type="application/json",
        headers={"Host": "a host"},
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert not DeviceHome.objects.exists()


def test_a_shard_that_is_down_says_when_to_come_back(client, deneb, spring):
    answer = enrol(client, spring)

    assert (answer.status_code, answer.json()["code"]) == (503, "shard_unavailable")
    assert int(answer["Retry-After"]) >= 30


# Forgetting


@pytest.fixture
def tv(client, vega, spring) -> dict[str, str]:
    """Enrolled on vega, with two patterns, having synced a minute ago."""
    enrolled = enrol(client, spring).json()
    device_id = UUID(enrolled["device_id"])
    synced_at = timezone.now() - timedelta(minutes=1)
    record_sync(
        shard_alias=vega.alias,
        now=synced_at,
        previous_sync_at=None,
        latency_us=0,
        pattern_delta=2,
    )
    Device.objects.using(vega.alias).update(last_synced_at=synced_at)
    store_pattern(vega, device_id)
    store_pattern(vega, device_id)
    return {
        "id": enrolled["device_id"],
        "authorization": f"Device {enrolled['token']}",
    }


def is_known(tv: dict[str, str], shard: Shard) -> bool:
    traces = (
        Device.objects.using(shard.alias).filter(pk=tv["id"]),
        Pattern.objects.using(shard.alias).filter(device_id=tv["id"]),
        DeviceHome.objects.filter(pk=tv["id"]),
    )
    return any(trace.exists() for trace in traces)


def test_a_tv_is_forgotten_with_all_it_ever_sent(client, vega, tv):
    bystander = uuid4()
    store_pattern(vega, bystander)

    answer = forget_by(client, tv["id"], tv["authorization"])

    assert (answer.status_code, answer.content) == (204, b"")
    assert not is_known(tv, vega)
    assert Pattern.objects.using(vega.alias).get().device_id == bystander


def test_no_count_remembers_it(client, vega, tv):
    forget_by(client, tv["id"], tv["authorization"])

    vega.refresh_from_db()
    left = statistics.read(shard_alias=vega.alias, now=timezone.now())
    assert (left.total_devices, left.active_devices, left.patterns_stored) == (0, 0, 0)
    assert vega.device_count == 0
    assert EnrolmentBatch.objects.get().device_count == 0


def test_forgetting_again_is_the_same_to_the_tv(client, vega, tv):
    forget_by(client, tv["id"], tv["authorization"])

    assert forget_by(client, tv["id"], tv["authorization"]).status_code == 204
    vega.refresh_from_db()
    assert vega.device_count == 0


def test_another_tvs_token_forgets_nothing(client, vega, tv, spring):
    stranger = enrol(client, spring).json()

    answer = forget_by(client, tv["id"], f"Device {stranger['token']}")

    assert answer.status_code == 403
    assert answer.json()["code"] == "token_of_another_device"
    assert is_known(tv, vega)


def test_a_revoked_tv_forgets_nothing(client, vega, tv):
    """Its token may be in the wrong hands; an operator can still forget it."""
    services.devices.revoke_device(device_id=UUID(tv["id"]))

    answer = forget_by(client, tv["id"], tv["authorization"])

    assert (answer.status_code, answer.json()["code"]) == (403, "device_revoked")
    assert is_known(tv, vega)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "token_missing"),
        ("Device x", "token_invalid"),
        ("Token 0123456789", "not_authenticated"),  # of no operator
    ],
)
def test_strangers_forget_nothing(client, vega, tv, authorization, code):
    answer = forget_by(client, tv["id"], authorization)

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert is_known(tv, vega)


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.VIEWER, 403), (Role.OPERATOR, 204), (Role.ADMINISTRATOR, 204)],
)
def test_roles_that_may_forget_a_tv(client, vega, tv, role, status):
    answer = forget_by(client, tv["id"], operator(role))

    assert answer.status_code == status
    assert is_known(tv, vega) == (status == 403)


class TestBrowserOfAnOperator:
    @pytest.fixture
    def authorization(self, db) -> str:
        return operator(Role.OPERATOR)

    @pytest.fixture
    def browser(self, authorization, django_user_model) -> Client:
        """Signed in, at a server that asks for CSRF tokens."""
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(django_user_model.objects.get(username=Role.OPERATOR))
        return browser

    def test_forgets_a_tv_with_its_csrf_token(self, browser, vega, tv):
        csrf_token = "c" * 32
        browser.cookies["csrftoken"] = csrf_token

        answer = browser.delete(
            f"{URL}/{tv['id']}", headers={"X-CSRFToken": csrf_token}
        )

        assert answer.status_code == 204
        assert not is_known(tv, vega)

    def test_is_told_of_a_missing_csrf_token(self, browser, vega, tv):
        answer = forget_by(browser, tv["id"], None)

        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        assert "X-CSRFToken" in answer.json()["detail"]
        assert is_known(tv, vega)

    def test_needs_none_beside_an_api_token(self, browser, vega, tv, authorization):
        answer = forget_by(browser, tv["id"], authorization)

        assert answer.status_code == 204
        assert not is_known(tv, vega)


def test_an_operator_is_told_of_an_unknown_tv(client, vega):
    unknown = uuid4()

    answer = forget_by(client, unknown, operator(Role.OPERATOR))

    assert (answer.status_code, answer.json()["code"]) == (404, "device_not_found")
    assert str(unknown) in answer.json()["detail"]


def test_an_id_is_a_uuid(client, vega):
    answer = forget_by(client, "tv-1", operator(Role.OPERATOR))

    assert (answer.status_code, answer.json()["field"]) == (422, "device_id")


def test_a_crash_in_between_is_completed_by_the_retry(client, vega, tv, monkeypatch):
    """The shard has forgotten it, the directory hasn't yet."""

    def crash(_home: DeviceHome) -> None:
        raise ShardUnavailable(shard_id=vega.id)

    with monkeypatch.context() as crashing:
        crashing.setattr(services.devices, "give_up_home", crash)
        assert forget_by(client, tv["id"], tv["authorization"]).status_code == 503
    assert not Device.objects.using(vega.alias).exists()
    assert DeviceHome.objects.filter(pk=tv["id"]).exists()

    assert forget_by(client, tv["id"], tv["authorization"]).status_code == 204
    assert not is_known(tv, vega)
    vega.refresh_from_db()
    left = statistics.read(shard_alias=vega.alias, now=timezone.now())
    assert (vega.device_count, left.total_devices, left.patterns_stored) == (0, 0, 0)


def test_a_forgotten_tv_may_come_back_as_a_new_one(client, vega, tv, spring):
    forget_by(client, tv["id"], tv["authorization"])

    answer = enrol(client, spring, device_id=tv["id"])

    assert answer.status_code == 201
    assert Device.objects.using(vega.alias).get().local_version == 0


def test_the_tokens_of_a_forgotten_tv_stay_worthless(client, vega, tv, spring):
    """It may have been sold, and be in another household now."""
    forget_by(client, tv["id"], tv["authorization"])
    enrol(client, spring, device_id=tv["id"])

    answer = forget_by(client, tv["id"], tv["authorization"])

    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert is_known(tv, vega)


def test_a_shard_that_is_down_keeps_the_tv_known(client, deneb, spring):
    """Otherwise its patterns would stay behind with nobody to ask for them."""
    device_id = uuid4()
    DeviceHome.objects.create(device_id=device_id, shard=deneb, batch=spring.batch)
    issued = tokens.issue(device_id=device_id, shard_id=deneb.id, token_epoch=0)

    answer = forget_by(client, device_id, f"Device {issued.token}")

    assert (answer.status_code, answer.json()["code"]) == (503, "shard_unavailable")
    assert DeviceHome.objects.filter(pk=device_id).exists()
