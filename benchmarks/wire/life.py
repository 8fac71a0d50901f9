"""What happens before anything is measured: a catalogue, TVs, two rounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import numpy as np
import orjson
import zstandard

from benchmarks.installation import Installation
from benchmarks.wire.households import PORTIONS, Fleet
from benchmarks.wire.televisions import Shop, Television
from fleet import parallel
from fleet.bundles import Address, Library
from fleet.dictionary import Dictionary
from fleet.door import open_pool

#: One household in so many is switched on when the rounds are over: neither cells nor
#: codebook know its patterns.
LATECOMERS_EVERY = 10

CONTENTS_PER_REQUEST = 50
THREADS = 8
REQUEST_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Town:
    """A fleet that has lived, and been told what it learned."""

    fleet: Fleet
    shop: Shop
    global_version: int
    #: Households that were there for both rounds.
    residents: Sequence[Television]
    latecomers: Sequence[Television]
    #: As a TV has it that has read up.
    dictionary: Dictionary

    def for_each(
        self, televisions: Sequence[Television], work: Callable[[Television], None]
    ) -> None:
        for_each(televisions, work)


@contextmanager
def open_shop(installation: Installation, name: str) -> Iterator[Shop]:
    batch = installation.command("enrolment_batch", "create", name)
    with open_pool(connections=THREADS) as http:
        http.timeout = httpx.Timeout(REQUEST_SECONDS)
        yield Shop(
            server=installation.url,
            enrolment_key=batch["enrolment_key"],
            http=http,
            library=Library(),
        )


def live(installation: Installation, shop: Shop, fleet: Fleet, say: Say) -> Town:
    """Publish the catalogue, let households watch and sync, and run the rounds."""
    say(f"{len(fleet.catalogue)} contents for the catalogue")
    _publish_catalogue(installation, fleet)
    households = list(enumerate(fleet.households))
    early = [h for h in households if h[0] % LATECOMERS_EVERY]
    late = [h for h in households if h[0] % LATECOMERS_EVERY == 0]

    residents = [shop.television(uuid4()) for _ in early]
    for portion in range(PORTIONS):
        say(f"{len(residents)} TVs before round {portion + 1}")
        for tv, (_, portions) in zip(residents, early, strict=True):
            tv.brain.watch(portions[portion])
        for_each(residents, Television.tell_everything)
        report = installation.command("federate")
        say(f"round {portion + 1}: {report['patterns_aggregated']} global patterns")

    version = int(report["global_version"])
    dictionary = _read_up(shop, version)
    latecomers = [shop.television(uuid4()) for _ in late]
    for tv, (_, portions) in zip(latecomers, late, strict=True):
        for viewings in portions:
            tv.brain.watch(viewings)
    return Town(
        fleet=fleet,
        shop=shop,
        global_version=version,
        residents=residents,
        latecomers=latecomers,
        dictionary=dictionary,
    )


def for_each(
    televisions: Sequence[Television], work: Callable[[Television], object]
) -> None:
    """Do it for every TV, a few at a time; the first error ends all."""

    def each(television: Television) -> None:
        work(television)

    parallel.for_each(televisions, each, threads=THREADS, stop=threading.Event())


def _publish_catalogue(installation: Installation, fleet: Fleet) -> None:
    """Post it as an operator does."""
    operator = installation.command("operator", "create", "bench", "--role", "operator")
    catalogue = fleet.catalogue
    documents = [
        {"content_id": name, "title": name, "embedding": np.ascontiguousarray(vector)}
        for name, vector in zip(
            catalogue.content_ids, catalogue.embeddings, strict=True
        )
    ]
    with httpx.Client(timeout=REQUEST_SECONDS, trust_env=False) as http:
        for start in range(0, len(documents), CONTENTS_PER_REQUEST):
            body = orjson.dumps(
                documents[start : start + CONTENTS_PER_REQUEST],
                option=orjson.OPT_SERIALIZE_NUMPY,
            )
            http.post(
                f"{installation.url}/api/v1/content",
                content=zstandard.compress(body),
                headers={
                    "Authorization": f"Token {operator['token']}",
                    "Content-Type": "application/json",
                    "Content-Encoding": "zstd",
                },
            ).raise_for_status()


def _read_up(shop: Shop, version: int) -> Dictionary:
    """Fetch codebook and items as a TV does, verified."""

    def get(url: str) -> bytes:
        response = shop.http.get(url)
        response.raise_for_status()
        return response.content

    manifest = f"{shop.server}/api/v1/publications/{version}/manifest"
    dictionary = Dictionary(shop.library)
    dictionary.read_up(Address.of(manifest, version), get, with_items=True)
    return dictionary


def uuids(count: int) -> list[UUID]:
    return [uuid4() for _ in range(count)]
