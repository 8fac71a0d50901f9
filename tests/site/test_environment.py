"""A setting that can't be used stops the start, and says what would be accepted."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from constellation_site import database_settings, environment, secret


@pytest.mark.parametrize(
    ("read", "value", "accepted"),
    [
        (
            lambda: environment.integer("X", 1, at_least=1, at_most=9),
            "ten",
            "a whole number from 1 to 9",
        ),
        (
            lambda: environment.integer("X", 1, at_least=1, at_most=9),
            "10",
            "a whole number from 1 to 9",
        ),
        (
            lambda: environment.choice("X", "a", among=("a", "b")),
            "c",
            "one of a, b",
        ),
        (lambda: environment.fraction("X", 0.5), "1.5", "a number from 0 to 1"),
        (lambda: environment.fraction("X", 0.5), "nan", "a number from 0 to 1"),
        (lambda: environment.above_zero("X", 1.0), "0", "a number above 0"),
        (lambda: environment.above_zero("X", 1.0), "nan", "a number above 0"),
        (lambda: environment.above_zero("X", None, at_most=9), "10", "above 0 to 9"),
        (lambda: environment.boolean("X", False), "maybe", "one of 1, 0, true, false"),
        (lambda: environment.address("X", ":1"), "8080", "host:port"),
        (lambda: environment.address("X", ":1"), ":99999", "host:port"),
        (lambda: environment.shard_ids("X"), "0,b", "shard numbers"),
    ],
)
def test_unacceptable_value_is_refused_by_name(monkeypatch, read, value, accepted):
    monkeypatch.setenv("X", value)

    with pytest.raises(ImproperlyConfigured) as refusal:
        read()

    assert str(refusal.value).startswith("X is ")
    assert accepted in str(refusal.value)


def test_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("X", "")

    assert environment.integer("X", 7, at_least=1) == 7


def test_word_is_read_in_any_case(monkeypatch):
    monkeypatch.setenv("X", "info")

    assert environment.choice("X", "WARNING", among=("INFO", "WARNING")) == "INFO"


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEVICE_TOKEN_DAYS", "99999999"), ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml")],
)
def test_start_is_refused_where_the_variable_would_fail_later(name, value):
    start = subprocess.run(
        [sys.executable, "-c", "import constellation_site.settings"],
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
    )

    assert start.returncode != 0
    assert re.search(f"{name} is '?{value}'?. Accepted: ", start.stderr)


@pytest.mark.parametrize(
    "url", ["redis://:secret@cache:6379/0", "rediss://cache", "amqp://u:p@mq/fleet"]
)
def test_broker_is_named_by_its_address(monkeypatch, url):
    monkeypatch.setenv("X", url)

    assert environment.broker_url("X", "pgmq://here") == url


@pytest.mark.parametrize(
    "url", ["cache:6379", "redis://", "filesystem:///secret", "sqs://u:secret@"]
)
def test_what_is_no_broker_is_refused_without_its_password(monkeypatch, url):
    monkeypatch.setenv("X", url)

    with pytest.raises(ImproperlyConfigured, match="X isn't the address") as refusal:
        environment.broker_url("X", "pgmq://here")
    assert "Accepted: redis://" in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_address_without_a_host_means_every_interface(monkeypatch):
    monkeypatch.setenv("X", ":9090")

    assert environment.address("X", ":1") == "0.0.0.0:9090"


@pytest.mark.parametrize("given", ["POSTGRES_URL", "SHARD_POSTGRES_URLS"])
def test_control_and_shard_databases_are_set_together(monkeypatch, tmp_path, given):
    monkeypatch.delenv("POSTGRES_URL", raising=False)
    monkeypatch.delenv("SHARD_POSTGRES_URLS", raising=False)
    monkeypatch.setenv(given, "postgresql://tv@localhost/constellation")

    with pytest.raises(ImproperlyConfigured, match="belong together"):
        database_settings.databases(tmp_path)


def test_each_shard_url_becomes_an_alias_in_order(monkeypatch, tmp_path):
    monkeypatch.setenv("POSTGRES_URL", "postgresql://tv@control/constellation")
    monkeypatch.setenv(
        "SHARD_POSTGRES_URLS", "postgresql://tv@a/one, postgresql://tv@b/two"
    )

    entries = database_settings.databases(tmp_path)

    assert list(entries) == ["default", "shard_000", "shard_001"]
    assert (entries["shard_001"]["HOST"], entries["shard_001"]["NAME"]) == ("b", "two")


@pytest.mark.parametrize(
    ("urls", "position"),
    [
        ("postgresql://tv@a/one,,postgresql://tv@b/two", 1),
        (", postgresql://tv@a/one", 0),
        ("postgresql://tv@a/one, ", 1),
    ],
)
def test_no_shard_takes_the_number_of_one_left_out(
    monkeypatch, tmp_path, urls, position
):
    monkeypatch.setenv("POSTGRES_URL", "postgresql://tv@control/constellation")
    monkeypatch.setenv("SHARD_POSTGRES_URLS", urls)

    with pytest.raises(ImproperlyConfigured, match=f"no URL at position {position} "):
        database_settings.databases(tmp_path)


@pytest.mark.parametrize(
    ("control", "shards", "places"),
    [
        ("b/control", ["tv@a/one", "tv@a/two", "tv@a/one"], ("position 0", "2")),
        ("b/control", ["tv@a/one", "admin:x@A:5432/one"], ("position 0", "1")),
        ("b/control", ["/one?host=/run/pg", "/one?host=/run/pg"], ("position 0", "1")),
        ("a/one", ["tv@a/two", "tv@a/one"], ("POSTGRES_URL", "1")),
    ],
)
def test_every_shard_has_a_database_of_its_own(
    monkeypatch, tmp_path, control, shards, places
):
    monkeypatch.setenv("POSTGRES_URL", f"postgresql://{control}")
    urls = ",".join(f"postgresql://{shard}" for shard in shards)
    monkeypatch.setenv("SHARD_POSTGRES_URLS", urls)

    with pytest.raises(ImproperlyConfigured) as refusal:
        database_settings.databases(tmp_path)

    first, second = places
    assert "SHARD_POSTGRES_URLS" in str(refusal.value)
    assert f"of {first} again at position {second} " in str(refusal.value)


def test_databases_of_one_name_on_several_servers_are_several(monkeypatch, tmp_path):
    urls = ["tv@a/one", "tv@b/one", "tv@a:5433/one", "/one?host=/run/pg"]
    monkeypatch.setenv("POSTGRES_URL", "postgresql://tv@control/one")
    monkeypatch.setenv(
        "SHARD_POSTGRES_URLS", ",".join(f"postgresql://{url}" for url in urls)
    )

    assert len(database_settings.databases(tmp_path)) == 5


@pytest.mark.parametrize("url", ["mysql://tv@a/one", "postgresql://tv@a/", "one"])
def test_what_is_no_postgresql_url_is_refused(url):
    with pytest.raises(ImproperlyConfigured, match="Accepted: postgresql://"):
        environment.postgres_url("POSTGRES_URL", url)


def test_secret_key_is_made_once_and_only_its_owner_reads_it(monkeypatch, tmp_path):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("POSTGRES_URL", raising=False)

    key = secret.secret_key(tmp_path / "home")

    assert len(key) >= 32
    assert secret.secret_key(tmp_path / "home") == key
    assert (tmp_path / "home" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_own_databases_need_a_secret_key_of_their_own(monkeypatch, tmp_path):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("POSTGRES_URL", "postgresql://tv@localhost/constellation")

    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is unset"):
        secret.secret_key(tmp_path)


@pytest.fixture
def demo_settings(monkeypatch, tmp_path):
    """A home whose demonstration says that X is 5."""
    (tmp_path / "demo.env").write_text("X=5\n")
    monkeypatch.setenv("CONSTELLATION_HOME", str(tmp_path))
    environment._demo_settings.cache_clear()
    yield
    environment._demo_settings.cache_clear()


def test_demo_settings_hold_for_every_process_of_the_home(demo_settings):
    assert environment.integer("X", 50, at_least=2) == 5


def test_the_environment_wins_over_demo_settings(demo_settings, monkeypatch):
    monkeypatch.setenv("X", "7")

    assert environment.integer("X", 50, at_least=2) == 7
