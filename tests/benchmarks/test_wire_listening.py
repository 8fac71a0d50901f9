from __future__ import annotations

import numpy as np

from benchmarks.wire.listening import top_overlap


def circle(degrees: list[float]) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_favourites_that_stay_the_same_overlap_whole():
    told = circle([float(each) for each in range(100)])

    assert top_overlap(circle([0]), told, told) == 1


def test_favourites_that_change_places_with_others_are_missed():
    exact = circle([float(each) for each in range(100)])
    decoded = exact.copy()
    # The nearest three and three of the others.
    decoded[[0, 1, 2, 50, 51, 52]] = decoded[[50, 51, 52, 0, 1, 2]]

    assert top_overlap(circle([0]), exact, decoded) == 0.7


def test_the_nearest_own_pattern_decides():
    own = circle([0, 90])
    exact = circle([*range(5), *range(40, 50), *range(85, 90)])
    decoded = circle([*range(5), *range(50, 60), *range(85, 90)])

    # Five near each of the two; the average of both would choose those between.
    assert top_overlap(own, exact, decoded) == 1
