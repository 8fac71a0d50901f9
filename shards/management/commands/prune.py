"""``manage.py prune``: delete statistics that nobody reads any more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from shards.commands import JsonCommand
from shards.databases import configured_shard_ids
from shards.exceptions import ShardUnavailable
from shards.services import pruning


class Command(JsonCommand):
    help = (
        "Delete old statistics: counts by minute after a week, by hour after 800 days. "
        "Run it daily. It may be stopped at any time and goes on from there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--yes", action="store_true", help="Delete. Without it, only report."
        )

    def handle(self, *, yes: bool, as_json: bool, **_: Any) -> None:
        now = timezone.now()
        minutes: dict[int, int] = {}
        failed: list[int] = []
        for shard_id in configured_shard_ids():
            try:
                minutes[shard_id] = self._prune_shard(shard_id, now=now, yes=yes)
            except ShardUnavailable:
                failed.append(shard_id)
            else:
                self.progress(f"shard {shard_id}: {minutes[shard_id]:,} rows")
        hours = pruning.prune_hours(now=now) if yes else pruning.count_hours(now=now)

        total = sum(minutes.values()) + hours
        done = "deleted" if yes else "would be deleted. Add --yes to do it"
        self.answer(
            {
                "deleted": yes,
                "minutes_by_shard": minutes,
                "hours": hours,
                "failed_shards": failed,
            },
            as_json=as_json,
            text=f"{total:,} rows {done}.",
        )
        if failed:
            raise CommandError(
                f"No answer from shards {', '.join(map(str, failed))}. "
                "Run this again when they are back."
            )

    def _prune_shard(self, shard_id: int, *, now: datetime, yes: bool) -> int:
        if yes:
            return sum(pruning.prune_minutes(shard_id=shard_id, now=now))
        return pruning.count_minutes(shard_id=shard_id, now=now)
