"""The links of a reply, and how they are made to fit into few bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Picked:
    """Links of one reply: row i are those of one content, 0 where there is none."""

    #: Ordinals. int64, shape (n,)
    sources: NDArray[np.int64]
    #: What they take as varints.
    sources_bytes: int
    #: Ordinals. int64, shape (n, 10)
    related: NDArray[np.int64]
    #: uint8, shape (n, 10)
    weights: NDArray[np.uint8]


def pick(news: GlobalNews, table: LinkTable, *, leave_out_named: bool) -> Picked:
    """Take the links of the contents that the TV named; or those to others only."""
    found = map(table.rows.get, news.linked)
    rows = np.array([row for row in found if row is not None], dtype=np.intp)
    related = table.related[rows]
    if leave_out_named and len(rows):
        related[_is_one_of(related, map(table.ordinals.get, news.named))] = 0
    return Picked(
        sources=table.sources[rows],
        sources_bytes=int(table.source_bytes[rows].sum()),
        related=related,
        weights=table.weights[rows],
    )


def write(
    message: content_pb2.Links, picked: Picked, *, limit_bytes: int | None = None
) -> None:
    """Write links; within a limit, without those to contents that matter least.

    How much a content matters is the sum of the weights that lead to it.
    """
    is_link = picked.related > 0
    targets, places = np.unique(picked.related[is_link], return_inverse=True)
    weights = picked.weights[is_link]
    if limit_bytes is not None:
        limit_bytes -= picked.sources_bytes + len(picked.sources) + OVERHEAD_BYTES
        is_kept = _most_important(targets, places, weights, limit_bytes)
        if not is_kept.all():
            is_link[is_link] = stays = is_kept[places]
            targets, weights = targets[is_kept], weights[stays]
            places = (np.cumsum(is_kept) - 1)[places[stays]]
    if len(targets) == 0:
        return
    counts = is_link.sum(axis=1, dtype=np.uint8)
    leads_on = counts > 0
    message.references.extend(picked.sources[leads_on].tolist())
    message.counts = counts[leads_on].tobytes()
    message.related_deltas.extend(np.diff(targets, prepend=0).tolist())
    message.places = places.astype(
        "u1" if len(targets) <= ONE_BYTE_PLACES else "<u2"
    ).tobytes()
    message.weights = weights.tobytes()


def _is_one_of(
    ordinals: NDArray[np.int64], named: Iterable[int | None]
) -> NDArray[np.bool_]:
    known = np.array([0, *filter(None, named)], dtype=np.int64)
    known.sort()
    places = np.searchsorted(known, ordinals, side="right") - 1
    found: NDArray[np.bool_] = known[places] == ordinals
    return found


def _most_important(
    targets: NDArray[np.int64],
    places: NDArray[np.intp],
    weights: NDArray[np.uint8],
    limit_bytes: int,
) -> NDArray[np.bool_]:
    """Choose the targets whose links fit. bool, shape (t,)"""
    count = len(targets)
    importance = np.bincount(places, weights=weights, minlength=count).astype(np.int64)
    # One key, no two the same: of equals, the lower ordinal comes first.
    order = np.argsort(np.arange(count) - importance * count)
    links = np.cumsum(np.bincount(places, minlength=count)[order])
    deltas = _deltas_bytes(count, int(targets[-1]) if count else 0)
    # A place and a weight for each link.
    fitting = min(_fitting(2 * links + deltas, limit_bytes), ONE_BYTE_PLACES)
    if fitting == ONE_BYTE_PLACES:
        fitting = max(fitting, _fitting(3 * links + deltas, limit_bytes))
    is_kept = np.zeros(count, dtype=np.bool_)
    is_kept[order[:fitting]] = True
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
    return int(np.searchsorted(costs, limit_bytes, side="right"))
