"""What everyone learned: ``GlobalNews`` of ``sync.proto``, column by column.

All comes from columns that were prepared with the publication; nothing here is done
for one pattern, trend or link at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from constellation.v1 import embedding_pb2, pattern_pb2, sync_pb2
from sync import embeddings
from sync.embeddings import EmbeddingEncoding
from sync.messages import GlobalNews, Wishes
from sync.protobuf import columns, links
from sync.protobuf.columns import Columns

#: Most bytes of a compact reply in codes.
COMPACT_LIMIT_BYTES = 5120

#: Codes are shortened by as much, if without links they take too much.
CODE_STEP_BYTES = 8


def write(reply: sync_pb2.SyncReply, news: GlobalNews, wishes: Wishes) -> None:
    """Write news into a reply that says everything else already."""
    prepared = columns.of(news.publication)
    message = reply.global_news
    message.MergeFromString(prepared.trending_of(news.region))
    _write_similar(message.similar, news, wishes, prepared)
    limit = None
    if wishes.is_compact and wishes.embedding_encoding is EmbeddingEncoding.CODES:
        limit = COMPACT_LIMIT_BYTES - _with_codes_that_fit(reply, len(news.similar))
    picked = links.pick(
        news, prepared.links, left_out=news.named if wishes.is_compact else ()
    )
    links.write(message.links, picked, prepared.links, limit_bytes=limit)


def embedding_block(
    vectors: NDArray[np.float32], encoding: EmbeddingEncoding
) -> embedding_pb2.Embeddings:
    """Write a (n, 384) matrix of unit vectors as one field."""
    message = embedding_pb2.Embeddings()
    setattr(message, encoding.label, embeddings.encode(vectors, encoding))
    return message


def _write_similar(
    message: pattern_pb2.SimilarPatterns,
    news: GlobalNews,
    wishes: Wishes,
    prepared: Columns,
) -> None:
    # Present even when it is empty: this is how a TV knows that there are news.
    message.SetInParent()
    rows = news.similar
    if len(rows) == 0:
        return
    ids = news.publication.cells[rows]
    message.id_deltas.extend(links.deltas(ids).tolist())
    _write_embeddings(message.embeddings, news, wishes)
    message.success_rates = prepared.success_rates[rows].tobytes()
    message.masses = prepared.masses[rows].tobytes()
    if wishes.is_compact:
        return
    message.sample_counts.extend(prepared.sample_counts[rows].tolist())
    message.times_of_day = _unless_silent(prepared.times_of_day[rows])
    message.days_of_week = _unless_silent(prepared.days_of_week[rows])
    message.content_types = _unless_silent(prepared.content_types[rows])
    message.genre_hints.CopyFrom(prepared.genre_hints.message(rows))
    message.content_ids.CopyFrom(prepared.content_ids.message(rows))


def _write_embeddings(
    message: embedding_pb2.Embeddings, news: GlobalNews, wishes: Wishes
) -> None:
    rows, publication = news.similar, news.publication
    if wishes.embedding_encoding is not EmbeddingEncoding.CODES:
        block = embedding_block(publication.centroids[rows], wishes.embedding_encoding)
        message.CopyFrom(block)
        return
    codes = publication.codes.of(wishes.codebook_version)
    assert codes is not None  # the request was read by this publication
    message.codes = codes.take(rows, axis=0).tobytes()
    message.codebook_version = wishes.codebook_version


def _with_codes_that_fit(reply: sync_pb2.SyncReply, count: int) -> int:
    """Leave out the last stages of codes until the reply fits; return its bytes.

    The beginning of a code is a code as well.
    """
    message = reply.global_news.similar.embeddings
    while (size := reply.ByteSize()) > COMPACT_LIMIT_BYTES and count:
        rows = np.frombuffer(message.codes, dtype=np.uint8).reshape(count, -1)
        if rows.shape[1] <= CODE_STEP_BYTES:
            break
        message.codes = rows[:, :-CODE_STEP_BYTES].tobytes()
    return size


def _unless_silent(column: NDArray[np.uint8]) -> bytes:
    return column.tobytes() if column.any() else b""
