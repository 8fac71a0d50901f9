"""The JavaScript TV reads and writes what Python does, number for number."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zstandard
from django.conf import settings

from constellation.v1 import (
    bundle_pb2,
    codebook_pb2,
    context_pb2,
    pattern_pb2,
    sync_pb2,
)
from federation.bundles.signing import SigningKey
from fleet import ranking
from fleet.brain import Brain
from fleet.news import Received
from fleet.ranking import Catalogue
from tests.fleet.javascript import HOME, JavaScriptError, JavaScriptTv, node, pattern_of
from tests.fleet.patterns import pattern, viewing

STAGES, GROUPS, CENTROIDS, GROUP_DIMENSIONS = 6, 8, 256, 32
DIMENSIONS, TURNED = 384, GROUPS * GROUP_DIMENSIONS


@pytest.fixture(scope="module")
def js() -> Iterator[JavaScriptTv]:
    process = JavaScriptTv()
    yield process
    process.close()


def unit_rows(count: int, *, seed: int = 5) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSIONS))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


# The code itself


def test_its_own_tests_pass():
    done = subprocess.run(
        [node(), "--test", *map(str, sorted(HOME.glob("test/*.test.js")))],
        cwd=HOME,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_generated_code_is_what_make_proto_generates(tmp_path):
    schema = settings.BASE_DIR / "proto"
    made = tmp_path / "schema"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "-I", str(schema)),
            *("--include_imports", f"--descriptor_set_out={made}"),
            *(
                f"constellation/v1/{name}.proto"
                for name in ("device", "sync", "bundle", "codebook")
            ),
        ],
        check=True,
    )
    written = subprocess.run(
        [node(), "schema.mjs"],
        cwd=HOME,
        input=made.read_bytes(),
        stdout=subprocess.PIPE,
        check=True,
    )

    assert written.stdout == (HOME / "src" / "schema.js").read_bytes()


def test_dependencies_are_named_by_hash_and_not_by_place():
    lock = (HOME / "package-lock.json").read_text()

    assert '"integrity"' in lock
    assert '"resolved"' not in lock


# Embeddings


@pytest.mark.parametrize(
    ("encoding", "dtype"), [("float32", "<f4"), ("float16", "<f2"), ("int8", "i1")]
)
def test_vectors_are_read_as_numpy_reads_them(js, encoding, dtype):
    rows = unit_rows(8)
    written = np.rint(rows * 600) if encoding == "int8" else rows
    numbers = written.astype(dtype)

    read = js(
        "decode_rows", encoding=encoding, rows=[row.tobytes().hex() for row in numbers]
    )

    exact = numbers.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    assert np.abs(np.array(read) - exact).max() < 1e-7


def test_float16_of_any_size_is_read(js):
    """Normal, subnormal, and zeros of either sign."""
    numbers = np.zeros(DIMENSIONS, "<f2")
    numbers[:6] = [1.0, -0.333, 6.1e-5, 5.96e-8, -3e-6, -0.0]

    (read,) = js("decode_rows", encoding="float16", rows=[numbers.tobytes().hex()])

    exact = numbers.astype(np.float64) / np.linalg.norm(numbers.astype(np.float64))
    assert np.allclose(read, exact, rtol=1e-6, atol=0)


def test_int8_is_written_with_the_promised_cosine(js):
    (vector,) = unit_rows(1)

    written = js("write_int8", vector=vector.tolist())

    numbers = np.frombuffer(bytes.fromhex(written), np.int8).astype(np.float64)
    largest = np.abs(vector).max()
    cosine = numbers @ vector / np.linalg.norm(numbers)
    # Numbers up to 31 are rounded four times as coarsely as those up to 127.
    assert np.abs(numbers).max() == 31
    assert cosine >= 1 - 0.003 * (127 / 31 * largest) ** 2


# The codebook, by the words of codebook.proto


@pytest.fixture(scope="module")
def codebook() -> codebook_pb2.Codebook:
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.standard_normal((DIMENSIONS, TURNED)))
    largest = np.abs(basis.T).max(axis=1)
    centroids = rng.integers(-127, 128, (STAGES * GROUPS, CENTROIDS, GROUP_DIMENSIONS))
    return codebook_pb2.Codebook(
        version=7,
        mean=rng.standard_normal(DIMENSIONS).astype(np.float32) * 0.02,
        basis=np.rint(basis.T / largest[:, None] * 127).astype(np.int8).tobytes(),
        basis_scales=(largest / 127).astype(np.float32),
        centroids=centroids.astype(np.int8).tobytes(),
        centroid_scales=np.repeat(0.0005 * 0.6 ** np.arange(STAGES), GROUPS),
    )


def decoded(codebook: codebook_pb2.Codebook, code: bytes) -> np.ndarray:
    """The two lines of codebook.proto, in 64 bits."""
    basis = np.frombuffer(codebook.basis, np.int8).reshape(TURNED, DIMENSIONS)
    basis = basis * np.array(codebook.basis_scales)[:, None]
    centroids = np.frombuffer(codebook.centroids, np.int8).reshape(
        STAGES, GROUPS, CENTROIDS, GROUP_DIMENSIONS
    )
    turned = np.zeros((GROUPS, GROUP_DIMENSIONS))
    for place, byte in enumerate(code):
        stage, group = divmod(place, GROUPS)
        scale = codebook.centroid_scales[place]
        turned[group] += scale * centroids[stage, group, byte]
    vector = np.array(codebook.mean) + basis.T @ turned.reshape(-1)
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


def encoded(codebook: codebook_pb2.Codebook, vector: np.ndarray, size: int) -> bytes:
    """Greedily, in 64 bits."""
    basis = np.frombuffer(codebook.basis, np.int8).reshape(TURNED, DIMENSIONS)
    centroids = np.frombuffer(codebook.centroids, np.int8).reshape(
        STAGES * GROUPS, CENTROIDS, GROUP_DIMENSIONS
    )
    turned = basis @ (vector.astype(np.float64) - np.array(codebook.mean))
    left = (turned * np.array(codebook.basis_scales)).reshape(GROUPS, -1)
    code = []
    for place in range(size):
        choices = codebook.centroid_scales[place] * centroids[place]
        off = np.square(left[place % GROUPS] - choices).sum(axis=1)
        code.append(int(off.argmin()))
        left[place % GROUPS] -= choices[code[-1]]
    return bytes(code)


@pytest.mark.parametrize("size", [8, 16, 24, 32, 40, 48])
def test_codes_are_read_as_the_schema_says(js, codebook, size):
    codes = np.random.default_rng(size).integers(0, 256, (5, size), np.uint8)

    read = js(
        "decode_codes",
        codebook=codebook.SerializeToString().hex(),
        codes=[code.tobytes().hex() for code in codes],
    )

    exact = [decoded(codebook, code.tobytes()) for code in codes]
    assert np.abs(np.array(read) - np.array(exact)).max() < 1e-6


@pytest.mark.parametrize("size", [8, 40, 48])
def test_codes_are_written_as_the_nearest_centroid_of_each_stage(js, codebook, size):
    vectors = unit_rows(6)

    written = js(
        "encode_codes",
        codebook=codebook.SerializeToString().hex(),
        vectors=vectors.tolist(),
        size=size,
    )

    assert written == [encoded(codebook, vector, size).hex() for vector in vectors]


def test_code_of_no_known_size_is_refused(js, codebook):
    with pytest.raises(JavaScriptError, match="a code has no 12 bytes"):
        js(
            "decode_codes",
            codebook=codebook.SerializeToString().hex(),
            codes=["00" * 12],
        )


def test_codebook_of_another_shape_is_refused(js, codebook):
    cut = codebook_pb2.Codebook()
    cut.CopyFrom(codebook)
    cut.basis = cut.basis[:-1]

    with pytest.raises(JavaScriptError, match="basis has 98303 numbers"):
        js("decode_codes", codebook=cut.SerializeToString().hex(), codes=[])


# Deltas


def written(js, changes, **options) -> pattern_pb2.Delta:
    empty: dict[str, Any] = {"added": [], "updated": [], "removed": []}
    delta = js("write_delta", changes=empty | changes, localVersion=9, **options)
    return pattern_pb2.Delta.FromString(bytes.fromhex(delta))


def test_delta_without_changes_is_its_number_alone(js):
    assert written(js, {}) == pattern_pb2.Delta(local_version=9)


def test_additions_are_columns(js):
    learned = [pattern(1), pattern(2, watched=8, liked=7)]

    delta = written(js, {"added": [pattern_of(each) for each in learned]})

    packed = delta.packed
    assert packed.added_ids == learned[0].id.bytes + learned[1].id.bytes
    assert len(packed.embeddings.int8) == 2 * DIMENSIONS
    assert list(packed.success_rates) == [9000, 8750]
    assert list(packed.sample_counts) == [10, 8]
    assert list(packed.times_of_day) == [context_pb2.TIME_OF_DAY_EVENING] * 2
    assert packed.days_of_week == b""
    assert list(packed.names) == ["genre:thriller", "content-1", "content-2"]
    assert list(packed.genre_hints.counts) == [1, 1]
    assert list(packed.genre_hints.references) == [0, 0]
    assert list(packed.content_ids.references) == [1, 2]


def test_items_with_ordinals_go_without_names(js):
    """One name in the message, so references of ordinals begin at one."""
    delta = written(
        js,
        {"added": [pattern_of(pattern(1))]},
        items={"content-1": 300},
    )

    assert list(delta.packed.names) == ["genre:thriller"]
    assert list(delta.packed.content_ids.references) == [301]


def test_ten_coded_additions_and_five_updates_and_removals_take_a_kilobyte(
    js, codebook
):
    added = [pattern_of(pattern(number)) for number in range(1, 11)]
    codes = np.random.default_rng(1).integers(0, 256, (10, 40), np.uint8)
    for each, code in zip(added, codes, strict=True):
        each["embedding"] = decoded(codebook, code.tobytes()).tolist()
        each["contentIds"] = [f"content-{number}" for number in range(4)]
    ids = [str(pattern(number).id) for number in range(20, 30)]
    updated = [
        {"id": each, "newSuccessRate": 0.75, "additionalSamples": 4} for each in ids[:5]
    ]

    delta = written(
        js,
        {"added": added, "updated": updated, "removed": ids[5:]},
        codebook=codebook.SerializeToString().hex(),
        items={"genre:thriller": 1}
        | {f"content-{number}": 60_000 + number for number in range(4)},
    )

    assert len(delta.packed.embeddings.codes) == 10 * 40
    assert delta.packed.embeddings.codebook_version == 7
    assert list(delta.packed.new_success_rates) == [7500] * 5
    assert len(delta.packed.removed_ids) == 5 * 16
    request = sync_pb2.SyncRequest(
        device_id=bytes(16),
        delta=delta,
        base_version=200,
        global_version=200,
        embedding_encodings=[4, 3],  # type: ignore[list-item]  # numbers will do
        detail=sync_pb2.REPLY_DETAIL_COMPACT,
        codebook_version=7,
    )
    assert request.ByteSize() <= 1_024


def test_what_codes_describe_badly_goes_as_int8(js, codebook):
    delta = written(
        js,
        {"added": [pattern_of(pattern(1))]},
        codebook=codebook.SerializeToString().hex(),
    )

    assert len(delta.packed.embeddings.int8) == DIMENSIONS


def test_what_codes_describe_badly_waits_for_deltas_of_its_own(js, codebook):
    described = pattern_of(pattern(3))
    code = np.random.default_rng(1).integers(0, 256, 40, np.uint8)
    described["embedding"] = decoded(codebook, code.tobytes()).tolist()
    badly = [pattern_of(pattern(number)) for number in (1, 2, 4)]
    body = codebook.SerializeToString().hex()

    first = js("alike", patterns=[*badly, described], codebook=body)
    then = js("alike", patterns=badly, codebook=body)

    assert first == [described["id"]]
    assert then == [each["id"] for each in badly[:2]]


# Bundles


#: The first of RFC 8032, section 7.1, as in docs/tv.md; and another.
KEY = SigningKey(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
OTHER_KEY = SigningKey(bytes(range(32)))

MANIFEST = bundle_pb2.Manifest(
    global_version=18,
    codebook_version=3,
    bundles=[
        bundle_pb2.ManifestEntry(
            name="items", path="publications/18/items", sha256=bytes(32), size_bytes=5
        )
    ],
    keys=[
        bundle_pb2.BundleKey(public_key=key.public, key_id=key.key_id, status=status)
        for key, status in (
            (KEY, bundle_pb2.BundleKey.STATUS_CURRENT),
            (OTHER_KEY, bundle_pb2.BundleKey.STATUS_NEXT),
        )
    ],
).SerializeToString()


def signed(*keys: SigningKey, manifest: bytes = MANIFEST, says: bytes = b"") -> str:
    statement = b"constellation manifest v1\n" + manifest
    message = bundle_pb2.SignedManifest(
        manifest=says or manifest,
        signatures=[
            bundle_pb2.ManifestSignature(
                key_id=key.key_id, signature=key.sign(statement)
            )
            for key in keys
        ],
    )
    return message.SerializeToString().hex()


def test_manifest_is_read_once_a_signature_is_good(js):
    read = js("verify", manifest=signed(KEY), version=18, keys=[KEY.public.hex()])

    assert read == {
        "globalVersion": 18,
        "codebookVersion": 3,
        "bundles": {
            "items": {"path": "publications/18/items", "sha256": "00" * 32, "size": 5}
        },
        "keys": [KEY.public.hex(), OTHER_KEY.public.hex()],
    }


def test_signature_of_the_documentation_is_good(js):
    document = (settings.BASE_DIR / "docs" / "tv.md").read_text()
    [public] = re.findall(r"^public +([0-9a-f]+)", document, re.MULTILINE)
    signature, _ = re.findall(r"^signature +([0-9a-f]+)", document, re.MULTILINE)
    message = bundle_pb2.SignedManifest(
        manifest=bytes.fromhex("0812"),
        signatures=[
            bundle_pb2.ManifestSignature(
                key_id="k21fe31dfa154a261", signature=bytes.fromhex(signature)
            )
        ],
    )

    read = js(
        "verify",
        manifest=message.SerializeToString().hex(),
        version=18,
        keys=[public],
    )

    assert read["globalVersion"] == 18


def test_one_of_several_signatures_is_enough(js):
    read = js(
        "verify",
        manifest=signed(OTHER_KEY, KEY),
        version=18,
        keys=[KEY.public.hex()],
    )

    assert read["globalVersion"] == 18


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"keys": [OTHER_KEY.public.hex()]}, "nobody trusted has signed"),
        ({"keys": []}, "nobody trusted has signed"),
        ({"manifest": signed(KEY, says=MANIFEST + b"\x00")}, "nobody trusted"),
        ({"manifest": signed()}, "nobody trusted has signed"),
        ({"manifest": "ff" * 9}, "what came is no SignedManifest"),
        ({"version": 19}, "the manifest is of version 18"),
        ({"held": 19}, "version 18 is older than what is held"),
    ],
)
def test_manifest_that_cannot_be_trusted_is_refused(js, options, why):
    honest = {"manifest": signed(KEY), "version": 18, "keys": [KEY.public.hex()]}

    with pytest.raises(JavaScriptError, match=why) as refusal:
        js("verify", **honest | options)

    assert refusal.value.name == "Untrusted"


# zstd


@pytest.mark.parametrize("level", [1, 19])
def test_zstd_is_read(js, level):
    plain = unit_rows(40).tobytes() + bytes(100_000)

    read = js("unzstd", bytes=zstandard.compress(plain, level).hex())

    assert bytes.fromhex(read) == plain


def test_zstd_bomb_is_refused(js):
    bomb = zstandard.compress(bytes(8_000_000))

    with pytest.raises(JavaScriptError, match="more than 1000000 bytes"):
        js("unzstd", bytes=bomb.hex(), limit=1_000_000)


def test_zstd_that_was_cut_off_is_refused(js):
    whole = zstandard.compress(unit_rows(4).tobytes())

    with pytest.raises(JavaScriptError):
        js("unzstd", bytes=whole[: len(whole) // 2].hex())


# Ranking


def test_ranks_as_python_does(js):
    rng = np.random.default_rng(17)
    films = unit_rows(60, seed=1)
    names = [f"film-{number}" for number in range(60)]
    brain = Brain(household_id=pattern(1).id)
    for number in rng.permutation(60)[:14]:
        brain.watch(
            [viewing(names[number], films[number], enjoyment=1.0 + number % 2)],
        )
    similar = unit_rows(20, seed=2) + films[:20]
    similar /= np.linalg.norm(similar, axis=1, keepdims=True)
    contents = [[names[c] for c in rng.choice(60, 4, replace=False)] for _ in range(20)]
    trends = [(names[c], float(rng.random())) for c in rng.choice(60, 10)]
    links = {
        names[c]: [(names[o], float(rng.random())) for o in rng.choice(60, 5)]
        for c in range(0, 60, 2)
    }
    rates = rng.random(20)
    heard = {
        "similar": [
            {"embedding": e.tolist(), "successRate": r, "contents": c}
            for e, r, c in zip(similar, rates.tolist(), contents, strict=True)
        ],
        "trends": trends,
        "links": [[name, related] for name, related in links.items()],
    }
    received = Received(
        similar_embeddings=similar.astype(np.float16),
        similar_success=rates.astype(np.float32),
        similar_content_ids=tuple(tuple(row) for row in contents),
        trends=tuple(trends),
        links=links,
    )
    expected = ranking.scores(
        brain, received, Catalogue(names, films), ranking.FEDERATED
    )

    found = js(
        "rank",
        likes=[
            {"contentId": name, "enjoyment": memory.viewing.enjoyment}
            for name, memory in brain.liked.items()
        ],
        patterns=[pattern_of(each) for each in brain.patterns()],
        catalogue={"contentIds": names, "embeddings": films.tolist()},
        heard=heard,
    )

    assert np.abs(np.array(found["scores"]) - expected).max() < 2e-4
    order = np.argsort(-expected, kind="stable")
    assert found["order"] == [names[row] for row in order]
