"""The two fleets that are measured: households, and what they can watch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet import movielens
from fleet.brain import Viewing
from fleet.ranking import Catalogue
from fleet.synthetic import Plan, SyntheticFleet

#: What each household has watched before each of the two rounds.
PORTIONS = 2

#: The first part of a MovieLens user's ratings, of which most patterns come.
EARLIER_FRACTION = 0.8

#: Enough clusters that a reply has its hundred patterns, and enough households that
#: five of them have a taste for each; so many contents that Shannon's bound for the
#: patterns is that of MovieLens' (0.981 in 40 bytes).
SYNTHETIC = Plan(seed=3, households=600, clusters=120, contents_per_cluster=12)
SYNTHETIC_ROUNDS = 6


@dataclass(frozen=True, kw_only=True)
class Fleet:
    name: str
    catalogue: Catalogue
    #: For each household what it watched, in ``PORTIONS`` portions.
    households: Sequence[Sequence[Sequence[Viewing]]]
    #: Where it comes from, if that says what households would have liked next.
    movielens: Path | None = None


def of_movielens(folder: Path) -> Fleet:
    """Its users are the households. Raises DatasetError if the folder isn't one."""
    dataset = movielens.read(folder)
    return Fleet(
        name="movielens",
        catalogue=dataset.catalogue,
        households=[_in_two(user.viewings) for user in dataset.users],
        movielens=folder,
    )


def synthetic(plan: Plan = SYNTHETIC, *, rounds: int = SYNTHETIC_ROUNDS) -> Fleet:
    """The project's own fleet, larger than in the demo."""
    fleet = SyntheticFleet(plan)
    return Fleet(
        name="synthetic",
        catalogue=fleet.catalogue,
        households=[
            [
                [v for r in numbers for v in fleet.viewings(household, r)]
                for numbers in (range(rounds // 2), range(rounds // 2, rounds))
            ]
            for household in range(plan.households)
        ],
    )


def _in_two(viewings: Sequence[Viewing]) -> list[Sequence[Viewing]]:
    cut = int(len(viewings) * EARLIER_FRACTION)
    return [viewings[:cut], viewings[cut:]]
