"""Do the arithmetic of a round again, from what was kept of it. Publishes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from federation import parts, reading, round_manifests
from federation.exceptions import PartMissing, RoundNotReplayable, RoundUnknown
from federation.models import FederationRound
from federation.result import RoundResult
from federation.round_manifests import is_input
from federation.run import Abandoned, Progress, Run, silent
from federation.work import PLAN, Step
from shards import reaching

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of it."""

    round_id: int
    #: What it published, if it did.
    version: int | None
    #: What the round gave, and what came of its arithmetic now; "" if that was not
    #: done, for what went in isn't what it was.
    checksum: str
    replayed: str
    #: What isn't as it was, a sentence each.
    differences: tuple[str, ...]
    #: What is another now and need not matter.
    notes: tuple[str, ...]
    seconds: float

    @property
    def is_reproduced(self) -> bool:
        return not self.differences and self.checksum == self.replayed

    def lines(self) -> list[str]:
        """For people."""
        outcome = "reproduced" if self.is_reproduced else "NOT reproduced"
        return [
            *(f"Note: {note}" for note in self.notes),
            *self.differences,
            f"Round {self.round_id}: checksum {self.checksum} {outcome}, "
            f"{self.seconds:.1f} s",
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "round": self.round_id,
            "global_version": self.version,
            "is_reproduced": self.is_reproduced,
            "checksum": self.checksum,
            "replayed_checksum": self.replayed,
            "differences": list(self.differences),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def replay(round_id: int, *, progress: Progress = silent) -> Replayed:
    """Merge what the shards gave to a round once more, and compare.

    It begins with the plan, for samples aren't kept. Noise can't be drawn again: a
    round with noise is replayed from what was released.

    Raises ``RoundUnknown``, ``RoundNotReplayable`` and ``ControlUnavailable``.
    """
    begun = time.monotonic()
    with reaching.control():
        told = _replayable(round_id)
        differences = [*_changed_rows(told), *_changed_parts(told)]
        run = Replay(told, progress)
        if not differences:
            # It may have been abandoned then; what it found is noted before.
            with suppress(Abandoned):
                _ = reading.Reading(run).outcome
            differences = run.differences
    return Replayed(
        round_id=told.pk,
        version=told.global_version,
        checksum=told.checksum,
        replayed=run.checksum,
        differences=tuple(differences),
        notes=tuple(_other_software(told)),
        seconds=round(time.monotonic() - begun, 3),
    )


def known_round(round_id: int) -> FederationRound:
    """Find a round by its number; raises ``RoundUnknown``."""
    told = FederationRound.objects.filter(pk=round_id).first()
    if told is None:
        newest = FederationRound.objects.values_list("pk", flat=True).first()
        raise RoundUnknown(round=round_id, newest=newest or "none")
    return told


def manifest(round_id: int) -> dict[str, Any]:
    """What a round was made of.

    Raises ``RoundUnknown``, ``RoundNotReplayable`` and ``ControlUnavailable``.
    """
    with reaching.control():
        told = known_round(round_id)
        described: dict[str, Any] = told.manifest or _replayable(round_id).manifest
    return described


def _replayable(round_id: int) -> FederationRound:
    """Find a round that has a manifest and its parts."""
    told = known_round(round_id)
    if told.rollback_of is not None:
        problem = f"it is a roll-back: it repeated version {told.rollback_of}"
    elif told.status == FederationRound.Status.RUNNING and not told.manifest:
        problem = f"it still runs (step: {told.step or 'opening'})"
    elif not told.manifest:
        problem = f"it had no result. {told.problem}".strip()
    elif not told.parts.exists():
        kept = FederationRound.objects.exclude(manifest={}).filter(parts__name=PLAN)
        numbers = ", ".join(str(pk) for pk in kept.values_list("pk", flat=True))
        problem = f"its parts are gone; those of rounds {numbers or 'none'} are kept"
    else:
        return told
    raise RoundNotReplayable(round=round_id, problem=problem)


class Replay(Run):
    """A round that is over: what went in is loaded, what came out is compared."""

    def __init__(self, told: FederationRound, progress: Progress = silent) -> None:
        super().__init__(told, progress)
        self.differences: list[str] = []
        self.checksum = ""

    def check(self) -> None:
        """Nobody takes it over."""

    def enter(self, step: str) -> None:
        self.progress(step, 0, 1)

    def kept(self, name: str, kind: type[T], make: Callable[[], T], /) -> T:
        if is_input(name):
            return self._loaded(name, kind)
        made = make()
        digest, before = parts.digest_of(made), self.told.manifest["outputs"][name]
        if digest != before:
            self.differences.append(f"{name}: came out as {digest}, was {before}.")
        return made

    def read(self, step: Step, kind: type[T], /) -> Iterator[tuple[int, T]]:
        self.enter(step)
        prefix = f"{step}/"
        shard_ids = sorted(
            int(name.removeprefix(prefix))
            for name in self.told.manifest["inputs"]
            if name.startswith(prefix)
        )
        for done, shard_id in enumerate(shard_ids, start=1):
            yield shard_id, self._loaded(parts.name_of(step, shard_id), kind)
            self.progress(step, done, len(shard_ids))

    def note(self, result: RoundResult, **_held_back: Any) -> None:
        self.checksum = result.checksum()
        if self.checksum != self.told.checksum:
            self.differences.append(
                f"result: came out as {self.checksum}, was {self.told.checksum}."
            )

    def write(self, **columns: Any) -> None:
        """Nothing is written."""

    def _loaded(self, name: str, kind: type[T]) -> T:
        loaded = parts.load(kind, self.told.pk, name)
        if loaded is None:
            raise PartMissing(round=self.told.pk, name=name)
        return loaded


def _changed_rows(told: FederationRound) -> Iterator[str]:
    manifest = told.manifest
    if not round_manifests.is_intact(manifest):
        yield "manifest: isn't as it was written."
    if manifest["checksum"] != told.checksum:
        yield f"checksum: the row has {told.checksum}, was {manifest['checksum']}."
    if manifest["parameters"] != told.parameters:
        yield "parameters: those of the row aren't what the round ran with."


def _changed_parts(told: FederationRound) -> Iterator[str]:
    found = parts.digests(told.pk)
    listed = told.manifest["inputs"] | told.manifest["outputs"]
    for name, digest in sorted(listed.items()):
        if name not in found:
            yield f"{name}: is missing."
        elif found[name] != digest:
            yield f"{name}: has {found[name]}, was {digest}."


def _other_software(told: FederationRound) -> Iterator[str]:
    before = told.manifest["software"]
    for name, now in round_manifests.software().items():
        if before.get(name) != now:
            yield f"{name} was {before.get(name)}, now {now}."
