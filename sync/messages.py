"""Requests and replies in words of our own: what wire formats translate to and from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import numpy as np
from django.db import models
from numpy.typing import NDArray

from federation.publication import LoadedPublication
from patterns.delta import Accepted, Delta
from sync.embeddings import EmbeddingEncoding


class ReplyDetail(models.IntegerChoices):
    """The numbers of the enum in ``sync.proto``."""

    UNSPECIFIED = 0, ""
    FULL = 1, "full"
    COMPACT = 2, "compact"


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How a TV would like a binary reply; one in JSON is always the same."""

    embedding_encoding: EmbeddingEncoding = EmbeddingEncoding.INT8
    #: Of the codes, if these are wished for: one that the publication knows.
    codebook_version: int = 0
    #: Without contexts, content ids and sample counts.
    is_compact: bool = False


@dataclass(frozen=True, kw_only=True)
class SyncRequest:
    device_id: UUID
    delta: Delta
    #: The publication the TV already holds, if it says so.
    global_version: int | None = None
    wishes: Wishes = field(default_factory=Wishes)


@dataclass(frozen=True, kw_only=True, eq=False)
class GlobalNews:
    """What a TV that is behind the publication gets: which of its rows."""

    publication: LoadedPublication
    #: Rows of ``publication.patterns``, the best first.
    similar: NDArray[np.int64]
    #: Whose trends, before those of the whole fleet.
    region: str
    #: Contents in ``publication.links`` that the TV named, its favourites first.
    linked: Sequence[str]
    #: All contents that the TV named.
    named: Collection[str]


@dataclass(frozen=True, kw_only=True)
class SyncReply:
    global_version: int
    #: None if the TV already holds that version.
    news: GlobalNews | None
    #: The current codebook, told in protobuf; 0 before the first.
    codebook_version: int = 0
    accepted: Accepted
    local_version: int
    next_sync_seconds: int
    #: Only ever true beside a refusal (409); a sync that was applied needs none.
    resync: bool = False
    #: Whether it was applied before. Counted, not told: a retry hears the same.
    is_retry: bool = False


@dataclass(frozen=True, kw_only=True)
class EnrolmentRequest:
    enrolment_key: str
    #: None for a TV that leaves its id to the server.
    device_id: UUID | None = None
    region: str = ""
    model: str = ""
    firmware: str = ""


@dataclass(frozen=True, kw_only=True)
class EnrolmentReply:
    device_id: UUID
    token: str
    token_expires_at: datetime
    shard_id: int
    sync_url: str
    grpc_target: str
    global_version: int
    next_sync_seconds: int
    #: False for a TV whose token was renewed. Told by HTTP's status.
    is_new: bool
