"""A TV keeps its promises whatever the line and the server do."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from fleet.client import JSON, PROTOBUF, Client
from fleet.errors import FleetError, GaveUp, Refused, UnreadableReply
from fleet.outbox import Outbox
from tests.fleet.patterns import pattern
from tests.fleet.vega import LOST_REPLY, LOST_REQUEST, Fault, Vega

TOKEN_EXPIRED = Fault(401, {"code": "token_expired"})


def test_first_sync_enrols_and_tells_everything(vega, tv):
    tv.sync([pattern(1), pattern(2)])

    told = [seen.path for seen in vega.requests if seen.method == "POST"]
    assert told == ["/api/v1/devices", "/api/v1/sync"]
    assert vega.home.rows == {str(UUID(int=1)): (0.9, 10), str(UUID(int=2)): (0.9, 10)}


def test_nothing_new_is_an_empty_delta_on_the_next_version(vega, tv):
    tv.sync([pattern(1)])

    tv.sync([pattern(1)])

    assert vega.syncs[1].body["delta"] == {
        "patterns_added": [],
        "patterns_updated": [],
        "patterns_removed": [],
        "local_version": 2,
    }


@pytest.mark.parametrize("fault", [LOST_REQUEST, LOST_REPLY])
def test_delta_is_the_same_until_it_is_confirmed(vega, tv, fault):
    tv.enrol()
    vega.faults += [fault, fault]

    tv.sync([pattern(1)])

    bodies = [seen.body for seen in vega.syncs]
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]
    assert vega.home.applied_count == 1


def test_what_was_learned_while_a_delta_was_out_goes_with_the_next(vega, tv):
    tv.enrol()
    vega.faults += [LOST_REPLY] * 4
    with pytest.raises(GaveUp):
        tv.sync([pattern(1)])

    tv.sync([pattern(1, watched=12, liked=11), pattern(2)])  # still the old delta
    tv.sync([pattern(1, watched=12, liked=11), pattern(2)])

    assert [seen.body["delta"]["local_version"] for seen in vega.syncs[-2:]] == [1, 2]
    rate, samples = vega.home.rows[str(UUID(int=1))]
    assert (round(rate * samples), samples) == (11, 12)
    assert vega.home.rows[str(UUID(int=2))] == (0.9, 10)


def test_giving_up_says_why_and_keeps_the_delta(vega, tv):
    tv.enrol()
    vega.faults += [Fault(503, {"code": "shard_unavailable"})] * 4

    with pytest.raises(GaveUp) as failure:
        tv.sync([pattern(1)])

    assert failure.value.code == "shard_unavailable"
    assert tv.outbox.pending is not None


def test_a_tv_that_gave_up_comes_back_at_its_pace_or_later(vega, tv):
    tv.sync([])
    paces = []

    for _ in range(20):
        # One of them meets a TV that asks whether its shard has moved.
        vega.faults.clear()
        vega.faults.extend([LOST_REQUEST] * 5)
        with pytest.raises(GaveUp):
            tv.sync([pattern(1)])
        paces.append(tv.next_sync_seconds / vega.next_sync_seconds)

    assert min(paces) >= 1
    assert max(paces) <= 2
    assert len(set(paces)) == 20


def test_no_server_at_all_is_given_up_by_name(tv):
    tv.server = "http://127.0.0.1:1"

    with pytest.raises(GaveUp) as failure:
        tv.sync([pattern(1)])

    assert failure.value.code == "connect_error"


def test_busy_server_is_left_alone_as_long_as_it_asks(vega, tv, waits):
    tv.enrol()
    vega.faults.append(Fault(503, {"code": "overloaded"}, {"Retry-After": "120"}))

    tv.sync([pattern(1)])

    assert len(waits) == 1
    assert waits[0] >= 120


def test_refused_token_is_replaced_by_enrolling_again(vega, tv):
    tv.enrol()
    vega.faults.append(TOKEN_EXPIRED)

    tv.sync([pattern(1)])

    assert vega.tokens_given == 2
    assert vega.home.applied_count == 1
    assert vega.syncs[0].body == vega.syncs[1].body


def test_token_refused_twice_is_an_error_and_nothing_is_lost(vega, tv):
    tv.enrol()
    vega.faults += [TOKEN_EXPIRED, None, TOKEN_EXPIRED]  # enrolled in between

    with pytest.raises(Refused) as refusal:
        tv.sync([pattern(1)])

    assert refusal.value.code == "token_expired"
    assert tv.outbox.pending is not None


def test_enrolment_key_that_is_no_longer_taken_is_an_error(vega, tv):
    tv.enrol()
    vega.faults.append(TOKEN_EXPIRED)
    tv.enrolment_key = "some other key"

    with pytest.raises(Refused) as refusal:
        tv.sync([pattern(1)])

    assert refusal.value.code == "enrolment_key_invalid"
    assert tv.outbox.pending is not None


def test_shard_that_moved_is_found_by_enrolling_again(vega, tv):
    tv.enrol()
    vega.faults.append(Fault(421, {"code": "shard_not_served"}))

    tv.sync([pattern(1)])

    assert vega.tokens_given == 2
    assert vega.home.applied_count == 1


def test_shard_where_nobody_answers_is_looked_for_by_enrolling_again(vega, tv):
    tv.sync([])
    tv.outbox.sync_url = "http://127.0.0.1:1/api/v1/sync"
    with pytest.raises(GaveUp):
        tv.sync([pattern(1)])

    tv.sync([pattern(1)])

    assert vega.tokens_given == 2
    assert vega.home.version == 2


def test_busy_shard_is_not_looked_for(vega, tv):
    tv.sync([])
    vega.faults += [Fault(503, {"code": "overloaded"})] * 4
    with pytest.raises(GaveUp):
        tv.sync([pattern(1)])

    tv.sync([pattern(1)])

    assert vega.tokens_given == 1


def test_revoked_tv_stops(vega, tv, waits):
    tv.enrol()
    vega.faults.append(Fault(403, {"code": "device_revoked", "detail": "Revoked."}))

    with pytest.raises(Refused) as refusal:
        tv.sync([pattern(1)])

    assert (refusal.value.status, refusal.value.code) == (403, "device_revoked")
    assert waits == []


def test_server_that_stands_elsewhere_is_told_everything_again(vega, tv):
    """After a gap the server holds what the TV knows, and nothing else."""
    tv.sync([pattern(1), pattern(2)])
    vega.home.version, vega.home.last_delta = 7, {}  # a restored backup, say

    tv.sync([pattern(2, watched=12, liked=11), pattern(3)])

    again = vega.syncs[-1].body
    assert (again["base_version"], again["delta"]["local_version"]) == (7, 8)
    assert [each["id"] for each in again["delta"]["patterns_added"]] == [
        str(UUID(int=2)),
        str(UUID(int=3)),
    ]
    rate, samples = vega.home.rows.pop(str(UUID(int=2)))
    assert (round(rate * samples), samples) == (11, 12)
    assert vega.home.rows == {str(UUID(int=3)): (0.9, 10)}


def test_forgotten_tv_starts_over_from_nothing(vega, tv):
    tv.sync([pattern(1)])
    tv.sync([pattern(1)])
    vega.home.version, vega.home.last_delta, vega.home.rows = 0, {}, {}

    tv.sync([pattern(1)])

    assert vega.home.rows == {str(UUID(int=1)): (0.9, 10)}
    assert vega.home.version == 1


def test_version_used_with_other_content_is_passed_over(vega, tv):
    """A TV restored from a backup made another delta under a version it had used."""
    tv.sync([pattern(1)])
    tv.outbox = Outbox(device_id=tv.outbox.device_id, token=tv.outbox.token)

    tv.sync([pattern(1), pattern(2)])

    assert vega.home.version == 2
    assert sorted(vega.home.rows) == [str(UUID(int=1)), str(UUID(int=2))]


def test_server_that_asks_for_a_resync_gets_one_next_time(vega, tv):
    vega.asks_for_resync = True
    tv.sync([pattern(1)])

    tv.sync([pattern(1)])

    again = vega.syncs[-1].body["delta"]
    assert [each["id"] for each in again["patterns_added"]] == [str(UUID(int=1))]


def test_refusal_names_code_and_field_and_frees_the_version(vega, tv):
    tv.enrol()
    problem = {"code": "invalid_request", "field": "delta.patterns_added[0].embedding"}
    vega.faults.append(Fault(422, problem))

    with pytest.raises(Refused) as refusal:
        tv.sync([pattern(1)])
    tv.sync([pattern(2)])

    assert refusal.value.code == "invalid_request"
    assert refusal.value.field == "delta.patterns_added[0].embedding"
    assert vega.home.rows == {str(UUID(int=2)): (0.9, 10)}
    assert vega.home.version == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"unexpected": True}),
        (200, {"accepted": 3, "global": {}, "local_version": 1}),
        (200, {"accepted": {}, "global": {}, "local_version": "one"}),
    ],
)
def test_garbled_reply_confirms_nothing(vega, tv, status, body):
    tv.enrol()
    vega.faults.append(Fault(status, body, is_applied=True))

    with pytest.raises(UnreadableReply):
        tv.sync([pattern(1)])
    tv.sync([pattern(1)])

    assert vega.syncs[0].body == vega.syncs[1].body
    assert vega.home.applied_count == 1


@pytest.mark.parametrize("wire", [JSON])
def test_garbled_news_are_no_reason_to_doubt_the_delta(vega, tv):
    """Or a TV that can't read them would tell that one delta for ever."""
    troubles: list[FleetError] = []
    tv.on_trouble = troubles.append
    vega.news = {"global_version": 18, "similar": [{"embedding": "none"}]}

    tv.sync([pattern(1)])
    tv.sync([pattern(1), pattern(2)])

    assert [trouble.code for trouble in troubles] == ["unreadable_reply"] * 2
    assert "global_version" not in vega.syncs[1].body
    assert tv.outbox.confirmed_version == 2
    assert len(vega.home.rows) == 2


@pytest.mark.parametrize("version", [-1, "7", 2**63, None])
def test_conflict_with_no_version_is_a_refusal(vega, tv, version):
    tv.enrol()
    vega.faults.append(Fault(409, {"code": "version_gap", "local_version": version}))

    with pytest.raises(Refused):
        tv.sync([pattern(1)])
    tv.sync([pattern(1)])

    assert vega.home.applied_count == 1
    assert tv.outbox.confirmed_version == 1


@pytest.mark.parametrize("address", ["ftp://shard.example/", "http://a:b:c"])
def test_address_that_nobody_can_sync_at_is_not_kept(vega, tv, address):
    vega.sync_url = address

    with pytest.raises(UnreadableReply):
        tv.sync([pattern(1)])
    vega.sync_url = None
    tv.sync([pattern(1)])

    assert vega.home.applied_count == 1


def test_large_delta_is_compressed_and_small_one_is_not(vega, tv):
    tv.sync([pattern(number) for number in range(1, 20)])
    tv.sync([pattern(number) for number in range(1, 20)])

    large, small = vega.syncs
    assert large.headers["content-encoding"] == "zstd"
    assert "content-encoding" not in small.headers
    assert large.headers["accept-encoding"] == "zstd, gzip"


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_bytes_are_counted_as_they_cross_the_wire(vega, tv, encoding):
    tv.enrol()
    vega.encoding = encoding
    vega.news = {"global_version": 0, "padding": "x" * 5_000}

    result = tv.sync([pattern(number) for number in range(1, 20)])

    assert result.bytes_up == len(vega.syncs[0].raw)
    assert result.bytes_down == vega.reply_sizes[-1]


def test_every_attempt_costs_bytes(vega, tv):
    tv.enrol()
    vega.faults.append(LOST_REPLY)

    result = tv.sync([pattern(1)])

    assert result.attempts == 2
    assert result.bytes_up == 2 * len(vega.syncs[0].raw)


def test_what_the_fleet_learned_is_taken_in_and_kept(vega, tv, wire):
    vega.news = {
        "similar": [
            {
                "id": 5,
                "embedding": [1.0] + [0.0] * 383,
                "success_rate": 0.9,
                "sample_count": 80,
                "context": {},
                "content_ids": ["a", "b"],
            }
        ],
        "trending": [{"content_id": "a", "trending_score": 0.8, "region": "global"}],
        "links": [{"content_id": "a", "related": [["b", 0.5]]}],
        "global_version": 18,
    }
    tv.sync([])
    vega.news = {"global_version": 18}  # up to date: the lists are left out

    tv.sync([])

    assert vega.syncs[1].body["global_version"] == 18
    assert tv.received.similar_embeddings.tolist() == [[1.0] + [0.0] * 383]
    assert tv.received.similar_success == pytest.approx([0.9], abs=0.002)
    assert tv.received.trends == (("a", pytest.approx(0.8, abs=0.00001)),)
    assert tv.received.links == {"a": [("b", pytest.approx(0.5, abs=0.002))]}
    # A compact reply leaves out what a pattern's contents are.
    contents = () if wire == PROTOBUF else ("a", "b")
    assert tv.received.similar_content_ids == (contents,)


def test_first_sync_claims_no_global_version(vega, tv):
    tv.sync([])

    assert "global_version" not in vega.syncs[0].body


def test_server_says_when_to_come_back(tv):
    result = tv.sync([])

    assert result.next_sync_seconds == tv.next_sync_seconds == 432


@pytest.mark.parametrize(("said", "kept"), [(0, 600), (2**32 - 1, 24 * 3600), (1, 1)])
def test_server_cannot_make_a_tv_ask_all_the_time_or_never(vega, tv, said, kept):
    vega.next_sync_seconds = said

    assert tv.sync([]).next_sync_seconds == kept


@pytest.mark.parametrize("given", ["", "/api/v1/sync", "/", "/api/v1/sync?"])
def test_sync_url_may_be_whole_or_only_the_shard(vega, tv, given):
    vega.sync_url = vega.url + given.rstrip("?")

    tv.sync([pattern(1)])

    assert vega.home.applied_count == 1


def test_delta_is_on_disk_before_it_is_on_the_wire(vega, tv, tmp_path, http):
    """Unplugged after sending, the TV sends the very same delta when it is back."""
    tv.state_path = tmp_path / "tv.json"
    tv.enrol()
    vega.faults += [LOST_REPLY] * 4
    with pytest.raises(GaveUp):
        tv.sync([pattern(1)])

    back = _switched_on(tv, http)
    back.sync([pattern(1), pattern(2)])

    assert vega.syncs[-1].body == vega.syncs[0].body
    assert vega.home.applied_count == 1
    assert vega.tokens_given == 1


def test_tv_that_is_back_tells_only_what_changed(vega, tv, tmp_path, http):
    tv.state_path = tmp_path / "tv.json"
    tv.sync([pattern(1), pattern(2)])

    _switched_on(tv, http).sync([pattern(1), pattern(3)])

    delta = vega.syncs[-1].body["delta"]
    assert [each["id"] for each in delta["patterns_added"]] == [str(UUID(int=3))]
    assert delta["patterns_removed"] == [str(UUID(int=2))]


def test_tv_that_leaves_is_forgotten_and_may_come_again(vega, tv):
    tv.sync([pattern(1)])

    tv.leave()

    assert vega.homes == {}
    assert (tv.outbox.token, tv.outbox.confirmed_version) == (None, 0)


def _switched_on(tv: Client, http: httpx.Client) -> Client:
    assert tv.state_path is not None
    return Client(
        server=tv.server,
        enrolment_key=tv.enrolment_key,
        outbox=Outbox.load(tv.state_path),
        http=http,
        state_path=tv.state_path,
        pause=tv.pause,
    )


def test_region_is_given_at_enrolment_only_if_it_is_known(vega: Vega, tv: Client):
    tv.enrol()
    tv.region = "eu"

    tv.enrol()

    assert [seen.body.get("region") for seen in vega.requests] == [None, "eu"]
