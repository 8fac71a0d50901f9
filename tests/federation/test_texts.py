"""Texts get a number each, however many there are and whatever they share."""

from __future__ import annotations

import numpy as np
import pytest

from federation import texts
from federation.texts import TextTable


def packed(names):
    """Texts as ``TextTable`` takes them, others between them."""
    sent = [name.encode() for name in names]
    data = np.frombuffer(b"".join([b"?" + each for each in sent]), dtype=np.uint8)
    sizes = np.array([len(each) for each in sent], dtype=np.int64)
    starts = np.cumsum(sizes + 1) - sizes
    return data, starts, sizes


def looked_up(table, names):
    numbers = table.numbers(*packed(names))
    return [table.names[number] for number in numbers.tolist()]


def test_each_text_is_told_apart():
    names = ["", "a", "seven77", "eight888", "nine99999", "ü" * 32, "a", "é", ""]
    table = TextTable()

    assert looked_up(table, names) == names
    assert sorted(table.names) == sorted(set(names))


def test_numbers_stay_while_texts_come():
    table = TextTable()
    first = table.numbers(*packed(["b", "a"]))
    names = table.names

    looked_up(table, [f"a text that is longer, {number}" for number in range(2_000)])
    again = table.numbers(*packed(["b", "a"]))

    assert again.tolist() == first.tolist()
    assert table.names is names


def test_texts_that_begin_alike_are_told_apart_by_what_follows():
    table = TextTable()
    looked_up(table, ["12345678", "12345678abc"])

    assert looked_up(table, ["12345678abd", "12345678", "12345678abc"]) == [
        *("12345678abd", "12345678", "12345678abc")
    ]
    assert len(table.names) == 3


def test_texts_that_share_a_slot_are_told_apart(monkeypatch):
    monkeypatch.setattr(texts, "_odd", lambda count: np.zeros(count, np.uint64))
    names = ["b", "a", "b", "longer than a word", "a", "c", "", "longer than a wore"]
    table = TextTable()

    assert looked_up(table, names) == names
    assert looked_up(table, ["d", "c", "b"]) == ["d", "c", "b"]


def test_a_table_grows_with_its_texts():
    table = TextTable()
    names = [f"{number}" * (number % 40) for number in range(20_000)]

    assert looked_up(table, names) == names
    assert looked_up(table, names[::-1]) == names[::-1]
    assert len(table.names) == len(set(names))


def test_a_text_may_be_longer_than_all_before():
    table = TextTable()
    names = ["a", "b" * 100_000, "c" * 300_000]

    assert looked_up(table, names[:1]) == names[:1]
    assert looked_up(table, names) == names


@pytest.mark.parametrize("n_names", [30, 3_000])
def test_what_is_made_up_is_forgotten(monkeypatch, n_names):
    monkeypatch.setattr(texts, "_CAPACITY", 100)
    table = TextTable()

    for batch in range(10):
        names = [f"junk {batch} {number}" for number in range(n_names)]
        assert looked_up(table, names) == names

    # What is looked up together is held whole, beside a hundred others at most.
    assert len(table.names) <= 100 + n_names
