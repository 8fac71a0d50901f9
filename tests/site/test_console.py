"""The console's first page, its navigation, and what a role may see.

No test here declares a shard database: these pages never visit a shard.
"""

from __future__ import annotations

import re
from contextlib import closing
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from constellation_site.console import navigation, overview
from federation.models import FederationRound, GlobalPattern, Trend
from shards.models import Shard
from shards.services.operators import Role
from tests.console import (
    add_content,
    add_round,
    cell_of,
    logged_in,
    publish,
    trend_of,
)

pytestmark = pytest.mark.django_db

INDEX = "/admin/"


@pytest.fixture
def viewer(client: Client) -> Client:
    return logged_in(client, Role.VIEWER)


@pytest.fixture
def observed(vega, altair) -> None:
    """Both shards were seen just now and answered."""
    Shard.objects.update(observed_at=timezone.now(), is_reachable=True)


def concerns(client: Client) -> dict[str, str]:
    """What needs attention, each with the address behind it."""
    return {c.text: c.url for c in client.get(INDEX).context["concerns"]}


def test_index_shows_the_fleet_at_a_glance(viewer, vega, altair):
    Shard.objects.filter(pk=vega.pk).update(
        device_count=500, active_device_count=321, syncs_per_minute=40
    )
    publish(17)

    page = viewer.get(INDEX).content.decode()

    assert re.search(r"cs-tile-value\">509<", page)  # 500 and altair's 9
    assert re.search(r"cs-tile-value\">321<", page)
    assert re.search(r"cs-tile-value\">17<", page)
    assert "Published" in page


def test_fleet_latency_is_weighted_by_syncs(vega, altair):
    vega.syncs_per_minute, vega.mean_latency_ms = 90, 10
    altair.syncs_per_minute, altair.mean_latency_ms = 10, 110

    fleet = overview.fleet_of([vega, altair])

    assert fleet.mean_latency_ms == 20  # (90 · 10 + 10 · 110) / 100


def test_index_shows_the_fullest_shards_first(viewer, vega, altair):
    shown = viewer.get(INDEX).context["fullest_shards"]

    assert [shard.name for shard in shown] == ["altair", "vega"]


def test_index_shows_the_five_strongest_trends_of_each_region(viewer):
    publish(1)
    publish(2)
    add_content("tt1", "Alien", year=1979)
    Trend.objects.bulk_create(
        trend_of(2, f"tt{rank}", rank=rank, region=region)
        for region in ("eu-west", "us-east")
        for rank in range(1, 8)
    )
    trend_of(1, "tt99").save()

    answer = viewer.get(INDEX)

    regions = dict(answer.context["trends_by_region"])
    assert [row.title for row in regions["eu-west"]] == [
        "Alien (1979)",
        "tt2",
        "tt3",
        "tt4",
        "tt5",
    ]
    assert set(regions) == {"eu-west", "us-east"}


def test_index_tells_of_what_one_batch_makes_rise(viewer):
    publish(1)
    Trend.objects.bulk_create(
        [
            trend_of(1, "tt1", kind="rising", carrying_batch=7),
            trend_of(1, "tt2", rank=2, kind="steady", carrying_batch=7),
            trend_of(1, "tt3", kind="fading", carrying_shard=1),
        ]
    )

    told = concerns(viewer)

    url = told["1 trend comes from one batch or shard"]
    rows = viewer.get(url).context["cl"].result_list
    assert {row.item for row in rows} == {"tt1", "tt2", "tt3"}
    assert "tt3" not in viewer.get(INDEX).content.decode()


def test_calm_fleet_needs_no_attention(viewer, observed):
    Shard.objects.update(device_count=0)
    publish(1)

    assert "Nothing needs attention" in viewer.get(INDEX).content.decode()


def test_empty_installation_says_what_is_missing(viewer):
    assert set(concerns(viewer)) == {
        "There is no shard yet",
        "Nothing is published yet",
    }


def test_nearly_full_shards_need_attention(viewer, observed):
    publish(1)

    assert concerns(viewer) == {
        "1 shard is more than 75 % full": "/admin/shards/shard/?condition=nearly_full"
    }


def test_unreachable_shards_need_attention(viewer, observed):
    publish(1)
    Shard.objects.update(is_reachable=False, device_count=0)

    assert concerns(viewer) == {
        "2 shards are unreachable": "/admin/shards/shard/?condition=unreachable"
    }


def test_old_observations_need_attention(viewer, observed):
    publish(1)
    seen_at = timezone.now() - timedelta(minutes=5)
    Shard.objects.update(observed_at=seen_at, device_count=0)

    assert concerns(viewer) == {
        "2 shards are not observed lately": "/admin/shards/shard/?condition=stale"
    }


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (FederationRound.Status.ABANDONED, "was abandoned"),
        (FederationRound.Status.PARTIAL, "was published without some shards"),
        # Its lease is over and nobody has given it up yet.
        (FederationRound.Status.RUNNING, "has stopped"),
    ],
)
def test_last_round_needs_attention_when_it_went_wrong(viewer, observed, status, said):
    publish(1)
    Shard.objects.update(device_count=0)
    told = add_round(status=status)

    url = f"/admin/federation/federationround/{told.pk}/change/"
    assert concerns(viewer) == {f"Round {told.pk} {said}": url}


def test_round_under_way_does_not_hide_that_the_last_one_failed(viewer, observed):
    publish(1)
    Shard.objects.update(device_count=0)
    failed = add_round(status=FederationRound.Status.ABANDONED)
    add_round(
        status=FederationRound.Status.RUNNING,
        finished_at=None,
        lease_until=timezone.now() + timedelta(minutes=1),
    )

    assert list(concerns(viewer)) == [f"{failed} was abandoned"]


def test_older_failures_are_history(viewer, observed):
    Shard.objects.update(device_count=0)
    add_round(status=FederationRound.Status.ABANDONED)
    publish(1)

    assert concerns(viewer) == {}


def test_round_under_way_is_no_cause_for_concern(viewer, observed):
    publish(1)
    Shard.objects.update(device_count=0)
    add_round(
        status=FederationRound.Status.RUNNING,
        finished_at=None,
        lease_until=timezone.now() + timedelta(minutes=1),
    )

    assert concerns(viewer) == {}


def test_missing_publications_need_attention(viewer, observed, settings):
    settings.FEDERATION_INTERVAL_SECS = 3600
    Shard.objects.update(device_count=0)
    publish(1, published_at=timezone.now() - timedelta(hours=3))

    assert concerns(viewer) == {
        "Nothing was published for 3 h": "/admin/federation/federationround/"
    }


def test_large_fleet_costs_the_index_a_handful_of_queries(
    viewer, django_assert_max_num_queries
):
    Shard.objects.bulk_create(
        Shard(id=i, name=f"star {i}", max_devices=100, device_count=i % 100)
        for i in range(200)
    )
    publish(1)
    Trend.objects.bulk_create(
        trend_of(1, f"tt{rank}", rank=rank, region=f"region {region}")
        for region in range(20)
        for rank in range(1, 51)
    )

    with django_assert_max_num_queries(12):
        answer = viewer.get(INDEX)

    assert len(answer.context["fullest_shards"]) == overview.SHARDS_SHOWN


def test_every_link_of_the_index_leads_somewhere(viewer, vega, altair):
    publish(1)
    trend_of(1, "tt1").save()
    GlobalPattern.objects.bulk_create([cell_of(1, 7)])

    page = viewer.get(INDEX).content.decode()
    links = set(re.findall(r'href="(/admin/[^"#]*)"', page)) - {"/admin/logout/"}

    assert len(links) > 12
    assert {link: viewer.get(link).status_code for link in links} == dict.fromkeys(
        links, 200
    )


def test_somebody_without_a_role_sees_no_fleet(client, vega):
    client.force_login(User.objects.create_user("newcomer", is_staff=True))

    page = client.get(INDEX).content.decode()

    assert "You have no role yet" in page
    assert "vega" not in page


@pytest.mark.parametrize(
    ("role", "sees_operators"), [(Role.VIEWER, False), (Role.ADMINISTRATOR, True)]
)
def test_only_administrators_take_care_of_operators(client, role, sees_operators):
    page = logged_in(client, role).get(INDEX).content.decode()

    assert ("/admin/auth/user/" in page) is sees_operators


@pytest.mark.parametrize(
    "page",
    [
        "shards/",
        "auth/user/",
        "auth/user/add/",
        "auth/group/",
        "admin/logentry/",
        "shards/shard/",
        "shards/enrolmentbatch/add/",
        "federation/publication/",
        "patterns/content/",
    ],
)
def test_administrator_opens_every_page(client, page, vega):
    administrator = logged_in(client, Role.ADMINISTRATOR)

    assert administrator.get(INDEX + page).status_code == 200


def test_operators_who_did_something_are_not_deleted(client):
    administrator = logged_in(client, Role.ADMINISTRATOR)
    user = User.objects.get()

    assert administrator.get(f"/admin/auth/user/{user.pk}/delete/").status_code == 403


def test_tokens_are_not_listed(client):
    administrator = logged_in(client, Role.ADMINISTRATOR)

    assert administrator.get("/admin/authtoken/tokenproxy/").status_code == 404


def test_page_brings_its_own_looks(viewer):
    """Styles, scripts and icon come from this server, without collecting them."""
    page = viewer.get(INDEX).content.decode()
    files = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page))

    assert "/static/console/console.css" in files
    assert "/static/console/icon.svg" in files
    for file in files:
        with closing(viewer.get(file)) as answer:
            assert answer.status_code == 200, file


def test_console_asks_who_one_is(client):
    assert client.get(INDEX)["Location"] == "/admin/login/?next=/admin/"


def test_palette_finds_a_shard_by_name_and_a_tv_by_id(rf, viewer, vega):
    request = rf.get("/")
    request.user = User.objects.get(username="viewer")
    device_id = "3f2b8c1e-9d47-4c55-8a0e-6b1f2d3c4a5e"

    by_name = navigation.find(request, "veg")
    by_id = navigation.find(request, device_id)

    assert [result.title for result in by_name] == ["vega"]
    assert [result.link for result in by_id] == [
        f"/admin/shards/devicehome/{device_id}/"
    ]
