"""Publish an earlier result again, under a new version: TVs only ever go forward."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from federation import lease, rounds
from federation.exceptions import (
    NothingToRollBack,
    ThresholdsWereRaised,
    VersionNotKept,
)
from federation.models import FederationRound, Publication, RoundShard
from federation.report import RoundReport
from federation.run import Progress, go_on, silent
from shards import reaching
from shards.models import Shard

#: What a round notes of its thresholds, and the setting that rules now.
_THRESHOLDS = {
    "min_devices": "MIN_DEVICES_PER_PATTERN",
    "min_sources": "MIN_SOURCE_COUNT",
    "min_batches": "MIN_BATCHES_PER_PATTERN",
}


def republish(
    *,
    version: int | None = None,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = go_on,
) -> RoundReport:
    """Give all shards what ``version`` gave; by default, what the current one replaced.

    It is a round of its own that reads no shard: no other runs meanwhile, and the next
    one goes on from the cells and the history of the last that did read. Raises
    ``VersionNotKept``, ``NothingToRollBack``, or ``ThresholdsWereRaised`` for a version
    with fewer TVs or shards behind it than may be published now.
    """
    told = begin(version=version)
    return rounds.finish(told, progress=progress, should_stop=should_stop)


def begin(*, version: int | None = None) -> FederationRound:
    """Open the round of a roll-back; one that was left behind is finished before."""
    rounds.finish_left_behind()
    with reaching.control():
        chosen = _chosen(version)
        backing = _backing(chosen)
        _check_that_it_is_enough(chosen.version, backing)
        shard_ids = Shard.objects.values_list("pk", flat=True)
        return lease.open_round(
            shards=dict.fromkeys(shard_ids, RoundShard.Status.LEFT_OUT),
            rollback_of=chosen.version,
            parameters={"rollback_of": chosen.version, **backing},
        )


def _chosen(version: int | None) -> Publication:
    current = Publication.objects.filter(is_current=True).first()
    if current is None:
        raise NothingToRollBack(version=0)
    kept = Publication.objects.filter(version__lte=current.version)
    if version is not None:
        chosen = kept.filter(version=version).first()
        if chosen is None:
            known = ", ".join(str(each.version) for each in kept)
            raise VersionNotKept(version=version, kept=known)
        return chosen
    # After a roll-back, one more goes further back, not forward to what was left.
    replaced = kept.filter(version__lt=current.rollback_of or current.version).first()
    if replaced is None:
        raise NothingToRollBack(version=current.version)
    return replaced


def _backing(chosen: Publication) -> dict[str, int]:
    """Tell the thresholds that a version was made with."""
    made_by = FederationRound.objects.get(pk=chosen.round_id)
    return {name: made_by.parameters[name] for name in _THRESHOLDS}


def _check_that_it_is_enough(version: int, backing: dict[str, int]) -> None:
    for name, setting in _THRESHOLDS.items():
        required = getattr(settings, setting)
        if backing[name] < required:
            raise ThresholdsWereRaised(
                version=version, setting=setting, then=backing[name], required=required
            )
