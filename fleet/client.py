"""The reference TV client: enrol, sync, and survive everything in between.

The whole of a TV's side of the contract is here and in ``outbox``; firmware authors
port these two modules. Section "what makes a sync exactly once" of the API
documentation is the other half.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import orjson
import zstandard

from fleet.backoff import Backoff
from fleet.outbox import PATTERNS_PER_SYNC, Outbox
from fleet.wire import LearnedPattern, Received

SYNC_PATH = "/api/v1/sync"

#: Smaller bodies don't earn the frame that compression puts around them.
COMPRESS_ABOVE_BYTES = 512

#: What a TV waits when the server says nothing about the next sync.
DEFAULT_NEXT_SYNC_SECONDS = 600.0

#: Answers that say "not now" and nothing about the request itself.
TRY_AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

#: Enrolling again gives a fresh token (401) and the right address (421).
ENROL_AGAIN_STATUSES = frozenset({401, 421})

#: Answers that say "never like this": the delta was not applied and won't be.
REFUSED_STATUSES = frozenset({400, 413, 415, 422})

#: A second start from scratch within one sync means that something else is wrong.
STARTS_OVER_PER_SYNC = 2


class FleetError(Exception):
    """A sync that came to nothing; ``code`` says why, for counting."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class GaveUp(FleetError):
    """Tried as often as the back-off allows. What was owed is still owed."""


class Refused(FleetError):
    """The server understood, and says no."""

    def __init__(self, response: httpx.Response) -> None:
        self.problem = _problem(response)
        self.status = response.status_code
        self.field: str | None = self.problem.get("field")
        detail = self.problem.get("detail") or self.problem.get("title") or ""
        super().__init__(
            f"{self.status} {detail}".strip(),
            code=self.problem.get("code", f"http_{self.status}"),
        )


class UnreadableReply(FleetError):
    """An answer that isn't what the contract says."""


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """One confirmed sync."""

    accepted: Mapping[str, int]
    #: Bodies as they crossed the wire, every attempt counted.
    bytes_up: int
    bytes_down: int
    attempts: int
    next_sync_seconds: float


@dataclass
class _Traffic:
    bytes_up: int = 0
    bytes_down: int = 0
    attempts: int = 0


@dataclass(kw_only=True)
class Client:
    """One TV's line to the server. Not for two threads at once."""

    server: str
    enrolment_key: str
    outbox: Outbox
    http: httpx.Client
    region: str | None = None
    model: str = "reference"
    firmware: str = "1"
    backoff: Backoff = field(default_factory=Backoff)
    #: Where the outbox is kept between two starts; None keeps it in memory only.
    state_path: Path | None = None
    patterns_per_sync: int = PATTERNS_PER_SYNC
    pause: Callable[[float], None] = time.sleep
    received: Received = field(default_factory=Received)
    next_sync_seconds: float = DEFAULT_NEXT_SYNC_SECONDS

    def enrol(self) -> None:
        """Get a token; for a TV that was here before, a fresh one."""
        body: dict[str, Any] = {
            "enrolment_key": self.enrolment_key,
            "device_id": str(self.outbox.device_id),
            "model": self.model,
            "firmware": self.firmware,
        }
        if self.region is not None:
            body["region"] = self.region

        response = self._send("POST", self._url("/api/v1/devices"), body, _Traffic())
        if response.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise Refused(response)
        reply = _json(response)
        try:
            self.outbox.token = reply["token"]
        except KeyError as exc:
            raise UnreadableReply("no token in the reply", code="no_token") from exc
        self.outbox.sync_url = reply.get("sync_url")
        self._save()

    def sync(self, patterns: Iterable[LearnedPattern]) -> SyncResult:
        """Tell the server what changed and hear what the fleet learned.

        1. An unconfirmed delta goes again as it was; otherwise a new one is made.
        2. It goes out until there is an answer.
        3. 401 or 421: enrol again, once, for a token and for where the shard answers.
           Another version: start over from the server's.
        4. Only the server's word confirms it, or gives its number free.
        """
        known = list(patterns)
        traffic = _Traffic()
        if self.outbox.token is None:
            self.enrol()
        enrolled_again = False
        starts_over = 0

        while True:
            response = self._send_delta(known, traffic)
            if response.status_code == HTTPStatus.OK:
                return self._take_in(response, traffic)
            if response.status_code in ENROL_AGAIN_STATUSES and not enrolled_again:
                self.enrol()
                enrolled_again = True
                continue
            version = self._server_version(response)
            if version is not None and starts_over < STARTS_OVER_PER_SYNC:
                self.outbox.start_over(server_version=version)
                starts_over += 1
                continue

            if response.status_code in REFUSED_STATUSES:
                self.outbox.discard()
                self._save()
            raise Refused(response)

    def leave(self) -> None:
        """Have the server forget this TV and all it ever sent."""
        url = self._url(f"/api/v1/devices/{self.outbox.device_id}")
        response = self._send("DELETE", url, None, _Traffic())
        if response.status_code != HTTPStatus.NO_CONTENT:
            raise Refused(response)
        self.outbox.token = None
        self.outbox.start_over(server_version=0)
        self.outbox.doubtful.clear()
        self._save()

    def _send_delta(
        self, known: list[LearnedPattern], traffic: _Traffic
    ) -> httpx.Response:
        pending = self.outbox.compose(known, limit=self.patterns_per_sync)
        # On disk before it is on the wire: a TV unplugged in between must send the
        # very same delta again, not another one under the same version.
        self._save()
        body: dict[str, Any] = {
            "device_id": str(self.outbox.device_id),
            "delta": pending.delta,
            "base_version": pending.base_version,
        }
        if self.received.global_version is not None:
            body["global_version"] = self.received.global_version
        return self._send("POST", self._sync_url(), body, traffic)

    def _take_in(self, response: httpx.Response, traffic: _Traffic) -> SyncResult:
        reply = _json(response)
        try:
            accepted = reply["accepted"]
            received = self.received.updated_with(reply["global"])
            answered_version = reply["local_version"]
        except (KeyError, TypeError, ValueError) as exc:
            raise UnreadableReply(
                f"the reply lacks or garbles {exc}", code="unreadable_reply"
            ) from exc

        self.outbox.confirm()
        if reply.get("resync"):
            self.outbox.start_over(server_version=answered_version)
        self._save()
        self.received = received
        self.next_sync_seconds = float(
            reply.get("next_sync_seconds", DEFAULT_NEXT_SYNC_SECONDS)
        )
        return SyncResult(
            accepted=accepted,
            bytes_up=traffic.bytes_up,
            bytes_down=traffic.bytes_down,
            attempts=traffic.attempts,
            next_sync_seconds=self.next_sync_seconds,
        )

    def _server_version(self, response: httpx.Response) -> int | None:
        """Return where the server stands, if that is what the answer is about."""
        problem = _problem(response)
        if response.status_code == HTTPStatus.CONFLICT:
            version = problem.get("local_version")
            return version if isinstance(version, int) else None
        if problem.get("code") == "version_reused" and self.outbox.pending:
            return self.outbox.pending.local_version
        return None

    def _send(
        self, method: str, url: str, body: dict[str, Any] | None, traffic: _Traffic
    ) -> httpx.Response:
        """Send until there is an answer about the request itself."""
        content, headers = _encoded(body)
        failures = 0
        while True:
            if self.outbox.token is not None:
                headers["Authorization"] = f"Device {self.outbox.token}"
            traffic.attempts += 1
            traffic.bytes_up += len(content)
            try:
                response = self.http.request(
                    method, url, content=content, headers=headers
                )
            except httpx.TransportError as exc:
                reason, code, retry_after = str(exc), _transport_code(exc), None
            except httpx.DecodingError as exc:
                raise UnreadableReply(str(exc), code="unreadable_reply") from exc
            else:
                traffic.bytes_down += response.num_bytes_downloaded
                if response.status_code not in TRY_AGAIN_STATUSES:
                    return response
                problem = Refused(response)
                reason, code = str(problem), problem.code
                retry_after = response.headers.get("Retry-After")

            failures += 1
            if failures >= self.backoff.attempts:
                raise GaveUp(f"after {failures} attempts: {reason}", code=code)
            self.pause(self.backoff.wait_seconds(failures, retry_after=retry_after))

    def _sync_url(self) -> str:
        """Return where this TV's shard answers; where it enrolled, unless told."""
        url = urljoin(self.server, self.outbox.sync_url or "")
        return url if url.endswith(SYNC_PATH) else url.rstrip("/") + SYNC_PATH

    def _url(self, path: str) -> str:
        return self.server.rstrip("/") + path

    def _save(self) -> None:
        if self.state_path is not None:
            self.outbox.save(self.state_path)


def _encoded(body: dict[str, Any] | None) -> tuple[bytes, dict[str, str]]:
    headers = {"Accept": "application/json", "Accept-Encoding": "zstd, gzip"}
    if body is None:
        return b"", headers

    content = orjson.dumps(body)
    headers["Content-Type"] = "application/json"
    if len(content) > COMPRESS_ABOVE_BYTES:
        content = zstandard.compress(content)
        headers["Content-Encoding"] = "zstd"
    return content, headers


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        reply = orjson.loads(response.content)
    except orjson.JSONDecodeError as exc:
        raise UnreadableReply(
            f"the reply isn't JSON: {exc}", code="unreadable_reply"
        ) from exc
    if not isinstance(reply, dict):
        raise UnreadableReply("the reply isn't an object", code="unreadable_reply")
    return reply


def _problem(response: httpx.Response) -> dict[str, Any]:
    """Return what the server says went wrong; empty if that isn't a problem+json."""
    try:
        return _json(response)
    except UnreadableReply:
        return {}


def _transport_code(exc: httpx.TransportError) -> str:
    """Name a failed exchange for counting: ``connect_error``, ``read_timeout``…"""
    name = type(exc).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
