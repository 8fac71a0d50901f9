"""The recipe that builds HNSW on patterns works as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

RECIPES = Path(settings.BASE_DIR) / "docs" / "recipes.md"


@pytest.fixture
def recipe() -> str:
    [statement] = re.findall(r"```sql\n(.+?)\n```", RECIPES.read_text(), re.DOTALL)
    return str(statement)


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_hnsw_is_built_on_patterns_by_the_command_in_the_recipes(recipe):
    with connections["shard_000"].cursor() as cursor:
        cursor.execute(recipe)
        cursor.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'pattern_by_embedding'"
        )
        [(definition,)] = cursor.fetchall()
        cursor.execute("DROP INDEX CONCURRENTLY pattern_by_embedding")

    assert "USING hnsw (embedding halfvec_cosine_ops)" in definition
    assert "m='32', ef_construction='100'" in definition
