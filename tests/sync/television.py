"""A TV of a test: it speaks to the real address, over HTTP or gRPC."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import grpc
import numpy as np
import orjson
import zstandard
from django.test import Client

from patterns.models import Pattern
from tests.sync import grpc_client, loop_client
from tests.sync.binary import PROTOBUF, sync_document, sync_message
from tests.sync.packing import packed_message

SYNC = "/api/v1/sync"


#: What the same cases are run through; see the fixture ``wire``.
WIRES = ["json", "protobuf", "packed", "loop", "grpc"]


def decoded(response: Any) -> bytes:
    """Give a reply's body without its Content-Encoding."""
    body: bytes = response.content
    match response.get("Content-Encoding"):
        case "zstd":
            return zstandard.ZstdDecompressor().decompress(body)
        case "gzip":
            return gzip.decompress(body)
    return body


def embedding(seed: int) -> list[float]:
    """A random direction, the same for the same seed; short enough for 64 a sync."""
    vector = np.random.default_rng(seed).normal(size=384)
    rounded: list[float] = (vector / np.linalg.norm(vector)).round(4).tolist()
    return rounded


def addition(
    pattern_id: UUID | None = None, *, seed: int = 1, **parts: Any
) -> dict[str, Any]:
    """A complete addition, good enough to be stored."""
    return {
        "id": str(pattern_id or uuid4()),
        "embedding": embedding(seed),
        "success_rate": 0.83,
        "sample_count": 12,
        "context": {
            "time_of_day": "evening",
            "day_of_week": "saturday",
            "content_type": "movie",
            "genre_hints": ["thriller"],
            "content_ids": ["tt0133093"],
        },
        "created_at": 1_764_000_000,
        "updated_at": 1_764_000_000,
    } | parts


def update(pattern_id: UUID, rate: float = 0.9, samples: int = 3) -> dict[str, Any]:
    return {
        "id": str(pattern_id),
        "new_success_rate": rate,
        "additional_samples": samples,
    }


@dataclass
class Television:
    """One enrolled TV."""

    device_id: UUID
    shard_alias: str
    token: str
    #: The last version it sent and heard an answer to.
    local_version: int = 0
    client: Client = field(default_factory=Client)
    #: "json", or "protobuf", "packed", "loop" or "grpc": then documents go as messages,
    #: and come back from them.
    wire: str = "json"

    @property
    def authorization(self) -> str:
        return f"Device {self.token}"

    def body(
        self,
        *,
        added: list[Any] | None = None,
        updated: list[Any] | None = None,
        removed: list[Any] | None = None,
        local_version: int | None = None,
        **rest: Any,
    ) -> dict[str, Any]:
        """A request; by default its version is the next one."""
        return {
            "device_id": str(self.device_id),
            "delta": {
                "patterns_added": added or [],
                "patterns_updated": updated or [],
                "patterns_removed": [str(pattern_id) for pattern_id in removed or []],
                "local_version": self.local_version + 1
                if local_version is None
                else local_version,
            },
        } | rest

    def post(self, body: Any, **headers: str) -> Any:
        """Send anything at all; bytes go as they are.

        In protobuf its vectors come as float32, unless it asks for something else.
        """
        media_type = "application/json" if self.wire == "json" else PROTOBUF
        if isinstance(body, bytes):
            data = body
        elif self.wire == "json":
            data = orjson.dumps(body)
        else:
            asked = {"embedding_encodings": ["float32"]} | body
            written = (
                packed_message if self.wire in ("packed", "loop") else sync_message
            )
            data = written(asked).SerializeToString()
        content_type = headers.pop("content_type", media_type)
        sent = {"authorization": self.authorization} | headers
        if self.wire == "grpc":
            return self._call(data, **sent)
        response = self._send(data, content_type=content_type, headers=sent)
        if response["Content-Type"] == PROTOBUF:
            response.json = lambda: sync_document(decoded(response))
        return response

    def _call(self, data: bytes, *, authorization: str) -> Any:
        """Call ``Sync``, and put the answer in HTTP's words."""
        answer = grpc_client.client().call("Sync", data, authorization or None)
        if answer.grpc_status is grpc.StatusCode.OK:
            document = sync_document(answer.content)
            answer.json = lambda: document  # type: ignore[method-assign]
        return answer

    def _send(self, data: bytes, **how: Any) -> Any:
        if self.wire == "loop":
            return loop_client.post(SYNC, data, **how)
        return self.client.post(SYNC, data, **how)

    def sync(self, **parts: Any) -> dict[str, Any]:
        """Send a delta that is expected to be applied, and return the reply."""
        response = self.post(self.body(**parts))
        assert response.status_code == 200, response.content
        reply: dict[str, Any] = response.json()
        self.local_version = reply["local_version"]
        return reply

    def stored(self) -> dict[UUID, Pattern]:
        """What the database has of it."""
        mine = Pattern.objects.using(self.shard_alias).filter(device_id=self.device_id)
        return {pattern.pattern_id: pattern for pattern in mine}
