"""Patterns and contents in words, for the pages that people read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from patterns.context import GENRE_PREFIX, ContentType, DayOfWeek, TimeOfDay
from patterns.models import Content


class HasContext(Protocol):
    time_of_day: int
    day_of_week: int
    content_type: int
    genre_hints: list[str]


def titles_of(content_ids: Iterable[str]) -> dict[str, str]:
    """Find the titles of contents in one query; unknown ids are left out."""
    contents = Content.objects.filter(content_id__in=set(content_ids)).only(
        "content_id", "title", "year"
    )
    return {content.content_id: str(content) for content in contents}


def title_of_item(item: str, titles: dict[str, str]) -> str:
    """Say what a trend is about: a content by its title, or a genre."""
    if item.startswith(GENRE_PREFIX):
        return f"Genre: {item.removeprefix(GENRE_PREFIX)}"
    return titles.get(item, item)


def context_words(row: HasContext) -> list[str]:
    """List the circumstances that a pattern names: "evening", "saturday", "movie"."""
    words = [
        TimeOfDay(row.time_of_day).label,
        DayOfWeek(row.day_of_week).label,
        ContentType(row.content_type).label,
    ]
    return [word.replace("_", " ") for word in words if word]
