"""The store without a door: operators and engineers call it by its function."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from patterns import selectors
from patterns.delta import Accepted, Delta, PatternAddition, PatternUpdate
from patterns.services.store import apply_delta
from patterns.vectors import unit_rows
from shards import statistics
from shards.exceptions import DeviceUnknown
from shards.models import Device

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


def addition(embedding=None, **parts) -> PatternAddition:
    if embedding is None:
        embedding = RNG.normal(size=384)
    facts: dict[str, Any] = {"id": uuid4(), "success_rate": 0.9, "sample_count": 10}
    return PatternAddition(
        embedding=np.asarray(embedding, dtype=np.float32), **facts | parts
    )


def apply(device, version: int, assign_cells=no_cells, **lists):
    return apply_delta(
        shard_alias=SHARD,
        device_id=device.id,
        delta=Delta(local_version=version, **lists),
        assign_cells=assign_cells,
    )


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


@pytest.mark.parametrize("count", [1, 64])
def test_statements_do_not_grow_with_the_delta(device, count):
    apply(device, 1, added=tuple(addition(id=UUID(int=i)) for i in range(count)))

    with CaptureQueriesContext(connections[SHARD]) as captured:
        apply(
            device,
            2,
            added=tuple(addition(id=UUID(int=100 + i)) for i in range(count)),
            updated=tuple(
                PatternUpdate(id=UUID(int=i), new_success_rate=1, additional_samples=1)
                for i in range(count)
            ),
            removed=tuple(UUID(int=i) for i in range(count // 2)),
        )

    assert len(captured) <= 11


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


def test_tv_without_patterns_has_no_tastes(device):
    tastes = selectors.tastes_of(SHARD, device.id)

    assert tastes.embeddings.shape == (0, 384)
    assert tastes.weights.shape == (0,)
