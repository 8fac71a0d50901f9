"""Vega, as a TV sees it: a small server on a real socket, with faults on demand.

It keeps the contract's promises in the plainest way, so that what it ends up holding
can be held against what the TV's brain knows. What TVs send in protobuf it keeps as
JSON would say it.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zstandard

from constellation.v1 import sync_pb2
from tests.fleet import tongues
from tests.fleet.press import printed

KEY = "vega-key"

BINARY = "application/protobuf"

CURRENT = "publications/current"


@dataclass(frozen=True)
class Fault:
    """What befalls the next request; ``is_applied`` says whether before or after."""

    status: int | None = None  # None: the line goes dead
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    is_applied: bool = False


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    #: As it crossed the wire, and without its Content-Encoding.
    raw: bytes
    content: bytes
    body: dict[str, Any]

    @property
    def is_binary(self) -> bool:
        return self.headers.get("content-type") == BINARY

    @property
    def delta_bytes(self) -> bytes:
        """The delta of a binary sync, as it came."""
        request = sync_pb2.SyncRequest.FromString(self.content)
        return request.delta.SerializeToString()


LOST_REQUEST = Fault()
LOST_REPLY = Fault(is_applied=True)


@dataclass
class Home:
    """What is kept of one TV."""

    token: str = ""
    version: int = 0
    last_delta: dict[str, Any] = field(default_factory=dict)
    applied_count: int = 0
    #: id → (success rate, samples).
    rows: dict[str, tuple[float, int]] = field(default_factory=dict)


class Vega:
    def __init__(self) -> None:
        self.homes: defaultdict[str, Home] = defaultdict(Home)
        self.requests: list[Seen] = []
        self.reply_sizes: list[int] = []
        #: For the next requests, in order; None lets one through.
        self.faults: deque[Fault | None] = deque()
        self.news: dict[str, Any] = {"global_version": 0}
        self.encoding = "identity"
        self.tokens_given = 0
        self.asks_for_resync = False
        self.sync_url: str | None = None
        self.next_sync_seconds = 432
        #: Item by ordinal, and codebooks that are understood, by version.
        self.items: dict[int, str] = {}
        self.codebooks: dict[int, bytes] = {}
        #: Bundles by path, below /api/v1/.
        self.bundles: dict[str, bytes] = {}
        self.published_version = 0

        self._lock = threading.Lock()
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._httpd.server_address[1]}"

    @property
    def home(self) -> Home:
        """The only TV's, where there is only one."""
        [home] = self.homes.values()
        return home

    @property
    def syncs(self) -> list[Seen]:
        return [seen for seen in self.requests if seen.path == "/api/v1/sync"]

    @property
    def looks(self) -> list[Seen]:
        """When somebody asked how the server is, and which version is out."""
        return [seen for seen in self.requests if seen.path == "/api/v1/info"]

    @property
    def fetched(self) -> list[str]:
        """The paths of bundles that somebody asked for."""
        bundles = ("/api/v1/publications/", "/api/v1/codebooks/")
        paths = [s.path for s in self.requests if s.path.startswith(bundles)]
        return [p.removeprefix("/api/v1/") for p in paths if not p.endswith("/current")]

    def publish(self, version: int, **printing: Any) -> None:
        """Publish items and codebooks; ``news`` are left to the test."""
        self.published_version = version
        self.bundles |= printed(
            version, items=self.items, codebooks=self.codebooks, **printing
        )

    def next_fault(self) -> Fault | None:
        with self._lock:
            return self.faults.popleft() if self.faults else None

    def read(
        self, path: str, headers: dict[str, str], content: bytes
    ) -> dict[str, Any]:
        if headers.get("content-type") != BINARY:
            body: dict[str, Any] = json.loads(content) if content else {}
            return body
        if path.endswith("/devices"):
            return tongues.enrolment_in_json(content)
        return tongues.sync_in_json(content, self.items)

    def written(self, seen: Seen, status: int, answer: dict[str, Any]) -> bytes:
        """Answer in protobuf whom that succeeds, and everybody else in JSON."""
        if status == 204:
            return b""
        if seen.headers.get("accept") != BINARY or status not in (200, 201):
            return json.dumps(answer).encode()
        if seen.path == "/api/v1/devices":
            return tongues.enrolment_reply(answer)
        return tongues.sync_reply(
            answer,
            request=seen.content,
            items=self.items,
            codebooks=self.codebooks,
        )

    def close(self) -> None:
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()

    def answer(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        if seen.path == "/api/v1/info":
            return 200, {
                "global_version": self.news["global_version"],
                "limits": {"patterns_per_sync": 64},
                "federation": {"min_devices_per_pattern": 5},
            }
        if seen.path == "/api/v1/devices":
            return self._enrol(seen)
        if seen.path == "/api/v1/publications/current":
            return 200, self._current()
        if seen.method == "GET":
            return 404, {"code": "bundle_unknown"}
        device_id = seen.body.get("device_id") or seen.path.rsplit("/", 1)[1]
        home = self.homes[device_id]
        if seen.headers.get("authorization") != f"Device {home.token}":
            return 401, {"code": "token_invalid"}
        if seen.method == "DELETE":
            del self.homes[device_id]
            return 204, {}
        try:
            self._check_codebook(seen)
        except KeyError:
            current = max(self.codebooks, default=0)
            return 422, {"code": "codebook_unknown", "codebook_version": current}
        return self._sync(seen.body, home)

    def _current(self) -> dict[str, Any]:
        version = self.published_version
        if not version:
            return {"global_version": 0, "codebook_version": 0}
        manifest = f"{self.url}/api/v1/publications/{version}/manifest"
        return {"global_version": version, "urls": {"manifest": manifest}}

    def _check_codebook(self, seen: Seen) -> None:
        for each in seen.body["delta"]["patterns_added"]:
            if seen.is_binary and each["embedding"]["encoding"] == "codes":
                self.codebooks[each["embedding"]["codebook_version"]]

    def _enrol(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        if seen.body["enrolment_key"] != KEY:
            return 403, {"code": "enrolment_key_invalid"}
        with self._lock:
            self.tokens_given += 1
            home = self.homes[seen.body["device_id"]]
            home.token = f"token-{self.tokens_given}"
        return 201, {
            "device_id": seen.body["device_id"],
            "token": home.token,
            "sync_url": self.sync_url or f"{self.url}/api/v1/sync",
        }

    def _sync(self, body: dict[str, Any], home: Home) -> tuple[int, dict[str, Any]]:
        delta = body["delta"]
        sent = delta["local_version"]
        if sent == home.version and delta == home.last_delta:
            return self._reply(home)
        if sent == home.version:
            return 422, {"code": "version_reused"}
        if sent < home.version:
            return 409, {"code": "stale_version", "local_version": home.version}
        if body.get("base_version", home.version) != home.version:
            return 409, {
                "code": "version_gap",
                "local_version": home.version,
                "resync": True,
            }
        _apply(delta, home)
        return self._reply(home)

    def _reply(self, home: Home) -> tuple[int, dict[str, Any]]:
        return 200, {
            "global": self.news,
            "accepted": {"stored": 0, "filtered": 0, "updated": 0, "removed": 0},
            "local_version": home.version,
            "resync": self.asks_for_resync,
            "next_sync_seconds": self.next_sync_seconds,
        }


def _apply(delta: dict[str, Any], home: Home) -> None:
    for each in delta["patterns_added"]:
        home.rows[each["id"]] = (each["success_rate"], each["sample_count"])
    for each in delta["patterns_updated"]:
        rate, n = home.rows[each["id"]]
        k = each["additional_samples"]
        rate = (rate * n + each["new_success_rate"] * k) / (n + k)
        home.rows[each["id"]] = (rate, n + k)
    for pattern_id in delta["patterns_removed"]:
        home.rows.pop(pattern_id, None)
    home.version, home.last_delta = delta["local_version"], delta
    home.applied_count += 1


def _handler(vega: Vega) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._take("GET")

        def do_POST(self) -> None:
            self._take("POST")

        def do_DELETE(self) -> None:
            self._take("DELETE")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (theirs)
            """Say nothing."""

        def _take(self, method: str) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            decode = _DECODERS[self.headers.get("Content-Encoding", "identity")]
            headers = {name.lower(): value for name, value in self.headers.items()}
            content = decode(raw)
            body = vega.read(self.path, headers, content)
            seen = Seen(method, self.path, headers, raw, content, body)
            vega.requests.append(seen)
            path = self.path.removeprefix("/api/v1/")
            if path in vega.bundles:
                self._give(200, vega.bundles[path], {})
                return

            fault = None if path == CURRENT else vega.next_fault()
            if fault is None:
                status, answer = vega.answer(seen)
                self._give(status, vega.written(seen, status, answer), {})
                return
            if fault.is_applied:
                vega.answer(seen)
            if fault.status is None:
                self.close_connection = True
            else:
                content = vega.written(seen, 0, fault.body)
                self._give(fault.status, content, fault.headers)

        def _give(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            if vega.encoding != "identity" and content:
                content = _ENCODERS[vega.encoding](content)
                headers = headers | {"Content-Encoding": vega.encoding}
            vega.reply_sizes.append(len(content))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "zstd": lambda raw: zstandard.ZstdDecompressor().decompress(raw),
}
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
}
