"""Who coordinates the round: one process, for as long as it renews its lease.

Once the lease has passed, whoever comes next takes the round over: it raises the term,
and goes on with what is missing. All that a coordinator writes is conditional on its
term, so one that was thought dead and wakes up again changes nothing. Times are the
control database's: the clocks of machines don't matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from types import TracebackType
from typing import Any

import structlog
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import F, Max, QuerySet
from django.db.models.functions import Now

from federation import events, selectors
from federation.exceptions import RoundAlreadyRunning, RoundLost
from federation.models import FederationRound, Publication, RoundShard
from shards.databases import CONTROL_ALIAS

#: A round, or a unit of work, goes to another this long after its process died.
LEASE = timedelta(seconds=20)

#: Three renewals may fail before the lease is over.
RENEW_EVERY = timedelta(seconds=5)

#: A process that was stopped within a transaction holds its locks no longer than this.
IDLE_TIMEOUT = "20s"

log = structlog.get_logger(__name__)


def open_round(
    *, shards: dict[int, str] | None = None, **fields: Any
) -> FederationRound:
    """Start the one running round, with a row for each shard in the given status.

    Raises ``RoundAlreadyRunning``, also if another process is a moment faster.
    """
    try:
        with transaction.atomic():
            created = FederationRound.objects.create(
                started_at=Now(), lease_until=Now() + LEASE, **fields
            )
            RoundShard.objects.bulk_create(
                RoundShard(round=created, shard_id=shard_id, status=status)
                for shard_id, status in (shards or {}).items()
            )
            events.note(created.pk, "opened it")
    except IntegrityError:
        # Another process got there first.
        running = selectors.running_round()
        if running is None:  # and is done already
            raise
        raise RoundAlreadyRunning(
            round=running.pk,
            step=running.step or "opening",
            lease_until=running.lease_until,
        ) from None
    return FederationRound.objects.get(pk=created.pk)


def left_behind() -> FederationRound | None:
    """Find a round whose coordinator is gone."""
    running = FederationRound.objects.filter(status=FederationRound.Status.RUNNING)
    return running.filter(lease_until__lt=Now()).first()


def take_over() -> FederationRound | None:
    """Become the coordinator of a round left behind; None if there is none."""
    left = left_behind()
    if left is None:
        return None
    with transaction.atomic():
        taken = _held(left).filter(lease_until__lt=Now())
        if not taken.update(term=F("term") + 1, lease_until=Now() + LEASE):
            return None  # another process got there first
        events.note(left.pk, f"took it over (step: {left.step or 'opening'})")
    log.warning("took over a round left behind", round=left.pk, step=left.step)
    return FederationRound.objects.get(pk=left.pk)


@contextmanager
def fenced(told: FederationRound) -> Iterator[None]:
    """A transaction that commits only if the round is still ours; else ``RoundLost``.

    Looked at last, so that the lease can be renewed while the block runs.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}'"
            )
        yield
        if not _held(told).select_for_update().exists():
            raise RoundLost(round=told.pk)


def update(told: FederationRound, **fields: Any) -> None:
    """Write columns of our round; ``RoundLost`` if it isn't ours any more."""
    if not _held(told).update(**fields):
        raise RoundLost(round=told.pk)


def reserve_version(told: FederationRound, *, above: int) -> int:
    """Give the round a version that no other round had or gets."""
    reserved = FederationRound.objects.aggregate(most=Max("reserved_version"))
    published = Publication.objects.aggregate(most=Max("version"))
    version = max(above, reserved["most"] or 0, published["most"] or 0) + 1
    update(told, reserved_version=version)
    return version


class Lease:
    """Calls ``renew`` from a thread of its own while the block runs.

    ``renew`` tells whether it is still ours to renew.
    """

    def __init__(self, renew: Callable[[], bool]) -> None:
        self._renew_once = renew
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

    @property
    def is_lost(self) -> bool:
        return self._is_lost.is_set()

    def _renew(self) -> None:
        try:
            while not self._is_done.wait(RENEW_EVERY.total_seconds()):
                if not self._is_renewed():
                    self._is_lost.set()
                    return
        finally:
            connection.close()

    def _is_renewed(self) -> bool:
        try:
            return self._renew_once()
        except Error as exc:
            # It may come back in time. If not, another takes over.
            log.warning("lease not renewed", problem=str(exc))
            connection.close()
            return True


def renewing(told: FederationRound) -> Lease:
    return Lease(lambda: bool(_held(told).update(lease_until=Now() + LEASE)))


def _held(told: FederationRound) -> QuerySet[FederationRound]:
    return FederationRound.objects.using(CONTROL_ALIAS).filter(
        pk=told.pk, term=told.term, status=FederationRound.Status.RUNNING
    )
