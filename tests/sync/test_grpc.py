"""What only gRPC has: deadlines, compression, queues, health, reflection, TLS."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

from constellation.v1 import service_pb2, service_pb2_grpc
from constellation_site import health
from shards.exceptions import ConstellationError
from sync.exceptions import DeadlineExceeded
from sync.grpc_door import calls, servicer, workers
from sync.grpc_door import health as door_health
from sync.grpc_door.calls import Call
from sync.grpc_door.server import LIMITS, Certificate
from tests.sync import grpc_client
from tests.sync.binary import sync_message
from tests.sync.grpc_client import SERVICE, Answer, Door, WaitingThreads
from tests.sync.television import addition

SYNC_SERVICE = "constellation.v1.SyncService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

with_shard = pytest.mark.django_db(databases=["default", "shard_000"])


@pytest.fixture
def wire():
    return "grpc"


@pytest.fixture
def new_door() -> Iterator[Callable[..., Door]]:
    """Servers of a test's own, ended with it."""
    doors: list[Door] = []

    def start(executor: Any = None, **parts: Any) -> Door:
        doors.append(Door(executor or WaitingThreads(), **parts))
        return doors[-1]

    yield start
    for door in doors:
        if not door.is_stopped:
            door.stop()


def counted(status: str, shard: str = "none") -> float:
    labels = {"shard_id": shard, "status": status}
    return REGISTRY.get_sample_value("constellation_sync_requests_total", labels) or 0


# Messages


@with_shard
def test_generated_stub_is_understood(vega_tv):
    client = grpc_client.client()
    stub = service_pb2_grpc.SyncServiceStub(client.channel)
    call = stub.Sync.future(
        sync_message(vega_tv.body(added=[addition()])),
        metadata=(("authorization", vega_tv.authorization),),
    )
    client.threads.work_until_done(call)

    assert call.result().accepted.stored == 1
    assert len(vega_tv.stored()) == 1


@with_shard
@pytest.mark.parametrize(
    "compression", [grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_messages_may_be_compressed(vega_tv, compression):
    body = sync_message(vega_tv.body(added=[addition()])).SerializeToString()

    answer = grpc_client.client().call(
        "Sync", body, vega_tv.authorization, compression=compression
    )

    assert answer.grpc_status is grpc.StatusCode.OK
    assert len(vega_tv.stored()) == 1


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
@with_shard
def test_message_of_twice_the_limit_is_refused_by_grpc_itself(vega_tv, compression):
    client = grpc_client.client()
    body = bytes(512 * 1024 + 1)

    call = client.start("Sync", body, vega_tv.authorization, compression=compression)
    client.threads.work_until_done(call)

    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in call.details()


def test_metadata_beyond_the_limit_is_refused_by_grpc_itself():
    client = grpc_client.client()

    call = client.start("Sync", b"", "x" * 20_000)
    client.threads.work_until_done(call)

    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_method_that_does_not_exist_is_unimplemented():
    call = grpc_client.client().start("Forget", b"")

    assert call.exception().code() is grpc.StatusCode.UNIMPLEMENTED


def test_every_limit_is_one_that_grpc_knows():
    """A name with a mistake in it limits nothing, and nobody says so."""
    (file,) = Path(grpc.__file__).parent.glob("_cython/cygrpc*.so")
    library = file.read_bytes()

    assert [name for name, _ in LIMITS if f"{name}\0".encode() not in library] == []


# Before the message


def unsent(authorization: str | None) -> Any:
    """Call, and keep the message back for as long as it takes."""
    metadata = () if authorization is None else (("authorization", authorization),)
    client, kept = grpc_client.client(), threading.Event()

    def messages() -> Iterator[bytes]:
        kept.wait(grpc_client.TIMEOUT_SECONDS)
        yield from ()

    method: Any = client.channel.stream_unary(SERVICE + "Sync")
    call = method.future(
        messages(), metadata=metadata, timeout=grpc_client.TIMEOUT_SECONDS
    )
    call.add_done_callback(lambda _: kept.set())
    return call


@pytest.mark.parametrize("header", [None, "Device nonsense"])
def test_message_of_a_stranger_is_not_even_read(header):
    call = unsent(header)
    grpc_client.client().threads.work_until_done(call)

    code = "token_missing" if header is None else "token_invalid"
    assert Answer(call).problem["code"] == code


@with_shard
def test_message_that_does_not_come_is_not_waited_for(vega_tv, monkeypatch):
    monkeypatch.setattr(servicer, "READING_LIMIT", timedelta(milliseconds=50))

    call = done(unsent(vega_tv.authorization))

    assert Answer(call).problem["code"] == "malformed_body"


@with_shard
def test_call_without_a_message_is_malformed(vega_tv):
    method: Any = grpc_client.client().channel.stream_unary(SERVICE + "Sync")

    call = done(
        method.future(iter([]), metadata=(("authorization", vega_tv.authorization),))
    )

    assert Answer(call).problem["code"] == "malformed_body"


# Deadlines and queues


@with_shard
def test_call_that_was_given_up_while_it_waited_is_not_applied(vega_tv):
    client = grpc_client.client()
    body = sync_message(vega_tv.body(added=[addition()])).SerializeToString()
    timeout = 0.2
    while not (waiting := start_and_wait(body, vega_tv.authorization, timeout)):
        timeout *= 2  # too short for the call to come through
    call, job = waiting
    assert call.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    grpc_client.wait_until(job.cancelled)
    client.threads.work(1)

    assert vega_tv.stored() == {}


def start_and_wait(body: bytes, authorization: str, timeout: float) -> Any:
    """Give a call and what waits for it at the server; None if it came to an end."""
    client = grpc_client.client()
    call = client.start("Sync", body, authorization, timeout=timeout)
    job = client.threads.wait_for_job_of(call)
    return None if job is None else (call, job)


@with_shard
def test_call_that_is_cancelled_while_it_waits_is_not_applied(vega_tv):
    client = grpc_client.client()
    body = sync_message(vega_tv.body(added=[addition()])).SerializeToString()
    call = client.start("Sync", body, vega_tv.authorization)
    (waiting,) = client.threads.wait_for_jobs(1)
    call.cancel()
    grpc_client.wait_until(waiting.cancelled)
    client.threads.work(1)

    assert vega_tv.stored() == {}


@with_shard
@pytest.mark.parametrize("work", [calls.sync, calls.pull, calls.enrol])
def test_work_is_not_begun_after_its_deadline(vega_tv, work):
    late = Call(body=b"", authorization=None, deadline=time.monotonic())
    before = counted("deadline_exceeded")

    with pytest.raises(DeadlineExceeded):
        work(late)

    # What is no sync isn't counted as one.
    is_sync = work is not calls.enrol
    assert counted("deadline_exceeded") - before == is_sync


@with_shard
def test_what_finds_no_room_to_wait_is_turned_away(vega_tv, new_door, monkeypatch):
    monkeypatch.setattr(workers, "WAITING_PER_THREAD", 0)
    threads = WaitingThreads()
    door = new_door(threads, threads=1)
    body = sync_message(vega_tv.body(added=[addition()])).SerializeToString()
    metadata = (("authorization", vega_tv.authorization),)
    before = counted("overloaded")
    with grpc.insecure_channel(door.target) as channel:
        sync: Any = channel.unary_unary(SERVICE + "Sync")
        first = sync.future(body, metadata=metadata)
        threads.wait_for_jobs(1)
        second = Answer(done(sync.future(body, metadata=metadata)))
        threads.work_until_done(first)
        third = sync.future(body, metadata=metadata)
        threads.work_until_done(third)

    assert second.problem["code"] == "overloaded"
    assert second.problem["retry_after_seconds"] >= 10
    assert counted("overloaded") - before == 1
    # There is room again.
    assert first.code() is third.code() is grpc.StatusCode.OK


def done(call: Any) -> Any:
    call.exception(grpc_client.TIMEOUT_SECONDS)
    return call


@with_shard
def test_syncs_are_counted_like_those_of_rest(vega_tv):
    before = counted("ok", "0"), counted("retry", "0"), counted("malformed_body", "0")
    received = "constellation_sync_received_bytes_total"
    received_before = REGISTRY.get_sample_value(received, {"shard_id": "0"}) or 0
    body = sync_message(vega_tv.body(added=[addition()])).SerializeToString()

    for sent in (body, body, b"\xff"):
        vega_tv.post(sent)

    after = counted("ok", "0"), counted("retry", "0"), counted("malformed_body", "0")
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]
    received_after = REGISTRY.get_sample_value(received, {"shard_id": "0"}) or 0
    assert received_after - received_before == 2 * len(body) + 1


# Health and reflection


def no() -> bool:
    return False


def yes() -> bool:
    return True


def breaks() -> bool:
    raise RuntimeError("a bug of ours")


@pytest.mark.parametrize("is_not_ready", [no, breaks])
def test_health_follows_readiness(new_door, is_not_ready):
    state = {"probe": is_not_ready}
    door = new_door(
        is_ready=lambda: state["probe"](), health_interval=timedelta(milliseconds=20)
    )
    with grpc.insecure_channel(door.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SYNC_SERVICE)
        watch = stub.Watch(request, timeout=grpc_client.TIMEOUT_SECONDS)
        seen = [next(watch).status]
        assert stub.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING
        state["probe"] = yes
        seen.append(next(watch).status)
        assert stub.Check(health_pb2.HealthCheckRequest()).status == SERVING
        state["probe"] = is_not_ready
        seen.append(next(watch).status)
        watch.cancel()

    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_process_that_drains_is_not_ready(settings, tmp_path):
    settings.SHARD_IDS = frozenset({0})
    settings.DRAIN_FILE = tmp_path / "draining"
    before = health.is_ready()
    settings.DRAIN_FILE.touch()

    assert (before, health.is_ready()) == (True, False)


def test_server_that_stops_says_so_to_those_who_watch(new_door):
    door = new_door()
    with grpc.insecure_channel(door.target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=grpc_client.TIMEOUT_SECONDS
        )
        assert next(watch).status == SERVING
        wait_until_stopped = door.begin_to_stop()
        status = next(watch).status
        # Whoever only watches need not be waited for.
        assert list(watch) == []
        wait_until_stopped()

    assert status == NOT_SERVING


def test_health_of_a_service_that_is_not_here_is_unknown(new_door):
    with grpc.insecure_channel(new_door().target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="elsewhere")
        watch = stub.Watch(request, timeout=grpc_client.TIMEOUT_SECONDS)
        seen = next(watch).status
        watch.cancel()
        with pytest.raises(grpc.RpcError) as refused:
            stub.Check(request)
        here = stub.List(health_pb2.HealthListRequest()).statuses

    assert set(here) == {"", SYNC_SERVICE}
    assert seen == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_watchers_leave_room_for_tvs(new_door, monkeypatch):
    monkeypatch.setattr(door_health, "WATCHERS_LIMIT", 1)
    with grpc.insecure_channel(new_door().target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        first = stub.Watch(request, timeout=grpc_client.TIMEOUT_SECONDS)
        next(first)

        second = stub.Watch(request, timeout=grpc_client.TIMEOUT_SECONDS)

        assert second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.Check(request).status == SERVING
        first.cancel()


def test_who_watches_and_does_not_read_holds_nobody_up():
    class Deaf:
        """A context whose connection that takes nothing."""

        async def write(self, _message: Any) -> None:
            await asyncio.Event().wait()

    class Attentive:
        def __init__(self):
            self.heard: asyncio.Queue[int] = asyncio.Queue()

        async def write(self, message: Any) -> None:
            self.heard.put_nowait(message.status)

    async def watch() -> list[int]:
        health: Any = door_health.Health([""])
        attentive = Attentive()
        request = health_pb2.HealthCheckRequest()
        deaf = asyncio.create_task(health.Watch(request, Deaf()))
        watching = asyncio.create_task(health.Watch(request, attentive))
        seen = [await attentive.heard.get()]
        health.tell(is_ready=True)
        seen.append(await attentive.heard.get())
        health.end()
        await watching
        deaf.cancel()
        return [*seen, attentive.heard.get_nowait()]

    seen = asyncio.run(asyncio.wait_for(watch(), grpc_client.TIMEOUT_SECONDS))

    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


def test_reflection_tells_the_services_and_their_schema():
    stub = reflection_pb2_grpc.ServerReflectionStub(grpc_client.client().channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SYNC_SERVICE),
    ]

    names, schema = stub.ServerReflectionInfo(iter(asked))

    assert {service.name for service in names.list_services_response.service} == {
        SYNC_SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    files = schema.file_descriptor_response.file_descriptor_proto
    assert service_pb2.DESCRIPTOR.serialized_pb in files


# TLS


@pytest.fixture
def certificate(tmp_path) -> Certificate:
    """Of a server called localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    files = Certificate(
        certificate_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem"
    )
    files.certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files.key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def test_certificate_makes_it_tls(new_door, certificate):
    door = new_door(certificate=certificate)
    trusted = grpc.ssl_channel_credentials(certificate.certificate_file.read_bytes())
    request = health_pb2.HealthCheckRequest()
    with grpc.secure_channel(f"localhost:{door.port}", trusted) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(request)
    with (
        grpc.insecure_channel(door.target) as channel,
        pytest.raises(grpc.RpcError) as refusal,
    ):
        health_pb2_grpc.HealthStub(channel).Check(request)

    assert answer.status == SERVING
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE


# What is written about it


def errors_by_status() -> dict[str, set[str]]:
    """What docs/errors.md says that TVs and operators hear."""
    table = (Path(settings.BASE_DIR) / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|$", table, re.MULTILINE)
    return {status: set(re.findall(r"`([a-z_]+)`", codes)) for status, codes in rows}


def known_errors(
    base: type[ConstellationError] = ConstellationError,
) -> Iterator[type[ConstellationError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from known_errors(subclass)


def test_codes_are_documented_with_their_status():
    statuses = {error.code: error.grpc_status for error in known_errors()}

    documented = errors_by_status()

    assert len(documented) == 10
    for status, codes in documented.items():
        assert {code: statuses[code] for code in codes} == dict.fromkeys(codes, status)


def test_every_error_has_a_status_that_grpc_knows():
    unknown = {
        error.code
        for error in known_errors()
        if error.grpc_status not in grpc.StatusCode.__members__
    }

    assert unknown == set()
