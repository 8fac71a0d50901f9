"""``manage.py gate``: lets in what the web processes can answer."""

from __future__ import annotations

import resource
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from constellation_site import environment, garbage
from constellation_site.up.options import split_address
from shards import stopping
from sync import load
from sync.gate.keeping import Gate
from sync.gate.webs import Web


class Command(BaseCommand):
    help = (
        "Answer at REST_ADDR for the web processes behind it until SIGTERM: as many "
        "syncs as they can answer are passed on, the rest sent away for next to "
        "nothing; everything else is passed on as it is. `up` runs it; run one "
        "yourself where you start the processes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rest-addr",
            default=settings.REST_ADDR,
            metavar="HOST:PORT",
            help="Where to answer (REST_ADDR; default: %(default)s).",
        )
        parser.add_argument(
            "--web",
            action="append",
            required=True,
            metavar="PATH",
            help="The socket of a web process (granian --uds, one worker each); once "
            "for each.",
        )

    def handle(self, *, rest_addr: str, web: list[str], **_: Any) -> None:
        _allow_many_connections()
        with _bound(rest_addr) as listener, stopping.requested() as is_stopped:
            webs = [Web(path) for path in web]
            gate = Gate(listener, webs, places=load.LOOP_PLACES)
            garbage.collect_less()
            gate.run(is_stopped.is_set)


def _bound(address: str) -> socket.socket:
    try:
        host, port = split_address(environment.parse_address(address))
    except ValueError as exc:
        raise CommandError(f"--rest-addr {address!r} is not host:port.") from exc
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise CommandError(
            f"The gate can't answer at {address}: {exc.strerror}. Choose another "
            "address with --rest-addr or REST_ADDR."
        ) from exc
    return listener


def _allow_many_connections() -> None:
    """A TV has two here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
