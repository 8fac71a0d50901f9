"""The web processes behind a gate."""

from __future__ import annotations

import socket

from sync.gate.channel import Channel, channel_path
from sync.gate.ends import Watcher


class Web:
    """A web process, by its socket's path."""

    def __init__(self, path: str) -> None:
        self.path = path
        #: Of clients, for all that isn't a usual sync.
        self.connections = 0
        #: It could not be reached a moment ago.
        self.is_away = False
        self._channel: Channel | None = None

    @property
    def channel(self) -> Channel | None:
        """Where usual syncs go; None if it listens for none."""
        channel = self._channel
        return channel if channel is not None and channel.is_open else None

    @property
    def load(self) -> tuple[bool, int]:
        """Whoever has less to do comes first."""
        channel = self.channel
        under_way = 0 if channel is None else channel.under_way
        return self.is_away, under_way + self.connections

    def connect(self) -> socket.socket:
        """Raises ``OSError`` if it isn't there, or has no room for a connection."""
        try:
            return _connected(self.path)
        except OSError:
            self.is_away = True
            raise

    def tend(self, watcher: Watcher) -> None:
        """Look for it again, if it was away or had no channel."""
        self.is_away = False
        if self.channel is not None:
            return
        try:
            sock = _connected(channel_path(self.path))
        except OSError:
            return
        self._channel = Channel(sock, watcher)


def _connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
