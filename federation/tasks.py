"""What workers are told to do, in messages that may be lost, late or there twice.

Each says where to look; what is to be done stands in rows.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import structlog
from celery import shared_task
from django.db import Error
from django.db.models.functions import Now

from federation import events, lease, rounds, schedule, units, workers
from federation.exceptions import RoundAlreadyRunning, RoundLost
from federation.models import FederationRound
from federation.report import RoundReport
from shards import reaching
from shards.exceptions import ConstellationError

log = structlog.get_logger(__name__)


@shared_task(name="federation.collect")
def collect(unit_id: int) -> None:
    """Read a shard for a round."""
    _work_on(unit_id)


@shared_task(name="federation.distribute")
def distribute(unit_id: int) -> None:
    """Take what a round publishes to a shard."""
    _work_on(unit_id)


@shared_task(name=schedule.TASK)
def federate() -> None:
    """Hold the round that the schedule wants, if it still does."""
    _tend()


@shared_task(name="federation.tend")
def tend() -> None:
    """Go on with a round that was left behind, or hold one that is due."""
    _tend()


def _work_on(unit_id: int) -> None:
    if not workers.stopping.is_set():
        units.work_on(unit_id)


def _tend() -> None:
    if workers.stopping.is_set():
        return
    try:
        told = _round_to_hold()
        if told is not None:
            _tell(rounds.finish(told, should_stop=partial(_hand_over, told)))
    except (RoundAlreadyRunning, RoundLost):
        pass  # somebody else holds it
    except (ConstellationError, Error) as exc:
        log.warning("round failed", problem=str(exc).strip())


def _tell(report: RoundReport) -> None:
    facts = {"round": report.round_id, "version": report.global_version}
    if report.problem:
        log.warning(report.status, **facts, problem=report.problem)
    else:
        log.info(report.status, **facts)


def _round_to_hold() -> FederationRound | None:
    with reaching.control():
        left = lease.take_over()
        if left is not None:
            return left
        return rounds.begin() if schedule.is_due() else None


def _hand_over(told: FederationRound) -> bool:
    """Let go of a round that hasn't published, once this worker is to stop."""
    if not workers.stopping.is_set():
        return False
    with suppress(RoundLost):
        lease.update(told, lease_until=Now())
        events.note(told.pk, "handed it over")
    raise RoundLost(round=told.pk)
