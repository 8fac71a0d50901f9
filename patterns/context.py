"""The circumstances a pattern was learned in: codes for storage, names on the wire.

0 is "unspecified" everywhere, on the wire an absent field. Codes are for ever:
add at the end, never renumber.
"""

from __future__ import annotations

from django.db import models


class TimeOfDay(models.IntegerChoices):
    UNSPECIFIED = 0, ""
    EARLY_MORNING = 1, "early_morning"
    MORNING = 2, "morning"
    AFTERNOON = 3, "afternoon"
    EVENING = 4, "evening"
    NIGHT = 5, "night"
    LATE_NIGHT = 6, "late_night"


class DayOfWeek(models.IntegerChoices):
    UNSPECIFIED = 0, ""
    MONDAY = 1, "monday"
    TUESDAY = 2, "tuesday"
    WEDNESDAY = 3, "wednesday"
    THURSDAY = 4, "thursday"
    FRIDAY = 5, "friday"
    SATURDAY = 6, "saturday"
    SUNDAY = 7, "sunday"
    WEEKDAY = 8, "weekday"
    WEEKEND = 9, "weekend"


class ContentType(models.IntegerChoices):
    UNSPECIFIED = 0, ""
    MOVIE = 1, "movie"
    SERIES = 2, "series"
    EPISODE = 3, "episode"
    DOCUMENTARY = 4, "documentary"
    NEWS = 5, "news"
    SPORTS = 6, "sports"
    KIDS = 7, "kids"
    MUSIC = 8, "music"
    LIVE = 9, "live"
    SHORT = 10, "short"
    OTHER = 11, "other"


#: Most genre hints and content ids a pattern carries.
GENRE_HINTS_LIMIT = 8
CONTENT_IDS_LIMIT = 8

GENRE_LENGTH = 32
CONTENT_ID_LENGTH = 64

#: An item, what trends and references name, is a content id, or this and a genre.
GENRE_PREFIX = "genre:"
ITEM_LENGTH = len(GENRE_PREFIX) + CONTENT_ID_LENGTH
