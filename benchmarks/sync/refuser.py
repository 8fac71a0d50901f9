"""A server that only sends away: the least that refusals take of a machine.

One process, one system call to read a request and one to answer it, nothing looked at.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.installation import BASE_DIR, end_process
from benchmarks.sync.machine import MachineError

_BODY = b"x" * 300
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 30\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_RECEIVE_BYTES = 1 << 14


@dataclass(frozen=True)
class Refuser:
    address: str
    pid: int

    def cpu_seconds(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def running() -> Iterator[Refuser]:
    """Run it in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sync.refuser"],
        cwd=BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    try:
        address = process.stdout.readline().decode().strip()
        if not address:
            raise MachineError("the server that only sends away did not start")
        yield Refuser(address, process.pid)
    finally:
        end_process(process)
        process.stdout.close()


def serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    print("{}:{}".format(*listener.getsockname()), flush=True)
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for number, _ in epoll.poll():
            client = clients.get(number)
            if client is None:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                epoll.register(client.fileno(), select.EPOLLIN)
            elif not _has_answered(client):
                epoll.unregister(number)
                clients.pop(number).close()


def _has_answered(client: socket.socket) -> bool:
    try:
        return bool(client.recv(_RECEIVE_BYTES) and client.send(_ANSWER))
    except OSError:
        return False


if __name__ == "__main__":
    serve()
