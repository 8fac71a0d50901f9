"""Which workers there are: each says every few seconds that it is there.

A coordinator leaves units to them for a moment if there are any. Nothing else depends
on it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import structlog
from celery import signals
from django.db import Error, connection
from django.db.models.functions import Now

from federation import events
from federation.models import Worker
from shards.stopping import StopFlag

SAYS_SO_EVERY = timedelta(seconds=5)

#: Two times may be missed.
GONE_AFTER = timedelta(seconds=15)

#: How long the console still names one that is gone.
FORGOTTEN_AFTER = timedelta(hours=1)

#: Set once this process, a worker, is to stop.
stopping = StopFlag()

log = structlog.get_logger(__name__)


def are_there() -> bool:
    return Worker.objects.filter(seen_at__gt=Now() - GONE_AFTER).exists()


def say_here(slots: int) -> None:
    """Write down that this process is there, and forget who is long gone."""
    Worker.objects.bulk_create(
        [Worker(name=events.me(), slots=slots, started_at=Now(), seen_at=Now())],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["slots", "seen_at"],
    )
    Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN_AFTER).delete()


def say_gone() -> None:
    Worker.objects.filter(name=events.me()).delete()


class _Presence(Thread):
    """Says that this process is there, until it is to stop."""

    def __init__(self, slots: int) -> None:
        super().__init__(name="presence", daemon=True)
        self._slots = slots

    def run(self) -> None:
        while not stopping.is_set():
            self._try(say_here, self._slots)
            stopping.wait(SAYS_SO_EVERY.total_seconds())
        self._try(say_gone)
        connection.close()

    @staticmethod
    def _try(say: Callable[..., None], *facts: Any) -> None:
        try:
            say(*facts)
        except Error as exc:
            log.warning("control database is away", problem=str(exc).strip())
            connection.close()


@signals.worker_ready.connect
def _appear(sender: Any, **_: Any) -> None:
    _Presence(sender.controller.concurrency).start()


@signals.worker_shutting_down.connect
def _disappear(**_: Any) -> None:
    stopping.set()
