"""Rounds, global patterns, trends and publications in the console.

All but the last tests declare no shard database, which proves that these pages visit
no shard.
"""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import numpy as np
import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from federation.admin.patterns import nearest_cells
from federation.admin.rounds import ROUND_SHARD_TONES, ROUND_TONES, UNIT_TONES
from federation.admin.trends import drawn
from federation.models import (
    FederationRound,
    GlobalPattern,
    Publication,
    RoundEvent,
    RoundShard,
    RoundUnit,
    TrainedCodebook,
    Trend,
)
from shards.services.batches import create_batch
from shards.services.operators import Role
from tests.console import (
    add_content,
    add_round,
    cell_of,
    direction,
    logged_in,
    publish,
    trend_of,
)

pytestmark = pytest.mark.django_db

ROUNDS = "/admin/federation/federationround/"
PATTERNS = "/admin/federation/globalpattern/"
TRENDS = "/admin/federation/trend/"
PUBLICATIONS = "/admin/federation/publication/"
CODEBOOKS = "/admin/federation/trainedcodebook/"


@pytest.fixture
def viewer(client: Client) -> Client:
    return logged_in(client, Role.VIEWER)


@pytest.fixture
def operator(client: Client) -> Client:
    return logged_in(client, Role.OPERATOR)


def test_every_status_has_a_tone():
    assert set(ROUND_TONES) == set(FederationRound.Status)
    assert set(ROUND_SHARD_TONES) == set(RoundShard.Status)
    assert set(UNIT_TONES) == set(RoundUnit.Status)


@pytest.mark.parametrize("status", FederationRound.Status)
def test_list_shows_a_round_in_every_status(viewer, status):
    add_round(status=status)

    assert status.label in viewer.get(ROUNDS).content.decode()


def test_running_round_tells_its_step(viewer):
    add_round(
        status=FederationRound.Status.RUNNING, step="collecting", finished_at=None
    )

    assert "collecting" in viewer.get(ROUNDS).content.decode()


@pytest.mark.parametrize(
    ("status", "is_renewed"),
    [
        (FederationRound.Status.RUNNING, True),
        (FederationRound.Status.PUBLISHED, False),
    ],
)
def test_page_of_a_round_follows_it_until_it_is_over(viewer, status, is_renewed):
    told = add_round(status=status)

    page = viewer.get(f"{ROUNDS}{told.pk}/change/").content.decode()

    assert ('http-equiv="refresh"' in page) is is_renewed


def test_list_counts_the_shards_that_contributed(viewer, vega, altair):
    told = add_round()
    RoundShard.objects.create(round=told, shard=vega, status="published")
    RoundShard.objects.create(round=told, shard=altair, status="missing")

    (row,) = viewer.get(ROUNDS).context["cl"].result_list

    assert row.contributor_count == 1


def test_round_page_names_who_gave_what_and_who_was_missing(viewer, vega, altair):
    told = add_round(
        status=FederationRound.Status.PARTIAL,
        suppressed_count=37,
        problem="altair could not be read.",
    )
    RoundShard.objects.create(
        round=told, shard=vega, status="published", device_count=4_321
    )
    RoundShard.objects.create(
        round=told, shard=altair, status="missing", problem="no route"
    )

    page = viewer.get(f"{ROUNDS}{told.pk}/change/").content.decode()

    assert "1 of 2 contributed" in page
    assert "4,321" in page
    assert "no route" in page
    assert "37" in page
    assert "altair could not be read." in page
    assert "min_sources" in page
    # What needs a look comes first.
    assert page.index("no route") < page.index("4,321")


def test_round_page_tells_who_did_what(viewer, vega):
    told = add_round()
    RoundEvent.objects.create(
        round=told, at=timezone.now(), who="lyra:7", what="took it over"
    )
    RoundUnit.objects.create(
        round=told,
        shard=vega,
        step="collecting",
        status="failed",
        worker="lyra:8",
        attempts=5,
        problem="no room on the device",
        available_at=timezone.now(),
    )

    page = viewer.get(f"{ROUNDS}{told.pk}/change/").content.decode()

    for shown in ("lyra:7", "took it over", "lyra:8", "no room on the device"):
        assert shown in page


def test_round_page_does_without_a_version_that_is_not_kept(viewer):
    told = add_round(global_version=5)

    page = viewer.get(f"{ROUNDS}{told.pk}/change/")

    assert page.status_code == 200
    assert f"{PUBLICATIONS}5/" not in page.content.decode()


@pytest.mark.parametrize(
    "list_url", [ROUNDS, PATTERNS, TRENDS, PUBLICATIONS, CODEBOOKS]
)
def test_nobody_adds_what_federation_owns(client, list_url):
    administrator = logged_in(client, Role.ADMINISTRATOR)

    assert administrator.get(f"{list_url}add/").status_code == 403


def test_nobody_changes_or_deletes_what_federation_owns(client):
    administrator = logged_in(client, Role.ADMINISTRATOR)
    publish(1)
    cell = GlobalPattern.objects.bulk_create([cell_of(1, 7)])[0]

    changed = administrator.post(f"{PATTERNS}{cell.pk}/change/", {"cell": 8})
    deleted = administrator.post(f"{PATTERNS}{cell.pk}/delete/", {"post": "yes"})

    assert (changed.status_code, deleted.status_code) == (403, 403)
    assert GlobalPattern.objects.get().cell == 7


def test_list_of_global_patterns_is_that_of_the_current_version(viewer):
    publish(1)
    publish(2)
    GlobalPattern.objects.bulk_create([cell_of(1, 7), cell_of(2, 8)])

    current = viewer.get(PATTERNS).context["cl"].result_list
    older = viewer.get(PATTERNS, {"version": "1"}).context["cl"].result_list

    assert [row.cell for row in current] == [8]
    assert [row.cell for row in older] == [7]


def test_five_thousand_global_patterns_cost_a_handful_of_queries(
    viewer, django_assert_max_num_queries
):
    publish(1)
    add_content("tt1", "Alien", year=1979)
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX global_pattern_by_embedding")  # slow to fill
    GlobalPattern.objects.bulk_create(
        [
            cell_of(1, i, mass=float(i), content_ids=["tt1", f"tt{i}"])
            for i in range(5_000)
        ],
        batch_size=1_000,
    )

    with (
        django_assert_max_num_queries(14),
        CaptureQueriesContext(connection) as queries,
    ):
        page = viewer.get(PATTERNS).content.decode()

    assert "Alien (1979)" in page
    assert "Cell 4999" in page  # the heaviest first
    assert not any("DISTINCT" in query["sql"] for query in queries)


def test_global_patterns_are_filtered_by_circumstances_in_words(viewer):
    publish(1)
    GlobalPattern.objects.bulk_create([cell_of(1, 7, time_of_day=1), cell_of(1, 8)])

    answer = viewer.get(PATTERNS, {"time_of_day__exact": "1"})

    page = answer.content.decode()
    assert [row.cell for row in answer.context["cl"].result_list] == [7]
    assert "early morning" in page
    assert "unspecified" in page


@pytest.mark.parametrize("term", ["7", "tt0133093"])
def test_global_pattern_is_found_by_cell_or_content(viewer, term):
    publish(1)
    GlobalPattern.objects.bulk_create(
        [cell_of(1, 7, content_ids=["tt0133093"]), cell_of(1, 8)]
    )

    rows = viewer.get(PATTERNS, {"q": term}).context["cl"].result_list

    assert [row.cell for row in rows] == [7]


def test_global_pattern_page_shows_contents_and_circumstances(viewer):
    publish(1)
    add_content("tt1", "Alien", year=1979)
    cell = cell_of(1, 7, content_ids=["tt1"], time_of_day=4, genre_hints=["horror"])
    cell.save()

    page = viewer.get(f"{PATTERNS}{cell.pk}/change/").content.decode()

    assert "Alien (1979)" in page
    assert "evening" in page
    assert "horror" in page
    assert "It is the only cell" in page


def test_neighbours_are_the_nearest_of_the_same_version():
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(60, 384))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    GlobalPattern.objects.bulk_create(
        cell_of(version, i, embedding=vectors[i])
        for version in (1, 2)
        for i in range(60)
    )
    asked = GlobalPattern.objects.get(version=2, cell=0)

    found = nearest_cells(asked, count=10)

    by_similarity = np.argsort(-(vectors @ vectors[0]))[1:11]
    assert [row.cell for row in found] == list(by_similarity)
    assert {row.version for row in found} == {2}


def test_trends_show_titles_and_what_is_usual(viewer):
    publish(1)
    add_content("tt1", "Alien", year=1979)
    trend_of(1, "tt1", rate=0.12, usual_rate=0.02).save()
    trend_of(1, "genre:horror", rank=2, usual_rate=0.0, kind="new").save()

    page = viewer.get(TRENDS).content.decode()

    assert "Alien (1979)" in page
    assert "Genre: horror" in page
    assert "usually 2.0 %" in page
    assert "× 6" in page
    assert re.search(r">\s*New\s*<", page)


def test_trends_are_filtered_by_the_regions_there_are(viewer, vega):
    publish(1)
    Trend.objects.bulk_create(
        [trend_of(1, "tt1"), trend_of(1, "tt2", region="us-east")]
    )

    answer = viewer.get(TRENDS, {"region": "us-east"})

    offered = re.findall(r"region=([\w-]+)", answer.content.decode())
    assert [row.item for row in answer.context["cl"].result_list] == ["tt2"]
    assert {"eu-west", "us-east", "global"} <= set(offered)  # vega is global


def test_trends_are_filtered_by_kind_and_by_who_carries_them(viewer):
    publish(1)
    Trend.objects.bulk_create(
        [
            trend_of(1, "tt1", kind="new", carrying_batch=7, batch_ids=[7]),
            trend_of(1, "tt2", rank=2, kind="steady"),
            trend_of(1, "tt3", kind="fading"),
        ]
    )

    def shown(**asked):
        return [row.item for row in viewer.get(TRENDS, asked).context["cl"].result_list]

    assert shown(kind__exact="new") == ["tt1"]
    assert shown(kind__exact="fading") == ["tt3"]
    assert shown(carried_by="batch") == ["tt1"]
    assert shown(carried_by="shard") == []


def test_a_page_of_trends_costs_a_handful_of_queries(
    viewer, vega, django_assert_max_num_queries
):
    publish(1)
    batch = create_batch(name="Kitchens").batch
    Trend.objects.bulk_create(
        trend_of(
            1,
            f"tt{rank}",
            rank=rank,
            course=[0.1, 0.2],
            shard_ids=[vega.pk],
            batch_ids=[batch.pk],
            carrying_batch=batch.pk,
        )
        for rank in range(1, 51)
    )

    with django_assert_max_num_queries(16):
        page = viewer.get(TRENDS).content.decode()

    assert page.count("batch Kitchens") == 50


def test_trend_page_shows_where_it_comes_from(viewer, vega, altair):
    publish(1)
    batch = create_batch(name="Kitchens").batch
    trend = trend_of(
        1,
        "tt1",
        kind="rising",
        course=[0.02, 0.05, 0.12],
        shard_ids=[vega.pk, altair.pk],
        shard_shares=[0.6, 0.4],
        shard_concentration=0.52,
        batch_ids=[batch.pk, 999],
        batch_shares=[0.85, 0.1],
        batch_concentration=0.73,
        carrying_batch=batch.pk,
    )
    trend.save()

    page = viewer.get(f"{TRENDS}{trend.pk}/change/").content.decode()

    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "Carried by batch Kitchens." in text
    assert "as concentrated as 1.4 equal ones" in text
    for words in ("Kitchens 85 %", "999 (removed) 10 %", "all others 5.0 %"):
        assert words in text
    assert f"{vega.name} 60 %" in text
    assert "share of TVs in 3 rounds, at most 12 %" in text


def test_a_course_is_drawn_up_to_its_highest_rate():
    assert drawn([0.02, 0.04, 0.01]) == [0.5, 1, 0.25]
    assert drawn([]) == []
    assert drawn([0.0, 0.0]) == [0, 0]


def test_trend_page_tells_its_past_and_where_else_it_trends(viewer):
    publish(1)
    publish(2)
    Trend.objects.bulk_create(
        [
            trend_of(1, "tt1", score=0.41),
            trend_of(2, "tt1", score=0.93),
            trend_of(2, "tt1", region="us-east", score=0.55),
        ]
    )
    trend = Trend.objects.get(version=2, region="eu-west")

    page = viewer.get(f"{TRENDS}{trend.pk}/change/").content.decode()

    assert "0.41" in page
    assert "us-east" in page
    assert "0.55" in page


def test_publications_mark_the_current_one(viewer):
    publish(1)
    publish(2)

    page = viewer.get(PUBLICATIONS).content.decode()

    assert len(re.findall(r">\s*Current\s*<", page)) == 1


def test_current_publication_offers_no_way_back_to_itself(operator):
    publish(1)
    publish(2)

    current = operator.get(f"{PUBLICATIONS}2/change/").content.decode()
    older = operator.get(f"{PUBLICATIONS}1/change/").content.decode()

    assert "Roll back to this version" not in current
    assert "Roll back to this version" in older


@pytest.mark.parametrize(
    "url", [f"{ROUNDS}run/", f"{PUBLICATIONS}1/roll-back/"], ids=["run", "roll back"]
)
def test_viewer_neither_runs_rounds_nor_rolls_back(viewer, url):
    publish(1)
    publish(2)

    answer = viewer.post(url, {"confirmed": "yes"})

    assert answer.status_code == 403
    assert FederationRound.objects.count() == 2


def test_running_a_round_asks_first(operator):
    answer = operator.get(f"{ROUNDS}run/")

    assert "Run a round now?" in answer.content.decode()
    assert not FederationRound.objects.exists()


@pytest.mark.django_db(transaction=True, databases=["default", "shard_000"])
class TestInTheBackground:
    """With real commits: the round runs in a thread of its own."""

    def test_round_runs_beside_the_request_and_is_logged(self, operator, vega):
        answer = operator.post(f"{ROUNDS}run/", {"confirmed": "yes"})
        _wait_for_the_round()

        told = FederationRound.objects.get()
        assert answer["Location"] == f"{ROUNDS}{told.pk}/change/"
        assert told.status != FederationRound.Status.RUNNING
        assert LogEntry.objects.get().object_id == str(told.pk)

    def test_second_round_is_refused_while_one_runs(self, operator, vega):
        add_round(
            status=FederationRound.Status.RUNNING,
            step="collecting",
            finished_at=None,
            lease_until=timezone.now() + timedelta(minutes=1),
        )

        answer = operator.post(f"{ROUNDS}run/", {"confirmed": "yes"}, follow=True)

        assert "is running (step: collecting)" in answer.content.decode()
        assert FederationRound.objects.count() == 1

    def test_rolling_back_publishes_the_old_content_again(self, operator, vega):
        checksum = _publish_for_real(1, item="tt1")
        _publish_for_real(2, item="tt2")
        url = reverse("admin:federation_publication_roll_back", args=[1])

        operator.post(url, {"confirmed": "yes"})
        _wait_for_the_round()

        current = Publication.objects.get(is_current=True)
        assert current.version == 3
        assert (current.rollback_of, current.checksum) == (1, checksum)
        assert Trend.objects.get(version=3).item == "tt1"


def _publish_for_real(version: int, *, item: str) -> str:
    """Publish one cell and one trend with the checksum that they have."""
    from federation import rows

    cell_of(version, 7, embedding=direction(1.0)).save()
    trend_of(version, item).save()
    checksum = rows.read_result("default", version).checksum()
    publish(version, checksum=checksum)
    return checksum


def _wait_for_the_round() -> None:
    for thread in threading.enumerate():
        if thread.name == "federation-round":
            thread.join(timeout=120)
            assert not thread.is_alive()


def test_codebooks_are_listed_without_their_payloads(viewer):
    TrainedCodebook.objects.create(
        version=3,
        payload=b"half a megabyte",
        round_id=17,
        cell_count=4096,
        cosine=0.98765,
        trained_at=timezone.now(),
    )

    with CaptureQueriesContext(connection) as queries:
        page = viewer.get(CODEBOOKS).content.decode()

    for text in ("Codebook 3", "Round 17", "4,096", "0.9877"):
        assert text in page
    assert not any('"payload"' in query["sql"] for query in queries)
