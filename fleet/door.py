"""The server as the whole fleet sees it: one pool of connections, and its card."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from fleet.errors import FleetError, UnreadableReply, json_of
from fleet.outbox import PATTERNS_PER_SYNC

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0


def open_pool(*, connections: int) -> httpx.Client:
    return httpx.Client(
        timeout=httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        limits=httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections
        ),
    )


@dataclass(frozen=True, kw_only=True)
class ServerInfo:
    """What ``/api/v1/info`` says, as far as a fleet cares."""

    global_version: int
    patterns_per_sync: int
    #: None where the server keeps it to itself.
    min_devices_per_pattern: int | None
    interval_seconds: float | None


def ask_info(http: httpx.Client, server: str) -> ServerInfo:
    url = f"{server.rstrip('/')}/api/v1/info"
    try:
        response = http.get(url)
        response.raise_for_status()
        info = json_of(response.content)
    except (httpx.HTTPError, httpx.InvalidURL, UnreadableReply) as exc:
        raise FleetError(
            f"No Constellation server answers at {url}: {exc}", code="no_server"
        ) from exc

    federation = info.get("federation") or info.get("limits", {}).get("federation", {})
    return ServerInfo(
        global_version=info.get("global_version") or 0,
        patterns_per_sync=info.get("limits", {}).get("patterns_per_sync")
        or PATTERNS_PER_SYNC,
        min_devices_per_pattern=federation.get("min_devices_per_pattern"),
        interval_seconds=federation.get("interval_seconds"),
    )
