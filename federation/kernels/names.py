"""What each pattern names, as numbers of names.

A block names thousands of contents hundreds of thousands of times: whoever counts names
looks at each distinct one once, and at numbers for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from .arrays import Int64Array

Word = TypeVar("Word", bound=np.generic)


@dataclass(frozen=True)
class NameLists(Sequence[list[str]]):
    """A short list of names a row."""

    #: Each name once, in any order. Blocks that follow one another may share it: then
    #: it has names of other blocks too, and more are added at its end.
    names: Sequence[str]
    #: A number for each name of each row, row after row: an index into ``names``.
    numbers: Int64Array
    #: Row i has ``numbers[bounds[i]:bounds[i + 1]]``. (n + 1,)
    bounds: Int64Array

    @classmethod
    def of(cls, lists: Sequence[Sequence[str]]) -> NameLists:
        """Number the names of plain lists.

        Parameters
        ----------
        lists : sequence of sequences of str
            One short list a row; what is numbered already stays as it is.

        Returns
        -------
        NameLists
            The same lists.
        """
        if isinstance(lists, cls):
            return lists
        known: dict[str, int] = {}
        bounds = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(names) for names in lists], out=bounds[1:])
        numbers = np.fromiter(
            (known.setdefault(name, len(known)) for name in chain.from_iterable(lists)),
            dtype=np.int64,
            count=int(bounds[-1]),
        )
        return cls(names=list(known), numbers=numbers, bounds=bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @overload
    def __getitem__(self, row: int) -> list[str]: ...

    @overload
    def __getitem__(self, row: slice) -> list[list[str]]: ...

    def __getitem__(self, row: int | slice) -> list[str] | list[list[str]]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        place = range(len(self))[row]
        numbers = self.numbers[self.bounds[place] : self.bounds[place + 1]]
        return [self.names[number] for number in numbers.tolist()]

    def rows(self) -> Int64Array:
        """The row of each number.

        Returns
        -------
        ndarray of shape (n_values,), int64
            Non-decreasing.
        """
        rows = np.arange(len(self), dtype=np.int64)
        return np.repeat(rows, np.diff(self.bounds))


def joined(parts: Sequence[NameLists]) -> NameLists:
    """The lists of some parts, one after the other.

    Parameters
    ----------
    parts : sequence of NameLists
        At least one. Quick where all have their names in the same place.

    Returns
    -------
    NameLists
    """
    names = parts[0].names
    if any(part.names is not names for part in parts):
        return NameLists.of([each for part in parts for each in part])
    lengths = np.concatenate([np.diff(part.bounds) for part in parts])
    bounds = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=bounds[1:])
    numbers = np.concatenate([part.numbers for part in parts])
    return NameLists(names=names, numbers=numbers, bounds=bounds)


# Two streams have a list each, and may begin a new one.
_SHARED_LISTS = 4


class OfNames(Generic[Word]):
    """What somebody makes of each name, made once while lists share their names.

    Parameters
    ----------
    make : callable
        Takes names, returns as many numbers.
    """

    def __init__(self, make: Callable[[Sequence[str]], npt.NDArray[Word]]) -> None:
        self._make = make
        self._nothing = make(())
        # The newest last.
        self._made: list[tuple[Sequence[str], npt.NDArray[Word]]] = []

    def __call__(self, names: Sequence[str]) -> npt.NDArray[Word]:
        """Number for number what was made of the names.

        Parameters
        ----------
        names : sequence of str
            ``NameLists.names`` of any block.

        Returns
        -------
        ndarray of shape (n_names,)
            Not to be changed.
        """
        others = [each for each in self._made if each[0] is not names]
        made = next((m for known, m in self._made if known is names), self._nothing)
        if len(names) > len(made):
            # A copy: a thread that reads may add names meanwhile.
            made = np.concatenate([made, self._make(names[len(made) :])])
        self._made = [*others[1 - _SHARED_LISTS :], (names, made)]
        return made
