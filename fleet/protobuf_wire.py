"""The wire for TVs: packed deltas up, compact replies down, both as protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from constellation.v1 import (
    content_pb2,
    device_pb2,
    embedding_pb2,
    pattern_pb2,
    sync_pb2,
)
from fleet.codebook import Codebook
from fleet.dictionary import Dictionary
from fleet.errors import UnreadableReply
from fleet.news import News, Reference, Reply, attempt
from fleet.packing import alike, packed
from fleet.wire import (
    EMBEDDING_DIMENSIONS,
    Changes,
    Enrolled,
    Enrolment,
    LearnedPattern,
    Sync,
    Vector,
)

FRACTION_STEPS = 255
SCORE_STEPS = 65_535

#: As many contents as one byte tells apart.
ONE_BYTE_PLACES = 256

_ENCODING = embedding_pb2.EmbeddingEncoding


class ProtobufWire:
    """Says what it can in codes and ordinals: what its dictionary has."""

    media_type = "application/protobuf"

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary

    def write_enrolment(self, enrolment: Enrolment) -> bytes:
        return device_pb2.EnrollRequest(
            enrolment_key=enrolment.enrolment_key,
            device_id=enrolment.device_id.bytes,
            region=enrolment.region,
            model=enrolment.model,
            firmware=enrolment.firmware,
        ).SerializeToString()

    def read_enrolment(self, content: bytes) -> Enrolled:
        try:
            reply = device_pb2.EnrollReply.FromString(content)
        except DecodeError as exc:
            raise UnreadableReply("the reply isn't an EnrollReply") from exc
        if not reply.token:
            raise UnreadableReply("no token in the reply", code="no_token")
        return Enrolled(token=reply.token, sync_url=reply.sync_url)

    def alike(self, patterns: Sequence[LearnedPattern]) -> Sequence[LearnedPattern]:
        return alike(patterns, self._for_deltas.codebook)

    def write_delta(self, changes: Changes) -> bytes:
        delta = pattern_pb2.Delta(local_version=changes.local_version)
        if changes:
            delta.packed.CopyFrom(packed(changes, self._for_deltas))
        return delta.SerializeToString()

    @property
    def _for_deltas(self) -> Dictionary:
        return Dictionary() if self._dictionary.is_put_aside else self._dictionary

    def write_sync(self, sync: Sync) -> bytes:
        codebook = self._dictionary.codebook
        return sync_pb2.SyncRequest(
            device_id=sync.device_id.bytes,
            delta=pattern_pb2.Delta.FromString(sync.delta),
            base_version=sync.base_version,
            global_version=sync.global_version,
            embedding_encodings=[
                *([_ENCODING.EMBEDDING_ENCODING_CODES] if codebook else []),
                _ENCODING.EMBEDDING_ENCODING_INT8,
            ],
            detail=sync_pb2.ReplyDetail.REPLY_DETAIL_COMPACT,
            codebook_version=codebook.version if codebook else 0,
        ).SerializeToString()

    def read_sync(self, content: bytes) -> Reply:
        try:
            reply = sync_pb2.SyncReply.FromString(content)
        except DecodeError as exc:
            raise UnreadableReply(f"the reply isn't a SyncReply: {exc}") from exc
        if not (reply.HasField("accepted") and reply.HasField("global_news")):
            raise UnreadableReply("the reply says nothing of the delta or of the fleet")
        accepted = reply.accepted
        news, trouble = attempt(
            lambda: _news(reply.global_news, self._dictionary.codebook)
        )
        return Reply(
            accepted={
                "stored": accepted.stored,
                "filtered": accepted.filtered,
                "updated": accepted.updated,
                "removed": accepted.removed,
            },
            local_version=reply.local_version,
            resync=reply.resync,
            next_sync_seconds=reply.next_sync_seconds or None,
            news=news,
            trouble=trouble,
            codebook_version=reply.global_news.codebook_version,
        )


def _news(message: sync_pb2.GlobalNews, codebook: Codebook | None) -> News | None:
    if not message.HasField("similar"):
        return None
    names = list(message.names)
    similar = message.similar
    n_similar = len(similar.id_deltas)
    return News(
        global_version=message.global_version,
        similar_embeddings=_vectors(similar.embeddings, n_similar, codebook),
        similar_success=_fractions(similar.success_rates, n_similar),
        similar_contents=_rows(similar.content_ids, n_similar, names),
        trends=[pair for each in message.trending for pair in _trends(each, names)],
        links=_links(message.links, names),
    )


def _vectors(
    message: embedding_pb2.Embeddings, n_rows: int, codebook: Codebook | None
) -> NDArray[np.float16]:
    encoding = message.WhichOneof("encoding")
    if n_rows == 0 or encoding is None:
        if n_rows:
            raise ValueError("global patterns without vectors")
        return np.zeros((0, EMBEDDING_DIMENSIONS), np.float16)
    if encoding == "codes":
        if codebook is None or codebook.version != message.codebook_version:
            raise ValueError(f"codes of codebook {message.codebook_version}")
        codes = np.frombuffer(message.codes, np.uint8).reshape(n_rows, -1)
        return codebook.decode(codes).astype(np.float16)

    data = getattr(message, encoding)
    rows = np.frombuffer(data, _NUMBERS[encoding]).astype(np.float32)
    rows = rows.reshape(n_rows, EMBEDDING_DIMENSIONS)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError("a vector without a direction")
    unit: NDArray[np.float16] = (rows / lengths).astype(np.float16)
    return unit


_NUMBERS = {"float32": "<f4", "float16": "<f2", "int8": "i1"}


def _trends(
    message: content_pb2.Trends, names: list[str]
) -> Iterable[tuple[Reference, float]]:
    scores = np.frombuffer(message.scores, "<u2") / SCORE_STEPS
    references = [_reference(each, names) for each in message.references]
    return list(zip(references, scores.tolist(), strict=True))


def _links(
    message: content_pb2.Links, names: list[str]
) -> dict[Reference, list[tuple[Reference, float]]]:
    ends = [_reference(each, names) for each in accumulate(message.related_deltas)]
    places = np.frombuffer(
        message.places, "u1" if len(ends) <= ONE_BYTE_PLACES else "<u2"
    )
    weights = _fractions(message.weights, len(places))
    if sum(message.counts) != len(places):
        raise ValueError("links and their counts disagree")
    pairs = zip((ends[place] for place in places), weights.tolist(), strict=True)
    return {
        _reference(each, names): [next(pairs) for _ in range(count)]
        for each, count in zip(message.references, message.counts, strict=True)
    }


def _rows(
    message: content_pb2.ReferenceLists, n_rows: int, names: list[str]
) -> list[list[Reference]]:
    """Read lists of references; empty ones where nothing is said."""
    if sum(message.counts) != len(message.references):
        raise ValueError("references and their counts disagree")
    references = iter([_reference(each, names) for each in message.references])
    counts = message.counts or bytes(n_rows)
    if len(counts) != n_rows:
        raise ValueError(f"{n_rows} rows have {len(counts)} counts")
    return [[next(references) for _ in range(count)] for count in counts]


def _reference(number: int, names: list[str]) -> Reference:
    return names[number] if number < len(names) else number - len(names)


def _fractions(column: bytes, n_rows: int) -> Vector:
    fractions: Vector = np.frombuffer(column, np.uint8).astype(np.float32)
    fractions /= FRACTION_STEPS
    if len(fractions) != n_rows:
        raise ValueError(f"{n_rows} rows have {len(fractions)} fractions")
    return fractions
