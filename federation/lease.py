"""Who runs the round: one process, for as long as it renews its lease.

A round that isn't renewed is given up by whoever comes next: ``abandoned`` if it had
not published, ``partial`` if it had. Times are the control database's, so that the
clocks of machines don't matter.
"""

from __future__ import annotations

from datetime import timedelta
from threading import Event, Thread
from types import TracebackType
from typing import Any

import structlog
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import F, Max, Q
from django.db.models.functions import Now

from federation import selectors
from federation.exceptions import RoundAlreadyRunning, RoundLost
from federation.models import FederationRound, Publication, RoundShard

LEASE = timedelta(seconds=60)

#: Three renewals may fail before the lease is over.
RENEW_EVERY = timedelta(seconds=15)

log = structlog.get_logger(__name__)


def open_round(**fields: Any) -> FederationRound:
    """Start the one running round, giving up one that was left behind.

    Raises ``RoundAlreadyRunning``, also if another process is a moment faster.
    """
    try:
        with transaction.atomic():
            _give_up_leftover()
            created = FederationRound.objects.create(
                started_at=Now(), lease_until=Now() + LEASE, **fields
            )
    except IntegrityError:
        # Another process got there first.
        running = selectors.running_round()
        if running is None:  # and is done already
            raise
        raise _already_running(running) from None
    return FederationRound.objects.get(pk=created.pk)


def reserve_version(running: FederationRound, *, above: int) -> int:
    """Give the round a version that no other round had or gets."""
    with transaction.atomic():
        held_round(running.pk)
        reserved = FederationRound.objects.aggregate(most=Max("reserved_version"))
        published = Publication.objects.aggregate(most=Max("version"))
        version = max(above, reserved["most"] or 0, published["most"] or 0) + 1
        FederationRound.objects.filter(pk=running.pk).update(reserved_version=version)
    return version


def held_round(round_id: int) -> FederationRound:
    """Lock the round's row within a transaction; ``RoundLost`` if it was given up."""
    held = (
        FederationRound.objects.select_for_update()
        .filter(pk=round_id, status=FederationRound.Status.RUNNING)
        .first()
    )
    if held is None:
        raise RoundLost(round=round_id)
    return held


def mark_published(told: FederationRound, version: int) -> None:
    """Write the version down, in the transaction that makes it current."""
    held_round(told.pk)
    _update(told, global_version=version)


def close_round(told: FederationRound) -> None:
    """Write down how it ended, unless another process has done so."""
    _update(told, status=told.status, problem=told.problem, finished_at=Now())


def is_published(told: FederationRound) -> bool:
    """Tell what was decided, also where the answer to the commit was lost."""
    return FederationRound.objects.filter(
        pk=told.pk, global_version__isnull=False
    ).exists()


def note_shards_in_doubt(told: FederationRound) -> None:
    """Call the shards of a round behind that ended before it heard from them.

    Those that flipped all the same are told apart by their own pointers.
    """
    RoundShard.objects.filter(round=told, status=RoundShard.Status.COLLECTED).update(
        status=RoundShard.Status.BEHIND
    )


class Lease:
    """Renews a round's lease from a thread of its own while the block runs."""

    def __init__(self, round_id: int) -> None:
        self._round_id = round_id
        self._is_done = Event()
        self._is_lost = Event()
        self._thread = Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_done.set()
        self._thread.join()

    def check(self) -> None:
        """Raise ``RoundLost`` if the round isn't ours any more."""
        if self._is_lost.is_set():
            raise RoundLost(round=self._round_id)

    def _renew(self) -> None:
        try:
            while not self._is_done.wait(RENEW_EVERY.total_seconds()):
                if not self._renew_once():
                    self._is_lost.set()
                    return
        finally:
            connection.close()

    def _renew_once(self) -> bool:
        try:
            renewed = FederationRound.objects.filter(
                pk=self._round_id, status=FederationRound.Status.RUNNING
            ).update(lease_until=Now() + LEASE)
        except Error as exc:
            # It may come back in time. If not, the round is given up by another.
            log.warning("lease not renewed", round=self._round_id, problem=str(exc))
            connection.close()
            return True
        return bool(renewed)


def _update(told: FederationRound, **fields: Any) -> None:
    FederationRound.objects.filter(
        pk=told.pk, status=FederationRound.Status.RUNNING
    ).update(
        checksum=told.checksum,
        pattern_count=told.pattern_count,
        trend_count=told.trend_count,
        link_count=told.link_count,
        suppressed_count=told.suppressed_count,
        **fields,
    )


def _give_up_leftover() -> None:
    leftover = (
        FederationRound.objects.select_for_update()
        .filter(status=FederationRound.Status.RUNNING)
        .annotate(is_over=Q(lease_until__lt=Now()))
        .first()
    )
    if leftover is None:
        return
    if not leftover.is_over:
        raise _already_running(leftover)
    is_published = leftover.global_version is not None
    FederationRound.objects.filter(pk=leftover.pk).update(
        status=FederationRound.Status.PARTIAL
        if is_published
        else FederationRound.Status.ABANDONED,
        finished_at=F("lease_until"),
        problem=f"It stopped without a word (step: {leftover.step or 'opening'}); "
        + (
            "shards that are behind get the next version."
            if is_published
            else "nothing was published."
        ),
    )
    if is_published:
        note_shards_in_doubt(leftover)
    log.warning("gave up a round left behind", round=leftover.pk, step=leftover.step)


def _already_running(running: FederationRound) -> RoundAlreadyRunning:
    return RoundAlreadyRunning(
        round=running.pk,
        step=running.step or "opening",
        lease_until=running.lease_until,
    )
