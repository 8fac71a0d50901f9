from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from federation.kernels import KernelInputError, concatenate_blocks, pattern_keys
from tests.federation.kernels.planting import cut, nothing


def same(one, other):
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        if isinstance(getattr(one, field.name), np.ndarray)
        else getattr(one, field.name) == getattr(other, field.name)
        for field in fields(one)
    )


def test_cut_and_joined_again_is_the_same_block(vega):
    parts = cut(vega, 7)

    assert same(concatenate_blocks(parts), vega)


def test_taking_no_tv_leaves_nothing(vega):
    taken = vega.take_devices(np.zeros(0, dtype=np.int64))

    assert len(taken) == taken.n_devices == 0


def test_a_block_of_nothing_is_a_block():
    assert len(nothing()) == 0


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("embeddings", np.zeros((3, 384), np.float32), "embeddings has shape (3, 384)"),
        ("success_rate", np.zeros(3, np.float32), "success_rate has shape (3,)"),
        ("genres", [[]], "genres has 1 rows"),
        ("device_batch", np.zeros(2, np.int64), "device_batch has 2 TVs"),
        ("device_region", ["eu"], "device_batch has 60 TVs; device_region has 1"),
    ],
)
def test_columns_that_disagree_are_refused(vega, column, value, message):
    with pytest.raises(KernelInputError) as caught:
        replace(vega, **{column: value})

    assert message in str(caught.value)


def test_rows_of_a_tv_stay_together(vega):
    with pytest.raises(KernelInputError, match="must not decrease"):
        replace(vega, device_index=vega.device_index[::-1].copy())


def test_context_codes_have_a_range(vega):
    codes = np.full(len(vega), 16, dtype=np.int8)

    with pytest.raises(KernelInputError, match=r"time_of_day must lie in 0\.\.15"):
        replace(vega, time_of_day=codes)


def test_keys_sort_as_their_bytes_do(rng):
    devices = [rng.bytes(16) for _ in range(50)]
    patterns = [rng.bytes(16) for _ in range(50)]

    keys = pattern_keys(devices, patterns)

    by_bytes = sorted(range(50), key=lambda row: devices[row] + patterns[row])
    assert np.lexsort(keys.T[::-1]).tolist() == by_bytes


def test_short_ids_are_refused():
    with pytest.raises(KernelInputError, match="not 16 bytes"):
        pattern_keys([b"short"], [bytes(16)])
