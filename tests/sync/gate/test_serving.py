"""A web process that answers what a gate brings, on real sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import pytest

from sync.exchange import Reply
from sync.gate.channel import CHANNEL_VARIABLE, channel_path
from sync.gate.frames import Frames, frame
from sync.gate.refusals import ORDER
from sync.gate.serving import ChannelServer
from tests.running import wait_for


class Door:
    """Echoes bodies in upper case; may be held up, and may have a bug."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.asked: list[bytes] = []

    async def answer_whole(self, environ: dict[str, Any], body: bytes) -> Reply:
        self.asked.append(body)
        if body == b"bug":
            raise ArithmeticError
        if body != b"quick":
            await self.goes_on.wait()
        kind = environ["CONTENT_TYPE"]
        return Reply(HTTPStatus.OK, [("Content-Type", kind)], body.upper())


class Gate:
    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader, self._writer = reader, writer
        self._frames = Frames()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    def send(self, *asked: tuple[int, bytes]) -> None:
        self._writer.write(b"".join(frame(*each) for each in asked))

    async def hear(self, count: int) -> list[tuple[int, bytes]]:
        heard: list[tuple[int, bytes]] = []
        async with asyncio.timeout(10):
            while len(heard) < count:
                data = await self._reader.read(1 << 16)
                assert data, "closed"
                heard += self._frames.of(data)
        return heard

    async def is_closed(self) -> bool:
        async with asyncio.timeout(10):
            data: bytes = await self._reader.read(1)
        return not data


def sync(body: bytes) -> bytes:
    return b"POST /api/v1/sync HTTP/1.1\r\nContent-Type: a/b\r\n\r\n" + body


def body_of(answer: bytes) -> bytes:
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n")
    return answer.split(b"\r\n\r\n", 1)[1]


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[Any, Door, Gate]]:
    door: Any = Door()
    server = ChannelServer(door, str(path))
    await server.open()
    gate = Gate(*await asyncio.open_unix_connection(path))
    try:
        yield server, door, gate
    finally:
        door.goes_on.set()
        await server.close()
        await gate.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.sock.channel"


def test_each_answer_has_the_number_of_what_was_asked(path):
    async def come() -> None:
        async with serving(path) as (_, _, gate):
            gate.send(*((n, sync(b"body %d" % n)) for n in range(7, 57)))
            heard = dict(await gate.hear(50))

        assert {n: body_of(answer) for n, answer in heard.items()} == {
            n: b"BODY %d" % n for n in range(7, 57)
        }

    asyncio.run(come())


def test_who_is_answered_sooner_waits_for_nobody(path):
    async def come() -> None:
        async with serving(path) as (_, door, gate):
            door.goes_on.clear()
            gate.send((1, sync(b"slow")), (2, sync(b"quick")))
            first = await gate.hear(1)
            door.goes_on.set()
            second = await gate.hear(1)

        assert [number for number, _ in first + second] == [2, 1]

    asyncio.run(come())


def test_refusals_are_written_where_they_are_ordered(path):
    async def come() -> None:
        async with serving(path) as (_, door, gate):
            gate.send((3, ORDER + b"40"))
            [(number, answer)] = await gate.hear(1)

        assert number == 3
        assert len(orjson.loads(answer)["retry_after_seconds"]) == 40
        assert door.asked == []

    asyncio.run(come())


def test_a_bug_is_answered_with_nothing_and_logged(path, caplog):
    async def come() -> None:
        async with serving(path) as (_, _, gate):
            gate.send((1, sync(b"bug")), (2, sync(b"quick")))
            heard = dict(await gate.hear(2))

        assert heard[1] == b""
        assert body_of(heard[2]) == b"QUICK"

    asyncio.run(come())
    assert "could not be answered" in caplog.text


def test_what_came_is_answered_before_it_ends(path):
    async def come() -> None:
        async with serving(path) as (server, door, gate):
            door.goes_on.clear()
            gate.send(*((n, sync(b"%d" % n)) for n in range(5)))
            while len(door.asked) < 5:
                await asyncio.sleep(0.01)
            closing = asyncio.create_task(server.close())
            await asyncio.sleep(0.05)
            assert not closing.done()
            door.goes_on.set()
            await closing

            heard = await gate.hear(5)
            assert sorted(number for number, _ in heard) == [0, 1, 2, 3, 4]
            assert await gate.is_closed()
            with pytest.raises(ConnectionError):
                await asyncio.open_unix_connection(path)

    asyncio.run(come())


def test_a_gate_that_goes_away_holds_nobody_up(path):
    async def come() -> None:
        async with serving(path) as (_, door, gate):
            door.goes_on.clear()
            gate.send((1, sync(b"slow")))
            while not door.asked:
                await asyncio.sleep(0.01)
            await gate.close()
            await asyncio.sleep(0.05)
            other = Gate(*await asyncio.open_unix_connection(path))
            other.send((1, sync(b"quick")))
            [(_, answer)] = await other.hear(1)
            door.goes_on.set()
            await other.close()

        assert body_of(answer) == b"QUICK"

    asyncio.run(come())


def test_the_file_of_one_that_was_killed_is_in_nobody_s_way(path):
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert path.exists()

    async def come() -> None:
        async with serving(path) as (_, _, gate):
            gate.send((1, sync(b"again")))
            [(_, answer)] = await gate.hear(1)
        assert body_of(answer) == b"AGAIN"

    asyncio.run(come())


def test_granian_that_is_told_to_end_answers_what_came(tmp_path):
    path = tmp_path / "0.sock"
    channel = channel_path(str(path))
    granian = subprocess.Popen(
        [
            *(sys.executable, "-m", "granian", "--interface", "rsgi"),
            *("--uds", str(path), "--no-ws", "--log-level", "error"),
            "tests.sync.gate.slow_site:site",
        ],
        env=os.environ
        | {
            CHANNEL_VARIABLE: channel,
            "CONSTELLATION_HOME": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "constellation_site.settings",
        },
    )
    try:
        with socket.socket(socket.AF_UNIX) as gate:
            wait_for(lambda: is_connected(gate, channel))
            gate.settimeout(20)
            gate.sendall(b"".join(frame(n, sync(b"%d" % n)) for n in range(50)))
            time.sleep(0.3)

            granian.terminate()

            frames = Frames()
            heard: list[tuple[int, bytes]] = []
            while data := gate.recv(1 << 16):
                heard += frames.of(data)
        assert sorted(number for number, _ in heard) == list(range(50))
        assert granian.wait(20) == 0
    finally:
        granian.kill()
        granian.wait()


def is_connected(sock: socket.socket, path: str) -> bool:
    return sock.connect_ex(path) in (0, errno.EISCONN)
