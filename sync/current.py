"""The publication that one request is read by and answered from."""

from __future__ import annotations

from collections.abc import Callable

from federation import holding
from federation.publication import LoadedPublication
from shards import reaching
from shards.databases import served_shard_ids, shard_alias
from sync.protobuf import columns

#: Gives the publication; the argument is the version that the TV holds, or 0.
PublicationSource = Callable[[int], LoadedPublication]


class CurrentPublication:
    """That of a shard when it is first asked for; the same from then on."""

    def __init__(self, shard_id: int) -> None:
        self._shard_id = shard_id
        self._publication: LoadedPublication | None = None

    def __call__(self, held_version: int = 0) -> LoadedPublication:
        """Raises ``ShardUnavailable`` if none was read yet and the shard can't be."""
        if self._publication is None:
            with reaching.shard(self._shard_id):
                self._publication = holding.current(
                    shard_alias(self._shard_id), at_least=held_version
                )
        return self._publication


def watch() -> None:
    """Keep the publications of all shards served here; for processes that serve.

    Returns when each was tried once.
    """
    holding.watch(map(shard_alias, served_shard_ids()), prepare=_prepare)


def _prepare(publication: LoadedPublication) -> None:
    """Make what the first reply would have to wait for."""
    columns.of(publication)
    publication.codes.of(publication.codebooks.current)
