"""TVs that are looked at from outside: what crosses their wire, byte by byte."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from uuid import UUID

import httpx

from fleet.backoff import Backoff
from fleet.brain import Brain
from fleet.bundles import Library
from fleet.client import PROTOBUF, SYNC_PATH, Client, Wire
from fleet.dictionary import Dictionary
from fleet.errors import Refused
from fleet.line import Line
from fleet.outbox import Outbox
from fleet.wire import Changes, Sync

#: A TV of some years: numbers take the bytes that they will take then.
YEARS_OF_SYNCS = 100_000

BACKOFF = Backoff(base_seconds=0.2, cap_seconds=5.0, attempts=6, rng=Random(0))


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One sync as it crossed the wire, and without what compressed it."""

    request: bytes
    bytes_up: int
    reply: bytes
    bytes_down: int


@dataclass(kw_only=True)
class Television:
    client: Client
    brain: Brain

    @property
    def device_id(self) -> UUID:
        return self.client.outbox.device_id

    @property
    def dictionary(self) -> Dictionary:
        return self.client.dictionary

    def exchange(
        self, wire: Wire, changes: Changes | None = None, *, held: int | None = None
    ) -> Exchange:
        """Send one delta; ``held`` is the publication it says it holds.

        Raises FleetError if the server refuses it.
        """
        outbox = self.client.outbox
        changes = changes or Changes(local_version=self.next_version)
        sync = Sync(
            device_id=outbox.device_id,
            delta=wire.write_delta(changes),
            base_version=outbox.confirmed_version,
            global_version=held,
        )
        request = wire.write_sync(sync)
        line = Line(http=self.client.http, backoff=BACKOFF)
        response = line.send(
            "POST",
            self.client.server + SYNC_PATH,
            content=request,
            headers={
                "Accept": wire.media_type,
                "Content-Type": wire.media_type,
                "Authorization": f"Device {outbox.token}",
            },
        )
        if response.status_code != httpx.codes.OK:
            raise Refused(response)
        outbox.confirmed_version = changes.local_version
        traffic, attempts = line.traffic, line.traffic.attempts
        return Exchange(
            request=request,
            bytes_up=traffic.bytes_up // attempts,
            reply=response.content,
            bytes_down=response.num_bytes_downloaded,
        )

    @property
    def next_version(self) -> int:
        return max(self.client.outbox.confirmed_version + 1, YEARS_OF_SYNCS)

    def tell_everything(self) -> None:
        """Sync as TVs do, until nothing is owed."""
        patterns = self.brain.patterns()
        self.client.sync(patterns)
        while self.client.outbox.owes(patterns):
            self.client.sync(patterns)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Where TVs come from: all have one server, one library, one pool."""

    server: str
    enrolment_key: str
    http: httpx.Client
    library: Library

    def television(self, device_id: UUID) -> Television:
        """A TV that is switched on and enrolled."""
        client = Client(
            server=self.server,
            enrolment_key=self.enrolment_key,
            outbox=Outbox(device_id=device_id),
            http=self.http,
            wire=PROTOBUF,
            dictionary=Dictionary(self.library),
            backoff=BACKOFF,
        )
        client.enrol()
        return Television(client=client, brain=Brain(household_id=device_id))


def leave(televisions: Iterable[Television]) -> None:
    """Have the server forget them."""
    for television in televisions:
        television.client.leave()
