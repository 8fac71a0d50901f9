"""Deltas as TVs write them: column by column, in codes and ordinals where it can."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from constellation.v1 import content_pb2, context_pb2, embedding_pb2, pattern_pb2
from fleet.codebook import Codebook, Codes
from fleet.dictionary import Dictionary
from fleet.items import Items
from fleet.wire import Changes, Context, LearnedPattern, Vector

#: Ten patterns with their contexts, five updates and five removals stay below 1 KB, and
#: patterns of MovieLens keep a cosine of 0.972 with themselves.
CODE_BYTES = 40

#: For a delta that is then small enough.
SHORTER_CODE_BYTES = 32

#: What a packed delta may take, so that the request around it has at most 1 KB.
DELTA_BYTES = 1024 - 44

#: Below it a code says too little of a pattern, and it goes as int8. All vectors of a
#: delta are written alike, so its neighbours would pay eightfold: it waits for a delta
#: of such patterns.
CODE_COSINE_MIN = 0.9

#: What a shorter code must still say of each.
SHORTER_COSINE_MIN = 0.7

#: As many as fit into 1 KB, in a delta of those that codes describe badly.
INT8_PER_DELTA = 2

#: The largest number of a row. A third of what int8 could hold keeps a cosine of 0.999,
#: and is what zstd can make a seventh smaller.
INT8_LARGEST = 31

RATE_STEPS = 10_000

GENRE_PREFIX = "genre:"


def alike(
    patterns: Sequence[LearnedPattern], codebook: Codebook | None
) -> Sequence[LearnedPattern]:
    """Choose those that go in one delta; first those that codes describe well."""
    if codebook is None or not patterns:
        return patterns
    _, cosines = _encoded(patterns, codebook, CODE_BYTES)
    well = [p for p, c in zip(patterns, cosines, strict=True) if c >= CODE_COSINE_MIN]
    return well or patterns[:INT8_PER_DELTA]


def packed(changes: Changes, dictionary: Dictionary) -> pattern_pb2.PackedPatterns:
    """Write what changed; what the dictionary lacks travels as int8 and by name."""
    message = _packed(changes, dictionary)
    too_long = message.ByteSize() - DELTA_BYTES
    saved = len(message.embeddings.codes) - SHORTER_CODE_BYTES * len(changes.added)
    if 0 < too_long <= saved and dictionary.codebook is not None:
        shorter, cosines = _encoded(
            changes.added, dictionary.codebook, SHORTER_CODE_BYTES
        )
        if cosines.min() >= SHORTER_COSINE_MIN:
            message.embeddings.codes = shorter.tobytes()
    return message


def _packed(changes: Changes, dictionary: Dictionary) -> pattern_pb2.PackedPatterns:
    added, grown = changes.added, changes.grown
    contexts = [pattern.context for pattern in added]
    genres = [[GENRE_PREFIX + g for g in c.genre_hints] for c in contexts]
    contents = [pattern.content_ids for pattern in added]
    references = _References([*genres, *contents], dictionary.items)
    return pattern_pb2.PackedPatterns(
        added_ids=b"".join(pattern.id.bytes for pattern in added),
        embeddings=_embeddings(added, dictionary.codebook) if added else None,
        success_rates=[_rate(pattern.success_rate) for pattern in added],
        sample_counts=[pattern.watched_count for pattern in added],
        times_of_day=_times_of_day(contexts),
        days_of_week=_days_of_week(contexts),
        content_types=_content_types(contexts),
        genre_hints=references.lists(genres),
        content_ids=references.lists(contents),
        updated_ids=b"".join(each.id.bytes for each in grown),
        new_success_rates=[_rate(each.success_rate) for each in grown],
        additional_samples=[each.watched_count for each in grown],
        removed_ids=b"".join(each.bytes for each in changes.removed),
        names=references.names,
    )


class _References:
    """How one message refers to items: by ordinal, or by the place of their name."""

    def __init__(self, rows: Iterable[Iterable[str]], items: Items) -> None:
        self._items = items
        named = (n for row in rows for n in row if items.ordinal_of(n) is None)
        self._places = {name: i for i, name in enumerate(dict.fromkeys(named))}
        self.names = list(self._places)

    def lists(self, rows: Sequence[Sequence[str]]) -> content_pb2.ReferenceLists | None:
        if not any(rows):
            return None
        return content_pb2.ReferenceLists(
            counts=bytes(map(len, rows)),
            references=[self._of(name) for row in rows for name in row],
        )

    def _of(self, name: str) -> int:
        ordinal = self._items.ordinal_of(name)
        return self._places[name] if ordinal is None else len(self.names) + ordinal


def _embeddings(
    patterns: Sequence[LearnedPattern], codebook: Codebook | None
) -> embedding_pb2.Embeddings:
    if codebook is not None:
        codes, cosines = _encoded(patterns, codebook, CODE_BYTES)
        if cosines.min() >= CODE_COSINE_MIN:
            return embedding_pb2.Embeddings(
                codes=codes.tobytes(), codebook_version=codebook.version
            )
    vectors = _vectors(patterns)
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    rows = np.rint(vectors / largest * INT8_LARGEST).astype(np.int8)
    return embedding_pb2.Embeddings(int8=rows.tobytes())


def _encoded(
    patterns: Sequence[LearnedPattern], codebook: Codebook, n_bytes: int
) -> tuple[Codes, Vector]:
    """Give codes of a size, and the cosine of each pattern with what its code says."""
    vectors = _vectors(patterns)
    codes = codebook.encode(vectors, n_bytes)
    return codes, np.einsum("ij,ij->i", codebook.decode(codes), vectors)


def _vectors(patterns: Sequence[LearnedPattern]) -> Vector:
    return np.stack([pattern.embedding for pattern in patterns])


def _rate(value: float) -> int:
    return round(value * RATE_STEPS)


def _times_of_day(contexts: Sequence[Context]) -> bytes:
    codes = context_pb2.TimeOfDay
    return _column(
        codes.Value(f"TIME_OF_DAY_{(c.time_of_day or 'unspecified').upper()}")
        for c in contexts
    )


def _days_of_week(contexts: Sequence[Context]) -> bytes:
    codes = context_pb2.DayOfWeek
    return _column(
        codes.Value(f"DAY_OF_WEEK_{(c.day_of_week or 'unspecified').upper()}")
        for c in contexts
    )


def _content_types(contexts: Sequence[Context]) -> bytes:
    codes = context_pb2.ContentType
    return _column(
        codes.Value(f"CONTENT_TYPE_{(c.content_type or 'unspecified').upper()}")
        for c in contexts
    )


def _column(codes: Iterable[int]) -> bytes:
    """One byte each; nothing at all if nothing is said of any."""
    column = bytes(codes)
    return column if any(column) else b""
