"""Servers that are measured by turns: while one is, all others are stopped.

Stopped as by SIGSTOP: they keep what they have in memory and take no time, so peers can
alternate within seconds on a machine whose speed wanders.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import psutil

from benchmarks.sync import serving
from benchmarks.sync.machine import Machine
from constellation_site import embedded

#: Threads of the null view, which never waits, and of the straightforward server.
NULL_THREADS = 2
NAIVE_THREADS = 8


@dataclass(frozen=True)
class Contender:
    """A server, and the process that all of its own descend from."""

    address: str
    pid: int

    def stop(self) -> None:
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def go_on(self) -> None:
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _family(self) -> list[psutil.Process]:
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]


@dataclass(frozen=True, kw_only=True)
class Contenders:
    """All that are measured over HTTP on one machine."""

    product: Contender
    #: Its base address, for operators.
    product_url: str
    null: Contender
    naive: Contender

    @contextmanager
    def alone(self, chosen: Contender | None) -> Iterator[None]:
        """Stop all but one; all of them for None."""
        others = [
            each for each in (self.product, self.null, self.naive) if each != chosen
        ]
        try:
            for each in others:
                each.stop()
            yield
        finally:
            for each in others:
                each.go_on()


@contextmanager
def open_contenders(machine: Machine, *, naive_shard: int) -> Iterator[Contenders]:
    """Start all of them; the peer's tables lie beside those of a shard."""
    peer = {
        "PEER_URL": embedded.database_url(
            machine.home, embedded.shard_database(naive_shard)
        ),
        "DJANGO_SETTINGS_MODULE": "benchmarks.sync.naive.settings",
    }
    with ExitStack() as stack:
        with ThreadPoolExecutor() as pool:
            filled = pool.submit(
                machine.python, "-m", "benchmarks.sync.naive.filling", **peer
            )
            product = stack.enter_context(machine.serving())
            filled.result()
        null = stack.enter_context(
            serving.granian("benchmarks.sync.null:application", threads=NULL_THREADS)
        )
        naive = stack.enter_context(
            serving.granian(
                "benchmarks.sync.naive.wsgi:application",
                threads=NAIVE_THREADS,
                environment=peer,
            )
        )
        yield Contenders(
            product=Contender(product.url.removeprefix("http://"), product.pid),
            product_url=product.url,
            null=Contender(*null),
            naive=Contender(*naive),
        )
