"""What a server with an event loop serves: usual syncs on it, all else in threads."""

from __future__ import annotations

import asyncio
import os

from django.conf import settings

from constellation_site import garbage, wsgi
from constellation_site.parent_death import end_with_own_parent
from sync import event_door
from sync.gate.channel import CHANNEL_VARIABLE
from sync.gate.serving import ChannelServer
from sync.threads import in_threads


class Site:
    """As RSGI has an application with a beginning and an end."""

    def __init__(self) -> None:
        door = event_door.Door()
        behind = in_threads(wsgi.application, settings.REQUEST_THREADS)
        self.__rsgi__ = event_door.in_front_of(behind, door)
        path = os.environ.get(CHANNEL_VARIABLE)
        self._channels = ChannelServer(door, path) if path else None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._channels is not None:
            loop.run_until_complete(self._channels.open())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._channels is not None:
            loop.run_until_complete(self._channels.close())


application = Site()

garbage.collect_less()

# This is a worker of granian, which would go on without the one who watches it.
end_with_own_parent()
