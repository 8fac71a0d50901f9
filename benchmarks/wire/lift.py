"""Whether viewers lose by the binary wire: NDCG@10 through it and through JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.installation import Installation

#: JSON before and after, so that what later rounds know is no one's advantage.
WIRES = ("json", "protobuf", "json")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """NDCG@10 of TVs with what the fleet learned."""

    ndcg_json: float
    ndcg_protobuf: float
    #: How far the two runs through JSON are apart, as a share: what is noise.
    noise: float
    ndcg_alone: float
    ndcg_centralised: float

    @property
    def kept(self) -> float:
        return self.ndcg_protobuf / self.ndcg_json


def measure(
    installation: Installation,
    folder: Path,
    enrolment_key: str,
    say: Callable[[str], None],
) -> Kept:
    """Let the data set's users live on an installation without other TVs.

    It has published before, so that patterns travel as codes from the first sync on.
    """
    runs = []
    for wire in WIRES:
        say(f"lift through {wire}")
        runs.append(
            installation.command(
                *("simulate", "--movielens", str(folder), "--lift", "--forget"),
                *("--syncs", "1", "--wire", wire, "--url", installation.url),
                *("--enrolment-key", enrolment_key),
            )
        )
    first, binary, second = (run["ndcg_federated"] for run in runs)
    return Kept(
        ndcg_json=(first + second) / 2,
        ndcg_protobuf=binary,
        noise=abs(first - second) * 2 / (first + second),
        ndcg_alone=runs[1]["ndcg_alone"],
        ndcg_centralised=runs[1]["ndcg_centralised"],
    )
