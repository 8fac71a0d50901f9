"""A pull in protobuf: a sync without a delta, so a sync's own code reads and writes it.

What the two say alike has the same name in both messages, and new fields too; so a
field that syncs learn is one that pulls know.
"""

from __future__ import annotations

from google.protobuf.message import Message

from constellation.v1 import sync_pb2
from patterns.delta import Accepted
from sync import protobuf_wire
from sync.current import PublicationSource
from sync.messages import SyncReply, Wishes
from sync.protobuf.parsing import parsed
from sync.pulling import PullReply, PullRequest


def read_pull(body: bytes, source: PublicationSource) -> PullRequest:
    """Parse and validate. Fields that nobody knows are ignored."""
    message = parsed(sync_pb2.PullRequest, body)
    as_sync = sync_pb2.SyncRequest()
    _copy_fields(message, as_sync)
    as_sync.delta.local_version = 0  # required, and of no effect
    request = protobuf_wire.read_sync(as_sync.SerializeToString(), source)
    return PullRequest(
        device_id=request.device_id,
        global_version=request.global_version,
        wishes=request.wishes,
    )


def write_pull(reply: PullReply, wishes: Wishes) -> bytes:
    as_sync = SyncReply(
        global_version=reply.global_version,
        news=reply.news,
        codebook_version=reply.codebook_version,
        accepted=Accepted(),
        local_version=reply.local_version,
        next_sync_seconds=reply.next_sync_seconds,
    )
    message = sync_pb2.PullReply()
    written = protobuf_wire.write_sync(as_sync, wishes)
    _copy_fields(sync_pb2.SyncReply.FromString(written), message)
    return message.SerializeToString()


def _copy_fields(source: Message, target: Message) -> None:
    """Copy what was sent, by name, as far as the target has such a field."""
    known = target.DESCRIPTOR.fields_by_name
    for field, value in source.ListFields():
        if field.name not in known:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)
