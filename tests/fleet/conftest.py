"""One TV and the server it talks to; see ``vega.py`` for the latter."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from uuid import UUID

import httpx
import pytest

from fleet.backoff import Backoff
from fleet.client import WIRES, Client
from fleet.outbox import Outbox
from tests.fleet.vega import KEY, Vega


@pytest.fixture
def vega() -> Iterator[Vega]:
    server = Vega()
    yield server
    server.close()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


@pytest.fixture
def waits() -> list[float]:
    """Every pause the TV made, none of them slept."""
    return []


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> str:
    """What a TV promises, it promises on every wire."""
    return str(request.param)


@pytest.fixture
def tv(vega: Vega, http: httpx.Client, waits: list[float], wire: str) -> Client:
    return Client(
        server=vega.url,
        enrolment_key=KEY,
        outbox=Outbox(device_id=UUID(int=1)),
        http=http,
        wire=wire,
        backoff=Backoff(attempts=4, rng=Random(0)),
        pause=waits.append,
    )
