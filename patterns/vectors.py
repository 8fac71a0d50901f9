"""Embeddings: their dimension, and the one place that turns pgvector's into numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: all-MiniLM-L6-v2.
EMBEDDING_DIMENSIONS = 384


def as_array(embedding: Any) -> NDArray[np.float32]:
    """Turn what a pgvector field yields into a float32 array of shape (384,)."""
    if hasattr(embedding, "to_numpy"):
        embedding = embedding.to_numpy()
    return np.asarray(embedding, dtype=np.float32)
