"""The current publication of each shard, held in this process.

A server watches its shards: what a round stages is read beside the requests, before it
is current, and swapped in when the pointer moves. So no request asks the database for
it, and none waits, but for a TV that has heard of a newer one elsewhere. Any other
process, a command or a test, asks at each call.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from threading import Lock

from django.utils.asyncio import async_unsafe

from federation import publication as publications
from federation import selectors
from federation.kernels.codebook import Codebook
from federation.publication import LoadedPublication
from federation.selectors import Pointer
from federation.watching import Watcher

#: How long one shard waits for another that reads: that one's database may hang.
PATIENCE_WITH_ANOTHER_SECONDS = 10.0

Prepare = Callable[[LoadedPublication], object]


def current(alias: str, *, at_least: int = 0) -> LoadedPublication:
    """Give the current publication of a shard.

    ``at_least`` is the version that the TV holds, which it may have from another
    process: what it gets is not older, unless the shard itself is behind or can't be
    read. Raises database errors only where nothing is held yet.
    """
    held = _held_of(alias)
    if held.watcher is None or held.publication is None:
        return held.look()
    if held.publication.version < at_least:
        held.watcher.wait_for_next()
    return held.publication


def newer_codebook(version: int) -> Codebook | None:
    """Give a codebook that TVs have already and the current publication has not.

    One that any shard knows is good for all: it never changes.
    """
    found = _codebook(version)
    if found is not None:
        return found
    for held in list(_holders.values()):
        if held.watcher is not None:
            held.watcher.wait_for_next()
    return _codebook(version)


def watch(aliases: Iterable[str], *, prepare: Prepare) -> None:
    """Keep the publications of shards from now on; return when each was tried once.

    ``prepare`` is called with each publication before anybody gets it.
    """
    watchers = [_held_of(alias).watch(prepare) for alias in aliases]
    for watcher in watchers:
        watcher.wait_for_first()


def forget() -> None:
    """Give up all that is held, and watch no longer."""
    for held in list(_holders.values()):
        if held.watcher is not None:
            held.watcher.stop()
    _holders.clear()


class Held:
    """What this process holds of one shard."""

    def __init__(self, alias: str) -> None:
        self.watcher: Watcher | None = None
        #: Replaced as a whole, never changed.
        self.publication: LoadedPublication | None = None
        #: What may be current next; only where it is watched.
        self.staged: LoadedPublication | None = None
        self._alias = alias
        self._prepare: Prepare | None = None
        self._looking = Lock()

    def watch(self, prepare: Prepare) -> Watcher:
        if self.watcher is None:
            self._prepare = prepare
            self.watcher = Watcher(self._alias, self.look)
        return self.watcher

    @async_unsafe("A publication can't be waited for here: ask from a thread.")
    def look(self) -> LoadedPublication:
        """Read what the shard has as current, if that isn't held, and what is staged.

        Asked within the lock: with a pointer from before it, a newer version could be
        replaced by an older one.
        """
        with self._looking:
            pointer, staged = selectors.pointers(self._alias)
            if self.publication is None or not self.publication.is_of(pointer):
                self.publication = self._read(pointer)
            if self._prepare is not None:
                self.staged = self._read(staged) if staged else None
            return self.publication

    def _read(self, pointer: Pointer) -> LoadedPublication:
        """Find it among what is held, or read it: one shard after the other."""
        known = _known(pointer)
        if known is not None:
            return known
        has_turn = _reading.acquire(timeout=PATIENCE_WITH_ANOTHER_SECONDS)
        try:
            read = _known(pointer) or publications.load(
                self._alias, pointer, before=self.publication
            )
            if self._prepare is not None:
                self._prepare(read)
                # It stays for an hour, and goes as soon as nobody holds it.
                gc.freeze()
            return read
        finally:
            if has_turn:
                _reading.release()


def _held_of(alias: str) -> Held:
    # Of two that come at once, both get the same.
    return _holders.get(alias) or _holders.setdefault(alias, Held(alias))


def _held() -> Iterator[LoadedPublication]:
    for held in list(_holders.values()):
        for each in (held.publication, held.staged):
            if each is not None:
                yield each


def _known(pointer: Pointer) -> LoadedPublication | None:
    """All shards publish the same: one copy serves them all."""
    return next((each for each in _held() if each.is_of(pointer)), None)


def _codebook(version: int) -> Codebook | None:
    found = (each.codebooks.get(version) for each in _held())
    return next((codebook for codebook in found if codebook is not None), None)


_holders: dict[str, Held] = {}

#: It takes a core for a second, and memory.
_reading = Lock()
