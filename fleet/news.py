"""What a TV hears: news as they arrive, and what it keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fleet.errors import UnreadableReply
from fleet.items import Items
from fleet.wire import EMBEDDING_DIMENSIONS, Vector

#: An item by its name, or by its ordinal where a reply has no name for it.
Reference = str | int

References = Sequence[Reference]


@dataclass(frozen=True, kw_only=True)
class Received:
    """What the fleet learned, as far as this TV was told."""

    #: None before the first answer.
    global_version: int | None = None
    #: Row i is the direction of global pattern i. Half precision: a fleet of
    #: thousands of TVs in one process holds thousands of these.
    similar_embeddings: NDArray[np.float16] = field(
        default_factory=lambda: np.zeros((0, EMBEDDING_DIMENSIONS), np.float16)
    )
    similar_success: Vector = field(default_factory=lambda: np.zeros(0, np.float32))
    #: Row by row; nothing where a reply didn't say.
    similar_content_ids: tuple[tuple[str, ...], ...] = ()
    trends: tuple[tuple[str, float], ...] = ()
    links: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class News:
    """A publication, as far as it concerns one TV, before ordinals are looked up."""

    global_version: int
    #: shape: (n, 384)
    similar_embeddings: NDArray[np.float16]
    similar_success: Vector
    similar_contents: Sequence[References]
    trends: Sequence[tuple[Reference, float]]
    links: Mapping[Reference, Sequence[tuple[Reference, float]]]

    def is_readable_with(self, items: Items) -> bool:
        """Say whether every ordinal has a name."""
        return all(_name(each, items) is not None for each in self._references())

    def named_by(self, items: Items) -> Received:
        """Put names in the places of ordinals, and leave out what has none."""
        return Received(
            global_version=self.global_version,
            similar_embeddings=self.similar_embeddings,
            similar_success=self.similar_success,
            similar_content_ids=tuple(
                tuple(name for each in row if (name := _name(each, items)) is not None)
                for row in self.similar_contents
            ),
            trends=tuple(_named(self.trends, items)),
            links={
                name: list(_named(related, items))
                for each, related in self.links.items()
                if (name := _name(each, items)) is not None
            },
        )

    def _references(self) -> Iterator[Reference]:
        for row in self.similar_contents:
            yield from row
        yield from (item for item, _ in self.trends)
        for item, related in self.links.items():
            yield item
            yield from (other for other, _ in related)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to one sync."""

    accepted: Mapping[str, int]
    local_version: int
    resync: bool
    #: None where the server doesn't say.
    next_sync_seconds: float | None
    #: None: the TV holds the current publication already, or there is trouble.
    news: News | None
    #: Why the news can't be read; the rest of the reply counts all the same.
    trouble: UnreadableReply | None = None
    #: The current codebook; 0: none.
    codebook_version: int = 0


def attempt(
    read: Callable[[], News | None],
) -> tuple[News | None, UnreadableReply | None]:
    """Give news, or why there are none.

    A TV that can't read them must still believe what the reply says of its delta: it
    would send that one delta for ever.
    """
    try:
        return read(), None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
        return None, UnreadableReply(f"the news lack or garble {exc}")


def _name(reference: Reference, items: Items) -> str | None:
    return reference if isinstance(reference, str) else items.name_of(reference)


def _named(
    pairs: Sequence[tuple[Reference, float]], items: Items
) -> Iterator[tuple[str, float]]:
    for reference, value in pairs:
        name = _name(reference, items)
        if name is not None:
            yield name, value
