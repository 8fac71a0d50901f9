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


Places = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, eq=False)
class Picked:
    """Links of one reply: row i are those of one content."""

    #: Ordinals. int64, shape (n,)
    sources: NDArray[np.int64]
    #: What they take as varints.
    sources_bytes: int
    #: As in ``LinkTable``. shape (n, 10)
    related: Places
    #: uint8, shape (n, 10)
    weights: NDArray[np.uint8]
    #: Places of contents that no link shall lead to.
    left_out: Places


def pick(
    news: GlobalNews, table: LinkTable, *, left_out: Collection[str] = ()
) -> Picked:
    """Take the links of the contents that the TV named, but for those to some."""
    rows = _found(table.rows, news.linked)
    if len(rows) and rows.min() < 0:
        rows = rows[rows >= 0]
    return Picked(
        sources=table.sources[rows],
        sources_bytes=int(table.source_bytes[rows].sum()),
        related=table.related[rows],
        weights=table.weights[rows],
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
    if picked.related.size == 0:
        return
    targets, places = _distinct(picked.related.ravel())
    weights = picked.weights.ravel()
    is_kept = targets > 0
    _unset(is_kept, targets, picked.left_out)
    if limit_bytes is not None:
        limit_bytes -= picked.sources_bytes + len(picked.sources) + OVERHEAD_BYTES
        is_kept = _most_important(
            is_kept,
            importance=np.bincount(places, weights, len(targets)),
            links=np.bincount(places, minlength=len(targets)),
            deltas_bytes=_deltas_bytes(len(targets), int(table.targets[targets[-1]])),
            limit_bytes=limit_bytes,
        )
    kept = table.targets[targets[is_kept]]
    if len(kept) == 0:
        return
    is_link = is_kept[places]
    counts = is_link.reshape(picked.related.shape).sum(axis=1, dtype=np.uint8)
    leads_on = counts > 0
    new_places = is_kept.cumsum(dtype=np.int16)[places[is_link]] - 1
    kind = "u1" if len(kept) <= ONE_BYTE_PLACES else "<u2"
    message.references.extend(picked.sources[leads_on].tolist())
    message.counts = counts[leads_on].tobytes()
    message.related_deltas.extend(deltas(kept).tolist())
    message.places = new_places.astype(kind).tobytes()
    message.weights = weights[is_link].tobytes()


def deltas(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the first number, and the differences of the others to those before."""
    written = numbers.copy()
    written[1:] -= numbers[:-1]
    return written


def _found(places: Mapping[str, int], names: Collection[str]) -> NDArray[np.intp]:
    """Look names up; -1 for those that aren't there."""
    return np.fromiter(map(places.get, names, repeat(-1)), np.intp, len(names))


def _distinct(numbers: Places) -> tuple[Places, NDArray[np.intp]]:
    """List the different numbers, ascending, and at which place each number is.

    As ``np.unique`` does, but each number is sorted together with where it stood.
    """
    bits = numbers.size.bit_length()
    keys = numbers << bits
    keys |= np.arange(numbers.size, dtype=keys.dtype)
    keys.sort()
    ascending = keys >> bits
    is_first = np.empty(numbers.size, dtype=np.bool_)
    is_first[0] = True
    np.not_equal(ascending[1:], ascending[:-1], out=is_first[1:])
    keys &= (1 << bits) - 1
    places = np.empty(numbers.size, dtype=np.intp)
    places[keys.astype(np.intp)] = is_first.cumsum()
    places -= 1
    return ascending[is_first], places


def _unset(flags: NDArray[np.bool_], ascending: Places, some: Places) -> None:
    """Lower the flags of some numbers, as far as they are there."""
    places = ascending.searchsorted(some)
    places[places == len(ascending)] = 0
    flags[places[ascending[places] == some]] = False


def _most_important(
    is_candidate: NDArray[np.bool_],
    *,
    importance: NDArray[Any],
    links: NDArray[np.intp],
    deltas_bytes: NDArray[np.int64],
    limit_bytes: int,
) -> NDArray[np.bool_]:
    """Choose among candidates as many as fit with their links. All of shape (t,)"""
    candidates = np.flatnonzero(is_candidate)
    # Sorted together with their places: of equals, the lower one comes first.
    bits = len(is_candidate).bit_length()
    keys = -importance[candidates].astype(np.int64) << bits
    keys |= candidates
    keys.sort()
    keys &= (1 << bits) - 1
    # A place and a weight for each link.
    bytes_of_links = links[keys].cumsum()
    bytes_of_links *= 2
    costs = bytes_of_links + deltas_bytes[: len(keys)]
    fitting = min(_fitting(costs, limit_bytes), ONE_BYTE_PLACES)
    if fitting == ONE_BYTE_PLACES:
        costs += bytes_of_links // 2
        fitting = max(fitting, _fitting(costs, limit_bytes))
    is_kept = np.zeros(len(is_candidate), dtype=np.bool_)
    is_kept[keys[:fitting]] = True
    return is_kept


def _deltas_bytes(count: int, largest: int) -> NDArray[np.int64]:
    """Bound what the differences of 1, 2, ... ordinals take as varints.

    At most ``largest / 128`` of them need a second byte, since their sum is at most
    ``largest``; and so on.
    """
    numbers = np.arange(1, count + 1)
    total = numbers.copy()
    while largest := largest >> _VARINT_BITS:
        total += np.minimum(numbers, largest)
    return total


def _fitting(costs: NDArray[np.int64], limit_bytes: int) -> int:
    return int(costs.searchsorted(limit_bytes, side="right"))
