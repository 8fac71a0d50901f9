"""Bundles over HTTP: stored bytes, to anyone, whole or in part, never made anew."""

from __future__ import annotations

import base64
import gzip
import re
from hashlib import sha256

import numpy as np
import pytest
import zstandard
from django.test import RequestFactory

from constellation.v1 import bundle_pb2
from federation.bundles import serving, signing
from federation.bundles.signing import KeyRing
from federation.models import Bundle, BundlePayload, Publication
from patterns.models import Content
from sync import ranges
from sync.exceptions import RangeNotSatisfiable
from sync.views import bundles
from tests.federation.bundling import KEY, OTHER_KEY, make, put_out

pytestmark = pytest.mark.django_db(
    databases=["default", "shard_000", "shard_001", "shard_002"]
)

MANIFEST = "/api/v1/publications/18/manifest"
PATTERNS = "/api/v1/publications/18/patterns"
LINKS = "/api/v1/publications/18/links"
CURRENT = "/api/v1/publications/current"
INFO = "/api/v1/info"

ALL = ["zstd", "gzip", "identity"]


@pytest.fixture(autouse=True)
def _one_shard(settings):
    settings.SHARD_IDS = {0}


@pytest.fixture
def catalogue():
    Content.objects.bulk_create(
        Content(
            ordinal=ordinal,
            content_id=f"film-{ordinal}",
            title=f"Film {ordinal}",
            embedding=np.eye(384, dtype=np.float32)[ordinal % 384],
            genres=["drama"],
        )
        for ordinal in (3, 7, 1001)
    )


@pytest.fixture
def made(catalogue):
    """Version 18 is current on the shard, and made of bundles that compress well."""
    return put_out("shard_000", codebooks={4: b"a codebook " * 1000})


def stored(bundle, coding):
    return getattr(bundle.load(), coding)


def decoded(response):
    match response.headers.get("Content-Encoding"):
        case "zstd":
            return zstandard.ZstdDecompressor().decompress(response.content)
        case "gzip":
            return gzip.decompress(response.content)
        case None:
            return response.content
    raise AssertionError(response.headers)


# What is sent


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("publications/18/manifest", "manifest"),
        ("publications/18/patterns", "patterns"),
        ("publications/18/links", "links"),
        ("publications/18/items", "items"),
        ("publications/18/catalogue", "catalogue"),
        ("publications/18/trends/eu", "trends/eu"),
        ("publications/18/trends/global", "trends/global"),
        ("codebooks/4", "codebook"),
    ],
)
def test_every_bundle_is_sent_as_it_was_stored(client, made, path, name):
    response = client.get(f"/api/v1/{path}")

    assert response.status_code == 200
    assert response["Content-Type"] == "application/protobuf"
    assert response.content == made[name].load().identity
    assert response["Content-Length"] == str(made[name].size_bytes)


def test_pages_of_the_catalogue_are_where_the_catalogue_says(client, made):
    index = bundle_pb2.CatalogueBundle.FromString(
        client.get("/api/v1/publications/18/catalogue").content
    )

    assert [page.first_ordinal for page in index.pages] == [1, 1001]
    for page in index.pages:
        body = client.get(f"/api/v1/catalogue/{page.sha256.hex()}").content
        assert sha256(body).digest() == page.sha256
        assert len(body) == page.size_bytes
        rows = bundle_pb2.CataloguePage.FromString(body).content_ids
        assert len(rows) == page.content_count


@pytest.mark.parametrize("coding", ALL)
def test_each_coding_is_what_was_compressed_once(client, made, coding):
    response = client.get("/api/v1/codebooks/4", headers={"accept-encoding": coding})

    body = stored(made["codebook"], coding)
    assert response.content == body
    assert response.headers.get("Content-Encoding", "identity") == coding
    assert response["Content-Length"] == str(len(body))
    assert "Accept-Encoding" in response["Vary"]
    assert decoded(response) == b"a codebook " * 1000


def test_what_hardly_shrinks_is_sent_as_it_is(client, catalogue):
    noise = np.random.default_rng(1).bytes(2_000)
    put_out("shard_000", codebooks={4: noise})

    response = client.get(
        "/api/v1/codebooks/4", headers={"accept-encoding": "zstd, gzip"}
    )

    assert "Content-Encoding" not in response
    assert response.content == noise


def test_caches_may_keep_it_for_ever(client, made):
    response = client.get(PATTERNS)

    assert response["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response["Accept-Ranges"] == "bytes"
    # Nothing else: by Accept or Cookie, each caller would get a copy of its own.
    assert response["Vary"] == "Accept-Encoding"


def test_etags_are_strong_and_differ_by_coding(client, made):
    etags = {
        client.get("/api/v1/codebooks/4", headers={"accept-encoding": coding})["ETag"]
        for coding in ALL
    }

    assert len(etags) == 3
    assert all(re.fullmatch(r'"[0-9a-f]{32}"', etag) for etag in etags)


@pytest.mark.parametrize("coding", ALL)
def test_digest_is_of_the_encoded_bytes(client, made, coding):
    response = client.get("/api/v1/codebooks/4", headers={"accept-encoding": coding})

    digest = base64.b64encode(sha256(response.content).digest()).decode()
    assert response["Repr-Digest"] == f"sha-256=:{digest}:"


@pytest.mark.parametrize("path", [PATTERNS, "/api/v1/codebooks/4"])
@pytest.mark.parametrize("headers", [{}, {"range": "bytes=1-2"}])
def test_two_statements_are_enough(
    client, made, django_assert_max_num_queries, path, headers
):
    with django_assert_max_num_queries(2, using="shard_000"):
        response = client.get(path, headers=headers)

    assert response.status_code in (200, 206)


def test_nothing_is_read_for_who_has_it(client, made, django_assert_max_num_queries):
    etag = client.get(PATTERNS)["ETag"]

    with django_assert_max_num_queries(1, using="shard_000"):
        response = client.get(PATTERNS, headers={"if-none-match": etag})

    assert response.status_code == 304


def test_what_is_stored_is_what_is_sent(client, made):
    """Were anything made while it is asked for, this would not come through."""
    BundlePayload.objects.using("shard_000").filter(pk=made["codebook"].sha256).update(
        zstd=b"as it is"
    )

    response = client.get("/api/v1/codebooks/4", headers={"accept-encoding": "zstd"})

    assert response.content == b"as it is"


def test_head_says_the_same_without_a_body(client, made):
    whole, head = client.get(PATTERNS), client.head(PATTERNS)

    assert head.content == b""
    assert head.headers == whole.headers


@pytest.mark.parametrize("accept", ["*/*", "application/protobuf", ""])
def test_it_is_protobuf_for_whoever_takes_it(client, made, accept):
    assert client.get(PATTERNS, headers={"accept": accept}).status_code == 200


def test_there_is_nothing_for_readers_of_json(client, made):
    response = client.get(PATTERNS, headers={"accept": "application/json"})

    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_options_are_told_in_json(client, made, accept):
    response = client.options(PATTERNS, headers={"accept": accept})

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json()["renders"][0] == "application/protobuf"
    assert response["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_nothing_can_be_changed(client, made, method):
    response = getattr(client, method)(PATTERNS)

    assert (response.status_code, response.json()["code"]) == (
        405,
        "method_not_allowed",
    )


# Conditions


@pytest.mark.parametrize("header", ["{etag}", 'W/{etag}, "x"', '"x", {etag}', "*"])
def test_who_has_it_hears_304(client, made, header):
    etag = client.get(PATTERNS)["ETag"]

    response = client.get(PATTERNS, headers={"if-none-match": header.format(etag=etag)})

    assert (response.status_code, response.content) == (304, b"")
    assert response["ETag"] == etag
    assert "immutable" in response["Cache-Control"]
    assert "Accept-Encoding" in response["Vary"]


def test_the_etag_of_another_coding_is_no_match(client, made):
    path = "/api/v1/codebooks/4"
    etag = client.get(path, headers={"accept-encoding": "zstd"})["ETag"]

    response = client.get(
        path, headers={"accept-encoding": "gzip", "if-none-match": etag}
    )

    assert response.status_code == 200


def test_if_match_keeps_a_part_from_being_joined_to_another(client, made):
    etag = client.get(PATTERNS)["ETag"]

    same = client.get(PATTERNS, headers={"if-match": etag})
    other = client.get(PATTERNS, headers={"if-match": '"x"'})

    assert same.status_code == 200
    assert (other.status_code, other.json()["code"]) == (412, "precondition_failed")


# Ranges


@pytest.mark.parametrize("coding", ALL)
def test_parts_make_the_whole(client, made, coding):
    path = "/api/v1/codebooks/4"
    whole = stored(made["codebook"], coding)
    asked = {"accept-encoding": coding}

    first = client.get(path, headers=asked | {"range": "bytes=0-9"})
    rest = client.get(
        path, headers=asked | {"range": "bytes=10-", "if-range": first["ETag"]}
    )

    assert (first.status_code, rest.status_code) == (206, 206)
    assert first["Content-Range"] == f"bytes 0-9/{len(whole)}"
    assert rest["Content-Range"] == f"bytes 10-{len(whole) - 1}/{len(whole)}"
    assert (first["Content-Length"], rest["Content-Length"]) == (
        "10",
        str(len(whole) - 10),
    )
    assert first.content + rest.content == whole
    assert first.headers.get("Content-Encoding", "identity") == coding


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=-5", slice(-5, None)),
        ("bytes=-999999", slice(None)),  # more than there are: all
        ("bytes=3-999999", slice(3, None)),
        ("BYTES=3-4", slice(3, 5)),
    ],
)
def test_a_range_is_answered_with_its_bytes(client, made, header, part):
    response = client.get(PATTERNS, headers={"range": header})

    assert response.status_code == 206
    assert response.content == made["patterns"].load().identity[part]


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,4-5",  # several
        "bytes=5-4",  # backwards
        "bytes=-",
        "bytes=a-b",
        "lines=1-2",
        f"bytes={'9' * 5000}-",
        "",
    ],
)
def test_what_is_no_single_range_is_answered_with_the_whole(client, made, header):
    response = client.get(PATTERNS, headers={"range": header})

    assert response.status_code == 200
    assert response.content == made["patterns"].load().identity


@pytest.mark.parametrize("header", ["bytes=999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(client, made, header):
    response = client.get(PATTERNS, headers={"range": header})

    size_bytes = made["patterns"].size_bytes
    assert response.status_code == 416
    assert response["Content-Range"] == f"bytes */{size_bytes}"
    assert response.json()["code"] == "range_not_satisfiable"
    assert response.json()["limit"] == size_bytes


@pytest.mark.parametrize(
    "condition", ['"another"', "W/{etag}", "Sun, 01 Mar 2026 12:00:00 GMT"]
)
def test_a_part_of_something_else_is_answered_with_the_whole(client, made, condition):
    etag = client.get(PATTERNS)["ETag"]

    response = client.get(
        PATTERNS,
        headers={"range": "bytes=1-2", "if-range": condition.format(etag=etag)},
    )

    assert response.status_code == 200


def test_head_knows_no_ranges(client, made):
    assert client.head(PATTERNS, headers={"range": "bytes=1-2"}).status_code == 200


def test_nothing_has_no_first_byte():
    request = RequestFactory().get("/", headers={"range": "bytes=0-"})

    with pytest.raises(RangeNotSatisfiable):
        ranges.wanted(request, '"x"', 0)


# What isn't there


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("publications/17/patterns", 404, "version_not_kept"),
        ("publications/9223372036854775807/patterns", 404, "version_not_kept"),
        ("publications/18/stars", 404, "bundle_unknown"),
        ("publications/18/%00", 404, "bundle_unknown"),
        ("publications/18/trends/mars", 404, "bundle_unknown"),
        ("codebooks/3", 404, "bundle_unknown"),
        (f"catalogue/{'0' * 64}", 404, "bundle_unknown"),
        ("publications/0/patterns", 422, "invalid_request"),
        ("publications/9223372036854775808/patterns", 422, "invalid_request"),
        ("publications/eighteen/patterns", 422, "invalid_request"),
        ("publications/18/trends/Mars%20", 422, "invalid_request"),
        ("publications/18/trends/%00", 422, "invalid_request"),
        ("codebooks/x", 422, "invalid_request"),
        ("catalogue/x", 422, "invalid_request"),
        ("publications/18/trends", 404, "bundle_unknown"),
        ("publications/18/patterns/all", 404, "not_found"),
    ],
)
def test_what_is_not_there_is_a_problem(client, made, path, status, code):
    response = client.get(f"/api/v1/{path}")

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response["Cache-Control"] == "no-store"


def test_a_404_says_what_there_is(client, made):
    version = client.get("/api/v1/publications/3/patterns").json()
    name = client.get("/api/v1/publications/18/stars").json()
    codebook = client.get("/api/v1/codebooks/3").json()

    assert version["kept"] == "18"
    assert "publications/18/patterns, publications/18/trends/eu" in name["known"]
    assert codebook["known"] == "codebooks/4"


def test_before_the_first_publication_there_is_nothing(client):
    problem = client.get("/api/v1/publications/1/patterns").json()

    assert (problem["code"], problem["kept"]) == ("version_not_kept", "none yet")


def test_what_is_staged_is_not_served(client, made):
    staged = put_out(
        "shard_000", version=19, is_current=False, codebooks={5: b"the next"}
    )
    own = ["publications/19/manifest", "publications/19/patterns", "codebooks/5"]

    answers = [client.get(f"/api/v1/{path}").status_code for path in own]

    assert answers == [404, 404, 404]
    assert client.get(PATTERNS).status_code == 200
    assert {bundle.path for bundle in staged.values()} >= set(own)


def test_older_versions_are_served_while_they_are_kept(client, made):
    put_out("shard_000", version=19)

    assert client.get(PATTERNS).content == made["patterns"].load().identity
    assert client.get("/api/v1/publications/19/patterns").status_code == 200
    # Version 19 names no codebook; what 18 had stays as long as 18 does.
    assert client.get("/api/v1/codebooks/4").status_code == 200


# Which database


def test_a_shard_serves_without_the_control_database(
    client, made, django_assert_num_queries
):
    with django_assert_num_queries(0, using="default"):
        assert client.get(PATTERNS).status_code == 200


def test_a_shard_that_is_behind_does_not_hide_what_others_have(client, settings):
    settings.SHARD_IDS = {0, 1}
    put_out("shard_000", version=17)
    put_out("shard_001", version=18)

    assert client.get(PATTERNS).status_code == 200


def test_the_control_database_is_asked_last(client):
    put_out("default")

    assert client.get(PATTERNS).status_code == 200


def test_what_is_nowhere_is_not_looked_for_on_every_shard(
    client, settings, monkeypatch, django_assert_num_queries
):
    """Anybody may ask for it, as often as they like."""
    settings.SHARD_IDS = {0, 1, 2}
    monkeypatch.setattr(bundles, "SHARDS_ASKED", 1)
    put_out("default", "shard_000", "shard_001", "shard_002")

    with (
        django_assert_num_queries(0, using="shard_001"),
        django_assert_num_queries(0, using="shard_002"),
        django_assert_num_queries(1, using="default"),
    ):
        response = client.get("/api/v1/publications/17/patterns")

    assert response.status_code == 404


def test_a_shard_that_is_down_does_not_hide_what_others_have(client, deneb, settings):
    settings.SHARD_IDS = {deneb.id}
    put_out("default")

    assert client.get(PATTERNS).status_code == 200


def test_while_a_database_is_down_nothing_is_said_to_be_missing(
    client, deneb, settings
):
    settings.SHARD_IDS = {deneb.id}

    response = client.get(PATTERNS)

    assert response.status_code == 503
    assert response.json()["code"] == "shard_unavailable"
    assert int(response["Retry-After"]) >= 30


def test_what_is_deleted_between_two_statements_is_gone(made):
    found = serving.find("shard_000", "codebooks/4")
    assert found is not None
    Bundle.objects.using("shard_000").filter(name="codebook").delete()
    BundlePayload.objects.using("shard_000").filter(pk=found.sha256).delete()

    assert serving.read(found, "zstd", 0, 10) is None


# What a TV is told


def test_current_tells_where_everything_is(vega_tv, made):
    current = vega_tv.client.get(
        CURRENT, headers={"authorization": vega_tv.authorization}
    ).json()

    here = "http://testserver/api/v1"
    assert current["global_version"] == 18
    assert current["codebook_version"] == 4
    assert current["urls"] == {
        "manifest": f"{here}/publications/18/manifest",
        "patterns": f"{here}/publications/18/patterns",
        "links": f"{here}/publications/18/links",
        "items": f"{here}/publications/18/items",
        "catalogue": f"{here}/publications/18/catalogue",
        "codebook": f"{here}/codebooks/4",
        "trends": {
            "eu": f"{here}/publications/18/trends/eu",
            "global": f"{here}/publications/18/trends/global",
        },
    }


def test_current_may_send_tvs_to_a_cdn(vega_tv, made, settings):
    settings.BUNDLE_URL = "https://cdn.example/stars"

    current = vega_tv.client.get(
        CURRENT, headers={"authorization": vega_tv.authorization}
    ).json()

    cdn = "https://cdn.example/stars/api/v1"
    assert current["urls"]["manifest"] == f"{cdn}/publications/18/manifest"
    assert current["urls"]["trends"]["eu"] == f"{cdn}/publications/18/trends/eu"


def test_current_without_a_codebook_says_0(vega_tv):
    put_out("shard_000")

    current = vega_tv.client.get(
        CURRENT, headers={"authorization": vega_tv.authorization}
    ).json()

    assert current["codebook_version"] == 0
    assert "codebook" not in current["urls"]


def test_current_from_before_bundles_has_no_addresses(vega_tv, made):
    Bundle.objects.using("shard_000").all().delete()

    current = vega_tv.client.get(
        CURRENT, headers={"authorization": vega_tv.authorization}
    ).json()

    assert (current["global_version"], current["codebook_version"]) == (18, 0)
    assert "urls" not in current


def test_info_tells_the_public_keys(client):
    put_out("default", ring=KeyRing(current=KEY, following=OTHER_KEY))

    keys = client.get(INFO).json()["bundle_keys"]

    assert keys == [
        {
            "key_id": KEY.key_id,
            "public_key": base64.b64encode(KEY.public).decode(),
            "status": "current",
        },
        {
            "key_id": OTHER_KEY.key_id,
            "public_key": base64.b64encode(OTHER_KEY.public).decode(),
            "status": "next",
        },
    ]


def test_before_the_first_publication_no_key_is_known(client):
    assert client.get(INFO).json()["bundle_keys"] == []


# Signatures


@pytest.mark.parametrize(
    "path", ["publications/18/patterns", "publications/18/trends/eu", "codebooks/4"]
)
@pytest.mark.parametrize("coding", ALL)
def test_each_bundle_carries_its_signature(client, made, path, coding):
    response = client.get(f"/api/v1/{path}", headers={"accept-encoding": coding})

    key_id, signature = response["Bundle-Signature"].split("=", 1)
    digest = sha256(decoded(response)).hexdigest()
    statement = b"constellation bundle v1\n%s\n%s\n" % (path.encode(), digest.encode())
    assert key_id == KEY.key_id
    assert signing.is_signed_by(
        KEY.public, base64.b64decode(signature.strip(":")), statement
    )


def test_a_tv_verifies_the_manifest_and_believes_its_digests(client, made):
    """What docs/tv.md tells a TV to do, step by step."""
    envelope = bundle_pb2.SignedManifest.FromString(client.get(MANIFEST).content)
    (signature,) = envelope.signatures
    statement = b"constellation manifest v1\n" + envelope.manifest
    assert signature.key_id == "k" + sha256(KEY.public).hexdigest()[:16]
    assert signing.is_signed_by(KEY.public, signature.signature, statement)

    manifest = bundle_pb2.Manifest.FromString(envelope.manifest)

    assert (manifest.global_version, manifest.codebook_version) == (18, 4)
    assert [entry.name for entry in manifest.bundles] == [
        *("catalogue", "codebook", "items", "links", "patterns"),
        *("trends/eu", "trends/global"),
    ]
    for entry in manifest.bundles:
        body = client.get(f"/api/v1/{entry.path}").content
        assert (sha256(body).digest(), len(body)) == (entry.sha256, entry.size_bytes)


def test_the_web_process_needs_no_private_key(client, made, settings, tmp_path):
    settings.CONSTELLATION_HOME = tmp_path / "nowhere"

    assert client.get(MANIFEST).status_code == 200
    assert client.get(INFO).status_code == 200
    assert not settings.CONSTELLATION_HOME.exists()


def test_every_stored_bundle_is_served(client, made):
    rows = Bundle.objects.using("shard_000").filter(version=18)

    assert rows.count() == len(make(codebooks={4: b""}))
    for row in rows:
        assert client.get(f"/api/v1/{row.path}").status_code == 200
    assert Publication.objects.using("shard_000").get().version == 18
