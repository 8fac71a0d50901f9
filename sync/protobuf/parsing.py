"""Bytes to messages, and fields that know whether they were sent."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from sync.exceptions import MalformedBody

_AnyMessage = TypeVar("_AnyMessage", bound=Message)


def parsed(kind: type[_AnyMessage], body: bytes) -> _AnyMessage:
    try:
        return kind.FromString(body)
    except DecodeError as exc:
        # Truncated, nested deeper than protobuf allows, or a string that isn't UTF-8.
        raise MalformedBody(problem=f"it isn't a {kind.DESCRIPTOR.name}") from exc


def or_none(message: Message, name: str) -> Any:
    """Give a field that knows whether it was sent."""
    return getattr(message, name) if message.HasField(name) else None
