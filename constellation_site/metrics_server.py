"""What Prometheus scrapes from a process: its own numbers and those of its siblings.

With ``PROMETHEUS_MULTIPROC_DIR`` set, counters of every process that shares the
directory are added up, of those that have ended too. Gauges are read when they are
scraped, from whoever knows them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

MULTIPROCESS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


class _ThisProcess(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()


def registry(*collectors: Collector) -> CollectorRegistry:
    """Collect the counters of all processes, and what ``collectors`` say."""
    whole = CollectorRegistry(auto_describe=False)
    directory = os.environ.get(MULTIPROCESS_DIRECTORY)
    if directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
        MultiProcessCollector(whole, path=directory)  # type: ignore[no-untyped-call]
    else:
        whole.register(_ThisProcess())
    for collector in collectors:
        whole.register(collector)
    return whole


@contextmanager
def serving(address: str, metrics: CollectorRegistry) -> Iterator[int]:
    """Answer at ``host:port`` meanwhile; tells the port, for port 0 the one it got."""
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(
        int(port), addr=host.strip("[]") or "0.0.0.0", registry=metrics
    )
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
