"""The databases of one server: their names and addresses, made when missing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from constellation_site.embedded.homes import shard_count
from constellation_site.embedded.places import place_of

SUPERUSER: Final = "constellation"
CONTROL_DATABASE: Final = "constellation"


def database_url(home: str | Path, name: str = CONTROL_DATABASE) -> str:
    """The URL of one database; derived from the home alone, running or not."""
    host = quote(str(place_of(home).sockets), safe="/")
    return f"postgresql://{SUPERUSER}@/{name}?host={host}"


def shard_database(shard_id: int) -> str:
    return f"constellation_shard_{shard_id:03d}"


def database_names(home: str | Path) -> list[str]:
    """The control database, then the shards in order."""
    shards = [shard_database(shard_id) for shard_id in range(shard_count(home))]
    return [CONTROL_DATABASE, *shards]


def ensure_databases(home: str | Path, names: Sequence[str]) -> list[str]:
    """Create the databases that are missing and return their names."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(database_url(home, "postgres"), autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database").fetchall()
        existing = {row[0] for row in rows}
        missing = [name for name in names if name not in existing]
        for name in missing:
            # Suppressed: another process created it since the list was read, or
            # is creating it at this moment.
            with contextlib.suppress(
                psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation
            ):
                connection.execute(
                    sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                )
    return missing
