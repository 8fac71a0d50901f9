"""The store without a door: operators and engineers call it by its function."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from django.db import connections
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from patterns import selectors
from patterns.delta import Accepted
from patterns.exceptions import TooManyPatterns
from patterns.models import Pattern
from patterns.reckoning import SAMPLE_COUNT_MAX, averaged
from patterns.services import store
from patterns.services.group_statement import AVERAGED
from patterns.vectors import unit_rows
from shards import statistics
from shards.exceptions import DeviceUnknown
from shards.models import Device
from tests.patterns.deltas import Addition, Update, delta

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SHARD = "shard_000"
RNG = np.random.default_rng(29)


def no_cells(embeddings):
    return np.full(len(embeddings), -1)


@pytest.fixture
def device(vega) -> Device:
    return Device.objects.using(SHARD).create(
        id=uuid4(), batch_id=1, region="global", enrolled_at=timezone.now()
    )


def addition(embedding=None, **parts) -> Addition:
    if embedding is None:
        embedding = RNG.normal(size=384).astype(np.float32)
    return Addition(embedding=embedding, **parts)


def apply(device, version: int, assign_cells=no_cells, with_tastes=False, **lists):
    sync = store.prepare(
        device_id=device.id,
        delta=delta(version, **lists),
        assign_cells=assign_cells,
        with_tastes=with_tastes,
    )
    return store.apply(SHARD, sync)


def stored(device) -> dict[UUID, tuple[float, int]]:
    return {
        each.pattern_id: (each.success_rate, each.sample_count)
        for each in selectors.patterns_of(SHARD, device.id)
    }


def test_says_what_became_of_the_delta(device):
    applied = apply(device, 3, added=(addition(), addition(success_rate=0.2)))

    assert applied.accepted == Accepted(stored=1, filtered=1)
    assert (applied.local_version, applied.pattern_count) == (3, 1)
    assert applied.region == "global"
    assert not applied.is_replay


def test_replay_says_so(device):
    added = (addition(),)
    first = apply(device, 1, added=added)

    second = apply(device, 1, added=added)

    assert second.is_replay
    assert second.accepted == first.accepted


def test_unknown_tv_is_refused(vega):
    with pytest.raises(DeviceUnknown):
        apply(Device(id=uuid4()), 1)


def test_cells_are_asked_for_all_additions_at_once(device):
    asked = []

    def assign(embeddings):
        asked.append(embeddings)
        return np.array([7, -1])

    first, second = addition(), addition()
    apply(device, 1, assign, added=(first, second, addition(success_rate=0.1)))

    patterns = {p.pattern_id: p for p in selectors.patterns_of(SHARD, device.id)}
    assert (patterns[first.id].cell, patterns[second.id].cell) == (7, None)
    [embeddings] = asked
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-6)


EXECUTE, SYNC = "Execute", "Sync"


@contextmanager
def traced() -> Iterator[list[str]]:
    """Have libpq write down what it sends: the kinds of messages."""
    pgconn = connections[SHARD].connection.pgconn
    messages: list[str] = []
    with tempfile.TemporaryFile("w+") as file:
        pgconn.trace(file.fileno())
        try:
            yield messages
        finally:
            pgconn.untrace()
        file.seek(0)
        # When, "F" for what the frontend sends, how long, what; and lines of SQL.
        lines = (line.split("\t") for line in file if "\tF\t" in line)
        messages += [line[3].strip() for line in lines]


@pytest.mark.parametrize("count", [1, 64])
def test_any_delta_is_one_trip(device, count):
    apply(device, 1, added=[addition(id=UUID(int=i)) for i in range(count)])

    with traced() as messages:
        apply(
            device,
            2,
            added=[addition(id=UUID(int=100 + i)) for i in range(count)],
            updated=[Update(id=UUID(int=i)) for i in range(count)],
            removed=[UUID(int=i) for i in range(count // 2)],
        )

    assert messages.count(SYNC) == messages.count(EXECUTE) == 1


def test_whatever_is_said_of_one_pattern_is_done_in_order(device):
    a, b, c = (UUID(int=i) for i in range(3))
    apply(device, 1, added=[addition(id=a), addition(id=b)])

    applied = apply(
        device,
        2,
        added=[addition(id=a), addition(id=c)],
        updated=[Update(id=a), Update(id=b), Update(id=c)],
        removed=[b],
    )

    assert applied.accepted == Accepted(stored=2, updated=3, removed=1)
    assert applied.pattern_count == 2
    assert stored(device) == {a: (0.9, 8), c: (0.9, 8)}


def test_update_without_samples_still_counts_as_word_of_the_pattern(device):
    a = UUID(int=1)
    apply(device, 1, added=[addition(id=a)])

    applied = apply(
        device,
        2,
        updated=[Update(id=a, new_success_rate=0.1, additional_samples=0)],
    )

    assert applied.accepted == Accepted(updated=1)
    assert stored(device) == {a: (0.9, 4)}


def test_updated_below_the_threshold_is_gone_before_it_is_removed(device):
    a = UUID(int=1)
    apply(device, 1, added=[addition(id=a)])

    applied = apply(
        device,
        2,
        updated=[Update(id=a, new_success_rate=0.0, additional_samples=99)],
        removed=[a],
    )

    assert applied.accepted == Accepted(filtered=1)
    assert (applied.pattern_count, stored(device)) == (0, {})


def test_limit_counts_what_is_left(device, settings):
    settings.PATTERNS_PER_DEVICE = 2
    a, b = UUID(int=1), UUID(int=2)
    apply(device, 1, added=[addition(id=a), addition(id=b)])

    swapped = apply(device, 2, added=[addition()], removed=[a])
    filtered = apply(device, 3, added=[addition(success_rate=0.1)])
    with pytest.raises(TooManyPatterns) as refusal:
        apply(device, 4, added=[addition()])

    assert swapped.pattern_count == filtered.pattern_count == 2
    assert "would have 3 patterns" in str(refusal.value)
    assert refusal.value.facts["limit_name"] == "patterns_per_device"
    device.refresh_from_db()
    assert (device.local_version, device.pattern_count) == (3, 2)


def test_tv_above_a_lowered_limit_may_still_shrink(device, settings):
    a, b = UUID(int=1), UUID(int=2)
    apply(device, 1, added=[addition(id=a), addition(id=b), addition()])
    settings.PATTERNS_PER_DEVICE = 1

    assert apply(device, 2, updated=[Update(id=a)]).pattern_count == 3
    assert apply(device, 3, removed=[b]).pattern_count == 2


@settings(max_examples=60)
@given(
    rate=st.floats(0, 1),
    new=st.floats(0, 1),
    n=st.integers(1, 2**31 - 1),
    k=st.integers(0, 2**31 - 1),
)
def test_statement_averages_to_the_last_bit_as_the_reckoning_does(rate, new, n, k):
    with connections[SHARD].cursor() as cursor:
        cursor.execute(
            f"""
            SELECT after.rate, after.samples
            FROM (VALUES (%s::float8, %s::int8))
                AS pattern (success_rate, sample_count),
                (VALUES (%s::float8, %s::int8)) AS entry (rate, samples)
            {AVERAGED}
            """,
            [rate, n, new, k],
        )
        assert cursor.fetchone() == averaged(rate, n, new, k)


def test_sample_count_stops_where_the_column_does(device):
    a = UUID(int=1)
    apply(device, 1, added=[addition(id=a)])
    Pattern.objects.using(SHARD).filter(pattern_id=a).update(
        sample_count=SAMPLE_COUNT_MAX - 2
    )

    apply(device, 2, updated=[Update(id=a)])

    assert stored(device) == {a: (0.9, SAMPLE_COUNT_MAX)}


def test_names_stay_with_their_patterns(device):
    rows = [
        addition(id=UUID(int=i), genre_hints=genres, content_ids=contents)
        for i, (genres, contents) in enumerate(
            [((), ("tt1",)), (("a", 'b"{,}\\'), ()), ((), ()), (("ü",), ("tt2", "tt3"))]
        )
    ]

    apply(device, 1, added=rows)

    found = {p.pattern_id: p for p in selectors.patterns_of(SHARD, device.id)}
    assert {i: p.genre_hints for i, p in found.items()} == {
        row.id: list(row.genre_hints) for row in rows
    }
    assert {i: p.content_ids for i, p in found.items()} == {
        row.id: list(row.content_ids) for row in rows
    }


def test_every_sync_is_counted_in_its_own_transaction(device):
    added = (addition(), addition())
    apply(device, 1, added=added)
    apply(device, 1, added=added)
    apply(device, 2, removed=(added[0].id,))

    seen = statistics.read(shard_alias=SHARD, now=timezone.now())

    assert (seen.patterns_stored, seen.active_devices) == (1, 1)
    assert seen.sync_requests_per_min > 0
    assert seen.avg_sync_latency_ms > 0
    assert selectors.pattern_count(SHARD) == 1


def test_similar_patterns_are_exact_within_their_cells(device):
    vectors = unit_rows(RNG.normal(size=(60, 384)).astype(np.float32))
    cells = np.arange(60) % 3
    apply(
        device,
        1,
        lambda _: cells,
        added=tuple(addition(v, id=UUID(int=i)) for i, v in enumerate(vectors)),
    )
    wanted = vectors[4]

    found: list[Any] = list(
        selectors.similar_patterns(SHARD, wanted, k=10, cells=[0, 1])
    )

    candidates = np.flatnonzero(cells < 2)
    by_hand = candidates[np.argsort(-(vectors[candidates] @ wanted))][:10]
    assert [p.pattern_id.int for p in found] == by_hand.tolist()
    assert found[0].distance == pytest.approx(0, abs=1e-3)


def test_similar_patterns_go_through_the_index_of_cells(device):
    query = selectors.similar_patterns(
        SHARD, np.ones(384, dtype=np.float32), k=10, cells=[3]
    )
    with connections[SHARD].cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

    assert "pattern_by_cell" in query.explain()


def test_similar_patterns_want_a_vector(device):
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(384,\)"):
        selectors.similar_patterns(SHARD, np.ones(3, dtype=np.float32), k=1, cells=[0])


def test_neighbours_of_a_tv_share_a_cell_with_it(vega, device):
    other = Device.objects.using(SHARD).create(
        id=uuid4(), batch_id=1, region="global", enrolled_at=timezone.now()
    )
    vectors = unit_rows(RNG.normal(size=(30, 384)).astype(np.float32))
    cells = np.arange(30) % 3
    apply(
        other,
        1,
        lambda _: cells,
        added=tuple(addition(v, id=UUID(int=i)) for i, v in enumerate(vectors)),
    )
    mine = unit_rows(RNG.normal(size=(2, 384)).astype(np.float32))
    apply(device, 1, lambda _: np.array([0, 1]), added=tuple(map(addition, mine)))

    found = selectors.neighbours_of(SHARD, device.id, k=5)

    distances = np.full(30, 2.0)
    for cell in (0, 1):
        inside = cells == cell
        distances[inside] = 1 - vectors[inside] @ mine[cell]
    assert [n.pattern_id.int for n in found] == np.argsort(distances)[:5].tolist()
    assert {n.device_id for n in found} == {other.id}
    assert found[0].distance == pytest.approx(distances.min(), abs=1e-3)


def test_tastes_are_all_patterns_of_one_tv(device):
    vector = unit_rows(RNG.normal(size=(1, 384)).astype(np.float32))[0]
    apply(device, 1, added=(addition(vector, success_rate=0.8, sample_count=5),))

    tastes = selectors.tastes_of(SHARD, device.id)

    assert tastes.embeddings[0] == pytest.approx(vector, abs=1e-3)
    assert tastes.weights.tolist() == [4.0]
    assert tastes.content_ids == [[]]


def test_tastes_are_read_with_the_delta_and_after_it(device):
    before, gone, now = UUID(int=1), UUID(int=2), UUID(int=3)
    apply(device, 1, added=[addition(id=before), addition(id=gone)])
    parts: dict[str, Any] = {"added": [addition(id=now, content_ids=("tt1",))]}

    with traced() as messages:
        applied = apply(device, 2, **parts, removed=[gone], with_tastes=True)
    again = apply(device, 2, **parts, removed=[gone], with_tastes=True)

    assert (messages.count(EXECUTE), messages.count(SYNC)) == (2, 1)
    for tastes in (applied.tastes, again.tastes):
        assert tastes is not None
        assert tastes.weights.tolist() == pytest.approx([3.6, 3.6])
        assert tastes.content_ids == [[], ["tt1"]]
        assert tastes.embeddings[1] == pytest.approx(
            unit_rows(parts["added"][0].embedding[np.newaxis])[0], abs=1e-3
        )
    emptied = apply(device, 3, removed=[before, now], with_tastes=True).tastes
    assert emptied is not None
    assert len(emptied.weights) == 0


def test_tv_without_patterns_has_no_tastes(device):
    tastes = selectors.tastes_of(SHARD, device.id)

    assert tastes.embeddings.shape == (0, 384)
    assert tastes.weights.shape == (0,)
