"""Rounds of all clients; writes down when each was over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

FLOATS = 384

app = ServerApp()


class Timed(FedAvg):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        #: When a round was over, in seconds, and how many took part.
        self.rounds: list[tuple[float, int]] = []

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        replies = list(replies)
        averaged = super().aggregate_train(server_round, replies)
        self.rounds.append((time.perf_counter(), len(replies)))
        return averaged


@app.main()
def main(grid: Grid, context: Context) -> None:
    nodes = int(context.run_config["nodes"])
    strategy = Timed(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=nodes,
        min_available_nodes=nodes,
    )
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(FLOATS, np.float32)]),
        num_rounds=int(context.run_config["rounds"]),
    )
    report = Path(str(context.run_config["report"]))
    draft = report.with_suffix(".new")
    draft.write_text(json.dumps(strategy.rounds))
    draft.rename(report)
