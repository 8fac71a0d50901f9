"""Formats out: JSON for everybody, protobuf for TVs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.renderers import BaseRenderer


class JsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None  # JSON is UTF-8, and says no charset

    def render(
        self,
        data: Any,
        _accepted_media_type: str | None = None,
        _renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else dumps(data)


class ProtobufRenderer(BaseRenderer):
    """Takes part in negotiation; the views write their messages themselves."""

    media_type = "application/protobuf"
    format = "protobuf"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        _accepted_media_type: str | None = None,
        _renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if not isinstance(data, bytes):
            raise TypeError("There is no message for this; give the bytes of one.")
        return data


class OldProtobufRenderer(ProtobufRenderer):
    """Its name before RFC 9996: understood in Accept, and answered with the new one."""

    media_type = "application/x-protobuf"
    format = "x-protobuf"


def dumps(data: Any) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
