"""gRPC for TVs of tests: a real server on a real port, in this process.

What a call does, it does in the thread of the test that waits for its answer, as
Django's test client does: so it is inside of the test's transactions, and sees what
the test has changed. Everything before and after that is gRPC's own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import orjson

from constellation.v1 import problem_pb2
from sync.grpc_door.server import Certificate, DoorServer
from sync.problems import TYPE_PREFIX

SERVICE = "/constellation.v1.SyncService/"
PROBLEM_JSON = "application/problem+json"

#: Longer than anything takes; a test that hangs should say where.
TIMEOUT_SECONDS = 60


class WaitingThreads(Executor):
    """Lets whoever waits for a call work on it, or on another's."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._something_new = threading.Condition()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        with self._something_new:
            self._jobs.append((future, partial(fn, *args, **kwargs)))
            self._something_new.notify_all()
        return future

    def work_until_done(self, call: Any) -> None:
        call.add_done_callback(self._notify)
        while not call.done():
            with self._something_new:
                assert self._something_new.wait_for(
                    lambda: self._jobs or call.done(), TIMEOUT_SECONDS
                )
                job = self._jobs.popleft() if self._jobs else None
            if job is not None:
                _work(*job)

    def work(self, count: int) -> None:
        """Work on so many calls, which may not have come yet."""
        for _ in range(count):
            self.wait_for_jobs(1)
            with self._something_new:
                job = self._jobs.popleft()
            _work(*job)

    def wait_for_jobs(self, count: int) -> list[Future[Any]]:
        """Return what stands for them once so many have come; they stay."""
        with self._something_new:
            assert self._something_new.wait_for(
                lambda: len(self._jobs) >= count, TIMEOUT_SECONDS
            )
            return [future for future, _ in self._jobs]

    def wait_for_job_of(self, call: Any) -> Future[Any] | None:
        """Return what stands for the only call there is; None if it ends before."""
        call.add_done_callback(self._notify)
        with self._something_new:
            assert self._something_new.wait_for(
                lambda: self._jobs or call.done(), TIMEOUT_SECONDS
            )
            return self._jobs[0][0] if self._jobs else None

    def _notify(self, _call: Any) -> None:
        with self._something_new:
            self._something_new.notify_all()


def _work(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as exc:
        future.set_exception(exc)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


class Door:
    """A server in a thread of its own."""

    def __init__(
        self,
        executor: Executor,
        *,
        certificate: Certificate | None = None,
        **parts: Any,
    ) -> None:
        self._executor = executor
        self._certificate = certificate
        self._parts: dict[str, Any] = {"threads": 4, "is_ready": lambda: True} | parts
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._run(self._start())

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_stopped(self) -> bool:
        return self._loop.is_closed()

    def stop(self, grace: timedelta = timedelta(0)) -> None:
        self.begin_to_stop(grace)()

    def begin_to_stop(
        self, grace: timedelta = timedelta(seconds=TIMEOUT_SECONDS)
    ) -> Callable[[], None]:
        """Tell it to stop; what is returned waits until it has."""
        stopping = asyncio.run_coroutine_threadsafe(self.server.stop(grace), self._loop)

        def wait() -> None:
            stopping.result(TIMEOUT_SECONDS)
            self._run(_end_other_tasks())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(TIMEOUT_SECONDS)
            self._loop.close()

        return wait

    def _run(self, coroutine: Any) -> Any:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(TIMEOUT_SECONDS)

    async def _start(self) -> int:
        self.server = DoorServer(self._executor, **self._parts)
        return await self.server.start("127.0.0.1:0", self._certificate)


async def _end_other_tasks() -> None:
    """Do what ``asyncio.run`` does in the end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Answer:
    """What gRPC said, in the words of HTTP, so that tests can compare."""

    def __init__(self, call: Any) -> None:
        self.grpc_status = call.code()
        self.details = call.details() or ""
        self.trailing = dict(call.trailing_metadata() or ())
        self.content: bytes = call.result() if call.exception() is None else b""
        if self.grpc_status is grpc.StatusCode.OK:
            self.status_code = 200
            self._headers = {"Content-Type": "application/protobuf"}
            return
        assert "constellation-problem-bin" in self.trailing, (call.code(), self.details)
        self.problem = problem_document(self.trailing["constellation-problem-bin"])
        assert self.trailing["code"] == self.problem["code"]
        assert self.details == self.problem["detail"]
        retry_after = self.trailing.get("retry-after")
        told = self.problem.get("retry_after_seconds")
        assert retry_after == (None if told is None else str(told))
        self.content = orjson.dumps(self.problem)
        self.status_code = self.problem["status"]
        self._headers = {"Content-Type": PROBLEM_JSON}

    def __getitem__(self, header: str) -> str:
        return self._headers[header]

    def get(self, header: str, default: Any = None) -> Any:
        return self._headers.get(header, default)

    def json(self) -> Any:
        return self.problem


def problem_document(message: bytes) -> dict[str, Any]:
    """Read a ``Problem`` as the problem+json that it stands for."""
    problem = problem_pb2.Problem.FromString(message)
    document: dict[str, Any] = {
        field.name: value
        for field, value in problem.ListFields()
        if field.name != "facts"
    }
    document |= {name: orjson.loads(value) for name, value in problem.facts.items()}
    return document | {
        "type": TYPE_PREFIX + problem.code,
        "title": problem.code.replace("_", " ").capitalize(),
    }


class Client:
    """A TV's connection, kept for all of them."""

    def __init__(self) -> None:
        self.threads = WaitingThreads()
        self.door = Door(self.threads)
        self.channel = grpc.insecure_channel(self.door.target)

    def start(
        self, method: str, body: bytes, authorization: str | None = None, **how: Any
    ) -> Any:
        metadata = () if authorization is None else (("authorization", authorization),)
        multicallable: Any = self.channel.unary_unary(SERVICE + method)
        return multicallable.future(
            body, metadata=metadata, **{"timeout": TIMEOUT_SECONDS} | how
        )

    def call(
        self, method: str, body: bytes, authorization: str | None = None, **how: Any
    ) -> Answer:
        call = self.start(method, body, authorization, **how)
        self.threads.work_until_done(call)
        return Answer(call)

    def close(self) -> None:
        self.channel.close()
        self.door.stop()


_client: Client | None = None


def client() -> Client:
    """Give the one client of this process, started with its server when first asked."""
    global _client
    if _client is None:
        _client = Client()
    return _client


def close() -> None:
    global _client
    if _client is not None:
        _client.close()
        _client = None
