"""Vectors as PostgreSQL keeps them, where the database hands them out so.

``halfvec_send`` turns over 384 numbers one by one, which is half of what a ``COPY`` of
patterns costs. A cast that changes nothing hands out the bytes instead. Only a
superuser may make it; without it the numbers come as they always did.
"""

from __future__ import annotations

import numpy as np
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray

from patterns.vectors import EMBEDDING_DIMENSIONS

_CAST_EXISTS = """
    SELECT EXISTS (
        SELECT FROM pg_cast
        WHERE castsource = 'halfvec'::regtype AND casttarget = 'bytea'::regtype
            AND castmethod = 'b'
    )
"""


def has_raw_vectors(cursor: CursorWrapper) -> bool:
    """Whether ``embedding::bytea`` gives a vector's bytes."""
    cursor.execute(_CAST_EXISTS)
    (exists,) = cursor.fetchone()
    return bool(exists)


def half_type(counts: NDArray[np.uint16]) -> np.dtype[np.float16]:
    """The type of the numbers of vectors that ``halfvec_send`` or the cast gave.

    Takes what each begins with, how many numbers there are, read as big-endian: that
    tells in which order the server has their bytes. Raises ``ValueError`` if it tells
    neither.
    """
    for order in (">", "<"):
        expected = np.array(EMBEDDING_DIMENSIONS, dtype=f"{order}u2").view(">u2")
        if np.all(counts == expected):
            return np.dtype(f"{order}f2")
    raise ValueError(f"Vectors of {EMBEDDING_DIMENSIONS} numbers were expected.")
