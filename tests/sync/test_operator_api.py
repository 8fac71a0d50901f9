"""``/api/v1/stats`` and ``/api/v1/shards``, as operators and their scripts use them."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from shards import services, statistics
from shards.models import Shard
from shards.services.operators import Role
from tests.counting import record_sync

# The shards are asked from threads, which see only what is committed.
pytestmark = pytest.mark.django_db(
    databases=["default", "shard_000", "shard_001", "shard_002"], transaction=True
)


@pytest.fixture
def viewer(db) -> Client:
    credentials = services.operators.create_operator(username="vera", role=Role.VIEWER)
    return Client(headers={"Authorization": f"Token {credentials.token}"})


@pytest.fixture
def busy_vega(vega: Shard) -> Shard:
    """Two TVs, one of which has just synced three patterns in 5 ms."""
    statistics.record_devices(shard_alias=vega.alias, delta=2)
    record_sync(
        shard_alias=vega.alias,
        now=timezone.now(),
        previous_sync_at=None,
        latency_us=5_000,
        pattern_delta=3,
    )
    return vega


def test_statistics_are_as_of_now(viewer, busy_vega):
    answer = viewer.get("/api/v1/stats")

    (facts,) = answer.json()
    assert answer.status_code == 200
    assert 0.5 <= facts.pop("sync_requests_per_min") <= 1.0
    assert facts == {
        "shard_id": 0,
        "total_devices": 2,
        "active_devices": 1,
        "patterns_stored": 3,
        "avg_sync_latency_ms": 5.0,
        "reachable": True,
    }


def test_one_shard_is_asked_for(viewer, busy_vega, altair):
    listed = viewer.get("/api/v1/stats").json()
    asked_for = viewer.get("/api/v1/stats?shard_id=1").json()

    assert [facts["shard_id"] for facts in listed] == [0, 1]
    assert [facts["shard_id"] for facts in asked_for] == [1]


def test_a_shard_that_is_down_shows_what_was_last_seen(viewer, busy_vega, deneb):
    Shard.objects.filter(pk=deneb.pk).update(
        is_reachable=True,  # so the observer still believed
        device_count=9,
        active_device_count=4,
        pattern_count=50,
        syncs_per_minute=1.5,
        mean_latency_ms=2.5,
    )

    alive, down = viewer.get("/api/v1/stats").json()

    assert (alive["shard_id"], alive["reachable"]) == (0, True)
    assert down == {
        "shard_id": 2,
        "total_devices": 9,
        "active_devices": 4,
        "patterns_stored": 50,
        "sync_requests_per_min": 1.5,
        "avg_sync_latency_ms": 2.5,
        "reachable": False,
    }


def test_a_shard_served_elsewhere_is_not_asked(viewer, busy_vega, settings):
    settings.SHARD_IDS = frozenset({1})
    Shard.objects.filter(pk=busy_vega.pk).update(
        is_reachable=True, active_device_count=77
    )

    (facts,) = viewer.get("/api/v1/stats").json()

    assert (facts["active_devices"], facts["reachable"]) == (77, True)


@pytest.mark.parametrize(
    ("shard_id", "status", "code"),
    [
        ("5", 404, "unknown_shard"),
        ("vega", 422, "invalid_request"),
        ("-1", 422, "invalid_request"),
        ("", 422, "invalid_request"),
        ("٣", 422, "invalid_request"),  # a digit, elsewhere
        ("9" * 400, 422, "invalid_request"),
    ],
)
def test_another_shard_is_refused(viewer, busy_vega, shard_id, status, code):
    answer = viewer.get("/api/v1/stats", {"shard_id": shard_id})

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_shards_and_their_room(viewer, vega, altair):
    services.shards.drain_shard(vega)

    answer = viewer.get("/api/v1/shards")

    assert answer.json() == [
        {
            "id": 0,
            "name": "vega",
            "region": "global",
            "devices": 0,
            "max_devices": 1_000,
            "used_fraction": 0.0,
            "status": "draining",
        },
        {
            "id": 1,
            "name": "altair",
            "region": "global",
            "devices": 9,
            "max_devices": 10,
            "used_fraction": 0.9,
            "status": "active",
        },
    ]


@pytest.mark.parametrize("path", ["/api/v1/stats", "/api/v1/shards"])
class TestWhoMayLook:
    def test_a_session_may(self, client, vega, path):
        credentials = services.operators.create_operator(
            username="vera", role=Role.VIEWER
        )
        assert client.login(username="vera", password=credentials.password)

        assert client.get(path).status_code == 200

    def test_nobody_in_particular_may_not(self, client, vega, path):
        answer = client.get(path)

        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
        assert answer["Content-Type"] == "application/problem+json"

    def test_a_tv_may_not(self, client, vega, path):
        key = services.batches.create_batch(name="spring").enrolment_key
        token = services.enrol(enrolment_key=key).issued.token

        answer = client.get(path, headers={"Authorization": f"Device {token}"})

        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")

    def test_an_account_without_a_role_may_not(
        self, client, vega, path, django_user_model
    ):
        client.force_login(django_user_model.objects.create_user("nobody"))

        answer = client.get(path)

        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
