"""Load over HTTP from one process: raw sockets, epoll, requests that are bytes already.

In the open loop requests are due at random instants whatever became of those before,
and a latency counts from the instant that the request was due: a server that stalls
can't make its clients wait with asking. Each request that is due while all connections
are busy gets a new one, up to a limit. In the closed loop some connections ask again as
soon as they are answered; one that was sent away rests for a moment, so that capacity
is measured and not what sending away costs. Connections are kept alive.
"""

from __future__ import annotations

import gc
import re
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

#: For answers to what was sent, once nothing more is due.
END_SECONDS = 30.0

#: How long a connection of the closed loop rests after it was sent away.
REST_SECONDS = 0.1

_CONNECTED = 0
# More than an answer has, mostly; and little enough that Python gets it cheaply.
_RECEIVE_BYTES = 1 << 14
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_CLOSED = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"

OK = 200
SENT_AWAY = 503
#: The status of a request whose connection broke.
BROKEN = 0


class GeneratorError(Exception):
    """The server is not there, or says what isn't HTTP as expected."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Load:
    """What came of a run. Arrays have a row for each request that was sent."""

    #: Which of the given requests.
    requests: NDArray[np.int64]
    statuses: NDArray[np.int64]
    #: Seconds from when it was due to its whole answer.
    latencies: NDArray[np.float64]
    #: Seconds from when it was due to when it was sent.
    delays: NDArray[np.float64]
    #: Seconds from the beginning of the run to its whole answer.
    ends: NDArray[np.float64]
    #: Bytes of its answer's body.
    sizes: NDArray[np.int64]
    #: How long requests were due; what was answered later counts in no rate.
    seconds: float
    #: How many were due.
    offered: int
    #: CPU time of this process.
    cpu_seconds: float
    connections: int

    @property
    def served(self) -> NDArray[np.int64]:
        """Requests that were answered 200."""
        chosen: NDArray[np.int64] = self.requests[self.statuses == OK]
        return chosen

    @property
    def per_second(self) -> float:
        """Answers of 200 a second."""
        in_time = (self.statuses == OK) & (self.ends <= self.seconds)
        return float(np.count_nonzero(in_time)) / self.seconds

    @property
    def served_fraction(self) -> float:
        return len(self.served) / max(1, self.offered)

    def latency_ms(self, percent: float, status: int = OK) -> float:
        """Percentile of the latencies of what was answered so."""
        chosen = self.latencies[self.statuses == status]
        return float(np.percentile(chosen, percent)) * 1e3 if len(chosen) else np.inf

    def delay_ms(self, percent: float) -> float:
        """Percentile of how late requests were sent."""
        return float(np.percentile(self.delays, percent)) * 1e3

    def counts(self) -> dict[int, int]:
        """How many answers there were of each status."""
        statuses, counts = np.unique(self.statuses, return_counts=True)
        return dict(zip(statuses.tolist(), counts.tolist(), strict=True))


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    request: int = -1
    due: float = 0.0
    sent: float = 0.0
    is_open: bool = False
    received: bytes = b""


def closed(
    address: str, requests: Sequence[bytes], *, connections: int, seconds: float
) -> Load:
    """Have some connections ask as fast as they are answered.

    It ends after some seconds, or when there is nothing left to send.
    """
    with _Run(address, requests, connections) as run:
        return run.closed(seconds)


def opened(
    address: str,
    requests: Sequence[bytes],
    *,
    per_second: float,
    seconds: float,
    connections: int,
    seed: int = 0,
) -> Load:
    """Ask at random instants, so many times a second on average.

    ``connections`` is how many there are at most.
    """
    gaps = np.random.default_rng(seed).exponential(
        1 / per_second, round(per_second * seconds * 1.5) + 100
    )
    dues = gaps.cumsum()
    with _Run(address, requests, connections) as run:
        return run.opened(dues[dues < seconds].tolist(), seconds)


class _Run:
    def __init__(
        self, address: str, requests: Sequence[bytes], connections: int
    ) -> None:
        host, port = address.rsplit(":", 1)
        self._address = host, int(port)
        self._requests = requests
        # Those sent away come again at the end, as TVs do.
        self._waiting = deque(range(len(requests)))
        self._limit = connections
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        #: Until when each rests, the first first.
        self._resting: deque[tuple[float, _Connection]] = deque()
        self._rest_seconds = 0.0
        self._rows: list[tuple[int, int, float, float, float, int]] = []
        self._start = 0.0
        self._most = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._epoll.close()

    def closed(self, seconds: float) -> Load:
        with _Quiet() as quiet:
            self._start = time.perf_counter()
            self._rest_seconds = REST_SECONDS
            end = self._start + seconds
            while self._waiting and time.perf_counter() < end:
                self._wake()
                while self._waiting and self._has_room:
                    self._send(time.perf_counter())
                for connection in self._receive(REST_SECONDS / 4):
                    self._hand_back(connection)
            seconds = time.perf_counter() - self._start
        self._finish()
        return self._load(seconds, len(self._rows), quiet.cpu_seconds)

    def opened(self, dues: Sequence[float], seconds: float) -> Load:
        with _Quiet() as quiet:
            start = self._start = time.perf_counter()
            backlog: deque[float] = deque()
            place = 0
            while place < len(dues) or backlog:
                now = time.perf_counter() - start
                while place < len(dues) and dues[place] <= now:
                    backlog.append(dues[place])
                    place += 1
                while backlog and (self._idle or len(self._connections) < self._limit):
                    self._send(start + backlog.popleft())
                if now > seconds + END_SECONDS:
                    break
                wait = 0.05
                if not backlog and place < len(dues):
                    wait = dues[place] - (time.perf_counter() - start)
                for connection in self._receive(max(0.0, wait)):
                    self._hand_back(connection)
        self._finish()
        return self._load(seconds, len(dues), quiet.cpu_seconds)

    @property
    def _has_room(self) -> bool:
        return bool(self._idle) or len(self._connections) < self._limit

    def _send(self, due: float) -> None:
        if not self._waiting:
            raise GeneratorError(f"{len(self._requests)} requests are not enough")
        connection = self._idle.pop() if self._idle else self._connect()
        connection.request = self._waiting.popleft()
        connection.due = due
        if connection.is_open:
            self._write(connection)

    def _connect(self) -> _Connection:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(self._address)
        connection = _Connection(sock)
        self._connections[sock.fileno()] = connection
        self._most = max(self._most, len(self._connections))
        self._epoll.register(sock.fileno(), select.EPOLLOUT)
        return connection

    def _write(self, connection: _Connection) -> None:
        data = self._requests[connection.request]
        connection.sent = time.perf_counter()
        try:
            written = connection.socket.send(data)
        except OSError:
            self._break(connection)
            return
        if written < len(data):
            # One request fits into a socket's buffer.
            raise GeneratorError(f"the server took {written} of {len(data)} bytes")

    def _receive(self, timeout: float) -> list[_Connection]:
        """Wait for answers: connections that have one."""
        answered = []
        for number, event in self._epoll.poll(timeout):
            connection = self._connections[number]
            if not connection.is_open:
                self._open(connection)
            elif event and self._read(connection):
                answered.append(connection)
        return answered

    def _open(self, connection: _Connection) -> None:
        code = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code != _CONNECTED:
            raise GeneratorError(f"no connection to {self._address}: error {code}")
        connection.is_open = True
        self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)
        self._write(connection)

    def _read(self, connection: _Connection) -> bool:
        """Take in what is there; whether it is a whole answer."""
        try:
            data = connection.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._break(connection)
            return False
        connection.received += data
        return is_whole(connection.received)

    def _hand_back(self, connection: _Connection) -> None:
        """Note an answer; the connection is free again."""
        received = connection.received
        status = int(received[9:12])
        size = len(received) - received.index(b"\r\n\r\n") - 4
        if status == SENT_AWAY:
            self._waiting.append(connection.request)
        self._note(connection, status, size)
        is_last = _CLOSED.search(received, 0, len(received) - size) is not None
        connection.request = -1
        connection.received = b""
        if is_last:
            self._drop(connection)
        elif status == SENT_AWAY and self._rest_seconds:
            until = time.perf_counter() + self._rest_seconds
            self._resting.append((until, connection))
        else:
            self._idle.append(connection)

    def _wake(self) -> None:
        now = time.perf_counter()
        while self._resting and self._resting[0][0] <= now:
            _, connection = self._resting.popleft()
            # It may have been closed meanwhile.
            if connection in self._connections.values():
                self._idle.append(connection)

    def _note(self, connection: _Connection, status: int, size: int) -> None:
        now = time.perf_counter()
        due = connection.due
        latency, delay, end = now - due, connection.sent - due, now - self._start
        self._rows.append((connection.request, status, latency, delay, end, size))

    def _break(self, connection: _Connection) -> None:
        if connection.request >= 0:
            self._note(connection, BROKEN, 0)
        elif connection in self._idle:
            self._idle.remove(connection)
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        number = connection.socket.fileno()
        if self._connections.pop(number, None) is not None:
            self._epoll.unregister(number)
            connection.socket.close()

    def _finish(self) -> None:
        """Wait for answers to all that was sent; what stays without is broken."""
        deadline = time.perf_counter() + END_SECONDS
        while any(each.request >= 0 for each in self._connections.values()):
            for connection in self._receive(0.1):
                self._hand_back(connection)
            if time.perf_counter() > deadline:
                break
        for connection in list(self._connections.values()):
            if connection.request >= 0:
                self._break(connection)

    def _load(self, seconds: float, offered: int, cpu_seconds: float) -> Load:
        if not self._rows:
            raise GeneratorError(f"{self._address} answered nothing")
        requests, statuses, latencies, delays, ends, sizes = zip(
            *self._rows, strict=True
        )
        return Load(
            requests=np.array(requests, dtype=np.int64),
            statuses=np.array(statuses, dtype=np.int64),
            latencies=np.array(latencies),
            delays=np.array(delays),
            ends=np.array(ends),
            sizes=np.array(sizes, dtype=np.int64),
            seconds=seconds,
            offered=offered,
            cpu_seconds=cpu_seconds,
            connections=self._most,
        )


class _Quiet:
    """No garbage collection meanwhile; how much CPU time it took."""

    cpu_seconds = 0.0

    def __enter__(self) -> _Quiet:
        gc.collect()
        gc.disable()
        self._started = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_seconds = time.process_time() - self._started
        gc.enable()


def is_whole(received: bytes) -> bool:
    """Tell whether an answer has all its bytes."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    length = _LENGTH.search(received, 0, head_end)
    if length is not None:
        return len(received) >= head_end + 4 + int(length[1])
    if _CHUNKED.search(received, 0, head_end):
        return received.endswith(_LAST_CHUNK)
    raise GeneratorError(f"an answer without a length: {received[:200]!r}")
