"""What TVs send and hear, as protobuf: the messages of ``proto/constellation/v1/``."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from uuid import UUID

from constellation.v1 import embedding_pb2, sync_pb2
from federation.publication import LoadedPublication
from sync import fields, rules
from sync.current import PublicationSource
from sync.embeddings import EmbeddingEncoding
from sync.messages import (
    EnrolmentReply,
    EnrolmentRequest,
    ReplyDetail,
    SyncReply,
    SyncRequest,
    Wishes,
)
from sync.protobuf import deltas, enrolment, news
from sync.protobuf.counting import check_field_count
from sync.protobuf.parsing import or_none, parsed
from sync.renderers import ProtobufRenderer

media_type = ProtobufRenderer.media_type

_ENCODINGS = "embedding_encodings"
_CODES = embedding_pb2.EmbeddingEncoding.EMBEDDING_ENCODING_CODES


def read_sync(body: bytes, source: PublicationSource) -> SyncRequest:
    """Parse and validate. Fields that nobody knows are ignored.

    The publication is asked for only by codes and ordinals.
    """
    check_field_count(body)
    message = parsed(sync_pb2.SyncRequest, body)
    global_version = rules.version_or_none(
        or_none(message, "global_version"), "global_version"
    )
    publication = partial(source, global_version or 0)
    return SyncRequest(
        device_id=UUID(
            bytes=fields.id_bytes(or_none(message, "device_id"), "device_id")
        ),
        delta=deltas.read(
            or_none(message, "delta"),
            base_version=rules.version_or_none(
                or_none(message, "base_version"), "base_version"
            ),
            publication=publication,
        ),
        global_version=global_version,
        wishes=_wishes(message, publication),
    )


def write_sync(reply: SyncReply, wishes: Wishes) -> bytes:
    accepted = reply.accepted
    message = sync_pb2.SyncReply(
        global_news=sync_pb2.GlobalNews(
            global_version=reply.global_version,
            codebook_version=reply.codebook_version,
        ),
        accepted=sync_pb2.Accepted(
            stored=accepted.stored,
            filtered=accepted.filtered,
            updated=accepted.updated,
            removed=accepted.removed,
        ),
        local_version=reply.local_version,
        resync=reply.resync,
        next_sync_seconds=reply.next_sync_seconds,
    )
    if reply.news is not None:
        news.write(message, reply.news, wishes)
    return message.SerializeToString()


def is_dense(wishes: Wishes) -> bool:
    """Tell whether replies would hardly shrink: in codes, by a tenth at most."""
    return wishes.is_compact and wishes.embedding_encoding is EmbeddingEncoding.CODES


def read_enrolment(body: bytes) -> EnrolmentRequest:
    return enrolment.read(body)


def write_enrolment(reply: EnrolmentReply) -> bytes:
    return enrolment.write(reply)


def _wishes(
    message: sync_pb2.SyncRequest, publication: Callable[[], LoadedPublication]
) -> Wishes:
    preferences = message.embedding_encodings
    fields.check_length(len(preferences), _ENCODINGS, at_most=rules.PREFERENCES_LIMIT)
    version: int = message.codebook_version
    has_codebook = (
        version > 0
        and _CODES in preferences
        and publication().codebooks.get(version) is not None
    )
    return _checked_wishes(tuple(preferences), message.detail, version, has_codebook)


# TVs of one make all say the same.
@lru_cache(maxsize=1024)
def _checked_wishes(
    codes: tuple[int, ...], detail: int, codebook_version: int, has_codebook: bool
) -> Wishes:
    return rules.wishes(
        preferences=[
            fields.code(code, f"{_ENCODINGS}[{i}]", EmbeddingEncoding)
            for i, code in enumerate(codes)
        ],
        detail=fields.code(detail, "detail", ReplyDetail),
        codebook_version=codebook_version,
        has_codebook=lambda: has_codebook,
    )
