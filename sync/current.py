"""The publication that one request is read by and answered from."""

from __future__ import annotations

from collections.abc import Callable

from federation import publication as publications
from federation.publication import LoadedPublication
from shards import reaching
from shards.databases import shard_alias
from sync.protobuf import columns

#: Gives the publication; the argument is the version that the TV holds, or 0.
PublicationSource = Callable[[int], LoadedPublication]


class CurrentPublication:
    """That of a shard when it is first asked for; the same from then on.

    So a request asks the database once which version is current, and not before
    somebody wants to know.
    """

    def __init__(self, shard_id: int) -> None:
        self._shard_id = shard_id
        self._loaded: LoadedPublication | None = None

    def __call__(self, held_version: int = 0) -> LoadedPublication:
        """Raises ``ShardUnavailable`` if the shard can't be asked."""
        if self._loaded is None:
            with reaching.shard(self._shard_id):
                self._loaded = publications.current(
                    shard_alias(self._shard_id),
                    at_least=held_version,
                    # By the one that reads it, while others are answered from the old.
                    prepare=columns.of,
                )
        return self._loaded
