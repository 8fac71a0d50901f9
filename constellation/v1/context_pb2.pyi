from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TimeOfDay(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIME_OF_DAY_UNSPECIFIED: _ClassVar[TimeOfDay]
    TIME_OF_DAY_EARLY_MORNING: _ClassVar[TimeOfDay]
    TIME_OF_DAY_MORNING: _ClassVar[TimeOfDay]
    TIME_OF_DAY_AFTERNOON: _ClassVar[TimeOfDay]
    TIME_OF_DAY_EVENING: _ClassVar[TimeOfDay]
    TIME_OF_DAY_NIGHT: _ClassVar[TimeOfDay]
    TIME_OF_DAY_LATE_NIGHT: _ClassVar[TimeOfDay]

class DayOfWeek(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DAY_OF_WEEK_UNSPECIFIED: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_MONDAY: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_TUESDAY: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_WEDNESDAY: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_THURSDAY: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_FRIDAY: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_SATURDAY: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_SUNDAY: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_WEEKDAY: _ClassVar[DayOfWeek]
    DAY_OF_WEEK_WEEKEND: _ClassVar[DayOfWeek]

class ContentType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTENT_TYPE_UNSPECIFIED: _ClassVar[ContentType]
    CONTENT_TYPE_MOVIE: _ClassVar[ContentType]
    CONTENT_TYPE_SERIES: _ClassVar[ContentType]
    CONTENT_TYPE_EPISODE: _ClassVar[ContentType]
    CONTENT_TYPE_DOCUMENTARY: _ClassVar[ContentType]
    CONTENT_TYPE_NEWS: _ClassVar[ContentType]
    CONTENT_TYPE_SPORTS: _ClassVar[ContentType]
    CONTENT_TYPE_KIDS: _ClassVar[ContentType]
    CONTENT_TYPE_MUSIC: _ClassVar[ContentType]
    CONTENT_TYPE_LIVE: _ClassVar[ContentType]
    CONTENT_TYPE_SHORT: _ClassVar[ContentType]
    CONTENT_TYPE_OTHER: _ClassVar[ContentType]
TIME_OF_DAY_UNSPECIFIED: TimeOfDay
TIME_OF_DAY_EARLY_MORNING: TimeOfDay
TIME_OF_DAY_MORNING: TimeOfDay
TIME_OF_DAY_AFTERNOON: TimeOfDay
TIME_OF_DAY_EVENING: TimeOfDay
TIME_OF_DAY_NIGHT: TimeOfDay
TIME_OF_DAY_LATE_NIGHT: TimeOfDay
DAY_OF_WEEK_UNSPECIFIED: DayOfWeek
DAY_OF_WEEK_MONDAY: DayOfWeek
DAY_OF_WEEK_TUESDAY: DayOfWeek
DAY_OF_WEEK_WEDNESDAY: DayOfWeek
DAY_OF_WEEK_THURSDAY: DayOfWeek
DAY_OF_WEEK_FRIDAY: DayOfWeek
DAY_OF_WEEK_SATURDAY: DayOfWeek
DAY_OF_WEEK_SUNDAY: DayOfWeek
DAY_OF_WEEK_WEEKDAY: DayOfWeek
DAY_OF_WEEK_WEEKEND: DayOfWeek
CONTENT_TYPE_UNSPECIFIED: ContentType
CONTENT_TYPE_MOVIE: ContentType
CONTENT_TYPE_SERIES: ContentType
CONTENT_TYPE_EPISODE: ContentType
CONTENT_TYPE_DOCUMENTARY: ContentType
CONTENT_TYPE_NEWS: ContentType
CONTENT_TYPE_SPORTS: ContentType
CONTENT_TYPE_KIDS: ContentType
CONTENT_TYPE_MUSIC: ContentType
CONTENT_TYPE_LIVE: ContentType
CONTENT_TYPE_SHORT: ContentType
CONTENT_TYPE_OTHER: ContentType

class Context(_message.Message):
    __slots__ = ("time_of_day", "day_of_week", "content_type", "genre_hints", "content_ids")
    TIME_OF_DAY_FIELD_NUMBER: _ClassVar[int]
    DAY_OF_WEEK_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    GENRE_HINTS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_IDS_FIELD_NUMBER: _ClassVar[int]
    time_of_day: TimeOfDay
    day_of_week: DayOfWeek
    content_type: ContentType
    genre_hints: _containers.RepeatedScalarFieldContainer[str]
    content_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, time_of_day: _Optional[_Union[TimeOfDay, str]] = ..., day_of_week: _Optional[_Union[DayOfWeek, str]] = ..., content_type: _Optional[_Union[ContentType, str]] = ..., genre_hints: _Optional[_Iterable[str]] = ..., content_ids: _Optional[_Iterable[str]] = ...) -> None: ...
