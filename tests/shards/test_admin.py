"""Shards and enrolment batches in the console.

The tests that declare no shard database prove as well that these pages visit none.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from shards.admin.batches import BATCH_TONES
from shards.admin.shards import SHARD_TONES, SIGHT_TONES
from shards.condition import Fill, Sight, fill_of
from shards.models import EnrolmentBatch, Shard
from shards.selectors import batch_by_key
from shards.services import batches, enrol
from shards.services.operators import Role
from tests.console import logged_in

pytestmark = pytest.mark.django_db

SHARDS = "/admin/shards/shard/"
BATCHES = "/admin/shards/enrolmentbatch/"


@pytest.fixture
def viewer(client: Client) -> Client:
    return logged_in(client, Role.VIEWER)


@pytest.fixture
def operator(client: Client) -> Client:
    return logged_in(client, Role.OPERATOR)


@pytest.fixture
def administrator(client: Client) -> Client:
    return logged_in(client, Role.ADMINISTRATOR)


@pytest.fixture
def batch() -> EnrolmentBatch:
    return batches.create_batch(name="Living rooms").batch


def test_every_status_has_a_tone():
    assert set(SHARD_TONES) == set(Shard.Status)
    assert set(BATCH_TONES) == set(EnrolmentBatch.Status)
    assert set(SIGHT_TONES) == set(Sight)


@pytest.mark.parametrize(
    ("used_fraction", "fill"),
    [
        (0.0, Fill.ROOMY),
        (0.749, Fill.ROOMY),
        (0.75, Fill.NEARLY_FULL),
        (0.899, Fill.NEARLY_FULL),
        (0.90, Fill.FULL),
        (1.2, Fill.FULL),  # the capacity was lowered
    ],
)
def test_bar_turns_amber_then_red(used_fraction, fill):
    assert fill_of(used_fraction) is fill


def test_list_tells_how_each_shard_is(viewer, vega, altair):
    seen_at = timezone.now()
    Shard.objects.filter(pk=vega.pk).update(
        observed_at=seen_at, is_reachable=True, active_device_count=1_234
    )
    Shard.objects.filter(pk=altair.pk).update(observed_at=seen_at)

    page = viewer.get(SHARDS).content.decode()

    assert "vega" in page
    assert "1,234" in page
    assert "cs-bar-full" in page  # altair, 9 of 10
    assert "90 %" in page
    assert "unreachable" in page


def test_two_hundred_shards_cost_no_more_queries_than_two(
    viewer, vega, altair, django_assert_max_num_queries
):
    Shard.objects.bulk_create(
        Shard(id=i, name=f"star {i}", region=f"region {i % 9}", max_devices=100)
        for i in range(10, 208)
    )

    with django_assert_max_num_queries(12):
        page = viewer.get(SHARDS)

    assert page.status_code == 200


@pytest.mark.parametrize(
    ("condition", "found"),
    [("nearly_full", "altair"), ("unreachable", "vega"), ("stale", "altair")],
)
def test_lists_behind_the_warnings(viewer, vega, altair, condition, found):
    now = timezone.now()
    Shard.objects.filter(pk=vega.pk).update(observed_at=now, is_reachable=False)
    Shard.objects.filter(pk=altair.pk).update(
        observed_at=now - timedelta(hours=1), is_reachable=True
    )

    answer = viewer.get(SHARDS, {"condition": condition})

    assert [shard.name for shard in answer.context["cl"].result_list] == [found]


def test_draining_asks_first(operator, vega):
    answer = operator.post(SHARDS, {"action": "drain", "_selected_action": [vega.pk]})

    vega.refresh_from_db()
    assert "Drain vega?" in answer.content.decode()
    assert vega.status == Shard.Status.ACTIVE


def test_draining_several_asks_about_all_of_them(operator, vega, altair):
    answer = operator.post(
        SHARDS, {"action": "drain", "_selected_action": [vega.pk, altair.pk]}
    )

    assert "Drain 2 shards?" in answer.content.decode()


def test_confirmed_draining_is_done_counted_and_logged(operator, vega, altair):
    answer = operator.post(
        SHARDS,
        {
            "action": "drain",
            "_selected_action": [vega.pk, altair.pk],
            "confirmed": "yes",
        },
        follow=True,
    )

    assert "2 shards drained." in answer.content.decode()
    assert set(Shard.objects.values_list("status", flat=True)) == {"draining"}
    assert LogEntry.objects.filter(change_message="Drained.").count() == 2


def test_confirmation_carries_the_selection(operator, vega, altair):
    asked = operator.post(
        SHARDS, {"action": "drain", "_selected_action": [vega.pk, altair.pk]}
    )
    fields = re.findall(
        r'<input type="hidden" name="(\w+)" value="(\w+)">', asked.content.decode()
    )

    answer = operator.post(
        SHARDS,
        {
            "_selected_action": [v for n, v in fields if n == "_selected_action"],
            "action": dict(fields)["action"],
            "confirmed": dict(fields)["confirmed"],
        },
        follow=True,
    )

    assert "2 shards drained." in answer.content.decode()


def test_shard_is_drained_and_activated_from_its_page(operator, vega):
    drain = reverse("admin:shards_shard_drain_this", args=[vega.pk])
    activate = reverse("admin:shards_shard_activate_this", args=[vega.pk])

    operator.post(drain, {"confirmed": "yes"})
    drained = Shard.objects.get(pk=vega.pk).status
    operator.post(activate, {"confirmed": "yes"})
    activated = Shard.objects.get(pk=vega.pk).status

    assert (drained, activated) == ("draining", "active")


def test_following_a_link_drains_nothing(operator, vega):
    operator.get(
        reverse("admin:shards_shard_drain_this", args=[vega.pk]), {"confirmed": "yes"}
    )

    vega.refresh_from_db()
    assert vega.status == Shard.Status.ACTIVE


def test_viewer_drains_nothing(viewer, vega):
    from_list = {
        "action": "drain",
        "_selected_action": [vega.pk],
        "confirmed": "yes",
    }
    drain_url = reverse("admin:shards_shard_drain_this", args=[vega.pk])

    viewer.post(SHARDS, from_list)
    answer = viewer.post(drain_url, {"confirmed": "yes"})

    vega.refresh_from_db()
    assert answer.status_code == 403
    assert vega.status == Shard.Status.ACTIVE


def test_operator_changes_a_shards_capacity(operator, vega):
    answer = operator.post(
        f"{SHARDS}{vega.pk}/change/",
        {"name": "vega", "region": "eu-west", "max_devices": 2_000},
    )

    vega.refresh_from_db()
    assert answer.status_code == 302
    assert (vega.region, vega.max_devices) == ("eu-west", 2_000)


@pytest.mark.parametrize("page", ["add/", "0/delete/"])
def test_shards_come_and_go_with_their_databases(administrator, vega, page):
    assert administrator.get(SHARDS + page).status_code == 403


def test_new_batch_shows_its_key_this_once(operator):
    fields = {"name": "Kitchens", "region": "eu-west", "max_devices": 50}

    shown = operator.post(f"{BATCHES}add/", fields)
    page = shown.content.decode()
    key = re.search(r'id="enrolment-key"[^>]*>([^<]+)<', page)
    later = operator.get(BATCHES).content.decode()

    assert key is not None
    assert batch_by_key(key[1]).name == "Kitchens"
    assert "no-store" in shown["Cache-Control"]
    assert key[1] not in later
    assert key[1] not in str(operator.cookies)


def test_new_batch_is_logged(operator):
    operator.post(f"{BATCHES}add/", {"name": "Kitchens"})

    batch = EnrolmentBatch.objects.get(name="Kitchens")
    assert LogEntry.objects.get().object_id == str(batch.pk)


def test_two_batches_of_one_name_are_refused_in_the_form(operator, batch):
    answer = operator.post(f"{BATCHES}add/", {"name": "Living rooms"})

    assert "already exists" in answer.content.decode()


def test_batch_closes_and_reopens(operator, batch):
    close = reverse("admin:shards_enrolmentbatch_close_this", args=[batch.pk])
    reopen = reverse("admin:shards_enrolmentbatch_reopen_this", args=[batch.pk])

    operator.post(close, {"confirmed": "yes"})
    closed = EnrolmentBatch.objects.get().status
    operator.post(reopen, {"confirmed": "yes"})
    reopened = EnrolmentBatch.objects.get().status

    assert (closed, reopened) == ("closed", "open")


def test_operator_may_not_revoke_a_batch(operator, batch):
    revoke = reverse("admin:shards_enrolmentbatch_revoke_this", args=[batch.pk])

    answer = operator.post(revoke, {"confirmed": "yes"})

    batch.refresh_from_db()
    assert answer.status_code == 403
    assert batch.status == EnrolmentBatch.Status.OPEN


def test_revoking_a_batch_says_first_whom_it_cuts_off(administrator, batch):
    EnrolmentBatch.objects.update(device_count=3_210)

    answer = administrator.get(
        reverse("admin:shards_enrolmentbatch_revoke_this", args=[batch.pk])
    )

    assert "3,210 TVs are refused" in answer.content.decode()


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_administrator_revokes_every_tv_of_a_batch(administrator, vega):
    made = batches.create_batch(name="Stolen")
    enrol(enrolment_key=made.enrolment_key)
    revoke = reverse("admin:shards_enrolmentbatch_revoke_this", args=[made.batch.pk])

    answer = administrator.post(revoke, {"confirmed": "yes"}, follow=True)

    made.batch.refresh_from_db()
    assert made.batch.status == EnrolmentBatch.Status.REVOKED
    assert "1 TV revoked." in answer.content.decode()


@pytest.mark.django_db(databases=["default", "shard_002"])
def test_revoking_names_the_shards_that_did_not_answer(administrator, batch, deneb):
    revoke = reverse("admin:shards_enrolmentbatch_revoke_this", args=[batch.pk])

    answer = administrator.post(revoke, {"confirmed": "yes"}, follow=True)

    assert "didn&#x27;t answer" in answer.content.decode()


def test_revoked_batch_is_not_reopened(operator, batch):
    EnrolmentBatch.objects.update(status=EnrolmentBatch.Status.REVOKED)
    reopen = reverse("admin:shards_enrolmentbatch_reopen_this", args=[batch.pk])

    answer = operator.post(reopen, {"confirmed": "yes"}, follow=True)

    batch.refresh_from_db()
    assert "was revoked, which is for good" in answer.content.decode()
    assert batch.status == EnrolmentBatch.Status.REVOKED


def test_batches_are_never_deleted(administrator, batch):
    assert administrator.get(f"{BATCHES}{batch.pk}/delete/").status_code == 403
