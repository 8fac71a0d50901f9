"""The reference TV client: enrol, sync, and survive everything in between.

The whole of a TV's side of the contract is here and in ``outbox``; firmware authors
port these two modules, and of ``protobuf_wire``, ``dictionary`` and ``codebook`` what
their language doesn't have. "Exactly once" in ``docs/tv.md`` is the other half.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin

import httpx

from fleet.backoff import Backoff
from fleet.bundles import Address
from fleet.dictionary import Dictionary
from fleet.errors import (
    FleetError,
    GaveUp,
    Refused,
    UnreadableReply,
    json_of,
    problem_of,
)
from fleet.json_wire import JsonWire
from fleet.line import Line
from fleet.news import News, Received, Reply
from fleet.outbox import PATTERNS_PER_SYNC, Outbox, Pending
from fleet.protobuf_wire import ProtobufWire
from fleet.wire import Changes, Enrolled, Enrolment, LearnedPattern, Sync

SYNC_PATH = "/api/v1/sync"

#: What a TV waits when the server says nothing about the next sync.
DEFAULT_NEXT_SYNC_SECONDS = 600.0

#: Whatever the server says: never in a hot loop, and never nearly for ever.
NEXT_SYNC_SECONDS_MIN, NEXT_SYNC_SECONDS_MAX = 1.0, 24 * 3600.0

#: A sync doesn't wait longer for a bundle, whatever a cache says: it can do without.
BUNDLE_WAIT_SECONDS_MAX = 5.0

#: Versions are counted in 63 bits; what isn't one must not get into the outbox.
VERSION_MAX = 2**63 - 1

#: Enrolling again gives a fresh token (401) and the right address (421).
ENROL_AGAIN_STATUSES = frozenset({401, 421})

#: Answers about who asks, not about what is asked for.
NOT_LET_IN_STATUSES = ENROL_AGAIN_STATUSES | {403}

#: Answers that say "never like this": the delta was not applied and won't be.
REFUSED_STATUSES = frozenset({400, 413, 415, 422})

#: A second start from scratch within one sync means that something else is wrong.
STARTS_OVER_PER_SYNC = 2

JSON, PROTOBUF = "json", "protobuf"
WIRES = (JSON, PROTOBUF)
DEFAULT_WIRE = PROTOBUF


class Wire(Protocol):
    """A way of writing what TVs and servers say."""

    @property
    def media_type(self) -> str: ...

    def write_enrolment(self, enrolment: Enrolment) -> bytes: ...

    def read_enrolment(self, content: bytes) -> Enrolled: ...

    def alike(self, patterns: Sequence[LearnedPattern]) -> Sequence[LearnedPattern]:
        """Choose those that go in one delta, some of them at least."""
        ...

    def write_delta(self, changes: Changes) -> bytes: ...

    def write_sync(self, sync: Sync) -> bytes: ...

    def read_sync(self, content: bytes) -> Reply: ...


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """One confirmed sync."""

    accepted: Mapping[str, int]
    #: Bodies as they crossed the wire, every attempt counted.
    bytes_up: int
    bytes_down: int
    attempts: int
    next_sync_seconds: float


def _ignore(_trouble: FleetError) -> None:
    """A TV goes on with what it has."""


@dataclass(kw_only=True)
class Client:
    """One TV's line to the server. Not for two threads at once."""

    server: str
    enrolment_key: str
    outbox: Outbox
    http: httpx.Client
    wire: str = DEFAULT_WIRE
    region: str | None = None
    model: str = "reference"
    firmware: str = "1"
    backoff: Backoff = field(default_factory=Backoff)
    #: Where the outbox is kept between two starts; None keeps it in memory only.
    state_path: Path | None = None
    patterns_per_sync: int = PATTERNS_PER_SYNC
    pause: Callable[[float], None] = time.sleep
    received: Received = field(default_factory=Received)
    dictionary: Dictionary = field(default_factory=Dictionary)
    #: Hears of bundles that couldn't be had; no sync fails for them.
    on_trouble: Callable[[FleetError], None] = _ignore
    next_sync_seconds: float = DEFAULT_NEXT_SYNC_SECONDS

    def __post_init__(self) -> None:
        self._is_lost = False
        #: What the server said last about when to come back.
        self._pace_seconds = self.next_sync_seconds
        self._wires: dict[str, Wire] = {
            JSON: JsonWire(),
            PROTOBUF: ProtobufWire(self.dictionary),
        }

    def enrol(self, *, attempts: int | None = None) -> None:
        """Get a token; for a TV that was here before, a fresh one."""
        wire = self._wires[self.wire]
        enrolment = Enrolment(
            enrolment_key=self.enrolment_key,
            device_id=self.outbox.device_id,
            region=self.region,
            model=self.model,
            firmware=self.firmware,
        )

        line = self._line()
        line.backoff = replace(self.backoff, attempts=attempts or self.backoff.attempts)
        response = line.send(
            "POST",
            self._url("/api/v1/devices"),
            content=wire.write_enrolment(enrolment),
            headers=_spoken(wire),
        )
        if response.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise Refused(response)
        enrolled = wire.read_enrolment(response.content)
        if not _is_address(urljoin(self.server, enrolled.sync_url or "")):
            raise UnreadableReply(f"{enrolled.sync_url} is no address to sync at")
        self.outbox.token = enrolled.token
        self.outbox.sync_url = enrolled.sync_url
        self._save()

    def sync(self, patterns: Iterable[LearnedPattern]) -> SyncResult:
        """Tell the server what changed and hear what the fleet learned.

        1. An unconfirmed delta goes again as it was; otherwise a new one is made.
        2. It goes out until there is an answer.
        3. 401 or 421: enrol again, once, for a token and for where the shard answers.
           Another version: start over from the server's. An unknown codebook: write
           the same anew, once, with the server's or without any.
        4. Only the server's word confirms it, or gives its number free.
        """
        known = list(patterns)
        line = self._line()
        if self.outbox.token is None:
            self.enrol()
        elif self._is_lost:
            self._ask_the_way()
        enrolled_again = False
        written_anew = False
        starts_over = 0

        while True:
            if self._needs_codebook:
                self._read_up()
            pending = self._pending(known)
            response = self._send_delta(pending, line)
            if response.status_code == HTTPStatus.OK:
                return self._take_in(pending, response, line)
            if response.status_code in ENROL_AGAIN_STATUSES and not enrolled_again:
                self.enrol()
                enrolled_again = True
                continue
            version = self._server_version(response)
            if version is not None and starts_over < STARTS_OVER_PER_SYNC:
                self.outbox.start_over(server_version=version)
                starts_over += 1
                continue
            if _is_codebook_unknown(response) and not written_anew:
                # If it was applied before, and only the answer was lost, then this
                # number is used with other content: the server says so, and above it
                # everything is told again.
                self.outbox.discard()
                self._renew_codebook(response)
                written_anew = True
                continue

            if response.status_code in REFUSED_STATUSES:
                self.outbox.discard()
                self.dictionary.is_put_aside = True
                self._save()
            raise Refused(response)

    def leave(self) -> None:
        """Have the server forget this TV and all it ever sent."""
        url = self._url(f"/api/v1/devices/{self.outbox.device_id}")
        response = self._line().send("DELETE", url, headers=self._authorization())
        if response.status_code != HTTPStatus.NO_CONTENT:
            raise Refused(response)
        self.outbox.token = None
        self.outbox.start_over(server_version=0)
        self.outbox.doubtful.clear()
        self._save()

    def _pending(self, known: list[LearnedPattern]) -> Pending:
        pending = self.outbox.compose(
            known,
            wire=self.wire,
            alike=self._wires[self.wire].alike,
            write=self._wires[self.wire].write_delta,
            limit=self.patterns_per_sync,
        )
        # On disk before it is on the wire: a TV unplugged in between must send the
        # very same delta again, not another one under the same version.
        self._save()
        return pending

    def _send_delta(self, pending: Pending, line: Line) -> httpx.Response:
        wire = self._wires[pending.wire]
        sync = Sync(
            device_id=self.outbox.device_id,
            delta=pending.content,
            base_version=pending.base_version,
            global_version=self.received.global_version,
        )
        try:
            return line.send(
                "POST",
                self._sync_url(),
                content=wire.write_sync(sync),
                headers=_spoken(wire) | self._authorization(),
            )
        except GaveUp as exc:
            self._is_lost = not exc.is_answered
            self.next_sync_seconds = _sensible(
                self.backoff.next_sync_seconds(self._pace_seconds)
            )
            raise

    def _ask_the_way(self) -> None:
        """Nobody answers: the shard may have moved, and only enrolling tells."""
        with suppress(FleetError):  # then as before
            self.enrol(attempts=1)

    def _take_in(
        self, pending: Pending, response: httpx.Response, line: Line
    ) -> SyncResult:
        reply = self._wires[pending.wire].read_sync(response.content)
        self.outbox.confirm()
        self._is_lost = False
        self.dictionary.is_put_aside = False
        if reply.resync and 0 <= reply.local_version < VERSION_MAX:
            self.outbox.start_over(server_version=reply.local_version)
        self._save()
        self._pace_seconds = _sensible(reply.next_sync_seconds)
        self.next_sync_seconds = self._pace_seconds
        if reply.trouble is not None:
            self.on_trouble(reply.trouble)
        if reply.news is not None:
            self._hear(reply.news)
        if self.wire == PROTOBUF and (
            reply.codebook_version > self.dictionary.codebook_version
        ):
            self._read_up()
        return SyncResult(
            accepted=reply.accepted,
            bytes_up=line.traffic.bytes_up,
            bytes_down=line.traffic.bytes_down,
            attempts=line.traffic.attempts,
            next_sync_seconds=self.next_sync_seconds,
        )

    def _hear(self, news: News) -> None:
        """Keep what is new. If its items can't be named, it is asked for next time."""
        is_readable = news.is_readable_with(self.dictionary.items)
        if not is_readable and not self._read_up(with_items=True):
            return
        self.received = news.named_by(self.dictionary.items)

    @property
    def _needs_codebook(self) -> bool:
        """Without one, the answer with the first news would be ten times as long."""
        return self.wire == PROTOBUF and self.dictionary.codebook is None

    def _renew_codebook(self, refusal: httpx.Response) -> None:
        """Have the codebook that the server calls the current one, or do without.

        It may know less than a cache, while it is still reading what was published.
        """
        current = problem_of(refusal).get("codebook_version")
        if isinstance(current, int) and current > self.dictionary.codebook_version:
            self._read_up()
        self.dictionary.is_put_aside = self.dictionary.codebook_version != current

    def _read_up(self, *, with_items: bool = False) -> bool:
        """Fetch what the dictionary lacks; say whether that went well."""
        try:
            address = self._current_publication()
            if address is not None:
                self.dictionary.read_up(address, self._get, with_items=with_items)
        except FleetError as trouble:
            # A token that has ended is for the sync to find out, and to mend.
            if getattr(trouble, "status", None) not in NOT_LET_IN_STATUSES:
                self.on_trouble(trouble)
            return False
        return True

    def _current_publication(self) -> Address | None:
        """Ask the TV's own shard which publication is out; None before the first."""
        url = self._sync_url().removesuffix("sync") + "publications/current"
        current = json_of(self._get(url, headers=self._authorization()))
        if not current.get("global_version"):
            return None
        try:
            return Address.of(current["urls"]["manifest"], current["global_version"])
        except (AttributeError, KeyError, TypeError) as exc:
            raise UnreadableReply(f"the current publication lacks {exc}") from exc

    def _get(self, url: str, *, headers: Mapping[str, str] | None = None) -> bytes:
        line = self._line(longest_wait_seconds=BUNDLE_WAIT_SECONDS_MAX)
        response = line.send("GET", url, headers=headers or {})
        if response.status_code != HTTPStatus.OK:
            raise Refused(response)
        return response.content

    def _server_version(self, response: httpx.Response) -> int | None:
        """Return where the server stands, if that is what the answer is about."""
        problem = problem_of(response)
        if response.status_code == HTTPStatus.CONFLICT:
            version = problem.get("local_version")
            is_version = isinstance(version, int) and 0 <= version < VERSION_MAX
            return version if is_version else None
        if problem.get("code") == "version_reused" and self.outbox.pending:
            return self.outbox.pending.local_version
        return None

    def _line(self, *, longest_wait_seconds: float = math.inf) -> Line:
        return Line(
            http=self.http,
            backoff=self.backoff,
            pause=self.pause,
            longest_wait_seconds=longest_wait_seconds,
        )

    def _authorization(self) -> dict[str, str]:
        token = self.outbox.token
        return {} if token is None else {"Authorization": f"Device {token}"}

    def _sync_url(self) -> str:
        """Return where this TV's shard answers; where it enrolled, unless told."""
        url = urljoin(self.server, self.outbox.sync_url or "")
        return url if url.endswith(SYNC_PATH) else url.rstrip("/") + SYNC_PATH

    def _url(self, path: str) -> str:
        return self.server.rstrip("/") + path

    def _save(self) -> None:
        if self.state_path is not None:
            self.outbox.save(self.state_path)


def _sensible(seconds: float | None) -> float:
    if seconds is None or not math.isfinite(seconds):
        return DEFAULT_NEXT_SYNC_SECONDS
    return min(max(seconds, NEXT_SYNC_SECONDS_MIN), NEXT_SYNC_SECONDS_MAX)


def _is_address(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def _spoken(wire: Wire) -> dict[str, str]:
    return {"Accept": wire.media_type, "Content-Type": wire.media_type}


def _is_codebook_unknown(response: httpx.Response) -> bool:
    return problem_of(response).get("code") == "codebook_unknown"
