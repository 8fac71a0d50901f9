"""A sync in words of our own: what every wire format is translated to and from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from federation.publication import PublishedPattern
from patterns.delta import Accepted, Delta


@dataclass(frozen=True, kw_only=True)
class SyncRequest:
    device_id: UUID
    delta: Delta
    #: The publication the TV already holds, if it says so.
    global_version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trending:
    #: A content id, or ``genre:`` and a genre.
    item: str
    score: float
    region: str


@dataclass(frozen=True, kw_only=True)
class Links:
    """What is found in the same TVs as one content, strongest first."""

    content_id: str
    related: Sequence[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class GlobalNews:
    """What a TV that is behind the publication gets."""

    similar: Sequence[PublishedPattern]
    trending: Sequence[Trending]
    links: Sequence[Links]


@dataclass(frozen=True, kw_only=True)
class SyncReply:
    global_version: int
    #: None if the TV already holds that version.
    news: GlobalNews | None
    accepted: Accepted
    local_version: int
    next_sync_seconds: int
    #: Only ever true beside a refusal (409); a sync that was applied needs none.
    resync: bool = False
    #: Whether it was applied before. Counted, not told: a retry hears the same.
    is_retry: bool = False
