"""The queue in the control database: installed once, reached as Django reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
from django.db import connection, connections
from psycopg.conninfo import conninfo_to_dict

from constellation_site import message_queue

migration = import_module("constellation_site.migrations.0001_message_queue")

NEW_DATABASE = "a_database_without_a_queue"


@pytest.fixture
def new_database(transactional_db: None) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {NEW_DATABASE}")
    try:
        yield NEW_DATABASE
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {NEW_DATABASE}")


def has_queue(alias: str) -> bool:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('pgmq') IS NOT NULL")
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_control_database_has_it_and_shards_do_not():
    assert has_queue("default")
    assert not has_queue("shard_000")


def test_two_who_migrate_at_once_install_it_once(new_database):
    def install(_: int) -> str:
        other = connection.copy()
        other.settings_dict = {**connection.settings_dict, "NAME": new_database}
        try:
            other.set_autocommit(False)
            migration.install(None, other.schema_editor(atomic=False))
            other.commit()
            with other.cursor() as cursor:
                cursor.execute("SELECT pgmq.create('films')")
                cursor.execute("SELECT queue_name FROM pgmq.list_queues()")
                return str(cursor.fetchone()[0])
        finally:
            other.close()

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(install, range(2)))

    assert found == ["films", "films"]


def test_all_that_django_knows_of_the_database_is_used(monkeypatch):
    known = {
        "NAME": "control",
        "USER": "constellation",
        "PASSWORD": "two words, one 'quote'",
        "HOST": "db.example",
        "PORT": "6543",
    }
    for name, value in known.items():
        monkeypatch.setitem(connection.settings_dict, name, value)
    options = {"sslmode": "verify-full", "connect_timeout": 5}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)

    told = conninfo_to_dict(message_queue.connection_string())

    assert told["dbname"] == known["NAME"]
    assert told["user"] == known["USER"]
    assert told["password"] == known["PASSWORD"]
    assert (told["host"], told["port"]) == (known["HOST"], known["PORT"])
    assert told["sslmode"] == options["sslmode"]
