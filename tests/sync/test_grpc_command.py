"""``manage.py grpcserver`` as a process of its own: threads, memory, and its end."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.db.models import Sum

from constellation.v1 import sync_pb2
from shards.models import Device, ShardTally
from sync import load
from tests.sync.binary import sync_message
from tests.sync.grpc_client import SERVICE, TIMEOUT_SECONDS, wait_until
from tests.sync.television import Television, addition

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "shard_000"])

SHARD = "shard_000"
MIB = 1024 * 1024

#: Of the server.
THREADS = 8


@pytest.fixture
def wire():
    return "grpc"


def url_of(alias: str) -> str:
    """Name a database of this test to another process."""
    facts = connections[alias].get_connection_params()
    user = quote(facts.get("user", ""), safe="")
    password = quote(facts.get("password", ""), safe="")
    host = quote(facts.get("host", ""), safe="")
    port = f"&port={facts['port']}" if facts.get("port") else ""
    return f"postgresql://{user}:{password}@/{facts['dbname']}?host={host}{port}"


class Server:
    """The command, on the databases of this test."""

    def __init__(self, home: Path, *options: str, port: int = 0) -> None:
        address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "grpcserver"),
                *("--grpc-addr", address, *options),
            ],
            cwd=settings.BASE_DIR,
            env=os.environ
            | {
                "CONSTELLATION_HOME": str(home),
                "POSTGRES_URL": url_of("default"),
                "SHARD_POSTGRES_URLS": url_of(SHARD),
                "SECRET_KEY": settings.SECRET_KEY,
                "REQUEST_THREADS": str(THREADS),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr
        said = ""
        while not (found := re.search(r"gRPC on port (\d+)", said)):
            line = self.process.stderr.readline()
            assert line, said
            said += line
        self.port = int(found[1])
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def send(self, tv: Television, body: dict[str, Any]) -> Any:
        """Start a sync; it waits for the server to be there."""
        sync: Any = self.channel.unary_unary(
            SERVICE + "Sync", response_deserializer=sync_pb2.SyncReply.FromString
        )
        return sync.future(
            sync_message(body).SerializeToString(),
            metadata=(("authorization", tv.authorization),),
            timeout=TIMEOUT_SECONDS,
        )

    def stream(self, tv: Television, requests: Iterator[bytes]) -> Any:
        method: Any = self.channel.stream_stream(SERVICE + "StreamSync")
        return method(requests, metadata=(("authorization", tv.authorization),))

    def is_listening(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def peak_memory_bytes(self) -> int:
        """The most it ever had, whenever that was."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def close(self) -> None:
        self.channel.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


def test_same_delta_sent_many_times_at_once_is_applied_once(server, vega_tv):
    body = vega_tv.body(added=[addition()])

    # Each finds a place: a slow machine would send one more away.
    replies = [server.send(vega_tv, body) for _ in range(THREADS - load.SPARE_THREADS)]

    accepted = {reply.result().accepted.stored for reply in replies}
    assert accepted == {1}
    assert len(vega_tv.stored()) == 1
    tally = ShardTally.objects.using(SHARD).aggregate(n=Sum("pattern_count"))
    assert tally["n"] == 1


def test_connection_that_broke_costs_no_sync(server, vega_tv):
    server.send(vega_tv, vega_tv.body(local_version=1)).result()
    with connections[SHARD].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.rowcount > 0

    for version in range(2, 20):
        reply = server.send(vega_tv, vega_tv.body(local_version=version)).result()

        assert reply.local_version == version


def test_bombs_stay_small_in_memory(server, vega_tv):
    """64 MiB of zeros take 64 KiB as gzip."""
    server.send(vega_tv, vega_tv.body(local_version=1)).result()
    before = server.peak_memory_bytes()
    sync: Any = server.channel.unary_unary(SERVICE + "Sync")
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        bomb = sync.future(
            bytes(64 * MIB),
            metadata=(("authorization", vega_tv.authorization),),
            compression=compression,
        )

        assert bomb.exception().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "Decompressed message larger than max" in bomb.details()
    assert server.peak_memory_bytes() - before < 16 * MIB
    # Not even the connection is lost.
    assert server.send(vega_tv, vega_tv.body(local_version=2)).result()


def test_told_to_stop_it_finishes_what_is_under_way(server, vega_tv, vega_neighbour):
    said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    stream = server.stream(vega_neighbour, iter(said.get, None))
    first = sync_message(vega_neighbour.body()).SerializeToString()
    said.put(b"\x12" + bytes([len(first)]) + first)
    next(stream)
    with transaction.atomic(using=SHARD):
        Device.objects.using(SHARD).select_for_update().get(pk=vega_tv.device_id)
        held = server.send(vega_tv, vega_tv.body(added=[addition()]))
        wait_until(somebody_waits_for_a_lock)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError):
            next(stream)  # at once, though another's sync is still under way
        wait_until(lambda: not server.is_listening())
        # Who is told twice, or by Ctrl-C too, still takes its time.
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGINT)
    said.put(None)
    reply = held.result()
    server.process.communicate(timeout=TIMEOUT_SECONDS)

    assert stream.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(stream.trailing_metadata())["code"] == "server_stopping"
    assert reply.accepted.stored == 1
    assert len(vega_tv.stored()) == 1
    assert server.process.returncode == 0


@pytest.mark.slow
def test_call_that_takes_too_long_does_not_hold_the_end_up(server, vega_tv):
    with transaction.atomic(using=SHARD):
        Device.objects.using(SHARD).select_for_update().get(pk=vega_tv.device_id)
        held = server.send(vega_tv, vega_tv.body(added=[addition()]))
        wait_until(somebody_waits_for_a_lock)
        server.process.terminate()
        _, said = server.process.communicate(timeout=TIMEOUT_SECONDS)
        assert held.exception().code() in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.CANCELLED,
        )

    assert server.process.returncode == 0
    assert "cut off" in said
    wait_until(nobody_else_is_connected)
    assert vega_tv.stored() == {}


def somebody_waits_for_a_lock() -> bool:
    return asked_of_the_server("count(*) > 0", "wait_event_type = 'Lock'")


def nobody_else_is_connected() -> bool:
    return asked_of_the_server("count(*) = 0", "pid <> pg_backend_pid()")


def asked_of_the_server(what: str, which: str) -> bool:
    with connections[SHARD].cursor() as cursor:
        # Else a transaction sees the same every time.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            f"SELECT {what} FROM pg_stat_activity"
            f" WHERE datname = current_database() AND {which}"
        )
        return bool(cursor.fetchone()[0])


def test_several_may_share_a_port_if_all_say_so(vega_tv, tmp_path):
    with (
        closing(Server(tmp_path, "--share-port")) as one,
        closing(Server(tmp_path, "--share-port", port=one.port)) as other,
    ):
        with pytest.raises(CommandError, match="Address already in use"):
            call_command("grpcserver", "--grpc-addr", f"127.0.0.1:{one.port}")
        one.process.terminate()
        one.process.communicate(timeout=TIMEOUT_SECONDS)
        reply = other.send(vega_tv, vega_tv.body(added=[addition()])).result()

    assert other.port == one.port
    assert one.process.returncode == 0
    assert reply.accepted.stored == 1


def test_says_which_port_is_taken_and_how_to_move_it():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"

        with pytest.raises(CommandError) as caught:
            call_command("grpcserver", "--grpc-addr", address)

    assert f"{address}: Address already in use" in str(caught.value)
    assert "--grpc-addr" in str(caught.value)


def test_says_what_an_address_looks_like():
    with pytest.raises(CommandError, match="'50051' is not host:port"):
        call_command("grpcserver", "--grpc-addr", "50051")
