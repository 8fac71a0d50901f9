"""Requests of made-up TVs as bytes, all made before the clock starts.

A process of its own, in the environment of an installation. A returning TV has the
codebook and the ordinals of the publication, so it writes in codes and references; a
new one writes numbers and names. Both bring two patterns and three updates.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import django
import numpy as np
import zstandard
from numpy.typing import NDArray

from benchmarks.sync import tastes, tvs
from benchmarks.sync.publishing import VERSION
from benchmarks.sync.tvs import ADDITIONS, UPDATES
from constellation.v1 import (
    content_pb2,
    context_pb2,
    embedding_pb2,
    pattern_pb2,
    sync_pb2,
)

CODE_BYTES = 40
INT8_LARGEST = 31
STOCK = 1 << 13
CONTENTS_PER_PATTERN = 3
PROCESSES = 2

CODES = embedding_pb2.EmbeddingEncoding.EMBEDDING_ENCODING_CODES
INT8 = embedding_pb2.EmbeddingEncoding.EMBEDDING_ENCODING_INT8

_HEAD = (
    "POST {path} HTTP/1.1\r\n"
    "Host: bench\r\n"
    "Authorization: {authorization}\r\n"
    "Content-Type: application/protobuf\r\n"
    "Content-Encoding: zstd\r\n"
    "Accept: application/protobuf\r\n"
    "Accept-Encoding: zstd\r\n"
    "Content-Length: {length}\r\n\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is made: by which TVs, and for whom."""

    shard_id: int
    tvs: list[int]
    #: What the server has stored of each.
    versions: list[int]
    #: How many of the returning don't hold the publication, 0 to 1.
    behind_fraction: float
    #: For the peer that was written in a day, which knows no codes.
    is_for_peer: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--behind", type=float, required=True)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    django.setup()

    numbers = np.load(options.folder / "tvs.npy").tolist()
    versions = np.load(options.folder / "versions.npy").tolist()
    scribe = Scribe(options.shard)
    wishes = [
        Wish(
            shard_id=options.shard,
            tvs=numbers[start::PROCESSES],
            versions=versions[start::PROCESSES],
            behind_fraction=options.behind,
            is_for_peer=options.peer,
        )
        for start in range(PROCESSES)
    ]
    # The ordinals and the codes are there already when it forks.
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        parts = pool.map(scribe.write, wishes)
    requests = [b""] * len(numbers)
    for start, part in enumerate(parts):
        requests[start::PROCESSES] = part
    np.save(options.folder / "sizes.npy", [len(each) for each in requests])
    (options.folder / "requests").write_bytes(b"".join(requests))


class Scribe:
    """Writes as TVs do, with the dictionary of a shard's publication."""

    def __init__(self, shard_id: int) -> None:
        # These need Django's settings.
        from django.db import connections

        from federation import codebooks
        from federation.codebooks import Codebooks
        from patterns.selectors import item_ordinals
        from shards.databases import shard_alias

        stock = tastes.patterns(STOCK)
        largest = np.abs(stock.vectors).max(axis=1, keepdims=True)
        self._int8 = np.rint(stock.vectors / largest * INT8_LARGEST).astype(np.int8)
        self._tastes = stock.tastes
        self._ordinals = item_ordinals()
        books = codebooks.load(shard_alias(shard_id), VERSION, known=Codebooks())
        self._codebook_version = books.current
        self._codes = books.by_version[books.current].encode(stock.vectors, CODE_BYTES)
        self._genres = [f"genre:{tastes.GENRE % n}" for n in range(tastes.GENRES)]
        connections.close_all()

    def write(self, wish: Wish) -> list[bytes]:
        rng = np.random.default_rng(
            [wish.shard_id, wish.tvs[0], wish.versions[0], len(wish.tvs)]
        )
        made = _Dice(rng, np.array(wish.tvs), len(self._int8))
        compress = zstandard.ZstdCompressor().compress
        is_behind = rng.random(len(wish.tvs)) < wish.behind_fraction
        requests = []
        for row, version in enumerate(wish.versions):
            if wish.is_for_peer:
                delta = self._plain(made, row, version)
            elif version == 0:
                delta = self._first(made, row)
            else:
                delta = self._next(made, row, version)
            message = sync_pb2.SyncRequest(
                device_id=made.device_ids[row],
                delta=delta,
                base_version=version,
                embedding_encodings=[INT8] if version == 0 else [CODES, INT8],
                detail=sync_pb2.ReplyDetail.REPLY_DETAIL_COMPACT,
            )
            if version:
                message.global_version = VERSION - 1 if is_behind[row] else VERSION
                message.codebook_version = self._codebook_version
            body = compress(message.SerializeToString())
            requests.append(_http(wish, made.device_ids[row], body))
        return requests

    def _next(self, made: _Dice, row: int, version: int) -> pattern_pb2.Delta:
        chosen = made.chosen[row]
        contents = [
            self._ordinals[tastes.TITLE % number]
            for number in made.contents(self._tastes[chosen], row)
        ]
        genres = [self._ordinals[name] for name in self._genres_of(chosen)]
        packed = self._packed(made, row, genres, contents)
        packed.embeddings.codes = self._codes[chosen].tobytes()
        packed.embeddings.codebook_version = self._codebook_version
        packed.updated_ids = made.updated_ids[row]
        return pattern_pb2.Delta(local_version=version + 1, packed=packed)

    def _first(self, made: _Dice, row: int) -> pattern_pb2.Delta:
        chosen = made.chosen[row]
        contents = [
            tastes.TITLE % number for number in made.contents(self._tastes[chosen], row)
        ]
        genres = self._genres_of(chosen)
        names = list(dict.fromkeys([*genres, *contents]))
        packed = self._packed(
            made, row, map(names.index, genres), map(names.index, contents)
        )
        packed.names.extend(names)
        packed.embeddings.int8 = self._int8[chosen].tobytes()
        # What it has to update are the patterns it brings; one was given up already.
        packed.updated_ids = made.added_ids[row] + made.updated_ids[row][:16]
        return pattern_pb2.Delta(local_version=1, packed=packed)

    def _packed(
        self, made: _Dice, row: int, genres: Iterable[int], contents: Iterable[int]
    ) -> pattern_pb2.PackedPatterns:
        return pattern_pb2.PackedPatterns(
            added_ids=made.added_ids[row],
            embeddings=embedding_pb2.Embeddings(),
            success_rates=made.rates[row][:ADDITIONS],
            sample_counts=made.counts[row][:ADDITIONS],
            times_of_day=made.times_of_day[row],
            days_of_week=made.days_of_week[row],
            content_types=made.content_types[row],
            genre_hints=content_pb2.ReferenceLists(
                counts=b"\1" * ADDITIONS, references=list(genres)
            ),
            content_ids=content_pb2.ReferenceLists(
                counts=bytes([CONTENTS_PER_PATTERN] * ADDITIONS),
                references=list(contents),
            ),
            new_success_rates=made.rates[row][ADDITIONS:],
            additional_samples=made.counts[row][ADDITIONS:],
        )

    def _plain(self, made: _Dice, row: int, version: int) -> pattern_pb2.Delta:
        """The same in lists, as anybody would write it first."""
        chosen = made.chosen[row]
        contents = list(made.contents(self._tastes[chosen], row))
        ids, rates, counts = made.added_ids[row], made.rates[row], made.counts[row]
        updated = made.updated_ids[row]
        if version == 0:
            updated = ids + updated[:16]
        return pattern_pb2.Delta(
            local_version=version + 1,
            patterns_added=[
                pattern_pb2.PatternAddition(
                    id=ids[16 * n : 16 * n + 16],
                    int8=self._int8[chosen[n]].tobytes(),
                    success_rate=rates[n] / 10_000,
                    sample_count=counts[n],
                    context=context_pb2.Context(
                        **made.circumstances(row, n),
                        genre_hints=[tastes.GENRE % (chosen[n] % tastes.GENRES)],
                        content_ids=[
                            tastes.TITLE % each
                            for each in contents[n * CONTENTS_PER_PATTERN :][
                                :CONTENTS_PER_PATTERN
                            ]
                        ],
                    ),
                )
                for n in range(ADDITIONS)
            ],
            patterns_updated=[
                pattern_pb2.PatternUpdate(
                    id=updated[16 * n : 16 * n + 16],
                    new_success_rate=rates[ADDITIONS + n] / 10_000,
                    additional_samples=counts[ADDITIONS + n],
                )
                for n in range(UPDATES)
            ],
        )

    def _genres_of(self, chosen: Sequence[int]) -> list[str]:
        return [self._genres[self._tastes[each] % tastes.GENRES] for each in chosen]


class _Dice:
    """All that is random about some requests, thrown at once."""

    def __init__(
        self, rng: np.random.Generator, numbers: NDArray[np.int64], n_stock: int
    ) -> None:
        count = len(numbers)
        entries = ADDITIONS + UPDATES
        self.device_ids = [bytes(each) for each in tvs.device_ids(numbers)]
        self.added_ids = _cut(rng.bytes(16 * ADDITIONS * count), count)
        places = np.tile(np.arange(UPDATES), count)
        updated = tvs.pattern_ids(np.repeat(numbers, UPDATES), places)
        self.updated_ids = _cut(updated.tobytes(), count)
        self.chosen = rng.integers(0, n_stock, (count, ADDITIONS)).tolist()
        self.rates = rng.integers(8_000, 10_001, (count, entries)).tolist()
        self.counts = rng.integers(1, 10, (count, entries)).tolist()
        self.times_of_day, self.days_of_week, self.content_types = (
            _cut(rng.integers(1, end, ADDITIONS * count, np.uint8).tobytes(), count)
            for end in (7, 10, 12)
        )
        steps = rng.integers(1, 8, (count, CONTENTS_PER_PATTERN)).cumsum(axis=1)
        steps[:, 0] = 0
        self._steps = steps.tolist()

    def circumstances(self, row: int, place: int) -> dict[str, Any]:
        return {
            "time_of_day": self.times_of_day[row][place],
            "day_of_week": self.days_of_week[row][place],
            "content_type": self.content_types[row][place],
        }

    def contents(self, taste: NDArray[np.int64], row: int) -> list[int]:
        return [
            (each * tastes.CONTENTS_PER_TASTE + step) % tastes.CONTENTS
            for each in taste.tolist()
            for step in self._steps[row]
        ]


def _cut(data: bytes, count: int) -> list[bytes]:
    size = len(data) // max(1, count)
    return [data[start : start + size] for start in range(0, len(data), size)]


def _http(wish: Wish, device_id: bytes, body: bytes) -> bytes:
    if wish.is_for_peer:
        path, authorization = "/sync", f"Token {peer_token(device_id)}"
    else:
        path, authorization = "/api/v1/sync", f"Device {_token(wish, device_id)}"
    head = _HEAD.format(path=path, authorization=authorization, length=len(body))
    return head.encode() + body


def peer_token(device_id: bytes) -> str:
    return device_id.hex()


def _token(wish: Wish, device_id: bytes) -> str:
    from shards import tokens

    return tokens.issue(
        device_id=UUID(bytes=device_id), shard_id=wish.shard_id, token_epoch=0
    ).token


if __name__ == "__main__":
    main()
