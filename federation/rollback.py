"""Publish an earlier result again, under a new version: TVs only ever go forward."""

from __future__ import annotations

from collections.abc import Callable

from federation import lease, rows
from federation.exceptions import NothingToRollBack, VersionNotKept
from federation.models import Publication, RoundShard
from federation.report import RoundReport
from federation.run import Progress, Run, go_on, silent
from shards import reaching
from shards.databases import CONTROL_ALIAS
from shards.models import Shard


def republish(
    *,
    version: int | None = None,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = go_on,
) -> RoundReport:
    """Give all shards what ``version`` gave; by default, what the current one replaced.

    It is a round of its own that reads no shard: no other runs meanwhile, and the next
    one goes on from the cells and the history of the last that did read. Raises
    ``VersionNotKept`` or ``NothingToRollBack``.
    """
    with reaching.control():
        chosen = _chosen(version)
        told = lease.open_round(
            rollback_of=chosen.version, parameters={"rollback_of": chosen.version}
        )
        run = Run(
            told,
            [
                RoundShard(round=told, shard=shard, status=RoundShard.Status.LEFT_OUT)
                for shard in Shard.objects.all()
            ],
            progress,
        )
        with run.until_closed(should_stop):
            result = rows.read_result(CONTROL_ALIAS, chosen.version)
            run.note(result)
            run.publish(result, along=lambda: None)
        return run.report()


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
