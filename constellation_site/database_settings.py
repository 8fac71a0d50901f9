"""Build ``DATABASES``: the control database and one alias a shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from constellation_site import embedded, environment

#: A shard that doesn't answer must not hold a TV's request for longer than this.
CONNECT_TIMEOUT_SECONDS = 5


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
        urls = [url.strip() for url in shard_urls.split(",") if url.strip()]
        return _databases(control_url, urls)
    control_url, *urls = (
        embedded.database_url(home, name) for name in embedded.database_names(home)
    )
    return _databases(control_url, urls)


def _databases(control_url: str, shard_urls: list[str]) -> dict[str, dict[str, Any]]:
    entries = {"default": _entry("POSTGRES_URL", control_url)}
    for shard_id, url in enumerate(shard_urls):
        entries[f"shard_{shard_id:03d}"] = _entry("SHARD_POSTGRES_URLS", url)
    return entries


def _entry(name: str, url: str) -> dict[str, Any]:
    entry: dict[str, Any] = environment.postgres_url(name, url)
    entry["ENGINE"] = "django_prometheus.db.backends.postgresql"
    entry["CONN_MAX_AGE"] = None  # as many connections as request threads
    entry["CONN_HEALTH_CHECKS"] = True  # a restarted database costs no sync
    options = entry.setdefault("OPTIONS", {})
    options.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    # Parameters travel apart from the statement: vectors as they are, not as SQL.
    options["server_side_binding"] = True
    return entry
