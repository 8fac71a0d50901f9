"""The content catalogue as pages of a thousand ordinals, each under its own SHA-256.

Only pages that changed since the last publication are made anew, and kept by the
control database at once; of the others not even the bytes are read, unless a shard
lacks them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from django.db import connections

from constellation.v1 import bundle_pb2
from federation.bundles import columns, storing
from federation.bundles.made import MadeBundle, made_of, signature_of
from federation.bundles.messages import serialised
from federation.bundles.payloads import payload
from federation.bundles.serving import PAGE_PREFIX
from federation.bundles.signing import KeyRing
from federation.models import Bundle
from patterns.models import Content
from patterns.vectors import EMBEDDING_DIMENSIONS, as_array
from shards.databases import CONTROL_ALIAS

#: Ordinals a page has room for. About half a megabyte.
PAGE_ORDINALS = 1_000

NAME = "catalogue"


@dataclass(frozen=True)
class _Found:
    """A page as the catalogue has it now."""

    first_ordinal: int
    content_count: int
    #: Changes when any of its contents does.
    source: str


def catalogue(ring: KeyRing, version: int) -> list[MadeBundle]:
    """Make the catalogue of a version: the list of its pages, and the pages."""
    known = _known_pages()
    index = bundle_pb2.CatalogueBundle()
    pages = []
    for found in _pages_now():
        page, content_count = _page(ring, found, known.get(found.source))
        pages.append(page)
        index.pages.add(
            first_ordinal=found.first_ordinal,
            content_count=content_count,
            sha256=bytes.fromhex(page.sha256),
            size_bytes=page.size_bytes,
        )
    path = f"publications/{version}/{NAME}"
    return [made_of(ring, NAME, path, serialised(index)), *pages]


def page_message(contents: Sequence[Content]) -> bytes:
    """Write contents, ascending by ordinal, as one page. Pure."""
    places: dict[str, int] = {}
    genres = [
        places.setdefault(genre, len(places))
        for content in contents
        for genre in content.genres
    ]
    embeddings = [as_array(content.embedding) for content in contents]
    return serialised(
        bundle_pb2.CataloguePage(
            ordinal_deltas=columns.deltas([content.ordinal for content in contents]),
            content_ids=[content.content_id for content in contents],
            titles=[content.title for content in contents],
            years=[content.year or 0 for content in contents],
            durations_min=[content.duration_min or 0 for content in contents],
            genre_counts=columns.counts(content.genres for content in contents),
            genres=genres,
            genre_names=list(places),
            embeddings_int8=columns.int8_rows(
                np.array(embeddings, np.float32).reshape(-1, EMBEDDING_DIMENSIONS)
            ),
        )
    )


def _page(ring: KeyRing, found: _Found, known: Bundle | None) -> tuple[MadeBundle, int]:
    """Make a page, and say how many contents it has: operators add some meanwhile."""
    content_count = found.content_count
    if known is None:
        contents = _contents_from(found.first_ordinal)
        content_count = len(contents)
        made = payload(page_message(contents))
        digest, size_bytes = made.sha256, len(made.identity)
        # Not held until the last shard has it: a catalogue may be larger than memory.
        storing.keep(CONTROL_ALIAS, made)
    else:
        digest, size_bytes = known.payload_id, known.size_bytes
    path = PAGE_PREFIX + digest
    bundle = MadeBundle(
        name=f"{PAGE_PREFIX}{found.first_ordinal}",
        path=path,
        sha256=digest,
        size_bytes=size_bytes,
        signature=signature_of(ring, path, digest),
        load=partial(storing.kept, CONTROL_ALIAS, digest),
        source=found.source,
    )
    return bundle, content_count


def _contents_from(first_ordinal: int) -> list[Content]:
    contents = Content.objects.filter(
        ordinal__gte=first_ordinal, ordinal__lt=first_ordinal + PAGE_ORDINALS
    )
    return list(contents.order_by("ordinal"))


def _pages_now() -> Iterator[_Found]:
    """Look through the catalogue without reading what is large."""
    with connections[CONTROL_ALIAS].cursor() as cursor:
        cursor.execute(
            """
            SELECT (ordinal - 1) / %(size)s AS page,
                   count(*),
                   md5(string_agg(ordinal || ' ' || extract(epoch FROM updated_at),
                                  ',' ORDER BY ordinal))
            FROM patterns_content
            GROUP BY page
            ORDER BY page
            """,
            {"size": PAGE_ORDINALS},
        )
        rows = cursor.fetchall()
    for page, content_count, source in rows:
        yield _Found(page * PAGE_ORDINALS + 1, content_count, source)


def _known_pages() -> dict[str, Bundle]:
    """Pages of any version that the control database has, by what they were made of."""
    pages = Bundle.objects.using(CONTROL_ALIAS).filter(name__startswith=PAGE_PREFIX)
    return {page.source: page for page in pages}
