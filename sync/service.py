"""One sync, from any door: apply what the TV learned, answer what everyone learned."""

from __future__ import annotations

import time

from federation import publication as publications
from patterns import selectors
from patterns.services import store
from shards import reaching
from shards.databases import shard_alias
from shards.exceptions import TokenOfAnotherDevice
from shards.tokens import DeviceToken
from sync import answer, load
from sync.messages import GlobalNews, SyncReply, SyncRequest


def sync(
    token: DeviceToken, request: SyncRequest, *, started: float | None = None
) -> SyncReply:
    """Apply a delta and answer; returns after its commit.

    ``token`` was verified, and its shard is served here. ``started`` is when the
    request arrived, by ``time.perf_counter``.
    """
    if request.device_id != token.device_id:
        raise TokenOfAnotherDevice(field="device_id", device_id=request.device_id)

    alias = shard_alias(token.shard_id)
    with reaching.shard(token.shard_id):
        publication = publications.current(alias, at_least=request.global_version or 0)
        applied = store.apply_delta(
            shard_alias=alias,
            device_id=token.device_id,
            delta=request.delta,
            assign_cells=publication.assign,
            token=token,
            started=time.perf_counter() if started is None else started,
        )
        news: GlobalNews | None = None
        if request.global_version != publication.version:
            tastes = selectors.tastes_of(alias, token.device_id)
            news = answer.news(publication, tastes, region=applied.region)
    return SyncReply(
        global_version=publication.version,
        news=news,
        accepted=applied.accepted,
        local_version=applied.local_version,
        is_retry=applied.is_replay,
        next_sync_seconds=load.next_sync_seconds(),
    )
