"""Packed deltas choose codes by what fits, and by what they still describe."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from uuid import UUID

import numpy as np

from constellation.v1 import codebook_pb2
from fleet.codebook import Codebook
from fleet.dictionary import Dictionary
from fleet.packing import DELTA_BYTES, packed
from fleet.wire import Changes
from tests.fleet.codebooks import any_codebook_body, codebook_body
from tests.fleet.patterns import pattern


def delta(*, added, removed_count=0) -> Changes:
    removed = [UUID(int=number) for number in range(removed_count)]
    return Changes(added=added, removed=removed, local_version=1)


def a_little_too_long(added, dictionary) -> Changes:
    """So many removals that codes of 40 bytes just don't fit."""
    for removed_count in count():
        changes = delta(added=added, removed_count=removed_count)
        coarser = 8 * len(added)
        with_names = packed(changes, Dictionary(items=dictionary.items)).ByteSize()
        as_codes = with_names - (384 - 40) * len(added)
        if DELTA_BYTES < as_codes <= DELTA_BYTES + coarser - 16:
            return changes
    raise AssertionError


def code_bytes(message, patterns) -> float:
    return len(message.embeddings.codes) / len(patterns)


def test_codes_have_forty_bytes_where_they_fit():
    dictionary = Dictionary(codebook=Codebook.read(codebook_body()))
    added = [pattern(number) for number in range(10)]

    message = packed(delta(added=added), dictionary)

    assert code_bytes(message, added) == 40


def test_codes_are_shorter_where_that_keeps_a_delta_within_its_bytes():
    dictionary = Dictionary(codebook=Codebook.read(codebook_body()))
    added = [pattern(number) for number in range(10)]

    message = packed(a_little_too_long(added, dictionary), dictionary)

    assert code_bytes(message, added) == 32
    assert message.ByteSize() <= DELTA_BYTES


def test_codes_that_would_say_something_else_are_not_shortened():
    """The fifth stage, which 32 bytes lack, carries everything here."""
    message = codebook_pb2.Codebook.FromString(any_codebook_body())
    scales = np.zeros((6, 8), np.float32)
    scales[4] = 1 / 1173  # sums are about one long
    message.centroid_scales[:] = scales.ravel().tolist()
    message.mean[:] = [0] * 384
    codebook = Codebook.read(message.SerializeToString())
    codes = np.random.default_rng(1).integers(0, 256, (10, 40), dtype=np.uint8)
    added = [
        replace(pattern(number), embedding=vector)
        for number, vector in enumerate(codebook.decode(codes))
    ]
    dictionary = Dictionary(codebook=codebook)

    written = packed(a_little_too_long(added, dictionary), dictionary)

    assert code_bytes(written, added) == 40
