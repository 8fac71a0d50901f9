"""What one shard gives: its quality patterns, once, whole TVs at a time."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread

import numpy as np
import pytest
from django.db import connections
from django.utils import timezone

from federation import collect
from federation.kernels import concatenate_blocks
from patterns.models import Pattern
from patterns.vectors import as_array
from shards.models import Device
from tests.federation import fleets

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"], transaction=True)

ALIAS = "shard_000"


@pytest.fixture
def fleet():
    """Forty TVs with one to four patterns each, on one shard."""
    planted = [
        fleets.plant(tv_count=10, patterns_per_tv=count, seed=count)
        for count in (1, 2, 3, 4)
    ]
    fleet = fleets.Fleet(tvs=tuple(tv for each in planted for tv in each.tvs))
    fleets.store(fleet, fleets.make_shards(1))
    return fleet


def read(**options):
    return list(collect.blocks(ALIAS, **{"min_quality": 0.8, **options}))


def read_whole(**options):
    """All blocks as one, in the order of keys: the halves come in any order."""
    blocks = sorted(read(**options), key=lambda block: block.pattern_keys[0].tolist())
    return concatenate_blocks(blocks)


def test_gives_what_the_orm_reads(fleet):
    block = read_whole()

    stored = list(Pattern.objects.using(ALIAS).order_by("device_id", "pattern_id"))
    devices = Device.objects.using(ALIAS).in_bulk()
    assert len(block) == len(stored) == 100
    for row, pattern in enumerate(stored):
        device = devices[pattern.device_id]
        key = pattern.device_id.bytes + pattern.pattern_id.bytes
        assert block.pattern_keys[row].astype(">u8").tobytes() == key
        assert np.array_equal(block.embeddings[row], as_array(pattern.embedding))
        assert block.success_rate[row] == np.float32(pattern.success_rate)
        assert block.sample_count[row] == pattern.sample_count
        assert block.time_of_day[row] == pattern.time_of_day
        assert block.day_of_week[row] == pattern.day_of_week
        assert block.content_type[row] == pattern.content_type
        assert block.genres[row] == pattern.genre_hints
        assert block.content_ids[row] == pattern.content_ids
        assert block.device_region[block.device_index[row]] == device.region
        assert block.device_batch[block.device_index[row]] == device.batch_id


@pytest.fixture
def drop_cast():
    def drop() -> None:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("DROP CAST (halfvec AS bytea)")

    yield drop
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("CREATE CAST (halfvec AS bytea) WITHOUT FUNCTION")


def test_gives_the_same_without_the_cast_that_hands_vectors_out(fleet, drop_cast):
    expected = read_whole()
    drop_cast()

    block = read_whole()

    assert np.array_equal(block.embeddings, expected.embeddings)
    assert np.array_equal(block.pattern_keys, expected.pattern_keys)


def test_blocks_are_small_and_never_split_a_tv(fleet):
    blocks = read(block_rows=7)

    owners = [{bytes(key[:2].tobytes()) for key in b.pattern_keys} for b in blocks]
    assert sum(map(len, owners)) == len(set().union(*owners)) == 40
    # Seven rows, and the rest of the last TV's four.
    assert max(map(len, blocks)) <= 7 + 3


def test_leaves_out_what_is_not_good_enough(fleet):
    worse = Pattern.objects.using(ALIAS).filter(device_id=fleet.tvs[0].id)
    worse.update(success_rate=0.79)

    block = read_whole()

    assert block.n_devices == 39


def test_a_pattern_at_the_threshold_counts(fleet):
    Pattern.objects.using(ALIAS).update(success_rate=0.8)

    block = read_whole()

    assert len(block) == 100


def test_revoked_tvs_have_no_say(fleet):
    revoked = fleet.tvs[0]
    Device.objects.using(ALIAS).filter(id=revoked.id).update(revoked_at=timezone.now())

    block = read_whole()

    assert block.n_devices == 39
    assert len(block) == 100 - len(revoked.patterns)


def test_fresh_is_what_came_after_the_last_round(fleet):
    recent = fleet.tvs[:3]
    Pattern.objects.using(ALIAS).filter(device_id__in=[tv.id for tv in recent]).update(
        reported_at=fleet.reported_at + timedelta(hours=1)
    )

    block = read_whole(fresh_since=fleet.reported_at + timedelta(minutes=30))

    assert block.is_fresh.sum() == sum(len(tv.patterns) for tv in recent)


def test_without_an_earlier_round_everything_is_fresh(fleet):
    block = read_whole()

    assert block.is_fresh.all()


def test_a_reading_does_not_see_what_is_written_meanwhile(fleet):
    def forget_all() -> None:
        Pattern.objects.using(ALIAS).all().delete()
        connections[ALIAS].close()

    reading = collect.blocks(ALIAS, min_quality=0.8, block_rows=10)
    first = next(reading)
    meanwhile = Thread(target=forget_all)
    meanwhile.start()
    meanwhile.join()

    assert len(first) + sum(map(len, reading)) == 100


def test_an_empty_shard_gives_no_block():
    assert read() == []


def test_tells_what_the_shard_stores_by_its_tally(fleet):
    reading = collect.sample(ALIAS, min_quality=0.8, seed=1)

    assert reading.stored_device_count == 40
    assert reading.stored_pattern_count == 100
    assert reading.sample.n_patterns == 100


def test_a_reading_leaves_the_connection_usable(fleet):
    reading = collect.blocks(ALIAS, min_quality=0.8, block_rows=10)
    next(reading)
    reading.close()

    assert Pattern.objects.using(ALIAS).count() == 100
