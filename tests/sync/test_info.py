"""What anyone may know, and which publication is current."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import OperationalError

from federation import selectors
from tests.sync.publishing import publish

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

INFO = "/api/v1/info"
CURRENT = "/api/v1/publications/current"


def test_info_lists_every_limit(client):
    info = client.get(INFO).json()

    assert info["name"] == "Constellation"
    assert info["version"]
    assert info["global_version"] == 0
    assert info["limits"] == {
        "body_bytes": 262144,
        "inflated_bytes": 1048576,
        "zstd_window_bytes": 8388608,
        "depth": 8,
        "fields": 1088,
        "patterns_per_sync": 64,
        "patterns_per_device": 256,
        "content_ids_per_pattern": 8,
        "content_id_length": 64,
        "genre_hints_per_pattern": 8,
        "genre_hint_length": 32,
        "embedding_dimensions": 384,
        "embedding_norm_min": 0.001,
        "embedding_norm_max": 1000.0,
        "contents_per_request": 100,
    }
    assert info["encodings"] == ["zstd", "gzip", "identity"]
    assert info["media_types"] == ["application/json", "application/protobuf"]
    assert info["embedding_encodings"] == ["float32", "float16", "int8", "codes"]
    assert info["quality_threshold"] == 0.7
    assert info["next_sync_seconds"] == {"min": 300, "max": 900}
    assert set(info["federation"]) == {
        "min_quality_threshold",
        "min_devices_per_pattern",
        "min_source_count",
        "interval_seconds",
    }


def test_info_follows_the_settings(client, settings):
    settings.PATTERNS_PER_SYNC = 3
    settings.MIN_DEVICES_PER_PATTERN = 5

    info = client.get(INFO).json()

    assert info["limits"]["patterns_per_sync"] == 3
    assert info["federation"]["min_devices_per_pattern"] == 5


def test_info_tells_the_current_version(client):
    publish("default", version=18)

    assert client.get(INFO).json()["global_version"] == 18


def test_info_does_without_the_control_database(client, monkeypatch):
    def fail(*_args):
        raise OperationalError

    monkeypatch.setattr(selectors, "current_version", fail)

    response = client.get(INFO)

    assert response.status_code == 200
    assert response.json()["global_version"] is None


def test_before_the_first_publication_the_version_is_0(vega_tv):
    response = get_current(vega_tv)

    assert response.json() == {"global_version": 0, "codebook_version": 0}


def test_tv_is_told_what_its_own_shard_has(vega_tv):
    publish("shard_000", version=17, centroids=np.eye(2, 384))
    publish("default", version=18)

    current = get_current(vega_tv).json()

    assert current["global_version"] == 17
    assert current["pattern_count"] == 2
    assert len(current["checksum"]) == 32
    assert current["published_at"]


def test_operator_is_told_what_the_control_database_has(admin_client):
    publish("default", version=18)

    assert admin_client.get(CURRENT).json()["global_version"] == 18


def test_current_is_cached_for_a_minute_and_known_by_its_etag(vega_tv):
    publish("shard_000", version=17)
    first = get_current(vega_tv)

    again = get_current(vega_tv, **{"if-none-match": first["ETag"]})
    publish("shard_000", version=18)
    later = get_current(vega_tv, **{"if-none-match": first["ETag"]})

    assert "max-age=60" in first["Cache-Control"]
    assert again.status_code == 304
    assert later.json()["global_version"] == 18


def test_current_is_not_for_strangers(client):
    assert client.get(CURRENT).status_code == 401


@pytest.mark.parametrize("path", [INFO, CURRENT])
def test_head_is_answered_like_get(vega_tv, path):
    response = vega_tv.client.head(
        path, headers={"authorization": vega_tv.authorization}
    )

    assert (response.status_code, response.content) == (200, b"")


def get_current(tv, **headers):
    return tv.client.get(CURRENT, headers={"authorization": tv.authorization} | headers)
