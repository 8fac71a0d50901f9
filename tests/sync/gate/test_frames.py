from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.gate.frames import Frames, frame

messages = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=300)))


@given(messages, st.lists(st.integers(1, 50)))
def test_messages_come_out_as_they_went_in_however_they_are_cut(sent, cuts):
    stream = b"".join(frame(number, message) for number, message in sent)
    frames = Frames()
    heard: list[tuple[int, bytes]] = []

    for cut in cuts:
        heard += frames.of(stream[:cut])
        stream = stream[cut:]
    heard += frames.of(stream)

    assert heard == sent
