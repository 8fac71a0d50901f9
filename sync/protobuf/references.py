"""Items that a packed delta refers to, by ordinals or places in its ``names``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import cast

from django.conf import settings

from constellation.v1 import content_pb2
from federation.publication import LoadedPublication
from patterns.context import CONTENT_IDS_LIMIT, GENRE_HINTS_LIMIT, GENRE_PREFIX
from sync import fields, rules

_PACKED = "delta.packed"

Names = Sequence[str]


class References:
    """Turns the references of one message into names."""

    def __init__(
        self, names: Sequence[str], publication: Callable[[], LoadedPublication]
    ) -> None:
        if names:
            # Before any is looked at: there may be half a million.
            fields.check_length(len(names), f"{_PACKED}.names", at_most=_most_names())
        self._names = names[:]
        self._publication = publication

    def genre_hints(
        self, column: content_pb2.ReferenceLists, paths: Sequence[str]
    ) -> Sequence[Names]:
        """Read the genres of each addition."""
        rows = _Rows(column, paths, "genre_hints", at_most=GENRE_HINTS_LIMIT)
        genre_of = _genre if self._names else _published_genre
        genres = list(map(genre_of, self._items(rows)))
        if None in genres:
            fields.refuse(
                rows.path(genres.index(None)),
                "it is no genre",
                f"items that begin with {GENRE_PREFIX}",
            )
        return self._checked(
            rows.of(cast("list[str]", genres)), paths, rules.genre_hints
        )

    def content_ids(
        self, column: content_pb2.ReferenceLists, paths: Sequence[str]
    ) -> Sequence[Names]:
        """Read the contents of each addition."""
        rows = _Rows(column, paths, "content_ids", at_most=CONTENT_IDS_LIMIT)
        items = self._items(rows)
        # Those that came along are checked below.
        if not self._names and GENRE_PREFIX in " ".join(items):
            for place, item in enumerate(items):
                rules.check_content(item, rows.path(place))
        return self._checked(rows.of(items), paths, rules.content_ids)

    def _checked(
        self,
        rows: Sequence[list[str]],
        paths: Sequence[str],
        check: Callable[[list[str], str], Names],
    ) -> Sequence[Names]:
        """Check names that came along; published ones need no check."""
        if self._names:
            return list(map(check, rows, paths))
        if sum(map(len, map(set, rows))) == sum(map(len, rows)):
            return rows
        return list(map(list, map(dict.fromkeys, rows)))

    def _items(self, rows: _Rows) -> list[str]:
        references, names = rows.references, self._names
        known = len(names)
        if not references:
            return []
        if known and max(references) < known:
            return [names[each] for each in references]
        table = self._publication().items
        if known == 0:
            items = table.names_of(references)
        else:
            items = [
                names[each] if each < known else table.name_of(each - known)
                for each in references
            ]
        if None in items:
            place = items.index(None)
            fields.refuse(
                rows.path(place),
                f"no item has the ordinal {references[place] - known}",
                f"ordinals up to {table.last_ordinal}, or names",
            )
        return cast("list[str]", items)


def _most_names() -> int:
    most: int = settings.PATTERNS_PER_SYNC * (GENRE_HINTS_LIMIT + CONTENT_IDS_LIMIT)
    return most


def _genre(item: str) -> str | None:
    """Name the genre that an item is; None for a content."""
    return item.removeprefix(GENRE_PREFIX) if item.startswith(GENRE_PREFIX) else None


# Not of names that came along: they may be of any length.
_published_genre = lru_cache(maxsize=1024)(_genre)


class _Rows:
    """References of each addition, all of them in one list."""

    def __init__(
        self,
        column: content_pb2.ReferenceLists,
        paths: Sequence[str],
        name: str,
        *,
        at_most: int,
    ) -> None:
        counts = column.counts or bytes(len(paths))
        if len(counts) != len(paths):
            fields.refuse(
                f"{_PACKED}.{name}.counts",
                f"it has {len(counts)} bytes",
                f"{len(paths)}, one for each of added_ids, or none",
            )
        if counts and max(counts) > at_most:
            for count, path in zip(counts, paths, strict=True):
                fields.check_length(count, f"{path}.{name}", at_most=at_most)
        references = column.references
        if len(references) != sum(counts):
            fields.refuse(
                f"{_PACKED}.{name}.references",
                f"it has {len(references)} numbers",
                f"{sum(counts)}, the sum of counts",
            )
        self.references = references[:]
        self._counts = counts
        self._paths = paths
        self._name = name

    def of(self, items: list[str]) -> list[list[str]]:
        """Share out what the references stand for."""
        ends = list(accumulate(self._counts))
        return list(map(items.__getitem__, map(slice, [0, *ends], ends)))

    def path(self, place: int) -> str:
        """Tell what a reference would be called in the lists."""
        ends = [0, *accumulate(self._counts)]
        row = bisect_right(ends, place) - 1
        return f"{self._paths[row]}.{self._name}[{place - ends[row]}]"
