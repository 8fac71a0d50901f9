"""A dry run: the same steps on the same shards, kept in memory, leaving no trace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from typing import Any, TypeVar, cast

from federation import work
from federation.merge import Plan
from federation.models import FederationRound, RoundShard
from federation.parameters import Parameters
from federation.report import DRY_RUN
from federation.run import Progress, Run, taking_part
from federation.visits import visits
from federation.work import Given, Step
from shards.models import Shard

T = TypeVar("T")


class Rehearsal(Run):
    """A round without a row."""

    def __init__(
        self, parameters: Parameters, shards: Collection[Shard], progress: Progress
    ) -> None:
        told = FederationRound(status=DRY_RUN, **parameters.written())
        super().__init__(told, progress)
        self._plan: Plan | None = None
        self._rows = {
            shard.pk: RoundShard(
                round=told,
                shard=shard,
                status=RoundShard.Status.COLLECTING
                if shard.pk in parameters.shard_ids
                else RoundShard.Status.LEFT_OUT,
            )
            for shard in shards
        }

    def rows(self) -> list[RoundShard]:
        return list(self._rows.values())

    def enter(self, step: str) -> None:
        self.check()
        self.progress(step, 0, 1)

    def kept(self, _name: str, _kind: type[T], make: Callable[[], T], /) -> T:
        made = make()
        if isinstance(made, Plan):
            self._plan = made
        return made

    def read(self, step: Step, _kind: type[T], /) -> Iterator[tuple[int, T]]:
        self.enter(step)
        asked = taking_part(self.rows())
        parameters = self.parameters

        def read_one(alias: str) -> Given:
            if step == Step.SAMPLING:
                return work.sample(alias, parameters)
            assert self._plan is not None
            return work.collect_by(alias, parameters, self._plan)

        with closing(visits(asked, read_one)) as answers:
            for done, visit in enumerate(answers, start=1):
                row = self._rows[visit.shard_id]
                row.collect_seconds += visit.seconds
                if visit.value is None:
                    row.status, row.problem = RoundShard.Status.MISSING, visit.problem
                else:
                    for column, value in visit.value.noted.items():
                        setattr(row, column, value)
                    yield visit.shard_id, cast(T, visit.value.value)
                self.progress(step, done, len(asked))

    def write(self, **columns: Any) -> None:
        """Nothing is written."""
