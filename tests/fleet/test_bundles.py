"""What a cache hands out is believed for its signature, and for nothing else."""

from __future__ import annotations

import os
from hashlib import sha256

import pytest

from constellation.v1 import bundle_pb2
from fleet.bundles import Address, Library, Untrusted, key_id
from fleet.errors import UnreadableReply
from tests.fleet import press
from tests.fleet.codebooks import codebook_body
from tests.fleet.press import KEY, OTHER_KEY, OTHER_PUBLIC, PUBLIC, printed

ROOT = "https://cache.example/api/v1/"

ITEMS = {3: "film-b", 7: "film-a", 1001: "genre:drama"}


class Cache:
    """Hands out what it has, and counts."""

    def __init__(self, *publications: dict[str, bytes]) -> None:
        self.bundles: dict[str, bytes] = {}
        for publication in publications:
            self.bundles |= publication
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        path = url.removeprefix(ROOT)
        self.asked.append(path)
        return self.bundles[path]


@pytest.fixture
def cache() -> Cache:
    return Cache(printed(18, items=ITEMS, codebooks={2: codebook_body(2)}))


@pytest.fixture
def library() -> Library:
    return Library([PUBLIC])


def test_signed_bundles_are_read(library, cache):
    manifest = library.manifest(Address(ROOT, 18), cache)

    items = library.items(manifest, ROOT, cache)
    codebook = library.codebook(manifest, ROOT, cache)

    assert {ordinal: items.name_of(ordinal) for ordinal in ITEMS} == ITEMS
    assert [items.ordinal_of(name) for name in ITEMS.values()] == list(ITEMS)
    assert (items.name_of(4), items.ordinal_of("film-c"), len(items)) == (None, None, 3)
    assert codebook.version == 2


def test_what_was_verified_is_not_fetched_again(library, cache):
    """The bundles of the next publication are the same, by their SHA-256."""
    cache.bundles |= printed(19, items=ITEMS, codebooks={2: codebook_body(2)})

    for version in (18, 19, 18):
        manifest = library.manifest(Address(ROOT, version), cache)
        library.items(manifest, ROOT, cache)
        library.codebook(manifest, ROOT, cache)

    assert cache.asked == [
        "publications/18/manifest",
        "publications/18/items",
        "codebooks/2",
        "publications/19/manifest",
    ]


def test_publication_without_a_codebook_has_none(library):
    cache = Cache(printed(18, items=ITEMS))

    manifest = library.manifest(Address(ROOT, 18), cache)

    assert library.codebook(manifest, ROOT, cache) is None


def test_manifest_of_a_stranger_is_refused(library):
    cache = Cache(printed(18, key=OTHER_KEY, announces=(OTHER_PUBLIC,)))

    with pytest.raises(Untrusted, match="no trusted key has signed the manifest of 18"):
        library.manifest(Address(ROOT, 18), cache)


def test_stranger_who_claims_a_trusted_key_is_refused(library):
    signed = bundle_pb2.SignedManifest.FromString(
        printed(18, key=OTHER_KEY)["publications/18/manifest"]
    )
    signed.signatures[0].key_id = key_id(PUBLIC)
    cache = Cache({"publications/18/manifest": signed.SerializeToString()})

    with pytest.raises(Untrusted, match="no trusted key"):
        library.manifest(Address(ROOT, 18), cache)


def test_manifest_that_was_changed_is_refused(library, cache):
    signed = bundle_pb2.SignedManifest.FromString(
        cache.bundles["publications/18/manifest"]
    )
    signed.manifest += bundle_pb2.Manifest(codebook_version=9).SerializeToString()
    cache.bundles["publications/18/manifest"] = signed.SerializeToString()

    with pytest.raises(Untrusted, match="no trusted key"):
        library.manifest(Address(ROOT, 18), cache)


def test_manifest_of_another_version_is_refused(library, cache):
    old = printed(17, items=ITEMS)["publications/17/manifest"]
    cache.bundles["publications/18/manifest"] = old

    with pytest.raises(Untrusted, match="the manifest of 18 is that of 17"):
        library.manifest(Address(ROOT, 18), cache)


def test_what_is_no_manifest_is_refused(library):
    cache = Cache({"publications/18/manifest": b"<html>Please log in</html>"})

    with pytest.raises(Untrusted):
        library.manifest(Address(ROOT, 18), cache)


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"\0"])
def test_bundle_that_was_changed_is_refused(library, cache, change):
    cache.bundles["publications/18/items"] = change(
        cache.bundles["publications/18/items"]
    )
    manifest = library.manifest(Address(ROOT, 18), cache)

    with pytest.raises(Untrusted, match="publications/18/items has not the SHA-256"):
        library.items(manifest, ROOT, cache)


def test_refused_bundle_is_asked_for_again(library, cache):
    good = cache.bundles["publications/18/items"]
    cache.bundles["publications/18/items"] = b"spoiled"
    manifest = library.manifest(Address(ROOT, 18), cache)
    with pytest.raises(Untrusted):
        library.items(manifest, ROOT, cache)
    cache.bundles["publications/18/items"] = good

    items = library.items(manifest, ROOT, cache)

    assert len(items) == 3


def test_keys_follow_the_newest_manifest(library):
    """The next key was announced before it signed; then the former one is dropped."""
    cache = Cache(
        printed(18, announces=(PUBLIC, OTHER_PUBLIC)),
        printed(19, key=OTHER_KEY, announces=(OTHER_PUBLIC,)),
        printed(20, key=KEY),
    )
    library.manifest(Address(ROOT, 18), cache)
    library.manifest(Address(ROOT, 19), cache)

    with pytest.raises(Untrusted):
        library.manifest(Address(ROOT, 20), cache)


def test_older_manifest_changes_no_keys(library):
    cache = Cache(
        printed(17, announces=(PUBLIC, OTHER_PUBLIC)),
        printed(18, announces=(PUBLIC,)),
        printed(19, key=OTHER_KEY, announces=(OTHER_PUBLIC,)),
    )
    library.manifest(Address(ROOT, 18), cache)
    library.manifest(Address(ROOT, 17), cache)

    with pytest.raises(Untrusted):
        library.manifest(Address(ROOT, 19), cache)


def test_without_keys_those_of_the_first_manifest_are_trusted():
    library = Library()
    cache = Cache(printed(18), printed(19, key=OTHER_KEY, announces=(OTHER_PUBLIC,)))
    library.manifest(Address(ROOT, 18), cache)

    with pytest.raises(Untrusted):
        library.manifest(Address(ROOT, 19), cache)


def test_manifest_that_names_no_keys_leaves_those_that_there_are(library):
    cache = Cache(printed(18, announces=()), printed(19, key=OTHER_KEY), printed(20))
    library.manifest(Address(ROOT, 18), cache)

    with pytest.raises(Untrusted):
        library.manifest(Address(ROOT, 19), cache)
    assert library.manifest(Address(ROOT, 20), cache).global_version == 20


def test_folder_that_cannot_be_written_costs_no_bundle(cache, tmp_path):
    """As on a disk that is full."""
    no_folder = tmp_path / "file"
    no_folder.write_bytes(b"")
    library = Library([PUBLIC], no_folder)
    manifest = library.manifest(Address(ROOT, 18), cache)

    assert library.items(manifest, ROOT, cache)


def test_even_the_first_manifest_is_signed_by_a_key_it_names():
    cache = Cache(printed(18, key=OTHER_KEY, announces=(PUBLIC,)))

    with pytest.raises(Untrusted):
        Library().manifest(Address(ROOT, 18), cache)


def test_bundles_in_a_folder_outlive_the_process(cache, tmp_path):
    for _ in range(2):
        library = Library([PUBLIC], tmp_path)
        manifest = library.manifest(Address(ROOT, 18), cache)
        assert library.items(manifest, ROOT, cache)

    assert cache.asked.count("publications/18/items") == 1


def test_bundle_that_rotted_in_the_folder_is_fetched_again(cache, tmp_path):
    manifest = Library([PUBLIC]).manifest(Address(ROOT, 18), cache)
    Library([PUBLIC], tmp_path).items(manifest, ROOT, cache)
    [kept] = tmp_path.iterdir()
    kept.write_bytes(b"rotten")

    items = Library([PUBLIC], tmp_path).items(manifest, ROOT, cache)

    assert items
    assert len(items) == 3
    assert kept.read_bytes() == cache.bundles["publications/18/items"]


def test_library_does_not_grow_with_every_publication(cache, tmp_path):
    """A fleet that runs for months keeps the latest, on disk and in memory."""
    library = Library([PUBLIC], tmp_path)
    for version in range(1, 31):
        cache.bundles |= printed(version, items={1: f"film-{version}"})
        manifest = library.manifest(Address(ROOT, version), cache)
        library.items(manifest, ROOT, cache)
        [entry] = manifest.bundles
        # Long apart, as publications are.
        os.utime(tmp_path / entry.sha256.hex(), (version, version))

    cache.asked.clear()
    for version in (30, 1):
        manifest = library.manifest(Address(ROOT, version), cache)
        assert library.items(manifest, ROOT, cache)

    assert cache.asked == ["publications/1/manifest", "publications/1/items"]
    assert len(list(tmp_path.iterdir())) == 16


def test_manifest_of_the_documentation_is_good():
    """The test vector of docs/tv.md: the key of RFC 8032, section 7.1, test 1."""
    public = bytes.fromhex(
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    signature = bytes.fromhex(
        "7e977743de443a4097b829f9900f7e80f88ed91a26133a4c2d2edca87c90de31"
        "869a70efeb4396a44df185a2996e0089fdb65079c9f7e7120899194d8acd5d08"
    )
    signed = bundle_pb2.SignedManifest(
        manifest=bytes.fromhex("0812"),
        signatures=[{"key_id": "k21fe31dfa154a261", "signature": signature}],
    )
    cache = Cache({"publications/18/manifest": signed.SerializeToString()})

    manifest = Library([public]).manifest(Address(ROOT, 18), cache)

    assert manifest.global_version == 18


def test_address_is_taken_apart_and_put_together():
    url = f"{ROOT}publications/18/manifest"

    address = Address.of(url, 18)

    assert (address.root, address.url) == (ROOT, url)
    with pytest.raises(UnreadableReply, match="is no address of a manifest"):
        Address.of(url, 8)


def test_items_of_different_lengths_are_none(library):
    body = bundle_pb2.ItemsBundle(ordinal_deltas=[1, 2], items=["a"])
    cache = Cache(_with_items(body.SerializeToString()))
    manifest = library.manifest(Address(ROOT, 18), cache)

    with pytest.raises(UnreadableReply, match="the bundle of items is not one"):
        library.items(manifest, ROOT, cache)


def _with_items(body: bytes) -> dict[str, bytes]:
    bundles = printed(18)
    signed = bundle_pb2.SignedManifest.FromString(bundles["publications/18/manifest"])
    manifest = bundle_pb2.Manifest.FromString(signed.manifest)
    manifest.bundles[0].sha256 = sha256(body).digest()
    manifest.bundles[0].size_bytes = len(body)
    return {
        "publications/18/items": body,
        "publications/18/manifest": press.signed(manifest.SerializeToString()),
    }
