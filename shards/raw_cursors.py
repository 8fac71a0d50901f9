"""Statements as PostgreSQL reads them, past Django's cursor.

psycopg remembers how it read a statement's placeholders only if the statement is short;
a long one with ``$1`` needs no reading at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def raw_cursor(connection: BaseDatabaseWrapper) -> Iterator[psycopg.RawCursor[Any]]:
    """Open a cursor on one of Django's connections; it raises Django's errors."""
    connection.ensure_connection()
    with (
        connection.wrap_database_errors,
        psycopg.RawCursor(connection.connection) as cursor,
    ):
        yield cursor
