from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from shards import observation, statistics
from shards.models import Shard, ShardHour
from shards.observation import Visitor
from shards.statistics import ShardStatistics

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOON = timedelta(milliseconds=50)
#: Long for a visit that answers at once, however busy the machine.
PATIENCE = timedelta(seconds=2)

ONE_TV = ShardStatistics(
    total_devices=1,
    active_devices=1,
    patterns_stored=3,
    sync_requests_per_min=0.5,
    avg_sync_latency_ms=4.0,
)


@pytest.mark.django_db(databases=["default", "shard_000", "shard_002"])
class TestRecording:
    def test_what_was_seen_is_on_the_shard(self, vega):
        observation.record({vega.id: ONE_TV}, now=NOON)

        vega.refresh_from_db()
        assert vega.is_reachable
        assert vega.observed_at == NOON
        assert (vega.active_device_count, vega.pattern_count) == (1, 3)
        assert (vega.syncs_per_minute, vega.mean_latency_ms) == (0.5, 4.0)

    def test_a_shard_that_did_not_answer_keeps_its_numbers(self, vega):
        observation.record({vega.id: ONE_TV}, now=NOON)

        observation.record({vega.id: None}, now=NOON + SOON)

        vega.refresh_from_db()
        assert not vega.is_reachable
        assert vega.observed_at == NOON + SOON
        assert vega.pattern_count == 3

    def test_places_taken_are_not_the_observers_to_change(self, altair):
        observation.record({altair.id: ONE_TV}, now=NOON)

        altair.refresh_from_db()
        assert altair.device_count == 9

    def test_each_hour_is_kept_once(self, vega, deneb):
        for minutes in (5, 50, 65):
            now = NOON + timedelta(minutes=minutes)
            observation.record({vega.id: ONE_TV, deneb.id: None}, now=now)

        kept = ShardHour.objects.values_list("shard_id", "hour", "device_count")
        assert list(kept) == [(0, NOON, 1), (0, NOON + timedelta(hours=1), 1)]

    def test_a_database_that_is_no_shard_yet_is_no_error(self, vega):
        observation.record({vega.id: ONE_TV, 7: ONE_TV}, now=NOON)

        assert list(ShardHour.objects.values_list("shard_id", flat=True)) == [0]


@pytest.mark.django_db(
    databases=["default", "shard_000", "shard_002"], transaction=True
)
class TestVisiting:
    def test_a_shard_that_is_down_does_not_hide_the_others(self, vega, deneb):
        statistics.record_devices(shard_alias=vega.alias, delta=2)

        shard_ids = [vega.id, deneb.id]
        seen = Visitor().visit(shard_ids, now=NOON, timeout=timedelta(minutes=1))

        of_vega = seen[vega.id]
        assert of_vega is not None
        assert of_vega.total_devices == 2
        assert seen[deneb.id] is None


class TestHanging:
    @pytest.fixture
    def visits(self, monkeypatch):
        """Shard 2 hangs until the test ends; the others answer."""
        is_over = threading.Event()
        visits: list[str] = []
        hanging: list[threading.Thread] = []

        def read(*, shard_alias: str, now: datetime) -> ShardStatistics:
            visits.append(shard_alias)
            if shard_alias == "shard_002":
                hanging.append(threading.current_thread())
                is_over.wait()
            return ONE_TV

        monkeypatch.setattr(statistics, "read", read)
        yield visits
        is_over.set()
        for visit in hanging:
            visit.join()

    def test_a_shard_that_hangs_is_left_behind(self, visits):
        seen = Visitor().visit([0, 2], now=NOON, timeout=PATIENCE)

        assert seen == {0: ONE_TV, 2: None}

    def test_it_is_not_visited_again_while_it_hangs(self, visits):
        visitor = Visitor()
        for _ in range(2):
            seen = visitor.visit([0, 2], now=NOON, timeout=PATIENCE)

        assert seen == {0: ONE_TV, 2: None}
        assert visits.count("shard_000") == 2
        assert visits.count("shard_002") == 1


@pytest.mark.django_db
def test_shards_start_unseen(vega):
    assert not Shard.objects.get().is_reachable
    assert Shard.objects.get().observed_at is None
