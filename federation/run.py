"""A round under way: its rows in the control database, its steps, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from django.db import Error, connections, transaction

from federation import lease, publish, selectors, training
from federation.bundles import keys
from federation.bundles.making import bundles_of
from federation.bundles.messages import items_of
from federation.distribute import distribute, newest_version
from federation.exceptions import RoundLost
from federation.lease import Lease
from federation.models import FederationRound, RoundShard
from federation.publish import Edition
from federation.report import DRY_RUN, RoundReport
from federation.result import RoundResult
from federation.training import NewCodebook
from patterns.selectors import item_ordinals
from patterns.services import items
from shards.databases import CONTROL_ALIAS

#: Called with the step, and how many of how many parts of it are done.
Progress = Callable[[str, int, int], None]

Status = FederationRound.Status
ShardStatus = RoundShard.Status


def silent(_step: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def go_on() -> bool:
    """Nobody wants it to stop."""
    return False


class Abandoned(Exception):
    """The round can't publish; the message says why, for people."""


class Run:
    """Keeps the books of one round; what is found out is its caller's business."""

    def __init__(
        self, told: FederationRound, shards: Iterable[RoundShard], progress: Progress
    ) -> None:
        self.told = told
        self.shards = {row.shard_id: row for row in shards}
        self.progress = progress
        self._begun = time.monotonic()
        self._check_lease: Callable[[], None] = lambda: None
        self._should_stop: Callable[[], bool] = go_on

    @property
    def is_dry(self) -> bool:
        return self.told.status == DRY_RUN

    @contextmanager
    def until_closed(self, should_stop: Callable[[], bool]) -> Iterator[None]:
        """Hold the lease while the block runs, and close the round by how it ends."""
        RoundShard.objects.bulk_create(self.shards.values())
        self._should_stop = should_stop
        with Lease(self.told.pk) as held:
            self._check_lease = held.check
            try:
                keys.ring()  # raises, before hours of work that nobody would believe
                yield
            except Abandoned as exc:
                self._close(Status.ABANDONED, str(exc))
            except RoundLost:
                raise  # whoever took it over has closed it
            except (Exception, KeyboardInterrupt) as exc:
                self._close_after(exc)
                raise
            else:
                self._close_published()

    def check(self) -> None:
        """Go on only if the round is still ours and nobody wants it to stop."""
        self._check_lease()
        if self._should_stop():
            raise Abandoned("It was stopped before it published.")

    def enter(self, step: str) -> None:
        self.check()
        self.told.step = step
        if not self.is_dry:
            FederationRound.objects.filter(pk=self.told.pk).update(step=step)
        self.progress(step, 0, 1)

    def save(self, row: RoundShard) -> None:
        if not self.is_dry:
            row.save()

    def note(self, result: RoundResult) -> None:
        self.told.checksum = result.checksum()
        self.told.pattern_count = len(result.patterns)
        self.told.trend_count = len(result.trends)
        self.told.link_count = len(result.links)

    def publish(
        self,
        result: RoundResult,
        *,
        new_codebook: NewCodebook | None = None,
        along: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a noted result to all databases; ``along`` runs where it is decided."""
        self.enter("publishing")
        items.register(sorted(items_of(result)))
        version = lease.reserve_version(self.told, above=newest_version(self.shards))
        edition = Edition(
            version=version,
            round_id=self.told.pk,
            result=result,
            checksum=self.told.checksum,
            rollback_of=self.told.rollback_of,
            bundles=bundles_of(
                result,
                version=version,
                checksum=self.told.checksum,
                ordinals=item_ordinals(),
                rollback_of=self.told.rollback_of,
                codebooks=training.payloads(new_codebook),
            ),
        )

        def decide() -> None:
            self.check()
            with transaction.atomic():
                lease.mark_published(self.told, edition.version)
                publish.flip(CONTROL_ALIAS, edition.version, edition.checksum)
                training.keep(new_codebook, round_id=self.told.pk)
                along()
            self.told.global_version = edition.version

        behind = distribute(
            edition,
            shard_ids=self.shards,
            decide=decide,
            progress=partial(self.progress, "publishing"),
        )
        self._note_behind(behind)
        if self.told.global_version is None:
            raise Abandoned(f"No shard could take the result: {self._troubles()}.")

    def report(self) -> RoundReport:
        return RoundReport.of(
            self.told,
            self.shards.values(),
            global_version=selectors.current_version(),
            seconds=time.monotonic() - self._begun,
        )

    def _note_behind(self, behind: dict[int, str]) -> None:
        for row in self.shards.values():
            row.problem = row.problem or behind.get(row.shard_id, "")
            if row.status == ShardStatus.COLLECTED:
                is_behind = row.shard_id in behind
                row.status = ShardStatus.BEHIND if is_behind else ShardStatus.PUBLISHED
            row.save()

    def _troubles(self) -> str:
        return "; ".join(
            f"{row.shard.name}: {row.problem}"
            for row in self.shards.values()
            if row.problem
        )

    def _close_published(self) -> None:
        troubles = self._troubles()
        self._close(Status.PARTIAL if troubles else Status.PUBLISHED, troubles)

    def _close_after(self, exc: BaseException) -> None:
        # Without the control database the lease runs out, and the next one closes it.
        with suppress(Error):
            connections[CONTROL_ALIAS].close_if_unusable_or_obsolete()
            status = Status.ABANDONED
            if lease.is_published(self.told):
                status = Status.PARTIAL
                lease.note_shards_in_doubt(self.told)
            self._close(status, f"{type(exc).__name__}: {exc}".strip(": "))

    def _close(self, status: str, problem: str) -> None:
        self.told.status, self.told.problem = status, problem
        lease.close_round(self.told)
