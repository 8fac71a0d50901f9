"""Items that a packed delta refers to, by ordinals or places in its ``names``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from django.conf import settings

from constellation.v1 import content_pb2
from federation.publication import LoadedPublication
from patterns.context import CONTENT_IDS_LIMIT, GENRE_HINTS_LIMIT, GENRE_PREFIX
from patterns.items import ItemTable
from sync import fields, rules

_PACKED = "delta.packed"

Names = tuple[str, ...]


class References:
    """Turns the references of one message into names."""

    def __init__(
        self, names: Sequence[str], publication: Callable[[], LoadedPublication]
    ) -> None:
        most = settings.PATTERNS_PER_SYNC * (GENRE_HINTS_LIMIT + CONTENT_IDS_LIMIT)
        # Before any is looked at: there may be half a million.
        fields.check_length(len(names), f"{_PACKED}.names", at_most=most)
        self._names = list(names)
        self._publication = publication
        self._items: ItemTable | None = None

    def genre_hints(
        self, column: content_pb2.ReferenceLists, paths: Sequence[str]
    ) -> Sequence[Names]:
        """Read the genres of each addition."""
        rows = self._rows(column, paths, "genre_hints", at_most=GENRE_HINTS_LIMIT)
        return [
            rules.genre_hints(_genres(row, path), path)
            for row, path in zip(rows, paths, strict=True)
        ]

    def content_ids(
        self, column: content_pb2.ReferenceLists, paths: Sequence[str]
    ) -> Sequence[Names]:
        """Read the contents of each addition."""
        rows = self._rows(column, paths, "content_ids", at_most=CONTENT_IDS_LIMIT)
        return [
            rules.content_ids(row, path) for row, path in zip(rows, paths, strict=True)
        ]

    def _rows(
        self,
        column: content_pb2.ReferenceLists,
        paths: Sequence[str],
        name: str,
        *,
        at_most: int,
    ) -> list[list[str]]:
        counts, references = column.counts or bytes(len(paths)), column.references
        if len(counts) != len(paths):
            fields.refuse(
                f"{_PACKED}.{name}.counts",
                f"it has {len(counts)} bytes",
                f"{len(paths)}, one for each of added_ids, or none",
            )
        for count, path in zip(counts, paths, strict=True):
            fields.check_length(count, f"{path}.{name}", at_most=at_most)
        if len(references) != sum(counts):
            fields.refuse(
                f"{_PACKED}.{name}.references",
                f"it has {len(references)} numbers",
                f"{sum(counts)}, the sum of counts",
            )
        rest = iter(references)
        return [
            list(self._items_of(islice(rest, count), f"{path}.{name}"))
            for count, path in zip(counts, paths, strict=True)
        ]

    def _items_of(self, references: Iterator[int], path: str) -> Iterator[str]:
        names = self._names
        for place, reference in enumerate(references):
            if reference < len(names):
                yield names[reference]
            else:
                yield self._item(reference - len(names), f"{path}[{place}]")

    def _item(self, ordinal: int, path: str) -> str:
        if self._items is None:
            self._items = self._publication().items
        name = self._items.name_of(ordinal)
        if name is None:
            fields.refuse(
                path,
                f"no item has the ordinal {ordinal}",
                f"ordinals up to {self._items.last_ordinal}, or names",
            )
        return name


def _genres(items: Sequence[str], path: str) -> list[str]:
    for place, item in enumerate(items):
        if not item.startswith(GENRE_PREFIX):
            fields.refuse(
                f"{path}.genre_hints[{place}]",
                "it is no genre",
                f"items that begin with {GENRE_PREFIX}",
            )
    return [item.removeprefix(GENRE_PREFIX) for item in items]
