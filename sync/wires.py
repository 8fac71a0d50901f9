"""Which wire format a request came in, and which its answer goes out in.

The two are negotiated apart: JSON up and protobuf down is as good as any.
"""

from __future__ import annotations

from typing import Any, Protocol

from rest_framework.request import Request

from sync import json_wire, protobuf_wire
from sync.current import PublicationSource
from sync.messages import (
    EnrolmentReply,
    EnrolmentRequest,
    SyncReply,
    SyncRequest,
    Wishes,
)
from sync.renderers import JsonRenderer, ProtobufRenderer


class Wire(Protocol):
    """What a module has that stands for a wire format."""

    #: What its answers are declared as.
    media_type: str

    def read_sync(self, body: Any, source: PublicationSource, /) -> SyncRequest: ...
    def write_sync(self, reply: SyncReply, wishes: Wishes, /) -> bytes: ...
    def is_dense(self, wishes: Wishes, /) -> bool: ...
    def read_enrolment(self, body: Any, /) -> EnrolmentRequest: ...
    def write_enrolment(self, reply: EnrolmentReply, /) -> bytes: ...


def of_media_type(media_type: str) -> Wire:
    """``media_type`` is one of those that TVs write and read."""
    return json_wire if media_type == JsonRenderer.media_type else protobuf_wire


def of_request(request: Request) -> Wire:
    """Tell by what the parser made of the body: no JSON document is bytes."""
    return protobuf_wire if isinstance(request.data, bytes) else json_wire


def of_reply(request: Request) -> Wire:
    renderer = request.accepted_renderer
    return protobuf_wire if isinstance(renderer, ProtobufRenderer) else json_wire
