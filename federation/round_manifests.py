"""What a round was made of: digests of all that went in and came out, and of the code.

Written into the round's row once its result is known. With the parts it names, anybody
can do the round's arithmetic again: ``federation.replay``.
"""

from __future__ import annotations

import json
import platform
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from federation.models import FederationRound, RoundPart, RoundUnit
from federation.work import PLAN

#: Raised when the members change their meaning.
FORMAT = 1

#: What the round goes on from, and noise, which nobody can draw again.
PREVIOUS, RELEASED = "previous", "released"

# Patterns of TVs, which are deleted when the round is over: the plan that was made of
# them is where its arithmetic begins again.
_SAMPLES = f"{RoundUnit.Step.SAMPLING}/"
_SUMS = f"{RoundUnit.Step.COLLECTING}/"


def manifest_of(told: FederationRound) -> dict[str, Any]:
    """Describe a round whose result was noted."""
    digests = dict(
        RoundPart.objects.filter(round=told)
        .order_by("name")
        .values_list("name", "sha256")
    )
    described = {
        "format": FORMAT,
        "round": told.pk,
        "checksum": told.checksum,
        "parameters": told.parameters,
        "samples": {n: d for n, d in digests.items() if n.startswith(_SAMPLES)},
        "inputs": {n: d for n, d in digests.items() if is_input(n)},
        "outputs": {n: d for n, d in digests.items() if _is_output(n)},
        "software": software(),
    }
    return {**described, "sha256": _digest(described)}


def is_intact(manifest: dict[str, Any]) -> bool:
    """Tell whether it is as it was written."""
    described = {name: each for name, each in manifest.items() if name != "sha256"}
    return manifest.get("sha256") == _digest(described)


def is_input(name: str) -> bool:
    """Tell whether a part is given to the arithmetic that is done again."""
    return name in (PREVIOUS, PLAN, RELEASED) or name.startswith(_SUMS)


def _is_output(name: str) -> bool:
    return not is_input(name) and not name.startswith(_SAMPLES)


@cache
def software() -> dict[str, str]:
    """Name what does the arithmetic in this process."""
    here = Path(__file__).parent
    sources = [*sorted((here / "kernels").glob("*.py")), here / "merge.py"]
    digest = sha256()
    for path in [*sources, here / "result.py"]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "arithmetic": digest.hexdigest(),
    }


def _digest(described: dict[str, Any]) -> str:
    text = json.dumps(described, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()
