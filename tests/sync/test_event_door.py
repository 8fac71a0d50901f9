"""Syncs on an event loop: what meets is written together, and nobody waits in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import orjson
import pytest
from django.db import connections, transaction
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # not in __all__
from prometheus_client import REGISTRY

from federation import holding
from patterns.services import loop_commit
from shards.models import Device
from sync import event_door, exchange, load, service
from sync.threads import DatabaseThreads
from tests.running import wait_for
from tests.sync.binary import PROTOBUF, sync_document
from tests.sync.loop_client import Protocol, Scope, head
from tests.sync.packing import packed_message
from tests.sync.publishing import publish
from tests.sync.television import SYNC, Television, addition

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"], transaction=True)

CENTROIDS = np.random.default_rng(1).normal(size=(300, 384))


@pytest.fixture(autouse=True)
def _threads_keep_no_connection(monkeypatch) -> None:
    """Else the databases of the suite could not be dropped."""

    class Threads(DatabaseThreads):
        def submit(self, function, /, *given, **named):
            def call() -> object:
                try:
                    return function(*given, **named)
                finally:
                    connections.close_all()

            return super().submit(call)

    monkeypatch.setattr(event_door, "DatabaseThreads", Threads)


@pytest.fixture
def watched(vega) -> Iterator[None]:
    """A publication that nobody has to wait for."""
    publish("shard_000", version=3, centroids=CENTROIDS)
    holding.watch(["shard_000"], prepare=lambda _: None)
    yield
    holding.forget()


async def behind_the_door(scope, protocol) -> None:
    protocol.response_bytes(204, [("X-Asked", scope.path)], b"")


def request(tv: Television, body: bytes | None = None, **parts) -> Protocol:
    """What a TV has to say next, or these bytes."""
    if body is None:
        sent = {"embedding_encodings": ["float32"]} | tv.body(**parts)
        body = packed_message(sent).SerializeToString()
    return Protocol(body)


def answer(*asking: tuple[Television, Protocol], **changed: str) -> list[Protocol]:
    """Have them come at once."""
    door = event_door.in_front_of(behind_the_door, event_door.Door())

    async def come() -> None:
        try:
            scopes = [_scope(tv, protocol, **changed) for tv, protocol in asking]
            await asyncio.gather(
                *(
                    door(scope, protocol)
                    for scope, (_, protocol) in zip(scopes, asking, strict=True)
                )
            )
        finally:
            await loop_commit.close_all()

    asyncio.run(come())
    return [protocol for _, protocol in asking]


def _scope(tv: Television, protocol: Protocol, **changed: str) -> Scope:
    headers = {"authorization": tv.authorization} | changed
    content_type = headers.pop("content_type", PROTOBUF)
    path = headers.pop("path", SYNC)
    method = headers.pop("method", "POST")
    scope = head(path, protocol.body, content_type=content_type, headers=headers)
    scope.method = method
    return scope


def groups_and_syncs() -> list[float]:
    name = "constellation_group_commit_size"
    values = (REGISTRY.get_sample_value(f"{name}_{end}") for end in ("count", "sum"))
    return [value or 0.0 for value in values]


@pytest.mark.usefixtures("watched")
def test_those_who_come_together_are_written_together(enrol_tv, vega):
    tvs = [enrol_tv(vega) for _ in range(5)]
    before = groups_and_syncs()

    answers = answer(*((tv, request(tv, added=[addition()])) for tv in tvs))

    groups, syncs = np.subtract(groups_and_syncs(), before)
    assert [each.status for each in answers] == [200] * 5
    assert (groups, syncs) == (1, 5)
    assert all(len(tv.stored()) == 1 for tv in tvs)


@pytest.mark.usefixtures("watched")
def test_each_is_answered_as_if_it_had_come_alone(enrol_tv, vega):
    tvs = [enrol_tv(vega) for _ in range(3)]
    asked = [
        request(tv, added=[addition(seed=seed), addition(seed=seed + 1)])
        for seed, tv in zip((1, 5, 9), tvs, strict=True)
    ]

    together = [
        sync_document(each.answer) for each in answer(*zip(tvs, asked, strict=True))
    ]
    alone = [
        sync_document(answer((tv, Protocol(each.body)))[0].answer)
        for tv, each in zip(tvs, asked, strict=True)
    ]

    for ours, theirs in zip(together, alone, strict=True):
        assert len(ours["global"]["similar"]) == 100
        assert ours["global"] == theirs["global"]


@pytest.mark.usefixtures("watched")
def test_two_syncs_of_one_tv_are_never_in_one_group(vega_tv, vega_neighbour):
    first = request(vega_tv, added=[addition()], base_version=0)
    vega_tv.local_version += 1
    second = request(vega_tv, added=[addition()], base_version=1)
    before = groups_and_syncs()

    answers = answer(
        (vega_tv, first), (vega_tv, second), (vega_neighbour, request(vega_neighbour))
    )

    assert [each.status for each in answers] == [200] * 3
    assert np.subtract(groups_and_syncs(), before).tolist() == [2, 3]
    assert len(vega_tv.stored()) == 2


@pytest.mark.usefixtures("watched")
def test_only_the_guilty_sync_of_a_group_gets_the_error(
    vega_tv, vega_neighbour, monkeypatch
):
    guilty = request(vega_tv, added=[addition(seed=7)])
    assign = holding.current("shard_000").__class__.assign

    def fail_for_one(publication, embeddings):
        if np.allclose(embeddings[:, 0], addition(seed=7)["embedding"][0], atol=1e-3):
            raise ArithmeticError("no cells today")
        if len(embeddings) > 1:
            raise ArithmeticError("nor for the group")
        return assign(publication, embeddings)

    monkeypatch.setattr("federation.publication.LoadedPublication.assign", fail_for_one)

    told, other = answer(
        (vega_tv, guilty), (vega_neighbour, request(vega_neighbour, added=[addition()]))
    )

    assert told.status == 500
    assert other.status == 200
    assert (len(vega_tv.stored()), len(vega_neighbour.stored())) == (0, 1)


@pytest.mark.usefixtures("watched")
def test_a_tv_that_is_written_elsewhere_keeps_no_other_waiting(vega_tv, vega_neighbour):
    is_answered, may_go_on = threading.Event(), threading.Event()

    def write_elsewhere() -> None:
        with transaction.atomic(using="shard_000"):
            Device.objects.using("shard_000").select_for_update().get(
                pk=vega_tv.device_id
            )
            is_answered.set()
            may_go_on.wait(60)
        connections.close_all()

    elsewhere = threading.Thread(target=write_elsewhere)
    elsewhere.start()
    assert is_answered.wait(60)
    waiting = request(vega_tv, added=[addition()])
    other = request(vega_neighbour, added=[addition()])

    coming = threading.Thread(
        target=answer, args=((vega_tv, waiting), (vega_neighbour, other))
    )
    coming.start()
    wait_for(lambda: other.status)
    was_waiting = waiting.status == 0
    may_go_on.set()
    coming.join(60)
    elsewhere.join(60)

    assert (other.status, was_waiting, waiting.status) == (200, True, 200)


@pytest.mark.usefixtures("watched")
def test_a_connection_that_was_cut_costs_no_sync(vega_tv):
    door = event_door.in_front_of(behind_the_door, event_door.Door())
    first = request(vega_tv, added=[addition()])
    vega_tv.local_version += 1
    second = request(vega_tv, added=[addition()])

    async def come() -> None:
        try:
            await door(_scope(vega_tv, first), first)
            await asyncio.to_thread(cut_all_connections)
            await door(_scope(vega_tv, second), second)
        finally:
            await loop_commit.close_all()

    asyncio.run(come())

    assert (first.status, second.status) == (200, 200)
    assert len(vega_tv.stored()) == 2


def cut_all_connections() -> None:
    name = connections["shard_000"].settings_dict["NAME"]
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = %s AND backend_type = 'client backend'"
            " AND query LIKE '%%held AS MATERIALIZED%%'",
            [name],
        )
    connections.close_all()


def test_what_would_have_to_wait_for_a_publication_is_answered_in_a_thread(vega_tv):
    """Nothing was read yet: the first who comes has to ask the shard."""
    publish("shard_000", version=3, centroids=CENTROIDS)

    (told,) = answer((vega_tv, request(vega_tv, added=[addition()])))

    assert told.status == 200
    assert len(sync_document(told.answer)["global"]["similar"]) == 100


@pytest.mark.usefixtures("watched")
def test_refusals_are_problems(vega_tv):
    """One without a token that holds is told so before its body is read."""
    stranger = Television(uuid4(), "shard_000", token="x" * 84)

    no_token, no_message = answer(
        (stranger, request(stranger)), (vega_tv, request(vega_tv, b"\xff"))
    )

    assert (no_token.status, no_message.status) == (401, 400)
    assert orjson.loads(no_token.answer)["code"] == "token_invalid"
    assert no_token.read_bytes == 0
    assert orjson.loads(no_message.answer)["code"] == "malformed_body"
    assert load.used_fraction() == 0


@pytest.mark.usefixtures("watched")
def test_bug_is_counted_logged_and_told_without_its_details(
    vega_tv, monkeypatch, caplog
):
    def fails(*_, **__):
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(service, "sync_soon", fails)

    before = answered("internal_error")

    (told,) = answer((vega_tv, request(vega_tv)))

    assert told.status == 500
    assert answered("internal_error") - before == 1
    assert b"secret" not in told.answer
    assert "a secret of ours" in caplog.text
    assert load.used_fraction() == 0


def answered(status: str, *, shard_id: str = "0") -> float:
    labels = {"shard_id": shard_id, "status": status}
    return REGISTRY.get_sample_value("constellation_sync_requests_total", labels) or 0.0


def sent_away() -> float:
    return answered("overloaded", shard_id="none")


@pytest.mark.parametrize("content_type", [PROTOBUF, "application/json"])
def test_too_many_at_once_are_sent_away_unread(vega_tv, monkeypatch, content_type):
    monkeypatch.setattr(load, "_on_loop", load.LOOP_PLACES)
    before = sent_away()

    (told,) = answer((vega_tv, request(vega_tv)), content_type=content_type)

    problem, headers = orjson.loads(told.answer), dict(told.headers)
    assert told.status == 503
    assert problem["code"] == "overloaded"
    assert int(headers["Retry-After"]) == problem["retry_after_seconds"] > 0
    assert told.read_bytes == 0
    assert sent_away() - before == 1


def test_those_who_are_sent_away_are_told_when_to_come_as_by_any_other_error():
    one, other = exchange.sent_away(), exchange.sent_away()

    assert [name for name, _ in one.headers] == [name for name, _ in other.headers]
    for each in (one, other):
        seconds = orjson.loads(each.body)["retry_after_seconds"]
        assert 10 <= seconds <= 7200
        assert dict(each.headers)["Retry-After"] == str(seconds)


class Gone(Protocol):
    """The body of a TV that went away before it was all there."""

    async def __call__(self) -> bytes:
        raise ProtocolClosed

    def response_bytes(self, *_) -> None:
        raise ProtocolClosed


@pytest.mark.usefixtures("watched")
def test_a_tv_that_goes_away_disturbs_nobody(vega_tv, vega_neighbour):
    gone, other = answer(
        (vega_tv, Gone(b"")), (vega_neighbour, request(vega_neighbour))
    )

    assert (gone.status, other.status) == (0, 200)
    assert load.used_fraction() == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "GET"},
        {"method": "OPTIONS"},
        {"path": SYNC + "/"},
        {"path": "/api/v1/info"},
        {"content_type": "application/json"},
        {"content_length": str(event_door.LARGEST_BODY_BYTES + 1)},
        {"content_length": "many"},
    ],
    ids=str,
)
def test_everything_unusual_is_left_to_what_stands_behind(vega_tv, changed):
    (told,) = answer((vega_tv, request(vega_tv)), **changed)

    assert (told.status, told.read_bytes) == (204, 0)
