"""A cast that hands a vector's bytes out, see ``patterns.raw_vectors``."""

from django.db import migrations

# PostgreSQL refuses those who aren't superusers with either of the two.
_CREATE = """
    DO $$ BEGIN
        CREATE CAST (halfvec AS bytea) WITHOUT FUNCTION;
    EXCEPTION
        WHEN insufficient_privilege OR invalid_object_definition THEN
            RAISE NOTICE 'Vectors stay as halfvec_send gives them.';
        WHEN duplicate_object THEN
            NULL;
    END $$
"""
_DROP = """
    DO $$ BEGIN
        DROP CAST IF EXISTS (halfvec AS bytea);
    EXCEPTION
        WHEN insufficient_privilege THEN NULL;
    END $$
"""


class Migration(migrations.Migration):
    dependencies = [("patterns", "0002_items")]

    operations = [migrations.RunSQL(_CREATE, _DROP)]
