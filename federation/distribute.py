"""Take an edition to every database, in the order ``federation.publish`` gives."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from functools import partial

from federation import publish, selectors
from federation.bundles import storing
from federation.publish import Edition
from federation.visits import visits
from patterns.services import items
from shards.databases import CONTROL_ALIAS

#: Called with how many of how many steps are done.
Progress = Callable[[int, int], None]


def newest_version(shard_ids: Collection[int]) -> int:
    """The highest version any shard that answers has, staged or published."""
    found = [visit.value or 0 for visit in visits(shard_ids, selectors.newest_version)]
    return max(found, default=0)


def distribute(
    edition: Edition,
    *,
    shard_ids: Collection[int],
    decide: Callable[[], None],
    progress: Progress,
) -> dict[int, str]:
    """Publish to every shard that answers; the rest are returned with their problem.

    ``decide`` flips the control database, with whatever belongs to that transaction.
    It isn't called if no shard can take the edition.
    """
    behind: dict[int, str] = {}
    staged: set[int] = set()
    steps = 2 * len(shard_ids) + 1
    with closing(visits(shard_ids, partial(_prepare, edition=edition))) as prepared:
        for visit in prepared:
            if visit.problem:
                behind[visit.shard_id] = visit.problem
            else:
                staged.add(visit.shard_id)
            progress(len(behind) + len(staged), steps)
    if not staged:
        return behind
    _prepare(CONTROL_ALIAS, edition=edition)
    decide()
    done = len(shard_ids) + 1
    for flipped in visits(
        staged,
        partial(publish.flip, version=edition.version, checksum=edition.checksum),
    ):
        if flipped.problem:
            behind[flipped.shard_id] = flipped.problem
        done += 1
        progress(done, steps)
    progress(steps, steps)
    return behind


def _prepare(alias: str, *, edition: Edition) -> None:
    # First, so that whatever a database publishes has its ordinal there.
    items.copy_new(alias)
    publish.stage(alias, edition)
    publish.verify(alias, edition.version, edition.checksum)
    storing.verify(alias, edition.version, edition.bundles)
