"""Vega, as a TV sees it: a small server on a real socket, with faults on demand.

It keeps the contract's promises in the plainest way, so that what it ends up holding
can be held against what the TV's brain knows.
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

KEY = "vega-key"


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
    raw: bytes
    body: dict[str, Any]


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

    def next_fault(self) -> Fault | None:
        with self._lock:
            return self.faults.popleft() if self.faults else None

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
        device_id = seen.body.get("device_id") or seen.path.rsplit("/", 1)[1]
        home = self.homes[device_id]
        if seen.headers.get("authorization") != f"Device {home.token}":
            return 401, {"code": "token_invalid"}
        if seen.method == "DELETE":
            del self.homes[device_id]
            return 204, {}
        return self._sync(seen.body, home)

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
            body = json.loads(decode(raw)) if raw else {}
            seen = Seen(method, self.path, headers, raw, body)
            vega.requests.append(seen)

            fault = vega.next_fault()
            if fault is None:
                self._give(*vega.answer(seen), {})
                return
            if fault.is_applied:
                vega.answer(seen)
            if fault.status is None:
                self.close_connection = True
            else:
                self._give(fault.status, fault.body, fault.headers)

        def _give(
            self, status: int, body: dict[str, Any], headers: dict[str, str]
        ) -> None:
            content = b"" if status == 204 else json.dumps(body).encode()
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
