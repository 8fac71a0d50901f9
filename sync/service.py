"""What a TV asks for, from any door: to be enrolled, to sync, and to pull.

A sync applies what the TV learned, and answers with what everyone learned; a pull only
answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from federation import selectors as publication_selectors
from federation.publication import LoadedPublication
from patterns import selectors
from patterns.exceptions import WriterIsBusy
from patterns.selectors import Tastes
from patterns.services import store
from patterns.services.group_columns import Sync
from patterns.services.store import Applied, InThread
from shards import reaching, services, tokens
from shards.databases import shard_alias
from shards.exceptions import DeviceUnknown, TokenOfAnotherDevice
from shards.models import Device
from shards.tokens import DeviceToken
from sync import answer, load
from sync.current import CurrentPublication, PublicationSource
from sync.messages import (
    EnrolmentReply,
    EnrolmentRequest,
    GlobalNews,
    SyncReply,
    SyncRequest,
)
from sync.pulling import PullReply, PullRequest
from sync.together import SearchTogether


def publication_for(token: DeviceToken) -> PublicationSource:
    """Give what a request of a TV is read by and answered from.

    ``token`` was verified, and its shard is served here.
    """
    return CurrentPublication(token.shard_id)


def sync(
    token: DeviceToken,
    request: SyncRequest,
    source: PublicationSource,
    *,
    started: float | None = None,
) -> SyncReply:
    """Apply a delta and answer; returns after its commit.

    ``source`` is that of ``publication_for``, by which the request was read.
    ``started`` is when it arrived, by ``time.perf_counter``.
    """
    with _reaching(token):
        pending = _begin(token, request, source, started)
        applied = store.apply(shard_alias(token.shard_id), pending.sync)
    return _finish(pending, applied, _similar(pending.publication, applied.tastes))


async def sync_soon(
    token: DeviceToken,
    request: SyncRequest,
    source: PublicationSource,
    *,
    started: float,
    together: SearchTogether,
    in_thread: InThread,
) -> SyncReply:
    """Do as ``sync``, for an event loop, which goes on meanwhile.

    Raises Django's ``SynchronousOnlyOperation``, before anything is written, if a
    publication would have to be waited for: then it is for a thread.
    """
    with _reaching(token):
        pending = _begin(token, request, source, started)
        alias = shard_alias(token.shard_id)
        applied = await store.apply_soon(alias, pending.sync, in_thread)
    similar = None
    if applied.tastes is not None:
        similar = await together.similar(pending.publication, applied.tastes)
    return _finish(pending, applied, similar)


class _Pending(NamedTuple):
    """A sync that is about to be written."""

    sync: Sync
    #: What it was read by and is answered from.
    publication: LoadedPublication


@contextmanager
def _reaching(token: DeviceToken) -> Iterator[None]:
    """Tell a TV when its shard isn't there, or has too much to do."""
    with reaching.shard(token.shard_id):
        try:
            yield
        except WriterIsBusy as exc:
            raise load.overloaded() from exc


def _begin(
    token: DeviceToken,
    request: SyncRequest,
    source: PublicationSource,
    started: float | None,
) -> _Pending:
    if request.device_id != token.device_id:
        raise TokenOfAnotherDevice(field="device_id", device_id=request.device_id)
    publication = source(request.global_version or 0)
    sync = store.prepare(
        device_id=token.device_id,
        delta=request.delta,
        assign_cells=publication.assign,
        token=token,
        started=started,
        with_tastes=request.global_version != publication.version,
    )
    return _Pending(sync, publication)


def _finish(
    pending: _Pending, applied: Applied, similar: NDArray[np.int64] | None
) -> SyncReply:
    publication = pending.publication
    return SyncReply(
        global_version=publication.version,
        codebook_version=publication.codebooks.current,
        news=_news(publication, applied.tastes, similar, region=applied.region),
        accepted=applied.accepted,
        local_version=applied.local_version,
        is_retry=applied.is_replay,
        next_sync_seconds=load.next_sync_seconds(),
    )


def pull(
    token: DeviceToken, request: PullRequest, source: PublicationSource
) -> PullReply:
    """Answer with what everyone learned; nothing is written, not even that it asked.

    ``source`` is that of ``publication_for``, by which the request was read.
    """
    if request.device_id != token.device_id:
        raise TokenOfAnotherDevice(field="device_id", device_id=request.device_id)

    alias = shard_alias(token.shard_id)
    with reaching.shard(token.shard_id):
        device = Device.objects.using(alias).filter(pk=token.device_id).first()
        if device is None:
            raise DeviceUnknown(device_id=token.device_id)
        tokens.check_standing(token, device)
        publication = source(request.global_version or 0)
        tastes = (
            None
            if request.global_version == publication.version
            else selectors.tastes_of(alias, token.device_id)
        )
    return PullReply(
        global_version=publication.version,
        codebook_version=publication.codebooks.current,
        news=_news(
            publication, tastes, _similar(publication, tastes), region=device.region
        ),
        local_version=device.local_version,
        next_sync_seconds=load.next_sync_seconds(),
    )


def _similar(
    publication: LoadedPublication, tastes: Tastes | None
) -> NDArray[np.int64] | None:
    return None if tastes is None else answer.similar(publication, [tastes])[0]


def _news(
    publication: LoadedPublication,
    tastes: Tastes | None,
    similar: NDArray[np.int64] | None,
    *,
    region: str,
) -> GlobalNews | None:
    """Choose what to tell a TV; None if it holds the publication already."""
    if tastes is None or similar is None:
        return None
    return answer.news(publication, tastes, similar=similar, region=region)


def enrol(
    request: EnrolmentRequest, *, own_sync_url: str, own_grpc_target: str
) -> EnrolmentReply:
    """Give a TV its shard and its token.

    The last two are where this server answers itself, as far as the door knows; for
    shards that don't say where theirs do.
    """
    enrolment = services.enrol(
        enrolment_key=request.enrolment_key,
        device_id=request.device_id,
        region=request.region,
        model=request.model,
        firmware=request.firmware,
    )
    shard = enrolment.shard
    with reaching.shard(shard.id):
        global_version = publication_selectors.current_version(shard.alias)
    return EnrolmentReply(
        device_id=enrolment.device_id,
        token=enrolment.issued.token,
        token_expires_at=enrolment.issued.expires_at,
        shard_id=shard.id,
        sync_url=shard.sync_url or own_sync_url,
        grpc_target=shard.grpc_target or own_grpc_target,
        global_version=global_version,
        next_sync_seconds=load.next_sync_seconds(),
        is_new=enrolment.is_new,
    )
