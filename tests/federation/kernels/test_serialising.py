"""Dataclasses of arrays as bytes: the same bytes everywhere, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from federation.kernels import KernelInputError
from federation.kernels.serialising import from_bytes, to_bytes


@dataclass(frozen=True)
class Star:
    name: str
    brightness: float
    planets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sky:
    count: int
    stars: list[Star] = field(default_factory=list)
    by_place: Mapping[tuple[str, int], Star] = field(default_factory=dict)
    seen_at: datetime | None = None
    note: bytes = b""
    light: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    other: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Cloud:
    count: int


SKY = Sky(
    count=2,
    stars=[Star("vega", 0.1, ("a", "b")), Star("altair", 1 / 3)],
    by_place={("north", 2): Star("deneb", 1e300), ("north", 1): Star("vega", 0.0)},
    seen_at=datetime(2026, 11, 22, tzinfo=UTC),
    note=b"\0\xff",
    light=np.array([[1, -300], [70_000, 2**40]]),
    other=np.array([0.5, np.inf], dtype=np.float32),
)

arrays = numpy_strategies.arrays(
    st.sampled_from([np.int64, np.int16, np.uint64, np.float32, np.bool_]),
    numpy_strategies.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5),
)


def test_what_is_read_is_what_was_written():
    read = from_bytes(Sky, to_bytes(SKY))

    assert (read.count, read.stars, read.note) == (SKY.count, SKY.stars, SKY.note)
    assert (read.by_place, read.seen_at) == (SKY.by_place, SKY.seen_at)
    np.testing.assert_array_equal(read.light, SKY.light)
    assert read.other is not None
    assert read.other.dtype == np.float32
    np.testing.assert_array_equal(read.other, SKY.other)


@given(arrays)
def test_any_array_comes_back_as_it_was(array):
    @dataclass(frozen=True)
    class Holder:
        values: npt.NDArray[np.int64]

    Holder.__annotations__["values"] = npt.NDArray[np.int64]

    read = from_bytes(Holder, to_bytes(Holder(array)))

    assert (read.values.dtype, read.values.shape) == (array.dtype, array.shape)
    assert read.values.tobytes() == array.tobytes()


def test_the_bytes_are_the_same_on_every_machine():
    digest = sha256(to_bytes(SKY)).hexdigest()

    assert digest == (
        "a95a573d14e49d350591b835f5f4d5fbec291d573e50cca64f7c060f989631f1"
    )


def test_the_order_in_which_a_mapping_was_filled_does_not_matter():
    turned = Sky(count=2, by_place=dict(reversed(list(SKY.by_place.items()))))

    assert to_bytes(turned) == to_bytes(Sky(count=2, by_place=SKY.by_place))


def test_whole_numbers_take_as_few_bytes_as_they_need():
    small = to_bytes(Sky(1, light=np.full(1_000, 100)))
    large = to_bytes(Sky(1, light=np.full(1_000, 1 << 40)))

    assert len(large) - len(small) == 7_000


def test_bytes_of_another_kind_are_refused():
    with pytest.raises(KernelInputError, match="no Cloud of this release"):
        from_bytes(Cloud, to_bytes(SKY))


def test_what_can_not_be_written_is_refused():
    with pytest.raises(KernelInputError, match="A set can't be written down"):
        to_bytes(Cloud({1}))  # type: ignore[arg-type]
