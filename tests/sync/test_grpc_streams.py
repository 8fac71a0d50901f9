"""Streams: one TV, sync after sync, and what ends them."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from constellation.v1 import problem_pb2, sync_pb2
from shards import tokens
from shards.models import Device
from sync.exceptions import MalformedBody
from sync.grpc_door import envelopes, servicer
from tests.sync import grpc_client
from tests.sync.binary import sync_message
from tests.sync.grpc_client import SERVICE, Door, WaitingThreads, problem_document
from tests.sync.television import Television, addition

with_shard = pytest.mark.django_db(databases=["default", "shard_000"])

without_deadline = settings(deadline=None)

#: What lets the TV in, before its first sync.
OPENING = 1


@pytest.fixture
def wire():
    return "grpc"


def stream(
    requests: Iterator[bytes], authorization: str | None, channel: Any = None
) -> Any:
    metadata = () if authorization is None else (("authorization", authorization),)
    method: Any = (channel or grpc_client.client().channel).stream_stream(
        SERVICE + "StreamSync"
    )
    return method(requests, metadata=metadata, timeout=grpc_client.TIMEOUT_SECONDS)


def enveloped(sequence: int, body: dict[str, Any]) -> bytes:
    message = sync_pb2.StreamSyncRequest(sequence=sequence, sync=sync_message(body))
    return message.SerializeToString()


def opened(message: bytes) -> sync_pb2.StreamSyncReply:
    return sync_pb2.StreamSyncReply.FromString(message)


def problem_in(message: bytes) -> dict[str, Any]:
    return problem_document(opened(message).problem.SerializeToString())


class Talk:
    """A TV on a stream, saying one thing after another."""

    def __init__(self, tv: Television) -> None:
        self._said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        client = grpc_client.client()
        self.threads = client.threads
        requests = iter(self._said.get, None)
        self.call = stream(requests, tv.authorization)
        self.threads.work(OPENING)

    def say(self, message: bytes, *, jobs: int = 1) -> bytes:
        self._said.put(message)
        self.threads.work(jobs)
        answer: bytes = next(self.call)
        return answer

    def end(self) -> None:
        self._said.put(None)
        assert list(self.call) == []


@with_shard
def test_each_sync_is_answered_before_the_next_is_sent(vega_tv):
    talk = Talk(vega_tv)

    for version in (1, 2, 3):
        body = vega_tv.body(added=[addition()], local_version=version)
        reply = opened(talk.say(enveloped(100 + version, body)))

        assert reply.sequence == 100 + version
        assert reply.reply.local_version == version
        assert len(vega_tv.stored()) == version
    talk.end()
    assert talk.call.code() is grpc.StatusCode.OK


@with_shard
def test_syncs_sent_at_once_are_applied_in_their_order(vega_tv):
    """Their versions rise, so any other order would be refused."""
    bodies = [
        vega_tv.body(added=[addition()], local_version=v, base_version=v - 1)
        for v in range(1, 9)
    ]
    call = stream(
        iter([enveloped(i, body) for i, body in enumerate(bodies)]),
        vega_tv.authorization,
    )
    grpc_client.client().threads.work(OPENING + len(bodies))

    replies = [opened(message) for message in call]

    assert [reply.sequence for reply in replies] == list(range(8))
    assert [reply.reply.local_version for reply in replies] == list(range(1, 9))
    assert len(vega_tv.stored()) == 8


@with_shard
def test_refused_sync_does_not_end_the_stream(vega_tv, vega_neighbour):
    talk = Talk(vega_tv)
    good = vega_tv.body(added=[addition()])
    stale = vega_tv.body(local_version=0, added=[addition()])
    spoilt = vega_tv.body(added=[addition(success_rate=2)], local_version=5)
    talk.say(enveloped(1, good))

    reused = problem_in(talk.say(enveloped(2, vega_tv.body(added=[addition()]))))
    assert (reused["code"], reused["local_version"]) == ("version_reused", 1)
    behind = problem_in(talk.say(enveloped(3, stale)))
    assert (behind["code"], behind["status"]) == ("stale_version", 409)
    refused = problem_in(talk.say(enveloped(4, spoilt)))
    assert refused["field"] == "delta.patterns_added[0].success_rate"
    other = problem_in(talk.say(enveloped(5, vega_neighbour.body())))
    assert other["code"] == "token_of_another_device"
    garbage = opened(talk.say(b"\x0f", jobs=0))
    assert (garbage.sequence, garbage.problem.code) == (0, "malformed_body")
    large = problem_in(talk.say(b"\x08\x07\x12\x81\x80\x10" + bytes(256 * 1024 + 1)))
    assert (large["code"], large["limit"]) == ("body_too_large", 256 * 1024)
    retry = opened(talk.say(enveloped(6, good)))
    assert (retry.sequence, retry.reply.accepted.stored) == (6, 1)
    talk.end()


@with_shard
def test_tv_revoked_in_the_middle_is_refused_from_then_on(vega_tv):
    talk = Talk(vega_tv)
    talk.say(enveloped(1, vega_tv.body()))
    Device.objects.using("shard_000").update(token_epoch=1)

    refused = problem_in(talk.say(enveloped(2, vega_tv.body(local_version=2))))

    assert refused["code"] == "token_invalid"
    talk.end()


@with_shard
@pytest.mark.parametrize(
    ("header", "code", "status"),
    [
        (None, "token_missing", grpc.StatusCode.UNAUTHENTICATED),
        ("Device nonsense", "token_invalid", grpc.StatusCode.UNAUTHENTICATED),
        ("{elsewhere}", "shard_not_served", grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_stranger_gets_no_stream(vega_tv, header, code, status):
    elsewhere = tokens.issue(device_id=vega_tv.device_id, shard_id=999, token_epoch=0)
    header = header and header.format(elsewhere=f"Device {elsewhere.token}")
    unread = enveloped(1, vega_tv.body(added=[addition()]))

    call = stream(iter([unread]), header)
    grpc_client.client().threads.work(OPENING)

    assert call.exception().code() is status
    assert dict(call.trailing_metadata())["code"] == code
    assert vega_tv.stored() == {}


@with_shard
def test_one_stream_too_many_is_sent_away(vega_tv, monkeypatch):
    monkeypatch.setattr(servicer, "STREAMS_LIMIT", 1)
    talk = Talk(vega_tv)

    call = stream(iter([]), vega_tv.authorization)

    assert call.exception().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(call.trailing_metadata())["code"] == "overloaded"
    talk.say(enveloped(1, vega_tv.body()))
    talk.end()


@with_shard
def test_a_tv_takes_no_streams_of_others(vega_tv, vega_neighbour, monkeypatch):
    monkeypatch.setattr(servicer, "STREAMS_PER_DEVICE", 1)
    first, neighbours = Talk(vega_tv), Talk(vega_neighbour)

    call = stream(iter([]), vega_tv.authorization)
    grpc_client.client().threads.work(OPENING)

    assert call.exception().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(call.trailing_metadata())["code"] == "overloaded"
    neighbours.say(enveloped(1, vega_neighbour.body()))
    neighbours.end()
    first.end()
    second = Talk(vega_tv)
    second.say(enveloped(1, vega_tv.body()))
    second.end()


@with_shard
def test_server_that_stops_answers_what_is_under_way_and_ends_the_stream(vega_tv):
    threads = WaitingThreads()
    door = Door(threads)
    said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with grpc.insecure_channel(door.target) as channel:
        call = stream(iter(said.get, None), vega_tv.authorization, channel)
        threads.work(OPENING)
        said.put(enveloped(1, vega_tv.body(added=[addition()])))
        threads.wait_for_jobs(1)
        stopped = door.begin_to_stop()
        grpc_client.wait_until(lambda: door.server.is_stopping)
        threads.work(1)

        assert opened(next(call)).reply.accepted.stored == 1
        with pytest.raises(grpc.RpcError) as end:
            next(call)
        said.put(None)
        stopped()

    assert end.value.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(call.trailing_metadata())["code"] == "server_stopping"
    assert len(vega_tv.stored()) == 1


# Envelopes, against protobuf's own reading


@without_deadline
@given(st.integers(0, 2**64 - 1), st.binary(max_size=300))
def test_envelope_is_read_as_protobuf_reads_it(sequence, device_id):
    inner = sync_pb2.SyncRequest(device_id=device_id)
    message = sync_pb2.StreamSyncRequest(sequence=sequence, sync=inner)

    envelope = envelopes.read(message.SerializeToString())

    assert envelope.sequence == sequence
    assert sync_pb2.SyncRequest.FromString(envelope.sync) == inner


@without_deadline
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1), st.text(max_size=200))
def test_reply_is_written_as_protobuf_writes_it(sequence, version, detail):
    reply = sync_pb2.SyncReply(local_version=version)
    problem = problem_pb2.Problem(detail=detail)

    sent = envelopes.reply(sequence, reply.SerializeToString())
    refused = envelopes.problem(sequence, problem.SerializeToString())

    assert opened(sent) == sync_pb2.StreamSyncReply(sequence=sequence, reply=reply)
    assert opened(refused) == sync_pb2.StreamSyncReply(
        sequence=sequence, problem=problem
    )


def test_parts_of_a_sync_that_come_apart_are_merged():
    parts = [
        sync_pb2.StreamSyncRequest(sync=sync_pb2.SyncRequest(device_id=b"x" * 16)),
        sync_pb2.StreamSyncRequest(sync=sync_pb2.SyncRequest(base_version=7)),
    ]
    body = b"".join(part.SerializeToString() for part in parts) + b"\x9a\x06\x04calm"

    envelope = envelopes.read(body)

    assert sync_pb2.SyncRequest.FromString(envelope.sync) == (
        sync_pb2.StreamSyncRequest.FromString(body).sync
    )


numbers = st.integers(1, 2000)
parts = st.one_of(
    st.builds(lambda n: b"\x08" + varint(n), st.integers(0, 2**64 - 1)),
    st.builds(lambda n, value: varint(n << 3) + varint(value), numbers, numbers),
    st.builds(lambda n: varint(n << 3 | 1) + bytes(8), numbers),
    st.builds(lambda n: varint(n << 3 | 5) + bytes(4), numbers),
    st.builds(lambda n: varint(n << 3 | 2) + b"\x02\x18\x07", st.integers(2, 9)),
)


@without_deadline
@given(st.lists(parts).map(b"".join))
def test_whatever_else_is_in_an_envelope_is_passed_over(body):
    message = sync_pb2.StreamSyncRequest.FromString(body)

    envelope = envelopes.read(body)

    assert envelope.sequence == message.sequence
    assert sync_pb2.SyncRequest.FromString(envelope.sync) == message.sync


@without_deadline
@given(st.binary(max_size=60))
def test_bytes_that_are_no_envelope_are_malformed_and_no_bug(body):
    with contextlib.suppress(MalformedBody):
        assert isinstance(envelopes.read(body).sync, bytes)


def varint(value: int) -> bytes:
    written = b""
    while value > 127:
        written, value = written + bytes([value & 127 | 128]), value >> 7
    return written + bytes([value])
