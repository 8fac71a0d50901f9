"""A TV that speaks the binary wire: codes, ordinals, and what happens without them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest

from constellation.v1 import sync_pb2
from fleet.bundles import Address, Library
from fleet.client import JSON, PROTOBUF, Client
from fleet.dictionary import Dictionary
from fleet.errors import FleetError, GaveUp, Refused
from fleet.outbox import Outbox
from fleet.protobuf_wire import ProtobufWire
from fleet.wire import LearnedPattern
from tests.fleet.codebooks import codebook_body
from tests.fleet.patterns import direction, pattern
from tests.fleet.press import OTHER_PUBLIC, PUBLIC
from tests.fleet.vega import LOST_REPLY, Fault, Seen, Vega


@pytest.fixture
def wire() -> str:
    return PROTOBUF


@pytest.fixture
def troubles() -> list[FleetError]:
    return []


@pytest.fixture
def tv(tv: Client, troubles: list[FleetError]) -> Client:
    tv.dictionary.library = Library([PUBLIC])
    tv.on_trouble = troubles.append
    return tv


@pytest.fixture
def published(vega: Vega) -> Vega:
    """Vega with a first publication: a codebook, and ordinals for some items."""
    vega.items = {3: "film-b", 7: "film-a", 9: "content-1", 1001: "genre:thriller"}
    vega.codebooks = {1: codebook_body(1)}
    vega.publish(5)
    return vega


def news(version: int = 5) -> dict[str, Any]:
    similar = {"id": 4, "embedding": direction(2).tolist(), "success_rate": 0.9}
    return {
        "global_version": version,
        "similar": [similar],
        "trending": [
            {"content_id": "film-a", "trending_score": 0.5, "region": "global"}
        ],
        "links": [
            {"content_id": "film-a", "related": [["film-b", 0.4], ["film-x", 0.2]]}
        ],
    }


def embeddings_of(seen: Seen) -> list[tuple[str, int, int]]:
    """Encoding, codebook and bytes of each pattern that was added."""
    sent = [each["embedding"] for each in seen.body["delta"]["patterns_added"]]
    return [
        (each["encoding"], each["codebook_version"], len(each["data"]) // 2)
        for each in sent
    ]


def request_of(seen: Seen) -> sync_pb2.SyncRequest:
    return sync_pb2.SyncRequest.FromString(seen.content)


def blurred(number: int) -> LearnedPattern:
    """A pattern that the codebook of the tests describes badly."""
    embedding = np.random.default_rng(number).standard_normal(384).astype(np.float32)
    embedding /= np.linalg.norm(embedding)
    known = pattern(number)
    return LearnedPattern(
        id=known.id,
        embedding=embedding,
        watched_count=10,
        liked_count=9,
        context=known.context,
        content_ids=known.content_ids,
    )


def test_before_the_first_publication_vectors_are_int8_and_items_named(vega, tv):
    tv.sync([pattern(1)])

    assert embeddings_of(vega.syncs[0]) == [("int8", 0, 384)]
    request = request_of(vega.syncs[0])
    assert list(request.delta.packed.names) == ["genre:thriller", "content-1"]
    assert request.codebook_version == 0


def test_int8_keeps_the_direction(vega, tv):
    tv.sync([blurred(1)])

    data = vega.syncs[0].body["delta"]["patterns_added"][0]["embedding"]["data"]
    row = np.frombuffer(bytes.fromhex(data), np.int8).astype(float)
    assert row @ blurred(1).embedding / np.linalg.norm(row) > 0.9995


def test_tv_without_a_codebook_fetches_it_before_its_first_news(published, tv):
    published.news = news()

    tv.sync([pattern(1)])

    request = request_of(published.syncs[0])
    assert embeddings_of(published.syncs[0]) == [("codes", 1, 40)]
    assert request.codebook_version == 1
    assert list(request.embedding_encodings) == [4, 3]  # codes, then int8
    assert request.detail == sync_pb2.REPLY_DETAIL_COMPACT
    assert tv.received.similar_embeddings[0] @ direction(2) == pytest.approx(1)


def test_items_are_fetched_when_an_ordinal_is_unknown_and_only_then(published, tv):
    for version in (5, 6, 7):
        published.publish(version)
        published.news = news(version)
        tv.sync([])

    assert published.fetched.count("publications/5/items") == 1
    assert len([path for path in published.fetched if path.endswith("items")]) == 1
    assert tv.received.global_version == 7
    assert tv.received.trends == (("film-a", pytest.approx(0.5, abs=0.00001)),)
    assert tv.received.links == {
        "film-a": [
            ("film-b", pytest.approx(0.4, abs=0.002)),
            ("film-x", pytest.approx(0.2, abs=0.002)),  # by name: it has no ordinal
        ]
    }


def test_known_items_go_as_ordinals_and_others_by_name(published, tv):
    published.news = news()
    tv.sync([])

    tv.sync([pattern(1), pattern(2)])

    packed = request_of(published.syncs[1]).delta.packed
    assert list(packed.names) == ["content-2"]
    assert list(packed.genre_hints.references) == [1 + 1001, 1 + 1001]
    assert list(packed.content_ids.references) == [1 + 9, 0]
    contexts = [
        each["context"] for each in published.syncs[1].body["delta"]["patterns_added"]
    ]
    assert [each["content_ids"] for each in contexts] == [["content-1"], ["content-2"]]
    assert {each["genre_hints"][0] for each in contexts} == {"thriller"}
    assert {each["time_of_day"] for each in contexts} == {"evening"}


def test_news_whose_items_cannot_be_had_are_asked_for_again(published, tv, troubles):
    published.news = news()
    items = published.bundles.pop("publications/5/items")

    tv.sync([pattern(1)])
    published.bundles["publications/5/items"] = items
    tv.sync([pattern(1)])

    assert [trouble.code for trouble in troubles] == ["bundle_unknown"]
    assert tv.outbox.confirmed_version == 2
    assert "global_version" not in published.syncs[1].body
    assert tv.received.global_version == 5
    assert tv.received.trends[0][0] == "film-a"


def test_garbled_news_are_no_reason_to_doubt_the_delta():
    reply = sync_pb2.SyncReply(accepted=sync_pb2.Accepted(stored=3), local_version=7)
    reply.global_news.similar.id_deltas.append(1)  # without its vector

    read = ProtobufWire(Dictionary()).read_sync(reply.SerializeToString())

    assert (read.accepted["stored"], read.local_version) == (3, 7)
    assert read.news is None
    assert (
        str(read.trouble) == "the news lack or garble global patterns without vectors"
    )


def test_newer_codebook_is_fetched_when_a_reply_names_it(published, tv):
    tv.sync([pattern(1)])
    published.codebooks[2] = codebook_body(2, seed=8)
    published.publish(6)

    tv.sync([pattern(1), pattern(2)])
    tv.sync([pattern(1), pattern(2), pattern(3)])

    assert [embeddings_of(seen) for seen in published.syncs] == [
        [("codes", 1, 40)],
        [("codes", 1, 40)],
        [("codes", 2, 40)],
    ]


def test_delta_is_written_in_the_same_bytes_whatever_was_fetched_since(
    published, tv, tmp_path, http
):
    """Unplugged, and back with another codebook and with ordinals for its items."""
    tv.state_path = tmp_path / "tv.json"
    tv.enrol()
    published.faults += [LOST_REPLY] * 4
    with pytest.raises(GaveUp):
        tv.sync([pattern(1), blurred(2)])
    published.codebooks[2] = codebook_body(2, seed=8)
    published.publish(6)

    back = switched_on(tv, http)
    back.dictionary.read_up(
        Address(f"{published.url}/api/v1/", 6),
        lambda url: http.get(url).content,
        with_items=True,
    )
    back.sync([pattern(1), pattern(3)])

    assert back.dictionary.codebook_version == 2
    assert {seen.delta_bytes for seen in published.syncs} == {
        published.syncs[0].delta_bytes
    }
    assert published.home.applied_count == 1


def switched_on(tv: Client, http: httpx.Client, *, wire: str = PROTOBUF) -> Client:
    assert tv.state_path is not None
    return Client(
        server=tv.server,
        enrolment_key=tv.enrolment_key,
        outbox=Outbox.load(tv.state_path),
        http=http,
        wire=wire,
        dictionary=Dictionary(Library([PUBLIC])),
        state_path=tv.state_path,
        pause=tv.pause,
    )


@pytest.mark.parametrize(("first", "then"), [(JSON, PROTOBUF), (PROTOBUF, JSON)])
def test_delta_is_sent_again_on_the_wire_that_wrote_it(
    vega, tv, tmp_path, http, first, then
):
    tv.state_path = tmp_path / "tv.json"
    tv.wire = first
    tv.enrol()
    vega.faults += [LOST_REPLY] * 4
    with pytest.raises(GaveUp):
        tv.sync([pattern(1)])

    back = switched_on(tv, http, wire=then)
    back.sync([pattern(1)])
    back.sync([pattern(1), pattern(2)])

    assert [seen.is_binary for seen in vega.syncs[-2:]] == [
        first == PROTOBUF,
        then == PROTOBUF,
    ]
    assert vega.home.applied_count == 2
    assert len(vega.home.rows) == 2


def test_codebook_that_is_no_longer_understood_is_replaced(published, tv):
    tv.sync([pattern(1)])
    published.codebooks = {6: codebook_body(6)}
    published.publish(6)

    tv.sync([pattern(1), pattern(2)])

    assert embeddings_of(published.syncs[1]) == [("codes", 1, 40)]
    assert embeddings_of(published.syncs[2]) == [("codes", 6, 40)]
    assert sorted(published.home.rows) == [str(UUID(int=1)), str(UUID(int=2))]
    assert published.home.version == 2


def test_delta_applied_before_its_codebook_was_dropped_is_not_counted_twice(
    published, tv
):
    """Its answer was lost. Written anew it is other content under a used version."""
    tv.enrol()
    published.faults += [LOST_REPLY] * 4
    with pytest.raises(GaveUp):
        tv.sync([pattern(1)])
    published.codebooks = {6: codebook_body(6)}
    published.publish(6)

    tv.sync([pattern(1), pattern(2)])

    assert published.home.rows == {
        str(UUID(int=1)): (0.9, 10),
        str(UUID(int=2)): (0.9, 10),
    }
    assert published.home.version == tv.outbox.confirmed_version == 2


def test_codebook_that_cannot_be_had_is_done_without(published, tv):
    """What is published still names one that the server doesn't understand."""
    tv.sync([])
    published.codebooks = {6: codebook_body(6)}

    tv.sync([pattern(1)])

    assert [embeddings_of(seen) for seen in published.syncs[1:]] == [
        [("codes", 1, 40)],
        [("int8", 0, 384)],
    ]
    assert published.home.version == 2


def test_server_that_is_behind_its_publication_gets_numbers(published, tv):
    """One of its processes is still reading what caches have already."""
    understood = published.codebooks
    published.codebooks = {}

    tv.sync([pattern(1)])
    published.codebooks = understood
    tv.sync([pattern(1), pattern(2)])

    assert [embeddings_of(seen) for seen in published.syncs] == [
        [("codes", 1, 40)],
        [("int8", 0, 384)],
        [("codes", 1, 40)],
    ]
    assert published.home.applied_count == 2


def test_patterns_that_codes_describe_badly_wait_for_deltas_of_their_own(published, tv):
    known = [blurred(1), pattern(2), blurred(3), blurred(4), pattern(5)]

    for _ in range(4):
        tv.sync(known)

    assert [embeddings_of(seen) for seen in published.syncs] == [
        [("codes", 1, 40)] * 2,
        [("int8", 0, 384)] * 2,
        [("int8", 0, 384)],
        [],
    ]
    assert len(published.home.rows) == len(known)
    assert not tv.outbox.owes(known)


def test_refused_delta_goes_next_time_in_the_plainest_form(published, tv):
    published.news = news()
    tv.sync([])
    refusal = {"code": "invalid_request", "field": "delta.patterns_added[0].embedding"}
    published.faults.append(Fault(422, refusal))
    with pytest.raises(Refused):
        tv.sync([pattern(1)])

    tv.sync([pattern(1)])
    tv.sync([pattern(1), pattern(2)])

    plain, usual = published.syncs[-2:]
    assert embeddings_of(plain) == [("int8", 0, 384)]
    assert list(request_of(plain).delta.packed.names) == ["genre:thriller", "content-1"]
    assert embeddings_of(usual) == [("codes", 1, 40)]
    assert sorted(published.home.rows) == [str(UUID(int=1)), str(UUID(int=2))]


def test_bundles_of_a_stranger_are_done_without(published, tv, troubles):
    tv.dictionary.library = Library([OTHER_PUBLIC])

    tv.sync([pattern(1)])

    assert {trouble.code for trouble in troubles} == {"bundle_untrusted"}
    assert embeddings_of(published.syncs[0]) == [("int8", 0, 384)]
    assert published.home.applied_count == 1


def test_older_publication_takes_no_tv_back(published, tv, troubles):
    tv.sync([])
    published.codebooks = {2: codebook_body(2)}
    published.publish(4)

    tv.sync([])

    assert tv.dictionary.version == 5
    assert tv.dictionary.codebook_version == 1
    assert troubles == []


def test_ended_token_is_the_syncs_to_mend(published, tv, troubles):
    tv.enrol()
    published.home.token = "another"

    tv.sync([pattern(1)])

    assert troubles == []
    assert published.tokens_given == 2
    assert embeddings_of(published.syncs[-1]) == [("codes", 1, 40)]


def test_nothing_new_is_small(published, tv):
    tv.sync([pattern(1)])

    result = tv.sync([pattern(1)])

    assert result.bytes_up <= 128
    assert result.bytes_down <= 128


def test_busy_cache_does_not_keep_a_tv_from_syncing(published, tv, troubles, waits):
    manifest = published.bundles.pop("publications/5/manifest")
    tv.enrol()
    published.faults.append(Fault(503, {"code": "busy"}, {"Retry-After": "86400"}))

    tv.sync([pattern(1)])
    published.bundles["publications/5/manifest"] = manifest
    tv.sync([pattern(1)])

    # Before the first news, and when they named a codebook; the fault was over by then.
    assert [trouble.code for trouble in troubles] == ["busy", "bundle_unknown"]
    assert waits == []
    assert tv.outbox.confirmed_version == 2
    assert tv.dictionary.codebook_version == 1


def test_fleet_shares_what_it_fetched(published, http, waits):
    library = Library([PUBLIC])
    published.news = news()
    for number in range(1, 6):
        Client(
            server=published.url,
            enrolment_key="vega-key",
            outbox=Outbox(device_id=UUID(int=number)),
            http=http,
            wire=PROTOBUF,
            dictionary=Dictionary(library),
            pause=waits.append,
        ).sync([])

    assert sorted(published.fetched) == [
        "codebooks/1",
        "publications/5/items",
        "publications/5/manifest",
    ]
