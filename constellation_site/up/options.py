"""What the operator asked `up` for, and the environment its processes get."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

#: Enough for a simulated fleet of some hundred TVs; never below 2.
DEMO_DEVICES_PER_PATTERN = 5


@dataclass(frozen=True)
class Options:
    home: Path
    rest_address: str
    grpc_address: str
    metrics_address: str
    workers: int
    #: request threads of each worker, and of the gRPC server
    threads: int
    federation_interval_seconds: int
    is_demo: bool
    demo_tvs: int

    @property
    def metrics_directory(self) -> Path:
        """Where the serving processes leave their counters for the observer."""
        return self.home / "metrics"

    @property
    def enrolment_key_file(self) -> Path:
        return self.home / "fleet_enrolment_key"

    @property
    def fleet_directory(self) -> Path:
        """What the simulated TVs remember."""
        return self.home / "fleet"

    @property
    def rest_url(self) -> str:
        return f"http://{local_address(self.rest_address)}"

    @property
    def grpc_target(self) -> str:
        return local_address(self.grpc_address)

    @property
    def metrics_url(self) -> str:
        return f"http://{local_address(self.metrics_address)}/metrics"

    @property
    def lowers_privacy_threshold(self) -> bool:
        """A number the operator has set is kept, even for a demo."""
        return self.is_demo and not os.environ.get("MIN_DEVICES_PER_PATTERN")

    def environment(self) -> dict[str, str]:
        """The environment of every process, on top of that of `up` itself."""
        return {
            **os.environ,
            "CONSTELLATION_HOME": str(self.home),
            "DJANGO_SETTINGS_MODULE": "constellation_site.settings",
            "REST_ADDR": self.rest_address,
            "GRPC_ADDR": self.grpc_address,
            "METRICS_ADDR": self.metrics_address,
            "REQUEST_THREADS": str(self.threads),
            "FEDERATION_INTERVAL_SECS": str(self.federation_interval_seconds),
            "PROMETHEUS_MULTIPROC_DIR": str(self.metrics_directory),
            "PYTHONUNBUFFERED": "1",
        }


def split_address(address: str) -> tuple[str, int]:
    """`host:port` as both; an empty host is every interface."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(port)


def local_address(address: str) -> str:
    """The address as a browser on this machine would type it."""
    host, port = split_address(address)
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
