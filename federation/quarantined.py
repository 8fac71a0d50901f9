"""What a round leaves out on an operator's word. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """Fixed when the round opens. Each list ascends."""

    #: Ids of TVs, with dashes.
    devices: tuple[str, ...] = ()
    #: Numbers of enrolment batches.
    batches: tuple[int, ...] = ()
    #: Numbers of cells.
    cells: tuple[int, ...] = ()
    contents: tuple[str, ...] = ()

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Quarantined:
        """Read it back from a round's parameters."""
        return cls(**{name: tuple(values) for name, values in written.items()})


NOTHING = Quarantined()
