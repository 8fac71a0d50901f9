"""The queue that wakes workers where no broker is named: pgmq, on the control database.

As an extension where the server offers it; else from the SQL that comes with the
package, which needs nothing that a database's owner may not do.
"""

from __future__ import annotations

from django.db import DatabaseError, migrations, transaction
from pgmq.install import get_embedded_install_sql

#: Held until the transaction ends, so that two who migrate at once make one queue.
LOCK = 0x706D71


def install(_apps, schema_editor) -> None:
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("SELECT to_regnamespace('pgmq') IS NOT NULL")
        [is_installed] = cursor.fetchone()
        if not is_installed and not _create_extension(connection, cursor):
            cursor.execute(get_embedded_install_sql())


def _create_extension(connection, cursor) -> bool:
    cursor.execute("SELECT true FROM pg_available_extensions WHERE name = 'pgmq'")
    if cursor.fetchone() is None:
        return False
    try:
        with transaction.atomic(using=connection.alias):
            cursor.execute("CREATE EXTENSION pgmq")
    except DatabaseError:
        # Offered, but not to everybody.
        return False
    return True


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
