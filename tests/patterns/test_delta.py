"""Whether a delta counts at all, and what tells two of them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from patterns import delta as deltas
from patterns.delta import EMPTY_DIGEST, Decision, Delta
from patterns.exceptions import StaleVersion, VersionGap, VersionReused
from tests.patterns.deltas import EMBEDDING, Addition, Update, delta

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


def decide(sent: Delta, version: int = 5, digest: bytes = b"other" * 4):
    return deltas.decide(stored_version=version, stored_digest=digest, delta=sent)


def test_higher_version_is_applied():
    assert decide(Delta(local_version=6)) is Decision.APPLY
    assert decide(Delta(local_version=99, base_version=5)) is Decision.APPLY


def test_same_content_under_the_same_version_is_a_retry():
    sent = delta(5, removed=[A], base_version=4)

    assert decide(sent, digest=sent.digest) is Decision.REPLAY


def test_tv_that_never_synced_stands_at_version_0_with_nothing():
    assert decide(Delta(local_version=0), 0, b"") is Decision.REPLAY
    with pytest.raises(VersionReused):
        decide(delta(0, removed=[A]), 0, b"")


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        (Delta(local_version=5), VersionReused),
        (Delta(local_version=4), StaleVersion),
        # Behind is said first: a resync would not help a late retry.
        (Delta(local_version=4, base_version=3), StaleVersion),
        (Delta(local_version=6, base_version=4), VersionGap),
        (Delta(local_version=6, base_version=6), VersionGap),
    ],
)
def test_refusal_tells_the_stored_version(sent, refusal):
    with pytest.raises(refusal) as caught:
        decide(sent)

    assert caught.value.facts["local_version"] == 5
    assert "5" in str(caught.value)


ADDED = Addition(
    id=A,
    time_of_day=1,
    day_of_week=2,
    content_type=3,
    genre_hints=("ab", "c"),
    content_ids=("tt1",),
)
LISTS: dict[str, Any] = {"added": [ADDED], "updated": [Update(id=B)], "removed": [C]}
WHOLE = delta(1, **LISTS)


def other(**lists) -> Delta:
    return delta(1, **LISTS | lists)


def changed(**parts) -> Delta:
    return other(added=[replace(ADDED, **parts)])


@pytest.mark.parametrize(
    "different",
    [
        Delta(local_version=1),
        other(added=[]),
        other(updated=[]),
        other(removed=[]),
        other(removed=[B]),
        other(updated=[Update(id=C)]),
        other(updated=[Update(id=B, new_success_rate=0.8)]),
        other(updated=[Update(id=B, additional_samples=5)]),
        changed(id=B),
        changed(success_rate=0.9000000000000001),
        changed(sample_count=5),
        changed(embedding=EMBEDDING * np.float32(1.0000001)),
        changed(code=(1, b"code")),
        changed(time_of_day=2),
        changed(day_of_week=1),
        changed(content_type=4),
        changed(genre_hints=("a", "bc")),
        changed(genre_hints=("c", "ab")),
        changed(genre_hints=("ab", "c", "tt1"), content_ids=()),
    ],
)
def test_digest_tells_every_part_apart(different):
    assert different.digest != WHOLE.digest


def test_digest_tells_codes_and_their_codebooks_apart():
    digests = {
        changed(code=code).digest
        for code in ((1, b"code"), (2, b"code"), (1, b"cod"), (1, b"Code"))
    }

    assert len(digests) == 4


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
