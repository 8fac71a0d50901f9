"""What a TV owes the server: exactly one delta at a time, kept until confirmed.

The danger is counting twice. A reply that was lost looks like a delta that was lost,
and only the server knows which. So a delta, once made, never changes: it is sent
again under the same version until an answer says what became of it. The next one is
made from the difference between what the brain knows now and what the server is
known to hold, so nothing that was learned in between is lost or sent twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import orjson

from fleet.wire import LearnedPattern

#: What the server takes in one sync, unless its /api/v1/info says otherwise.
PATTERNS_PER_SYNC = 64


@dataclass(frozen=True)
class Told:
    """What the server holds of one pattern; enough to see what changed since."""

    fingerprint: str
    watched_count: int
    liked_count: int


@dataclass(frozen=True)
class Pending:
    """A delta on its way, and what the server will hold once it is confirmed."""

    delta: dict[str, Any]
    base_version: int
    told_after: dict[str, Told]

    @property
    def local_version(self) -> int:
        version: int = self.delta["local_version"]
        return version


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
        self, patterns: Iterable[LearnedPattern], *, limit: int = PATTERNS_PER_SYNC
    ) -> Pending:
        """Make the next delta, or return the one that isn't confirmed yet.

        At most ``limit`` changes; what doesn't fit waits for the next delta.
        """
        if self.pending is None:
            known = {str(pattern.id): pattern for pattern in patterns}
            self.pending = self._difference(known, limit)
        return self.pending

    def owes(self, patterns: Iterable[LearnedPattern]) -> bool:
        """Say whether the server lacks something: pending or not even sent."""
        if self.pending is not None:
            return True
        known = {str(pattern.id): pattern for pattern in patterns}
        delta = self._difference(known, limit=1).delta
        return any(delta[part] for part in _PARTS)

    def confirm(self) -> None:
        """The server has the pending delta."""
        if self.pending is None:
            return
        self.confirmed_version = self.pending.local_version
        self.told = self.pending.told_after
        self.doubtful -= set(self.pending.delta["patterns_removed"])
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

    def _difference(self, known: dict[str, LearnedPattern], limit: int) -> Pending:
        added: list[dict[str, Any]] = []
        updated: list[dict[str, Any]] = []
        removed: list[str] = []
        after = dict(self.told)

        # Removals first: they make room under the server's limit for one TV.
        for pattern_id in sorted((set(self.told) | self.doubtful) - set(known))[:limit]:
            removed.append(pattern_id)
            after.pop(pattern_id, None)
        for pattern_id, pattern in known.items():
            if len(added) + len(updated) + len(removed) >= limit:
                break
            told = self.told.get(pattern_id)
            now = Told(pattern.fingerprint, pattern.watched_count, pattern.liked_count)
            if told == now:
                continue
            if told is not None and (update := _update(pattern_id, told, now)):
                updated.append(update)
            else:
                added.append(pattern.to_json())
            after[pattern_id] = now

        delta = {
            "patterns_added": added,
            "patterns_updated": updated,
            "patterns_removed": removed,
            "local_version": self.confirmed_version + 1,
        }
        return Pending(delta, self.confirmed_version, after)

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
            file.write(orjson.dumps(state))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

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
                "pending": pending
                and Pending(
                    pending["delta"],
                    pending["base_version"],
                    _told(pending["told_after"]),
                ),
            }
        )


_PARTS = ("patterns_added", "patterns_updated", "patterns_removed")


def _update(pattern_id: str, told: Told, now: Told) -> dict[str, Any] | None:
    """Return the update between two states; None where it takes an addition."""
    watched = now.watched_count - told.watched_count
    liked = now.liked_count - told.liked_count
    if now.fingerprint != told.fingerprint or not 0 <= liked <= watched or not watched:
        return None
    return {
        "id": pattern_id,
        "new_success_rate": liked / watched,
        "additional_samples": watched,
    }


def _told(state: dict[str, dict[str, Any]]) -> dict[str, Told]:
    return {name: Told(**each) for name, each in state.items()}
