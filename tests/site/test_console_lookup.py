"""The look-up of one TV. Of the shards it visits that TV's own and no other."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.test import Client
from django.utils import timezone

from patterns.models import Pattern
from shards.models import Device, DeviceHome
from shards.services import batches, enrol
from shards.services.operators import Role
from tests.console import add_content, cell_of, direction, logged_in, publish

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

LOOKUP = "/admin/shards/devicehome/"


@pytest.fixture
def viewer(client: Client) -> Client:
    return logged_in(client, Role.VIEWER)


@pytest.fixture
def operator(client: Client) -> Client:
    return logged_in(client, Role.OPERATOR)


@pytest.fixture
def device_id(vega) -> UUID:
    """A TV on vega, of the batch "Living rooms"."""
    made = batches.create_batch(name="Living rooms")
    return enrol(
        enrolment_key=made.enrolment_key, region="eu-west", model="Aurora 55"
    ).device_id


def add_pattern(device_id: UUID, **fields) -> Pattern:
    return Pattern.objects.using("shard_000").create(
        **{
            "device_id": device_id,
            "pattern_id": uuid4(),
            "embedding": direction(1.0),
            "success_rate": 0.83,
            "sample_count": 12,
            "reported_at": timezone.now(),
            **fields,
        }
    )


def test_pasted_id_leads_to_the_tv(viewer, device_id):
    answer = viewer.get(LOOKUP, {"id": f"  {str(device_id).upper()} "})

    assert answer["Location"] == f"{LOOKUP}{device_id}/"


def test_tv_page_tells_where_it_lives_and_where_it_stands(viewer, device_id):
    Device.objects.using("shard_000").update(local_version=123)

    page = viewer.get(f"{LOOKUP}{device_id}/").content.decode()

    for fact in ("vega", "Living rooms", "eu-west", "Aurora 55", ">123<", "never"):
        assert fact in page


def test_tv_page_shows_its_patterns_in_words(viewer, device_id):
    publish(1)
    cell_of(1, 7).save()
    add_content("tt1", "Alien", year=1979)
    add_pattern(
        device_id, content_ids=["tt1"], time_of_day=4, genre_hints=["horror"], cell=7
    )

    page = viewer.get(f"{LOOKUP}{device_id}/").content.decode()

    for fact in ("Alien (1979)", "evening", "horror", "83 %", "Cell 7", "1 stored"):
        assert fact in page


def test_tv_page_costs_no_query_a_pattern(
    viewer, device_id, django_assert_max_num_queries
):
    for i in range(64):
        add_pattern(device_id, content_ids=[f"tt{i}"], cell=i)

    with (
        django_assert_max_num_queries(14),
        django_assert_max_num_queries(4, using="shard_000"),
    ):
        page = viewer.get(f"{LOOKUP}{device_id}/")

    assert page.status_code == 200


def test_malformed_id_is_explained(viewer):
    page = viewer.get(LOOKUP, {"id": "living room"}).content.decode()

    assert "isn&#x27;t a TV&#x27;s id" in page
    assert 'value="living room"' in page


def test_unknown_id_is_explained(viewer):
    answer = viewer.get(f"{LOOKUP}{uuid4()}/")

    assert answer.status_code == 404
    assert "No TV has this id" in answer.content.decode()


@pytest.mark.django_db(databases=["default", "shard_002"])
def test_unreachable_shard_leaves_what_the_control_database_knows(viewer, deneb):
    batch = batches.create_batch(name="Living rooms").batch
    home = DeviceHome.objects.create(device_id=uuid4(), shard=deneb, batch=batch)

    page = viewer.get(f"{LOOKUP}{home.pk}/").content.decode()

    assert "deneb doesn't answer" in page
    assert "Living rooms" in page


def test_half_enrolled_tv_is_explained(viewer, device_id):
    Device.objects.using("shard_000").all().delete()

    page = viewer.get(f"{LOOKUP}{device_id}/").content.decode()

    assert "Not on its shard" in page


def test_there_is_no_list_of_tvs(viewer, device_id):
    assert str(device_id) not in viewer.get(LOOKUP).content.decode()


@pytest.mark.parametrize("deed", ["revoke", "reinstate", "forget"])
def test_viewer_may_only_look(viewer, device_id, deed):
    page = viewer.get(f"{LOOKUP}{device_id}/").content.decode()
    answer = viewer.post(f"{LOOKUP}{device_id}/{deed}/", {"confirmed": "yes"})

    assert answer.status_code == 403
    assert f"/{deed}/" not in page
    assert DeviceHome.objects.filter(pk=device_id).exists()


@pytest.mark.parametrize(
    ("deed", "question"),
    [
        ("revoke", "Revoke this TV?"),
        ("reinstate", "Reinstate this TV?"),
        ("forget", "Forget this TV?"),
    ],
)
def test_every_deed_asks_first(operator, device_id, deed, question):
    answer = operator.post(f"{LOOKUP}{device_id}/{deed}/")

    assert question in answer.content.decode()
    assert not LogEntry.objects.exists()
    assert Device.objects.using("shard_000").get().revoked_at is None


def test_operator_revokes_and_reinstates_a_tv(operator, device_id):
    operator.post(f"{LOOKUP}{device_id}/revoke/", {"confirmed": "yes"})
    revoked_at = Device.objects.using("shard_000").get().revoked_at
    answer = operator.post(
        f"{LOOKUP}{device_id}/reinstate/", {"confirmed": "yes"}, follow=True
    )

    assert revoked_at is not None
    assert Device.objects.using("shard_000").get().revoked_at is None
    # The page tells what was done, and by whom.
    page = answer.content.decode()
    assert "Revoked." in page
    assert "Reinstated." in page
    assert "operator," in page


def test_operator_forgets_a_tv_and_all_it_sent(operator, device_id):
    add_pattern(device_id)

    answer = operator.post(
        f"{LOOKUP}{device_id}/forget/", {"confirmed": "yes"}, follow=True
    )

    assert "1 TV forgotten." in answer.content.decode()
    assert not DeviceHome.objects.exists()
    assert not Device.objects.using("shard_000").exists()
    assert not Pattern.objects.using("shard_000").exists()


def test_forgetting_is_logged(operator, device_id):
    operator.post(f"{LOOKUP}{device_id}/forget/", {"confirmed": "yes"})

    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.object_id) == (DELETION, str(device_id))
    assert entry.user.username == "operator"


@pytest.mark.django_db(databases=["default", "shard_002"])
def test_tv_on_an_unreachable_shard_is_not_half_forgotten(operator, deneb):
    batch = batches.create_batch(name="Living rooms").batch
    home = DeviceHome.objects.create(device_id=uuid4(), shard=deneb, batch=batch)

    answer = operator.post(
        f"{LOOKUP}{home.pk}/forget/", {"confirmed": "yes"}, follow=True
    )

    assert "can&#x27;t be reached" in answer.content.decode()
    assert DeviceHome.objects.filter(pk=home.pk).exists()
    assert not LogEntry.objects.exists()
