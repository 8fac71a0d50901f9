from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.sync.gate import web
from tests.sync.gate.doors import Door, running_gate
from tests.sync.gate.web import Web


@pytest.fixture
def webs(tmp_path) -> Iterator[list[Web]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(web.running(tmp_path / f"{number}.sock"))
            for number in range(2)
        ]


@pytest.fixture
def door(webs) -> Iterator[Door]:
    with running_gate(webs[:1]) as door:
        yield door
