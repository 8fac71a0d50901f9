"""Syncs in any order against a dict: retries, lost replies, resyncs, other TVs.

Hypothesis plays five TVs of one shard, one a wire, which use the same few pattern ids,
through the real addresses. The oracle is a dict a TV and the contract's own words:
rates are exact fractions, computed as the contract writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from django.db import transaction
from django.db.models import Sum
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from patterns.vectors import as_array
from shards.models import Device, ShardTally
from shards.services import batches
from tests.sync.television import WIRES, Television

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

#: No average of eighths, weighted by small counts, comes near it by rounding.
THRESHOLD = 0.7071067811865476
PATTERNS_LIMIT = 4

POOL = [UUID(int=i) for i in range(1, 6)]

rates = st.integers(0, 8).map(lambda eighths: eighths / 8)
good_rates = st.sampled_from([0.75, 0.875, 1.0])
directions = st.integers(0, 3)

additions = st.fixed_dictionaries(
    {
        "id": st.sampled_from(POOL).map(str),
        "embedding": directions.map(lambda i: [0] * i + [2] + [0] * (383 - i)),
        "success_rate": good_rates | rates,
        "sample_count": st.integers(1, 5),
    }
)
updates = st.fixed_dictionaries(
    {
        "id": st.sampled_from(POOL).map(str),
        "new_success_rate": good_rates | rates,
        "additional_samples": st.integers(0, 5),
    }
)
removals = st.sampled_from(POOL).map(str)


def lists_of(entries: st.SearchStrategy, *, at_most: int) -> st.SearchStrategy:
    def name(entry: Any) -> str:
        return entry if isinstance(entry, str) else entry["id"]

    return st.lists(entries, max_size=at_most, unique_by=name)


contents = st.fixed_dictionaries(
    {
        "patterns_added": lists_of(additions, at_most=4),
        "patterns_updated": lists_of(updates, at_most=3),
        "patterns_removed": lists_of(removals, at_most=2),
    }
)

#: One for each wire.
TVS = ["vega_tv", "vega_neighbour", "vega_newcomer", "vega_gateway", "vega_hotel"]
tvs = st.sampled_from(TVS)


@dataclass
class Remembered:
    """A pattern as the oracle knows it."""

    rate: Fraction
    count: int
    direction: int


class Full(Exception):
    """The delta would leave the TV with too many patterns."""


@dataclass
class Oracle:
    """What the server should know of one TV."""

    version: int = 0
    content: Any = field(
        default_factory=lambda: {
            "patterns_added": [],
            "patterns_updated": [],
            "patterns_removed": [],
        }
    )
    accepted: dict[str, int] = field(default_factory=lambda: accepted_counts())
    patterns: dict[str, Remembered] = field(default_factory=dict)
    #: Bodies that were applied, oldest first.
    history: list[dict[str, Any]] = field(default_factory=list)

    def take(self, content: Any) -> dict[str, int]:
        """Apply a delta by the contract's words; Full changes nothing."""
        patterns = dict(self.patterns)
        counts = accepted_counts()
        for sent in content["patterns_added"]:
            patterns.pop(sent["id"], None)
            if sent["success_rate"] < THRESHOLD:
                counts["filtered"] += 1
                continue
            counts["stored"] += 1
            patterns[sent["id"]] = Remembered(
                Fraction(sent["success_rate"]),
                sent["sample_count"],
                sent["embedding"].index(2),
            )
        for sent in content["patterns_updated"]:
            known = patterns.pop(sent["id"], None)
            if known is None:
                continue
            n, k = known.count, sent["additional_samples"]
            rate = (known.rate * n + Fraction(sent["new_success_rate"]) * k) / (n + k)
            if rate < THRESHOLD:
                counts["filtered"] += 1
                continue
            counts["updated"] += 1
            patterns[sent["id"]] = Remembered(rate, n + k, known.direction)
        for pattern_id in content["patterns_removed"]:
            counts["removed"] += patterns.pop(pattern_id, None) is not None
        if len(patterns) > max(PATTERNS_LIMIT, len(self.patterns)):
            raise Full
        self.patterns = patterns
        return counts


def accepted_counts() -> dict[str, int]:
    return {"stored": 0, "filtered": 0, "updated": 0, "removed": 0}


@contextmanager
def undone(alias: str) -> Iterator[None]:
    """Forget what one history wrote, so that each starts like the others."""
    with transaction.atomic(using=alias):
        yield
        transaction.set_rollback(True, using=alias)


class SyncMachine(RuleBasedStateMachine):
    """Four TVs, one shard, everything that may happen between them and the server."""

    def __init__(self) -> None:
        super().__init__()
        self.undo = ExitStack()
        for alias in ("default", "shard_000"):
            self.undo.enter_context(undone(alias))
        name = f"batch {np.random.default_rng().integers(1 << 60)}"
        self.key = batches.create_batch(name=name).enrolment_key
        # Each speaks another wire.
        names = zip(TVS, WIRES, strict=True)
        self.tv = {name: self.enrol(wire=wire) for name, wire in names}
        self.oracle = {name: Oracle() for name in self.tv}

    def teardown(self) -> None:
        self.undo.close()

    @rule(name=tvs, content=contents, step=st.integers(1, 3), says_base=st.booleans())
    def new_delta_is_applied(self, name, content, step, says_base):
        oracle = self.oracle[name]
        body = self.body(name, content, version=oracle.version + step)
        if says_base:
            body["base_version"] = oracle.version
        before = dict(oracle.patterns)
        try:
            expected = oracle.take(content)
        except Full:
            assert_refused(self.tv[name].post(body), 422, "too_many_patterns")
            assert oracle.patterns == before
            return

        reply = self.tv[name].post(body)

        assert reply.status_code == 200, reply.content
        assert reply.json()["accepted"] == expected
        assert reply.json()["local_version"] == oracle.version + step
        oracle.version += step
        oracle.content, oracle.accepted = content, expected
        oracle.history.append(body)

    @rule(name=tvs, times=st.integers(1, 3))
    def lost_reply_is_asked_for_again(self, name, times):
        oracle = self.oracle[name]
        if not oracle.history:
            return
        for _ in range(times):
            reply = self.tv[name].post(oracle.history[-1])

            assert reply.status_code == 200
            assert reply.json()["accepted"] == oracle.accepted

    @precondition(lambda self: any(len(o.history) > 1 for o in self.oracle.values()))
    @rule(data=st.data())
    def late_delta_is_stale(self, data):
        names = [name for name, o in self.oracle.items() if len(o.history) > 1]
        name = data.draw(st.sampled_from(names))
        oracle = self.oracle[name]
        late = data.draw(st.sampled_from(oracle.history[:-1]))

        reply = self.tv[name].post(late)

        assert_refused(reply, 409, "stale_version", oracle.version)

    @rule(name=tvs, content=contents)
    def used_version_takes_nothing_else(self, name, content):
        oracle = self.oracle[name]
        reply = self.tv[name].post(self.body(name, content, version=oracle.version))

        if content == oracle.content:
            assert reply.status_code == 200
        else:
            assert_refused(reply, 422, "version_reused", oracle.version)

    @rule(name=tvs, content=contents, off_by=st.sampled_from([-2, -1, 1, 5]))
    def gap_is_noticed_and_closed(self, name, content, off_by):
        oracle = self.oracle[name]
        body = self.body(name, content, version=oracle.version + 7)
        body["base_version"] = max(oracle.version + off_by, 0)
        if body["base_version"] == oracle.version:
            return

        reply = self.tv[name].post(body)

        assert_refused(reply, 409, "version_gap", oracle.version)
        assert reply.json()["resync"] is True
        self.resync(name, version=reply.json()["local_version"])

    @rule(name=tvs)
    def stranger_gets_nowhere(self, name):
        other = "vega_tv" if name == "vega_neighbour" else "vega_neighbour"
        body = self.body(name, Oracle().content, version=99)

        reply = self.tv[other].post(body)

        assert_refused(reply, 403, "token_of_another_device")

    @rule(name=tvs)
    def tv_is_forgotten_and_starts_over(self, name):
        self.forget(self.tv[name])
        body = self.body(name, Oracle().content, version=1)
        assert_refused(self.tv[name].post(body), 401, "device_unknown")

        self.tv[name] = self.enrol(self.tv[name].device_id, wire=self.tv[name].wire)
        self.oracle[name] = Oracle()

    @invariant()
    def database_has_what_the_oracle_has(self):
        for name, oracle in self.oracle.items():
            stored = self.tv[name].stored()
            assert {str(i) for i in stored} == set(oracle.patterns)
            for pattern_id, pattern in stored.items():
                remembered = oracle.patterns[str(pattern_id)]
                assert pattern.sample_count == remembered.count
                assert pattern.success_rate == pytest.approx(float(remembered.rate))
                assert as_array(pattern.embedding).argmax() == remembered.direction

    @invariant()
    def counts_are_right_without_counting(self):
        devices = Device.objects.using("shard_000")
        tally = ShardTally.objects.using("shard_000").aggregate(
            devices=Sum("device_count"), patterns=Sum("pattern_count")
        )
        for name, oracle in self.oracle.items():
            device = devices.get(pk=self.tv[name].device_id)
            assert device.pattern_count == len(oracle.patterns)
            assert device.local_version == oracle.version
        assert tally["devices"] == len(self.oracle)
        assert tally["patterns"] == sum(len(o.patterns) for o in self.oracle.values())

    def resync(self, name: str, *, version: int) -> None:
        """Send everything again, as a TV does that was told of a gap."""
        oracle = self.oracle[name]
        content = Oracle().content | {
            "patterns_added": [
                {
                    "id": pattern_id,
                    "embedding": [0] * p.direction + [2] + [0] * (383 - p.direction),
                    "success_rate": float(p.rate),
                    "sample_count": p.count,
                }
                for pattern_id, p in oracle.patterns.items()
            ]
        }
        self.new_delta_is_applied(name, content, step=1, says_base=True)
        assert oracle.version == version + 1

    def body(self, name: str, content: Any, *, version: int) -> dict[str, Any]:
        return {
            "device_id": str(self.tv[name].device_id),
            "delta": content | {"local_version": version},
            "global_version": 0,
        }

    def enrol(self, device_id: UUID | None = None, *, wire: str) -> Television:
        asked = {"enrolment_key": self.key}
        if device_id is not None:
            asked["device_id"] = str(device_id)
        answer = Client().post(
            "/api/v1/devices", asked, content_type="application/json"
        )
        assert answer.status_code == 201, answer.content
        return Television(
            device_id=UUID(answer.json()["device_id"]),
            shard_alias="shard_000",
            token=answer.json()["token"],
            wire=wire,
        )

    def forget(self, tv: Television) -> None:
        gone = tv.client.delete(
            f"/api/v1/devices/{tv.device_id}",
            headers={"authorization": tv.authorization},
        )
        assert gone.status_code == 204, gone.content


def assert_refused(
    reply: Any, status: int, code: str, version: int | None = None
) -> None:
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    if version is not None:
        assert reply.json()["local_version"] == version


def test_every_history_of_syncs_matches_the_oracle(vega, settings: Any):
    settings.QUALITY_THRESHOLD = THRESHOLD
    settings.PATTERNS_PER_DEVICE = PATTERNS_LIMIT

    run_state_machine_as_test(SyncMachine, settings=MANY_HISTORIES)


MANY_HISTORIES = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    # Shrinking a failure would replay thousands of syncs.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_oracle_reads_the_contract_as_it_is_written():
    """(0.75 · 4 + 1 · 4) / 8, by hand."""
    oracle = Oracle()
    oracle.take(content_of(added=[("a", 0.75, 4)]))
    oracle.take(content_of(updated=[("a", 1.0, 4)]))

    assert oracle.patterns["a"] == Remembered(Fraction(7, 8), 8, 0)


def content_of(
    added: Iterable[tuple[str, float, int]] = (),
    updated: Iterable[tuple[str, float, int]] = (),
) -> dict[str, Any]:
    return {
        "patterns_added": [
            {"id": i, "embedding": [2], "success_rate": r, "sample_count": n}
            for i, r, n in added
        ],
        "patterns_updated": [
            {"id": i, "new_success_rate": r, "additional_samples": k}
            for i, r, k in updated
        ],
        "patterns_removed": [],
    }
