"""A TV that isn't Python, against a running installation: over REST and over gRPC."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import psycopg
import pytest
from playwright.sync_api import Page, sync_playwright

from constellation.v1 import sync_pb2
from constellation_site import embedded
from fleet import ranking, simulation
from fleet.brain import Brain
from fleet.codebook import Codebook
from fleet.dictionary import Dictionary
from fleet.items import Items
from fleet.protobuf_wire import ProtobufWire
from fleet.ranking import Catalogue
from fleet.simulation import Options
from fleet.synthetic import Plan, SyntheticFleet
from tests.fleet.javascript import HOME as JAVASCRIPT
from tests.fleet.javascript import JavaScriptError, JavaScriptTv, pattern_of
from tests.fleet.patterns import pattern
from tests.running import Running, free_ports
from tests.site.test_console_browser import CHROMIUM_OPTIONS, PATIENCE_MILLISECONDS

pytestmark = pytest.mark.slow

PLAN = Plan(seed=11, households=60, clusters=6)
DOORS = ("rest", "grpc")

#: What a TV with little memory fetches, and what one with more.
SMALL = ["codebook", "items"]
ALL = [*SMALL, "patterns"]

_device_ids = (UUID(int=number) for number in count(0xABC0))


@pytest.fixture(scope="module")
def up_home() -> Iterator[Path]:
    """Reachable for the database's user, and gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="constellation-tv-"))
    home.chmod(0o711)
    yield home
    embedded.destroy(home)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def running(up_home) -> Iterator[Running]:
    with free_ports(2) as (rest, metrics):
        server = Running(up_home, rest, metrics, MIN_DEVICES_PER_PATTERN="5")
    try:
        server.wait_until_ready()
        server.have_no_rounds_begin()
        yield server
    finally:
        server.end(signal.SIGINT)


@pytest.fixture(scope="module")
def enrolment_key(running) -> str:
    return str(running.command("enrolment_batch", "create", "spring")["enrolment_key"])


@pytest.fixture(scope="module")
def fleet(running, enrolment_key) -> SyntheticFleet:
    """A fleet that has synced, and a publication of what it learned."""
    report = simulation.run(
        Options(
            server=running.url,
            enrolment_key=enrolment_key,
            tvs=PLAN.households,
            seed=PLAN.seed,
            syncs=2,
        )
    )
    assert report.errors == 0
    assert running.command("federate")["status"] == "published"
    return SyntheticFleet(PLAN)


@pytest.fixture(scope="module")
def bundle_key(running) -> str:
    """The public key that goes into a TV's software, in hexadecimal."""
    [key] = running.command("bundle_key", "show")["keys"]
    return base64.b64decode(key["public_key"]).hex()


@pytest.fixture
def device_id() -> UUID:
    return next(_device_ids)


@dataclass
class Home:
    """A household with a place for its TV; switched on, it is a process."""

    device_id: UUID
    facts: dict[str, Any]
    _switched_on: list[JavaScriptTv] = field(default_factory=list)

    def switch_on(self, **facts: Any) -> JavaScriptTv:
        tv = JavaScriptTv()
        self._switched_on.append(tv)
        tv("open", **self.facts | facts)
        return tv

    def close(self) -> None:
        for tv in self._switched_on:
            tv.close()


@pytest.fixture
def home(running, enrolment_key, bundle_key, device_id, tmp_path) -> Iterator[Home]:
    home = Home(
        device_id,
        {
            "server": running.url,
            "enrolmentKey": enrolment_key,
            "keys": [bundle_key],
            "deviceId": str(device_id),
            "directory": str(tmp_path),
        },
    )
    yield home
    home.close()


@pytest.fixture(params=DOORS)
def door(request, running) -> dict[str, Any]:
    """Which way a TV goes, as it is told to it."""
    return {"grpcTarget": running.grpc_target} if request.param == "grpc" else {}


@dataclass(frozen=True)
class Stored:
    samples: int
    rate: float
    embedding: np.ndarray
    content_ids: list[str]


@pytest.fixture
def stored(up_home, device_id) -> Callable[[], dict[UUID, Stored]]:
    """What the server holds of the TV, looked up in its databases."""

    def look_up() -> dict[UUID, Stored]:
        rows = [
            row
            for name in embedded.database_names(up_home)
            if "shard" in name
            for row in _rows_of(embedded.database_url(up_home, name), device_id)
        ]
        return {
            pattern_id: Stored(samples, rate, np.array(json.loads(vector)), contents)
            for pattern_id, samples, rate, vector, contents in rows
        }

    return look_up


def _rows_of(url: str, device_id: UUID) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT pattern_id, sample_count, success_rate, embedding::text,"
            " content_ids FROM patterns_pattern WHERE device_id = %s",
            [device_id],
        ).fetchall()


def learned(*numbers: int, **counts: int) -> list[dict[str, Any]]:
    return [pattern_of(pattern(number, **counts)) for number in numbers]


def id_of(number: int) -> UUID:
    return pattern(number).id


# Syncs


def test_what_was_learned_is_stored(home, door, stored):
    tv = home.switch_on(**door)

    result = tv("sync", patterns=learned(1, 2))

    assert result["accepted"] == {
        "stored": 2,
        "filtered": 0,
        "updated": 0,
        "removed": 0,
    }
    assert result["attempts"] == 1
    assert 300 <= result["nextSyncSeconds"] <= 900
    kept = stored()[id_of(1)]
    assert (kept.samples, kept.rate) == (10, 0.9)
    assert kept.content_ids == ["content-1"]
    assert kept.embedding[1] == pytest.approx(1)


def test_only_what_changed_is_told(home, door, stored):
    tv = home.switch_on(**door)
    tv("sync", patterns=learned(1, 2))

    result = tv("sync", patterns=learned(1, watched=14, liked=12) + learned(3))

    assert result["accepted"] == {
        "stored": 1,
        "filtered": 0,
        "updated": 1,
        "removed": 1,
    }
    assert stored().keys() == {id_of(1), id_of(3)}
    assert stored()[id_of(1)].samples == 14
    assert stored()[id_of(1)].rate == pytest.approx(12 / 14, abs=1e-4)


def test_retry_after_a_lost_reply_is_not_counted_twice(home, door, stored):
    tv = home.switch_on(**door)
    tv("sync", patterns=learned(1))
    tv("fate", lost=2)

    result = tv("sync", patterns=learned(1, watched=14, liked=12))

    assert result["attempts"] == 3
    assert len(tv("pauses")) == 2
    assert result["accepted"]["updated"] == 1
    assert stored()[id_of(1)].samples == 14


def test_unplugged_before_the_reply_it_sends_the_same_again(home, door, stored):
    tv = home.switch_on(**door)
    tv("sync", patterns=learned(1))
    tv("fate", lost=4)
    with pytest.raises(JavaScriptError) as gave_up:
        tv("sync", patterns=learned(1, watched=14, liked=12))
    tv.close()

    # Back, and having learned more: first what is owed, then what is new.
    tv = home.switch_on(**door)
    more = learned(1, watched=15, liked=13) + learned(2)
    repeated = tv("sync", patterns=more)
    result = tv("sync", patterns=more)

    assert gave_up.value.name == "GaveUp"
    assert gave_up.value.code == "lost"
    assert repeated["accepted"]["updated"] == 1
    assert repeated["accepted"]["stored"] == 0
    assert result["accepted"]["stored"] == 1
    assert stored()[id_of(1)].samples == 15
    assert result["outbox"]["confirmedVersion"] == 3


def test_token_that_ended_is_renewed(home, door, stored):
    tv = home.switch_on(**door)
    tv("enrol")
    tv("forget_token")

    result = tv("sync", patterns=learned(1))

    assert result["accepted"]["stored"] == 1
    assert stored().keys() == {id_of(1)}


def test_tv_restored_from_a_backup_tells_everything_again(home, door, stored):
    """Its version is the server's past: 409, and then another start."""
    tv = home.switch_on(**door)
    tv("sync", patterns=learned(1, 2))
    backup = tv("outbox_text")
    tv("sync", patterns=learned(1))
    tv("sync", patterns=learned())
    tv("restore", text=backup)

    result = tv("sync", patterns=learned(1, 3))

    assert stored().keys() == {id_of(1), id_of(3)}
    assert result["outbox"]["confirmedVersion"] == 4


def test_refusal_names_the_field_and_frees_the_number(home, door, stored):
    tv = home.switch_on(**door)
    [too_long] = learned(1)
    too_long["contentIds"] = ["x" * 65]

    with pytest.raises(JavaScriptError) as refusal:
        tv("sync", patterns=[too_long])
    result = tv("sync", patterns=learned(2))

    assert refusal.value.name == "Refused"
    assert refusal.value.status == 422
    assert refusal.value.code == "invalid_request"
    assert refusal.value.field == "delta.patterns_added[0].context.content_ids[0]"
    assert result["outbox"]["confirmedVersion"] == 1
    assert stored().keys() == {id_of(2)}


def test_syncs_go_over_one_stream(home, running, stored):
    tv = home.switch_on(grpcTarget=running.grpc_target)
    tv("enrol")
    tv("stream")

    first = tv("sync", patterns=learned(1))
    second = tv("sync", patterns=learned(1, 2))
    [too_long] = learned(3)
    too_long["contentIds"] = ["x" * 65]
    with pytest.raises(JavaScriptError) as refusal:
        tv("sync", patterns=[*learned(1, 2), too_long])
    third = tv("sync", patterns=learned(2))

    assert first["accepted"]["stored"] == second["accepted"]["stored"] == 1
    assert refusal.value.code == "invalid_request"
    assert third["accepted"]["removed"] == 1
    assert stored().keys() == {id_of(2)}


def test_what_a_stream_did_not_carry_goes_another_way(home, running, stored):
    tv = home.switch_on(grpcTarget=running.grpc_target)
    tv("enrol")
    tv("stream")
    tv("sync", patterns=learned(1))
    tv("end_stream")

    with pytest.raises(JavaScriptError) as gave_up:
        tv("sync", patterns=learned(1, 2))
    tv("leave_stream")
    result = tv("sync", patterns=learned(1, 2))

    assert (gave_up.value.name, gave_up.value.code) == ("GaveUp", "stream_ended")
    assert result["outbox"]["confirmedVersion"] == 2
    assert stored().keys() == {id_of(1), id_of(2)}


def test_wrong_key_is_refused_for_good(home, door):
    tv = home.switch_on(enrolmentKey="not-a-key", **door)

    with pytest.raises(JavaScriptError) as refusal:
        tv("enrol")

    assert (refusal.value.name, refusal.value.status) == ("Refused", 403)


def test_tv_that_leaves_is_forgotten(home, stored):
    tv = home.switch_on()
    tv("sync", patterns=learned(1))

    assert tv("leave") == 204
    assert stored() == {}


# What everyone learned


@pytest.fixture
def household(fleet) -> Brain:
    """One of the fleet, in a TV that isn't Python."""
    brain = Brain(household_id=UUID(int=1))
    for round_number in range(2):
        brain.watch(fleet.viewings(0, round_number))
    return brain


def tastes(brain: Brain) -> list[dict[str, Any]]:
    return [pattern_of(each) for each in brain.patterns()]


def test_codebook_and_names_are_fetched_with_the_first_news(home, household):
    tv = home.switch_on()

    result = tv("sync", patterns=tastes(household))

    assert result["isNews"]
    assert result["codebookVersion"] >= 1
    assert result["held"] == result["codebookVersion"]
    assert result["trouble"] is None


def test_with_a_codebook_codes_go_up_and_come_down(home, household, stored):
    """A taste that is everyone's is well described by the codebook of everyone's."""
    tv = home.switch_on()
    tv("sync", patterns=tastes(household))
    heard = tv("received")["similar"]
    shared = learned(1, 2)
    for each, similar in zip(shared, heard, strict=False):
        each["embedding"] = similar["embedding"]

    tv("forget_news")
    result = tv("sync", patterns=tastes(household) + shared)

    up = sync_pb2.SyncRequest.FromString(bytes.fromhex(tv("wire")["sent"]))
    down = sync_pb2.SyncReply.FromString(bytes.fromhex(tv("wire")["heard"]))
    assert result["accepted"]["stored"] == 2
    assert len(up.delta.packed.embeddings.codes) == 2 * 40
    assert down.global_news.similar.embeddings.WhichOneof("encoding") == "codes"
    assert down.global_news.similar.embeddings.codebook_version == result["held"]
    for each in shared:
        assert stored()[UUID(each["id"])].embedding @ each["embedding"] >= 0.9


def test_nothing_new_takes_a_few_bytes(home, household):
    tv = home.switch_on()
    tv("sync", patterns=tastes(household))

    result = tv("sync", patterns=tastes(household))

    assert not result["isNews"]
    assert result["bytesDown"] <= 128


def test_bundles_come_once_whoever_asks_again(home, household):
    tv = home.switch_on()
    tv("sync", patterns=tastes(household))
    again = tv("refresh", names=SMALL)
    tv.close()

    after_a_restart = home.switch_on()("refresh", names=ALL)

    assert again["names"] == SMALL
    assert again["fetched"] == 0
    assert after_a_restart["names"] == ALL
    assert after_a_restart["fetched"] == 1
    assert after_a_restart["codebook"] == after_a_restart["codebookVersion"]


@pytest.mark.parametrize("what", ["codebooks", "items", "manifest"])
def test_bundle_that_a_cache_changed_is_refused(home, household, what):
    tv = home.switch_on()
    tv("fate", tampered=what)

    result = tv("sync", patterns=tastes(household))
    with pytest.raises(JavaScriptError) as refusal:
        tv("refresh", names=SMALL)

    assert result["trouble"]["name"] == refusal.value.name == "Untrusted"
    assert (result["held"] is None) == (what != "items")
    # Nor is it kept, and the news have no names.
    kept = [*Path(home.facts["directory"]).glob("bundles/*")]
    assert len(kept) == (what == "items")
    assert tv("received")["links"] == []


def test_publication_that_another_key_signed_is_refused(home, household):
    tv = home.switch_on(keys=["00" * 32])

    result = tv("sync", patterns=tastes(household))

    assert result["trouble"]["message"] == "nobody trusted has signed the manifest"
    assert result["held"] is None


def test_bundles_come_as_zstd(home):
    tv = home.switch_on()
    tv("enrol")

    tv("refresh", names=ALL)

    assert "zstd" in tv("wire")["encodings"]


@pytest.fixture
def dictionary(running, home, household) -> Dictionary:
    """What Python makes of the same bundles."""
    tv = home.switch_on()
    tv("enrol")
    tv("refresh", names=SMALL)
    tv.close()
    root = f"{running.url}/api/v1/"
    token = json.loads((Path(home.facts["directory"]) / "outbox.json").read_text())
    with httpx.Client(trust_env=False, timeout=60) as http:
        urls = http.get(
            f"{root}publications/current",
            headers={"Authorization": f"Device {token['token']}"},
        ).json()["urls"]
        return Dictionary(
            codebook=Codebook.read(http.get(urls["codebook"]).content),
            items=Items.read(http.get(urls["items"]).content),
        )


def test_vectors_in_codes_are_read_as_python_reads_them(home, household, dictionary):
    tv = home.switch_on()
    tv("refresh", names=SMALL)

    tv("sync", patterns=tastes(household))

    heard = bytes.fromhex(tv("wire")["heard"])
    similar = sync_pb2.SyncReply.FromString(heard).global_news.similar
    codes = np.frombuffer(similar.embeddings.codes, np.uint8)
    expected = dictionary.codebook.decode(codes.reshape(len(similar.id_deltas), -1))
    found = [each["embedding"] for each in tv("received")["similar"]]
    assert len(found) > 10
    assert np.abs(np.array(found) - expected).max() < 1e-6


def test_ranks_as_python_does_with_what_it_heard(home, household, dictionary, fleet):
    tv = home.switch_on(detail="full")
    tv("refresh", names=SMALL)
    tv("sync", patterns=tastes(household))
    contents = fleet.contents
    catalogue = Catalogue(
        [each.content_id for each in contents],
        np.stack([each.embedding for each in contents]),
    )
    wire = ProtobufWire(dictionary)
    news = wire.read_sync(bytes.fromhex(tv("wire")["heard"])).news
    assert news
    received = news.named_by(dictionary.items)
    expected = ranking.scores(household, received, catalogue, ranking.FEDERATED)

    found = tv(
        "rank",
        likes=[
            {"contentId": content_id, "enjoyment": memory.viewing.enjoyment}
            for content_id, memory in household.liked.items()
        ],
        patterns=tastes(household),
        catalogue={
            "contentIds": catalogue.content_ids,
            "embeddings": catalogue.embeddings.tolist(),
        },
    )

    heard = tv("received")
    assert {name: len(pairs) for name, pairs in heard["links"]} == {
        name: len(pairs) for name, pairs in received.links.items()
    }
    assert [name for name, _ in heard["trends"]] == [
        name for name, _ in received.trends
    ]
    assert received.links
    # Python keeps what it heard in half precision, so near equals may change places.
    in_its_order = expected[catalogue.rows(found["order"])]
    assert len(in_its_order) == len(catalogue)
    assert np.diff(in_its_order).max() < 1e-4


# In a browser


@pytest.fixture
def page(home) -> Iterator[Page]:
    """The modules as they are, loaded as a packaged application loads them."""
    files = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Files, directory=str(JAVASCRIPT))
    )
    thread = threading.Thread(target=files.serve_forever)
    thread.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            # Applications on a TV may ask any server.
            args=[*CHROMIUM_OPTIONS, "--disable-web-security"],
            timeout=PATIENCE_MILLISECONDS,
        )
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.goto(f"http://127.0.0.1:{files.server_port}/test/page.html")
        page.wait_for_function("self.isReady")
        yield page
        browser.close()
    files.shutdown()
    files.server_close()
    thread.join()


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (theirs)
        """Say nothing."""


OPEN = """async (facts) => {
  self.tv = await openInBrowser({ ...facts, nacl });
  return tv.client.outbox.deviceId;
}"""
LIVE = """async (patterns) => {
  for (const each of patterns) each.embedding = Float32Array.from(each.embedding);
  const result = await tv.sync(patterns);
  let { stored } = result.accepted;
  // A taste that codes describe badly has a delta of its own.
  while (tv.client.outbox.owes(patterns)) {
    stored += (await tv.sync(patterns)).accepted.stored;
  }
  const { codebook } = tv.knowledge;
  const similar = tv.client.received.similar.map((row) => Array.from(row.embedding));
  const trouble = tv.trouble && tv.trouble.message;
  const { fetched } = tv.publications;
  const held = codebook && codebook.version;
  return { result, stored, held, similar, trouble, fetched };
}"""


def test_browser_does_all_that_node_does(page, home, household):
    tv = home.switch_on()
    tv("sync", patterns=tastes(household))
    facts = {name: home.facts[name] for name in ("server", "enrolmentKey", "keys")}

    device_id = page.evaluate(OPEN, facts)
    lived = page.evaluate(LIVE, tastes(household))

    assert UUID(device_id).version == 4
    assert lived["trouble"] is None
    assert lived["stored"] == len(household.patterns())
    assert lived["held"] == lived["result"]["codebookVersion"] >= 1
    assert lived["fetched"] == 2
    heard = [each["embedding"] for each in tv("received")["similar"]]
    assert len(heard) > 10
    assert np.abs(np.array(lived["similar"]) - np.array(heard)).max() < 1e-6


def test_browser_that_was_closed_remembers(page, home, household):
    facts = {name: home.facts[name] for name in ("server", "enrolmentKey", "keys")}
    device_id = page.evaluate(OPEN, facts)
    page.evaluate(LIVE, tastes(household))

    page.reload()
    page.wait_for_function("self.isReady")
    same_id = page.evaluate(OPEN, facts)
    again = page.evaluate(LIVE, tastes(household))

    assert same_id == device_id
    assert again["stored"] == 0
    assert again["result"]["attempts"] == 1
    # Bundles are in the browser's cache.
    assert again["held"] is not None
    assert again["fetched"] == 0
