"""The deltas that the wire budget speaks of, from TVs that could be real."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from uuid import UUID

import zstandard

from benchmarks.wire.life import Town, for_each
from benchmarks.wire.televisions import Exchange, Television
from constellation.v1 import sync_pb2
from fleet.dictionary import Dictionary
from fleet.json_wire import JsonWire
from fleet.protobuf_wire import ProtobufWire
from fleet.wire import Changes, Growth, LearnedPattern, Sync

#: The two cases: so many new patterns as codes, or as int8.
NEW_AS_CODES, NEW_AS_INT8 = 10, 2
UPDATED = REMOVED = 5

#: So many more that stay as they are: a TV of some years names 80 contents.
UNCHANGED = 20

#: A pattern that grew was watched a few times more.
GROWTH_MOST = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """One delta as codes, one as int8, and the first as JSON under zstd."""

    television: Television
    #: The patterns that travelled as codes.
    patterns: Sequence[LearnedPattern]
    coded: Exchange
    int8: Exchange
    json_request: bytes

    @property
    def names_bytes(self) -> int:
        """What names take in the coded delta: items whose ordinals the TV lacks."""
        message = sync_pb2.SyncRequest.FromString(self.coded.request)
        return sum(2 + len(name.encode()) for name in message.delta.packed.names)

    @property
    def json_bytes(self) -> int:
        return len(self.json_request)


def send_cases(town: Town, *, seed: int, count: int) -> list[Case]:
    """Have new TVs send them. Raises FleetError if the server refuses one."""
    rng = Random(seed)
    everyone = [
        pattern
        for tv in (*town.residents, *town.latecomers)
        for pattern in tv.brain.patterns()
    ]
    # Of the others, a TV sends none beside these.
    pool = ProtobufWire(town.dictionary).alike(everyone)
    random_ids = _random_ids(rng)
    televisions = [town.shop.television(next(random_ids)) for _ in range(count)]
    plans = {tv.device_id: _Plan.drawn(pool, rng, random_ids) for tv in televisions}
    cases: list[Case] = []

    def send(tv: Television) -> None:
        cases.append(_send(tv, plans[tv.device_id], town))

    for_each(televisions, send)
    return cases


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What one TV tells, in this order."""

    known: Sequence[LearnedPattern]
    coded: Sequence[LearnedPattern]
    int8: Sequence[LearnedPattern]
    growths: Sequence[int]

    @classmethod
    def drawn(
        cls, pool: Sequence[LearnedPattern], rng: Random, ids: Iterator[UUID]
    ) -> _Plan:
        sizes = (2 * (UPDATED + REMOVED) + UNCHANGED, NEW_AS_CODES, NEW_AS_INT8)
        drawn = [replace(each, id=next(ids)) for each in rng.sample(pool, sum(sizes))]
        return cls(
            known=drawn[: sizes[0]],
            coded=drawn[sizes[0] : sizes[0] + sizes[1]],
            int8=drawn[sizes[0] + sizes[1] :],
            growths=[rng.randint(1, GROWTH_MOST) for _ in range(2 * UPDATED)],
        )


def _send(tv: Television, plan: _Plan, town: Town) -> Case:
    with_codes = ProtobufWire(town.dictionary)
    without_codebook = ProtobufWire(Dictionary(items=town.dictionary.items))
    held = town.global_version
    tv.exchange(
        with_codes, Changes(added=plan.known, local_version=tv.next_version), held=held
    )
    before = tv.client.outbox.confirmed_version
    changes = _changes(tv, plan, plan.coded, part=0)
    coded = tv.exchange(with_codes, changes, held=held)
    json = JsonWire()
    in_json = json.write_sync(
        Sync(
            device_id=tv.device_id,
            delta=json.write_delta(changes),
            base_version=before,
            global_version=held,
        )
    )
    return Case(
        television=tv,
        patterns=plan.coded,
        coded=coded,
        json_request=zstandard.compress(in_json),
        int8=tv.exchange(
            without_codebook, _changes(tv, plan, plan.int8, part=1), held=held
        ),
    )


def _changes(
    tv: Television, plan: _Plan, added: Sequence[LearnedPattern], *, part: int
) -> Changes:
    """New patterns, with updates and removals of half of those known before."""
    known = plan.known[part * (UPDATED + REMOVED) : (part + 1) * (UPDATED + REMOVED)]
    growths = plan.growths[part * UPDATED : (part + 1) * UPDATED]
    return Changes(
        added=added,
        grown=[
            Growth(id=pattern.id, watched_count=count, liked_count=max(1, count - 1))
            for pattern, count in zip(known[:UPDATED], growths, strict=True)
        ],
        removed=[pattern.id for pattern in known[UPDATED:]],
        local_version=tv.next_version,
    )


def _random_ids(rng: Random) -> Iterator[UUID]:
    """As random as TVs make them, and the same in every run."""
    while True:
        yield UUID(int=rng.getrandbits(128), version=4)
