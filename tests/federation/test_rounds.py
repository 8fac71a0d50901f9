"""What becomes of a round: published, partial or abandoned, and what it leaves."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.db import OperationalError, connections, transaction
from django.db.models.functions import Now
from django.utils import timezone
from prometheus_client import REGISTRY

from federation import history, holding, lease, publish, rounds, run, selectors
from federation.exceptions import RoundAlreadyRunning, RoundLost
from federation.kernels.guarding import PROBATION_ROUNDS
from federation.models import (
    FederationRound,
    GlobalPattern,
    Publication,
    RoundCells,
    RoundShard,
)
from federation.run import MAX_TERMS
from patterns.models import Pattern
from patterns.vectors import as_array
from shards.exceptions import ControlUnavailable, UnknownShard
from tests.federation import fleets
from tests.running import wait_for

pytestmark = [
    pytest.mark.django_db(
        databases=["default", "shard_000", "shard_001", "shard_002"], transaction=True
    ),
    pytest.mark.usefixtures("low_thresholds"),
]

FLEET = fleets.plant(tv_count=60, taste_count=3, seed=3)


@pytest.fixture
def shards():
    """Three shards, all answering, with twenty TVs each."""
    shards = fleets.make_shards(3)
    fleets.store(FLEET, shards)
    return shards


def test_a_round_publishes_to_every_shard(shards):
    report = rounds.run_round()

    assert (report.status, report.global_version) == ("published", 1)
    assert report.pattern_count >= 3
    for alias in ("default", "shard_000", "shard_001", "shard_002"):
        assert selectors.pointer(alias) == (1, report.checksum)


def test_a_round_is_written_down(shards):
    rounds.run_round()

    told = FederationRound.objects.get()
    assert (told.status, told.global_version) == ("published", 1)
    assert told.finished_at is not None
    assert told.finished_at > told.started_at
    assert told.parameters["min_devices"] == 5
    assert told.parameters["shards"] == [0, 1, 2]
    assert told.problem == ""


def test_what_each_shard_gave_is_written_down(shards):
    rounds.run_round()

    for row in RoundShard.objects.all():
        assert row.status == "published"
        assert (row.device_count, row.pattern_count) == (20, 40)
        assert (row.stored_device_count, row.stored_pattern_count) == (20, 40)
        assert row.reporting_count == 20
        assert row.collect_seconds > 0


def test_only_tvs_with_news_report(shards):
    rounds.run_round()
    with_news = FLEET.tvs[0]
    Pattern.objects.using("shard_000").filter(device_id=with_news.id).update(
        reported_at=timezone.now()
    )

    rounds.run_round()

    reporting = RoundShard.objects.filter(round__global_version=2)
    assert [row.reporting_count for row in reporting] == [1, 0, 0]


# What must stand behind a publication


def test_too_few_tvs_publish_nothing(shards, settings):
    settings.MIN_DEVICES_PER_PATTERN = 61

    report = rounds.run_round()

    assert report.status == "abandoned"
    assert "none of" in report.problem
    assert "MIN_DEVICES_PER_PATTERN" in report.problem
    assert not GlobalPattern.objects.exists()
    assert selectors.current_version("shard_000") == 0


def test_a_cell_of_too_few_shards_is_held_back(settings):
    settings.MIN_SOURCE_COUNT = 3
    shards = fleets.make_shards(3)
    everywhere = fleets.plant(tv_count=60, taste_count=2, seed=4)
    on_two = fleets.plant(tv_count=40, taste_count=2, seed=5)
    fleets.store(everywhere, shards)
    fleets.store(on_two, shards[:2])

    report = rounds.run_round()

    genres = {genre for p in GlobalPattern.objects.all() for genre in p.genre_hints}
    assert report.suppressed_count >= 2
    assert report.pattern_count == 2
    assert genres == {"genre 0", "genre 1"}
    for pattern in GlobalPattern.objects.all():
        assert pattern.source_count == 3
        directions = [taste.direction for taste in everywhere.tastes]
        assert max(directions @ np.asarray(pattern.embedding)) > 0.9


def test_everything_published_has_enough_behind_it(shards):
    rounds.run_round()

    for pattern in GlobalPattern.objects.all():
        assert pattern.device_count >= 5
        assert pattern.source_count >= 2


def test_no_stored_vector_is_published(shards):
    rounds.run_round()

    stored = {
        as_array(p.embedding).tobytes()
        for shard in shards
        for p in Pattern.objects.using(shard.alias)
    }
    published = holding.current("shard_000").centroids
    assert len(stored) == 120
    for embedding in (*published, *published.astype(np.float16).astype(np.float32)):
        assert embedding.tobytes() not in stored


def test_a_fleet_without_patterns_publishes_nothing():
    fleets.make_shards(3)

    report = rounds.run_round()

    assert report.status == "abandoned"
    assert report.global_version == 0
    assert "no TV has a pattern" in report.problem
    assert not Publication.objects.exists()


def test_what_tvs_took_back_is_published_no_longer(shards):
    rounds.run_round()
    fleets.wipe_tvs()

    report = rounds.run_round()

    assert (report.status, report.global_version) == ("published", 2)
    assert (report.pattern_count, report.trend_count, report.link_count) == (0, 0, 0)
    assert holding.current("shard_001").patterns == ()
    assert holding.current("shard_001").trends == {}


def test_without_any_shard_there_is_nothing_to_do():
    report = rounds.run_round()

    assert report.status == "abandoned"
    assert "0 of 0 shards took part" in report.problem


# Shards that don't answer


def test_a_round_goes_on_without_a_dead_shard(vega, altair, deneb):
    fleets.store(FLEET, [vega, altair])

    report = rounds.run_round()

    assert (report.status, report.global_version) == ("partial", 1)
    assert "deneb: " in report.problem
    assert [row.status for row in report.shards] == [
        "published",
        "published",
        "missing",
    ]
    assert selectors.current_version(vega.alias) == 1


def test_too_few_shards_leave_the_old_version(vega, altair, deneb, settings):
    fleets.store(FLEET, [vega, altair])
    before = rounds.run_round()
    settings.MIN_SOURCE_COUNT = 3

    report = rounds.run_round()

    assert report.status == "abandoned"
    assert "2 of 3 shards took part; 3 are needed" in report.problem
    assert report.global_version == 1
    assert selectors.pointer(vega.alias) == (1, before.checksum)


def test_a_shard_that_comes_back_gets_the_next_version(shards, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("federation.publish.stage", failing_on("shard_001"))
        first = rounds.run_round()
    second = rounds.run_round()

    assert first.status == "partial"
    assert [row.status for row in first.shards] == ["published", "behind", "published"]
    assert second.status == "published"
    assert selectors.current_version("shard_001") == second.global_version == 2


def test_a_result_that_no_shard_can_take_is_not_published(shards, monkeypatch):
    monkeypatch.setattr("federation.publish.stage", failing_on("shard"))

    report = rounds.run_round()

    assert report.status == "abandoned"
    assert "No shard could take the result: star 0: no room" in report.problem
    assert selectors.current_version() == 0


def test_shards_left_out_get_the_result_all_the_same(shards):
    report = rounds.run_round(shard_ids=[0, 1])

    assert report.status == "published"
    assert [row.status for row in report.shards] == [
        "published",
        "published",
        "left_out",
    ]
    assert [row.device_count for row in report.shards] == [20, 20, 0]
    assert selectors.current_version("shard_002") == 1


def test_an_unknown_shard_is_named():
    fleets.make_shards(2)

    with pytest.raises(UnknownShard, match="There is no shard 7; the shards are 0, 1"):
        rounds.run_round(shard_ids=[0, 7])


# One round at a time


def test_two_rounds_do_not_run_at_once(shards):
    running = lease.open_round()

    with pytest.raises(RoundAlreadyRunning, match=f"Round {running.pk} is running"):
        rounds.run_round()

    assert FederationRound.objects.count() == 1


def test_a_round_left_behind_is_finished_by_the_next_to_come(shards, run_out):
    left = rounds.begin()
    run_out()

    report = rounds.run_round()

    assert (report.round_id, report.status) == (left.pk, "published")
    assert FederationRound.objects.get().term == 2
    assert "took it over (step: opening)" in history_of(left)


def test_whoever_asks_other_shards_gets_a_round_of_their_own_after_that(
    shards, run_out
):
    left = rounds.begin()
    run_out()

    report = rounds.run_round(shard_ids=[0, 1])

    left.refresh_from_db()
    assert left.status == "published"
    assert (report.status, report.global_version) == ("published", 2)
    assert [row.status for row in report.shards].count("left_out") == 1


def test_a_round_that_was_taken_over_is_finished_by_its_new_coordinator(
    shards, run_out
):
    taken_over: list[FederationRound | None] = []

    def take_over(step: str, done: int, total: int) -> None:
        if step == "merging" and not taken_over:
            run_out()
            taken_over.append(lease.take_over())

    with pytest.raises(RoundLost, match="was taken over by another process"):
        rounds.run_round(progress=take_over)

    assert selectors.current_version() == 0
    (taken,) = taken_over
    assert taken is not None
    assert rounds.finish(taken).status == "published"


def test_a_round_that_is_alive_is_not_taken_over(shards):
    rounds.begin()

    assert lease.take_over() is None
    assert not rounds.is_left_behind()


def test_a_round_that_another_release_opened_is_abandoned(shards, run_out):
    left = lease.open_round(parameters={"shards": [0, 1, 2]})
    run_out()

    report = rounds.run_round()

    assert (report.round_id, report.status) == (left.pk, "abandoned")
    assert report.problem == "It was opened by another release."


def test_a_round_whose_coordinators_all_die_is_abandoned(shards, run_out):
    left = rounds.begin()
    FederationRound.objects.update(term=MAX_TERMS)
    run_out()

    report = rounds.run_round()

    assert (report.round_id, report.status) == (left.pk, "abandoned")
    assert report.problem == "10 processes died with it."


def test_a_lease_is_renewed_while_a_round_runs(shards, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_EVERY", timedelta(milliseconds=10))
    told = lease.open_round()

    with lease.renewing(told) as held:
        FederationRound.objects.update(lease_until=Now())
        in_a_while = Now() + lease.LEASE / 2
        wait_for(FederationRound.objects.filter(lease_until__gt=in_a_while).exists)

        assert not held.is_lost


def test_a_lease_that_is_lost_is_noticed(shards, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_EVERY", timedelta(milliseconds=10))
    told = lease.open_round()

    with lease.renewing(told) as held:
        FederationRound.objects.update(term=2)

        wait_for(lambda: held.is_lost)


def test_a_round_stops_when_asked_and_publishes_nothing(shards):
    steps = []

    report = rounds.run_round(
        progress=lambda step, *_: steps.append(step),
        should_stop=lambda: "collecting" in steps,
    )

    assert report.status == "abandoned"
    assert report.problem == "It was stopped before it published."
    assert selectors.current_version() == 0


def test_a_bug_closes_the_round_and_is_raised(shards, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("of course")

    monkeypatch.setattr("federation.merge.conclude", broken)

    with pytest.raises(ZeroDivisionError):
        rounds.run_round()

    told = FederationRound.objects.get()
    assert (told.status, told.problem) == ("abandoned", "ZeroDivisionError: of course")


@pytest.mark.parametrize(("dry_run", "counted"), [(False, 1), (True, 0)])
def test_a_round_that_breaks_down_is_counted(shards, monkeypatch, dry_run, counted):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("of course")

    monkeypatch.setattr("federation.merge.conclude", broken)
    before = abandoned_count()

    with pytest.raises(ZeroDivisionError):
        rounds.run_round(dry_run=dry_run)

    assert abandoned_count() == before + counted


def test_a_round_that_is_lost_is_counted_by_whoever_ends_it(shards, run_out):
    def take_over(step: str, done: int, total: int) -> None:
        if step == "merging":
            run_out()
            lease.take_over()

    before = abandoned_count()

    with pytest.raises(RoundLost):
        rounds.run_round(progress=take_over)

    assert abandoned_count() == before


def abandoned_count() -> float:
    name = "constellation_federation_rounds_total"
    return REGISTRY.get_sample_value(name, {"status": "abandoned"}) or 0.0


def test_a_version_is_out_even_if_the_answer_to_the_commit_is_lost(shards, monkeypatch):
    flip = publish.flip

    def lose() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    def flip_and_lose(alias, *args, **kwargs):
        flip(alias, *args, **kwargs)
        if alias == "default":
            transaction.on_commit(lose)

    monkeypatch.setattr(publish, "flip", flip_and_lose)
    monkeypatch.setattr(run, "RETRY_SECONDS", 0)

    report = rounds.run_round()

    assert (report.status, report.global_version) == ("published", 1)
    assert FederationRound.objects.get().term == 1
    for alias in ("default", "shard_000", "shard_001", "shard_002"):
        assert selectors.pointer(alias) == (1, report.checksum)


def test_without_the_control_database_there_is_no_round(shards):
    connection = connections["default"]
    settings_dict = connection.settings_dict
    connection.close()
    host, settings_dict["HOST"] = settings_dict["HOST"], "/nonexistent"
    try:
        with pytest.raises(ControlUnavailable):
            rounds.run_round()
    finally:
        settings_dict["HOST"] = host


# From round to round


def test_cells_keep_their_identity(shards):
    rounds.run_round()
    first = holding.current("shard_000")

    rounds.run_round()
    second = holding.current("shard_000")

    assert second.version == 2
    assert second.cells.tolist() == first.cells.tolist()
    assert np.sum(first.centroids * second.centroids, axis=1).min() > 0.999


def test_a_new_taste_gets_a_number_that_was_never_given(shards):
    rounds.run_round()
    before = history.last_cells()
    newcomers = fleets.plant(tv_count=30, taste_count=2, seed=99)
    fleets.store(newcomers, shards)

    for _ in range(PROBATION_ROUNDS + 1):
        rounds.run_round()

    cells = holding.current("shard_000").cells
    new = set(cells.tolist()) - set(before.ids.tolist())
    assert new
    assert min(new) >= before.next_id


def test_only_the_last_cells_are_kept(shards):
    for _ in range(5):
        rounds.run_round()

    assert RoundCells.objects.count() == history.KEPT_CELLS


def test_a_dry_run_leaves_no_trace(shards):
    report = rounds.run_round(dry_run=True)

    assert (report.status, report.round_id) == ("dry_run", None)
    assert report.pattern_count >= 3
    assert report.checksum
    assert [row.device_count for row in report.shards] == [20, 20, 20]
    assert not FederationRound.objects.exists()
    assert not RoundShard.objects.exists()
    assert not Publication.objects.exists()


def test_a_dry_run_tells_what_the_round_then_publishes(shards):
    rehearsed = rounds.run_round(dry_run=True)

    assert rounds.run_round().checksum == rehearsed.checksum


# A fresh installation


def test_a_fresh_installation_waits_for_its_first_patterns():
    fleets.make_shards(3)

    assert rounds.waiting_for() == (
        "0 patterns on 0 shards so far; a first round needs 5 on 2"
    )


def test_enough_patterns_are_not_waited_for(shards):
    assert rounds.waiting_for() == ""


def test_patterns_on_one_shard_only_are_not_enough(settings):
    fleets.store(FLEET, fleets.make_shards(3)[:1])

    assert "120 patterns on 1 shards" in rounds.waiting_for()


def test_once_published_nothing_is_waited_for(shards):
    rounds.run_round()
    fleets.wipe_tvs()

    assert rounds.waiting_for() == ""


def history_of(told: FederationRound) -> list[str]:
    return [event.what for event in told.events.all()]


def failing_on(prefix: str):
    """``publish.stage`` on databases that have no room left."""
    stage = publish.stage

    def stage_or_fail(alias, edition):
        if alias.startswith(prefix):
            raise OperationalError("no room\non the device")
        stage(alias, edition)

    return stage_or_fail
