from __future__ import annotations

import pytest

from benchmarks.cells import measure


def test_cells_are_as_good_as_those_of_faiss():
    report = measure(n_vectors=2000, n_cells=16, iterations=5, repeats=1, seed=0)

    assert report.cosine_ratio == pytest.approx(1, abs=1e-3)
