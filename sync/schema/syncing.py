"""``POST /api/v1/sync`` in OpenAPI's words."""

from __future__ import annotations

from django.conf import settings
from django.db.models import IntegerChoices

from federation.kernels.links import LINKS_PER_CONTENT
from federation.kernels.similar import SIMILAR_CELLS
from patterns.context import (
    CONTENT_ID_LENGTH,
    CONTENT_IDS_LIMIT,
    GENRE_HINTS_LIMIT,
    GENRE_LENGTH,
    ContentType,
    DayOfWeek,
    TimeOfDay,
)
from shards.models import REGION_LENGTH
from sync import pacing
from sync.answer import LINKED_CONTENTS_LIMIT, TRENDING_LIMIT
from sync.embeddings import EmbeddingEncoding
from sync.fields import NORM_MAX, NORM_MIN, SAMPLES_MAX, SECONDS_MAX
from sync.messages import ReplyDetail
from sync.rules import CODEBOOK_VERSION_MAX, PREFERENCES_LIMIT
from sync.schema import operations, parts, problems
from sync.schema.operations import Operations
from sync.schema.parts import Schema

TAG = "Sync"

_DESCRIPTION = """\
A TV sends what it learned since its last sync, and gets what everyone learned.

**Exactly once.** Keep a delta until it was answered with 200. Whatever happens in
between, send the *same* delta under the *same* `local_version`: it is applied once,
and the retry hears what the first would have. With *v* the version that the server
has stored for the TV (0 for a new one, with an empty delta):

| request | answer |
|---|---|
| `local_version` > *v*, and `base_version` = *v* if it was sent | applied, in one transaction with its version |
| `local_version` = *v*, the same content | nothing is applied; the reply as usual (a retry) |
| `local_version` = *v*, other content | 422 `version_reused` |
| `local_version` < *v* | 409 `stale_version`, with *v* as `local_version` |
| `local_version` > *v*, and `base_version` is not *v* | 409 `version_gap`, with *v* as `local_version`, and `resync` |

After a 409 send all patterns the TV holds as `patterns_added`, with *v* as
`base_version` and a `local_version` above it.

**Within a delta** additions come first, then updates, then removals; an id may stand
once in each list. Adding an id that exists replaces the pattern. Updating sets
`rate = (rate·n + new·k) / (n + k)` and then `n = n + k`, with *n* the samples so far
and *k* the additional ones. An id that isn't one of the TV's own is simply not found,
and not counted. What is, or falls, below the quality threshold is not kept, and
counted as `filtered`.

**Fields** that nobody knows are ignored. An optional field may be left out or null.
"""  # noqa: E501


def described() -> Operations:
    return {
        "POST /api/v1/sync": operations.operation(
            "sync",
            tag=TAG,
            summary="Send a delta, get the news",
            description=_DESCRIPTION,
            security=operations.DEVICE,
            body=parts.ref("SyncRequest"),
            message="SyncRequest",
            replies={
                200: operations.reply(
                    "The delta is applied, now or by an earlier request, and safe.",
                    parts.ref("SyncReply"),
                    message="SyncReply",
                )
            },
            refusals=[
                *problems.any_call(problems.JSON_OR_PROTOBUF),
                *problems.any_body(problems.JSON_OR_PROTOBUF),
                *problems.device_token(),
                *problems.served_elsewhere(),
                *problems.invalid(
                    "delta.patterns_added[3].sample_count",
                    "out of range",
                    f"a whole number from 1 to {SAMPLES_MAX}",
                ),
                *problems.syncing(),
                *problems.shard_down(),
            ],
        )
    }


def schemas() -> dict[str, Schema]:
    return {
        "SyncRequest": _request(),
        "Delta": _delta(),
        "PatternAddition": _addition(),
        "Context": _context(),
        "PatternUpdate": _update(),
        "SyncReply": _reply(),
        "News": _news(),
        "GlobalPattern": _global_pattern(),
        "GlobalContext": _global_context(),
        "Trend": _trend(),
        "Links": _links(),
    }


def _request() -> Schema:
    return parts.obj(
        {
            "device_id": parts.uuid("The TV, as its token says."),
            "delta": parts.ref("Delta"),
            "base_version": parts.nullable(
                parts.version(
                    "The last `local_version` the TV knows was applied. Send it, and "
                    "a gap is noticed.",
                    example=122,
                )
            ),
            "global_version": parts.nullable(
                parts.version(
                    "The publication that the TV holds. While it is current, the reply "
                    "leaves `similar`, `trending` and `links` out.",
                    example=17,
                )
            ),
            "embedding_encodings": parts.nullable(
                parts.array(
                    parts.nullable(
                        parts.choice(
                            "How embeddings are written as bytes; null is whatever the "
                            "server likes.",
                            _names(EmbeddingEncoding),
                            example="int8",
                        )
                    ),
                    "What the TV likes a reply in protobuf to be written in, best "
                    "first; one of them must be served. Left out or empty: `int8`. A "
                    "reply in JSON has numbers.",
                    at_most=PREFERENCES_LIMIT,
                )
            ),
            "detail": parts.nullable(
                parts.choice(
                    "How much a reply in protobuf tells of global patterns: `compact` "
                    "leaves their contexts, contents and sample counts out. A reply "
                    "in JSON is always full.",
                    _names(ReplyDetail),
                    example="compact",
                )
            ),
            "codebook_version": parts.nullable(
                parts.whole(
                    "The newest codebook that the TV has; 0 without one. A reply in "
                    "protobuf is written with it if `codes` are what the TV likes.",
                    example=7,
                    at_most=CODEBOOK_VERSION_MAX,
                )
            ),
        },
        optional=[
            "base_version",
            "global_version",
            "embedding_encodings",
            "detail",
            "codebook_version",
        ],
    )


def _delta() -> Schema:
    limit = settings.PATTERNS_PER_SYNC
    return parts.obj(
        {
            "patterns_added": parts.nullable(
                parts.array(
                    parts.ref("PatternAddition"),
                    "New patterns, and those that replace one with the same id.",
                    at_most=limit,
                )
            ),
            "patterns_updated": parts.nullable(
                parts.array(
                    parts.ref("PatternUpdate"),
                    "More samples of patterns the server has.",
                    at_most=limit,
                )
            ),
            "patterns_removed": parts.nullable(
                parts.array(
                    parts.uuid("A pattern's id.", example=parts.PATTERN_ID),
                    "Ids of patterns the TV has given up.",
                    at_most=limit,
                )
            ),
            "local_version": parts.version(
                "The TV's own count of its deltas; higher with each.", example=123
            ),
        },
        description=f"What the TV learned. At most {limit} patterns in the three lists "
        f"together, and {settings.PATTERNS_PER_DEVICE} on the TV afterwards.",
        optional=["patterns_added", "patterns_updated", "patterns_removed"],
    )


def _addition() -> Schema:
    return parts.obj(
        {
            "id": parts.uuid(
                "Made by the TV; its own for as long as it keeps the pattern.",
                example=parts.PATTERN_ID,
            ),
            "embedding": parts.vector(
                "A direction in the space of all-MiniLM-L6-v2: finite float32 numbers, "
                f"of a length from {NORM_MIN:g} to {NORM_MAX:g}. The server "
                "normalises it."
            ),
            "success_rate": parts.fraction(
                "Share of the recommendations that went well, 0 to 1.", example=0.83
            ),
            "sample_count": parts.whole(
                "How many recommendations that share is of.",
                example=12,
                at_least=1,
                at_most=SAMPLES_MAX,
            ),
            "context": {"anyOf": [parts.ref("Context"), {"type": "null"}]},
            "created_at": _clock("When the TV found the pattern"),
            "updated_at": _clock("When the TV changed it last"),
        },
        description="One viewing pattern.",
        optional=["context", "created_at", "updated_at"],
    )


def _clock(description: str) -> Schema:
    return parts.nullable(
        parts.number(
            f"{description}, in seconds since 1970. Checked and then ignored: the "
            "clocks of TVs order nothing.",
            example=1_764_000_000,
            at_most=SECONDS_MAX,
        )
    )


def _context() -> Schema:
    properties = {
        "time_of_day": parts.nullable(_time_of_day()),
        "day_of_week": parts.nullable(_day_of_week()),
        "content_type": parts.nullable(_content_type()),
        "genre_hints": parts.nullable(_genre_hints()),
        "content_ids": parts.nullable(
            parts.array(
                _content_id(),
                "Contents the pattern was learned from; the links of the reply are "
                "theirs. None begins with `genre:`.",
                at_most=CONTENT_IDS_LIMIT,
            )
        ),
    }
    return parts.obj(
        properties,
        description="The circumstances the pattern was learned in.",
        optional=list(properties),
    )


def _update() -> Schema:
    return parts.obj(
        {
            "id": parts.uuid(
                "A pattern that the server has.", example=parts.PATTERN_ID
            ),
            "new_success_rate": parts.fraction(
                "Share of the additional recommendations that went well, 0 to 1.",
                example=0.9,
            ),
            "additional_samples": parts.whole(
                "How many recommendations there were since.",
                example=3,
                at_most=SAMPLES_MAX,
            ),
        },
        description="What happened with a pattern since it was last reported.",
    )


def _reply() -> Schema:
    counts = {
        "stored": "Additions that were stored.",
        "filtered": "Additions and updates below the quality threshold: not kept.",
        "updated": "Updates that were applied.",
        "removed": "Patterns that were removed.",
    }
    return parts.obj(
        {
            "global": parts.ref("News"),
            "accepted": parts.obj(
                {
                    name: parts.whole(description, example=int(name == "stored"))
                    for name, description in counts.items()
                },
                description="What became of the delta, in patterns. A retry hears the "
                "same again.",
            ),
            "local_version": parts.version(
                "The version that is now stored: the one that was sent.", example=123
            ),
            "resync": parts.flag(
                "Whether the TV has to send all of its patterns again. Never true in a "
                "reply with 200.",
                example=False,
            ),
            "next_sync_seconds": next_sync_seconds(),
        }
    )


def next_sync_seconds() -> Schema:
    earliest, latest = pacing.NEXT_SYNC_SECONDS
    return parts.whole(
        "Come back in so many seconds: spread over the fleet, later under load. Above "
        f"{latest} only where more TVs come than can be answered.",
        example=571,
        at_least=earliest,
        at_most=pacing.HORIZON_SECONDS,
    )


def _news() -> Schema:
    return parts.obj(
        {
            "similar": parts.array(
                parts.ref("GlobalPattern"),
                "The global patterns nearest to the TV's own, best first; the heaviest "
                "for a TV without any.",
                at_most=SIMILAR_CELLS,
            ),
            "trending": parts.array(
                parts.ref("Trend"),
                "What is rising in the TV's region, strongest first, filled up with "
                "what is rising everywhere.",
                at_most=TRENDING_LIMIT,
            ),
            "links": parts.array(
                parts.ref("Links"),
                "What leads on from the contents this TV named, its favourites first.",
                at_most=LINKED_CONTENTS_LIMIT,
            ),
            "global_version": parts.version(
                "The publication this is from; 0 before the first.", example=18
            ),
        },
        description="What everyone learned. `similar`, `trending` and `links` come "
        "together, or not at all if the TV already holds `global_version`.",
        optional=["similar", "trending", "links"],
    )


def _global_pattern() -> Schema:
    return parts.obj(
        {
            "id": parts.whole(
                "The number of the cell; the same from version to version.",
                example=1042,
            ),
            "embedding": parts.vector("A direction: float32, of length 1."),
            "success_rate": parts.fraction(
                "Share of the recommendations that went well, over all of its TVs.",
                example=0.87,
            ),
            "sample_count": parts.whole(
                "How many recommendations that share is of.", example=48_210
            ),
            "context": parts.ref("GlobalContext"),
            "content_ids": parts.array(
                _content_id(), "Contents found most often in it.", at_most=None
            ),
        },
        description="What many TVs have in common. None comes from a single household.",
    )


def _global_context() -> Schema:
    return parts.obj(
        {
            "time_of_day": _time_of_day(),
            "day_of_week": _day_of_week(),
            "content_type": _content_type(),
            "genre_hints": parts.array(_genre(), "Typical genres, commonest first."),
        },
        description="Circumstances typical of it; a field without a typical value is "
        "absent.",
        optional=["time_of_day", "day_of_week", "content_type"],
    )


def _trend() -> Schema:
    return parts.obj(
        {
            "content_id": parts.text(
                "A content's id, or `genre:` and a genre.", example="genre:thriller"
            ),
            "trending_score": parts.fraction(
                "How far above its usual self it is, 0 to 1. What is popular as ever "
                "scores below 0.25.",
                example=0.71,
            ),
            "region": parts.text(
                "Where it is rising: the TV's region, or `global`.",
                example="eu",
                at_most=REGION_LENGTH,
                pattern=parts.REGION_PATTERN,
            ),
        }
    )


def _links() -> Schema:
    return parts.obj(
        {
            "content_id": _content_id(),
            "related": parts.array(
                {
                    "type": "array",
                    "description": "A content's id, and a weight from 0 to 1.",
                    "prefixItems": [
                        _content_id(),
                        parts.fraction(
                            "How much the one speaks for the other.", example=0.42
                        ),
                    ],
                    "minItems": 2,
                    "maxItems": 2,
                    "examples": [["tt0234215", 0.42]],
                },
                "Contents found in the same TVs, strongest first. The TV adds up the "
                "weights over its own contents.",
                at_most=LINKS_PER_CONTENT,
            ),
        }
    )


def _time_of_day() -> Schema:
    return parts.choice(
        "When, by the TV's local time.", _names(TimeOfDay), example="evening"
    )


def _day_of_week() -> Schema:
    return parts.choice(
        "On which day, or kind of day, by the TV's local time.",
        _names(DayOfWeek),
        example="saturday",
    )


def _content_type() -> Schema:
    return parts.choice("What was watched.", _names(ContentType), example="movie")


def _genre_hints() -> Schema:
    return parts.array(
        _genre(), "Genres of what was watched.", at_most=GENRE_HINTS_LIMIT
    )


def _genre() -> Schema:
    return parts.text("A genre.", example="thriller", at_most=GENRE_LENGTH)


def _content_id() -> Schema:
    return parts.text(
        "A content's id, as in the catalogue.",
        example=parts.CONTENT_ID,
        at_most=CONTENT_ID_LENGTH,
    )


def _names(choices: type[IntegerChoices]) -> list[str]:
    """List the names on the wire; unspecified has none."""
    return [str(label) for value, label in choices.choices if value]
