"""What the server makes of patterns that reach it as codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.wire.cases import NEW_AS_CODES
from benchmarks.wire.life import Town, for_each
from benchmarks.wire.televisions import Television
from constellation.v1 import sync_pb2
from fleet.protobuf_wire import ProtobufWire
from fleet.wire import Changes, LearnedPattern, Vector


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """Patterns as a TV has them, and as the server reads them. shape: (n, 384)"""

    exact: Vector
    decoded: Vector
    #: Of each pattern. shape: (n,)
    code_bytes: Vector

    @property
    def cosines(self) -> Vector:
        cosines: Vector = np.einsum("ij,ij->i", self.exact, self.decoded)
        return cosines


def tell(town: Town, televisions: Sequence[Television]) -> Told:
    """Have TVs tell all they know, at most ten patterns at a time, as TVs choose."""
    parts: list[Told] = []
    wire = ProtobufWire(town.dictionary)

    def one(tv: Television) -> None:
        left = list(tv.brain.patterns())
        while left:
            patterns = wire.alike(left)[:NEW_AS_CODES]
            parts.append(_tell(town, tv, patterns))
            left = [each for each in left if each not in patterns]

    for_each(televisions, one)
    return Told(
        exact=np.concatenate([part.exact for part in parts]),
        decoded=np.concatenate([part.decoded for part in parts]),
        code_bytes=np.concatenate([part.code_bytes for part in parts]),
    )


def _tell(town: Town, tv: Television, patterns: Sequence[LearnedPattern]) -> Told:
    changes = Changes(added=patterns, local_version=tv.next_version)
    sent = tv.exchange(ProtobufWire(town.dictionary), changes, held=town.global_version)
    return read_back(town, sent.request, patterns)


def read_back(town: Town, request: bytes, patterns: Sequence[LearnedPattern]) -> Told:
    """Read the vectors of a request; where they travelled as int8, as such."""
    embeddings = sync_pb2.SyncRequest.FromString(request).delta.packed.embeddings
    codebook = town.dictionary.codebook
    assert codebook is not None
    if embeddings.WhichOneof("encoding") == "codes":
        codes = np.frombuffer(embeddings.codes, np.uint8).reshape(len(patterns), -1)
        size, decoded = codes.shape[1], codebook.decode(codes)
    else:
        rows = np.frombuffer(embeddings.int8, np.int8).reshape(len(patterns), -1)
        size = rows.shape[1]
        decoded = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return Told(
        exact=np.stack([pattern.embedding for pattern in patterns]),
        decoded=decoded.astype(np.float32),
        code_bytes=np.full(len(patterns), size, np.float32),
    )
