"""The runs: capacity beside its peers, the hourly load, and far too much of it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import httpx

from benchmarks.sync import (
    figures,
    flower,
    generator,
    hnsw,
    pgbench,
    refuser,
    similar,
)
from benchmarks.sync.callers import Callers, Calls, Writer
from benchmarks.sync.contenders import Contender, Contenders
from benchmarks.sync.figures import Figures
from benchmarks.sync.generator import Load
from benchmarks.sync.machine import Machine
from benchmarks.sync.meters import Meters
from benchmarks.sync.progress import Progress

#: 4 million TVs an hour.
HOURLY = 1_111

#: Connections that ask without a pause, and how many there are at most otherwise. The
#: former nearly take all places of two processes, and no more.
CLOSED_CONNECTIONS = 240
OPEN_CONNECTIONS = 1_000

OVERLOADS = (2, 10)

#: Of the server that only sends away: for how long, and of how many requests each is
#: sent again and again.
REFUSED_SECONDS = 5.0
REFUSED_REQUESTS = 2_000

#: More requests are made than are expected to be needed, by so much.
SPARE = 1.5
#: Syncs a second that requests are made for before it is known how many there are. A
#: run that has used them up ends, and counts.
PRODUCT_MOST = 4_000
NAIVE_MOST = 400

STATS_READINGS = 25


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, how often, and against which shards."""

    repeats: int
    #: Of a run at capacity, of the product and of each peer.
    seconds: float
    #: Of a run at a given rate.
    open_seconds: float
    full_shard: int
    small_shard: int
    #: Only what stands beside peers.
    is_quick: bool


class Bench:
    """One measurement of everything, on a filled machine."""

    def __init__(
        self, machine: Machine, contenders: Contenders, plan: Plan, progress: Progress
    ) -> None:
        self._machine = machine
        self._contenders = contenders
        self._plan = plan
        self._progress = progress
        self._full = self._callers(plan.full_shard)
        self._small = self._callers(plan.small_shard)
        self._naive = self._callers(plan.small_shard, is_for_peer=True)
        self._meters = Meters(machine, contenders.product.pid)

    def beside_peers(self) -> Figures:
        """Capacity, and that of the peers: by turns, a ratio for each turn."""
        say, plan = self._progress.say, self._plan
        pgbench.prepare(self._machine, plan.full_shard)
        say("making requests")
        # The first of each is to have every process load what it needs.
        first, *calls = self._cut(self._full, PRODUCT_MOST, plan.repeats + 1)
        naive_first, *naive_calls = self._cut(self._naive, NAIVE_MOST, plan.repeats + 1)
        say("warming up")
        self._closed(self._contenders.product, self._full, first)
        self._closed(self._contenders.naive, self._naive, naive_first)
        turns = []
        for turn in range(plan.repeats):
            say(f"capacity and peers, {turn + 1} of {plan.repeats}")
            turns.append(self._turn(calls[turn], naive_calls[turn]))
        return figures.of_turns(turns)

    def at_hourly_load(self) -> Figures:
        """A whole shard of TVs that sync once an hour: latencies."""
        loads = [self._open(HOURLY, turn) for turn in range(self._plan.repeats)]
        return {
            "p99_ms_at_1111": figures.median(load.latency_ms(99) for load in loads),
            "p50_ms_at_1111": figures.median(load.latency_ms(50) for load in loads),
            "served_fraction": figures.median(load.served_fraction for load in loads),
            "at_1111": [figures.of_load(load) for load in loads],
        }

    def overloaded(self, rate: float) -> Figures:
        """Twice and ten times what can be done, which is measured anew each time."""
        repeats, product = self._plan.repeats, self._contenders.product
        turns: list[dict[int, Load]] = []
        for turn, calls in enumerate(self._cut(self._full, rate * SPARE, repeats)):
            full = self._closed(product, self._full, calls)
            at = {f: self._open(f * full.per_second, turn) for f in OVERLOADS}
            turns.append({1: full, **at})
        capacity = statistics.median(turn[1].per_second for turn in turns)
        return figures.of_overload(turns) | self._refusals(capacity, calls)

    def _refusals(self, capacity: float, calls: Calls) -> Figures:
        """What they take at least, of a machine that has to ask as well."""
        self._progress.say("a server that only sends away")
        with self._contenders.alone(None), refuser.running() as server:
            before = server.cpu_seconds()
            load = generator.opened(
                server.address,
                calls.requests[:REFUSED_REQUESTS],
                per_second=OVERLOADS[-1] * capacity,
                seconds=REFUSED_SECONDS,
                connections=OPEN_CONNECTIONS,
            )
            seconds = server.cpu_seconds() - before
        return figures.of_refusals(load, seconds, capacity, factors=OVERLOADS)

    def growth(self, rate: float) -> Figures:
        """The full shard and the small one by turns."""
        ratios = []
        repeats, product = self._plan.repeats, self._contenders.product
        full = self._cut(self._full, rate * SPARE, repeats)
        self._closed(product, self._small, self._small.calls(round(rate)))
        for turn in range(repeats):
            self._progress.say(f"growth, {turn + 1} of {repeats}")
            # It has few TVs, who come once a turn; and may be faster.
            count = min(round(rate * self._plan.seconds * SPARE**2), self._small.most)
            small = self._small.calls(count)
            of_full = self._closed(product, self._full, full[turn]).per_second
            of_small = self._closed(product, self._small, small).per_second
            ratios.append(of_full / of_small)
        return {"growth": statistics.median(ratios), "growth_turns": ratios}

    def with_news(self, rate: float) -> Figures:
        """Capacity when every single sync is answered with everything."""
        self._progress.say("every sync answered with news")
        calls = self._full.calls(
            round(rate * self._plan.seconds * SPARE), behind_fraction=1
        )
        load = self._closed(self._contenders.product, self._full, calls)
        return {"syncs_per_second_all_news": load.per_second}

    def similar(self) -> Figures:
        """The search for what TVs are answered with, beside pgvector's."""
        self._progress.say("similar cells, beside HNSW")
        with (
            self._contenders.alone(None),
            self._machine.connect_shard(self._plan.small_shard) as connection,
        ):
            return similar.measured() | hnsw.measured(connection)

    def flower(self, rate: float) -> Figures:
        """Flower's server and clients, beside syncs."""
        self._progress.say("Flower")
        with self._contenders.alone(None):
            found = flower.measured(repeats=self._plan.repeats)
        return found | {
            "ratio_flower": rate / found["flower_per_second"],
            "ratio_flower_streams": rate / found["flower_streams_per_second"],
        }

    def stats(self) -> Figures:
        """How long ``GET /api/v1/stats`` takes at this size."""
        operator = self._machine.command(
            "operator", "create", f"bench-{time.time_ns()}", "--role", "viewer"
        )
        headers = {"Authorization": f"Token {operator['token']}"}
        address = f"{self._contenders.product_url}/api/v1/stats"
        seconds = []
        with httpx.Client(headers=headers) as client:
            for _ in range(STATS_READINGS):
                started = time.perf_counter()
                client.get(address).raise_for_status()
                seconds.append(time.perf_counter() - started)
        return {
            "stats_ms": statistics.median(seconds) * 1e3,
            "stats_ms_most": max(seconds[1:]) * 1e3,
        }

    def _turn(self, calls: Calls, naive_calls: Calls) -> Figures:
        plan, machine = self._plan, self._machine
        population = machine.populations[plan.full_shard]
        contenders = self._contenders
        found: Figures = {}
        with contenders.alone(None):
            machine.checkpoint()
            found["pgbench"] = pgbench.one_statement(
                machine, population, seconds=plan.seconds
            )
            if not plan.is_quick:
                machine.checkpoint()
                found["pgbench_statements"] = pgbench.single(
                    machine, population, seconds=plan.seconds
                )
            found["pgbench_grouped"] = pgbench.grouped(
                machine, population, seconds=plan.seconds / 2
            )
        with contenders.alone(contenders.naive):
            machine.checkpoint()
            load = self._run(contenders.naive, naive_calls)
            self._naive.note(naive_calls, load)
            found["naive"] = load.per_second
        with contenders.alone(contenders.null):
            load = self._run(contenders.null, calls, seconds=plan.seconds / 2)
            found["null"] = load.per_second
            found["generator_us_null"] = figures.generator_us(load)
        with contenders.alone(contenders.product):
            machine.checkpoint()
            before = self._meters.read()
            load = self._run(contenders.product, calls)
            used = self._meters.read().since(before)
            self._full.note(calls, load)
        return (
            found
            | figures.of_capacity(load, used)
            | {"rss_mib": self._meters.web_rss_mib()}
        )

    def _callers(self, shard_id: int, *, is_for_peer: bool = False) -> Callers:
        return Callers(
            self._machine.populations[shard_id],
            Writer(machine=self._machine, shard_id=shard_id, is_for_peer=is_for_peer),
            self._machine.applied(shard_id),
        )

    def _cut(self, callers: Callers, rate: float, parts: int) -> list[Calls]:
        """Requests for some runs at capacity, enough for a rate."""
        count = round(rate * self._plan.seconds)
        return callers.calls(count * parts).cut(parts)

    def _closed(self, contender: Contender, callers: Callers, calls: Calls) -> Load:
        with self._contenders.alone(contender):
            self._machine.checkpoint()
            load = self._run(contender, calls)
        callers.note(calls, load)
        return load

    def _run(
        self, contender: Contender, calls: Calls, seconds: float | None = None
    ) -> Load:
        return generator.closed(
            contender.address,
            calls.requests,
            connections=CLOSED_CONNECTIONS,
            seconds=seconds or self._plan.seconds,
        )

    def _open(self, per_second: float, turn: int) -> Load:
        seconds = self._plan.open_seconds
        self._progress.say(
            f"{per_second:,.0f} syncs/s offered, {turn + 1} of {self._plan.repeats}"
        )
        # What is sent away comes again, so what is served is enough, and some more.
        count = min(per_second, 3 * HOURLY) * seconds * SPARE + OPEN_CONNECTIONS
        calls = self._full.calls(round(count))
        with self._contenders.alone(self._contenders.product):
            self._machine.checkpoint()
            load = generator.opened(
                self._contenders.product.address,
                calls.requests,
                per_second=per_second,
                seconds=seconds,
                connections=OPEN_CONNECTIONS,
                seed=turn,
            )
        self._full.note(calls, load)
        return load
