"""The pure core: which rows a delta leaves behind, and whether it counts at all."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import delta as deltas
from patterns.delta import (
    EMPTY_DIGEST,
    SAMPLE_COUNT_MAX,
    Accepted,
    Context,
    Decision,
    Delta,
    PatternAddition,
    PatternUpdate,
    StoredPattern,
)
from patterns.exceptions import (
    StaleVersion,
    TooManyPatterns,
    VersionGap,
    VersionReused,
)

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)

EMBEDDING = np.eye(1, 384, dtype=np.float32)[0]


def addition(pattern_id: UUID = A, rate: float = 0.9, samples: int = 4, **parts):
    return PatternAddition(
        **{
            "id": pattern_id,
            "embedding": EMBEDDING,
            "success_rate": rate,
            "sample_count": samples,
        }
        | parts
    )


def update(pattern_id: UUID = A, rate: float = 0.9, samples: int = 4) -> PatternUpdate:
    return PatternUpdate(
        id=pattern_id, new_success_rate=rate, additional_samples=samples
    )


def stored(rate: float = 0.9, samples: int = 4) -> StoredPattern:
    return StoredPattern(success_rate=rate, sample_count=samples)


def apply(rows, *, count: int | None = None, limit: int = 256, **lists):
    return deltas.apply(
        rows,
        Delta(local_version=1, **lists),
        pattern_count=len(rows) if count is None else count,
        quality_threshold=0.7,
        patterns_limit=limit,
    )


def test_no_row_is_written_twice():
    changes = apply(
        {A: stored(), B: stored()},
        added=(addition(A), addition(C)),
        updated=(update(A), update(B), update(C)),
        removed=(B,),
    )

    assert [p.id for p in changes.upserts] == [A, C]
    assert changes.updates == {}
    assert changes.deletes == (B,)
    assert changes.accepted == Accepted(stored=2, updated=3, removed=1)
    assert changes.pattern_count == 2


def test_added_and_removed_at_once_is_never_written():
    changes = apply({}, added=(addition(A),), removed=(A,))

    assert changes.upserts == changes.deletes == ()
    assert changes.accepted == Accepted(stored=1, removed=1)


def test_added_above_and_updated_below_the_threshold_is_never_written():
    changes = apply({}, added=(addition(A, 0.8, 1),), updated=(update(A, 0.1, 1),))

    assert changes.upserts == ()
    assert changes.accepted == Accepted(stored=1, filtered=1)


def test_update_without_samples_still_counts_as_word_of_the_pattern():
    changes = apply({A: stored(0.9, 4)}, updated=(update(A, 0.1, 0),))

    assert changes.updates == {A: stored(0.9, 4)}
    assert changes.accepted == Accepted(updated=1)


def test_lists_of_others_are_left_alone():
    rows = {A: stored(), B: stored()}

    apply(rows, added=(addition(A, 0.1),), removed=(B,))

    assert rows == {A: stored(), B: stored()}


def test_limit_counts_what_is_left():
    full = {A: stored(), B: stored()}

    assert apply(full, limit=2, added=(addition(C),), removed=(A,)).pattern_count == 2
    assert apply(full, limit=2, added=(addition(C, 0.1),)).pattern_count == 2
    with pytest.raises(TooManyPatterns) as refusal:
        apply(full, limit=2, added=(addition(C),))
    assert refusal.value.facts["limit_name"] == "patterns_per_device"


def test_tv_above_a_lowered_limit_may_still_shrink():
    rows = {A: stored()}

    changes = apply(rows, count=10, limit=5, updated=(update(A),))
    fewer = apply(rows, count=10, limit=5, removed=(A,))

    assert changes.pattern_count == 10
    assert fewer.pattern_count == 9


@given(
    rate=st.floats(0, 1),
    new=st.floats(0, 1),
    n=st.integers(1, 2**31 - 1),
    k=st.integers(0, 2**31 - 1),
)
def test_update_is_the_weighted_mean(rate, new, n, k):
    averaged, count = deltas.averaged(stored(rate, n), update(A, new, k))

    exact = (Fraction(rate) * n + Fraction(new) * k) / (n + k)
    assert count == n + k
    assert abs(Fraction(averaged) - exact) <= Fraction(1, 2**50)
    assert min(rate, new) <= averaged <= max(rate, new)


@given(rate=st.floats(0, 1), n=st.integers(1, 10**6), k=st.integers(0, 10**6))
def test_saying_the_same_again_changes_no_rate(rate, n, k):
    """0.7 and 0.7 must not average to 0.6999999999999998, which is filtered."""
    assert deltas.averaged(stored(rate, n), update(A, rate, k))[0] == rate


def test_sample_count_stops_where_the_column_does():
    _, count = deltas.averaged(stored(0.9, SAMPLE_COUNT_MAX), update(A, 0.9, 5))

    assert count == SAMPLE_COUNT_MAX


def decide(delta: Delta, version: int = 5, digest: bytes = b"other" * 4):
    return deltas.decide(stored_version=version, stored_digest=digest, delta=delta)


def test_higher_version_is_applied():
    assert decide(Delta(local_version=6)) is Decision.APPLY
    assert decide(Delta(local_version=99, base_version=5)) is Decision.APPLY


def test_same_content_under_the_same_version_is_a_retry():
    delta = Delta(local_version=5, removed=(A,), base_version=4)

    assert decide(delta, digest=delta.digest) is Decision.REPLAY


def test_tv_that_never_synced_stands_at_version_0_with_nothing():
    assert decide(Delta(local_version=0), 0, b"") is Decision.REPLAY
    with pytest.raises(VersionReused):
        decide(Delta(local_version=0, removed=(A,)), 0, b"")


@pytest.mark.parametrize(
    ("delta", "refusal"),
    [
        (Delta(local_version=5), VersionReused),
        (Delta(local_version=4), StaleVersion),
        # Behind is said first: a resync would not help a late retry.
        (Delta(local_version=4, base_version=3), StaleVersion),
        (Delta(local_version=6, base_version=4), VersionGap),
        (Delta(local_version=6, base_version=6), VersionGap),
    ],
)
def test_refusal_tells_the_stored_version(delta, refusal):
    with pytest.raises(refusal) as caught:
        decide(delta)

    assert caught.value.facts["local_version"] == 5
    assert "5" in str(caught.value)


WHOLE = Delta(
    local_version=1,
    added=(
        addition(
            A,
            context=Context(
                time_of_day=1,
                day_of_week=2,
                content_type=3,
                genre_hints=("ab", "c"),
                content_ids=("tt1",),
            ),
        ),
    ),
    updated=(update(B),),
    removed=(C,),
)


def changed(**parts) -> Delta:
    return replace(WHOLE, added=(replace(WHOLE.added[0], **parts),))


def with_context(**parts) -> Delta:
    return changed(context=replace(WHOLE.added[0].context, **parts))


@pytest.mark.parametrize(
    "other",
    [
        Delta(local_version=1),
        replace(WHOLE, added=()),
        replace(WHOLE, updated=()),
        replace(WHOLE, removed=()),
        replace(WHOLE, removed=(B,)),
        replace(WHOLE, updated=(update(C),)),
        replace(WHOLE, updated=(update(B, 0.8),)),
        replace(WHOLE, updated=(update(B, 0.9, 5),)),
        changed(id=B),
        changed(success_rate=0.9000000000000001),
        changed(sample_count=5),
        changed(embedding=EMBEDDING * np.float32(1.0000001)),
        with_context(time_of_day=2),
        with_context(day_of_week=1),
        with_context(content_type=4),
        with_context(genre_hints=("a", "bc")),
        with_context(genre_hints=("c", "ab")),
        with_context(genre_hints=("ab", "c", "tt1"), content_ids=()),
    ],
)
def test_digest_tells_every_part_apart(other):
    assert other.digest != WHOLE.digest


def test_digest_is_of_the_content_alone():
    again = replace(WHOLE, local_version=9, base_version=8)

    assert again.digest == WHOLE.digest
    assert len(WHOLE.digest) == 32
    assert Delta(local_version=7).digest == EMPTY_DIGEST
    assert Delta(local_version=7).is_empty
    assert not WHOLE.is_empty


def test_digest_stays_the_same_for_ever():
    """Stored digests outlive releases: a retry may come after an upgrade."""
    assert WHOLE.digest.hex()[:16] == "b3b6bc95cf2370f8"


def test_touched_ids_are_named_once():
    delta = Delta(
        local_version=1,
        added=(addition(A), addition(B)),
        updated=(update(B),),
        removed=(C, A),
    )

    assert delta.touched_ids() == [A, B, C]
