"""Send each model's rows to the database that holds them.

Three deployment shapes, one router: everything embedded on one machine, one process
with every shard's URL, and one deployment a shard. In each of them a shard's rows are
reached by an explicit alias, and guessing one would put a TV's data in a stranger's
database: so a shard model without an alias is refused.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import Model

from shards.databases import CONTROL_ALIAS, LivesOn, is_shard_alias

#: Apps whose migrations may run statements for no model in particular on a shard.
ROOMS = {"shards", "patterns", "federation"}


class ShardAliasRequired(RuntimeError):
    """A query on a shard's model did not say which shard it means."""


class ConstellationRouter:
    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return self._database_for(model, **hints)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return self._database_for(model, **hints)

    def allow_relation(self, obj1: Model, obj2: Model, **_: Any) -> bool:
        return obj1._state.db == obj2._state.db

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **_: Any
    ) -> bool:
        if model_name is None:
            return not is_shard_alias(db) or app_label in ROOMS
        lives_on = _lives_on(apps.get_model(app_label, model_name))
        if is_shard_alias(db):
            return lives_on is not LivesOn.CONTROL
        return lives_on is not LivesOn.SHARD

    def _database_for(
        self, model: type[Model], *, instance: Model | None = None, **_: Any
    ) -> str:
        if instance is not None and instance._state.db:
            return instance._state.db
        if _lives_on(model) is LivesOn.SHARD:
            raise ShardAliasRequired(
                f"{model.__name__} lives on the shards: say which one with "
                f".using(shard_alias), for example "
                f'{model.__name__}.objects.using("shard_000").'
            )
        return CONTROL_ALIAS


def _lives_on(model: type[Model]) -> LivesOn:
    """Where a model's rows live; what other people's apps store is control data."""
    return getattr(model, "lives_on", LivesOn.CONTROL)
