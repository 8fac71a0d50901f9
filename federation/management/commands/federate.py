"""``manage.py federate``: one round, or one after the other until SIGTERM."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connections

from federation import rounds
from federation.changes import Changes, changes
from federation.exceptions import RoundAlreadyRunning
from federation.metrics import serving
from federation.progress import showing_steps
from federation.replay import Replayed, replay
from federation.replay import manifest as manifest_of
from federation.report import RoundReport
from shards import selectors
from shards.exceptions import ConstellationError
from shards.stopping import StopFlag

#: A fresh installation is looked at this often until it could publish something.
WAITING_SECONDS = 10

#: A single round waits so long for another to be over, and asks this often.
PATIENCE_SECONDS = 120.0
WAIT_SECONDS = 0.5

#: A round that could not begin, or broke down, is tried again after this time, or
#: when it is due if that is later.
RETRY_SECONDS = 60

#: So often it is looked whether another process has left a round behind.
WATCH_SECONDS = 5

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = (
        "Learn from all shards and publish the result to all of them. Run it hourly, "
        "or leave it running with --interval; use --dry-run to see what a changed "
        "threshold would publish. Exit status 0: a new version is out, be it without "
        "some shards, which are then named (partial). 1: the old version stays. If "
        "another process left a round behind, that one is finished, and is the one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--interval",
            type=int,
            metavar="SECONDS",
            help="Run a round this often, counted from when the last one began, until "
            "SIGTERM, and serve metrics. Without it: one round, now.",
        )
        parser.add_argument(
            "--shard",
            action="append",
            dest="shards",
            metavar="SHARD",
            help="Ask only this shard, by name or number; may be repeated. For when "
            "another is known to be broken. All shards get the result.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Read and report, publish nothing."
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="Report each round as one JSON object on standard output.",
        )
        parser.add_argument(
            "--replay",
            type=int,
            metavar="ROUND",
            help="Merge what the shards gave to an earlier round once more, and "
            "compare checksums. Publishes nothing. Exit status 0: it is the same.",
        )
        parser.add_argument(
            "--diff",
            type=int,
            nargs=2,
            metavar=("OLD", "NEW"),
            help="Say what changed for TVs between what two rounds published.",
        )
        parser.add_argument(
            "--manifest",
            type=int,
            metavar="ROUND",
            help="Print what a round was made of, as JSON: digests of all that went in "
            "and came out, what it ran with, and the code.",
        )
        parser.add_argument(
            "--metrics-addr",
            default=":9091",
            metavar="HOST:PORT",
            help="Where --interval serves Prometheus (default: %(default)s).",
        )

    def handle(
        self,
        *_args: Any,
        interval: int | None,
        shards: list[str] | None,
        dry_run: bool,
        metrics_addr: str,
        **options: Any,
    ) -> None:
        self._as_json = options["json"]
        if self._looks_back(**options):
            return
        if interval is not None and (interval < 1 or dry_run):
            raise CommandError(
                "--interval takes seconds from 1, and doesn't go with --dry-run."
            )
        self._as_json = options["json"]
        self._stop = StopFlag()
        with self._stopping_politely():
            if interval is None:
                self._run_once(shards, dry_run=dry_run)
            else:
                self._serve_and_run(interval, shards, metrics_addr)

    def _looks_back(
        self,
        *,
        replay: int | None,
        diff: list[int] | None,
        manifest: int | None,
        **_options: Any,
    ) -> bool:
        """Answer a question about earlier rounds; False if none is asked."""
        try:
            if replay is not None:
                self._replay(replay)
            elif diff is not None:
                self._tell(changes(*diff))
            elif manifest is not None:
                self.stdout.write(json.dumps(manifest_of(manifest), indent=2))
            else:
                return False
        except ConstellationError as exc:
            raise CommandError(str(exc)) from exc
        return True

    def _replay(self, round_id: int) -> None:
        with showing_steps() as progress:
            replayed = replay(round_id, progress=progress)
        self._tell(replayed)
        if not replayed.is_reproduced:
            raise CommandError(f"Round {round_id} is not reproduced.")

    @contextmanager
    def _stopping_politely(self) -> Iterator[None]:
        """At SIGTERM or Ctrl-C finish the step; the second one ends it at once."""

        def stop(number: int, _frame: FrameType | None) -> None:
            self._stop.set()
            signal.signal(number, before[signal.Signals(number)])

        before = {
            number: signal.signal(number, stop)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run_once(self, shards: list[str] | None, *, dry_run: bool) -> None:
        try:
            report = self._round_after_another(shards, dry_run=dry_run)
        except ConstellationError as exc:
            raise CommandError(str(exc)) from exc
        if not report.problem:
            return
        status = report.status.replace("_", " ").capitalize()
        message = f"{status}: {report.problem}"
        if not report.is_published:
            raise CommandError(message)
        self.stderr.write(self.style.WARNING(message))

    def _round_after_another(
        self, shards: list[str] | None, *, dry_run: bool
    ) -> RoundReport:
        """Wait a while for a round that runs already, the schedule's for example."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._round(shards, dry_run=dry_run)
            except RoundAlreadyRunning:
                if self._stop.is_set() or time.monotonic() > deadline:
                    raise
            self._stop.wait(WAIT_SECONDS)

    def _serve_and_run(
        self, interval: int, shards: list[str] | None, metrics_addr: str
    ) -> None:
        try:
            with serving(metrics_addr):
                self._run_until_stopped(interval, shards)
        except (OSError, ValueError, OverflowError) as exc:
            raise CommandError(
                f"Can't serve metrics on {metrics_addr}: {exc}. "
                "Choose another HOST:PORT with --metrics-addr."
            ) from exc

    def _run_until_stopped(self, interval: int, shards: list[str] | None) -> None:
        while not self._stop.is_set():
            pause = float(min(interval, RETRY_SECONDS))
            try:
                pause = self._run_if_due(interval, shards)
            except (ConstellationError, Error) as exc:
                log.warning("round failed", problem=str(exc).strip())
            except Exception:
                # The next round may not meet it; a worker that is gone meets none.
                log.exception("round failed")
            finally:
                # An hour from now they may be stale, or the database another one.
                connections.close_all()
            self._wait(pause)

    def _wait(self, seconds: float) -> None:
        """Until then, or until a round is left behind, or the process is to stop."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            self._stop.wait(min(left, WATCH_SECONDS))
            try:
                if rounds.is_left_behind():
                    return
            except (ConstellationError, Error):
                connections.close_all()

    def _run_if_due(self, interval: int, shards: list[str] | None) -> float:
        """Return how many seconds there is nothing to do."""
        if left := rounds.finish_left_behind(should_stop=self._stop.is_set):
            self._tell(left)
        if missing := rounds.waiting_for():
            log.info("waiting for a first round", missing=missing)
            return min(interval, WAITING_SECONDS)
        if wait := rounds.due_in_seconds(interval):
            return wait
        self._log(self._round(shards))
        return rounds.due_in_seconds(interval)

    def _round(self, shards: list[str] | None, *, dry_run: bool = False) -> RoundReport:
        shard_ids = [selectors.shard_called(name).id for name in shards or ()]
        with showing_steps() as progress:
            report = rounds.run_round(
                shard_ids=shard_ids or None,
                dry_run=dry_run,
                progress=progress,
                should_stop=self._stop.is_set,
            )
        self._tell(report)
        return report

    def _tell(self, report: RoundReport | Replayed | Changes) -> None:
        if self._as_json:
            self.stdout.write(json.dumps(report.as_json()))
        else:
            self.stdout.write("\n".join(report.lines()))

    @staticmethod
    def _log(report: RoundReport) -> None:
        facts = {"round": report.round_id, "version": report.global_version}
        if report.problem:
            log.warning(report.status, **facts, problem=report.problem)
        else:
            log.info(report.status, **facts)
