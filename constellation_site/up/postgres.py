"""The embedded server as `up` sees it: started first, watched, stopped last."""

from __future__ import annotations

import time
from datetime import timedelta

from constellation_site import embedded
from constellation_site.up.errors import UpError
from constellation_site.up.options import Options
from constellation_site.up.terminal import Terminal

CHECK_INTERVAL = timedelta(seconds=1)
RESTART_LIMIT = 5
#: For the observer, federation, commands and people.
SPARE_CONNECTIONS = 50


class Postgres:
    def __init__(self, options: Options, terminal: Terminal) -> None:
        self._options = options
        self._terminal = terminal
        self._restart_count = 0
        self._checked_at = 0.0

    def start(self) -> None:
        try:
            embedded.start(
                self._options.home,
                max_connections=self._needed_connections(),
                report=self._terminal.say,
            )
        except embedded.EmbeddedPostgresError as exc:
            raise UpError(str(exc)) from exc

    def tend(self) -> None:
        """Start it again if its process is gone; what was committed is still there."""
        now = time.monotonic()
        if now - self._checked_at < CHECK_INTERVAL.total_seconds():
            return
        self._checked_at = now
        if embedded.postmaster_pid(self._options.home) is not None:
            return
        if self._restart_count == RESTART_LIMIT:
            log_file = embedded.place_of(self._options.home).log_file
            raise UpError(f"PostgreSQL ended again and again; see {log_file}.")
        self._restart_count += 1
        self._terminal.say("PostgreSQL has ended; starting it again")
        self.start()

    def stop(self) -> None:
        try:
            embedded.stop(self._options.home)
        except embedded.EmbeddedPostgresError as exc:
            raise UpError(str(exc)) from exc

    def _needed_connections(self) -> int:
        # Each request thread keeps one open to each database it has needed.
        databases = embedded.shard_count(self._options.home) + 1
        serving_processes = self._options.workers + 1  # gRPC's is one
        threads = serving_processes * self._options.threads
        needed = threads * databases + SPARE_CONNECTIONS
        return max(embedded.MAX_CONNECTIONS, needed)
