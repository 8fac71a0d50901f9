"""The signing keys: made once, kept to themselves, and rotated without losing a TV."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from structlog.testing import capture_logs

from constellation.v1 import bundle_pb2
from constellation_site import environment
from federation.bundles import keys, signing
from federation.bundles.signing import KeyRing, KeyStatus
from federation.exceptions import (
    KeysFromEnvironment,
    NextKeyMissing,
    NextKeyNotAnnounced,
    SigningKeyDamaged,
    SigningKeyMissing,
    SigningKeyUnknown,
)
from tests.federation.bundling import put_out

pytestmark = pytest.mark.django_db

SEED = base64.b64encode(bytes(32)).decode()
OTHER_SEED = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def home(settings, tmp_path):
    """A home without keys, and none in the environment."""
    settings.CONSTELLATION_HOME = tmp_path / "home"
    settings.BUNDLE_SIGNING_KEY = None
    settings.BUNDLE_SIGNING_KEY_NEXT = None
    settings.BUNDLE_SIGNING_KEY_FALLBACKS = []
    return settings.CONSTELLATION_HOME


@pytest.fixture
def run(capsys):
    """Run the command, giving what it says to machines."""

    def run(*words: str):
        call_command("bundle_key", *words, "--json")
        return json.loads(capsys.readouterr().out)

    return run


def statuses(ring) -> dict[str, str]:
    return {key.key_id: key.status.label for key in ring.public_keys()}


# Made


def test_the_first_key_is_made_once(home):
    assert keys.ring().current.public == keys.ring().current.public


def test_two_installations_have_two_keys(settings, tmp_path):
    first = keys.ring().current.public
    settings.CONSTELLATION_HOME = tmp_path / "another"

    assert keys.ring().current.public != first


def test_only_its_owner_may_read_it(home):
    keys.ring()
    keys.announce()

    kept = home / "bundle_keys.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    # Nor is there a draft of it that somebody could.
    assert {each.name for each in home.iterdir()} == {kept.name, "bundle_keys.lock"}


@pytest.mark.parametrize("step", [keys.held, keys.announce])
def test_whoever_starts_at_once_has_the_same_keys(step):
    found = at_once(step)

    assert len({json.dumps(statuses(ring), sort_keys=True) for ring in found}) == 1
    assert statuses(keys.held()) == statuses(found[0])


def at_once(step: Callable[[], KeyRing], times: int = 8) -> list[KeyRing]:
    barrier = Barrier(times)

    def take_it() -> KeyRing:
        barrier.wait()
        return step()

    with ThreadPoolExecutor(times) as pool:
        return [each.result() for each in [pool.submit(take_it) for _ in range(times)]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"current": null, "next": null, "former": []}',
        '{"current": "c2hvcnQ=", "next": null, "former": []}',
        f'{{"current": "{SEED}", "next": null, "former": ["x"]}}',
    ],
)
def test_a_damaged_file_is_neither_used_nor_replaced(home, text):
    home.mkdir()
    (home / "bundle_keys.json").write_text(text)

    for step in (keys.ring, keys.announce):
        with pytest.raises(SigningKeyDamaged, match=r"bundle_keys\.json"):
            step()

    assert (home / "bundle_keys.json").read_text() == text


def test_the_environment_comes_first(settings, home):
    settings.BUNDLE_SIGNING_KEY = SEED
    settings.BUNDLE_SIGNING_KEY_NEXT = OTHER_SEED
    settings.BUNDLE_SIGNING_KEY_FALLBACKS = [OTHER_SEED]

    ring = keys.ring()

    assert ring.current.public == signing.SigningKey(bytes(32)).public
    assert [key.status for key in ring.public_keys()] == [*KeyStatus]
    assert not home.exists()


@pytest.mark.parametrize(
    "value", ["short", "c2hvcnQ=", SEED + "A", f"{SEED},{OTHER_SEED}", "é"]
)
def test_what_is_no_key_is_refused_without_being_repeated(monkeypatch, value):
    monkeypatch.setenv("BUNDLE_SIGNING_KEY", value)

    with pytest.raises(ImproperlyConfigured, match="BUNDLE_SIGNING_KEY") as refusal:
        environment.key("BUNDLE_SIGNING_KEY")

    assert value not in str(refusal.value)


def test_several_former_keys_are_read(monkeypatch):
    monkeypatch.setenv("BUNDLE_SIGNING_KEY_FALLBACKS", f"{SEED}, {OTHER_SEED}")

    assert environment.keys("BUNDLE_SIGNING_KEY_FALLBACKS") == [SEED, OTHER_SEED]


@pytest.mark.parametrize("read", [environment.key, environment.keys])
def test_no_key_is_current_and_something_else(monkeypatch, read):
    monkeypatch.setenv("X", SEED)

    with pytest.raises(ImproperlyConfigured, match="X is the key of BUNDLE") as refusal:
        read("X", unlike=SEED)

    assert SEED not in str(refusal.value)


@pytest.mark.parametrize(
    "value", ["cdn.example.com", "ftp://x", "https://", "https:/x"]
)
def test_what_is_no_address_of_a_cdn_is_refused(monkeypatch, value):
    monkeypatch.setenv("BUNDLE_URL", value)

    with pytest.raises(ImproperlyConfigured, match="BUNDLE_URL"):
        environment.url("BUNDLE_URL")


# Known


def test_a_process_with_another_key_does_not_publish(settings, tmp_path):
    put_out("default", ring=keys.ring())
    settings.CONSTELLATION_HOME = tmp_path / "another"

    with pytest.raises(SigningKeyUnknown, match="set BUNDLE_SIGNING_KEY"):
        keys.ring()


def test_a_home_from_before_a_rotation_does_not_publish(home):
    put_out("default", version=1, ring=keys.ring())
    before = (home / "bundle_keys.json").read_text()
    keys.announce()
    put_out("default", version=2, ring=keys.ring())
    keys.switch()
    put_out("default", version=3, ring=keys.ring())
    (home / "bundle_keys.json").write_text(before)

    with pytest.raises(SigningKeyUnknown):
        keys.ring()


def test_where_no_key_can_be_kept_nothing_is_published(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.CONSTELLATION_HOME = tmp_path / "file"

    with pytest.raises(SigningKeyMissing, match="BUNDLE_SIGNING_KEY is unset"):
        keys.ring()


def test_keys_that_cannot_be_changed_stay(home):
    before = statuses(keys.held())
    (home / "bundle_keys.lock").unlink()
    (home / "bundle_keys.lock").mkdir()

    with pytest.raises(SigningKeyMissing):
        keys.announce()

    assert statuses(keys.held()) == before


def test_a_failed_write_leaves_no_draft(home, monkeypatch):
    keys.held()

    def fill_the_disk(*_args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fill_the_disk)

    with pytest.raises(SigningKeyMissing, match="No space left"):
        keys.announce()

    assert {each.suffix for each in home.iterdir()} == {".json", ".lock"}
    assert list(statuses(keys.held()).values()) == ["current"]


def test_the_environment_is_believed_even_so(settings):
    put_out("default", ring=keys.ring())
    settings.BUNDLE_SIGNING_KEY = SEED

    with capture_logs() as logs:
        found = keys.ring()

    assert found.current.public == signing.SigningKey(bytes(32)).public
    assert [each["event"] for each in logs] == ["no TV knows the signing key"]


def test_the_environment_rotates_without_a_warning(settings):
    settings.BUNDLE_SIGNING_KEY = SEED
    put_out("default", ring=keys.ring())
    settings.BUNDLE_SIGNING_KEY = OTHER_SEED
    settings.BUNDLE_SIGNING_KEY_FALLBACKS = [SEED]

    with capture_logs() as logs:
        keys.ring()

    assert logs == []


# Rotated


def test_a_rotation_loses_no_tv(run):
    """A TV that pins the first key follows from manifest to manifest."""
    first = keys.ring().current
    pinned = {first.key_id: first.public}

    run("rotate")
    trusted = follow(pinned, manifest(version=1))
    run("rotate", "--switch")
    switched = manifest(version=2)
    trusted = follow(trusted, switched)
    # One that was switched off in between, and knows the first key only.
    late = follow(pinned, switched)
    run("rotate", "--retire")
    retired = manifest(version=3)

    second = keys.ring().current
    assert first.key_id != second.key_id
    assert {*follow(trusted, retired)} == {second.key_id}
    assert {*follow(late, retired)} == {second.key_id}
    assert not follow(pinned, retired)


def manifest(*, version: int) -> bytes:
    made = put_out("default", version=version, ring=keys.ring())
    return made["manifest"].load().identity


def follow(trusted: dict[str, bytes], signed: bytes) -> dict[str, bytes]:
    """What a TV does with a manifest: verify it, then trust its keys; {} if bad."""
    envelope = bundle_pb2.SignedManifest.FromString(signed)
    statement = signing.manifest_statement(envelope.manifest)
    is_good = any(
        signing.is_signed_by(trusted[each.key_id], each.signature, statement)
        for each in envelope.signatures
        if each.key_id in trusted
    )
    read = bundle_pb2.Manifest.FromString(envelope.manifest)
    return {key.key_id: key.public_key for key in read.keys} if is_good else {}


def test_announcing_twice_makes_one_key():
    assert statuses(keys.announce()) == statuses(keys.announce())


def test_a_key_that_nobody_heard_of_does_not_sign():
    put_out("default", ring=keys.ring())
    keys.announce()

    with pytest.raises(NextKeyNotAnnounced, match="run a round"):
        keys.switch()

    assert sorted(statuses(keys.ring()).values()) == ["current", "next"]


def test_without_a_next_key_there_is_nothing_to_switch_to():
    with pytest.raises(NextKeyMissing):
        keys.switch()


@pytest.mark.parametrize("step", [keys.announce, keys.switch, keys.retire])
def test_keys_of_the_environment_are_rotated_there(settings, step):
    settings.BUNDLE_SIGNING_KEY = SEED

    with pytest.raises(KeysFromEnvironment, match="by the environment"):
        step()


# The command


def test_show_tells_the_public_keys(run, home):
    shown = run("show")

    key = keys.ring().current
    assert shown == {
        "source": str(home / "bundle_keys.json"),
        "keys": [
            {
                "key_id": key.key_id,
                "public_key": base64.b64encode(key.public).decode(),
                "status": "current",
            }
        ],
    }


def test_new_prints_a_pair_and_keeps_none(run, home):
    made = run("new")

    key = signing.SigningKey(base64.b64decode(made["private_key"]))
    assert made["key_id"] == key.key_id
    assert base64.b64decode(made["public_key"]) == key.public
    assert not home.exists()


def test_people_are_never_shown_a_private_key_they_did_not_ask_for(capsys, home):
    call_command("bundle_key", "show")
    call_command("bundle_key", "rotate")

    said = capsys.readouterr().out
    kept = json.loads((home / "bundle_keys.json").read_text())
    assert keys.ring().current.key_id in said
    assert kept["current"] not in said
    assert kept["next"] not in said


def test_what_cannot_be_done_is_said(run):
    with pytest.raises(CommandError, match="announce one first"):
        run("rotate", "--switch")
