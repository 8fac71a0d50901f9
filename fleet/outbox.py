"""What a TV owes the server: exactly one delta at a time, kept until confirmed.

The danger is counting twice. A reply that was lost looks like a delta that was lost,
and only the server knows which. So a delta, once made, never changes: it is sent
again under the same version until an answer says what became of it, byte for byte as
it was first written, since in another encoding it would be another. The next one is
made from the difference between what the brain knows now and what the server is
known to hold, so nothing that was learned in between is lost or sent twice.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import orjson

from fleet.wire import Changes, Growth, LearnedPattern

#: What the server takes in one sync, unless its /api/v1/info says otherwise.
PATTERNS_PER_SYNC = 64


@dataclass(frozen=True)
class Told:
    """What the server holds of one pattern; enough to see what changed since."""

    fingerprint: str
    watched_count: int
    liked_count: int


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A delta on its way, and what the server will hold once it is confirmed."""

    #: Which wire wrote it, and must send it.
    wire: str
    content: bytes
    local_version: int
    base_version: int
    removed: tuple[str, ...]
    told_after: dict[str, Told]


#: Chooses the new patterns that go in one delta, some of them at least.
Alike = Callable[[Sequence[LearnedPattern]], Sequence[LearnedPattern]]


def _all(patterns: Sequence[LearnedPattern]) -> Sequence[LearnedPattern]:
    return patterns


@dataclass(kw_only=True)
class Outbox:
    """The part of a TV that must survive pulling the plug."""

    device_id: UUID
    token: str | None = None
    sync_url: str | None = None
    confirmed_version: int = 0
    told: dict[str, Told] = field(default_factory=dict)
    #: Ids the server may hold although nobody here vouches for them (after starting
    #: over); removed unless they are still known.
    doubtful: set[str] = field(default_factory=set)
    pending: Pending | None = None
    #: How far the TV had lived; a simulated one replays its past up to there.
    rounds_watched: int = 0

    def compose(
        self,
        patterns: Iterable[LearnedPattern],
        *,
        wire: str,
        write: Callable[[Changes], bytes],
        alike: Alike = _all,
        limit: int = PATTERNS_PER_SYNC,
    ) -> Pending:
        """Make the next delta, or return the one that isn't confirmed yet.

        At most ``limit`` changes, and of new patterns those that are ``alike``; what
        doesn't fit waits for the next delta.
        """
        if self.pending is None:
            changes, told_after = self._difference(patterns, limit, alike)
            self.pending = Pending(
                wire=wire,
                content=write(changes),
                local_version=changes.local_version,
                base_version=self.confirmed_version,
                removed=tuple(map(str, changes.removed)),
                told_after=told_after,
            )
        return self.pending

    def owes(self, patterns: Iterable[LearnedPattern]) -> bool:
        """Say whether the server lacks something: pending or not even sent."""
        if self.pending is not None:
            return True
        changes, _ = self._difference(patterns, limit=1)
        return bool(changes)

    def confirm(self) -> None:
        """The server has the pending delta."""
        if self.pending is None:
            return
        self.confirmed_version = self.pending.local_version
        self.told = self.pending.told_after
        self.doubtful -= set(self.pending.removed)
        self.pending = None

    def discard(self) -> None:
        """The server refused the pending delta: not applied, so its number is free."""
        self.pending = None

    def start_over(self, *, server_version: int) -> None:
        """The server stands elsewhere: tell it everything again, from there on."""
        self.doubtful |= set(self.told)
        if self.pending is not None:
            self.doubtful |= set(self.pending.told_after)
        self.told = {}
        self.pending = None
        self.confirmed_version = server_version

    def _difference(
        self, patterns: Iterable[LearnedPattern], limit: int, alike: Alike = _all
    ) -> tuple[Changes, dict[str, Told]]:
        """Give what changed, and what the server will then hold."""
        known = {str(pattern.id): pattern for pattern in patterns}
        added: list[LearnedPattern] = []
        grown: list[Growth] = []
        after = dict(self.told)

        # Removals first: they make room under the server's limit for one TV.
        removed = sorted((set(self.told) | self.doubtful) - set(known))[:limit]
        for pattern_id in removed:
            after.pop(pattern_id, None)
        for pattern_id, pattern in known.items():
            if len(added) + len(grown) + len(removed) >= limit:
                break
            told = self.told.get(pattern_id)
            now = _told_of(pattern)
            if told == now:
                continue
            growth = told and _growth(pattern.id, told, now)
            if growth:
                grown.append(growth)
                after[pattern_id] = now
            else:
                added.append(pattern)

        together = alike(added)
        after |= {str(pattern.id): _told_of(pattern) for pattern in together}
        changes = Changes(
            added=together,
            grown=grown,
            removed=[UUID(each) for each in removed],
            local_version=self.confirmed_version + 1,
        )
        return changes, after

    def save(self, path: Path) -> None:
        """Write to disk so that a crash leaves the old state or the new one."""
        state = asdict(self) | {
            "device_id": str(self.device_id),
            "doubtful": sorted(self.doubtful),
        }
        fresh = path.with_suffix(".new")
        # The token in it opens this TV's door: its owner alone may read it.
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(state, default=_in_base64))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync_folder(path.parent)

    @classmethod
    def load(cls, path: Path) -> Self:
        state = orjson.loads(path.read_bytes())
        pending = state.pop("pending")
        return cls(
            **state
            | {
                "device_id": UUID(state["device_id"]),
                "told": _told(state["told"]),
                "doubtful": set(state["doubtful"]),
                "pending": pending and _pending(pending),
            }
        )


def _sync_folder(folder: Path) -> None:
    """Or the name could still mean the old state when the power comes back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _told_of(pattern: LearnedPattern) -> Told:
    return Told(pattern.fingerprint, pattern.watched_count, pattern.liked_count)


def _growth(pattern_id: UUID, told: Told, now: Told) -> Growth | None:
    """Return the update between two states; None where it takes an addition."""
    watched = now.watched_count - told.watched_count
    liked = now.liked_count - told.liked_count
    if now.fingerprint != told.fingerprint or not 0 <= liked <= watched or not watched:
        return None
    return Growth(id=pattern_id, watched_count=watched, liked_count=liked)


def _pending(state: dict[str, Any]) -> Pending:
    return Pending(
        **state
        | {
            "content": base64.b64decode(state["content"]),
            "removed": tuple(state["removed"]),
            "told_after": _told(state["told_after"]),
        }
    )


def _in_base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value))


def _told(state: dict[str, dict[str, Any]]) -> dict[str, Told]:
    return {name: Told(**each) for name, each in state.items()}
