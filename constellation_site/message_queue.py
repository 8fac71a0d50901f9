"""pgmq on the control database, reached as Django reaches it.

Kombu's own transport takes host, port, name and login from an address and leaves out
the rest: a socket's folder, TLS and its certificates, time-outs.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from kombu.transport import pgmq
from pgmq import PGMQueue
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

#: Of one process: what polls, and what sends meanwhile.
MAX_CONNECTIONS = 4

#: What Django adds for the driver, and libpq doesn't know.
_DRIVERS_OWN = {"context", "cursor_factory", "prepare_threshold"}


def connection_string() -> str:
    """How the control database is reached, in libpq's words."""
    parameters = connection.get_connection_params()
    return make_conninfo(
        **{
            name: value
            for name, value in parameters.items()
            if name not in _DRIVERS_OWN and value is not None
        }
    )


class Channel(pgmq.Channel):
    def _new_queue(self, queue: str, **options: Any) -> None:
        # Creating one that is there already waits for whoever reads from it.
        if not self._has_queue(queue):  # type: ignore[no-untyped-call]
            super()._new_queue(queue, **options)  # type: ignore[no-untyped-call]


class Transport(pgmq.Transport):
    """Sends and reads through a small pool of connections of its own."""

    Channel = Channel
    _pool: ConnectionPool | None = None

    client: Any

    def _create_pgmq_client(self) -> PGMQueue:
        self._pool = ConnectionPool(
            connection_string(),
            min_size=1,
            max_size=MAX_CONNECTIONS,
            timeout=self.client.connect_timeout or 5,
            open=True,
            # A restarted server must not cost a message.
            check=ConnectionPool.check_connection,
        )
        return PGMQueue(
            pool=self._pool,
            vt=int(self.client.transport_options["visibility_timeout"]),
            init_extension=False,
        )

    def close_connection(self, connection: Any) -> None:
        try:
            super().close_connection(connection)
        finally:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
