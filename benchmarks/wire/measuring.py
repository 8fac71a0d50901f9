"""One fleet, from its first sync to its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from random import Random
from typing import Any

import numpy as np

from benchmarks.installation import Installation, open_installation
from benchmarks.wire import bound, cases, codec, lift, listening, peers, telling
from benchmarks.wire.cases import Case
from benchmarks.wire.households import Fleet
from benchmarks.wire.life import Town, for_each, live, open_shop
from benchmarks.wire.listening import Heard
from benchmarks.wire.televisions import Television
from benchmarks.wire.telling import Told
from fleet.wire import Vector

Say = Callable[[str], None]
Figures = dict[str, Any]

#: Households whose replies are looked at.
LISTENERS = 150

#: TVs that send the cases of the wire budget.
TELEVISIONS = 120

#: Patterns that tell how patterns lie about their cells.
SPREAD_PATTERNS = 8192

SEED = 0


def measure(fleet: Fleet, *, say: Say, televisions: int = TELEVISIONS) -> Figures:
    """Run an installation for a fleet, and look at what crosses the wire.

    So many ``televisions`` of their own send the cases of the wire budget.
    """
    say("an installation")
    with open_installation() as installation:
        return measure_at(installation, fleet, say=say, televisions=televisions)


def measure_at(
    installation: Installation, fleet: Fleet, *, say: Say, televisions: int
) -> Figures:
    """The same, on an installation that runs and has seen no other fleet."""
    with open_shop(installation, fleet.name) as shop:
        town = live(installation, shop, fleet, say)
        say("what TVs tell")
        told = telling.tell(town, town.latecomers)
        sent = cases.send_cases(town, seed=SEED, count=televisions)
        say("what TVs hear")
        households = _some([*town.residents, *town.latecomers])
        full = [case.television for case in sent]
        heard = listening.listen(town, households)
        heard_full = listening.listen(town, full)
        say("what it costs")
        cost = codec.measure(installation, sent)
        say("bound and peer")
        figures = (
            _up(sent)
            | _down(heard, heard_full)
            | _quality_up(town, told, sent)
            | _quality_down(households, heard)
            | _peers(town, told, heard)
            | {f"codec_us_{name}": value for name, value in asdict(cost).items()}
            | {
                "codec_us_per_sync": cost.per_sync,
                "codec_us_dearest": cost.dearest,
            }
        )
        if fleet.movielens is None:
            return figures | {"lift_kept": None}
        for_each([*town.residents, *town.latecomers, *full], _leave)
        kept = lift.measure(installation, fleet.movielens, shop.enrolment_key, say)
        return figures | {"lift_kept": kept.kept} | asdict(kept)


def _leave(tv: Television) -> None:
    tv.client.leave()


def _some(televisions: Sequence[Television]) -> list[Television]:
    count = min(LISTENERS, len(televisions))
    return Random(SEED).sample(televisions, count)


def _up(sent: Sequence[Case]) -> Figures:
    return (
        _percentiles("up_bytes_{}_10_coded", [c.coded.bytes_up for c in sent])
        | _percentiles("up_bytes_{}_2_int8", [c.int8.bytes_up for c in sent])
        | _percentiles("up_bytes_{}_of_names", [c.names_bytes for c in sent])
        | _percentiles("up_bytes_{}_10_json_zstd", [c.json_bytes for c in sent])
    )


def _down(heard: Sequence[Heard], heard_full: Sequence[Heard]) -> Figures:
    every = [*heard, *heard_full]
    return (
        _percentiles("down_bytes_{}", [h.bytes_down for h in every])
        | _percentiles("down_bytes_{}_households", [h.bytes_down for h in heard])
        | _percentiles("down_bytes_{}_inflated", [h.bytes_inflated for h in every])
        | _percentiles("down_bytes_{}_json_zstd", [h.bytes_down_json for h in every])
        | {
            "down_bytes_unchanged_max": max(h.bytes_down_unchanged for h in every),
            "code_bytes_down": _usual(h.code_bytes for h in every),
            "global_patterns": _in_reply(len(h.cells) for h in heard_full),
            "trends": _in_reply(h.trends for h in heard_full),
            "linked_contents": _in_reply(h.linked_contents for h in heard_full),
            "linked_contents_households": _in_reply(h.linked_contents for h in heard),
            "links_kept": _share(
                sum(h.links_kept for h in every), sum(h.links for h in every)
            ),
            "links_kept_households": _share(
                sum(h.links_kept for h in heard), sum(h.links for h in heard)
            ),
        }
    )


def _quality_up(town: Town, told: Told, sent: Sequence[Case]) -> Figures:
    known = [telling.read_back(town, c.coded.request, c.patterns) for c in sent]
    cosines = np.concatenate([each.cosines for each in known])
    return _cosines("cosine_up", told.cosines) | {
        "cosine_up_mean_known": float(cosines.mean()),
        "code_bytes_up": _usual(told.code_bytes.astype(int).tolist()),
        "code_bytes_up_mean": float(told.code_bytes.mean()),
    }


def _quality_down(televisions: Sequence[Television], heard: Sequence[Heard]) -> Figures:
    overlaps = [
        listening.top_overlap(own, each.exact, each.decoded)
        for tv, each in zip(televisions, heard, strict=True)
        if len(own := _own(tv))
    ]
    cosines = np.concatenate([each.cosines for each in heard])
    return _cosines("cosine_down", cosines) | {
        "top10_overlap": float(np.mean(overlaps))
    }


def _peers(town: Town, told: Told, heard: Sequence[Heard]) -> Figures:
    """What Shannon allows, and what OPQ reaches, at the same bytes."""
    down = np.concatenate([each.exact for each in heard])
    patterns = np.concatenate([_own(tv) for tv in town.residents if len(_own(tv))])
    cells, masses = _cells(heard)
    rows = peers.training_rows(cells, masses, patterns[:SPREAD_PATTERNS])
    down_bytes = _usual(each.code_bytes for each in heard)
    up_bytes = _usual(told.code_bytes.astype(int).tolist())
    opq_down = peers.Opq(rows, down_bytes).read_back(down)
    opq_up = peers.Opq(rows, up_bytes).read_back(told.exact)
    return (
        {
            "bound_down": bound.best_cosine(down, down_bytes),
            "bound_up": bound.best_cosine(patterns, float(told.code_bytes.mean())),
        }
        | _cosines("opq_down", np.einsum("ij,ij->i", down, opq_down))
        | _cosines("opq_up", np.einsum("ij,ij->i", told.exact, opq_up))
        | {
            "cells": len(cells),
            # 1 if the second round found that of the first still good.
            "codebook_version": town.dictionary.codebook_version,
        }
    )


def _cells(heard: Sequence[Heard]) -> tuple[Vector, Vector]:
    """The global patterns that anybody heard of, and their masses."""
    numbers = np.concatenate([each.cells for each in heard])
    _, rows = np.unique(numbers, return_index=True)
    exact = np.concatenate([each.exact for each in heard])
    masses = np.concatenate([each.masses for each in heard])
    return exact[rows], masses[rows]


def _own(tv: Television) -> Vector:
    vectors = [pattern.embedding for pattern in tv.brain.patterns()]
    return np.array(vectors, np.float32).reshape(-1, 384)


def _percentiles(name: str, sizes: Sequence[int]) -> Figures:
    return {
        name.format(f"p{percent}"): int(
            np.percentile(sizes, percent, method="inverted_cdf")
        )
        for percent in (50, 99)
    }


def _cosines(name: str, cosines: Vector) -> Figures:
    return {
        f"{name}_mean": float(cosines.mean(dtype=np.float64)),
        f"{name}_p5": float(np.percentile(cosines, 5)),
    }


def _in_reply(counts: Iterable[int]) -> float:
    """How many there are in the reply in the middle."""
    return float(np.median(list(counts)))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _usual(sizes: Iterable[int]) -> int:
    [(size, _)] = Counter(sizes).most_common(1)
    return size
