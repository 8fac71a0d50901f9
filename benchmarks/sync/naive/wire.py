"""Protobuf in zstd as DRF parsers and renderers have it: to and from plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any
from uuid import UUID

import numpy as np
import zstandard
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from constellation.v1 import embedding_pb2, pattern_pb2, sync_pb2

LIMIT_BYTES = 1 << 20


class SyncParser(BaseParser):
    media_type = "application/protobuf"

    def parse(
        self,
        stream: IO[bytes],
        _media_type: str | None = None,
        _parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        try:
            body = zstandard.ZstdDecompressor().stream_reader(stream).read(LIMIT_BYTES)
            message = sync_pb2.SyncRequest.FromString(body)
        except (zstandard.ZstdError, DecodeError) as exc:
            raise ParseError(str(exc)) from exc
        delta = message.delta
        return {
            "device_id": UUID(bytes=message.device_id),
            "local_version": delta.local_version,
            "base_version": message.base_version,
            "global_version": message.global_version,
            "patterns_added": [
                {
                    "id": UUID(bytes=each.id),
                    "embedding": np.frombuffer(each.int8, np.int8) / 127,
                    "success_rate": each.success_rate,
                    "sample_count": each.sample_count,
                    "time_of_day": each.context.time_of_day,
                    "day_of_week": each.context.day_of_week,
                    "content_type": each.context.content_type,
                    "genre_hints": list(each.context.genre_hints),
                    "content_ids": list(each.context.content_ids),
                }
                for each in delta.patterns_added
            ],
            "patterns_updated": [
                {
                    "id": UUID(bytes=each.id),
                    "new_success_rate": each.new_success_rate,
                    "additional_samples": each.additional_samples,
                }
                for each in delta.patterns_updated
            ],
        }


class SyncRenderer(BaseRenderer):
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
        if "accepted" not in data:
            return str(data).encode()
        news = sync_pb2.GlobalNews(global_version=data["global_version"])
        if data["similar"]:
            vectors = np.array([each.embedding for each in data["similar"]])
            news.similar.CopyFrom(
                pattern_pb2.SimilarPatterns(
                    id_deltas=np.diff([0, *(each.cell for each in data["similar"])]),
                    embeddings=embedding_pb2.Embeddings(int8=_int8(vectors)),
                    success_rates=bytes(
                        round(each.success_rate * 255) for each in data["similar"]
                    ),
                )
            )
            news.names.extend(each.content_id for each in data["trending"])
            trends = news.trending.add(region="global")
            trends.references.extend(range(len(data["trending"])))
            scores = [round(each.score * 65_535) for each in data["trending"]]
            trends.scores = np.array(scores, "<u2").tobytes()
        reply = sync_pb2.SyncReply(
            global_news=news,
            accepted=sync_pb2.Accepted(**data["accepted"]),
            local_version=data["local_version"],
            next_sync_seconds=600,
        )
        return zstandard.compress(reply.SerializeToString())


def _int8(vectors: NDArray[np.float32]) -> bytes:
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    rows: NDArray[np.int8] = np.rint(vectors / largest * 127).astype(np.int8)
    return rows.tobytes()
