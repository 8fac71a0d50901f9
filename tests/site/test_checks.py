"""Settings that contradict each other are said at start, with what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from constellation_site import checks


def test_as_many_shards_as_the_source_count_is_fine(settings):
    settings.MIN_SOURCE_COUNT = 10  # the suite has ten shards

    assert checks.enough_shards_for_a_source_count() == []


def test_more_sources_asked_for_than_shards_is_said(settings):
    settings.MIN_SOURCE_COUNT = 11

    [message] = checks.enough_shards_for_a_source_count()

    assert message.id == checks.W_TOO_FEW_SHARDS
    assert message.hint == "Add shards, or set MIN_SOURCE_COUNT=10."


def test_storing_more_strictly_than_federating_is_said(settings):
    settings.QUALITY_THRESHOLD = 0.9
    settings.MIN_QUALITY_THRESHOLD = 0.8

    [message] = checks.stored_quality_is_not_above_the_federated()

    assert message.id == checks.W_QUALITY_ORDER


def test_equal_quality_thresholds_are_fine(settings):
    settings.QUALITY_THRESHOLD = settings.MIN_QUALITY_THRESHOLD = 0.8

    assert checks.stored_quality_is_not_above_the_federated() == []


def test_serving_a_shard_without_a_database_is_an_error(settings):
    settings.SHARD_IDS = frozenset({0, 77})

    [message] = checks.served_shards_have_databases()

    assert message.id == checks.E_UNKNOWN_SHARD_IDS
    assert "[77]" in message.msg


@pytest.mark.parametrize("region", ["EU", "eu west", "e" * 33])
def test_region_that_no_tv_can_name_is_an_error(settings, region):
    settings.REGION = region

    [message] = checks.region_is_one_that_tvs_can_name()

    assert message.id == checks.E_REGION
    assert message.msg.startswith(f"REGION is {region!r}. Accepted: ")


@pytest.mark.parametrize("region", ["global", "eu-west_2"])
def test_region_that_tvs_can_name_is_fine(settings, region):
    settings.REGION = region

    assert checks.region_is_one_that_tvs_can_name() == []


@pytest.mark.django_db(databases="__all__")
def test_pgvector_of_the_embedded_server_will_do():
    assert checks.pgvector_is_recent_enough(databases=["default", "shard_000"]) == []


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("version", ["0.7.4", None])
def test_old_or_missing_pgvector_is_an_error(monkeypatch, version):
    monkeypatch.setattr(checks, "_pgvector_version", lambda _: version)

    [message] = checks.pgvector_is_recent_enough(databases=["default"])

    assert message.id == checks.E_PGVECTOR_TOO_OLD


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cert",), "GRPC_TLS_KEY_FILE is not set, but its other half is."),
        (("key",), "GRPC_TLS_CERT_FILE is not set, but its other half is."),
        (("cert", "gone"), "There is no file at GRPC_TLS_KEY_FILE ("),
        (("gone", "key"), "There is no file at GRPC_TLS_CERT_FILE ("),
    ],
)
def test_half_a_certificate_is_an_error(settings, tmp_path, names, said):
    settings.GRPC_TLS_CERT_FILE, settings.GRPC_TLS_KEY_FILE = tls_files(tmp_path, names)

    [message] = checks.certificate_comes_with_its_key()

    assert message.id == checks.E_GRPC_TLS
    assert message.msg.startswith(said)


@pytest.mark.parametrize("names", [(), ("cert", "key")])
def test_no_certificate_or_a_whole_one_is_fine(settings, tmp_path, names):
    settings.GRPC_TLS_CERT_FILE, settings.GRPC_TLS_KEY_FILE = tls_files(tmp_path, names)

    assert checks.certificate_comes_with_its_key() == []


def tls_files(folder: Path, names: tuple[str, ...]) -> list[Path | None]:
    """The certificate's and the key's; of one that is "gone" only its name is left."""
    for name in {"cert", "key"}.intersection(names):
        (folder / name).touch()
    if "gone" in names:
        return [folder / name for name in names]
    return [folder / name if name in names else None for name in ("cert", "key")]
