"""Takes calls as they come, in the event loop; nothing here waits for a database.

Messages come and go as bytes: the wire formats of ``sync`` read and write them, as for
REST. So each is decoded once, and has the same limits through both doors.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

import grpc
from grpc import aio

from constellation.v1 import service_pb2
from shards.exceptions import ConstellationError
from sync import load
from sync.exceptions import MalformedBody, ServerStopping
from sync.grpc_door import calls, envelopes, refusals
from sync.grpc_door.calls import Call
from sync.grpc_door.workers import Work, Workers

SERVICE = service_pb2.DESCRIPTOR.services_by_name["SyncService"].full_name

#: Streams open at once; each costs some memory and, between its syncs, no thread.
STREAMS_LIMIT = 1000

#: Those of one TV. It needs one; what broke counts until it is noticed.
STREAMS_PER_DEVICE = 8

#: For the message of a call to come. A TV's uplink needs a second for the largest.
READING_LIMIT = timedelta(seconds=20)

Context = aio.ServicerContext[bytes, bytes]


class Servicer:
    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._stream_count = 0
        #: By the 16 bytes of a TV's id.
        self._streams_of: Counter[bytes] = Counter()
        self._stopping = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Name the methods; without (de)serialisers their messages are bytes."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Enroll": _unary(self._answering(calls.enrol)),
                "Sync": _unary(self._answering(calls.sync, is_for_tvs=True)),
                "Pull": _unary(self._answering(calls.pull, is_for_tvs=True)),
                "StreamSync": grpc.stream_stream_rpc_method_handler(self._stream),
                "GetClusterStatus": _unary(self._answering(calls.get_cluster_status)),
            },
        )

    def stop_streams(self) -> None:
        """End each stream as soon as the sync under way is answered."""
        self._stopping.set()

    def _answering(
        self, work: Work, *, is_for_tvs: bool = False
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]:
        async def answer(_messages: AsyncIterator[bytes], context: Context) -> bytes:
            call = _call(b"", context)
            try:
                self._check_room(call, is_for_tvs)
                # The message of a stranger stays where it is: it is refused unread.
                if not is_for_tvs or calls.is_from_a_tv(call):
                    call = replace(call, body=await _only_message(context))
                return await self._workers.do(work, call)
            except ConstellationError as exc:
                await _refuse(context, exc)

        return answer

    def _check_room(self, call: Call, is_for_tvs: bool) -> None:
        if not self._workers.has_room:
            raise calls.turned_away(call) if is_for_tvs else load.overloaded()

    async def _stream(self, _requests: AsyncIterator[bytes], context: Context) -> None:
        if self._stream_count >= STREAMS_LIMIT or not self._workers.has_room:
            await _refuse(context, load.overloaded())
        self._stream_count += 1
        try:
            device_id = await self._workers.do(calls.open_stream, _call(b"", context))
            with self._place_of(device_id):
                await self._answer_one_by_one(context)
        except ConstellationError as exc:
            await _refuse(context, exc)
        finally:
            self._stream_count -= 1

    @contextmanager
    def _place_of(self, device_id: bytes) -> Iterator[None]:
        """Count a TV's stream while it is open, so that none takes those of others."""
        if self._streams_of[device_id] >= STREAMS_PER_DEVICE:
            raise load.overloaded()
        self._streams_of[device_id] += 1
        try:
            yield
        finally:
            self._streams_of[device_id] -= 1
            if self._streams_of[device_id] == 0:
                del self._streams_of[device_id]

    async def _answer_one_by_one(self, context: Context) -> None:
        while (body := await self._next(context)) is not None:
            await context.write(await self._answer_in_stream(body, context))

    async def _answer_in_stream(self, body: bytes, context: Context) -> bytes:
        sequence = 0
        try:
            envelope = envelopes.read(body)
            sequence = envelope.sequence
            call = _call(envelope.sync, context)
            self._check_room(call, True)
            answer = await self._workers.do(calls.sync, call)
        except ConstellationError as exc:
            return envelopes.problem(sequence, calls.refused(exc))
        return envelopes.reply(sequence, answer)

    async def _next(self, context: Context) -> bytes | None:
        """Read what comes next; None at the end. Raises when the server stops."""
        reading = asyncio.ensure_future(context.read())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                raise refusals.known(ServerStopping())
            body: Any = reading.result()
        finally:
            stopping.cancel()
            reading.cancel()
        return None if body is aio.EOF else body


def _unary(
    answer: Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]],
) -> grpc.RpcMethodHandler[bytes, bytes]:
    """Take a call before its message is read; on the wire it is like any other."""
    return grpc.stream_unary_rpc_method_handler(answer)


async def _only_message(context: Context) -> bytes:
    try:
        body: Any = await asyncio.wait_for(
            context.read(), READING_LIMIT.total_seconds()
        )
    except TimeoutError as exc:
        raise MalformedBody(problem="it didn't come to an end in time") from exc
    if body is aio.EOF:
        raise MalformedBody(problem="there is none")
    return bytes(body)


def _call(body: bytes, context: Context) -> Call:
    metadata = context.invocation_metadata() or ()
    found = (str(value) for key, value in metadata if key == "authorization")
    remaining = context.time_remaining()
    return Call(
        body=body,
        authorization=next(found, None),
        deadline=None if remaining is None else time.monotonic() + remaining,
    )


async def _refuse(context: Context, error: ConstellationError) -> NoReturn:
    error = refusals.known(error)
    await context.abort(
        refusals.status(error), str(error), refusals.trailing_metadata(error)
    )
