"""Sockets that are never waited for: what can't be sent yet is kept until it can."""

from __future__ import annotations

import select
import socket
from abc import ABC, abstractmethod
from typing import Protocol

_RECEIVE_BYTES = 1 << 16


class Watcher(Protocol):
    """Tells ends what happens at their sockets."""

    def watch(self, end: End, events: int) -> None: ...
    def forget(self, end: End) -> None: ...


class End(ABC):
    """One socket. Whoever reads here and writes there says ``pause`` and ``go_on``."""

    __slots__ = ("_events", "_unsent", "_watcher", "is_open", "number", "socket")

    def __init__(self, sock: socket.socket, watcher: Watcher) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.number = sock.fileno()
        self.is_open = True
        self._watcher = watcher
        self._unsent = b""
        self._events = 0
        self._watch(select.EPOLLIN)

    @property
    def is_behind(self) -> bool:
        """Has something that could not be sent yet."""
        return bool(self._unsent)

    def happened(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send_rest()
        if self.is_open and events & ~select.EPOLLOUT:
            self._receive()

    def send(self, data: bytes) -> None:
        """Send, now or as soon as it can be."""
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.ended()
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._watch(self._events | select.EPOLLOUT)

    def pause(self) -> None:
        """Read no more."""
        self._watch(self._events & ~select.EPOLLIN)

    def go_on(self) -> None:
        self._watch(self._events | select.EPOLLIN)

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._watcher.forget(self)
            self.socket.close()

    @abstractmethod
    def came(self, data: bytes) -> None:
        """Something was read."""

    def caught_up(self) -> None:  # noqa: B027  # who never waits for it needs none
        """All is sent of what could not be at first."""

    def ended(self) -> None:
        """The other side is gone."""
        self.close()

    def _receive(self) -> None:
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.came(data)
        else:
            self.ended()

    def _send_rest(self) -> None:
        unsent, self._unsent = self._unsent, b""
        self._watch(self._events & ~select.EPOLLOUT)
        self.send(unsent)
        if self.is_open and not self._unsent:
            self.caught_up()

    def _watch(self, events: int) -> None:
        if self.is_open and events != self._events:
            self._events = events
            self._watcher.watch(self, events)
