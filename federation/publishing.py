"""What a coordinator does to publish; ``publish`` is what is done with a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from federation import lease, publish, selectors, training
from federation.bundles import storing
from federation.bundles.making import bundles_of
from federation.bundles.messages import items_of
from federation.models import FederationRound, Publication, RoundShard, RoundUnit
from federation.publish import Edition
from federation.result import RoundResult
from federation.training import NewCodebook
from federation.visits import visits
from patterns.selectors import item_ordinals
from patterns.services import items
from shards.databases import CONTROL_ALIAS
from shards.models import Shard

ShardStatus = RoundShard.Status


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a round publishes, and what it leaves to the next."""

    result: RoundResult
    new_codebook: NewCodebook | None = None
    #: Called within the transaction that decides.
    keep: Callable[[], None] = lambda: None


def stage(told: FederationRound, found: Found) -> None:
    """Stage a noted result on the control database, from where shards get it.

    Workers elsewhere have no key, so bundles are signed here. Once more is harmless.
    """
    items.register(sorted(items_of(found.result)))
    if told.reserved_version is None:
        told.reserved_version = lease.reserve_version(told, above=_newest_version())
    version = told.reserved_version
    if Publication.objects.filter(version=version, round_id=told.pk).exists():
        publish.prepare(CONTROL_ALIAS, publish.staged(told.pk, version, told.checksum))
        return
    edition = Edition(
        version=version,
        round_id=told.pk,
        result=found.result,
        checksum=told.checksum,
        rollback_of=told.rollback_of,
        bundles=bundles_of(
            found.result,
            version=version,
            checksum=told.checksum,
            ordinals=item_ordinals(),
            rollback_of=told.rollback_of,
            codebooks=training.payloads(found.new_codebook),
        ),
    )
    with lease.fenced(told):
        publish.stage(CONTROL_ALIAS, edition)
    publish.verify(CONTROL_ALIAS, version, told.checksum)
    storing.verify(CONTROL_ALIAS, version, edition.bundles)


def decide(told: FederationRound, found: Found) -> None:
    """Make the version current on the control database: from here on it is out."""
    version = told.reserved_version
    assert version is not None
    with lease.fenced(told):
        publish.flip(CONTROL_ALIAS, version, told.checksum)
        training.keep(found.new_codebook, round_id=told.pk)
        found.keep()
        lease.update(told, global_version=version)
    told.global_version = version


def note_behind(told: FederationRound) -> None:
    """Write down which shards have the version; part of the caller's transaction."""
    units = RoundUnit.objects.filter(
        round=told, step__in=(RoundUnit.Step.STAGING, RoundUnit.Step.FLIPPING)
    )
    flipped = units.filter(
        step=RoundUnit.Step.FLIPPING, status=RoundUnit.Status.DONE
    ).values("shard")
    rows = RoundShard.objects.filter(round=told)
    collected = rows.filter(status=ShardStatus.COLLECTED)
    collected.filter(shard__in=flipped).update(status=ShardStatus.PUBLISHED)
    collected.exclude(shard__in=flipped).update(status=ShardStatus.BEHIND)
    for unit in units.filter(status=RoundUnit.Status.FAILED):
        rows.filter(shard=unit.shard, problem="").update(problem=unit.problem)


def _newest_version() -> int:
    """The highest version any shard that answers has, staged or published."""
    shard_ids = Shard.objects.values_list("id", flat=True)
    found = [visit.value or 0 for visit in visits(shard_ids, selectors.newest_version)]
    return max(found, default=0)
