"""``/api/v1/content`` in OpenAPI's words."""

from __future__ import annotations

from patterns.context import CONTENT_ID_LENGTH, GENRE_HINTS_LIMIT, GENRE_LENGTH
from sync.fields import NORM_MAX, NORM_MIN, VERSION_MAX
from sync.schema import operations, parts, problems
from sync.schema.operations import Operations
from sync.schema.parts import Schema
from sync.views.content import (
    CONTENTS_PER_REQUEST,
    DURATION_MAX_MIN,
    PAGE_SIZE,
    PAGE_SIZE_MAX,
    TITLE_LENGTH,
    YEAR_MAX,
)

TAG = "Content"

_LIST = """\
The catalogue in the order in which it grew: a TV that goes on with `after` =
`next_after` never misses a content. Mostly that is the ordinal of the page's last
content; it is higher if TVs named the content before the catalogue had it. To look
for new contents later, ask for the last page again, with the `after` that gave it.
"""

_WRITE = f"""\
Adds contents, or replaces what is known of those with the same `content_id`: all of
the request or nothing. One content as an object, or up to {CONTENTS_PER_REQUEST} as an
array; the reply has the same form. A content keeps its ordinal for ever.
"""


def described() -> Operations:
    callers = [*problems.device_token(), *problems.operator()]
    return {
        "GET /api/v1/content": operations.operation(
            "list_content",
            tag=TAG,
            summary="Read the catalogue, page by page",
            description=_LIST,
            security=operations.DEVICE_OR_OPERATOR,
            parameters=[
                operations.query(
                    "after",
                    parts.whole(
                        "Only contents added later: a page's `next_after`.",
                        example=100,
                        at_most=VERSION_MAX,
                    ),
                    default=0,
                ),
                operations.query(
                    "limit",
                    parts.whole(
                        "How many contents a page has.",
                        example=PAGE_SIZE,
                        at_least=1,
                        at_most=PAGE_SIZE_MAX,
                    ),
                    default=PAGE_SIZE,
                ),
                operations.parameter("IfNoneMatch"),
            ],
            replies=operations.cacheable("A page.", parts.ref("ContentPage")),
            refusals=[
                *problems.any_call(),
                *callers,
                *problems.invalid(
                    "limit",
                    "out of range",
                    f"a whole number from 1 to {PAGE_SIZE_MAX}",
                ),
                *problems.control_down(),
            ],
        ),
        "POST /api/v1/content": operations.operation(
            "write_content",
            tag=TAG,
            summary="Add or replace contents",
            description=_WRITE,
            security=operations.OPERATOR,
            body={
                "anyOf": [
                    parts.ref("ContentItem"),
                    parts.array(
                        parts.ref("ContentItem"),
                        "Several, each `content_id` once.",
                        at_most=CONTENTS_PER_REQUEST,
                    ),
                ]
            },
            replies={
                201: operations.reply(
                    "Stored.",
                    {
                        "anyOf": [
                            parts.ref("ContentSummary"),
                            parts.obj(
                                {
                                    "content": parts.array(
                                        parts.ref("ContentSummary"),
                                        "In the order they were sent.",
                                        at_most=CONTENTS_PER_REQUEST,
                                    )
                                }
                            ),
                        ]
                    },
                )
            },
            refusals=[
                *problems.any_call(),
                *problems.any_body(),
                *callers,
                *problems.permission(),
                *problems.invalid(
                    "[2].metadata.year",
                    "out of range",
                    f"a whole number from 1 to {YEAR_MAX}",
                ),
                *problems.control_down(),
            ],
        ),
    }


def schemas() -> dict[str, Schema]:
    return {
        "ContentItem": _item(),
        "ContentSummary": parts.obj(_summary(), description="A content, in short."),
        "Content": parts.obj(
            {
                **_summary(),
                "embedding": parts.vector("A direction: float32, of length 1."),
            },
            description="A content, in full.",
        ),
        "ContentPage": parts.obj(
            {
                "content": parts.array(
                    parts.ref("Content"), "As it grew.", at_most=PAGE_SIZE_MAX
                ),
                "next_after": parts.nullable(
                    parts.whole(
                        "Where the next page begins; null if this was the last one, "
                        "for now.",
                        example=200,
                        at_least=1,
                    )
                ),
            }
        ),
    }


def _item() -> Schema:
    return parts.obj(
        {
            "content_id": _content_id(),
            "title": _title(),
            "embedding": parts.vector(
                "Of the title, the genres and what else describes the content, by "
                f"all-MiniLM-L6-v2. Of a length from {NORM_MIN:g} to {NORM_MAX:g}; "
                "the server normalises it."
            ),
            "metadata": {"anyOf": [_item_metadata(), {"type": "null"}]},
        },
        optional=["metadata"],
    )


def _item_metadata() -> Schema:
    genres = parts.array(_genre(), "Several genres.", at_most=GENRE_HINTS_LIMIT)
    return parts.obj(
        {
            "genre": {
                "description": "One genre, or several.",
                "anyOf": [_genre(), genres, {"type": "null"}],
                "examples": [["action", "science fiction"]],
            },
            "year": _year(),
            "duration_min": _duration_min(),
        },
        optional=["genre", "year", "duration_min"],
    )


def _summary() -> dict[str, Schema]:
    return {
        "ordinal": parts.whole(
            "The number that stands for the content, for ever.",
            example=101,
            at_least=1,
        ),
        "content_id": _content_id(),
        "title": _title(),
        "metadata": parts.obj(
            {
                "genre": parts.array(
                    _genre(), "Its genres.", at_most=GENRE_HINTS_LIMIT
                ),
                "year": _year(),
                "duration_min": _duration_min(),
            }
        ),
    }


def _content_id() -> Schema:
    return parts.text(
        "The content's name in every delta and every reply. No NUL character, and not "
        "`genre:` at its beginning.",
        example=parts.CONTENT_ID,
        at_most=CONTENT_ID_LENGTH,
    )


def _title() -> Schema:
    return parts.text(
        "For people. No NUL character.", example="The Matrix", at_most=TITLE_LENGTH
    )


def _genre() -> Schema:
    return parts.text("A genre.", example="action", at_most=GENRE_LENGTH)


def _year() -> Schema:
    return parts.nullable(
        parts.whole("When it came out.", example=1999, at_least=1, at_most=YEAR_MAX)
    )


def _duration_min() -> Schema:
    return parts.nullable(
        parts.whole(
            "How long it is, in minutes.",
            example=136,
            at_least=1,
            at_most=DURATION_MAX_MIN,
        )
    )
