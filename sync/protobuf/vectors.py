"""The embeddings of a delta, however each is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from functools import cache
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from constellation.v1 import embedding_pb2, pattern_pb2
from federation.kernels.codebook import CODE_SIZES
from federation.publication import LoadedPublication
from patterns.delta import SentCode
from patterns.vectors import EMBEDDING_DIMENSIONS
from sync import embeddings, fields, rules
from sync.embeddings import EmbeddingEncoding

_ACCEPTED = f"{EMBEDDING_DIMENSIONS} numbers as {rules.PLAIN_NAMES}, or codes"
_CODE_SIZES = ", ".join(map(str, CODE_SIZES))


class Vectors(NamedTuple):
    #: float32, shape (n, 384)
    rows: NDArray[np.float32]
    #: Row by row; None for what came as numbers.
    codes: Sequence[SentCode | None]


def of_list(
    messages: Sequence[pattern_pb2.PatternAddition],
    paths: Sequence[str],
    *,
    codebook_version: int,
    publication: Callable[[], LoadedPublication],
) -> Vectors:
    """Read the vectors of additions that are messages, each in its own encoding."""
    rows = np.empty((len(messages), EMBEDDING_DIMENSIONS), dtype=np.float32)
    codes: list[SentCode | None] = [None] * len(messages)
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    for row, (message, path) in enumerate(zip(messages, paths, strict=True)):
        name = message.WhichOneof("embedding")
        if name is None:
            fields.refuse(path, "missing", _ACCEPTED)
        if name == "codes":
            _check_code_size(len(message.codes), path)
            by_size[len(message.codes)].append(row)
            codes[row] = (codebook_version, message.codes)
        else:
            rows[row] = _numbers(getattr(message, name), name, path)
    for places in by_size.values():
        codebook = rules.codebook(
            publication(), codebook_version, "delta.codebook_version"
        )
        sent = np.stack([_as_code(messages[place].codes) for place in places])
        rows[places] = codebook.decode(sent)
    return _checked(rows, codes, paths)


def of_column(
    message: embedding_pb2.Embeddings,
    paths: Sequence[str],
    *,
    publication: Callable[[], LoadedPublication],
) -> Vectors:
    """Read as many vectors as there are paths, all in one encoding."""
    count = len(paths)
    column = "delta.packed.embeddings"
    name = message.WhichOneof("encoding")
    if name is None:
        if count == 0:
            return Vectors(np.empty((0, EMBEDDING_DIMENSIONS), dtype=np.float32), ())
        fields.refuse(column, "missing", f"{count} times {_ACCEPTED}")
    data: bytes = getattr(message, name)
    if name == "codes":
        return _coded(data, message.codebook_version, paths, publication=publication)
    size = embeddings.vector_bytes(_encoding(name))
    if len(data) != count * size:
        fields.refuse(
            f"{column}.{name}",
            f"it has {len(data)} bytes",
            f"{count * size} bytes: {size} for each of added_ids",
        )
    rows = embeddings.decode(data, _encoding(name))
    return _checked(rows, (None,) * count, paths)


def _coded(
    data: bytes,
    version: int,
    paths: Sequence[str],
    *,
    publication: Callable[[], LoadedPublication],
) -> Vectors:
    count = len(paths)
    column = "delta.packed.embeddings"
    if len(data) not in _column_sizes(count):
        fields.refuse(
            f"{column}.codes",
            f"it has {len(data)} bytes",
            f"{count} times {_CODE_SIZES} bytes, the same for each of added_ids",
        )
    if count == 0:
        return Vectors(np.empty((0, EMBEDDING_DIMENSIONS), dtype=np.float32), ())
    codebook = rules.codebook(publication(), version, f"{column}.codebook_version")
    sent = _struct_of_codes(count, len(data)).unpack(data)
    rows = codebook.decode(_as_code(data).reshape(count, -1))
    codes = [(version, code) for code in sent]
    # Of length one, or zero.
    is_clear = all(rows[:, 0].tolist())
    return Vectors(rows, codes) if is_clear else _checked(rows, codes, paths)


def _checked(
    rows: NDArray[np.float32],
    codes: Sequence[SentCode | None],
    paths: Sequence[str],
) -> Vectors:
    with np.errstate(invalid="ignore"):
        fields.check_vectors(rows, rows.astype(np.float64), paths)
    return Vectors(rows, codes)


@cache
def _struct_of_codes(count: int, n_bytes: int) -> Struct:
    """Say where codes begin; both are of ``_column_sizes``."""
    return Struct(f"{n_bytes // count}s" * count)


@cache
def _column_sizes(count: int) -> Set[int]:
    """What so many codes may take; count is within ``PATTERNS_PER_SYNC``."""
    return {count * size for size in CODE_SIZES}


def _check_code_size(size: int, path: str) -> None:
    if size not in CODE_SIZES:
        fields.refuse(
            path, f"its codes have {size} bytes", f"codes of {_CODE_SIZES} bytes"
        )


def _numbers(data: bytes, name: str, path: str) -> NDArray[np.float32]:
    expected = embeddings.vector_bytes(_encoding(name))
    if len(data) != expected:
        fields.refuse(
            path,
            f"its {name} has {len(data)} bytes",
            f"{EMBEDDING_DIMENSIONS} finite numbers: {expected} bytes of {name}",
        )
    row: NDArray[np.float32] = embeddings.decode(data, _encoding(name))[0]
    return row


def _encoding(name: str) -> EmbeddingEncoding:
    return EmbeddingEncoding(fields.codes_by_name(EmbeddingEncoding)[name])


def _as_code(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)
