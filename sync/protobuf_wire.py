"""What TVs send and hear, as protobuf: the messages of ``proto/constellation/v1/``."""

from __future__ import annotations

from constellation.v1 import pattern_pb2, sync_pb2
from patterns.delta import Delta
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
from sync.protobuf import enrolment, lists, news
from sync.protobuf.counting import check_field_count
from sync.protobuf.parsing import or_none, parsed
from sync.renderers import ProtobufRenderer

media_type = ProtobufRenderer.media_type


def read_sync(body: bytes, _source: PublicationSource) -> SyncRequest:
    """Parse and validate. Fields that nobody knows are ignored."""
    check_field_count(body)
    message = parsed(sync_pb2.SyncRequest, body)
    return SyncRequest(
        device_id=fields.uuid_bytes(or_none(message, "device_id"), "device_id"),
        delta=_delta(
            or_none(message, "delta"),
            base_version=rules.version_or_none(
                or_none(message, "base_version"), "base_version"
            ),
        ),
        global_version=rules.version_or_none(
            or_none(message, "global_version"), "global_version"
        ),
        wishes=_wishes(message),
    )


def write_sync(reply: SyncReply, wishes: Wishes) -> bytes:
    accepted = reply.accepted
    message = sync_pb2.SyncReply(
        global_news=sync_pb2.GlobalNews(global_version=reply.global_version),
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
        news.write(message.global_news, reply.news, wishes)
    return message.SerializeToString()


def read_enrolment(body: bytes) -> EnrolmentRequest:
    return enrolment.read(body)


def write_enrolment(reply: EnrolmentReply) -> bytes:
    return enrolment.write(reply)


def _delta(message: pattern_pb2.Delta | None, *, base_version: int | None) -> Delta:
    if message is None:
        fields.refuse("delta", "missing", "an object")
    added, updated = message.patterns_added, message.patterns_updated
    removed = message.patterns_removed
    rules.check_pattern_count(len(added) + len(updated) + len(removed))
    local_version = rules.version(
        or_none(message, "local_version"), "delta.local_version"
    )
    return Delta(
        added=lists.additions(added),
        updated=lists.updates(updated),
        removed=lists.removals(removed),
        local_version=local_version,
        base_version=base_version,
    )


def _wishes(message: sync_pb2.SyncRequest) -> Wishes:
    field = "embedding_encodings"
    fields.check_length(
        len(message.embedding_encodings), field, at_most=rules.PREFERENCES_LIMIT
    )
    preferences = [
        fields.code(code, f"{field}[{i}]", EmbeddingEncoding)
        for i, code in enumerate(message.embedding_encodings)
    ]
    detail = fields.code(message.detail, "detail", ReplyDetail)
    return Wishes(
        embedding_encoding=rules.embedding_encoding(preferences),
        is_compact=detail == ReplyDetail.COMPACT,
    )
