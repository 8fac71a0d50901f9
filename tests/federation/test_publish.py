"""A publication goes out whole, to every database, whatever dies on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from django.db import connections

from federation import lease, publish, rounds, rows, selectors
from federation.exceptions import ChecksumMismatch, VersionNotStaged, VersionWouldFall
from federation.models import FederationRound, GlobalPattern, Link, Publication, Trend
from federation.publish import Edition
from federation.result import ResultLinks, ResultPattern, ResultTrend, RoundResult
from tests.federation import fleets

pytestmark = [
    pytest.mark.django_db(
        databases=["default", "shard_000", "shard_001", "shard_002"], transaction=True
    ),
    pytest.mark.usefixtures("low_thresholds"),
]

ALIASES = ["default", "shard_000", "shard_001", "shard_002"]
ALIAS = "shard_000"


def a_result(pattern_count: int = 3, *, seed: int = 1) -> RoundResult:
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((pattern_count, 384)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return RoundResult(
        patterns=tuple(
            ResultPattern(
                cell=2 * number + 1,
                success_rate=0.1 + 0.2,  # needs all 17 digits
                sample_count=7,
                mass=1.5,
                device_count=60,
                batch_count=2,
                time_of_day=4,
                day_of_week=0,
                content_type=1,
                genre_hints=("film noir", "comédie"),
                content_ids=(),
            )
            for number in range(pattern_count)
        ),
        trends=(
            ResultTrend("north", 1, "film-é", 0.9, 0.2, 0.01, 60),
            ResultTrend("north", 2, "genre:comedy", 0.1, 0.4, 0.4, 120),
        ),
        links=(
            ResultLinks("Zulu", ("alien", "brazil"), (0.5, 0.25)),
            ResultLinks("alien", ("Zulu",), (0.5,)),
        ),
        embeddings=embeddings,
        source_counts=np.full(pattern_count, 3, dtype=np.int64),
    )


def an_edition(version: int, result: RoundResult | None = None) -> Edition:
    result = result or a_result()
    return Edition(
        version=version, round_id=1, result=result, checksum=result.checksum()
    )


def put_out(version: int, *, alias: str = ALIAS) -> None:
    edition = an_edition(version, a_result(seed=version))
    publish.stage(alias, edition)
    publish.flip(alias, version, edition.checksum)


# The checksum


def test_a_result_reads_back_as_it_was_written():
    written = a_result()
    rows.write_result(ALIAS, 1, written)

    read = rows.read_result(ALIAS, 1)

    assert (read.patterns, read.trends, read.links) == (
        written.patterns,
        written.trends,
        written.links,
    )
    assert np.array_equal(read.embeddings, written.embeddings)
    assert np.array_equal(read.source_counts, written.source_counts)
    assert read.checksum() == written.checksum()


@pytest.mark.parametrize("field", ["patterns", "trends", "links"])
def test_the_checksum_covers_every_part(field):
    whole = a_result()
    part = replace(whole, **{field: getattr(whole, field)[1:]})

    assert part.checksum() != whole.checksum()


def test_the_checksum_covers_the_last_bit_of_a_vector():
    result = a_result()
    moved = result.embeddings.copy()
    moved[2, 383] = np.nextafter(moved[2, 383], np.float32(1))

    assert replace(result, embeddings=moved).checksum() != result.checksum()


def test_the_checksum_does_not_depend_on_the_sharding():
    result = a_result()
    on_more_shards = replace(result, source_counts=result.source_counts + 7)

    assert on_more_shards.checksum() == result.checksum()


# One database


def test_a_staged_version_is_not_current():
    publish.stage(ALIAS, an_edition(1))

    assert selectors.current_version(ALIAS) == 0


def test_flipping_makes_it_current_and_nothing_else():
    put_out(1)
    put_out(2)

    current = Publication.objects.using(ALIAS).filter(is_current=True)
    assert [each.version for each in current] == [2]


def test_a_damaged_row_is_noticed():
    edition = an_edition(1)
    publish.stage(ALIAS, edition)
    GlobalPattern.objects.using(ALIAS).filter(cell=3).update(sample_count=8)

    with pytest.raises(ChecksumMismatch, match="gave version 1 back with checksum"):
        publish.verify(ALIAS, 1, edition.checksum)


def test_a_version_never_falls():
    put_out(5)
    lower = an_edition(4)

    with pytest.raises(VersionWouldFall, match="has version 5 already"):
        publish.stage(ALIAS, lower)
    with pytest.raises(VersionWouldFall, match="has version 5 already"):
        publish.flip(ALIAS, 4, lower.checksum)

    assert selectors.current_version(ALIAS) == 5


def test_flipping_twice_is_harmless():
    put_out(1)

    publish.flip(ALIAS, 1, an_edition(1).checksum)

    assert selectors.current_version(ALIAS) == 1


def test_what_was_not_staged_is_not_flipped_to():
    put_out(1)

    with pytest.raises(VersionNotStaged, match="doesn't have version 2"):
        publish.flip(ALIAS, 2, "0" * 64)

    assert selectors.current_version(ALIAS) == 1


def test_another_result_under_the_same_version_is_not_flipped_to():
    publish.stage(ALIAS, an_edition(1))

    with pytest.raises(VersionNotStaged):
        publish.flip(ALIAS, 1, a_result(seed=2).checksum())


def test_three_versions_are_kept():
    for version in range(1, 6):
        put_out(version)

    for model in (Publication, GlobalPattern, Trend, Link):
        versions = model.objects.using(ALIAS).values_list("version", flat=True)
        # The two before the current one, and the one that was still there while
        # the last was staged.
        assert set(versions) == {2, 3, 4, 5}


def test_what_a_dead_round_staged_goes_with_the_next():
    put_out(1)
    publish.stage(ALIAS, an_edition(2))

    put_out(3)

    kept = Publication.objects.using(ALIAS).values_list("version", flat=True)
    assert sorted(kept) == [1, 3]


def test_the_index_is_there_again_and_used():
    put_out(1)

    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT indexdef FROM pg_indexes"
            " WHERE indexname = 'global_pattern_by_embedding'"
        )
        (definition,) = cursor.fetchone()
    assert "USING hnsw (embedding vector_cosine_ops)" in definition
    assert "m='32'" in definition
    assert "ef_construction='100'" in definition


def test_neighbours_are_of_the_current_version_only():
    """Older versions have almost the same vectors, which crowd the index."""
    for version in range(1, 5):
        edition = an_edition(version, a_result(200))
        publish.stage(ALIAS, edition)
        publish.flip(ALIAS, version, edition.checksum)
    wanted = a_result(200).embeddings

    found = selectors.similar_global_patterns(wanted[17], 50, alias=ALIAS)

    exact = np.argsort(-(wanted @ wanted[17]), kind="stable")[:50]
    assert {each.version for each in found} == {4}
    assert len({each.cell for each in found} & set((2 * exact + 1).tolist())) >= 48


# A round that dies


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def dying(function, alias: str, *, after: bool = False):
    """A function that kills its process when it comes to one database."""

    def until_then(*args, **kwargs):
        if args[0] != alias:
            return function(*args, **kwargs)
        if after:
            function(*args, **kwargs)
        raise Killed

    return until_then


BEFORE_IT_IS_DECIDED = [
    ("stage", "shard_000", False),
    ("stage", "shard_002", True),
    ("verify", "default", True),
    ("flip", "default", False),
    # Within the transaction that decides.
    ("flip", "default", True),
]
AFTER_IT_WAS_DECIDED = [
    ("flip", "shard_000", False),
    ("flip", "shard_002", True),
]


@pytest.fixture
def published():
    """Three shards, one round published."""
    fleets.store(fleets.plant(tv_count=60, taste_count=3), fleets.make_shards(3))
    return rounds.run_round()


def die(monkeypatch, step: str, alias: str, after: bool) -> FederationRound:
    with monkeypatch.context() as patch:
        patch.setattr(publish, step, dying(getattr(publish, step), alias, after=after))
        with pytest.raises(Killed):
            rounds.run_round()
    return FederationRound.objects.get(status="running")


def check_every_publication_is_whole() -> None:
    for alias in ALIASES:
        version, checksum = selectors.pointer(alias)
        assert rows.read_result(alias, version).checksum() == checksum


@pytest.mark.parametrize(("step", "alias", "after"), BEFORE_IT_IS_DECIDED)
def test_a_round_that_dies_before_it_decides_changes_nothing(
    published, monkeypatch, run_out, step, alias, after
):
    died = die(monkeypatch, step, alias, after)

    assert {selectors.current_version(alias) for alias in ALIASES} == {1}
    check_every_publication_is_whole()

    run_out()
    following = rounds.run_round()
    assert (following.round_id, following.status) == (died.pk, "published")
    assert {selectors.pointer(alias) for alias in ALIASES} == {(2, following.checksum)}
    check_every_publication_is_whole()


@pytest.mark.parametrize(("step", "alias", "after"), AFTER_IT_WAS_DECIDED)
def test_a_round_that_dies_later_flips_the_others_when_it_is_gone_on_with(
    published, monkeypatch, run_out, step, alias, after
):
    died = die(monkeypatch, step, alias, after)

    assert selectors.current_version() == 2
    assert {selectors.current_version(alias) for alias in ALIASES} <= {1, 2}
    check_every_publication_is_whole()

    run_out()
    following = rounds.run_round()
    assert (following.round_id, following.status) == (died.pk, "published")
    assert {selectors.current_version(alias) for alias in ALIASES} == {2}
    check_every_publication_is_whole()


def test_a_version_belongs_to_one_round_even_if_it_died(
    published, monkeypatch, run_out
):
    died = die(monkeypatch, "flip", "default", False)
    run_out()
    abandoned = rounds.run_round(should_stop=lambda: True)

    assert (abandoned.round_id, abandoned.status) == (died.pk, "abandoned")
    assert died.reserved_version == 2
    assert rounds.run_round().global_version == 3


def test_a_round_thought_dead_is_refused_when_it_wakes_up(published, run_out):
    """It staged its version, slept, and others published meanwhile."""
    sleeper = rounds.begin()
    version = lease.reserve_version(sleeper, above=0)
    late = an_edition(version)
    publish.stage("shard_001", late)
    run_out()
    rounds.run_round(should_stop=lambda: True)
    following = rounds.run_round()

    with pytest.raises(VersionWouldFall):
        publish.stage("shard_002", late)
    with pytest.raises(VersionWouldFall):
        publish.flip("shard_001", late.version, late.checksum)

    assert {selectors.current_version(alias) for alias in ALIASES} == {
        following.global_version
    }


def test_a_shard_that_is_ahead_of_a_restored_control_database_still_rises(published):
    """Its version is from before the control database was restored from a backup."""
    put_out(40, alias="shard_001")

    report = rounds.run_round()

    assert (report.status, report.global_version) == ("published", 41)
    assert selectors.current_version("shard_001") == 41
