"""What reading and writing one sync costs the server: one core, nothing else.

A program of its own, since it needs the server's settings and one thread: ``measure``
runs it in an installation's environment and gives it bodies that TVs have sent.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.installation import Installation
from benchmarks.wire.cases import Case

if TYPE_CHECKING:
    from sync.messages import SyncReply, Wishes

REPEATS = 25

#: A TV comes back after 300 to 900 seconds.
SYNCS_PER_HOUR = 6

BODIES = 40

#: As TVs say it.
ACCEPT_ENCODING = "zstd, gzip"

#: So that one core is one core.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Microseconds of one core a sync; medians over the repeats."""

    #: A delta of ten coded patterns, five updates, five removals.
    read: float
    #: A reply with everything, compact.
    write: float
    #: An empty delta, and a reply with nothing new.
    read_empty: float
    write_unchanged: float
    #: The same delta and reply in JSON, zstd both ways.
    json: float

    @property
    def dearest(self) -> float:
        """Much to say on both sides."""
        return self.read + self.write

    @property
    def per_sync(self) -> float:
        """The mean of an hour: six syncs, one of them answered with news.

        Each time the TV has ten new patterns, as if it were watched day and night.
        """
        rest = SYNCS_PER_HOUR - 1
        return self.read + (self.write + rest * self.write_unchanged) / SYNCS_PER_HOUR


def measure(installation: Installation, cases: Sequence[Case]) -> Cost:
    """Time the bodies of these cases in a process of its own."""
    bodies = [
        {
            "device_id": str(case.television.device_id),
            "protobuf": base64.b64encode(case.coded.request).decode(),
            "json": base64.b64encode(case.json_request).decode(),
        }
        for case in cases[:BODIES]
    ]
    said = installation.python(
        *("-m", "benchmarks.wire.codec"),
        given=json.dumps(bodies).encode(),
        **ONE_THREAD,
    )
    return Cost(**said)


def _main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "constellation_site.settings")
    import django

    django.setup()
    samples = [_Sample.of(each) for each in json.load(sys.stdin)]
    print(json.dumps(_cost(samples)))


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """One sync, with everything that isn't reading and writing done before."""

    protobuf: bytes
    json: bytes
    empty: bytes
    source: Any
    reply: SyncReply
    unchanged: SyncReply
    wishes: Wishes

    @classmethod
    def of(cls, body: dict[str, str]) -> _Sample:
        from dataclasses import replace
        from uuid import UUID

        from federation import holding
        from federation.publication import LoadedPublication
        from patterns import selectors
        from patterns.delta import Accepted
        from shards.databases import shard_alias
        from shards.models import DeviceHome
        from sync import answer, protobuf_wire
        from sync.messages import SyncReply

        device_id = UUID(body["device_id"])
        home = DeviceHome.objects.get(pk=device_id)
        alias = shard_alias(home.shard_id)
        publication = holding.current(alias)

        def source(_held: int) -> LoadedPublication:
            return publication

        protobuf = base64.b64decode(body["protobuf"])
        request = protobuf_wire.read_sync(protobuf, source)
        tastes = selectors.tastes_of(alias, device_id)
        (similar,) = answer.similar(publication, [tastes])
        reply = SyncReply(
            global_version=publication.version,
            codebook_version=publication.codebooks.current,
            news=answer.news(publication, tastes, similar=similar, region="global"),
            accepted=Accepted(stored=10, filtered=0, updated=5, removed=5),
            local_version=request.delta.local_version,
            next_sync_seconds=450,
        )
        return cls(
            protobuf=protobuf,
            json=base64.b64decode(body["json"]),
            empty=_without_delta(protobuf),
            source=source,
            reply=reply,
            unchanged=replace(reply, news=None),
            wishes=request.wishes,
        )


def _without_delta(body: bytes) -> bytes:
    from constellation.v1 import sync_pb2

    message = sync_pb2.SyncRequest.FromString(body)
    message.delta.ClearField("packed")
    return message.SerializeToString()


def _cost(samples: Sequence[_Sample]) -> dict[str, float]:
    from sync import encodings, json_wire, parsers, protobuf_wire

    def in_json(s: _Sample) -> None:
        document = parsers.loads(encodings.inflate(s.json, "zstd"))
        request = json_wire.read_sync(document, s.source)
        body = json_wire.write_sync(s.reply, request.wishes)
        encodings.encode(body, ACCEPT_ENCODING)

    parts: dict[str, Callable[[_Sample], object]] = {
        "read": lambda s: protobuf_wire.read_sync(s.protobuf, s.source),
        "write": lambda s: protobuf_wire.write_sync(s.reply, s.wishes),
        "read_empty": lambda s: protobuf_wire.read_sync(s.empty, s.source),
        "write_unchanged": lambda s: protobuf_wire.write_sync(s.unchanged, s.wishes),
        "json": in_json,
    }
    runs: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(REPEATS):
        # Taking turns, so that a busy machine disturbs all alike.
        for name, part in parts.items():
            started = time.thread_time()
            for sample in samples:
                part(sample)
            seconds = time.thread_time() - started
            runs[name].append(seconds / len(samples) * 1e6)
    return {name: statistics.median(times) for name, times in runs.items()}


if __name__ == "__main__":
    _main()
