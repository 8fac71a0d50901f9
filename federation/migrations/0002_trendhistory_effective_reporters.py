from __future__ import annotations

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from shards.databases import CONTROL_ALIAS


def forget(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Histories that don't say how many TVs they stand for can't be gone on with."""
    if schema_editor.connection.alias == CONTROL_ALIAS:
        apps.get_model("federation", "TrendHistory").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("federation", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(forget, migrations.RunPython.noop, elidable=True),
        migrations.AddField(
            model_name="trendhistory",
            name="effective_reporters",
            field=models.FloatField(default=0),
            preserve_default=False,
        ),
    ]
