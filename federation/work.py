"""What is done with one shard in a step of a round, by whoever has claimed it.

Everything here needs is in the databases: what the round ran with in its row, the plan
among its parts, the edition on the control database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from federation import collect, merge, parts, publish
from federation.exceptions import PartMissing
from federation.merge import Plan
from federation.models import FederationRound, RoundPart, RoundShard, RoundUnit
from federation.parameters import Parameters
from federation.publish import Edition
from shards.databases import shard_alias

Step = RoundUnit.Step

#: Where the plan is among the parts of a round.
PLAN = "plan"


@dataclass(frozen=True)
class Given:
    """What a shard gave, and the columns of ``RoundShard`` that say so."""

    value: Any = None
    noted: dict[str, Any] = field(default_factory=dict)


def perform(step: str, shard_id: int, told: FederationRound) -> Given:
    """Do a step of a round on a shard; once more is harmless."""
    alias = shard_alias(shard_id)
    if step == Step.SAMPLING:
        return sample(alias, Parameters.of(told))
    if step == Step.COLLECTING:
        return collect_by(alias, Parameters.of(told), _plan(told))
    edition = edition_of(told)
    if step == Step.STAGING:
        publish.prepare(alias, edition)
    else:
        publish.flip(alias, edition.version, edition.checksum)
    return Given()


def sample(alias: str, parameters: Parameters) -> Given:
    """Read a shard for the first time."""
    reading = collect.sample(
        alias,
        min_quality=parameters.thresholds.min_quality,
        seed=parameters.seed,
        hash_limit=parameters.hash_limit,
        noise=merge.noise_plan(parameters.thresholds),
        quarantined=parameters.quarantined,
    )
    return Given(
        reading,
        {
            "pattern_count": reading.sample.n_patterns,
            "device_count": reading.sample.n_devices,
            "stored_device_count": reading.stored_device_count,
            "stored_pattern_count": reading.stored_pattern_count,
        },
    )


def collect_by(alias: str, parameters: Parameters, plan: Plan) -> Given:
    """Read a shard for the second time."""
    reading = collect.collect(
        alias,
        cells=plan.cells,
        item_filter=plan.item_filter,
        pair_plan=plan.pair_plan,
        min_quality=parameters.thresholds.min_quality,
        fresh_since=parameters.fresh_since,
        screen=plan.screen,
        noise=merge.noise_plan(parameters.thresholds),
        quarantined=parameters.quarantined,
    )
    return Given(
        reading,
        {
            "pattern_count": reading.sums.n_patterns,
            "device_count": reading.sums.n_devices,
            "reporting_count": sum(reading.sums.reporters().values()),
            "status": RoundShard.Status.COLLECTED,
        },
    )


def edition_of(told: FederationRound) -> Edition:
    """Read what a round staged on the control database."""
    assert told.reserved_version is not None
    return _edition(told.pk, told.reserved_version, told.checksum)


def forget() -> None:
    """Free what is remembered between two shards of a round."""
    _plan_with.cache_clear()
    _edition.cache_clear()


def _plan(told: FederationRound) -> Plan:
    stored = RoundPart.objects.filter(round=told, name=PLAN)
    digest = stored.values_list("sha256", flat=True).first()
    if digest is None:
        raise PartMissing(round=told.pk, name=PLAN)
    return _plan_with(told.pk, digest)


# A worker does shard after shard of the same round.
@lru_cache(maxsize=1)
def _plan_with(round_id: int, _digest: str) -> Plan:
    plan = parts.load(Plan, round_id, PLAN)
    if plan is None:
        raise PartMissing(round=round_id, name=PLAN)
    return plan


@lru_cache(maxsize=1)
def _edition(round_id: int, version: int, checksum: str) -> Edition:
    return publish.staged(round_id, version, checksum)
