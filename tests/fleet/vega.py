"""Vega, as a TV sees it: a small server on a real socket, with faults on demand.

It keeps the contract's promises in the plainest way, so that what it ends up holding
can be held against what the TV's brain knows.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import deque
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


class Vega:
    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.reply_sizes: list[int] = []
        self.faults: deque[Fault] = deque()
        self.news: dict[str, Any] = {"global_version": 0}
        self.encoding = "identity"
        self.tokens_given = 0
        self.asks_for_resync = False
        self.sync_url: str | None = None

        self.version = 0
        self.last_delta: dict[str, Any] = {}
        self.applied_count = 0
        #: What it holds: id → (success rate, samples).
        self.rows: dict[str, tuple[float, int]] = {}

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._httpd.server_address[1]}"

    @property
    def token(self) -> str:
        return f"token-{self.tokens_given}"

    @property
    def syncs(self) -> list[Seen]:
        return [seen for seen in self.requests if seen.path == "/api/v1/sync"]

    def close(self) -> None:
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()

    def answer(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        if seen.path == "/api/v1/info":
            return 200, {"global_version": 0, "limits": {"patterns_per_sync": 64}}
        if seen.path == "/api/v1/devices":
            return self._enrol(seen)
        if seen.headers.get("authorization") != f"Device {self.token}":
            return 401, {"code": "token_invalid"}
        if seen.method == "DELETE":
            self.rows.clear()
            return 204, {}
        return self._sync(seen)

    def _enrol(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        if seen.body["enrolment_key"] != KEY:
            return 403, {"code": "enrolment_key_invalid"}
        self.tokens_given += 1
        return 201, {
            "device_id": seen.body["device_id"],
            "token": self.token,
            "sync_url": self.sync_url or f"{self.url}/api/v1/sync",
        }

    def _sync(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        delta = seen.body["delta"]
        sent = delta["local_version"]
        if sent == self.version and delta == self.last_delta:
            return self._reply()
        if sent == self.version:
            return 422, {"code": "version_reused"}
        if sent < self.version:
            return 409, {"code": "stale_version", "local_version": self.version}
        if seen.body.get("base_version", self.version) != self.version:
            return 409, {
                "code": "version_gap",
                "local_version": self.version,
                "resync": True,
            }
        self._apply(delta)
        return self._reply()

    def _apply(self, delta: dict[str, Any]) -> None:
        for each in delta["patterns_added"]:
            self.rows[each["id"]] = (each["success_rate"], each["sample_count"])
        for each in delta["patterns_updated"]:
            rate, n = self.rows[each["id"]]
            k = each["additional_samples"]
            self.rows[each["id"]] = (
                (rate * n + each["new_success_rate"] * k) / (n + k),
                n + k,
            )
        for pattern_id in delta["patterns_removed"]:
            self.rows.pop(pattern_id, None)
        self.version, self.last_delta = delta["local_version"], delta
        self.applied_count += 1

    def _reply(self) -> tuple[int, dict[str, Any]]:
        return 200, {
            "global": self.news,
            "accepted": {"stored": 0, "filtered": 0, "updated": 0, "removed": 0},
            "local_version": self.version,
            "resync": self.asks_for_resync,
            "next_sync_seconds": 432,
        }


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

            fault = vega.faults.popleft() if vega.faults else None
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
