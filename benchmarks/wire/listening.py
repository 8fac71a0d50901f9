"""What TVs hear: the reply in codes, held against the exact one in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.wire.life import Town, for_each
from benchmarks.wire.televisions import Television
from constellation.v1 import sync_pb2
from fleet.codebook import Codebook
from fleet.json_wire import JsonWire
from fleet.protobuf_wire import ProtobufWire
from fleet.wire import Vector

TOP = 10

#: Of a mass, each time it doubles: pattern.proto.
MASS_STEPS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """One reply, told twice."""

    bytes_down: int
    #: Before it was compressed.
    bytes_inflated: int
    bytes_down_json: int
    #: When it holds the publication already.
    bytes_down_unchanged: int
    #: Of each global pattern in the reply.
    code_bytes: int
    #: By the server, and as the TV reads it. shape: (n, 384)
    exact: Vector
    decoded: Vector
    #: Numbers of the n global patterns, and about how many TVs are behind each.
    cells: NDArray[np.int64]
    masses: Vector
    trends: int
    linked_contents: int
    #: Links between contents, in full and in the compact reply.
    links: int
    links_kept: int

    @property
    def cosines(self) -> Vector:
        cosines: Vector = np.einsum("ij,ij->i", self.exact, self.decoded)
        return cosines


def listen(town: Town, televisions: Sequence[Television]) -> list[Heard]:
    """Have each TV ask for everything, compact and in JSON, and then for nothing."""
    heard: dict[Any, Heard] = {}

    def one(tv: Television) -> None:
        heard[tv.device_id] = _listen(town, tv)

    for_each(televisions, one)
    return [heard[tv.device_id] for tv in televisions]


def _listen(town: Town, tv: Television) -> Heard:
    wire = ProtobufWire(town.dictionary)
    compact = tv.exchange(wire)
    full = tv.exchange(JsonWire())
    unchanged = tv.exchange(wire, held=town.global_version)

    news = sync_pb2.SyncReply.FromString(compact.reply).global_news
    exact = orjson.loads(full.reply)["global"]
    codebook = town.dictionary.codebook
    assert codebook is not None
    cells = np.fromiter(accumulate(news.similar.id_deltas), np.int64)
    vectors = {each["id"]: each["embedding"] for each in exact["similar"]}
    code_bytes, decoded = _decoded(news.similar.embeddings, len(cells), codebook)
    return Heard(
        bytes_down=compact.bytes_down,
        bytes_inflated=len(compact.reply),
        bytes_down_json=full.bytes_down,
        bytes_down_unchanged=unchanged.bytes_down,
        code_bytes=code_bytes,
        exact=np.array([vectors[cell] for cell in cells.tolist()], np.float32),
        decoded=decoded,
        cells=cells,
        masses=_masses(news.similar.masses),
        trends=sum(len(each.references) for each in news.trending),
        linked_contents=len(exact["links"]),
        links=sum(len(each["related"]) for each in exact["links"]),
        links_kept=len(news.links.weights),
    )


def _masses(column: bytes) -> Vector:
    steps = np.frombuffer(column, np.uint8).astype(np.float32)
    masses: Vector = np.exp2(steps / MASS_STEPS) - 1
    return masses


def _decoded(message: Any, count: int, codebook: Codebook) -> tuple[int, Vector]:
    if message.WhichOneof("encoding") != "codes":
        raise ValueError(f"the reply has {message.WhichOneof('encoding')}, not codes")
    if message.codebook_version != codebook.version:
        raise ValueError(f"codes of codebook {message.codebook_version}")
    codes = np.frombuffer(message.codes, np.uint8).reshape(count, -1)
    return codes.shape[1], codebook.decode(codes)


def top_overlap(own: Vector, exact: Vector, decoded: Vector) -> float:
    """Tell how much of a TV's favourites stays: 0 to 1.

    Parameters
    ----------
    own : ndarray of shape (p, 384)
        Its own patterns. The nearest of them decides how near a global one is.
    exact, decoded : ndarray of shape (n, 384)
        The global patterns it was told.
    """
    first, second = (
        set(np.argsort(-(own @ told.T).max(axis=0), kind="stable")[:TOP].tolist())
        for told in (exact, decoded)
    )
    return len(first & second) / max(1, len(first))
