"""Who takes from generators that run ahead gets all, and ends them for good."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from federation.ahead import ahead_of


def counted(end, *, log=None):
    """Numbers; the log tells in which thread the generator ended."""
    try:
        yield from range(end)
    finally:
        if log is not None:
            log.append(threading.current_thread())


@pytest.mark.parametrize("end", [0, 1, 100])
def test_all_of_one_comes_in_order(end):
    assert list(ahead_of([partial(counted, end)], room=2)) == list(range(end))


def test_all_of_several_comes():
    sources = [partial(counted, end) for end in (50, 0, 7)]

    assert sorted(ahead_of(sources, room=2)) == sorted([*range(50), *range(7)])


def test_no_more_than_there_is_room_for_is_made_ahead():
    made = []
    has_filled = threading.Event()

    def source():
        for number in range(100):
            made.append(number)
            if len(made) == 5:  # three wait, one was taken, one finds no room
                has_filled.set()
            yield number

    taken = ahead_of([source], room=3)
    next(taken)
    assert has_filled.wait(10)
    taken.close()

    assert len(made) <= 7


def test_an_error_of_one_ends_all():
    log: list[threading.Thread] = []

    def source():
        yield -1
        raise ValueError("no more")

    endless = partial(counted, 10**9, log=log)
    taken = ahead_of([source, endless], room=5)  # type: ignore[var-annotated, arg-type]

    with pytest.raises(ValueError, match="no more"):
        list(taken)
    (thread,) = log
    assert not thread.is_alive()


@pytest.mark.parametrize("room", [1, 50])
def test_who_stops_early_has_the_sources_closed_first(room):
    log: list[threading.Thread] = []
    taken = ahead_of([partial(counted, 10**9, log=log)] * 2, room=room)
    next(taken)

    taken.close()

    assert len(set(log)) == 2
    assert threading.current_thread() not in log
    assert not any(thread.is_alive() for thread in log)
