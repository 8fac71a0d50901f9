"""What a TV asks for, from any door: to be enrolled, to sync, and to pull.

A sync applies what the TV learned, and answers with what everyone learned; a pull only
answers.
"""

from __future__ import annotations

from federation import selectors as publication_selectors
from federation.publication import LoadedPublication
from patterns import selectors
from patterns.exceptions import WriterIsBusy
from patterns.selectors import Tastes
from patterns.services import store
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
    if request.device_id != token.device_id:
        raise TokenOfAnotherDevice(field="device_id", device_id=request.device_id)

    alias = shard_alias(token.shard_id)
    with reaching.shard(token.shard_id):
        publication = source(request.global_version or 0)
        try:
            applied = store.apply_delta(
                shard_alias=alias,
                device_id=token.device_id,
                delta=request.delta,
                assign_cells=publication.assign,
                token=token,
                started=started,
                with_tastes=request.global_version != publication.version,
            )
        except WriterIsBusy as exc:
            raise load.overloaded() from exc
    return SyncReply(
        global_version=publication.version,
        codebook_version=publication.codebooks.current,
        news=_news(publication, applied.tastes, region=applied.region),
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
        news=_news(publication, tastes, region=device.region),
        local_version=device.local_version,
        next_sync_seconds=load.next_sync_seconds(),
    )


def _news(
    publication: LoadedPublication, tastes: Tastes | None, *, region: str
) -> GlobalNews | None:
    """Choose what to tell a TV; None if it holds the publication already."""
    return None if tastes is None else answer.news(publication, tastes, region=region)


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
