"""Bundles: what is in them, how they are signed, and how they go out with a version."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import zstandard
from django.conf import settings as django_settings
from django.db import transaction

from constellation.v1 import bundle_pb2
from federation import publish, rollback, rounds, selectors
from federation.bundles import (
    catalogue,
    columns,
    messages,
    payloads,
    serving,
    signing,
    storing,
)
from federation.bundles.columns import References
from federation.bundles.signing import KeyRing, KeyStatus, SigningKey
from federation.exceptions import BundleDamaged, SigningKeyUnknown
from federation.models import Bundle, BundlePayload, FederationRound
from federation.publish import Edition
from patterns.models import Content
from tests.federation import fleets
from tests.federation.bundling import KEY, ORDINALS, OTHER_KEY, a_result, make, put_out

ALIASES = ["default", "shard_000", "shard_001", "shard_002"]


def cosines(sent, meant):
    read = np.frombuffer(sent, dtype=np.int8).reshape(-1, 384).astype(np.float64)
    read /= np.linalg.norm(read, axis=1, keepdims=True)
    return np.einsum("ij,ij->i", read, meant.astype(np.float64))


def item(reference: int, names) -> str:
    by_ordinal = {ordinal: name for name, ordinal in ORDINALS.items()}
    n = len(names)
    return names[reference] if reference < n else by_ordinal[reference - n]


def items_by_row(counts, references, names) -> list[list[str]]:
    rest = iter(references)
    return [[item(next(rest), names) for _ in range(count)] for count in counts]


# Messages


def test_patterns_read_back():
    result = a_result(50)

    read = bundle_pb2.PatternsBundle.FromString(messages.patterns(result, ORDINALS))

    rows = result.patterns
    assert list(accumulate(read.id_deltas)) == [row.cell for row in rows]
    assert cosines(read.embeddings_int8, result.embeddings).min() > 0.9995
    assert list(read.success_rates) == [row.success_rate for row in rows]
    assert list(read.masses) == [row.mass for row in rows]
    assert list(read.sample_counts) == [row.sample_count for row in rows]
    assert list(read.times_of_day) == [row.time_of_day for row in rows]
    assert list(read.days_of_week) == [row.day_of_week for row in rows]
    assert list(read.content_types) == [row.content_type for row in rows]
    assert items_by_row(read.genre_counts, read.genres, read.names) == [
        [f"genre:{genre}" for genre in row.genre_hints] for row in rows
    ]
    assert items_by_row(read.content_counts, read.contents, read.names) == [
        list(row.content_ids) for row in rows
    ]


def test_trends_read_back():
    rows = [trend for trend in a_result().trends if trend.region == "eu"]

    read = bundle_pb2.TrendsBundle.FromString(messages.trends("eu", rows, ORDINALS))

    scores = np.frombuffer(read.scores, dtype="<u2") / 65535
    assert read.region == "eu"
    assert [item(each, read.names) for each in read.references] == [
        "film-b",
        "genre:drama",
    ]
    assert np.abs(scores - [0.9, 0.1]).max() <= 0.5 / 65535


def test_links_read_back():
    read = bundle_pb2.LinksBundle.FromString(messages.links(a_result().links, ORDINALS))

    heads = [item(each, read.names) for each in accumulate(read.reference_deltas)]
    related = items_by_row(read.related_counts, read.related, read.names)
    # film-x has no ordinal, so its reference is the lowest: the first delta is 0.
    assert dict(zip(heads, related, strict=True)) == {
        "film-x": ["film-c"],
        "film-b": ["film-a"],
        "film-a": ["film-x", "film-b"],
    }
    assert list(read.weights) == [0, 128, 255, 64]
    assert list(read.reference_deltas) == [0, 4, 4]


def test_items_name_all_ordinals_in_their_order():
    ordinals = {"film-a": 7, "film-b": 3, "film-c": 1001}

    read = bundle_pb2.ItemsBundle.FromString(messages.items(ordinals))

    assert list(accumulate(read.ordinal_deltas)) == [3, 7, 1001]
    assert list(read.items) == ["film-b", "film-a", "film-c"]


def test_items_of_a_result_are_all_it_mentions():
    assert messages.items_of(a_result()) == {
        *("film-a", "film-b", "film-c", "film-x"),
        *("genre:drama", "genre:comédie"),
    }


def test_references_are_places_of_names_and_then_ordinals():
    references = References(["x", "a", "y", "x"], {"a": 7, "b": 1})

    assert references.names == ["x", "y"]
    assert references.all_to(["x", "a", "y", "b"]) == [0, 2 + 7, 1, 2 + 1]


def test_without_names_a_reference_is_the_ordinal():
    assert References(["a"], {"a": 7}).to("a") == 7


@pytest.mark.parametrize(
    ("numbers", "expected"), [([], []), ([5], [5]), ([5, 6, 2**40], [5, 1, 2**40 - 6])]
)
def test_deltas_add_up_again(numbers, expected):
    assert columns.deltas(numbers) == expected


def test_nothing_is_a_message_too():
    nothing = a_result(0)
    read = bundle_pb2.PatternsBundle.FromString(messages.patterns(nothing, {}))

    assert (list(read.id_deltas), read.embeddings_int8) == ([], b"")


# Payloads


def test_payloads_inflate_to_what_they_were():
    made = payloads.payload(b"star " * 10_000)

    assert made.zstd
    assert zstandard.ZstdDecompressor().decompress(made.zstd) == made.identity
    assert made.sha256 == sha256(made.identity).hexdigest()


def test_a_window_stays_within_what_http_allows():
    """RFC 9659: 8 MiB. This level would take more for so much."""
    large = np.random.default_rng(1).bytes(9 * 1024 * 1024) + bytes(2**20)

    made = payloads.payload(large)

    assert made.zstd is not None
    window = zstandard.get_frame_parameters(made.zstd).window_size
    assert window <= 8 * 1024 * 1024


# Signatures


def test_signatures_are_those_of_rfc_8032():
    """Section 7.1, the first test vector: an empty message."""
    assert KEY.public.hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert KEY.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


@pytest.mark.parametrize(
    "statement",
    [
        signing.bundle_statement(
            "publications/18/patterns", sha256(b"stars").hexdigest()
        ),
        # A manifest that says nothing but its version, 18.
        signing.manifest_statement(bytes.fromhex("0812")),
    ],
)
def test_what_is_signed_is_what_tvs_are_told(statement):
    told = (Path(django_settings.BASE_DIR) / "docs" / "tv.md").read_text()

    for vector in (KEY.public, statement, KEY.sign(statement)):
        assert vector.hex() in told
    assert KEY.key_id in told


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        (signing.manifest_statement(b"another"), KEY),
        # The same bytes, taken for something of another kind.
        (signing.BUNDLE_CONTEXT + b"stars", KEY),
        (b"stars", KEY),
        (signing.manifest_statement(b"stars"), OTHER_KEY),
    ],
)
def test_a_signature_is_good_for_one_statement_and_one_key(statement, key):
    signature = KEY.sign(signing.manifest_statement(b"stars"))

    assert signing.is_signed_by(
        KEY.public, signature, signing.manifest_statement(b"stars")
    )
    assert not signing.is_signed_by(key.public, signature, statement)


def test_former_keys_sign_and_the_next_one_does_not():
    third = SigningKey(bytes(32))
    ring = KeyRing(current=KEY, following=OTHER_KEY, former=(third,))

    assert [*ring.sign(b"x")] == [KEY.key_id, third.key_id]
    assert [key.status for key in ring.public_keys()] == [
        KeyStatus.CURRENT,
        KeyStatus.NEXT,
        KeyStatus.FORMER,
    ]


def test_numbers_of_statuses_are_those_of_the_schema():
    expected = {f"STATUS_{each.label.upper()}": each.value for each in KeyStatus}

    assert dict(bundle_pb2.BundleKey.Status.items()) == expected | {
        "STATUS_UNSPECIFIED": 0
    }


# A version


@pytest.mark.django_db
def test_the_same_result_gives_the_same_bytes():
    first, again = make(), make()

    assert first.keys() == again.keys()
    for name, bundle in first.items():
        other = again[name]
        assert bundle.load() is not other.load()
        assert vars(bundle.load()) == vars(other.load())
        assert bundle.signature == other.signature


@pytest.mark.django_db
def test_what_stays_the_same_keeps_its_digest_in_the_next_version():
    before, after = make(version=18), make(version=19)

    changed = {name for name in before if before[name].sha256 != after[name].sha256}
    assert changed == {"manifest"}
    assert before["patterns"].path != after["patterns"].path


@pytest.mark.django_db
def test_the_own_codebook_is_the_highest():
    made = make(codebooks={3: b"third", 4: b"fourth"})

    manifest = manifest_of(made["manifest"].load().identity)
    assert (made["codebook"].path, made["codebooks/3"].path) == (
        "codebooks/4",
        "codebooks/3",
    )
    assert manifest.codebook_version == 4
    assert "codebooks/3" not in [entry.name for entry in manifest.bundles]


def manifest_of(signed: bytes) -> bundle_pb2.Manifest:
    envelope = bundle_pb2.SignedManifest.FromString(signed)
    return bundle_pb2.Manifest.FromString(envelope.manifest)


# The catalogue


def add_contents(*ordinals: int, title: str = "Film") -> None:
    Content.objects.bulk_create(
        Content(
            ordinal=ordinal,
            content_id=f"film-{ordinal}",
            title=f"{title} {ordinal}",
            embedding=np.eye(384, dtype=np.float32)[ordinal % 384],
            genres=["drama", "comedy"][: ordinal % 3],
            year=1990 if ordinal % 2 else None,
        )
        for ordinal in ordinals
    )


@pytest.mark.django_db
def test_a_page_reads_back():
    add_contents(3, 5, 1000)

    page = make()["catalogue/1"]

    read = bundle_pb2.CataloguePage.FromString(page.load().identity)
    assert list(accumulate(read.ordinal_deltas)) == [3, 5, 1000]
    assert list(read.content_ids) == ["film-3", "film-5", "film-1000"]
    assert list(read.titles) == ["Film 3", "Film 5", "Film 1000"]
    assert (list(read.years), list(read.durations_min)) == ([1990, 1990, 0], [0, 0, 0])
    assert list(read.genre_counts) == [0, 2, 1]
    assert [read.genre_names[place] for place in read.genres] == [
        *("drama", "comedy"),
        "drama",
    ]
    meant = np.eye(384)[[3, 5, 1000 % 384]]
    assert cosines(read.embeddings_int8, meant).tolist() == [1, 1, 1]


@pytest.mark.django_db
def test_pages_begin_at_fixed_ordinals_and_none_is_empty():
    add_contents(1000, 1001, 5000)

    index = bundle_pb2.CatalogueBundle.FromString(make()["catalogue"].load().identity)

    found = [(page.first_ordinal, page.content_count) for page in index.pages]
    assert found == [(1, 1), (1001, 1), (4001, 1)]


@pytest.mark.django_db
def test_only_pages_that_changed_are_made_anew(monkeypatch):
    add_contents(1, 1001, 2001)
    before = put_out("default", version=18)
    read = []
    reading = catalogue._contents_from

    def reading_aloud(first_ordinal: int) -> list[Content]:
        read.append(first_ordinal)
        return reading(first_ordinal)

    monkeypatch.setattr(catalogue, "_contents_from", reading_aloud)
    Content.objects.get(pk=1001).save()  # touched, and the same
    changed = Content.objects.get(pk=2001)
    changed.title = "Another"
    changed.save()
    add_contents(3001)

    after = make(version=19)

    assert read == [1001, 2001, 3001]
    assert after["catalogue/1"].path == before["catalogue/1"].path
    assert after["catalogue/1001"].path == before["catalogue/1001"].path
    assert after["catalogue/2001"].path != before["catalogue/2001"].path
    # Not made, but there for a database that lacks it.
    assert vars(after["catalogue/1"].load()) == vars(before["catalogue/1"].load())


@pytest.mark.django_db
def test_what_is_added_while_pages_are_made_is_counted(monkeypatch):
    add_contents(1, 2)
    finding = catalogue._pages_now

    def finding_slowly():
        found = list(finding())
        add_contents(3)
        return found

    monkeypatch.setattr(catalogue, "_pages_now", finding_slowly)

    made = make()

    index = bundle_pb2.CatalogueBundle.FromString(made["catalogue"].load().identity)
    page = bundle_pb2.CataloguePage.FromString(made["catalogue/1"].load().identity)
    assert [each.content_count for each in index.pages] == [len(page.content_ids)]
    assert len(page.content_ids) == 3


# On a database


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_what_a_database_has_is_not_sent_again():
    made = put_out("shard_000", version=18, codebooks={4: b"codes"})

    def refuse():
        raise AssertionError("it is there")

    with transaction.atomic(using="shard_000"):
        again = [replace(made[name], load=refuse) for name in ("patterns", "codebook")]
        storing.store("shard_000", 19, again)

    assert Bundle.objects.using("shard_000").filter(version=19).count() == 2


@pytest.mark.django_db(databases=["default", "shard_000"])
@pytest.mark.parametrize("column", ["identity", "zstd", "gzip"])
def test_damaged_bytes_are_noticed(column):
    made = put_out("shard_000", version=18, codebooks={4: b"code " * 100})
    storing.verify("shard_000", 18, list(made.values()))
    BundlePayload.objects.using("shard_000").filter(pk=made["codebook"].sha256).update(
        **{column: b"code"}
    )

    with pytest.raises(BundleDamaged, match="other bytes for codebook of version 18"):
        storing.verify("shard_000", 18, list(made.values()))


@pytest.mark.django_db(databases=["default", "shard_000"])
def test_a_missing_bundle_is_noticed():
    made = put_out("shard_000", version=18)
    Bundle.objects.using("shard_000").filter(name="links").delete()

    with pytest.raises(BundleDamaged, match="links"):
        storing.verify("shard_000", 18, list(made.values()))


@pytest.mark.django_db(databases=["default", "shard_000"], transaction=True)
def test_bundles_go_with_their_version_and_payloads_with_the_last():
    for version in range(1, 6):
        result = a_result(seed=version)
        codebook = b"old" if version < 2 else b"new"
        bundles = make(version=version, result=result, codebooks={1: codebook})
        edition = Edition(
            version=version,
            round_id=1,
            result=result,
            checksum=result.checksum(),
            bundles=tuple(bundles.values()),
        )
        publish.stage("shard_000", edition)
        publish.flip("shard_000", version, edition.checksum)

    kept = Bundle.objects.using("shard_000")
    payloads_kept = BundlePayload.objects.using("shard_000")
    assert {bundle.version for bundle in kept.all()} == {2, 3, 4, 5}
    assert {bundle.payload_id for bundle in kept.all()} == {
        payload.pk for payload in payloads_kept.all()
    }


# A round


@pytest.fixture
def fleet(low_thresholds):
    add_contents(1, 2)
    fleets.store(fleets.plant(tv_count=60, taste_count=3), fleets.make_shards(3))


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def rows_of(alias: str, version: int) -> list[tuple[str, str, str]]:
    bundles = Bundle.objects.using(alias).filter(version=version).order_by("name")
    return list(bundles.values_list("name", "payload_id", "signature"))


@pytest.mark.django_db(databases=ALIASES, transaction=True)
def test_every_database_has_the_same_bundles(fleet):
    rounds.run_round()

    first, *others = [rows_of(alias, 1) for alias in ALIASES]
    assert {name for name, _, _ in first} >= {
        *("manifest", "patterns", "links", "items", "catalogue", "catalogue/1"),
        *("trends/global",),
    }
    assert others == [first] * 3


@pytest.mark.django_db(databases=ALIASES, transaction=True)
def test_a_round_that_dies_before_it_is_current_serves_nothing_until_it_is_finished(
    fleet, monkeypatch, run_out
):
    rounds.run_round()

    def die(*_args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(publish, "flip", die)
        with pytest.raises(Killed):
            rounds.run_round()

    paths = ["publications/2/manifest", "publications/2/patterns"]
    assert Bundle.objects.using("shard_000").filter(path__in=paths).count() == 2
    for alias in ALIASES:
        assert [serving.find(alias, path) for path in paths] == [None, None]
        assert serving.find(alias, "publications/1/patterns") is not None
    run_out()
    rounds.run_round()
    for alias in ALIASES:
        assert serving.kept_versions(alias) == [2, 1]
        assert None not in [serving.find(alias, path) for path in paths]


@pytest.mark.django_db(databases=ALIASES, transaction=True)
def test_a_round_that_no_tv_would_believe_ends_before_it_reads(
    fleet, settings, tmp_path
):
    rounds.run_round()
    settings.CONSTELLATION_HOME = tmp_path

    with pytest.raises(SigningKeyUnknown):
        rounds.run_round()

    told = FederationRound.objects.latest("id")
    assert (told.status, told.step) == ("abandoned", "")
    assert "set BUNDLE_SIGNING_KEY" in told.problem
    assert selectors.current_version() == 1


@pytest.mark.django_db(databases=ALIASES, transaction=True)
def test_a_roll_back_has_bundles_of_its_own_version(fleet):
    rounds.run_round()
    rounds.run_round()

    report = rollback.republish(version=1)

    for alias in ALIASES:
        repeated = dict(row[:2] for row in rows_of(alias, report.global_version))
        original = dict(row[:2] for row in rows_of(alias, 1))
        assert {n for n in repeated if repeated[n] != original[n]} == {"manifest"}
        found = serving.find(alias, f"publications/{report.global_version}/manifest")
        assert found is not None
        size = found.codings["identity"].size_bytes
        body = serving.read(found, "identity", 0, size)
        assert manifest_of(body or b"").rollback_of == 1
    assert selectors.current_version() == report.global_version
