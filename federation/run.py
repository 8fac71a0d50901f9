"""A round under way: its coordinator goes from step to step, and may be anybody.

What a step gives is stored before the next begins. So a coordinator that takes a round
over, or whose control database was away for a moment, goes through the same steps, and
does what isn't there yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from typing import Any, TypeVar

import structlog
from django.db import (
    Error,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.db.models.functions import Now

from federation import events, lease, parts, publishing, selectors, units, waking, work
from federation.bundles import keys
from federation.exceptions import RoundLost
from federation.hands import Hands
from federation.lease import Lease
from federation.models import FederationRound, RoundShard, RoundUnit
from federation.parameters import Parameters
from federation.publishing import Found
from federation.report import RoundReport
from federation.result import RoundResult
from federation.units import Tally
from shards.databases import CONTROL_ALIAS

#: Called with the step, and how many of how many parts of it are done.
Progress = Callable[[str, int, int], None]

#: How often the coordinator looks at what workers elsewhere did.
LOOK_SECONDS = 0.2

#: A control database that is restarted is waited for so long.
PATIENCE_SECONDS = 30.0
RETRY_SECONDS = 1.0

#: A round whose coordinators all die isn't worth another.
MAX_TERMS = 10

Status = FederationRound.Status
ShardStatus = RoundShard.Status
Step = RoundUnit.Step

T = TypeVar("T")

log = structlog.get_logger(__name__)


def silent(_step: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def go_on() -> bool:
    """Nobody wants it to stop."""
    return False


class Abandoned(Exception):
    """The round can't publish; the message says why, for people."""


class Run:
    """Coordinates one round; what is found out is its caller's business."""

    def __init__(
        self,
        told: FederationRound,
        progress: Progress = silent,
        should_stop: Callable[[], bool] = go_on,
    ) -> None:
        self.told = told
        self.progress = progress
        self._should_stop = should_stop
        self._lease: Lease | None = None
        self._begun = time.monotonic()

    @property
    def parameters(self) -> Parameters:
        try:
            return Parameters.of(self.told)
        except (KeyError, TypeError) as exc:
            raise Abandoned("It was opened by another release.") from exc

    def rows(self) -> list[RoundShard]:
        return list(self.told.round_shards.select_related("shard"))

    def carry_out(self, find_out: Callable[[Run], Found]) -> None:
        """Bring the round to its end, from wherever it is.

        Raises ``RoundLost`` if another coordinator has it, and the control database's
        error if that doesn't come back: then the round waits for whoever comes next.
        """
        try:
            with lease.renewing(self.told) as self._lease:
                self._go_patiently(find_out)
        finally:
            work.forget()

    def check(self) -> None:
        """Go on only if the round is still ours and nobody wants it to stop."""
        if self._lease is not None and self._lease.is_lost:
            raise RoundLost(round=self.told.pk)
        if self.told.global_version is None and self._should_stop():
            raise Abandoned("It was stopped before it published.")

    def enter(self, step: str) -> None:
        self.check()
        if self.told.step != step:
            lease.update(self.told, step=step)
            events.note(self.told.pk, step)
        self.told.step = step
        self.progress(step, 0, 1)

    def kept(self, name: str, kind: type[T], make: Callable[[], T], /) -> T:
        """Give what the round has stored under a name; make and store it first."""
        stored = parts.load(kind, self.told.pk, name)
        if stored is not None:
            return stored
        made = make()
        part = parts.packed(self.told.pk, name, made)
        with lease.fenced(self.told):
            parts.store(part)
        return made

    def read(self, step: Step, kind: type[T], /) -> Iterator[tuple[int, T]]:
        """Give what each shard gave that still takes part, in the order of shards."""
        self.do_units(step, taking_part(self.rows()))
        done = self.told.units.filter(step=step, status=RoundUnit.Status.DONE)
        for shard_id in done.order_by("shard_id").values_list("shard_id", flat=True):
            value = parts.load(kind, self.told.pk, parts.name_of(step, shard_id))
            assert value is not None
            yield shard_id, value

    def do_units(self, step: Step, shard_ids: list[int]) -> Tally:
        """Have a step done on each shard, by workers elsewhere or by threads here."""
        self.enter(step)
        waiting = units.create(self.told, step, shard_ids)
        head_start = waking.wake(step, waiting)
        with closing(Hands()) as hands:
            while True:
                self.check()
                units.settle_lost(self.told, step)
                tally = units.tally(self.told, step)
                self.progress(step, tally.settled, tally.total)
                if tally.is_over:
                    return tally
                while hands.are_free and (
                    claimed := units.claim_next(self.told, step, head_start=head_start)
                ):
                    hands.give(claimed)
                hands.wait(LOOK_SECONDS)

    def note(self, result: RoundResult, **held_back: Any) -> None:
        """Write down what was found, its checksum, and the counts of what wasn't."""
        noted = {
            "checksum": result.checksum(),
            "pattern_count": len(result.patterns),
            "trend_count": len(result.trends),
            "link_count": len(result.links),
            **held_back,
        }
        for column, value in noted.items():
            setattr(self.told, column, value)
        self.write(**noted)

    def write(self, **columns: Any) -> None:
        """Write columns of the round's row."""
        lease.update(self.told, **columns)

    def report(self) -> RoundReport:
        return RoundReport.of(
            self.told,
            self.rows(),
            global_version=selectors.current_version(),
            seconds=time.monotonic() - self._begun,
        )

    def _go_patiently(self, find_out: Callable[[Run], Found]) -> None:
        patience = PATIENCE_SECONDS
        while True:
            begun = time.monotonic()
            try:
                self._go(find_out)
                return
            except (OperationalError, InterfaceError) as exc:
                if time.monotonic() - begun > PATIENCE_SECONDS:
                    patience = PATIENCE_SECONDS  # it had come back
                patience -= RETRY_SECONDS
                if patience < 0:
                    raise
                log.warning("control database is away", problem=str(exc).strip())
                connections[CONTROL_ALIAS].close()
                time.sleep(RETRY_SECONDS)

    def _go(self, find_out: Callable[[Run], Found]) -> None:
        # What was written last may be unknown: the answer to a commit can be lost.
        self.told.refresh_from_db()
        if self.told.status != Status.RUNNING:
            return
        try:
            self._publish(find_out)
        except Abandoned as exc:
            self._close(Status.ABANDONED, str(exc))
        except (OperationalError, InterfaceError, RoundLost):
            raise
        except (Exception, KeyboardInterrupt) as exc:
            self._close_after(exc)
            raise
        else:
            self._close_published()

    def _publish(self, find_out: Callable[[Run], Found]) -> None:
        if self.told.global_version is None:
            if self.told.term > MAX_TERMS:
                raise Abandoned(f"{MAX_TERMS} processes died with it.")
            keys.ring()  # raises, before hours of work that nobody would believe
            found = find_out(self)
            self.enter("staging")
            publishing.stage(self.told, found)
            tally = self.do_units(Step.STAGING, [row.shard_id for row in self.rows()])
            if not tally.done:
                publishing.note_behind(self.told)
                named = troubles(self.rows())
                raise Abandoned(f"No shard could take the result: {named}.")
            self.enter("deciding")
            publishing.decide(self.told, found)
        staged = self.told.units.filter(step=Step.STAGING, status=RoundUnit.Status.DONE)
        self.do_units(Step.FLIPPING, list(staged.values_list("shard_id", flat=True)))

    def _close_published(self) -> None:
        with lease.fenced(self.told):
            publishing.note_behind(self.told)
        named = troubles(self.rows())
        status = Status.PARTIAL if named else Status.PUBLISHED
        self._close(status, "; ".join(filter(None, [named, self.told.problem])))

    def _close_after(self, exc: BaseException) -> None:
        # Without the control database the lease runs out, and another takes over.
        with suppress(Error, RoundLost):
            connections[CONTROL_ALIAS].close_if_unusable_or_obsolete()
            self.told.refresh_from_db()
            status = Status.ABANDONED
            if self.told.global_version is not None:
                status = Status.PARTIAL
                publishing.note_behind(self.told)
            self._close(status, f"{type(exc).__name__}: {exc}".strip(": "))

    def _close(self, status: Status, problem: str) -> None:
        with transaction.atomic():
            lease.update(self.told, status=status, problem=problem, finished_at=Now())
            events.note(self.told.pk, status.label.lower())
        self.told.status, self.told.problem = status, problem
        parts.delete_unneeded()


def taking_part(rows: Iterable[RoundShard]) -> list[int]:
    """Those shards that are read, and haven't been given up."""
    out = (ShardStatus.LEFT_OUT, ShardStatus.MISSING)
    return [row.shard_id for row in rows if row.status not in out]


def troubles(rows: Iterable[RoundShard]) -> str:
    return "; ".join(f"{row.shard.name}: {row.problem}" for row in rows if row.problem)
