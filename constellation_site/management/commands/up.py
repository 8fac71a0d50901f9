"""`manage.py up`: the whole installation in one terminal."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from constellation_site import environment
from constellation_site.up import runner
from constellation_site.up.errors import UpError
from constellation_site.up.options import Options
from constellation_site.up.terminal import Terminal

DEMO_TVS = 500


class Command(BaseCommand):
    help = (
        "Start everything in this terminal: the databases (embedded PostgreSQL unless "
        "POSTGRES_URL is set), migrations, the API and the console, gRPC, metrics and "
        "hourly federation. For trying it out, for development, and for a single "
        "machine. Ctrl-C stops all of it and keeps the data."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--demo",
            action="store_true",
            help="also simulate a fleet of TVs, and run the first round at once",
        )
        parser.add_argument(
            "--rest-addr",
            metavar="HOST:PORT",
            type=_address,
            default=settings.REST_ADDR,
            help="where the API and the console answer (REST_ADDR; %(default)s)",
        )
        parser.add_argument(
            "--grpc-addr",
            metavar="HOST:PORT",
            type=_address,
            default=settings.GRPC_ADDR,
            help="where TVs find gRPC (GRPC_ADDR; %(default)s)",
        )
        parser.add_argument(
            "--metrics-addr",
            metavar="HOST:PORT",
            type=_address,
            default=settings.METRICS_ADDR,
            help="where Prometheus finds metrics (METRICS_ADDR; %(default)s)",
        )
        parser.add_argument(
            "--workers",
            metavar="N",
            type=_at_least_one,
            default=_usable_cores(),
            help="web processes (one a core: %(default)s)",
        )
        parser.add_argument(
            "--threads",
            metavar="N",
            type=_at_least_one,
            default=settings.REQUEST_THREADS,
            help="request threads of each web process, and of the gRPC server "
            "(REQUEST_THREADS; %(default)s)",
        )
        parser.add_argument(
            "--federation-interval",
            metavar="SECONDS",
            type=_at_least_one,
            default=settings.FEDERATION_INTERVAL_SECS,
            help="between rounds (FEDERATION_INTERVAL_SECS; %(default)s)",
        )
        parser.add_argument(
            "--tvs",
            metavar="N",
            type=_at_least_one,
            default=DEMO_TVS,
            help="how many TVs --demo simulates (%(default)s)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        wanted = Options(
            home=settings.CONSTELLATION_HOME,
            rest_address=options["rest_addr"],
            grpc_address=options["grpc_addr"],
            metrics_address=options["metrics_addr"],
            workers=options["workers"],
            threads=options["threads"],
            federation_interval_seconds=options["federation_interval"],
            is_demo=options["demo"],
            demo_tvs=options["tvs"],
        )
        try:
            runner.run(wanted, Terminal(self.stdout))
        except UpError as exc:
            raise CommandError(str(exc)) from exc


def _address(value: str) -> str:
    try:
        return environment.parse_address(value)
    except ValueError as exc:
        raise ArgumentTypeError(f"{value!r} is not host:port") from exc


def _at_least_one(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ArgumentTypeError(f"{value!r} is not a whole number above 0")
    return int(value)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
