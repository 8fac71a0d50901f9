"""What ordinals stand for: the bundle ``items``, as a TV uses it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Self

from google.protobuf.message import DecodeError

from constellation.v1 import bundle_pb2
from fleet.errors import UnreadableReply


class Items:
    """Names by ordinal and ordinals by name; immutable, shared by many TVs."""

    def __init__(self, names: Mapping[int, str] | None = None) -> None:
        self._names = dict(names or {})
        self._ordinals = {name: ordinal for ordinal, name in self._names.items()}

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read the bytes of the bundle; raises UnreadableReply if they aren't it."""
        try:
            message = bundle_pb2.ItemsBundle.FromString(body)
            ordinals = accumulate(message.ordinal_deltas)
            return cls(dict(zip(ordinals, message.items, strict=True)))
        except (DecodeError, ValueError) as exc:
            raise UnreadableReply(f"the bundle of items is not one: {exc}") from exc

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, ordinal: int) -> str | None:
        return self._names.get(ordinal)

    def ordinal_of(self, name: str) -> int | None:
        return self._ordinals.get(name)
