"""Lists of names are the same lists, however they are kept."""

from __future__ import annotations

import numpy as np

from federation.kernels.names import NameLists, OfNames, joined

LISTS = [["tt1", "tt2"], [], ["tt2"], ["ü", "tt1"]]


def test_lists_stay_what_they_are():
    named = NameLists.of(LISTS)

    assert list(named) == LISTS
    assert named[-1] == ["ü", "tt1"]
    assert named[1:3] == [[], ["tt2"]]
    assert len(named) == 4


def test_each_name_is_kept_once():
    named = NameLists.of(LISTS)

    assert sorted(named.names) == ["tt1", "tt2", "ü"]
    assert [named.names[number] for number in named.numbers] == [
        *("tt1", "tt2", "tt2", "ü", "tt1")
    ]
    assert named.rows().tolist() == [0, 0, 2, 3, 3]


def test_what_is_numbered_stays_as_it_is():
    named = NameLists.of(LISTS)

    assert NameLists.of(named) is named


def test_no_lists_are_lists_too():
    named = NameLists.of([])

    assert list(named) == []
    assert named.rows().tolist() == []
    assert np.array_equal(named.bounds, [0])


def test_what_is_made_of_a_name_is_made_once_while_lists_share_their_names():
    asked = []

    def lengths(names):
        asked.extend(names)
        return np.array([len(name) for name in names], dtype=np.int64)

    of_names = OfNames(lengths)
    names = ["a", "bb"]
    before = of_names(names).tolist()
    names += ["ccc"]

    assert (before, of_names(names).tolist()) == ([1, 2], [1, 2, 3])
    assert asked == ["a", "bb", "ccc"]


def test_other_lists_have_names_of_their_own():
    of_names = OfNames(lambda names: np.array([*map(len, names)], dtype=np.int64))
    of_names(["a", "bb", "ccc"])

    assert of_names(["dddd", "bb"]).tolist() == [4, 2]
    assert of_names([]).tolist() == []


def test_two_streams_of_lists_have_each_name_made_once():
    asked = []

    def lengths(names):
        asked.extend(names)
        return np.array([len(name) for name in names], dtype=np.int64)

    of_names = OfNames(lengths)
    one, other = ["a", "bb"], ["ccc"]

    for _ in range(3):
        assert of_names(one).tolist() == [1, 2]
        assert of_names(other).tolist() == [3]

    assert asked == ["a", "bb", "ccc"]


def test_parts_are_joined_whether_they_share_their_names_or_not():
    named = NameLists.of(LISTS)
    shared = [
        NameLists(named.names, named.numbers[:2], named.bounds[:3]),
        NameLists(named.names, named.numbers[2:], named.bounds[2:] - 2),
    ]

    assert list(joined(shared)) == LISTS
    assert joined(shared).names is named.names
    assert list(joined([NameLists.of(LISTS[:2]), NameLists.of(LISTS[2:])])) == LISTS
