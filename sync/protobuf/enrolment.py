"""Enrolment: ``device.proto``."""

from __future__ import annotations

from uuid import UUID

from constellation.v1 import device_pb2
from sync import fields, rules
from sync.messages import EnrolmentReply, EnrolmentRequest
from sync.protobuf.parsing import or_none, parsed


def read(body: bytes) -> EnrolmentRequest:
    message = parsed(device_pb2.EnrollRequest, body)
    device_id = or_none(message, "device_id")
    return EnrolmentRequest(
        enrolment_key=rules.enrolment_key(or_none(message, "enrolment_key")),
        device_id=(
            None
            if device_id is None
            else UUID(bytes=fields.id_bytes(device_id, "device_id"))
        ),
        region=rules.region(or_none(message, "region")),
        model=rules.label(message.model, "model"),
        firmware=rules.label(message.firmware, "firmware"),
    )


def write(reply: EnrolmentReply) -> bytes:
    message = device_pb2.EnrollReply(
        device_id=reply.device_id.bytes,
        token=reply.token,
        shard_id=reply.shard_id,
        sync_url=reply.sync_url,
        grpc_target=reply.grpc_target,
        global_version=reply.global_version,
        next_sync_seconds=reply.next_sync_seconds,
    )
    message.token_expires_at.FromDatetime(reply.token_expires_at)
    return message.SerializeToString()
