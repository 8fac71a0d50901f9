"""A federation round, from opening to closing: what is behind every door.

``run_round`` does all of it. Doors that can't wait open a round or take one over by
``begin``, and ``finish`` it in a thread. Whoever finishes one that was left behind
gives the same result as the process that began it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from federation import collect, lease, metrics, parameters, reading, rows, selectors
from federation.models import FederationRound, RoundShard
from federation.parameters import Parameters
from federation.publishing import Found
from federation.rehearsal import Rehearsal
from federation.report import RoundReport
from federation.run import Abandoned, Progress, Run, go_on, silent
from federation.visits import visits
from shards import reaching
from shards.databases import CONTROL_ALIAS
from shards.exceptions import UnknownShard
from shards.models import Shard

ShardStatus = RoundShard.Status


def run_round(
    *,
    shard_ids: Collection[int] | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = go_on,
) -> RoundReport:
    """Run one round to its end and report it.

    ``shard_ids`` are the shards that are asked (all of them by default); all get the
    result. A round that was left behind is finished first, and is the one if it asked
    the same shards. A dry run reads and reports, and leaves no trace. ``should_stop``
    is looked at between steps until the version is decided on; then the round is
    finished.

    Raises ``RoundAlreadyRunning`` while another process runs one, and
    ``ControlUnavailable`` if the control database doesn't answer.
    """
    if dry_run:
        return _rehearse(shard_ids, progress)
    while True:
        told = begin(shard_ids=shard_ids)
        report = finish(told, progress=progress, should_stop=should_stop)
        if _is_asked_for(told, shard_ids):
            return report


def begin(*, shard_ids: Collection[int] | None = None) -> FederationRound:
    """Take over the round that was left behind, or open a new one.

    Raises ``RoundAlreadyRunning`` and ``ControlUnavailable``. The lease begins to run.
    """
    with reaching.control():
        left = lease.take_over()
        if left is not None:
            return left
        shards = list(Shard.objects.all())
        asked = _asked(shards, shard_ids)
        return lease.open_round(
            shards={
                shard.pk: ShardStatus.COLLECTING
                if shard.pk in asked
                else ShardStatus.LEFT_OUT
                for shard in shards
            },
            **Parameters.now(asked).written(),
        )


def finish(
    told: FederationRound,
    *,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = go_on,
) -> RoundReport:
    """Bring a round of ours to its end and report it, from wherever it is.

    Raises ``RoundLost`` if another process takes it over, and ``ControlUnavailable``.
    """
    run = Run(told, progress, should_stop)
    with reaching.control(), metrics.counting_breakdowns(told):
        run.carry_out(reading.find_out if told.rollback_of is None else _repeat)
        report = run.report()
    metrics.record(report)
    return report


def finish_left_behind(
    *, should_stop: Callable[[], bool] = go_on
) -> RoundReport | None:
    """Finish the round that a process left behind; None if there is none."""
    with reaching.control():
        left = lease.take_over()
    return None if left is None else finish(left, should_stop=should_stop)


def is_left_behind() -> bool:
    """Tell whether a round waits for somebody to finish it; one small query."""
    with reaching.control():
        return lease.left_behind() is not None


def waiting_for() -> str:
    """Say what is missing before a first round could publish anything; "" if nothing.

    Looks at the shards' tallies, so that a fresh installation doesn't fill its history
    with rounds that were bound to fail.
    """
    if selectors.current_version():
        return ""
    thresholds = parameters.thresholds()
    counts = [
        visit.value or 0
        for visit in visits(
            Shard.objects.values_list("id", flat=True), collect.stored_pattern_count
        )
    ]
    n_sources = sum(count > 0 for count in counts)
    if n_sources < thresholds.min_sources or sum(counts) < thresholds.min_devices:
        return (
            f"{sum(counts)} patterns on {n_sources} shards so far; a first round needs "
            f"{thresholds.min_devices} on {thresholds.min_sources}"
        )
    return ""


def due_in_seconds(interval_seconds: float) -> float:
    """Tell when the next round is due, counted from when the last one began.

    So neither a restart nor a round run by hand adds one to the schedule.
    """
    since = selectors.seconds_since_last_round()
    return 0.0 if since is None else max(0.0, interval_seconds - since)


def _rehearse(shard_ids: Collection[int] | None, progress: Progress) -> RoundReport:
    with reaching.control():
        shards = list(Shard.objects.all())
        asked = _asked(shards, shard_ids)
        run = Rehearsal(Parameters.now(asked), shards, progress)
        try:
            found = reading.Reading(run)
            found.refuse_overspending()
            _ = found.outcome
        except Abandoned as exc:
            run.told.problem = str(exc)
        return run.report()


def _repeat(run: Run) -> Found:
    """What a roll-back publishes: what an earlier version did."""
    assert run.told.rollback_of is not None
    result = rows.read_result(CONTROL_ALIAS, run.told.rollback_of)
    run.note(result)
    return Found(result=result)


def _is_asked_for(told: FederationRound, shard_ids: Collection[int] | None) -> bool:
    if told.rollback_of is not None:
        return False
    return shard_ids is None or told.parameters.get("shards") == sorted(shard_ids)


def _asked(shards: Collection[Shard], shard_ids: Collection[int] | None) -> set[int]:
    known = {shard.id for shard in shards}
    if shard_ids is None:
        return known
    for shard_id in shard_ids:
        if shard_id not in known:
            raise UnknownShard(
                shard_id=shard_id, known=", ".join(map(str, sorted(known))) or "none"
            )
    return set(shard_ids)
