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

#: Raised when the members change their meaning.
FORMAT = 1

#: What the round goes on from, and noise, which nobody can draw again.
PREVIOUS, RELEASED = "previous", "released"

_READINGS = tuple(
    f"{step}/" for step in (RoundUnit.Step.SAMPLING, RoundUnit.Step.COLLECTING)
)


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
        "inputs": {name: d for name, d in digests.items() if is_input(name)},
        "outputs": {name: d for name, d in digests.items() if not is_input(name)},
        "software": software(),
    }
    return {**described, "sha256": _digest(described)}


def is_intact(manifest: dict[str, Any]) -> bool:
    """Tell whether it is as it was written."""
    described = {name: each for name, each in manifest.items() if name != "sha256"}
    return manifest.get("sha256") == _digest(described)


def is_input(name: str) -> bool:
    """Tell whether a part was given to the arithmetic, or is what came of it."""
    return name in (PREVIOUS, RELEASED) or name.startswith(_READINGS)


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
