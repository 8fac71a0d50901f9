"""A federation round, from opening to closing: the one function behind every door.

All shards are read twice by a few threads of this process; ``federation.collect`` is
what is done with one shard, ``federation.publish`` what is done with one database, so
that workers elsewhere can do the same.

A round goes on without shards that don't answer if those left are at least
``MIN_SOURCE_COUNT`` and half of those asked. Otherwise it is abandoned and the old
version stays: half a fleet is a sample of the whole, less may be one region's evening.
A round that finds nothing while nothing is published is abandoned too, and says what is
missing. Once something is published even an empty result goes out: what TVs took back
must not be given any longer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.utils.crypto import salted_hmac

from federation import collect, history, lease, merge, metrics, selectors, training
from federation.collect import FirstReading, SecondReading
from federation.kernels import Cells, PatternSample
from federation.merge import Outcome, Thresholds
from federation.models import FederationRound, Publication, RoundShard
from federation.report import DRY_RUN, RoundReport
from federation.run import Abandoned, Progress, Run, go_on, silent
from federation.visits import visits
from shards import reaching
from shards.exceptions import UnknownShard
from shards.models import Shard

ShardStatus = RoundShard.Status

Reading = TypeVar("Reading")


def run_round(
    *,
    shard_ids: Collection[int] | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = go_on,
) -> RoundReport:
    """Run one round to its end and report it.

    ``shard_ids`` are the shards that are asked (all of them by default); all get the
    result. A dry run reads and reports, and leaves no trace. ``should_stop`` is looked
    at between steps until the version is decided on; then the round is finished.

    Raises ``RoundAlreadyRunning`` while another process runs one, and
    ``ControlUnavailable`` if the control database doesn't answer.
    """
    with reaching.control():
        shards = list(Shard.objects.all())
        asked = _asked(shards, shard_ids)
        thresholds = _thresholds()
        if dry_run:
            told = FederationRound(status=DRY_RUN)
        else:
            told = lease.open_round(
                parameters={**asdict(thresholds), "shards": sorted(asked)}
            )
        run = _Reading(told, shards, asked, thresholds, progress)
        with metrics.counting_breakdowns(told):
            if dry_run:
                run.rehearse()
            else:
                run.carry_out(should_stop)
            report = run.report()
    metrics.record(report)
    return report


def waiting_for() -> str:
    """Say what is missing before a first round could publish anything; "" if nothing.

    Looks at the shards' tallies, so that a fresh installation doesn't fill its history
    with rounds that were bound to fail.
    """
    if selectors.current_version():
        return ""
    thresholds = _thresholds()
    counts = [
        visit.value or 0
        for visit in visits(
            Shard.objects.values_list("id", flat=True), collect.stored_pattern_count
        )
    ]
    n_sources = sum(count > 0 for count in counts)
    if n_sources < thresholds.min_sources or sum(counts) < thresholds.min_devices:
        return (
            f"{sum(counts)} patterns on {n_sources} shards so far; a first round needs "
            f"{thresholds.min_devices} on {thresholds.min_sources}"
        )
    return ""


def due_in_seconds(interval_seconds: float) -> float:
    """Tell when the next round is due, counted from when the last one began.

    So neither a restart nor a round run by hand adds one to the schedule.
    """
    since = selectors.seconds_since_last_round()
    return 0.0 if since is None else max(0.0, interval_seconds - since)


@dataclass(frozen=True)
class _Findings:
    outcome: Outcome
    cells: Cells
    sample: PatternSample


class _Reading(Run):
    """A round that reads the shards."""

    def __init__(
        self,
        told: FederationRound,
        shards: Collection[Shard],
        asked: Collection[int],
        thresholds: Thresholds,
        progress: Progress,
    ) -> None:
        rows = [
            RoundShard(
                round=told,
                shard=shard,
                status=ShardStatus.COLLECTING
                if shard.id in asked
                else ShardStatus.LEFT_OUT,
            )
            for shard in shards
        ]
        super().__init__(told, rows, progress)
        self._asked_count = len(asked)
        self._thresholds = thresholds

    def rehearse(self) -> None:
        """Find out what would be published."""
        try:
            self._find_out()
        except Abandoned as exc:
            self.told.problem = str(exc)

    def carry_out(self, should_stop: Callable[[], bool]) -> None:
        with self.until_closed(should_stop):
            found = self._find_out()
            result, cells = found.outcome.result, found.cells
            self.enter("training")
            self.publish(
                result,
                new_codebook=training.for_result(
                    result,
                    sample=found.sample,
                    min_devices=self._thresholds.min_devices,
                ),
                along=partial(history.keep, self.told.pk, cells, found.outcome.history),
            )

    def _find_out(self) -> _Findings:
        first = self._first_reading()
        self.enter("fitting")
        plan = merge.plan(
            first, previous=history.last_cells(), thresholds=self._thresholds
        )
        second = self._second_reading(plan)
        self.enter("merging")
        outcome = merge.conclude(
            second,
            cells=plan.cells,
            history=history.last_history(),
            previous_trends=history.last_trends(),
            thresholds=self._thresholds,
        )
        self.note(outcome.result)
        self.told.suppressed_count = outcome.suppressed_count
        self._refuse_nothing(outcome, first.sample.n_patterns)
        return _Findings(outcome, plan.cells, first.sample)

    def _first_reading(self) -> FirstReading:
        def note(row: RoundShard, reading: FirstReading) -> None:
            row.pattern_count = reading.sample.n_patterns
            row.device_count = reading.sample.n_devices
            row.stored_device_count = reading.stored_device_count
            row.stored_pattern_count = reading.stored_pattern_count

        work = partial(
            collect.sample,
            min_quality=self._thresholds.min_quality,
            seed=_sampling_seed(),
        )
        return self._read("sampling", work, add=merge.add_first, note=note)

    def _second_reading(self, plan: merge.Plan) -> SecondReading:
        def note(row: RoundShard, reading: SecondReading) -> None:
            row.pattern_count = reading.sums.n_patterns
            row.device_count = reading.sums.n_devices
            row.reporting_count = sum(reading.sums.reporters().values())
            row.status = ShardStatus.COLLECTED

        last = selectors.last_collecting_round()
        work = partial(
            collect.collect,
            cells=plan.cells,
            item_filter=plan.item_filter,
            pair_plan=plan.pair_plan,
            min_quality=self._thresholds.min_quality,
            fresh_since=last.started_at if last else None,
        )
        return self._read("collecting", work, add=merge.add_second, note=note)

    def _read(
        self,
        step: str,
        work: Callable[[str], Reading],
        *,
        add: Callable[[Reading, Reading], Reading],
        note: Callable[[RoundShard, Reading], None],
    ) -> Reading:
        """Visit the shards that still take part and add up what they give."""
        self.enter(step)
        visited = [
            row.shard_id
            for row in self.shards.values()
            if row.status == ShardStatus.COLLECTING
        ]
        total: Reading | None = None
        with closing(visits(visited, work)) as answers:
            for done, visit in enumerate(answers, start=1):
                self.check()
                row = self.shards[visit.shard_id]
                row.collect_seconds += visit.seconds
                if visit.value is None:
                    row.status, row.problem = ShardStatus.MISSING, visit.problem
                else:
                    note(row, visit.value)
                    total = visit.value if total is None else add(total, visit.value)
                self.save(row)
                self.progress(step, done, len(visited))
        self._refuse_too_few()
        if total is None:
            raise Abandoned("There is no shard yet.")
        return total

    def _refuse_too_few(self) -> None:
        missing = [
            row for row in self.shards.values() if row.status == ShardStatus.MISSING
        ]
        left = self._asked_count - len(missing)
        half = (self._asked_count + 1) // 2
        needed = max(self._thresholds.min_sources, half)
        if left >= needed:
            return
        raise Abandoned(
            f"{left} of {self._asked_count} shards took part; {needed} are needed "
            f"(MIN_SOURCE_COUNT, and half of those asked). {self._troubles()}".strip()
        )

    def _refuse_nothing(self, outcome: Outcome, n_patterns: int) -> None:
        if not outcome.result.is_empty or _is_something_published():
            return
        if n_patterns == 0:
            raise Abandoned(
                "There is nothing to publish: no TV has a pattern with a success rate "
                f"of {self._thresholds.min_quality} or more (MIN_QUALITY_THRESHOLD)."
            )
        raise Abandoned(
            f"There is nothing to publish: none of {outcome.suppressed_count} cells "
            f"has {self._thresholds.min_devices} TVs (MIN_DEVICES_PER_PATTERN) and "
            f"{self._thresholds.min_sources} shards (MIN_SOURCE_COUNT) behind it."
        )


def _asked(shards: Collection[Shard], shard_ids: Collection[int] | None) -> set[int]:
    known = {shard.id for shard in shards}
    if shard_ids is None:
        return known
    for shard_id in shard_ids:
        if shard_id not in known:
            raise UnknownShard(
                shard_id=shard_id, known=", ".join(map(str, sorted(known))) or "none"
            )
    return set(shard_ids)


def _thresholds() -> Thresholds:
    return Thresholds(
        min_quality=settings.MIN_QUALITY_THRESHOLD,
        min_sources=settings.MIN_SOURCE_COUNT,
        min_devices=settings.MIN_DEVICES_PER_PATTERN,
        min_batches=settings.MIN_BATCHES_PER_PATTERN,
        trend_decay=settings.TREND_DECAY_RATE,
        max_cells=settings.FEDERATION_CELLS,
    )


def _sampling_seed() -> int:
    """Tell which patterns are sampled: the same in all rounds, and no TV can know."""
    digest = salted_hmac("federation.sampling", b"", algorithm="sha256").digest()
    return int.from_bytes(digest[:8], "big")


def _is_something_published() -> bool:
    current = Publication.objects.filter(is_current=True).first()
    return current is not None and bool(
        current.pattern_count or current.trend_count or current.link_count
    )
