"""The gate's connection to a web process for usual syncs, each of which came whole.

A server of HTTP needs a connection for each TV to tell them apart, and reads, wakes up
and sends for each sync. Here syncs come and go by the dozen.
"""

from __future__ import annotations

import socket
import time
from typing import Protocol

from sync.gate.ends import End, Watcher
from sync.gate.frames import Frames, frame

#: The environment's name for where a web process listens for channels.
CHANNEL_VARIABLE = "GATE_CHANNEL"


class Asker(Protocol):
    """Whoever waits for an answer."""

    def heard(self, answer: bytes) -> None:
        """All of it; empty if there is none, and won't be."""


class Channel(End):
    """Asks one web process, many things at a time."""

    __slots__ = ("_askers", "_frames", "_heard_at", "_next", "_outgoing")

    def __init__(self, sock: socket.socket, watcher: Watcher) -> None:
        super().__init__(sock, watcher)
        self._frames = Frames()
        #: By number; None once the asker is gone. No number is used again, so that
        #: nobody gets the answer of somebody else.
        self._askers: dict[int, Asker | None] = {}
        self._next = 0
        self._outgoing: list[bytes] = []
        self._heard_at = time.monotonic()

    @property
    def under_way(self) -> int:
        """How much it was asked and hasn't answered."""
        return len(self._askers)

    def silent_seconds(self, now: float) -> float:
        """How long it has been asked something, and answered nothing."""
        return now - self._heard_at if self._askers else 0.0

    def ask(self, asker: Asker, request: bytes) -> int:
        """Pass a request on with the next ``flush``; its number is for ``forget``."""
        if not self._askers:
            self._heard_at = time.monotonic()
        number = self._next
        self._next += 1
        self._askers[number] = asker
        self._outgoing.append(frame(number, request))
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for the answer any more; it is under way all the same."""
        self._askers[number] = None

    def flush(self) -> None:
        if self._outgoing:
            outgoing, self._outgoing = self._outgoing, []
            self.send(b"".join(outgoing))

    def came(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        for number, answer in self._frames.of(data):
            asker = self._askers.pop(number)
            if asker is not None:
                asker.heard(answer)

    def ended(self) -> None:
        self.close()
        askers, self._askers = self._askers, {}
        for asker in askers.values():
            if asker is not None:
                asker.heard(b"")


def channel_path(path: str) -> str:
    """Where a web process listens for channels, whose own socket has this path."""
    return f"{path}.channel"
