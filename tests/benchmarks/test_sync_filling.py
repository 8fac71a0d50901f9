"""Shards filled for the benchmark of syncs: who lives there, and who calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg
import pytest
from django.db import connections
from numpy.typing import NDArray

from benchmarks.sync import filling, tvs
from benchmarks.sync.callers import Callers, Calls
from benchmarks.sync.filling import NoRoom
from benchmarks.sync.generator import BROKEN, OK, Load
from benchmarks.sync.machine import MachineError
from benchmarks.sync.tvs import Population

#: 3 or 4 patterns each.
TOWN = Population(shard_id=0, returning=90, new=10, patterns=300)


@pytest.fixture
def shard(db: None) -> Iterator[psycopg.Connection]:
    """A connection that sees tables of its own under the names of a shard's."""
    facts = connections["shard_000"].get_connection_params()
    place = {key: facts[key] for key in ("dbname", "user", "host")}
    with psycopg.connect(**place, autocommit=True) as connection:
        for table in (
            *("patterns_pattern", "shards_device"),
            *("shards_shardtally", "shards_syncminute"),
        ):
            connection.execute(
                f"CREATE TEMP TABLE {table} (LIKE public.{table} INCLUDING ALL)"
            )
        yield connection


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_a_filled_shard_has_who_was_asked_for(shard):
    written: list[int] = []

    filling.fill(shard, TOWN, written.append)

    assert sum(written) == TOWN.devices + TOWN.patterns
    row = shard.execute(
        """
        SELECT (SELECT count(*) FROM shards_device),
               (SELECT count(*) FROM shards_device WHERE local_version = 1),
               (SELECT count(*) FROM patterns_pattern),
               (SELECT sum(device_count) FROM shards_shardtally),
               (SELECT sum(pattern_count) FROM shards_shardtally)
        """
    ).fetchone()
    assert row == (TOWN.devices, TOWN.returning, TOWN.patterns, 100, 300)


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_a_tv_has_as_many_patterns_as_its_row_says(shard):
    filling.fill(shard, TOWN, lambda _: None)

    disagreeing = shard.execute(
        """
        SELECT id FROM shards_device LEFT JOIN patterns_pattern ON device_id = id
        GROUP BY id HAVING count(device_id) != min(shards_device.pattern_count)
        """
    ).fetchall()

    assert disagreeing == []


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_ids_are_the_same_here_and_in_sql(shard):
    filling.fill(shard, TOWN, lambda _: None)

    found = shard.execute(
        f"""
        SELECT count(*)
        FROM generate_series(0, 89) AS tv CROSS JOIN generate_series(0, 2) AS place
        JOIN patterns_pattern ON device_id = {tvs.device_id_sql("tv")}
            AND pattern_id = {tvs.pattern_id_sql("tv", "place")}
        """
    ).fetchone()

    assert found == (270,)


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_a_filled_table_has_its_indexes_again(shard):
    before = _indexes(shard)

    filling.fill(shard, TOWN, lambda _: None)

    assert _indexes(shard) == before


def test_ids_are_never_the_same():
    ids = tvs.pattern_ids(
        np.repeat(np.arange(1_000), 16), np.tile(np.arange(16), 1_000)
    )

    assert len(np.unique(ids)) == 16_000


@pytest.mark.parametrize("patterns", [269, 1_441])
def test_a_tv_has_three_to_sixteen_patterns(patterns):
    with pytest.raises(ValueError, match="3 to 16"):
        Population(shard_id=0, returning=90, new=10, patterns=patterns)


def test_what_the_disk_has_no_room_for_is_refused(tmp_path: Path):
    huge = Population(shard_id=0, returning=10**12, new=0, patterns=3 * 10**12)

    with pytest.raises(NoRoom, match=r"--devices and --patterns"):
        filling.check_room(tmp_path, [huge])


class Scribe:
    """Writes down who was asked to write, in place of a request."""

    def __init__(self) -> None:
        self.versions: dict[int, list[int]] = {}

    def __call__(
        self, numbers: NDArray[np.int64], versions: NDArray[np.int64], _: float
    ) -> list[bytes]:
        for number, version in zip(numbers.tolist(), versions.tolist(), strict=True):
            self.versions.setdefault(number, []).append(version)
        return [b"%d" % number for number in numbers.tolist()]


def test_callers_are_new_and_returning_ones_by_their_share():
    scribe = Scribe()

    calls = Callers(TOWN, scribe).calls(50)

    assert len(set(calls.tvs.tolist())) == 50
    assert sorted(v for (v,) in scribe.versions.values()) == [0] * 5 + [1] * 45


def test_a_tv_goes_on_from_what_was_applied():
    scribe = Scribe()
    callers = Callers(TOWN, scribe)
    calls = callers.calls(50)

    callers.note(calls, _load(calls, statuses=[OK] * 25 + [503] * 25))
    again = callers.calls(50)

    # TVs that were sent away are where they were, and new ones are new again.
    served, sent_away = calls.tvs[:25].tolist(), calls.tvs[25:].tolist()
    later = {tv: scribe.versions[tv][-1] for tv in again.tvs.tolist()}
    for tv in set(served) & set(later):
        assert later[tv] == scribe.versions[tv][0] + 1
    for tv in set(sent_away) & set(later):
        assert later[tv] == scribe.versions[tv][0]


def test_tvs_that_have_synced_before_go_on():
    scribe = Scribe()
    town = Population(shard_id=0, returning=90, new=11, patterns=300)
    callers = Callers(town, scribe, {7: 12, 90: 1})

    calls = callers.calls(100)

    assert len(calls.requests) == 100
    assert scribe.versions[7] == [12]
    # It isn't new any more, and has too few patterns to be a returning one.
    assert 90 not in scribe.versions


def test_a_number_can_be_told_from_its_id():
    numbers = np.array([0, 7, 2**40 + 3])

    ids = [UUID(bytes=bytes(each)) for each in tvs.device_ids(numbers)]

    assert [tvs.number_of(each) for each in ids] == numbers.tolist()


def test_a_tv_whose_connection_broke_never_calls_again():
    callers = Callers(TOWN, Scribe())
    calls = callers.calls(50)

    callers.note(calls, _load(calls, statuses=[BROKEN] * 50))
    again = callers.calls(callers.most)

    assert not set(calls.tvs.tolist()) & set(again.tvs.tolist())


def test_more_callers_than_there_are_is_an_error():
    with pytest.raises(MachineError, match="are left"):
        Callers(TOWN, Scribe()).calls(101)


def _load(calls: Calls, *, statuses: list[int]) -> Load:
    count = len(calls.requests)
    return Load(
        requests=np.arange(count),
        statuses=np.array(statuses),
        latencies=np.zeros(count),
        delays=np.zeros(count),
        ends=np.zeros(count),
        sizes=np.zeros(count, dtype=np.int64),
        seconds=1.0,
        offered=count,
        cpu_seconds=0.0,
        connections=1,
    )


def _indexes(connection: psycopg.Connection) -> list[tuple[str, str]]:
    return connection.execute(
        """
        SELECT tablename, regexp_replace(indexdef, 'ON \\S+', '') FROM pg_indexes
        WHERE schemaname LIKE 'pg_temp%' ORDER BY 1, 2
        """
    ).fetchall()
