from django.db import migrations, models

# Both ways the next ordinal is above every one that was ever given: contents that
# were deleted have no row any more, but the sequence has counted them.
GIVE_ORDINALS_TO_ITEMS = """
    INSERT INTO patterns_item (ordinal, name)
    SELECT ordinal, content_id FROM patterns_content ORDER BY ordinal;

    SELECT setval(
        pg_get_serial_sequence('patterns_item', 'ordinal'),
        greatest(
            nextval(pg_get_serial_sequence('patterns_content', 'ordinal')),
            (SELECT max(ordinal) + 1 FROM patterns_item)
        ),
        false
    );
"""
GIVE_ORDINALS_TO_CONTENTS = """
    SELECT setval(
        pg_get_serial_sequence('patterns_content', 'ordinal'),
        greatest(
            nextval(pg_get_serial_sequence('patterns_item', 'ordinal')),
            (SELECT max(ordinal) + 1 FROM patterns_item)
        ),
        false
    );
"""
ONLY_WHERE_CONTENTS_ARE = {"model_name": "content"}


class Migration(migrations.Migration):
    dependencies = [
        ("patterns", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Item",
            fields=[
                ("ordinal", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=70)),
            ],
            options={
                "ordering": ["ordinal"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("name",), name="item_has_one_ordinal"
                    )
                ],
            },
        ),
        migrations.RunSQL(
            GIVE_ORDINALS_TO_ITEMS,
            GIVE_ORDINALS_TO_CONTENTS,
            hints=ONLY_WHERE_CONTENTS_ARE,
        ),
        migrations.AlterField(
            model_name="content",
            name="ordinal",
            field=models.BigIntegerField(primary_key=True, serialize=False),
        ),
        migrations.AddField(
            model_name="content",
            name="position",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.RunSQL(
            "UPDATE patterns_content SET position = ordinal",
            migrations.RunSQL.noop,
            hints=ONLY_WHERE_CONTENTS_ARE,
        ),
        migrations.AlterField(
            model_name="content",
            name="position",
            field=models.BigIntegerField(
                db_default=models.Func(
                    models.Value("patterns_item_ordinal_seq"), function="nextval"
                ),
                editable=False,
                unique=True,
            ),
        ),
    ]
