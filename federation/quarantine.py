"""What rounds leave out on an operator's word, and the services that say so."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction

from federation.exceptions import NotQuarantinable, NotQuarantined
from federation.models import Quarantine
from federation.quarantined import Quarantined
from patterns.context import CONTENT_ID_LENGTH
from shards.databases import CONTROL_ALIAS
from shards.models import EnrolmentBatch

Kind = Quarantine.Kind


def quarantined() -> Quarantined:
    """What the next round leaves out."""
    names: dict[str, list[str]] = {kind: [] for kind in Kind.values}
    for kind, name in Quarantine.objects.values_list("kind", "name"):
        names[kind].append(name)
    return Quarantined(
        devices=tuple(sorted(names[Kind.DEVICE])),
        batches=tuple(sorted(map(int, names[Kind.BATCH]))),
        cells=tuple(sorted(map(int, names[Kind.CELL]))),
        contents=tuple(sorted(names[Kind.CONTENT])),
    )


def add(*, kind: str, name: str, reason: str = "") -> Quarantine:
    """Leave something out from the next round on.

    Raises ``NotQuarantinable`` if the name is none of its kind, or is there already.
    """
    clean = named(kind, name)
    try:
        with transaction.atomic(using=CONTROL_ALIAS):
            return Quarantine.objects.create(kind=kind, name=clean, reason=reason)
    except IntegrityError as exc:
        raise NotQuarantinable(
            kind=Kind(kind).label, name=clean, problem="it is there already"
        ) from exc


def remove(*, kind: str, name: str) -> Quarantine:
    """Let rounds have it again. Raises ``NotQuarantined`` if it wasn't left out."""
    clean = named(kind, name)
    row = Quarantine.objects.filter(kind=kind, name=clean).first()
    if row is None:
        raise NotQuarantined(kind=Kind(kind).label, name=clean)
    Quarantine.objects.filter(pk=row.pk).delete()
    return row


def named(kind: str, name: str) -> str:
    """The one way a thing is written; raises ``NotQuarantinable``."""

    def refuse(problem: str) -> NotQuarantinable:
        return NotQuarantinable(kind=Kind(kind).label, name=name, problem=problem)

    if kind == Kind.DEVICE:
        try:
            return str(UUID(name))
        except ValueError as exc:
            raise refuse("a TV is named by its UUID") from exc
    if kind == Kind.BATCH:
        number = _batch_number(name)
        if number is None:
            raise refuse("there is no enrolment batch of this name or number")
        return str(number)
    if kind == Kind.CELL:
        if not (name.isascii() and name.isdecimal() and int(name) < 2**31):
            raise refuse("a cell is named by its number")
        return str(int(name))
    if not 1 <= len(name) <= CONTENT_ID_LENGTH:
        raise refuse(f"a content id has 1 to {CONTENT_ID_LENGTH} characters")
    return name


def _batch_number(name: str) -> int | None:
    batches = EnrolmentBatch.objects.filter(name=name)
    if not batches.exists() and name.isascii() and name.isdecimal():
        batches = EnrolmentBatch.objects.filter(pk=min(int(name), 2**31))
    return batches.values_list("pk", flat=True).first()
