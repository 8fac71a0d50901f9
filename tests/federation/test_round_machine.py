"""Rounds, coordinators and workers in any order, against a plain model.

Hypothesis plays two coordinators and two workers that claim, finish, fail, sleep and
wake up again. Nobody waits: leases and claims are moved back by SQL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from federation import lease, parts, units
from federation.exceptions import RoundAlreadyRunning, RoundLost
from federation.models import FederationRound, RoundShard, RoundUnit
from federation.work import Given
from tests.federation import fleets

pytestmark = pytest.mark.django_db(transaction=True)

SHARDS = [0, 1]
STEP = RoundUnit.Step.COLLECTING

processes = st.sampled_from(["vega", "altair"])
shards = st.sampled_from(SHARDS)


@dataclass(frozen=True)
class Reading:
    """What a worker gives: it tells which claim it belongs to."""

    attempt: int


@dataclass
class Unit:
    status: str = "waiting"
    attempts: int = 0
    is_lapsed: bool = False
    is_overdue: bool = False
    given: int | None = None

    @property
    def is_free(self) -> bool:
        is_left = self.status == "claimed" and self.is_lapsed
        return (self.status == "waiting" or is_left) and (
            self.attempts < units.MAX_ATTEMPTS
        )


@dataclass
class Model:
    """What there should be of the newest round."""

    round_id: int = 0
    status: str = "none"
    term: int = 0
    is_lapsed: bool = False
    units: dict[int, Unit] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        return self.status == "running"


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        FederationRound.objects.all().delete()
        self.model = Model()
        self.held: dict[str, FederationRound] = {}
        self.claims: dict[tuple[str, int], RoundUnit] = {}

    def holds(self, process: str) -> bool:
        told = self.held[process]
        model = self.model
        return model.is_running and (told.pk, told.term) == (model.round_id, model.term)

    def counts(self, claim: RoundUnit) -> bool:
        unit = self.model.units.get(claim.shard_id)
        return (
            self.model.is_running
            and claim.round_id == self.model.round_id
            and unit is not None
            and unit.status == "claimed"
            and unit.attempts == claim.attempts
        )

    # Coordinators

    @rule(process=processes)
    def open(self, process):
        statuses = dict.fromkeys(SHARDS, "collecting")
        if self.model.is_running:
            with pytest.raises(RoundAlreadyRunning):
                lease.open_round(shards=statuses)
            return
        told = lease.open_round(shards=statuses)
        units.create(told, STEP, SHARDS)
        self.held[process] = told
        self.model = Model(
            told.pk, "running", 1, units={shard: Unit() for shard in SHARDS}
        )

    @precondition(lambda self: self.model.is_running)
    @rule()
    def lapse(self):
        over = Now() - timedelta(seconds=1)
        FederationRound.objects.filter(status="running").update(lease_until=over)
        self.model.is_lapsed = True

    @rule(process=processes)
    def take_over(self, process):
        told = lease.take_over()
        may = self.model.is_running and self.model.is_lapsed
        assert (told is not None) == may
        if told is None:
            return
        self.held[process] = told
        self.model.term += 1
        self.model.is_lapsed = False
        assert told.term == self.model.term

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew(self, data):
        process = data.draw(st.sampled_from(sorted(self.held)))
        holds = self.holds(process)
        assert lease.renewing(self.held[process])._is_renewed() == holds
        if holds:
            self.model.is_lapsed = False

    @precondition(lambda self: self.held)
    @rule(data=st.data(), status=st.sampled_from(["published", "partial", "abandoned"]))
    def close(self, data, status):
        process = data.draw(st.sampled_from(sorted(self.held)))
        if self.holds(process):
            lease.update(self.held[process], status=status)
            self.model.status = status
            return
        with pytest.raises(RoundLost):
            lease.update(self.held[process], status=status)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def write_a_part(self, data):
        process = data.draw(st.sampled_from(sorted(self.held)))
        told = self.held[process]
        part = parts.packed(told.pk, "plan", Reading(told.term))
        if self.holds(process):
            with lease.fenced(told):
                parts.store(part)
            return
        with pytest.raises(RoundLost), lease.fenced(told):
            parts.store(part)

    # Workers

    @precondition(lambda self: self.model.round_id)
    @rule(worker=processes, shard=shards)
    def claim(self, worker, shard):
        claimed = units._claim(
            RoundUnit.objects.filter(round=self.model.round_id, shard=shard)
        )
        unit = self.model.units[shard]
        assert (claimed is not None) == (self.model.is_running and unit.is_free)
        if claimed is None:
            return
        self.claims[worker, shard] = claimed
        unit.status, unit.is_lapsed, unit.is_overdue = "claimed", False, False
        unit.attempts += 1
        assert claimed.attempts == unit.attempts

    @precondition(lambda self: self.model.round_id)
    @rule(shard=shards)
    def lapse_a_unit(self, shard):
        over = Now() - timedelta(seconds=1)
        self.of(shard).filter(status="claimed").update(lease_until=over)
        self.model.units[shard].is_lapsed = True

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data):
        claim = self.claims[data.draw(st.sampled_from(sorted(self.claims)))]
        counts = self.counts(claim)
        unit = self.model.units.get(claim.shard_id, Unit())
        units._finish(claim, Given(Reading(claim.attempts)), seconds=1.0)
        if counts and not unit.is_overdue:
            unit.status, unit.given = "done", claim.attempts

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), passes=st.booleans())
    def fail(self, data, passes):
        claim = self.claims[data.draw(st.sampled_from(sorted(self.claims)))]
        counts = self.counts(claim)
        unit = self.model.units.get(claim.shard_id, Unit())
        units._fail(claim, OperationalError("away") if passes else ValueError("bug"))
        if not counts:
            return
        if not passes or unit.attempts > len(units.PAUSES_SECONDS):
            unit.status = "failed"
        elif not unit.is_overdue:
            unit.status = "waiting"

    @precondition(lambda self: self.model.round_id)
    @rule(shard=shards, gives_up=st.booleans())
    def overtake_time(self, shard, gives_up):
        """A unit takes longer than it may, and its coordinator may notice."""
        limit = units.TIME_LIMITS[STEP] + timedelta(seconds=1)
        self.of(shard).filter(status="claimed").update(claimed_at=Now() - limit)
        unit = self.model.units[shard]
        unit.is_overdue = unit.status == "claimed"
        if not gives_up:
            return
        units.settle_lost(FederationRound.objects.get(pk=self.model.round_id), STEP)
        for each in self.model.units.values():
            was_last = each.is_lapsed and each.attempts >= units.MAX_ATTEMPTS
            if (
                self.model.is_running
                and each.status == "claimed"
                and (each.is_overdue or was_last)
            ):
                each.status = "failed"

    def of(self, shard):
        return RoundUnit.objects.filter(round=self.model.round_id, shard=shard)

    @invariant()
    def one_round_runs_at_most(self):
        running = FederationRound.objects.filter(status="running")
        expected = [self.model.round_id] if self.model.is_running else []
        assert list(running.values_list("pk", flat=True)) == expected

    @invariant()
    def units_are_as_they_should_be(self):
        for row in RoundUnit.objects.filter(round=self.model.round_id):
            unit = self.model.units[row.shard_id]
            assert (row.status, row.attempts) == (unit.status, unit.attempts)
            name = parts.name_of(STEP, row.shard_id)
            stored = parts.load(Reading, self.model.round_id, name)
            assert (stored and stored.attempt) == unit.given
            missing = RoundShard.objects.filter(
                round=self.model.round_id, shard=row.shard_id, status="missing"
            )
            assert missing.exists() == (unit.status == "failed")


def test_rounds_survive_any_order_of_events(monkeypatch):
    monkeypatch.setattr(units, "PAUSES_SECONDS", (0, 0))
    fleets.make_shards(len(SHARDS))

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
