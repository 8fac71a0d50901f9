"""Put a result into databases: staged, verified, then made current by one row.

A version goes out in three steps, and the control database decides:

1. *Stage and verify*, on the control database and then from there on every shard: the
   rows are written beside the current ones and read back. Nobody looks at them. If the
   round is abandoned here, its number is used up, and whoever stages next deletes its
   rows.
2. *Flip the control database*, in the one transaction that also keeps the round's cells
   and trend history. This is the decision: from here on the version exists, and no
   later round can give its cell numbers to other cells.
3. *Flip the shards.* One that dies before, or can't be reached, gives its TVs the old
   version until the next round, whole and unmixed.

The other way round, shards before control, TVs would hold cell numbers of a round that
nobody remembers. A version number belongs to one round for ever, and a database takes
only higher ones: a process that was thought dead and wakes up again is refused, and one
that sleeps within its transaction is ended by whoever stages after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections, transaction
from django.db.models.functions import Now

from federation import rows
from federation.bundles import storing
from federation.bundles.made import MadeBundle
from federation.exceptions import ChecksumMismatch, VersionNotStaged, VersionWouldFall
from federation.models import Bundle, GlobalPattern, Link, Publication, Trend
from federation.result import RoundResult
from federation.selectors import CHANNEL
from patterns.services import items
from shards.databases import CONTROL_ALIAS

#: Published versions that stay while the next is staged: what can be rolled back to.
KEPT_VERSIONS = 3

#: Building the index needs the table for itself; somebody's long query must not make
#: everybody else wait behind the round for longer than this.
LOCK_TIMEOUT = "30s"


#: What a session is called while it stages, for those who look at pg_stat_activity.
STAGING = "constellation staging"


@dataclass(frozen=True, kw_only=True, eq=False)
class Edition:
    """A result under the version it is published as."""

    version: int
    round_id: int
    result: RoundResult
    checksum: str
    rollback_of: int | None = None
    bundles: tuple[MadeBundle, ...] = ()


def staged(round_id: int, version: int, checksum: str) -> Edition:
    """Read what a round staged on the control database; ``VersionNotStaged``."""
    publication = Publication.objects.filter(
        version=version, round_id=round_id, checksum=checksum
    ).first()
    if publication is None:
        raise VersionNotStaged(
            database=CONTROL_ALIAS, version=version, checksum=checksum
        )
    return Edition(
        version=version,
        round_id=round_id,
        result=rows.read_result(CONTROL_ALIAS, version),
        checksum=checksum,
        rollback_of=publication.rollback_of,
        bundles=storing.stored(CONTROL_ALIAS, version),
    )


def prepare(alias: str, edition: Edition) -> None:
    """Bring a database so far that it can flip; once more is harmless."""
    # First, so that whatever a database publishes has its ordinal there.
    items.copy_new(alias)
    stage(alias, edition)
    verify(alias, edition.version, edition.checksum)
    storing.verify(alias, edition.version, edition.bundles)


def stage(alias: str, edition: Edition) -> None:
    """Write a version beside the current one, in one transaction.

    Once more with the same version is harmless. HNSW is built anew afterwards: updated
    in place it can race VACUUM.
    """
    if _is_staged(alias, edition):
        return
    _end_those_before(alias)
    _refuse_older(alias, edition.version)
    (index,) = GlobalPattern._meta.indexes
    connection = connections[alias]
    with transaction.atomic(using=alias):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute(f"SET LOCAL application_name = '{STAGING}'")
        _delete_unkept(alias, edition.version)
        Publication.objects.using(alias).create(
            version=edition.version,
            is_current=False,
            round_id=edition.round_id,
            rollback_of=edition.rollback_of,
            checksum=edition.checksum,
            pattern_count=len(edition.result.patterns),
            trend_count=len(edition.result.trends),
            link_count=len(edition.result.links),
            published_at=Now(),
        )
        with connection.schema_editor(atomic=False) as editor:
            editor.remove_index(GlobalPattern, index)
            rows.write_result(alias, edition.version, edition.result)
            editor.add_index(GlobalPattern, index)
        storing.store(alias, edition.version, edition.bundles)
        _tell(alias)


def verify(alias: str, version: int, checksum: str) -> None:
    """Read a staged version back and take its checksum again."""
    found = rows.read_result(alias, version).checksum()
    if found != checksum:
        raise ChecksumMismatch(
            database=alias, version=version, checksum=checksum, found=found
        )


def flip(alias: str, version: int, checksum: str) -> None:
    """Make a staged version current, in one transaction; a version only rises.

    Once more with the same version is harmless.
    """
    publications = Publication.objects.using(alias)
    with transaction.atomic(using=alias):
        current = publications.select_for_update().filter(is_current=True).first()
        if current is not None and current.version == version:
            return
        if current is not None and current.version > version:
            raise VersionWouldFall(
                database=alias, newest=current.version, version=version
            )
        publications.filter(is_current=True).update(is_current=False)
        flipped = publications.filter(version=version, checksum=checksum).update(
            is_current=True, published_at=Now()
        )
        if flipped != 1:
            raise VersionNotStaged(database=alias, version=version, checksum=checksum)
        _tell(alias)


def _tell(alias: str) -> None:
    """Have those who listen look, once this transaction is committed."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")


def _is_staged(alias: str, edition: Edition) -> bool:
    return (
        Publication.objects.using(alias)
        .filter(
            version=edition.version,
            round_id=edition.round_id,
            checksum=edition.checksum,
        )
        .exists()
    )


def _end_those_before(alias: str) -> None:
    """End sessions that stage here: whoever had this unit before has lost it.

    A process that was stopped within its transaction would hold its locks for ever.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = %s AND datname = current_database()
            """,
            [STAGING],
        )


def _refuse_older(alias: str, version: int) -> None:
    newest = (
        Publication.objects.using(alias)
        .order_by("-version")
        .values_list("version", flat=True)
        .first()
    )
    if newest is not None and newest >= version:
        raise VersionWouldFall(database=alias, newest=newest, version=version)


def _delete_unkept(alias: str, version: int) -> None:
    """Delete old versions, and what rounds staged that died before they flipped."""
    publications = Publication.objects.using(alias)
    current = publications.filter(is_current=True).first()
    kept = (
        list(
            publications.filter(version__lte=current.version)
            .order_by("-version")
            .values_list("version", flat=True)[:KEPT_VERSIONS]
        )
        if current is not None
        else []
    )
    for model in (GlobalPattern, Trend, Link, Bundle, Publication):
        model.objects.using(alias).filter(version__lt=version).exclude(
            version__in=kept
        ).delete()
