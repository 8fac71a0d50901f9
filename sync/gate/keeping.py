"""The gate itself: one loop over all connections."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter

from sync.gate.channel import Channel
from sync.gate.ends import End
from sync.gate.passing import Client
from sync.gate.refusals import Stock
from sync.gate.webs import Web

_LISTEN_BACKLOG = 4096
_ACCEPTED_AT_ONCE = 64
_TICK_SECONDS = 0.1
SWEEP_SECONDS = 1.0

#: Who says nothing and awaits nothing, or doesn't read, is disconnected.
GONE_SECONDS = 75.0

#: A web process that has so long answered nothing hangs: TVs try elsewhere.
SILENT_SECONDS = 60.0

#: For what is under way when the gate is told to stop.
GRACE_SECONDS = 15.0
#: Whoever was answered, and has heard nothing more for so long, has heard it all.
QUIET_SECONDS = 0.5


class Gate:
    """Lets in as many syncs at once as the web processes answer at once.

    Parameters
    ----------
    listener : socket
        Bound, not listening yet.
    webs : sequence of Web
        All web processes.
    places : int
        Syncs that each has under way at most.
    """

    def __init__(
        self,
        listener: socket.socket,
        webs: Sequence[Web],
        *,
        places: int,
    ) -> None:
        self._webs = webs
        self._places = places
        self._epoll = select.epoll()
        self._ends: dict[int, End] = {}
        self._stock = Stock(webs)
        self._listener = listener
        self._is_listening = self._is_closing = False
        self._swept_at = 0.0

    def run(self, is_stopped: Callable[[], bool]) -> None:
        """Until it is told to stop, and what was under way then is answered."""
        try:
            self._run(is_stopped)
        finally:
            for end in list(self._ends.values()):
                end.close()
            self._epoll.close()

    def _run(self, is_stopped: Callable[[], bool]) -> None:
        self._tend_webs(time.monotonic())
        self._listener.setblocking(False)
        self._listener.listen(_LISTEN_BACKLOG)
        self._listen(True)
        while not is_stopped():
            self._turn()
        self._is_closing = True
        self._listen(False)
        self._listener.close()
        self._turn()  # what came already is read
        deadline = time.monotonic() + GRACE_SECONDS
        while self._has_more_than_quiet() and time.monotonic() < deadline:
            self._turn()

    def watch(self, end: End, events: int) -> None:
        if end.number in self._ends:
            self._epoll.modify(end.number, events)
            return
        self._ends[end.number] = end
        self._epoll.register(end.number, events)

    def forget(self, end: End) -> None:
        del self._ends[end.number]
        self._epoll.unregister(end.number)

    def channel_with_place(self) -> Channel | None:
        channel = self.channel()
        if channel is None or channel.under_way >= self._places:
            return None
        return channel

    def channel(self) -> Channel | None:
        channels = [web.channel for web in self._webs if web.channel is not None]
        return min(channels, key=attrgetter("is_behind", "under_way"), default=None)

    def refusal(self) -> bytes | None:
        return self._stock.take()

    def by_load(self) -> list[Web]:
        return sorted(self._webs, key=attrgetter("load"))

    def _turn(self) -> None:
        for number, events in self._epoll.poll(_TICK_SECONDS):
            # One that is closed meanwhile is not there any more.
            end = self._ends.get(number)
            if end is not None:
                end.happened(events)
            elif not self._is_closing and number == self._listener.fileno():
                self._accept()
        now = time.monotonic()
        self._stock.tend(now)
        if now - self._swept_at > SWEEP_SECONDS:
            self._swept_at = now
            self._sweep(now)
            self._tend_webs(now)
            self._listen(not self._is_closing)
        for web in self._webs:
            if web.channel is not None:
                web.channel.flush()

    def _tend_webs(self, now: float) -> None:
        for web in self._webs:
            channel = web.channel
            if channel is not None and channel.silent_seconds(now) > SILENT_SECONDS:
                channel.ended()
            web.tend(self)

    def _listen(self, is_listening: bool) -> None:
        if is_listening == self._is_listening:
            return
        self._is_listening = is_listening
        if is_listening:
            self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        else:
            self._epoll.unregister(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # no room for more: they wait until somebody has gone
                self._listen(False)
                return
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Client(sock, self)

    def _clients(self) -> list[Client]:
        return [end for end in self._ends.values() if isinstance(end, Client)]

    def _sweep(self, now: float) -> None:
        for client in self._clients():
            is_quiet = now - client.seen > GONE_SECONDS
            if is_quiet and (client.is_idle or client.is_arriving or client.is_behind):
                client.close()

    def _has_more_than_quiet(self) -> bool:
        """Close those who await nothing; whether anybody is left."""
        quiet_since = time.monotonic() - QUIET_SECONDS
        for client in self._clients():
            is_quiet = not client.awaits_answer and client.seen < quiet_since
            if client.is_idle or (is_quiet and not client.is_behind):
                client.close()
        return bool(self._clients())
