"""Beat: sends what the schedule in the control database says, when it says so.

One process has to do it. A second one does no harm: what it sends twice is done once.
"""

from __future__ import annotations

from threading import Event, Thread

import structlog
from celery import Celery
from celery.beat import Service
from django.db import connections
from django_celery_beat.schedulers import DatabaseScheduler

from federation import schedule

RETRY_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # untyped
    def setup_schedule(self) -> None:
        schedule.ensure()
        super().setup_schedule()


class Beat(Thread):
    """Beat within a worker; begun again if it breaks down."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="beat", daemon=True)
        self._app = app
        self._service: Service | None = None
        self._is_over = Event()

    def run(self) -> None:
        while not self._is_over.is_set():
            try:
                self._service = Service(
                    self._app, scheduler_cls=self._app.conf.beat_scheduler
                )
                self._service.start()
            except Exception as exc:
                # A database that is away, most likely: it comes back.
                log.warning("beat begins again", problem=str(exc).strip())
                self._is_over.wait(RETRY_SECONDS)
            finally:
                connections.close_all()

    def stop(self) -> None:
        self._is_over.set()
        if self._service is not None:
            self._service.stop()
