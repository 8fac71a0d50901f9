"""What a round finds out: two readings of the shards, and what is made of them.

A round goes on without shards that don't answer if those left are at least
``MIN_SOURCE_COUNT`` and half of those asked. Otherwise it is abandoned and the old
version stays: half a fleet is a sample of the whole, less may be one region's evening.
A round that finds nothing while nothing is published is abandoned too, and says what is
missing. Once something is published even an empty result goes out: what TVs took back
must not be given any longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Protocol, TypeVar

import structlog
from django.db import Error

from federation import history, merge, privacy, round_manifests, training
from federation.collect import FirstReading, SecondReading
from federation.history import Previous
from federation.kernels import ShardNews
from federation.kernels.arrays import BoolArray
from federation.kernels.outlying import ShardMeans, outlying_cells, without_cells
from federation.merge import Outcome, Plan
from federation.models import Publication, RoundShard
from federation.publishing import Found
from federation.result import RoundResult
from federation.round_manifests import PREVIOUS, RELEASED
from federation.run import Abandoned, Run, troubles
from federation.totals import FirstTotal, SecondTotal
from federation.training import NewCodebook
from federation.work import PLAN, Step

Given = TypeVar("Given", FirstReading, SecondReading)


class Total(Protocol[Given]):
    """Readings added up."""

    def add(self, reading: Given) -> None: ...

    def total(self) -> Given | None: ...


log = structlog.get_logger(__name__)

#: Names of parts, besides those of shards and the plan.
OUTCOME, CODEBOOK = "outcome", "codebook"


@dataclass(frozen=True)
class Training:
    """What came of training a codebook."""

    new: NewCodebook | None = None
    problem: str = ""


def find_out(run: Run) -> Found:
    """Do all of a round that comes before publishing."""
    reading = Reading(run)
    reading.refuse_overspending()
    outcome = reading.outcome
    trained = reading.trained
    run.told.problem = trained.problem
    run.write(manifest=round_manifests.manifest_of(run.told))
    return Found(
        result=outcome.result,
        new_codebook=trained.new,
        keep=partial(
            history.keep,
            run.told.pk,
            outcome.cells,
            outcome.cell_history,
            outcome.history,
            outcome.shard_history,
        ),
    )


class Reading:
    """The steps of a round that read, each asking for those before when needed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._parameters = run.parameters
        self._thresholds = self._parameters.thresholds
        self._noise = merge.noise_plan(self._thresholds)

    @cached_property
    def previous(self) -> Previous:
        """What the round goes on from."""
        return self._run.kept(PREVIOUS, Previous, history.previous)

    @cached_property
    def first(self) -> FirstReading:
        """The first reading, of all shards that gave one."""
        return self._read(Step.SAMPLING, FirstReading, FirstTotal())

    @cached_property
    def plan(self) -> Plan:
        previous = self.previous
        return self._run.kept(PLAN, Plan, lambda: self._fitted(previous))

    @cached_property
    def outcome(self) -> Outcome:
        plan = self.plan
        outcome = self._run.kept(OUTCOME, Outcome, lambda: self._concluded(plan))
        self._run.note(
            outcome.result,
            suppressed_count=outcome.suppressed_count,
            suppressed_trend_count=outcome.suppressed_trend_count,
            suppressed_link_count=outcome.suppressed_link_count,
            defences=asdict(outcome.defences),
        )
        self._refuse_nothing(outcome)
        return outcome

    @cached_property
    def trained(self) -> Training:
        result = self.outcome.result
        return self._run.kept(CODEBOOK, Training, lambda: self._trained(result))

    def _fitted(self, previous: Previous) -> Plan:
        first = self.first
        self._run.enter("fitting")
        return merge.plan(
            first,
            previous=previous.cells,
            thresholds=self._thresholds,
            quarantined=self._parameters.quarantined,
        )

    def _concluded(self, plan: Plan) -> Outcome:
        news: dict[int, ShardNews] = {}
        means: dict[int, ShardMeans] = {}

        def note(shard_id: int, given: SecondReading) -> None:
            news[shard_id] = ShardNews(given.sums.region_items, given.sums.reporters())
            means[shard_id] = ShardMeans.of(given.sums)

        second = self._read(Step.COLLECTING, SecondReading, SecondTotal(), each=note)
        outlying = self._outlying(means)
        if outlying:
            second = self._read(
                Step.COLLECTING,
                SecondReading,
                SecondTotal(),
                changed=partial(_without, outlying),
            )
        self._run.enter("merging")
        return merge.conclude(
            second,
            released=self._released(second),
            cells=plan.cells,
            screen=plan.screen,
            history=self.previous.history,
            previous_trends=self.previous.trends,
            thresholds=self._thresholds,
            shard_history=self.previous.shard_history,
            shards=news,
            absent={row.shard_id for row in self._run.rows()} - news.keys(),
            cell_history=self.previous.cell_history,
            quarantined=self._parameters.quarantined,
            outlying=outlying,
        )

    def _outlying(self, means: dict[int, ShardMeans]) -> dict[int, BoolArray]:
        """The cells in which a shard is left out, of the shards that are in some."""
        if self._noise is not None:
            return {}  # what was counted without noise may decide nothing
        is_out = outlying_cells([means[shard_id] for shard_id in sorted(means)])
        return {
            shard_id: cells
            for shard_id, cells in zip(sorted(means), is_out, strict=True)
            if cells.any()
        }

    def _released(self, second: SecondReading) -> SecondReading | None:
        """What a round with noise goes on with: drawn once, and written down first."""
        noise = self._noise
        if noise is None:
            return None

        def draw() -> SecondReading:
            if self._run.told.pk is not None:
                privacy.spend(self._run.told.pk, noise)
            return merge.release(second, noise)

        return self._run.kept(RELEASED, SecondReading, draw)

    def _trained(self, result: RoundResult) -> Training:
        first = self.first
        self._run.enter("training")
        try:
            return Training(
                training.for_result(
                    result,
                    sample=first.sample,
                    min_devices=self._thresholds.min_devices,
                )
            )
        except Error:
            raise
        except Exception as exc:
            # TVs can go on with the codebook they have, and the round is worth more.
            log.exception("no codebook was trained")
            return Training(
                problem=f"No codebook was trained, the last one stays: {exc}"
            )

    def _read(
        self,
        step: Step,
        kind: type[Given],
        readings: Total[Given],
        *,
        each: Callable[[int, Given], None] = lambda *_: None,
        changed: Callable[[int, Given], Given] = lambda _, given: given,
    ) -> Given:
        for shard_id, given in self._run.read(step, kind):
            each(shard_id, given)
            readings.add(changed(shard_id, given))
        self._refuse_too_few()
        total = readings.total()
        if total is None:
            raise Abandoned("There is no shard yet.")
        return total

    def refuse_overspending(self) -> None:
        """Raise ``Abandoned`` if the round's noise would go beyond the budget."""
        if self._noise is None:
            return
        problem = privacy.overspent(self._noise, round_id=self._run.told.pk)
        if problem:
            raise Abandoned(problem)

    def _refuse_too_few(self) -> None:
        asked = len(self._parameters.shard_ids)
        rows = self._run.rows()
        left = asked - sum(row.status == RoundShard.Status.MISSING for row in rows)
        needed = max(self._thresholds.min_sources, (asked + 1) // 2)
        if left >= needed:
            return
        raise Abandoned(
            f"{left} of {asked} shards took part; {needed} are needed "
            f"(MIN_SOURCE_COUNT, and half of those asked). {troubles(rows)}".strip()
        )

    def _refuse_nothing(self, outcome: Outcome) -> None:
        if not outcome.result.is_empty or _is_something_published():
            return
        if self.first.sample.n_patterns == 0:
            raise Abandoned(
                "There is nothing to publish: no TV has a pattern with a success rate "
                f"of {self._thresholds.min_quality} or more (MIN_QUALITY_THRESHOLD)."
            )
        raise Abandoned(
            f"There is nothing to publish: none of {outcome.suppressed_count} cells "
            f"has {self._thresholds.min_devices} TVs (MIN_DEVICES_PER_PATTERN) and "
            f"{self._thresholds.min_sources} shards (MIN_SOURCE_COUNT) behind it."
        )


def _without(
    outlying: Mapping[int, BoolArray], shard_id: int, given: SecondReading
) -> SecondReading:
    if shard_id not in outlying:
        return given
    return replace(given, sums=without_cells(given.sums, outlying[shard_id]))


def _is_something_published() -> bool:
    current = Publication.objects.filter(is_current=True).first()
    return current is not None and bool(
        current.pattern_count or current.trend_count or current.link_count
    )
