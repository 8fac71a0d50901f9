"""Whoever has connected, and what becomes of what they say."""

from __future__ import annotations

import select
import socket
import time
from typing import Protocol

from sync.gate import heads
from sync.gate.channel import Channel
from sync.gate.ends import End, Watcher
from sync.gate.webs import Web


class Keeper(Watcher, Protocol):
    """Decides what becomes of a sync."""

    def channel_with_place(self) -> Channel | None:
        """Where it can be answered now; None if nowhere."""

    def channel(self) -> Channel | None:
        """Where it is read, whether there is a place or not; None if nowhere."""

    def refusal(self) -> bytes | None:
        """What one is told for which there is no place; None if nothing is ready."""

    def by_load(self) -> list[Web]:
        """All web processes, whoever has most to do last."""


class Client(End):
    """A TV, a browser."""

    __slots__ = (
        *("_asked", "_early", "_is_last", "_keeper", "_missing", "_peer"),
        *("_to_skip", "_whole", "awaits_answer", "is_plain", "seen"),
    )

    def __init__(self, sock: socket.socket, keeper: Keeper) -> None:
        super().__init__(sock, keeper)
        self._keeper = keeper
        #: What it says is passed on without looking, on a connection of its own.
        self.is_plain = False
        self._peer: _Peer | None = None
        #: As much as there is of a sync, and how many bytes are still to come; and of
        #: one that was sent away.
        self._whole = b""
        self._missing = self._to_skip = 0
        #: Where its sync is under way, and under which number.
        self._asked: tuple[Channel, int] | None = None
        #: What it said before it had read the answer.
        self._early = b""
        #: There is nothing more for it to come.
        self._is_last = False
        #: It said something last.
        self.awaits_answer = False
        self.seen = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """It may be disconnected, and loses nothing."""
        return not (self._asked or self._missing or self.is_plain or self.is_behind)

    @property
    def is_arriving(self) -> bool:
        """The rest of a sync is still to come. It takes no place until it is there."""
        return bool(self._missing)

    def happened(self, events: int) -> None:
        if events & select.EPOLLOUT:  # it reads
            self.seen = time.monotonic()
        super().happened(events)

    def came(self, data: bytes) -> None:
        self.seen = time.monotonic()
        if self.is_plain:
            self._pass_on(data)
        elif self._asked or self.is_behind:
            self._early += data
            self.pause()
        elif self._missing:
            self._gather(data)
        else:
            self._begin(data)

    def heard(self, answer: bytes) -> None:
        """Hand out the answer to a sync; end if there is none."""
        self._asked = None
        self.awaits_answer = False
        self.seen = time.monotonic()
        if not answer:
            self.close()
            return
        self.send(answer)
        self._go_on()

    def caught_up(self) -> None:
        if self._is_last:
            self.close()
        elif self._peer is not None:
            self._peer.go_on()
        else:
            self._go_on()

    def close(self) -> None:
        if self._asked:
            channel, number = self._asked
            channel.forget(number)
            self._asked = None
        if self._peer is not None:
            self._peer.close()
            self._peer = None
        super().close()

    def answered(self, data: bytes) -> None:
        """Hand out what the web process says."""
        self.awaits_answer = False
        self.seen = time.monotonic()
        self.send(data)
        if self.is_behind and self._peer is not None:
            self._peer.pause()

    def left(self) -> None:
        """The web process has closed its side."""
        self._peer = None
        self._is_last = True
        self.go_on()
        if not self.is_behind:
            self.close()

    def _go_on(self) -> None:
        """Read on, once all that was said before is answered and read."""
        if self._asked or self.is_behind or not self.is_open:
            return
        self.go_on()
        if self._early:
            early, self._early = self._early, b""
            self.came(early)

    def _begin(self, data: bytes) -> None:
        if self._to_skip:
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            data = data[skipped:]
            if not data:
                return
        missing = heads.sync_bytes_missing(data)
        if missing is None:
            self._be_plain(data)
            return
        channel = self._keeper.channel_with_place()
        if channel is None and self._is_sent_away(missing):
            return
        if missing:
            self._whole, self._missing = data, missing
        else:
            self._ask(channel, data)

    def _gather(self, data: bytes) -> None:
        self._whole += data
        self._missing -= len(data)
        if self._missing > 0:
            return
        missing, self._missing = self._missing, 0
        whole, self._whole = self._whole, b""
        if missing < 0:  # it doesn't wait for an answer before it says more
            self._be_plain(whole)
            return
        channel = self._keeper.channel_with_place()
        if channel is None and self._is_sent_away(0):
            return
        self._ask(channel, whole)

    def _is_sent_away(self, missing: int) -> bool:
        refusal = self._keeper.refusal()
        if refusal is None:
            return False
        self._to_skip = missing
        self.send(refusal)
        return True

    def _ask(self, channel: Channel | None, whole: bytes) -> None:
        if channel is None:
            # Without a refusal either: a web process sends it away itself.
            channel = self._keeper.channel()
            if channel is None:
                self._be_plain(whole)
                return
            if channel.is_behind:  # it doesn't read
                self.close()
                return
        self.awaits_answer = True
        self._asked = channel, channel.ask(self, whole)

    def _be_plain(self, data: bytes) -> None:
        self.is_plain = True
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if self._is_last:
            return  # read all the same: who is closed before that loses its answer
        if self._peer is None:
            self._peer = self._connected()
        if self._peer is None:
            self.close()
            return
        self.awaits_answer = True
        self._peer.send(data)
        if self._peer is not None and self._peer.is_behind:
            self.pause()

    def _connected(self) -> _Peer | None:
        for web in self._keeper.by_load():
            try:
                sock = web.connect()
            except OSError:
                continue
            return _Peer(sock, self._keeper, self, web)
        return None


class _Peer(End):
    """A client's own connection to a web process.

    Nobody shares it: whatever is mistaken of where a request ends, nobody gets the
    answer of somebody else.
    """

    __slots__ = ("_client", "_web")

    def __init__(
        self, sock: socket.socket, watcher: Watcher, client: Client, web: Web
    ) -> None:
        super().__init__(sock, watcher)
        self._client = client
        self._web = web
        web.connections += 1

    def came(self, data: bytes) -> None:
        self._client.answered(data)

    def caught_up(self) -> None:
        self._client.go_on()

    def close(self) -> None:
        if self.is_open:
            self._web.connections -= 1
        super().close()

    def ended(self) -> None:
        self.close()
        self._client.left()
