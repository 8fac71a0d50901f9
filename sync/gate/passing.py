"""A TV's connection, and the one on which what it says is passed on.

Each TV has a connection of its own to a web process, so that whatever is mistaken of
where a request ends, nobody gets the answer of somebody else.
"""

from __future__ import annotations

import socket
import time
from typing import Protocol

from sync.gate import heads
from sync.gate.ends import End, Watcher

#: Of a sync that is counted; a longer one is passed on like anything else.
LARGEST_BODY_BYTES = 1 << 18


class Web:
    """A web process, by its socket's path, and the syncs that it has to answer."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.under_way = 0
        #: It could not be reached a moment ago.
        self.is_away = False

    def connect(self) -> socket.socket:
        """Raises ``OSError`` if it isn't there, or has no room for a connection."""
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        try:
            sock.connect(self.path)
        except OSError:
            self.is_away = True
            sock.close()
            raise
        return sock


class Keeper(Watcher, Protocol):
    """Decides what becomes of a sync."""

    def place_for(self, client: Client) -> Web | None:
        """Where it can be answered now; None if nowhere."""

    def refusal(self) -> bytes | None:
        """What one is told for which there is no place; None if nothing is ready."""

    def by_load(self) -> list[Web]:
        """All, whoever has most to do last."""


class Client(End):
    """Whoever has connected: a TV, a browser."""

    __slots__ = (
        *("_answer", "_is_last", "_keeper", "_missing", "_peer", "_to_skip"),
        *("awaits_answer", "is_plain", "is_under_way", "seen", "web"),
    )

    def __init__(self, sock: socket.socket, keeper: Keeper) -> None:
        super().__init__(sock, keeper)
        self._keeper = keeper
        self._peer: _Peer | None = None
        #: Where it is connected to.
        self.web: Web | None = None
        #: A sync of it is counted.
        self.is_under_way = False
        #: What it says is passed on without looking.
        self.is_plain = False
        #: Bytes to come of a sync, and of one that was sent away.
        self._missing = self._to_skip = 0
        #: Bytes to come of the answer, or its beginning.
        self._answer: int | bytes = b""
        #: There is nothing more for it to come.
        self._is_last = False
        #: It said something last.
        self.awaits_answer = False
        self.seen = time.monotonic()

    @property
    def is_idle(self) -> bool:
        return not (
            self.is_under_way or self._missing or self.is_plain or self.is_behind
        )

    @property
    def is_arriving(self) -> bool:
        """The rest of a sync is still to come. It takes no place until it is there."""
        return bool(self._missing)

    @property
    def is_connected(self) -> bool:
        """To a web process."""
        return self._peer is not None

    def came(self, data: bytes) -> None:
        self.seen = time.monotonic()
        if self._to_skip:
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            data = data[skipped:]
            if not data:
                return
        if self.is_plain:
            self._pass_on(data)
        elif self.is_under_way or self._missing:
            self._go_on_with(data)
        else:
            self._begin(data)

    def caught_up(self) -> None:
        if self._is_last:
            self.close()
        elif self._peer is not None:
            self._peer.go_on()

    def close(self) -> None:
        self._end_sync()
        self.disconnect()
        super().close()

    def disconnect(self) -> None:
        """Give back the connection to a web process, which nothing is awaited on."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None
            self.go_on()

    def answered(self, data: bytes) -> None:
        """Hand out what the web process says."""
        self.awaits_answer = False
        self.seen = time.monotonic()
        self.send(data)
        if self.is_under_way or self._missing:
            # Taken whole, so that who reads slowly keeps no place.
            self._look_for_end(data)
        elif self.is_behind and self._peer is not None:
            self._peer.pause()

    def left(self) -> None:
        """The web process has closed its side."""
        self._peer = None
        self.go_on()
        if self.is_idle:
            return
        if self.is_behind:
            self._is_last = True
            self._end_sync()
        else:
            self.close()

    def _begin(self, data: bytes) -> None:
        missing = heads.sync_bytes_missing(data)
        if missing is None or missing > LARGEST_BODY_BYTES:
            self.is_plain = True
            self._pass_on(data)
            return
        web = self._keeper.place_for(self)
        if web is None:
            refusal = self._keeper.refusal()
            if refusal is not None:
                self._to_skip = missing
                self.send(refusal)
                return
            # The web process sends it away itself.
            web = self.web
        if not self._connect(web):
            self.close()
            return
        self._missing, self._answer = missing, b""
        if not missing:
            self._begin_sync()
        self._pass_on(data)

    def _go_on_with(self, data: bytes) -> None:
        self._missing -= len(data)
        if self._missing < 0:  # it doesn't wait for an answer before it says more
            self._be_plain()
        elif not self._missing:
            self._begin_sync()
        self._pass_on(data)

    def _look_for_end(self, data: bytes) -> None:
        if isinstance(self._answer, int):
            self._answer -= len(data)
        else:
            self._answer += data
            if not heads.is_whole_head(self._answer):
                return
            missing = heads.answer_bytes_missing(self._answer)
            if missing is None:
                self._be_plain()
                return
            self._answer = missing
        if self._answer <= 0:
            self._end_sync()
            if self._missing:  # answered before all of it came
                self._to_skip, self._missing = self._missing, 0
                self.disconnect()

    def _be_plain(self) -> None:
        self._end_sync()
        self.is_plain, self._missing = True, 0

    def _begin_sync(self) -> None:
        if self.web is not None:
            self.is_under_way = True
            self.web.under_way += 1

    def _end_sync(self) -> None:
        if self.is_under_way and self.web is not None:
            self.is_under_way = False
            self.web.under_way -= 1

    def _pass_on(self, data: bytes) -> None:
        if not self._connect(self.web):
            self.close()
            return
        assert self._peer is not None
        self.awaits_answer = True
        self._peer.send(data)
        if self._peer is not None and self._peer.is_behind:
            self.pause()

    def _connect(self, wished: Web | None) -> bool:
        """Be connected to a web process, or to another one if that isn't there."""
        if self._peer is not None and wished in (None, self.web):
            return True
        self.disconnect()
        wishes = [] if wished is None else [wished]
        for web in [*wishes, *self._keeper.by_load()]:
            try:
                sock = web.connect()
            except OSError:
                continue
            self.web, self._peer = web, _Peer(sock, self._keeper, self)
            return True
        return False


class _Peer(End):
    """A client's connection to a web process."""

    __slots__ = ("_client",)

    def __init__(self, sock: socket.socket, watcher: Watcher, client: Client) -> None:
        super().__init__(sock, watcher)
        self._client = client

    def came(self, data: bytes) -> None:
        self._client.answered(data)

    def caught_up(self) -> None:
        self._client.go_on()

    def ended(self) -> None:
        self.close()
        self._client.left()
