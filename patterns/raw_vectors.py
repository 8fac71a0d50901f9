"""Vectors as PostgreSQL keeps them, where the database hands them out so.

``halfvec_send`` turns over 384 numbers one by one, which is half of what a ``COPY`` of
patterns costs. A cast that changes nothing hands out the bytes instead. Only a
superuser may make it; without it the numbers come as they always did.
"""

from __future__ import annotations

import numpy as np
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray

from patterns.vectors import EMBEDDING_DIMENSIONS, widened

_CAST_EXISTS = """
    SELECT EXISTS (
        SELECT FROM pg_cast
        WHERE castsource = 'halfvec'::regtype AND casttarget = 'bytea'::regtype
            AND castmethod = 'b'
    )
"""

_NETWORK_ORDER = np.int16(EMBEDDING_DIMENSIONS)
_OTHER_ORDER = _NETWORK_ORDER.byteswap()


def has_raw_vectors(cursor: CursorWrapper) -> bool:
    """Whether ``embedding::bytea`` gives a vector's bytes."""
    cursor.execute(_CAST_EXISTS)
    (exists,) = cursor.fetchone()
    return bool(exists)


def halfvecs(sent: NDArray[np.int16]) -> NDArray[np.float32]:
    """Vectors from what ``halfvec_send`` or the cast gave, read as big-endian numbers.

    Takes a (n, 386) matrix: how many numbers follow, zero, and these; the first tells
    in which order the server has their bytes. Gives (n, 384). Raises ``ValueError`` if
    it tells neither.
    """
    counts, halves = sent[:, 0], sent[:, 2:]
    if np.all(counts == _NETWORK_ORDER):
        return widened(halves)
    if np.all(counts == _OTHER_ORDER):
        return widened(halves.view(halves.dtype.newbyteorder()))
    raise ValueError(f"Vectors of {EMBEDDING_DIMENSIONS} numbers were expected.")
