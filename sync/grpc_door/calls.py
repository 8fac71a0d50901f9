"""What each method does, in a worker's thread and in the order of REST's views.

For a sync that is: is there a place, is it still wanted, whose token is it, is its
shard served, and only then what it says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.conf import settings

from shards import tokens
from shards.exceptions import ConstellationError
from shards.tokens import DeviceToken
from sync import load, metrics, protobuf_pull, protobuf_wire, service
from sync.authentication import check_shard_is_served
from sync.exceptions import BodyTooLarge, DeadlineExceeded
from sync.grpc_door import cluster_status, refusals


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request as it came."""

    body: bytes
    #: The metadata of that name.
    authorization: str | None
    #: When the caller gives up, by ``time.monotonic``; None: never.
    deadline: float | None = None
    #: When it came, by ``time.perf_counter``.
    started: float = field(default_factory=time.perf_counter)

    def check_deadline(self) -> None:
        """Refuse what nobody waits for any more."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineExceeded()

    def read(self) -> bytes:
        """Give the message; gRPC's own limit is larger, and doesn't say a code."""
        limit = settings.BODY_LIMIT_BYTES
        if len(self.body) > limit:
            raise BodyTooLarge(limit=limit, sent=len(self.body))
        return self.body


def sync(call: Call) -> bytes:
    with _counted(call) as outcome, load.admitted():
        call.check_deadline()
        token = outcome.token = tokens.read(call.authorization)
        check_shard_is_served(token)
        source = service.publication_for(token)
        request = protobuf_wire.read_sync(call.read(), source)
        reply = service.sync(token, request, source, started=call.started)
        outcome.status = "retry" if reply.is_retry else "ok"
        outcome.answer = protobuf_wire.write_sync(reply, request.wishes)
    return outcome.answer


def pull(call: Call) -> bytes:
    with _counted(call) as outcome, load.admitted():
        call.check_deadline()
        token = outcome.token = tokens.read(call.authorization)
        check_shard_is_served(token)
        source = service.publication_for(token)
        request = protobuf_pull.read_pull(call.read(), source)
        reply = service.pull(token, request, source)
        outcome.status = "ok"
        outcome.answer = protobuf_pull.write_pull(reply, request.wishes)
    return outcome.answer


def open_stream(call: Call) -> bytes:
    """Let a TV in, as each of its syncs will be; return the 16 bytes of its id."""
    token = tokens.read(call.authorization)
    check_shard_is_served(token)
    return token.device_id.bytes


def enrol(call: Call) -> bytes:
    call.check_deadline()
    request = protobuf_wire.read_enrolment(call.read())
    # By what name it was called, gRPC doesn't tell: the TV knows.
    reply = service.enrol(request, own_sync_url="", own_grpc_target="")
    return protobuf_wire.write_enrolment(reply)


def get_cluster_status(call: Call) -> bytes:
    call.check_deadline()
    cluster_status.check_may_look(call.authorization)
    return cluster_status.answer(call.read())


def is_from_a_tv(call: Call) -> bool:
    """Tell whether its token holds, which takes no database and hardly any time."""
    try:
        tokens.read(call.authorization)
    except ConstellationError:
        return False
    return True


def turned_away(call: Call) -> ConstellationError:
    """Count a sync for which there is not even room to wait."""
    error = load.overloaded()
    outcome = _Outcome(status=error.code, answer=refused(error))
    _record(call, outcome)
    return error


def refused(error: ConstellationError) -> bytes:
    return refusals.problem(error).SerializeToString()


@dataclass
class _Outcome:
    """What there is to count, in the words of ``sync/metrics.py``."""

    status: str = ConstellationError.code
    token: DeviceToken | None = None
    answer: bytes = b""


@contextmanager
def _counted(call: Call) -> Iterator[_Outcome]:
    outcome = _Outcome()
    try:
        yield outcome
    except Exception as exc:
        error = refusals.known(exc)
        outcome.status, outcome.answer = error.code, refused(error)
        raise error from exc
    finally:
        _record(call, outcome)


def _record(call: Call, outcome: _Outcome) -> None:
    metrics.record_sync(
        shard_id=None if outcome.token is None else outcome.token.shard_id,
        status=outcome.status,
        seconds=time.perf_counter() - call.started,
        received_bytes=len(call.body),
        sent_bytes=len(outcome.answer),
    )
