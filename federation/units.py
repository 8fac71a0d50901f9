"""Units of work: a step of a round on one shard, claimed by whoever comes.

Threads of the coordinator and workers on other machines take them by the same rules. A
claim is a lease with a number, the attempt; what is done counts only under the newest
one, within the time limit, and while the round runs. A database that fails is tried
again after a pause; anything else that goes wrong is the shard's own trouble, and the
round goes on without it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import (
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now

from federation import events, parts, work
from federation.lease import IDLE_TIMEOUT, LEASE, Lease
from federation.models import FederationRound, RoundPart, RoundShard, RoundUnit
from federation.work import Given, Step

#: After each failure of a database, in seconds; one more ends it. A server that was
#: killed is back within ten, or twenty where its machine is busy.
PAUSES_SECONDS = (1, 2, 4, 8, 8)

#: A worker may die with a unit so often.
MAX_ATTEMPTS = 8

#: Whatever takes longer is given up, even if it would end well.
TIME_LIMITS = {
    Step.SAMPLING: timedelta(hours=1),
    Step.COLLECTING: timedelta(hours=1),
    Step.STAGING: timedelta(minutes=15),
    Step.FLIPPING: timedelta(minutes=2),
}

#: A read takes part in what is published; without it the shard is missing.
READING = (Step.SAMPLING, Step.COLLECTING)

#: Worth another try: the database may be back, or another attempt in the way be over.
_PASSING = (OperationalError, InterfaceError, IntegrityError)

Status = RoundUnit.Status

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Tally:
    """How far a step is, in units."""

    total: int
    done: int
    failed: int

    @property
    def settled(self) -> int:
        return self.done + self.failed

    @property
    def is_over(self) -> bool:
        return self.settled == self.total


def create(told: FederationRound, step: str, shard_ids: Collection[int]) -> list[int]:
    """Make the units of a step that aren't there yet; return those not settled."""
    RoundUnit.objects.bulk_create(
        [
            RoundUnit(round=told, shard_id=shard_id, step=step, available_at=Now())
            for shard_id in sorted(shard_ids)
        ],
        ignore_conflicts=True,
    )
    units = RoundUnit.objects.filter(round=told, step=step)
    waiting = units.filter(status__in=(Status.WAITING, Status.CLAIMED))
    return list(waiting.values_list("pk", flat=True))


def work_on(unit_id: int) -> bool:
    """Claim a unit and do it; False if there is nothing to do about it now.

    For workers: it needs the databases and nothing else. True says that it was tried;
    the unit's row says what came of it.
    """
    claimed = _claim(RoundUnit.objects.filter(pk=unit_id))
    if claimed is None:
        return False
    carry_out(claimed)
    return True


def claim_next(
    told: FederationRound, step: str, *, head_start: timedelta
) -> RoundUnit | None:
    """Claim any unit of a step that was left to others for ``head_start``."""
    units = RoundUnit.objects.filter(round=told, step=step)
    return _claim(units.filter(available_at__lte=Now() - head_start))


def carry_out(claimed: RoundUnit) -> None:
    """Do a unit that was claimed, and write down what came of it."""
    try:
        with Lease(lambda: _renew(claimed)):
            begun = time.monotonic()
            given = work.perform(claimed.step, claimed.shard_id, claimed.round)
            _finish(claimed, given, seconds=time.monotonic() - begun)
    except Exception as exc:
        if not isinstance(exc, Error):
            log.exception("a unit failed", unit=str(claimed), round=claimed.round_id)
        _fail(claimed, exc)


def settle_lost(told: FederationRound, step: str) -> None:
    """Give up units that took too long, or whose workers died too often."""
    claimed = RoundUnit.objects.filter(round=told, step=step, status=Status.CLAIMED)
    limit = TIME_LIMITS[Step(step)]
    for unit in claimed.filter(claimed_at__lt=Now() - limit):
        problem = f"It took longer than {limit.total_seconds():.0f} s ({unit.worker})."
        _give_up(unit, problem)
    for unit in claimed.filter(lease_until__lt=Now(), attempts__gte=MAX_ATTEMPTS):
        _give_up(unit, f"{unit.attempts} workers were lost ({unit.worker} was last).")


def tally(told: FederationRound, step: str) -> Tally:
    units = RoundUnit.objects.filter(round=told, step=step)
    return Tally(
        **units.aggregate(
            total=Count("pk"),
            done=Count("pk", filter=Q(status=Status.DONE)),
            failed=Count("pk", filter=Q(status=Status.FAILED)),
        )
    )


def _claim(units: QuerySet[RoundUnit]) -> RoundUnit | None:
    with transaction.atomic():
        free = Q(status=Status.WAITING, available_at__lte=Now()) | Q(
            status=Status.CLAIMED, lease_until__lt=Now()
        )
        unit = (
            units.filter(
                free,
                round__status=FederationRound.Status.RUNNING,
                attempts__lt=MAX_ATTEMPTS,
            )
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("round")
            .order_by("available_at", "pk")
            .first()
        )
        if unit is None:
            return None
        if unit.status == Status.CLAIMED:
            events.note(unit.round_id, f"took over from {unit.worker}: {unit}")
        unit.attempts += 1
        RoundUnit.objects.filter(pk=unit.pk).update(
            status=Status.CLAIMED,
            attempts=unit.attempts,
            worker=events.me(),
            claimed_at=Now(),
            lease_until=Now() + LEASE,
        )
    return unit


def _ours(claimed: RoundUnit) -> QuerySet[RoundUnit]:
    """The unit, if what is done under this claim counts."""
    return RoundUnit.objects.filter(
        pk=claimed.pk,
        status=Status.CLAIMED,
        attempts=claimed.attempts,
        claimed_at__gt=Now() - TIME_LIMITS[Step(claimed.step)],
    )


def _renew(claimed: RoundUnit) -> bool:
    return bool(_ours(claimed).update(lease_until=Now() + LEASE))


def _finish(claimed: RoundUnit, given: Given, *, seconds: float) -> None:
    part = None
    if given.value is not None:
        name = parts.name_of(claimed.step, claimed.shard_id)
        part = parts.packed(claimed.round_id, name, given.value)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}'"
            )
        if part is not None:
            # Two workers of a unit read at different times: the newest counts.
            RoundPart.objects.filter(round=claimed.round, name=part.name).delete()
            parts.store(part)
        if not _settle(claimed, Status.DONE, checksum=part.sha256 if part else ""):
            log.warning("a unit was done too late", unit=str(claimed))
            transaction.set_rollback(True)
            return
        noted = given.noted
        if claimed.step in READING:
            noted |= {"collect_seconds": F("collect_seconds") + seconds}
        if noted:
            _shard_row(claimed).update(**noted)


def _fail(claimed: RoundUnit, exc: Exception) -> None:
    problem = str(exc).strip().partition("\n")[0] or type(exc).__name__
    is_known_dead = (
        _shard_row(claimed).filter(status=RoundShard.Status.MISSING).exists()
    )
    tries_left = len(PAUSES_SECONDS) + 1 - claimed.attempts
    if not isinstance(exc, _PASSING) or tries_left <= 0 or is_known_dead:
        _give_up(claimed, problem)
        return
    pause = timedelta(seconds=PAUSES_SECONDS[claimed.attempts - 1])
    if _ours(claimed).update(
        status=Status.WAITING, available_at=Now() + pause, problem=problem
    ):
        events.note(claimed.round_id, f"failed and tries again: {claimed}: {problem}")


def _give_up(unit: RoundUnit, problem: str) -> None:
    with transaction.atomic():
        if not _settle(unit, Status.FAILED, problem=problem):
            return
        if unit.step in READING:
            missing = RoundShard.Status.MISSING
            _shard_row(unit).update(status=missing, problem=problem)
        events.note(unit.round_id, f"gave up: {unit}: {problem}")


def _settle(
    unit: RoundUnit, status: str, *, checksum: str = "", problem: str = ""
) -> bool:
    """Settle a unit for good, unless another attempt or the end of the round has."""
    running = FederationRound.objects.filter(
        pk=unit.round_id, status=FederationRound.Status.RUNNING
    )
    if not running.select_for_update(no_key=True).exists():
        return False
    counting = RoundUnit.objects.filter(
        pk=unit.pk, status=Status.CLAIMED, attempts=unit.attempts
    )
    if status == Status.DONE:
        counting = _ours(unit)
    return bool(
        counting.update(
            status=status, checksum=checksum, problem=problem, settled_at=Now()
        )
    )


def _shard_row(unit: RoundUnit) -> QuerySet[RoundShard]:
    return RoundShard.objects.filter(round=unit.round_id, shard=unit.shard_id)


def close_connections() -> None:
    """At the end of a thread: connections belong to it."""
    connections.close_all()
