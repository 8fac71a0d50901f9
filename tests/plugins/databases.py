"""Databases for tests, made and emptied with less work than Django's own way takes.

Shards are all alike: one is migrated and copied. After a test with transactions of its
own only what was written is emptied; what Django makes anew after a flush, its content
types and permissions, stays instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker

#: What migrations leave, and no test changes.
KEPT_TABLES = {"django_content_type", "auth_permission"}


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest,
    django_db_modify_db_settings_parallel_suffix: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    """Have the shards copied from one that is migrated, and that nobody uses."""
    first, *others = _neighbours()
    if not set(others) & _asked_for(request.session.items):
        yield
        return
    with django_db_blocker.unblock():
        template = _make_template(connections[first])
    for alias in (first, *others):
        copied = {"TEMPLATE": template, "MIGRATE": False}
        connections[alias].settings_dict["TEST"] |= copied
    yield
    with django_db_blocker.unblock():
        creation = connections[first].creation
        creation._destroy_test_db(template, verbosity=0)  # type: ignore[attr-defined]


def _neighbours() -> list[str]:
    """Shards on the server of the first one: only there it can be copied."""
    entries = {
        alias: connections[alias].settings_dict
        for alias in connections
        if alias.startswith("shard_")
    }
    servers = {
        alias: (entry["HOST"], entry["PORT"], entry["OPTIONS"].get("host"))
        for alias, entry in entries.items()
    }
    return [alias for alias in servers if servers[alias] == servers["shard_000"]]


def _asked_for(items: Sequence[pytest.Item]) -> set[str]:
    """Databases that tests name; a shard beside the first is always named."""
    return {
        alias
        for item in items
        for marker in item.iter_markers("django_db")
        for alias in marker.kwargs.get("databases") or ()
    }


def _make_template(connection: BaseDatabaseWrapper) -> str:
    entry = connection.settings_dict
    name, test_name = entry["NAME"], entry["TEST"]["NAME"]
    creation = connection.creation
    own = creation._get_test_db_name()  # type: ignore[attr-defined]
    entry["TEST"]["NAME"] = f"{own}_template"
    template: str = creation.create_test_db(
        verbosity=0, autoclobber=True, serialize=False
    )
    connection.close()  # nobody may look on while it is copied
    entry["NAME"], entry["TEST"]["NAME"] = name, test_name
    return template


def _empty_databases(test: TransactionTestCase) -> None:
    for alias in test._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
        connection = connections[alias]
        with connection.cursor() as cursor:
            tables = connection.introspection.django_table_names(only_existing=True)
            _truncate(cursor, _written(cursor, sorted({*tables} - KEPT_TABLES)))


def _written(cursor: CursorWrapper, tables: Sequence[str]) -> list[str]:
    selects = [
        f"SELECT '{table}' WHERE EXISTS (SELECT FROM \"{table}\")" for table in tables
    ]
    cursor.execute(" UNION ALL ".join(selects))
    return [table for (table,) in cursor.fetchall()]


def _truncate(cursor: CursorWrapper, tables: Sequence[str]) -> None:
    if tables:
        names = ", ".join(f'"{table}"' for table in tables)
        # What refers to them is empty, or among them.
        cursor.execute(f"TRUNCATE {names} CASCADE")


TransactionTestCase._fixture_teardown = _empty_databases  # type: ignore[attr-defined]
