"""What granian serves in a test: syncs that take a second, and nothing else."""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import Any

import django

django.setup()

from sync.exchange import Reply  # noqa: E402
from sync.gate.channel import CHANNEL_VARIABLE  # noqa: E402
from sync.gate.serving import ChannelServer  # noqa: E402


class Door:
    async def answer_whole(self, _: Any, body: bytes) -> Reply:
        await asyncio.sleep(1)
        return Reply(HTTPStatus.OK, [], body)


class Site:
    def __init__(self) -> None:
        door: Any = Door()
        self._channels = ChannelServer(door, os.environ[CHANNEL_VARIABLE])

    async def __rsgi__(self, _scope: Any, protocol: Any) -> None:
        protocol.response_empty(404, [])

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._channels.open())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._channels.close())


site = Site()
