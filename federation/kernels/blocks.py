"""The columns of some TVs' patterns: what every kernel reads and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import (
    BoolArray,
    Float32Array,
    Int8Array,
    Int64Array,
    UInt64Array,
    group_starts,
)
from .errors import KernelInputError
from .halfvecs import Vectors

EMBEDDING_DIMENSIONS = 384

#: A pattern key is 32 bytes, kept as four words so that it sorts and hashes as numbers.
WORDS_PER_KEY = 4

#: Context codes are 0 (unspecified) to 15; the vocabularies have at most 11 words.
N_CONTEXT_CODES = 16


@dataclass(frozen=True)
class PatternBlock:
    """Some TVs with all their patterns, column by column.

    The rows of one TV are contiguous and never split over two blocks: that is what lets
    a block count distinct TVs and cap a TV's weight without looking further.
    """

    #: Device id and pattern id of each row, as :func:`pattern_keys` makes them. (n, 4)
    pattern_keys: UInt64Array
    #: Which TV of the block each row belongs to: 0, 0, 1, 2, 2 ... (n,)
    device_index: Int64Array
    #: Unit vectors, of half precision as they are stored. (n, 384)
    embeddings: Vectors
    #: 0 to 1. (n,)
    success_rate: Float32Array
    #: At least 0. (n,)
    sample_count: Int64Array
    #: Codes of the context vocabularies, 0 for unspecified. (n,) each
    time_of_day: Int8Array
    day_of_week: Int8Array
    content_type: Int8Array
    #: Genre hints and content ids of each row. (n) each
    genres: Sequence[Sequence[str]]
    content_ids: Sequence[Sequence[str]]
    #: Whether the row was reported since the last published round. (n,)
    is_fresh: BoolArray
    #: The region and the enrolment batch of each TV of the block. (n_devices) each
    device_region: Sequence[str]
    device_batch: Int64Array

    def __post_init__(self) -> None:
        n_rows = len(self.device_index)
        _check_shape("pattern_keys", self.pattern_keys, (n_rows, WORDS_PER_KEY))
        _check_shape("embeddings", self.embeddings, (n_rows, EMBEDDING_DIMENSIONS))
        for name in (
            "success_rate",
            "sample_count",
            "time_of_day",
            "day_of_week",
            "content_type",
            "is_fresh",
        ):
            _check_shape(name, getattr(self, name), (n_rows,))
        for name in ("genres", "content_ids"):
            if len(getattr(self, name)) != n_rows:
                raise KernelInputError(
                    f"{name} has {len(getattr(self, name))} rows; "
                    f"device_index has {n_rows}."
                )
        _check_devices(self)

    def __len__(self) -> int:
        return len(self.device_index)

    @property
    def n_devices(self) -> int:
        """How many TVs the block holds, counting those without a row."""
        return len(self.device_region)

    def take_devices(self, devices: Int64Array) -> PatternBlock:
        """The block of some of its TVs, in the given order.

        Parameters
        ----------
        devices : ndarray of shape (n_taken,), int64
            Positions in ``device_region``, each at most once.

        Returns
        -------
        PatternBlock
            Their rows, each TV's in the order they had.
        """
        first = np.searchsorted(self.device_index, devices, side="left")
        end = np.searchsorted(self.device_index, devices, side="right")
        rows = np.concatenate(
            [np.arange(a, b) for a, b in zip(first, end, strict=True)]
            or [np.zeros(0, dtype=np.int64)]
        )
        return PatternBlock(
            pattern_keys=self.pattern_keys[rows],
            device_index=np.repeat(
                np.arange(len(devices), dtype=np.int64), end - first
            ),
            embeddings=self.embeddings[rows],
            success_rate=self.success_rate[rows],
            sample_count=self.sample_count[rows],
            time_of_day=self.time_of_day[rows],
            day_of_week=self.day_of_week[rows],
            content_type=self.content_type[rows],
            genres=[self.genres[row] for row in rows],
            content_ids=[self.content_ids[row] for row in rows],
            is_fresh=self.is_fresh[rows],
            device_region=[self.device_region[device] for device in devices],
            device_batch=self.device_batch[devices],
        )


def concatenate_blocks(blocks: Sequence[PatternBlock]) -> PatternBlock:
    """One block of the TVs of several, in their order.

    Parameters
    ----------
    blocks : sequence of PatternBlock
        At least one; no TV in two of them.

    Returns
    -------
    PatternBlock
        All rows of all blocks.

    Raises
    ------
    KernelInputError
        If there is no block.
    """
    if not blocks:
        raise KernelInputError("There is no block to concatenate.")
    offsets = np.cumsum([0] + [block.n_devices for block in blocks])
    return PatternBlock(
        pattern_keys=np.concatenate([block.pattern_keys for block in blocks]),
        device_index=np.concatenate(
            [
                block.device_index + offset
                for block, offset in zip(blocks, offsets[:-1], strict=True)
            ]
        ),
        embeddings=np.concatenate([block.embeddings for block in blocks]),
        success_rate=np.concatenate([block.success_rate for block in blocks]),
        sample_count=np.concatenate([block.sample_count for block in blocks]),
        time_of_day=np.concatenate([block.time_of_day for block in blocks]),
        day_of_week=np.concatenate([block.day_of_week for block in blocks]),
        content_type=np.concatenate([block.content_type for block in blocks]),
        genres=[names for block in blocks for names in block.genres],
        content_ids=[names for block in blocks for names in block.content_ids],
        is_fresh=np.concatenate([block.is_fresh for block in blocks]),
        device_region=[region for block in blocks for region in block.device_region],
        device_batch=np.concatenate([block.device_batch for block in blocks]),
    )


def pattern_keys(
    device_ids: Sequence[bytes], pattern_ids: Sequence[bytes]
) -> UInt64Array:
    """Pack the two ids of each pattern into four words.

    Parameters
    ----------
    device_ids, pattern_ids : sequences of bytes
        16 bytes each (``uuid.bytes``), one of each a pattern.

    Returns
    -------
    ndarray of shape (n, 4), uint64
        Read big-endian, so that comparing words compares bytes.

    Raises
    ------
    KernelInputError
        If an id is not 16 bytes long or the two lists differ in length.
    """
    if len(device_ids) != len(pattern_ids):
        raise KernelInputError(
            f"{len(device_ids)} device ids came with {len(pattern_ids)} pattern ids."
        )
    joined = b"".join(
        part for pair in zip(device_ids, pattern_ids, strict=True) for part in pair
    )
    if len(joined) != 32 * len(device_ids):
        raise KernelInputError("A device id or pattern id is not 16 bytes long.")
    words = np.frombuffer(joined, dtype=">u8").reshape(-1, WORDS_PER_KEY)
    return words.astype(np.uint64)


def device_keys(block: PatternBlock) -> UInt64Array:
    """The device ids of a block's TVs, one row for each TV that has a pattern.

    Parameters
    ----------
    block : PatternBlock
        Any block.

    Returns
    -------
    ndarray of shape (n_reporting, 2), uint64
        In the order of ``np.unique(block.device_index)``.
    """
    return block.pattern_keys[group_starts(block.device_index), :2]


def _check_shape(name: str, array: object, shape: tuple[int, ...]) -> None:
    actual = getattr(array, "shape", None)
    if actual != shape:
        raise KernelInputError(f"{name} has shape {actual}; expected {shape}.")


def _check_devices(block: PatternBlock) -> None:
    if len(block.device_batch) != len(block.device_region):
        raise KernelInputError(
            f"device_batch has {len(block.device_batch)} TVs; "
            f"device_region has {len(block.device_region)}."
        )
    if len(block) == 0:
        return
    if np.any(np.diff(block.device_index) < 0) or block.device_index[0] < 0:
        raise KernelInputError("device_index must not decrease and starts at 0 or up.")
    if block.device_index[-1] >= len(block.device_region):
        raise KernelInputError(
            f"device_index names TV {block.device_index[-1]}; "
            f"device_region has {len(block.device_region)}."
        )
    for name in ("time_of_day", "day_of_week", "content_type"):
        codes = getattr(block, name)
        if codes.min() < 0 or codes.max() >= N_CONTEXT_CODES:
            raise KernelInputError(
                f"{name} must lie in 0..{N_CONTEXT_CODES - 1}; "
                f"found {codes.min()}..{codes.max()}."
            )
