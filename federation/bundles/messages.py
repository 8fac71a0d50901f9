"""A result as messages of ``bundle.proto``. Pure: the same in, the same bytes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter

from google.protobuf.message import Message

from constellation.v1 import bundle_pb2
from federation.bundles import columns
from federation.bundles.columns import References
from federation.kernels.items import GENRE_PREFIX
from federation.result import ResultLinks, ResultTrend, RoundResult


def serialised(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def patterns(result: RoundResult, ordinals: Mapping[str, int]) -> bytes:
    """Write all global patterns of a result."""
    rows = result.patterns
    genres = [GENRE_PREFIX + genre for row in rows for genre in row.genre_hints]
    contents = [item for row in rows for item in row.content_ids]
    references = References(chain(genres, contents), ordinals)
    return serialised(
        bundle_pb2.PatternsBundle(
            id_deltas=columns.deltas([row.cell for row in rows]),
            embeddings_int8=columns.int8_rows(result.embeddings),
            success_rates=[row.success_rate for row in rows],
            masses=[row.mass for row in rows],
            sample_counts=[row.sample_count for row in rows],
            times_of_day=bytes(row.time_of_day for row in rows),
            days_of_week=bytes(row.day_of_week for row in rows),
            content_types=bytes(row.content_type for row in rows),
            genre_counts=columns.counts(row.genre_hints for row in rows),
            genres=references.all_to(genres),
            content_counts=columns.counts(row.content_ids for row in rows),
            contents=references.all_to(contents),
            names=references.names,
        )
    )


def trends(
    region: str, rows: Sequence[ResultTrend], ordinals: Mapping[str, int]
) -> bytes:
    """Write the trends of one region, in the order of their rank."""
    trending = [row.item for row in rows]
    references = References(trending, ordinals)
    return serialised(
        bundle_pb2.TrendsBundle(
            region=region,
            references=references.all_to(trending),
            scores=columns.fractions_as_uint16([row.score for row in rows]),
            names=references.names,
        )
    )


def links(rows: Sequence[ResultLinks], ordinals: Mapping[str, int]) -> bytes:
    """Write the whole table of links."""
    mentioned = chain.from_iterable((row.content_id, *row.related_ids) for row in rows)
    references = References(mentioned, ordinals)
    numbered = [(references.to(row.content_id), row) for row in rows]
    ordered = sorted(numbered, key=itemgetter(0))
    return serialised(
        bundle_pb2.LinksBundle(
            reference_deltas=columns.deltas([reference for reference, _ in ordered]),
            related_counts=columns.counts(row.related_ids for _, row in ordered),
            related=references.all_to(
                item for _, row in ordered for item in row.related_ids
            ),
            weights=columns.fractions_as_bytes(
                [weight for _, row in ordered for weight in row.weights]
            ),
            names=references.names,
        )
    )


def items(ordinals: Mapping[str, int]) -> bytes:
    """Write the names behind ordinals: what TVs may refer to, published or not yet."""
    named = sorted((ordinal, item) for item, ordinal in ordinals.items())
    return serialised(
        bundle_pb2.ItemsBundle(
            ordinal_deltas=columns.deltas([ordinal for ordinal, _ in named]),
            items=[item for _, item in named],
        )
    )


def items_of(result: RoundResult) -> set[str]:
    """Name every item that a result mentions."""
    found = {trend.item for trend in result.trends}
    for pattern in result.patterns:
        found.update(pattern.content_ids)
        found.update(GENRE_PREFIX + genre for genre in pattern.genre_hints)
    for row in result.links:
        found.add(row.content_id)
        found.update(row.related_ids)
    return found
