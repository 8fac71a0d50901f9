"""What TVs send and hear, as protobuf: the messages of ``proto/constellation/v1/``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db.models import IntegerChoices
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from constellation.v1 import (
    content_pb2,
    context_pb2,
    device_pb2,
    embedding_pb2,
    pattern_pb2,
    sync_pb2,
)
from patterns.context import (
    CONTENT_IDS_LIMIT,
    GENRE_HINTS_LIMIT,
    ContentType,
    DayOfWeek,
    TimeOfDay,
)
from patterns.delta import Context, Delta, PatternAddition, PatternUpdate
from patterns.vectors import EMBEDDING_DIMENSIONS
from sync import embeddings, fields, rules
from sync.embeddings import SERVED_ENCODINGS, EmbeddingEncoding
from sync.exceptions import MalformedBody
from sync.messages import (
    EnrolmentReply,
    EnrolmentRequest,
    GlobalNews,
    ReplyDetail,
    SyncReply,
    SyncRequest,
    Wishes,
)
from sync.renderers import ProtobufRenderer

media_type = ProtobufRenderer.media_type

#: Fields of a request and of its delta, without what is inside of patterns. A megabyte
#: of empty patterns would become 50 in memory; a TV of today sends at most 72.
FIELDS_LIMIT = 1024

#: Steps of the one byte that says a fraction, and of the two that say a score.
FRACTION_STEPS = 255
SCORE_STEPS = 65535

#: As many contents as one byte tells apart.
ONE_BYTE_PLACES = 256

#: Steps of a mass each time it doubles.
MASS_STEPS = 8

_SERVED = ", ".join(each.label for each in SERVED_ENCODINGS)

_AnyMessage = TypeVar("_AnyMessage", bound=Message)


def read_sync(body: bytes) -> SyncRequest:
    """Parse and validate. Fields that nobody knows are ignored."""
    _check_field_count(body)
    message = _parsed(sync_pb2.SyncRequest, body)
    return SyncRequest(
        device_id=fields.uuid_bytes(_or_none(message, "device_id"), "device_id"),
        delta=_delta(
            _or_none(message, "delta"),
            base_version=rules.version_or_none(
                _or_none(message, "base_version"), "base_version"
            ),
        ),
        global_version=rules.version_or_none(
            _or_none(message, "global_version"), "global_version"
        ),
        wishes=_wishes(message),
    )


def write_sync(reply: SyncReply, wishes: Wishes) -> bytes:
    accepted = reply.accepted
    message = sync_pb2.SyncReply(
        global_news=sync_pb2.GlobalNews(global_version=reply.global_version),
        accepted=sync_pb2.Accepted(
            stored=accepted.stored,
            filtered=accepted.filtered,
            updated=accepted.updated,
            removed=accepted.removed,
        ),
        local_version=reply.local_version,
        resync=reply.resync,
        next_sync_seconds=reply.next_sync_seconds,
    )
    if reply.news is not None:
        _write_news(message.global_news, reply.news, wishes)
    return message.SerializeToString()


def read_enrolment(body: bytes) -> EnrolmentRequest:
    message = _parsed(device_pb2.EnrollRequest, body)
    device_id = _or_none(message, "device_id")
    return EnrolmentRequest(
        enrolment_key=rules.enrolment_key(_or_none(message, "enrolment_key")),
        device_id=(
            None if device_id is None else fields.uuid_bytes(device_id, "device_id")
        ),
        region=rules.region(_or_none(message, "region")),
        model=rules.label(message.model, "model"),
        firmware=rules.label(message.firmware, "firmware"),
    )


def write_enrolment(reply: EnrolmentReply) -> bytes:
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


# Up


def _parsed(kind: type[_AnyMessage], body: bytes) -> _AnyMessage:
    try:
        return kind.FromString(body)
    except DecodeError as exc:
        # Truncated, nested deeper than protobuf allows, or a string that isn't UTF-8.
        raise MalformedBody(problem=f"it isn't a {kind.DESCRIPTOR.name}") from exc


def _or_none(message: Message, name: str) -> Any:
    """Give a field that knows whether it was sent."""
    return getattr(message, name) if message.HasField(name) else None


def _delta(message: pattern_pb2.Delta | None, *, base_version: int | None) -> Delta:
    if message is None:
        fields.refuse("delta", "missing", "an object")
    added, updated = message.patterns_added, message.patterns_updated
    removed = message.patterns_removed
    rules.check_pattern_count(len(added) + len(updated) + len(removed))
    local_version = rules.version(
        _or_none(message, "local_version"), "delta.local_version"
    )
    return Delta(
        added=_additions(added),
        updated=_updates(updated),
        removed=_removals(removed),
        local_version=local_version,
        base_version=base_version,
    )


def _additions(
    messages: Sequence[pattern_pb2.PatternAddition],
) -> tuple[PatternAddition, ...]:
    paths = [f"delta.patterns_added[{i}]" for i in range(len(messages))]
    vectors = _vectors(messages, [f"{path}.embedding" for path in paths])
    additions = tuple(
        _addition(message, vector, path)
        for message, vector, path in zip(messages, vectors, paths, strict=True)
    )
    rules.check_distinct([addition.id for addition in additions], paths)
    return additions


def _vectors(
    messages: Sequence[pattern_pb2.PatternAddition], paths: Sequence[str]
) -> NDArray[np.float32]:
    rows = np.empty((len(messages), EMBEDDING_DIMENSIONS), dtype=np.float32)
    for row, (message, path) in enumerate(zip(messages, paths, strict=True)):
        rows[row] = _vector(message, path)
    with np.errstate(invalid="ignore"):
        fields.check_vectors(rows, rows.astype(np.float64), paths)
    return rows


def _vector(message: pattern_pb2.PatternAddition, path: str) -> NDArray[np.float32]:
    name = message.WhichOneof("embedding")
    if name is None:
        fields.refuse(path, "missing", f"{EMBEDDING_DIMENSIONS} numbers as {_SERVED}")
    encoding = EmbeddingEncoding(fields.codes_by_name(EmbeddingEncoding)[name])
    if encoding not in SERVED_ENCODINGS:
        fields.refuse(
            path,
            "no codebook is published",
            f"{EMBEDDING_DIMENSIONS} numbers as {_SERVED}",
        )
    data: bytes = getattr(message, name)
    expected = embeddings.vector_bytes(encoding)
    if len(data) != expected:
        fields.refuse(
            path,
            f"its {name} has {len(data)} bytes",
            f"{EMBEDDING_DIMENSIONS} finite numbers: {expected} bytes of {name}",
        )
    return embeddings.decode(data, encoding)


def _addition(
    message: pattern_pb2.PatternAddition, vector: NDArray[np.float32], path: str
) -> PatternAddition:
    for name in ("created_at", "updated_at"):
        fields.seconds(_or_none(message, name), f"{path}.{name}")
    return PatternAddition(
        id=fields.uuid_bytes(_or_none(message, "id"), f"{path}.id"),
        embedding=vector,
        success_rate=_rate(message, "success_rate", path),
        sample_count=rules.sample_count(_or_none(message, "sample_count"), path),
        context=_context(message.context, f"{path}.context"),
    )


def _rate(message: Message, name: str, path: str) -> float:
    """Read a float32 as the shortest decimal that names it.

    Widened, 0.7 would be 0.699999988: below a threshold of 0.7, and another content
    than the same delta in JSON.
    """
    value = _or_none(message, name)
    return fields.fraction(
        None if value is None else float(str(np.float32(value))), f"{path}.{name}"
    )


def _context(message: context_pb2.Context, path: str) -> Context:
    for name, limit in (
        ("genre_hints", GENRE_HINTS_LIMIT),
        ("content_ids", CONTENT_IDS_LIMIT),
    ):
        # Before any is looked at: there may be half a million.
        fields.check_length(
            len(getattr(message, name)), f"{path}.{name}", at_most=limit
        )
    return Context(
        time_of_day=fields.code(message.time_of_day, f"{path}.time_of_day", TimeOfDay),
        day_of_week=fields.code(message.day_of_week, f"{path}.day_of_week", DayOfWeek),
        content_type=fields.code(
            message.content_type, f"{path}.content_type", ContentType
        ),
        genre_hints=rules.genre_hints(list(message.genre_hints), path),
        content_ids=rules.content_ids(list(message.content_ids), path),
    )


def _updates(
    messages: Sequence[pattern_pb2.PatternUpdate],
) -> tuple[PatternUpdate, ...]:
    paths = [f"delta.patterns_updated[{i}]" for i in range(len(messages))]
    updates = tuple(
        PatternUpdate(
            id=fields.uuid_bytes(_or_none(message, "id"), f"{path}.id"),
            new_success_rate=_rate(message, "new_success_rate", path),
            additional_samples=rules.additional_samples(
                _or_none(message, "additional_samples"), path
            ),
        )
        for message, path in zip(messages, paths, strict=True)
    )
    rules.check_distinct([update.id for update in updates], paths)
    return updates


def _removals(sent: Sequence[bytes]) -> tuple[UUID, ...]:
    paths = [f"delta.patterns_removed[{i}]" for i in range(len(sent))]
    ids = [
        fields.uuid_bytes(each, path) for each, path in zip(sent, paths, strict=True)
    ]
    fields.distinct(ids, paths)
    return tuple(ids)


def _wishes(message: sync_pb2.SyncRequest) -> Wishes:
    field = "embedding_encodings"
    fields.check_length(
        len(message.embedding_encodings), field, at_most=rules.PREFERENCES_LIMIT
    )
    preferences = [
        fields.code(code, f"{field}[{i}]", EmbeddingEncoding)
        for i, code in enumerate(message.embedding_encodings)
    ]
    detail = fields.code(message.detail, "detail", ReplyDetail)
    return Wishes(
        embedding_encoding=rules.embedding_encoding(preferences),
        is_compact=detail == ReplyDetail.COMPACT,
    )


# How many fields there are, before anything is made of them

_DELTA = sync_pb2.SyncRequest.DELTA_FIELD_NUMBER
_LISTS = {
    pattern_pb2.Delta.PATTERNS_ADDED_FIELD_NUMBER,
    pattern_pb2.Delta.PATTERNS_UPDATED_FIELD_NUMBER,
    pattern_pb2.Delta.PATTERNS_REMOVED_FIELD_NUMBER,
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields_limit() -> int:
    return FIELDS_LIMIT + settings.PATTERNS_PER_SYNC


def _check_field_count(body: bytes) -> None:
    """Refuse what would take much more memory than it has bytes.

    Only counts: whether the body is well-formed, the parser says.
    """
    limit = fields_limit()
    n_fields = n_patterns = 0
    for number, start, end in _fields(body, 0, len(body)):
        n_fields += 1
        if number == _DELTA and end > start:
            for inner, _, _ in _fields(body, start, end):
                n_fields += 1
                n_patterns += inner in _LISTS
                if n_fields > limit:
                    break
        if n_fields > limit:
            rules.check_pattern_count(n_patterns, at_least="at least ")
            raise MalformedBody(problem=f"it has more than {limit} fields", limit=limit)


def _fields(body: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """List fields by number, with where their bytes are; stop at what can't be read."""
    while position < end:
        tag, position = _varint(body, position)
        start, kind = position, tag & 7
        if kind == _VARINT:
            _, position = _varint(body, position)
        elif kind == _FIXED64:
            position += 8
        elif kind == _FIXED32:
            position += 4
        elif kind == _BYTES:
            length, start = _varint(body, position)
            position = start + length
        # What is in a group counts as if it stood beside it.
        yield tag >> 3, start, min(position, end) if kind == _BYTES else start


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(body) and shift < 70:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, position


# Down


class _Names:
    """The names of a reply, each once, and their places as references."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def reference(self, name: str) -> int:
        return self._places.setdefault(name, len(self._places))

    def references(self, names: Iterable[str]) -> list[int]:
        return [self.reference(name) for name in names]

    def lists(self, rows: Sequence[Sequence[str]]) -> content_pb2.ReferenceLists:
        if not any(rows):
            return content_pb2.ReferenceLists()
        return content_pb2.ReferenceLists(
            counts=bytes(map(len, rows)),
            references=[self.reference(name) for row in rows for name in row],
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)


def _write_news(message: sync_pb2.GlobalNews, news: GlobalNews, wishes: Wishes) -> None:
    names = _Names()
    _write_similar(message.similar, news, wishes, names)
    for trend in news.trending:
        if not message.trending or message.trending[-1].region != trend.region:
            message.trending.add(region=trend.region)
        message.trending[-1].references.append(names.reference(trend.item))
        message.trending[-1].scores += _score(trend.score)
    if news.links:
        related = [each.related for each in news.links]
        message.links.references.extend(
            names.references(each.content_id for each in news.links)
        )
        message.links.counts = bytes(map(len, related))
        ends = names.references(name for row in related for name, _ in row)
        distinct, places = np.unique(np.array(ends, np.int64), return_inverse=True)
        message.links.related_deltas.extend(np.diff(distinct, prepend=0).tolist())
        message.links.places = places.astype(
            "u1" if len(distinct) <= ONE_BYTE_PLACES else "<u2"
        ).tobytes()
        message.links.weights = _fractions(
            [weight for row in related for _, weight in row]
        )
    message.names.extend(names)


def _write_similar(
    message: pattern_pb2.SimilarPatterns,
    news: GlobalNews,
    wishes: Wishes,
    names: _Names,
) -> None:
    # Present even when it is empty: this is how a TV knows that there are news.
    message.SetInParent()
    rows = news.similar
    if not rows:
        return
    ids = np.array([row["id"] for row in rows], dtype=np.int64)
    message.id_deltas.extend(np.diff(ids, prepend=0).tolist())
    vectors = np.stack([row["embedding"] for row in rows])
    message.embeddings.CopyFrom(embedding_block(vectors, wishes.embedding_encoding))
    message.success_rates = _fractions([row["success_rate"] for row in rows])
    message.masses = bytes(map(_mass, news.masses))
    if wishes.is_compact:
        return
    contexts = [row["context"] for row in rows]
    message.sample_counts.extend(row["sample_count"] for row in rows)
    message.times_of_day = _codes([c.get("time_of_day") for c in contexts], TimeOfDay)
    message.days_of_week = _codes([c.get("day_of_week") for c in contexts], DayOfWeek)
    message.content_types = _codes(
        [c.get("content_type") for c in contexts], ContentType
    )
    message.genre_hints.CopyFrom(
        names.lists([[f"genre:{g}" for g in c["genre_hints"]] for c in contexts])
    )
    message.content_ids.CopyFrom(names.lists([row["content_ids"] for row in rows]))


def embedding_block(
    vectors: NDArray[np.float32], encoding: EmbeddingEncoding
) -> embedding_pb2.Embeddings:
    """Write a (n, 384) matrix of unit vectors as one field."""
    message = embedding_pb2.Embeddings()
    setattr(message, encoding.label, embeddings.encode(vectors, encoding))
    return message


def _codes(labels: Sequence[str | None], choices: type[IntegerChoices]) -> bytes:
    """One byte each; nothing at all if nothing is said of any."""
    codes = fields.codes_by_name(choices)
    column = bytes(0 if label is None else codes[label] for label in labels)
    return column if any(column) else b""


def _fractions(values: Sequence[float]) -> bytes:
    steps = np.rint(np.clip(np.array(values), 0, 1) * FRACTION_STEPS)
    column: bytes = steps.astype(np.uint8).tobytes()
    return column


def _score(value: float) -> bytes:
    return round(min(max(value, 0.0), 1.0) * SCORE_STEPS).to_bytes(2, "little")


def _mass(value: float) -> int:
    return min(255, round(MASS_STEPS * math.log2(1 + value)))
