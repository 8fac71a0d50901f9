"""``manage.py worker``: do what rounds need done, and begin them by the schedule."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from constellation_site import beat, metrics_server
from constellation_site.celery import app

#: One may be taken up by the round itself.
FEWEST_SLOTS = 2


class Command(BaseCommand):
    help = (
        "Take part in federation rounds until SIGTERM: read shards, publish to them, "
        "and coordinate the rounds that the schedule begins. Run as many as there are "
        "machines for it; they need the URLs of the databases and nothing else. With "
        "--beat also watch the clock, which one process has to do. `up` runs one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=int,
            metavar="N",
            default=max(FEWEST_SLOTS, os.cpu_count() or 1),
            help="Shards it takes care of at once (default: %(default)s).",
        )
        parser.add_argument(
            "--beat",
            action="store_true",
            help="Also send what the schedule says, when it says so.",
        )
        parser.add_argument(
            "--metrics-addr",
            default=":9091",
            metavar="HOST:PORT",
            help="Where Prometheus scrapes (default: %(default)s).",
        )

    def handle(
        self, *, concurrency: int, beat: bool, metrics_addr: str, **_: Any
    ) -> None:
        if concurrency < 1:
            raise CommandError(f"--concurrency {concurrency}: accepted are 1 and more.")
        with ExitStack() as meanwhile:
            meanwhile.enter_context(_serving(metrics_addr))
            if beat:
                meanwhile.enter_context(_ticking())
            _work(concurrency)


def _work(slots: int) -> None:
    # Which is about messages that carry code; ours carry numbers.
    warnings.filterwarnings("ignore", message=r"You're running the worker with super")
    name = f"constellation-{os.getpid()}@{socket.gethostname()}"
    app.worker_main(
        [
            *("--quiet", "worker", "--hostname", name),
            *("--concurrency", str(slots)),
        ]
    )


@contextmanager
def _ticking() -> Iterator[None]:
    ticking = beat.Beat(app)
    ticking.start()
    try:
        yield
    finally:
        ticking.stop()


@contextmanager
def _serving(address: str) -> Iterator[None]:
    try:
        with metrics_server.serving(address, metrics_server.registry()):
            yield
    except (OSError, ValueError, OverflowError) as exc:
        raise CommandError(
            f"Can't serve metrics on {address}: {exc}. "
            "Choose another HOST:PORT with --metrics-addr."
        ) from exc
