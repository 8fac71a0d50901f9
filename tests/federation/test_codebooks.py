"""Which codebooks a round trains and publishes, and how long they are understood."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from federation import codebooks, holding, publish, rollback, rounds, training
from federation.codebooks import Codebooks
from federation.codes import SIZES, PublishedCodes, smallest_codes
from federation.kernels.codebook import CODE_SIZES, Codebook, cosines
from federation.models import Bundle, TrainedCodebook
from tests.federation import fleets

ALIASES = ["default", "shard_000", "shard_001", "shard_002"]

pytestmark = [
    pytest.mark.django_db(databases=ALIASES, transaction=True),
    pytest.mark.usefixtures("low_thresholds"),
]


@pytest.fixture
def shards():
    made = fleets.make_shards(3)
    yield made
    fleets.wipe()


@pytest.fixture
def fleet(shards):
    planted = fleets.plant(tv_count=40)
    fleets.store(planted, shards)
    return planted


def a_round():
    report = rounds.run_round()
    assert report.status == "published", report.problem
    return report


def a_richer_fleet(shards, *, taste_count, seed):
    fleets.wipe_tvs()
    fleets.store(fleets.plant(tv_count=120, taste_count=taste_count, seed=seed), shards)


def carried(alias) -> list[int]:
    current = holding.current(alias)
    return list(current.codebooks.versions)


def newest(alias) -> tuple[Codebook, NDArray[np.uint8]]:
    """The codebook that TVs should have, and all cells in its codes."""
    current = holding.current(alias)
    codebook = current.codebooks.get(current.codebooks.current)
    codes = current.codes.of(current.codebooks.current)
    assert codebook is not None
    assert codes is not None
    return codebook, codes


def versions() -> list[int]:
    return list(TrainedCodebook.objects.values_list("version", flat=True))


def test_the_first_round_trains_one_and_every_shard_has_it(fleet):
    a_round()

    assert versions() == [1]
    for alias in ALIASES:
        assert carried(alias) == [1]


def test_what_shards_have_is_what_was_trained(fleet):
    a_round()

    (trained,) = TrainedCodebook.objects.all()
    (bundle,) = Bundle.objects.using("shard_001").filter(path="codebooks/1")
    assert bytes(bundle.payload.identity) == bytes(trained.payload)


def test_payloads_are_read_as_they_were_written(fleet):
    a_round()
    payload = bytes(TrainedCodebook.objects.get().payload)

    read = codebooks.from_payload(payload)

    assert codebooks.to_payload(read, 1) == payload


def test_a_round_with_the_same_cells_trains_none(fleet):
    a_round()

    a_round()

    assert versions() == [1]
    assert carried("shard_000") == [1]


def test_twice_the_cells_are_trained_for_anew(fleet, shards):
    before = a_round().pattern_count
    a_richer_fleet(shards, taste_count=12, seed=2)

    after = a_round().pattern_count

    assert after >= 2 * before
    assert versions() == [2, 1]
    assert carried("shard_002") == [1, 2]
    assert holding.current("shard_002").codebooks.current == 2


def test_other_cells_are_trained_for_anew(fleet, shards):
    a_round()
    TrainedCodebook.objects.update(cell_count=1000)
    a_richer_fleet(shards, taste_count=5, seed=7)

    a_round()

    assert versions() == [2, 1]


def test_a_restored_control_database_gives_no_version_twice(fleet):
    """TVs keep a codebook for ever by its version."""
    a_round()
    TrainedCodebook.objects.all().delete()

    a_round()

    assert versions() == [2]
    assert carried("shard_001") == [2]


def test_three_former_codebooks_are_understood_and_no_more(fleet):
    for _ in range(5):
        a_round()
        TrainedCodebook.objects.update(cell_count=1)

    assert versions() == [5, 4, 3, 2]
    assert carried("shard_000") == [2, 3, 4, 5]


def test_a_codebook_is_read_once_for_all_publications(fleet):
    a_round()
    before = holding.current("shard_000").codebooks.get(1)

    a_round()

    assert holding.current("shard_000").codebooks.get(1) is before


def test_a_dry_run_trains_none(fleet):
    rounds.run_round(dry_run=True)

    assert versions() == []


def test_a_roll_back_carries_what_is_understood_today(fleet):
    a_round()
    TrainedCodebook.objects.update(cell_count=1)
    a_round()

    rollback.republish()

    assert versions() == [2, 1]
    assert carried("shard_001") == [1, 2]


def test_a_round_that_fails_to_decide_leaves_no_codebook(fleet, monkeypatch):
    class ControlDied(Exception):
        pass

    def die(*_args):
        raise ControlDied

    monkeypatch.setattr(publish, "flip", die)

    with pytest.raises(ControlDied):
        rounds.run_round()

    assert versions() == []
    assert carried("shard_000") == []


def test_a_publication_of_nothing_needs_no_codebook(fleet):
    a_round()
    fleets.wipe_tvs()

    a_round()

    assert versions() == [1]
    _, codes = newest("shard_000")
    assert len(codes) == 0


# Codes of published cells


def test_codes_stand_for_the_cells_of_their_rows(fleet):
    a_round()

    codebook, codes = newest("shard_000")

    read = codebook.decode(codes)
    centroids = holding.current("shard_000").centroids
    assert cosines(centroids, read).min() > 0.985
    assert codes.shape[1] in SIZES


def test_codes_are_made_once(fleet):
    a_round()
    codes = holding.current("shard_000").codes

    assert codes.of(1) is codes.of(1)


def test_an_unknown_codebook_has_no_codes():
    nothing = PublishedCodes(Codebooks(), np.zeros((3, 384), dtype=np.float32))

    assert nothing.of(9) is None


def test_cells_that_are_hard_to_describe_get_longer_codes(fleet):
    a_round()
    codebook, _ = newest("shard_000")
    strange = np.random.default_rng(1).standard_normal((50, 384)).astype(np.float32)
    strange /= np.linalg.norm(strange, axis=1, keepdims=True)

    codes = smallest_codes(codebook, strange)

    assert codes.shape == (50, SIZES[-1])


def test_replies_use_sizes_that_codes_have():
    assert set(SIZES) <= set(CODE_SIZES)


def test_four_codebooks_are_carried_whether_one_is_new_or_not():
    TrainedCodebook.objects.bulk_create(
        TrainedCodebook(
            version=version,
            payload=b"%d" % version,
            round_id=version,
            cell_count=1,
            cosine=1,
            trained_at="2026-01-05T00:00Z",
        )
        for version in (1, 2, 3, 4)
    )
    new = training.NewCodebook(version=5, payload=b"5", cell_count=1, cosine=1)

    assert sorted(training.payloads()) == [1, 2, 3, 4]
    assert sorted(training.payloads(new)) == [2, 3, 4, 5]
