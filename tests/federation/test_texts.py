"""Texts get a number each, however many there are and whatever they share."""

from __future__ import annotations

import numpy as np
import pytest

from federation import texts
from federation.texts import WORD, TextTable


def packed(names):
    """Texts as ``TextTable`` takes them."""
    sent = [name.encode() for name in names]
    width = max(1, -(-max(map(len, sent)) // WORD)) * WORD
    words = np.array([each.ljust(width, b"\0") for each in sent], dtype=f"S{width}")
    return (
        words.view(np.uint64).reshape(len(sent), -1),
        np.array([len(each) for each in sent], dtype=np.int64),
    )


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
    monkeypatch.setattr(texts, "_odd", lambda: np.uint64(0))
    names = ["b", "a", "b", "longer than a word", "a", "c"]
    table = TextTable()

    assert looked_up(table, names) == names
    assert looked_up(table, ["d", "c", "b"]) == ["d", "c", "b"]


def test_texts_that_share_a_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(
        texts, "hash_keys", lambda words, **_: np.zeros(len(words), np.uint64)
    )
    names = ["b", "a", "b", "longer than a word", "a"]

    assert looked_up(TextTable(), names) == names


@pytest.mark.parametrize("n_names", [30, 3_000])
def test_what_is_made_up_is_forgotten(monkeypatch, n_names):
    monkeypatch.setattr(texts, "_CAPACITY", 100)
    table = TextTable()

    for batch in range(10):
        names = [f"junk {batch} {number}" for number in range(n_names)]
        assert looked_up(table, names) == names

    # A block is held whole, and no other beside it.
    assert len(table.names) <= max(100, n_names)
