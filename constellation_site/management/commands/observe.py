"""``manage.py observe``: look at every shard, write it down, tell Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections
from django.utils import timezone

from constellation_site import metrics_server
from constellation_site.fleet_metrics import FleetMetrics
from federation.models import Publication
from shards import observation, reaching, stopping
from shards.databases import configured_shard_ids
from shards.exceptions import ControlUnavailable
from shards.observation import Visitor

log = structlog.get_logger()


class Command(BaseCommand):
    help = (
        "Visit every shard every few seconds, record what was seen for the console, "
        "and serve Prometheus, until SIGTERM. `up` runs it; run one yourself, and only "
        "one, where you start the processes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every",
            type=float,
            default=5.0,
            metavar="SECONDS",
            help="Time between visits (default: %(default)g).",
        )
        parser.add_argument(
            "--metrics-addr",
            default=settings.METRICS_ADDR,
            metavar="HOST:PORT",
            help="Where Prometheus scrapes (METRICS_ADDR; default: %(default)s).",
        )

    def handle(self, *, every: float, metrics_addr: str, **_: Any) -> None:
        if not every > 0:
            raise CommandError(f"--every {every:g}: accepted are seconds above 0.")

        fleet = FleetMetrics()
        metrics = metrics_server.registry(fleet)
        with (
            stopping.requested() as is_stopped,
            _serving(metrics_addr, metrics) as port,
        ):
            self.stderr.write(f"Metrics on port {port}.", style_func=str)
            visitor = Visitor()
            while not is_stopped.is_set():
                observe_once(visitor, fleet, every=timedelta(seconds=every))
                is_stopped.wait(every)


def observe_once(visitor: Visitor, fleet: FleetMetrics, *, every: timedelta) -> None:
    """Visit all shards and record it; a control database that is down is no end."""
    now = timezone.now()
    sightings = visitor.visit(
        configured_shard_ids(), now=now, timeout=max(every, observation.TIMEOUT)
    )
    fleet.saw(sightings)
    close_old_connections()
    try:
        with reaching.control():
            observation.record(sightings, now=now)
            fleet.published(_published_at())
    except ControlUnavailable as exc:
        log.warning("observation not recorded", problem=str(exc))


def _published_at() -> datetime | None:
    current = Publication.objects.filter(is_current=True).first()
    return None if current is None else current.published_at


@contextmanager
def _serving(address: str, metrics: Any) -> Iterator[int]:
    try:
        with metrics_server.serving(address, metrics) as port:
            yield port
    except OSError as exc:
        raise CommandError(
            f"Metrics can't be served on {address}: {exc.strerror}. Choose another "
            "address with --metrics-addr or METRICS_ADDR."
        ) from exc
