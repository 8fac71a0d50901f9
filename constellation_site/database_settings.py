"""Build ``DATABASES``: the control database and one alias a shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from constellation_site import embedded, environment

#: A database that can't be reached must not hold a TV's request for longer than
#: seconds: to connect, and on a connection whose other end is gone without a word.
UNREACHABLE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}

#: Times that a connection has seen a statement before it prepares it.
PREPARE_AFTER = 5


def databases(home: Path) -> dict[str, dict[str, Any]]:
    """Read ``POSTGRES_URL`` and ``SHARD_POSTGRES_URLS``; embedded without them."""
    control_url = environment.raw("POSTGRES_URL")
    shard_urls = environment.raw("SHARD_POSTGRES_URLS")
    if bool(control_url) != bool(shard_urls):
        raise ImproperlyConfigured(
            "POSTGRES_URL and SHARD_POSTGRES_URLS belong together: set both, or "
            "neither for the embedded PostgreSQL."
        )
    if control_url and shard_urls:
        return _databases(control_url, _listed(shard_urls))
    control_url, *urls = (
        embedded.database_url(home, name) for name in embedded.database_names(home)
    )
    return _databases(control_url, urls)


def _listed(shard_urls: str) -> list[str]:
    urls = [url.strip() for url in shard_urls.split(",")]
    if "" in urls:
        raise ImproperlyConfigured(
            f"SHARD_POSTGRES_URLS has no URL at position {urls.index('')} (counted "
            "from 0). A shard's number is its URL's place, so none may be left out. "
            "Accepted: URLs with one comma between them."
        )
    return urls


def _databases(control_url: str, shard_urls: list[str]) -> dict[str, dict[str, Any]]:
    entries = {"default": _entry("POSTGRES_URL", control_url)}
    for shard_id, url in enumerate(shard_urls):
        entries[f"shard_{shard_id:03d}"] = _entry("SHARD_POSTGRES_URLS", url)
    _refuse_shared(list(entries.values()))
    return entries


def _refuse_shared(entries: list[dict[str, Any]]) -> None:
    """Two shards in one database would count each other's TVs as their own."""
    places: dict[tuple[str, ...], str] = {}
    for position, entry in enumerate(entries, start=-1):
        place = "POSTGRES_URL" if position < 0 else f"position {position}"
        other = places.setdefault(_identity(entry), place)
        if other != place:
            raise ImproperlyConfigured(
                f"SHARD_POSTGRES_URLS names the database of {other} again at {place} "
                f"(counted from 0): {entry['NAME']}. Accepted: a database of its own "
                "for every shard."
            )


def _identity(entry: dict[str, Any]) -> tuple[str, ...]:
    """What makes two URLs the same database, whoever logs in."""
    options = entry["OPTIONS"]
    host = str(entry["HOST"] or options.get("host", "")).lower()
    port = str(entry["PORT"] or options.get("port", "") or 5432)
    return host, port, str(entry["NAME"])


def _entry(name: str, url: str) -> dict[str, Any]:
    entry: dict[str, Any] = environment.postgres_url(name, url)
    entry["ENGINE"] = "django_prometheus.db.backends.postgresql"
    entry["CONN_MAX_AGE"] = None  # as many connections as request threads
    entry["CONN_HEALTH_CHECKS"] = True  # a restarted database costs no sync
    options = entry.setdefault("OPTIONS", {})
    for option, value in UNREACHABLE.items():
        options.setdefault(option, value)
    # Parameters travel apart from the statement: vectors as they are, not as SQL.
    options["server_side_binding"] = True
    # What is asked again and again is parsed and planned once a connection.
    options.setdefault("prepare_threshold", PREPARE_AFTER)
    return entry
