"""Flower's server and clients for ``flower.py``; runs in an environment of Flower's.

The server is this process, the clients are threads of processes that it starts. All
clients take part in each round; a round is over when the average of all is taken.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

FLOATS = 384
CLIENT_PROCESSES = 2


def serve(clients: int, rounds: int) -> float:
    """Run some rounds, and return updates a second of those after the first."""
    from flwr.common import ndarrays_to_parameters
    from flwr.server import ServerConfig, start_server
    from flwr.server.strategy import FedAvg

    ends: list[float] = []

    class Timed(FedAvg):
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            if failures or len(results) != clients:
                raise RuntimeError(f"{len(failures)} clients failed")
            averaged = super().aggregate_fit(server_round, results, failures)
            ends.append(time.perf_counter())
            return averaged

    strategy = Timed(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        min_fit_clients=clients,
        min_available_clients=clients,
        initial_parameters=ndarrays_to_parameters([np.zeros(FLOATS, np.float32)]),
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    shares = [clients // CLIENT_PROCESSES] * CLIENT_PROCESSES
    shares[0] += clients - sum(shares)
    # Else the modules beside this one would stand before Flower's own.
    command = [sys.executable, "-P", __file__, "--address", address, "--clients"]
    processes = [
        subprocess.Popen([*command, str(share)], stdout=subprocess.DEVNULL)
        for share in shares
        if share
    ]
    try:
        start_server(
            server_address=address,
            config=ServerConfig(num_rounds=rounds),
            strategy=strategy,
        )
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    # The first waits for the clients to connect.
    return clients * (rounds - 1) / (ends[-1] - ends[0])


def take_part(address: str, clients: int) -> None:
    from flwr.client import NumPyClient
    from flwr.compat.client.app import start_client

    class Television(NumPyClient):
        def fit(self, parameters: Any, _config: Any) -> tuple[Any, int, dict[str, Any]]:
            return parameters, 1, {}

    def run() -> None:
        start_client(server_address=address, client=Television().to_client())

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--address", help="Take part there, instead of serving.")
    options = parser.parse_args()
    if options.address:
        take_part(options.address, options.clients)
        return
    found = serve(options.clients, options.rounds)
    print(json.dumps({"updates_per_second": found}))


if __name__ == "__main__":
    main()
