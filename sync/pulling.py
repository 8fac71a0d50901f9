"""What a pull asks and is told, in words of our own: news, and nothing applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from sync.messages import GlobalNews, Wishes


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    device_id: UUID
    #: The publication the TV already holds, if it says so.
    global_version: int | None = None
    wishes: Wishes = field(default_factory=Wishes)


@dataclass(frozen=True, kw_only=True)
class PullReply:
    global_version: int
    #: None if the TV already holds that version.
    news: GlobalNews | None
    #: The current codebook; 0 before the first.
    codebook_version: int = 0
    #: The last delta that was applied.
    local_version: int
    next_sync_seconds: int
