"""The binary wire from the other end: what TVs sent as JSON says it, and answers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np

from constellation.v1 import (
    content_pb2,
    context_pb2,
    device_pb2,
    embedding_pb2,
    pattern_pb2,
    sync_pb2,
)
from fleet.codebook import Codebook

CODES = embedding_pb2.EMBEDDING_ENCODING_CODES


def enrolment_in_json(raw: bytes) -> dict[str, Any]:
    request = device_pb2.EnrollRequest.FromString(raw)
    body = {
        "enrolment_key": request.enrolment_key,
        "device_id": str(UUID(bytes=request.device_id)),
    }
    return body | ({"region": request.region} if request.HasField("region") else {})


def sync_in_json(raw: bytes, items: Mapping[int, str]) -> dict[str, Any]:
    request = sync_pb2.SyncRequest.FromString(raw)
    assert request.delta.HasField("local_version")
    body: dict[str, Any] = {
        "device_id": str(UUID(bytes=request.device_id)),
        "delta": _delta(request.delta, items),
        "base_version": request.base_version,
    }
    if request.HasField("global_version"):
        body["global_version"] = request.global_version
    return body


def _delta(delta: pattern_pb2.Delta, items: Mapping[int, str]) -> dict[str, Any]:
    packed = delta.packed
    ids = _ids(packed.added_ids)
    n = len(ids)
    genres = _lists(packed.genre_hints, n, packed.names, items)
    contents = _lists(packed.content_ids, n, packed.names, items)
    times, days, types = (
        column or bytes(n)
        for column in (packed.times_of_day, packed.days_of_week, packed.content_types)
    )
    return {
        "patterns_added": [
            {
                "id": ids[i],
                "embedding": _embedding(packed.embeddings, i, n),
                "success_rate": packed.success_rates[i] / 10_000,
                "sample_count": packed.sample_counts[i],
                "context": {
                    "time_of_day": _word(context_pb2.TimeOfDay, times[i]),
                    "day_of_week": _word(context_pb2.DayOfWeek, days[i]),
                    "content_type": _word(context_pb2.ContentType, types[i]),
                    "genre_hints": [g.removeprefix("genre:") for g in genres[i]],
                    "content_ids": contents[i],
                },
            }
            for i in range(n)
        ],
        "patterns_updated": [
            {"id": each, "new_success_rate": rate / 10_000, "additional_samples": k}
            for each, rate, k in zip(
                _ids(packed.updated_ids),
                packed.new_success_rates,
                packed.additional_samples,
                strict=True,
            )
        ],
        "patterns_removed": _ids(packed.removed_ids),
        "local_version": delta.local_version,
    }


def _ids(column: bytes) -> list[str]:
    starts = range(0, len(column), 16)
    return [str(UUID(bytes=column[i : i + 16])) for i in starts]


def _embedding(message: embedding_pb2.Embeddings, row: int, n: int) -> dict[str, Any]:
    """How a row is written, and its bytes: what makes a retry the same content."""
    encoding = message.WhichOneof("encoding")
    assert encoding is not None
    data: bytes = getattr(message, encoding)
    size, rest = divmod(len(data), n)
    assert rest == 0
    return {
        "encoding": encoding,
        "codebook_version": message.codebook_version,
        "data": data[row * size : row * size + size].hex(),
    }


def _word(codes: Any, number: int) -> str | None:
    """The word of JSON: EVENING of TIME_OF_DAY_EVENING."""
    prefix = codes.Name(0).removesuffix("UNSPECIFIED")
    return codes.Name(number).removeprefix(prefix).lower() if number else None


def _lists(
    message: content_pb2.ReferenceLists,
    n_rows: int,
    names: Any,
    items: Mapping[int, str],
) -> list[list[str]]:
    found = [
        names[r] if r < len(names) else items[r - len(names)]
        for r in message.references
    ]
    ends = np.cumsum([0, *(message.counts or bytes(n_rows))])
    assert len(ends) == n_rows + 1
    assert ends[-1] == len(found)
    return [found[start:end] for start, end in pairwise(ends)]


def enrolment_reply(answer: Mapping[str, Any]) -> bytes:
    return device_pb2.EnrollReply(
        device_id=UUID(answer["device_id"]).bytes,
        token=answer["token"],
        sync_url=answer["sync_url"],
    ).SerializeToString()


def sync_reply(
    answer: Mapping[str, Any],
    *,
    request: bytes,
    items: Mapping[int, str],
    codebooks: Mapping[int, bytes],
) -> bytes:
    """Answer with ordinals where there are some, and in codes who reads them."""
    wishes = sync_pb2.SyncRequest.FromString(request)
    reply = sync_pb2.SyncReply(
        accepted=sync_pb2.Accepted(**answer["accepted"]),
        local_version=answer["local_version"],
        resync=answer["resync"],
        next_sync_seconds=answer["next_sync_seconds"],
    )
    news = answer["global"]
    reply.global_news.global_version = news["global_version"]
    reply.global_news.codebook_version = max(codebooks, default=0)
    if "similar" in news:
        _write_news(reply.global_news, news, items)
        vectors = np.array([each["embedding"] for each in news["similar"]], np.float32)
        version = wishes.codebook_version
        if (
            len(vectors)
            and CODES in wishes.embedding_encodings
            and version in codebooks
        ):
            codes = Codebook.read(codebooks[version]).encode(vectors, 16)
            reply.global_news.similar.embeddings.codes = codes.tobytes()
            reply.global_news.similar.embeddings.codebook_version = version
        elif len(vectors):
            rows = np.rint(vectors * 127).astype(np.int8)
            reply.global_news.similar.embeddings.int8 = rows.tobytes()
    return reply.SerializeToString()


def _write_news(
    message: sync_pb2.GlobalNews, news: Mapping[str, Any], items: Mapping[int, str]
) -> None:
    ordinals = {name: ordinal for ordinal, name in items.items()}
    named = [each["content_id"] for each in (*news["trending"], *news["links"])]
    named += [name for each in news["links"] for name, _ in each["related"]]
    names = list(dict.fromkeys(name for name in named if name not in ordinals))

    def reference(name: str) -> int:
        return len(names) + ordinals[name] if name in ordinals else names.index(name)

    message.names.extend(names)
    message.similar.SetInParent()
    ids = [each["id"] for each in news["similar"]]
    message.similar.id_deltas.extend(np.diff(ids, prepend=0).astype(int).tolist())
    message.similar.success_rates = bytes(
        round(each["success_rate"] * 255) for each in news["similar"]
    )
    message.similar.masses = bytes(len(ids))
    for each in news["trending"]:
        message.trending.add(
            region=each["region"],
            references=[reference(each["content_id"])],
            scores=round(each["trending_score"] * 65_535).to_bytes(2, "little"),
        )
    links = [(each["content_id"], each["related"]) for each in news["links"]]
    ends = sorted({reference(name) for _, related in links for name, _ in related})
    width = 1 if len(ends) <= 256 else 2
    for content_id, related in links:
        message.links.references.append(reference(content_id))
        message.links.counts += bytes([len(related)])
        for name, weight in related:
            place = ends.index(reference(name))
            message.links.places += place.to_bytes(width, "little")
            message.links.weights += bytes([round(weight * 255)])
    message.links.related_deltas.extend(np.diff(ends, prepend=0).astype(int).tolist())
