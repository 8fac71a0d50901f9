"""The published cells as codes: what replies carry instead of vectors."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from federation.codebooks import Codebooks
from federation.kernels.codebook import Codebook, cosines

#: Bytes a cell may take in a reply: a hundred of the largest leave a fifth of the
#: 5,120 for all else.
SIZES = (16, 24, 32, 40)

#: The smallest codes are taken that are this good: on average, and for 19 cells of 20.
COSINE_WANTED = 0.985
WORST_COSINE_WANTED = 0.96


class PublishedCodes:
    """Codes of all cells, by codebook; made when the first TV asks, and kept."""

    def __init__(self, codebooks: Codebooks, centroids: NDArray[np.float32]) -> None:
        self._codebooks = codebooks
        self._centroids = centroids
        self._codes: dict[int, NDArray[np.uint8]] = {}
        self._lock = Lock()

    def of(self, codebook_version: int) -> NDArray[np.uint8] | None:
        """Give the codes of all cells, or None for a codebook that isn't understood.

        uint8, shape (n, bytes): as few bytes as describe these cells well. 4,096 cells
        take 50 ms of one core, once a publication and codebook.
        """
        codes = self._codes.get(codebook_version)
        if codes is not None:
            return codes
        codebook = self._codebooks.get(codebook_version)
        if codebook is None:
            return None
        with self._lock:
            if codebook_version not in self._codes:
                self._codes[codebook_version] = smallest_codes(
                    codebook, self._centroids
                )
        return self._codes[codebook_version]


def smallest_codes(
    codebook: Codebook, centroids: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Write unit vectors with as few of ``SIZES`` bytes as describe them well."""
    codes = codebook.encode(centroids, SIZES[-1])
    for size in SIZES:
        shortened = codes[:, :size]
        if _are_good(cosines(centroids, codebook.decode(shortened))):
            return np.ascontiguousarray(shortened)
    return codes


def _are_good(found: NDArray[np.float32]) -> bool:
    return len(found) == 0 or bool(
        found.mean() >= COSINE_WANTED
        and np.quantile(found, 0.05) >= WORST_COSINE_WANTED
    )
