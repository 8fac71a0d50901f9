"""The binary form for TVs of tests: JSON's documents as messages, and back.

Written from the comments in ``proto/``, without the server's code, so that a test of
both doors can compare what they say in one language.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import numpy as np

from constellation.v1 import context_pb2, embedding_pb2, pattern_pb2, sync_pb2
from patterns.models import Item

PROTOBUF = "application/protobuf"

#: A field that nobody knows, number 99.
UNKNOWN = b"\x9a\x06\x04calm"

NUMBERS = {"float32": "<f4", "float16": "<f2", "int8": "i1"}


def sync_message(document: Mapping[str, Any]) -> sync_pb2.SyncRequest:
    """Write a sync's document; embeddings are float32 unless they are bytes."""
    message = sync_pb2.SyncRequest()
    for name, value in document.items():
        if value is None:
            continue
        if name == "device_id":
            message.device_id = UUID(value).bytes
        elif name == "delta":
            _fill_delta(message.delta, value)
        elif name in ("base_version", "global_version", "codebook_version"):
            setattr(message, name, value)
        elif name == "embedding_encodings":
            message.embedding_encodings.extend(map(_encoding, value))
        elif name == "detail":
            message.detail = _code(sync_pb2.ReplyDetail, "REPLY_DETAIL", value)
        else:
            message.MergeFromString(UNKNOWN)
    return message


def _fill_delta(message: pattern_pb2.Delta, document: Mapping[str, Any]) -> None:
    message.SetInParent()
    for name, value in document.items():
        if name == "patterns_added":
            for each in value:
                _fill_addition(message.patterns_added.add(), each)
        elif name == "patterns_updated":
            for each in value:
                _fill_plain(message.patterns_updated.add(), each)
        elif name == "patterns_removed":
            message.patterns_removed.extend(map(_id, value))
        elif name == "local_version":
            message.local_version = value
        else:
            message.MergeFromString(UNKNOWN)


def _fill_addition(
    message: pattern_pb2.PatternAddition, document: Mapping[str, Any]
) -> None:
    rest = dict(document)
    vector = rest.pop("embedding", None)
    context = rest.pop("context", None)
    if isinstance(vector, dict):  # {"int8": bytes}
        for encoding, data in vector.items():
            setattr(message, encoding, data)
    elif vector is not None:
        message.float32 = np.array(vector, dtype="<f4").tobytes()
    if context is not None:
        _fill_context(message.context, context)
    _fill_plain(message, rest)


def _fill_context(message: context_pb2.Context, document: Mapping[str, Any]) -> None:
    message.SetInParent()
    for name, value in document.items():
        if name in ("genre_hints", "content_ids"):
            getattr(message, name).extend(value)
        else:
            enum = message.DESCRIPTOR.fields_by_name[name].enum_type
            setattr(message, name, _code(enum, name.upper(), value))


def _fill_plain(message: Any, document: Mapping[str, Any]) -> None:
    for name, value in document.items():
        if value is None:
            continue
        if name == "id":
            message.id = _id(value)
        elif name in message.DESCRIPTOR.fields_by_name:
            setattr(message, name, value)
        else:
            message.MergeFromString(UNKNOWN)


def _id(value: Any) -> bytes:
    return value if isinstance(value, bytes) else UUID(value).bytes


def _encoding(value: Any) -> Any:
    return _code(embedding_pb2.EmbeddingEncoding, "EMBEDDING_ENCODING", value)


def _code(enum: Any, prefix: str, value: Any) -> Any:
    """Give the number of a word; numbers go as they are."""
    if isinstance(value, int):
        return value
    descriptor = getattr(enum, "DESCRIPTOR", enum)
    return descriptor.values_by_name[f"{prefix}_{value.upper()}"].number


def sync_document(
    body: bytes, items: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """Read a reply as JSON would have said it, to the precision it has.

    Ordinals are of ``items``, or of those that the control database has.
    """
    message = sync_pb2.SyncReply.FromString(body)
    accepted = message.accepted
    return {
        "global": _global(message.global_news, items),
        "accepted": {
            name: getattr(accepted, name)
            for name in ("stored", "filtered", "updated", "removed")
        },
        "local_version": message.local_version,
        "resync": message.resync,
        "next_sync_seconds": message.next_sync_seconds,
    }


def _global(
    message: sync_pb2.GlobalNews, items: Mapping[int, str] | None
) -> dict[str, Any]:
    version = {"global_version": message.global_version}
    if not message.HasField("similar"):
        return version
    assert not message.names
    names = items_by_ordinal() if items is None else items
    return {
        "similar": similar_documents(message.similar, names),
        "trending": [
            {
                "content_id": names[reference],
                "trending_score": round(score / 65535, 4),
                "region": trends.region,
            }
            for trends in message.trending
            for reference, (score,) in zip(
                trends.references,
                struct.iter_unpack("<H", trends.scores),
                strict=True,
            )
        ],
        "links": _links(message.links, names),
    } | version


def similar_documents(
    message: pattern_pb2.SimilarPatterns, names: Mapping[int, str]
) -> list[dict[str, Any]]:
    ids = np.cumsum(list(message.id_deltas), dtype=np.int64).tolist()
    documents: list[dict[str, Any]] = [{"id": each} for each in ids]
    if not ids:
        return documents
    for document, vector in zip(documents, vectors(message.embeddings), strict=True):
        document["embedding"] = vector.tolist()
    for document, rate in zip(documents, message.success_rates, strict=True):
        document["success_rate"] = round(rate / 255, 2)
    if not message.sample_counts:
        return documents
    for document, count in zip(documents, message.sample_counts, strict=True):
        document["sample_count"] = count
        document["context"] = {}
    for name, column, enum in (
        ("time_of_day", message.times_of_day, context_pb2.TimeOfDay),
        ("day_of_week", message.days_of_week, context_pb2.DayOfWeek),
        ("content_type", message.content_types, context_pb2.ContentType),
    ):
        for document, code in zip(documents, column, strict=bool(column)):
            if code:
                word = enum.Name(code).removeprefix(f"{name.upper()}_").lower()
                document["context"][name] = word
    genres = _lists(message.genre_hints, names, len(ids))
    contents = _lists(message.content_ids, names, len(ids))
    for document, row_genres, row_contents in zip(
        documents, genres, contents, strict=True
    ):
        document["context"]["genre_hints"] = [
            genre.removeprefix("genre:") for genre in row_genres
        ]
        document["content_ids"] = row_contents
    return documents


def vectors(message: embedding_pb2.Embeddings) -> np.ndarray:
    """Read all rows, and make them as long as they were."""
    name = message.WhichOneof("encoding")
    assert name is not None
    numbers = np.frombuffer(getattr(message, name), dtype=NUMBERS[name])
    rows = numbers.reshape(-1, 384).astype(np.float32)
    if name == "int8":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _links(message: Any, names: Mapping[int, str]) -> list[dict[str, Any]]:
    related = np.cumsum(message.related_deltas).tolist()
    places = np.frombuffer(message.places, "u1" if len(related) <= 256 else "<u2")
    pairs = zip(places.tolist(), message.weights, strict=True)
    links = [
        {
            "content_id": names[reference],
            "related": [
                [names[related[place]], round(weight / 255, 2)]
                for place, weight in itertools.islice(pairs, count)
            ],
        }
        for reference, count in zip(message.references, message.counts, strict=True)
    ]
    assert next(pairs, None) is None
    return links


def items_by_ordinal() -> dict[int, str]:
    return dict(Item.objects.values_list("ordinal", "name"))


def _lists(message: Any, names: Mapping[int, str], n_rows: int) -> list[list[str]]:
    counts = list(message.counts) or [0] * n_rows
    assert len(counts) == n_rows
    references = iter(message.references)
    rows = [[names[next(references)] for _ in range(n)] for n in counts]
    assert next(references, None) is None
    return rows


def reply_to(tv: Any, body: Mapping[str, Any]) -> sync_pb2.SyncReply:
    """Send a request that is expected to succeed, and read what comes in protobuf."""
    response = tv.post(body, accept=PROTOBUF)
    assert response.status_code == 200, response.content
    return sync_pb2.SyncReply.FromString(response.content)
