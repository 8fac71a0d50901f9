"""The links of a reply, and how they are made to fit into few bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from constellation.v1 import content_pb2
from sync.messages import GlobalNews
from sync.protobuf.columns import LinkTable

#: As many contents as one byte tells apart.
ONE_BYTE_PLACES = 256

#: Tags and lengths: of the five columns, of their message, and one byte that the
#: message around it may take to say a greater length.
OVERHEAD_BYTES = 5 * 3 + 3 + 1

_VARINT_BITS = 7

Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Picked:
    """Links of one reply: row i are those of one content."""

    #: Ordinals; 0 where there is no content. int64, shape (n,)
    sources: NDArray[np.int64]
    #: What they and their counts take.
    sources_bytes: int
    #: As in ``LinkTable``. shape (n, 14)
    related: Places
    #: uint8, shape (n, 14)
    weights: NDArray[np.uint8]
    #: Places of contents that no link shall lead to; 0 for those without one.
    left_out: Places


def pick(
    news: GlobalNews, table: LinkTable, *, left_out: Collection[str] = ()
) -> Picked:
    """Take the links of the contents that the TV named, but for those to some."""
    rows = _found(table.rows, news.linked)
    # ``take`` is faster than indexing where rows are taken.
    return Picked(
        sources=table.sources[rows],
        sources_bytes=sum(table.source_bytes[rows].tobytes()),
        related=table.related.take(rows, axis=0),
        weights=table.weights.take(rows, axis=0),
        left_out=_found(table.target_places, left_out),
    )


def write(
    message: content_pb2.Links,
    picked: Picked,
    table: LinkTable,
    *,
    limit_bytes: int | None = None,
) -> None:
    """Write links; within a limit, without those to contents that matter least.

    How much a content matters is the sum of the weights that lead to it.
    """
    related, weights = picked.related.ravel(), picked.weights.ravel()
    targets, places = _distinct(related, picked.left_out, table.scratch.numbers)
    if len(targets) == 0:
        return
    if limit_bytes is not None:
        room = limit_bytes - picked.sources_bytes - OVERHEAD_BYTES
        largest = int(table.targets[targets[-1]])
        if _bytes_of_all(places, len(targets), largest) > room:
            targets, places = _reduced(targets, places, weights, largest, room)
    if len(targets) == 0:
        return
    is_link = places.astype(np.bool_)
    counts = np.add.reduce(
        is_link.reshape(picked.related.shape), axis=1, dtype=np.uint8
    )
    leads_on = counts > 0
    message.references.extend(picked.sources[leads_on].tolist())
    message.counts = counts[leads_on].tobytes()
    message.related_deltas.extend(deltas(table.targets[targets]).tolist())
    # Taking is three times as fast as indexing by truth, which is done twice.
    links = is_link.nonzero()[0]
    written = places.take(links)
    written -= 1
    size = "u1" if len(targets) <= ONE_BYTE_PLACES else "<u2"
    message.places = written.astype(size).tobytes()
    message.weights = weights.take(links).tobytes()


def _bytes_of_all(places: Places, count: int, largest: int) -> int:
    """Bound what the links to so many contents take, as ``_reduced`` reckons."""
    per_link = 2 if count <= ONE_BYTE_PLACES else 3
    deltas_bytes = count
    while largest := largest >> _VARINT_BITS:
        deltas_bytes += min(count, largest)
    return per_link * int(np.count_nonzero(places)) + deltas_bytes


def _reduced(
    targets: Places,
    places: Places,
    weights: NDArray[np.uint8],
    largest: int,
    limit_bytes: int,
) -> tuple[Places, Places]:
    """Leave out the contents that matter least until the others fit."""
    most_important = _most_important(
        importance=np.bincount(places, weights),
        links=np.bincount(places),
        deltas_bytes=_deltas_bytes(len(targets), largest),
        limit_bytes=limit_bytes,
    )
    most_important.sort()
    new_places = np.zeros(len(targets) + 1, dtype=np.intp)
    new_places[most_important] = np.arange(1, len(most_important) + 1)
    return targets.take(most_important - 1), new_places.take(places)


def deltas(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the first number, and the differences of the others to those before."""
    written = numbers.copy()
    written[1:] -= numbers[:-1]
    return written


def _found(places: Mapping[str, int], names: Collection[str]) -> Places:
    """Look names up; 0 for those that aren't there."""
    return np.fromiter(map(places.get, names, repeat(0)), np.intp, len(names))


def _distinct(
    numbers: Places, left_out: Places, scratch: Places
) -> tuple[Places, Places]:
    """List the different numbers, ascending, and at which place each number is.

    Without 0 and those to leave out: they are at place 0, and the first of the others
    at place 1. Each number is an index of ``scratch``, where each leaves its mark: so
    only the different ones need sorting.
    """
    marks = np.arange(1, len(numbers) + 1)
    scratch[numbers] = marks
    scratch[left_out] = 0
    scratch[0] = 0
    distinct = numbers.compress(scratch.take(numbers) == marks)
    distinct.sort()
    scratch[distinct] = marks[: len(distinct)]
    return distinct, scratch.take(numbers)


def _most_important(
    *,
    importance: NDArray[Any],
    links: NDArray[np.intp],
    deltas_bytes: NDArray[np.int64],
    limit_bytes: int,
) -> NDArray[np.int64]:
    """Choose as many places, but for 0, as fit with their links.

    ``importance`` and ``links`` have shape (t + 1,), ``deltas_bytes`` has (t,).
    """
    # Sorted together with their places: of equals, the lower one comes first.
    bits = len(importance).bit_length()
    keys = (importance[1:] * -(1 << bits)).astype(np.int64)
    keys |= np.arange(1, len(importance))
    keys.sort()
    keys &= (1 << bits) - 1
    # A place and a weight for each link.
    count_of_links = links.take(keys).cumsum()
    costs = 2 * count_of_links
    costs += deltas_bytes
    fitting = min(_fitting(costs, limit_bytes), ONE_BYTE_PLACES)
    if fitting == ONE_BYTE_PLACES:
        costs += count_of_links
        fitting = max(fitting, _fitting(costs, limit_bytes))
    return keys[:fitting]


def _deltas_bytes(count: int, largest: int) -> NDArray[np.int64]:
    """Bound what the differences of 1, 2, ... ordinals take as varints.

    At most ``largest / 128`` of them need a second byte, since their sum is at most
    ``largest``; and so on.
    """
    numbers = np.arange(1, count + 1)
    total = numbers.copy()
    while largest := largest >> _VARINT_BITS:
        total += numbers if largest >= count else np.minimum(numbers, largest)
    return total


def _fitting(costs: NDArray[np.int64], limit_bytes: int) -> int:
    return int(costs.searchsorted(limit_bytes, side="right"))
