"""A round run beside the request that asked for it.

A round takes from seconds to an hour, so nobody's browser waits for it: a thread of
the web process runs it, and its page tells how it goes. If the process ends meanwhile
the lease runs out, and whoever comes next gives the round up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Thread

import structlog
from django.db import connections

from federation.models import FederationRound
from federation.report import RoundReport
from federation.rollback import republish
from federation.rounds import run_round
from shards.exceptions import ConstellationError, ControlUnavailable

#: A round has its row, or was refused, long before.
OPENING_TIMEOUT = timedelta(seconds=10)
POLL_INTERVAL = timedelta(milliseconds=20)

log = structlog.get_logger(__name__)


def start_round() -> FederationRound:
    """Start a round and return its row as soon as it has one.

    Raises what kept it from starting, ``RoundAlreadyRunning`` for one.
    """
    return _start(run_round)


def start_roll_back(*, version: int) -> FederationRound:
    """Start publishing an earlier version again; also a round with a row."""
    return _start(partial(republish, version=version))


def _start(work: Callable[[], RoundReport]) -> FederationRound:
    newest = FederationRound.objects.order_by("-id").first()
    newest_id = newest.pk if newest else 0
    thread = _RoundThread(work)
    thread.start()
    deadline = time.monotonic() + OPENING_TIMEOUT.total_seconds()
    while time.monotonic() < deadline:
        is_over = not thread.is_alive()  # asked first: its row is written by then
        opened = FederationRound.objects.filter(pk__gt=newest_id).first()
        if opened is not None:
            return opened
        if is_over:
            break
        time.sleep(POLL_INTERVAL.total_seconds())
    raise thread.refusal or ControlUnavailable()


class _RoundThread(Thread):
    def __init__(self, work: Callable[[], RoundReport]) -> None:
        super().__init__(name="federation-round", daemon=True)
        self._work = work
        self.refusal: ConstellationError | None = None

    def run(self) -> None:
        try:
            report = self._work()
        except ConstellationError as exc:
            self.refusal = exc
            log.warning("round from the console ended early", problem=str(exc))
        except Exception:
            # Its row says that it stopped; the traceback belongs to the log.
            log.exception("round from the console failed")
        else:
            log.info("round from the console is over", status=report.status)
        finally:
            # They are this thread's own, and nobody else would close them.
            connections.close_all()
