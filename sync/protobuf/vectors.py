"""The embeddings of a delta, however each is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from constellation.v1 import pattern_pb2
from patterns.vectors import EMBEDDING_DIMENSIONS
from sync import embeddings, fields
from sync.embeddings import SERVED_ENCODINGS, EmbeddingEncoding

_SERVED = ", ".join(each.label for each in SERVED_ENCODINGS)


def of_additions(
    messages: Sequence[pattern_pb2.PatternAddition], paths: Sequence[str]
) -> NDArray[np.float32]:
    """Read the vectors of a list, shape (n, 384)."""
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
