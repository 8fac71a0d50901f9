"""The story of one `up`: check, prepare, run, watch, and stop everything again.

1. Nothing is touched before the ports are free and no other `up` has the home.
2. PostgreSQL comes first and goes last; web and gRPC processes answer before anything
   talks to them.
3. Whatever ends it (a signal, a failure, a child that keeps dying), the same
   `close` runs. A second Ctrl-C makes it quick.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

from django.conf import settings
from django.db import connections

from constellation_site import embedded, environment
from constellation_site.up import (
    banner,
    lease,
    ports,
    preparation,
    programs,
    readiness,
    sockets,
)
from constellation_site.up.errors import StopRequested, UpError
from constellation_site.up.options import Options
from constellation_site.up.postgres import Postgres
from constellation_site.up.supervisor import TICK_SECONDS, Program, Supervisor
from constellation_site.up.terminal import Terminal
from federation.selectors import current_version
from shards.services.shards import ensure_shards

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(options: Options, terminal: Terminal) -> None:
    """Run until asked to stop; raise `UpError` if it cannot go on."""
    _on_stop_signals(_raise_stop)
    try:
        embedded.make_home(options.home)
        with lease.held(options.home):
            ports.check(options)
            _run_house(House(options, terminal))
    except StopRequested:
        terminal.say("Stopped; the data are kept.")


def _run_house(house: House) -> None:
    try:
        house.open()
        house.watch()
    finally:
        _on_stop_signals(house.kill)
        house.close()


class House:
    """All processes of one installation."""

    def __init__(self, options: Options, terminal: Terminal) -> None:
        self._options = options
        self._terminal = terminal
        self._sockets = sockets.folder_in(options.home)
        self._postgres: Postgres | None = None
        if environment.raw("POSTGRES_URL") is None:
            self._postgres = Postgres(options, terminal)
        self._supervisor = Supervisor(
            terminal, environment=options.environment(), folder=programs.BASE_DIR
        )

    def open(self) -> None:
        began_at = time.monotonic()
        if self._postgres:
            self._terminal.say("Starting PostgreSQL")
            self._postgres.start()
        login = self._prepare()
        self._terminal.say("Starting the web and gRPC processes")
        self._start_serving()
        if self._options.is_demo:
            self._play_in()
        self._supervisor.keep(programs.federation())
        if self._options.is_demo:
            self._supervisor.keep(programs.fleet(self._options))
        seconds = time.monotonic() - began_at
        self._terminal.say(banner.text(self._options, login, seconds))

    def watch(self) -> None:
        """Until a signal ends it; raise `UpError` if a process keeps dying."""
        while True:
            self._tend()
            time.sleep(TICK_SECONDS)

    def close(self) -> None:
        self._terminal.hush()
        self._terminal.say("\nStopping")
        try:
            self._supervisor.stop()
        finally:
            sockets.remove(self._sockets)
            if self._postgres:
                self._postgres.stop()

    def kill(self) -> None:
        """Do not wait for the processes; PostgreSQL is still stopped properly."""
        self._supervisor.kill()

    def _prepare(self) -> preparation.Login:
        preparation.migrate_all(self._terminal.say)
        ensure_shards()
        login = preparation.ensure_login(self._options.home)
        if self._options.is_demo:
            preparation.ensure_enrolment_key(self._options.enrolment_key_file)
        preparation.settle_demo_settings(self._options)
        preparation.clean_directory(self._options.metrics_directory)
        # Nothing is collected into it here, but its absence would be warned about.
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
        connections.close_all()
        return login

    def _start_serving(self) -> None:
        for number in range(self._options.workers):
            self._supervisor.keep(programs.web(self._sockets, number))
        self._supervisor.keep(programs.grpc(self._options))
        self._supervisor.keep(programs.observer(self._options))
        # Last, as it is asked to end first: while web processes still answer.
        self._supervisor.keep(programs.gate(self._options, self._sockets))
        url = f"{self._options.rest_url}/health/ready"
        readiness.wait(url, meanwhile=self._tend)
        readiness.wait_for_port(self._options.grpc_target, meanwhile=self._tend)

    def _play_in(self) -> None:
        """Give a new installation something to look at; an old one has it."""
        if current_version() > 0:
            return
        tvs = self._options.demo_tvs
        try:
            self._terminal.say(f"Enrolling {tvs} simulated TVs, which sync")
            self._run(programs.first_syncs(self._options))
            self._terminal.say("Running the first federation round")
            self._run(programs.first_round())
        except UpError as exc:  # the server is fine without, and can be looked into
            self._terminal.say(str(exc))

    def _run(self, program: Program) -> None:
        self._supervisor.run(program, meanwhile=self._tend)

    def _tend(self) -> None:
        if self._postgres:
            self._postgres.tend()
        self._supervisor.tend()


def _raise_stop() -> None:
    raise StopRequested


def _on_stop_signals(action: Callable[[], None]) -> None:
    def handle(_number: int, _frame: FrameType | None) -> None:
        action()

    for number in STOP_SIGNALS:
        signal.signal(number, handle)
