"""Items that a packed delta refers to, by ordinals or places in its ``names``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
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

    def read(
        self,
        genre_hints: content_pb2.ReferenceLists,
        content_ids: content_pb2.ReferenceLists,
        paths: Sequence[str],
    ) -> tuple[Sequence[Names], Sequence[Names]]:
        """Read the genres and the contents of each addition."""
        counts = _counts(genre_hints, paths, "genre_hints", GENRE_HINTS_LIMIT)
        counts += _counts(content_ids, paths, "content_ids", CONTENT_IDS_LIMIT)
        genres = genre_hints.references[:]
        items = self._items(genres + content_ids.references[:], counts, paths)
        names = self._genres(items[: len(genres)], counts, paths)
        contents = items[len(genres) :]
        # Those that came along are checked below.
        if not self._names and GENRE_PREFIX in " ".join(contents):
            for place, item in enumerate(contents, start=len(genres)):
                rules.check_content(item, _path(place, counts, paths))
        names += contents
        rows = self._checked(_shared_out(names, counts), len(names), paths)
        return rows[: len(paths)], rows[len(paths) :]

    def _items(
        self, references: Sequence[int], counts: bytes, paths: Sequence[str]
    ) -> list[str]:
        names = self._names
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
        # Telling that all are true is faster than that none is None.
        if not all(items) and None in items:
            place = items.index(None)
            fields.refuse(
                _path(place, counts, paths),
                f"no item has the ordinal {references[place] - known}",
                f"ordinals up to {table.last_ordinal}, or names",
            )
        return cast("list[str]", items)

    def _genres(
        self, items: Sequence[str], counts: bytes, paths: Sequence[str]
    ) -> list[str]:
        genre_of = _genre if self._names else _published_genres.__getitem__
        genres = list(map(genre_of, items))
        if not all(genres) and None in genres:
            fields.refuse(
                _path(genres.index(None), counts, paths),
                "it is no genre",
                f"items that begin with {GENRE_PREFIX}",
            )
        return cast("list[str]", genres)

    def _checked(
        self, rows: list[list[str]], n_names: int, paths: Sequence[str]
    ) -> Sequence[Names]:
        """Check names that came along; published ones need no check."""
        if self._names:
            genres, contents = rows[: len(paths)], rows[len(paths) :]
            return [
                *map(rules.genre_hints, genres, paths),
                *map(rules.content_ids, contents, paths),
            ]
        if sum(map(len, map(set, rows))) == n_names:
            return rows
        return list(map(list, map(dict.fromkeys, rows)))


def _most_names() -> int:
    most: int = settings.PATTERNS_PER_SYNC * (GENRE_HINTS_LIMIT + CONTENT_IDS_LIMIT)
    return most


def _genre(item: str) -> str | None:
    """Name the genre that an item is; None for a content."""
    return item.removeprefix(GENRE_PREFIX) if item.startswith(GENRE_PREFIX) else None


class _PublishedGenres(dict[str, str | None]):
    """What items are as genres; not of names that came along, of any length."""

    def __missing__(self, item: str) -> str | None:
        genre = _genre(item)
        if genre is not None:
            self[item] = genre
        return genre


_published_genres = _PublishedGenres()


def _counts(
    column: content_pb2.ReferenceLists, paths: Sequence[str], name: str, at_most: int
) -> bytes:
    """Check and give the counts of a column."""
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
    if len(column.references) != sum(counts):
        fields.refuse(
            f"{_PACKED}.{name}.references",
            f"it has {len(column.references)} numbers",
            f"{sum(counts)}, the sum of counts",
        )
    return counts


def _shared_out(names: list[str], counts: bytes) -> list[list[str]]:
    end = 0
    return [names[end : (end := end + count)] for count in counts]


def _path(place: int, counts: bytes, paths: Sequence[str]) -> str:
    """Tell what a reference would be called in the lists."""
    ends = [0, *accumulate(counts)]
    row = bisect_right(ends, place) - 1
    name = "genre_hints" if row < len(paths) else "content_ids"
    return f"{paths[row % len(paths)]}.{name}[{place - ends[row]}]"
