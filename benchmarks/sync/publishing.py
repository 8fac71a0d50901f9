"""Publish made-up global patterns, trends, links and a codebook on all databases.

A process of its own, in the environment of an installation: what a round would find in
the tastes of the filled shards, written by what a round writes with.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import django
import numpy as np

from benchmarks.sync import tastes
from benchmarks.sync.filling import REGIONS

if TYPE_CHECKING:
    from federation.result import ResultLinks, ResultTrend, RoundResult

VERSION = 2  # TVs that are behind hold the one before

TRENDS = 50
LINKS = 10
CONTENTS_PER_CELL = 8
PER_CELL_FOR_CODEBOOK = 4
MADE_UP_PER_CELL = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=tastes.TASTES)
    options = parser.parse_args()
    django.setup()
    _publish(options.cells)
    print(json.dumps({"global_version": VERSION, "cells": options.cells}))


def _publish(n_cells: int) -> None:
    # These need Django's settings.
    from django.conf import settings

    from federation import publish
    from federation.bundles.making import bundles_of
    from federation.bundles.messages import items_of
    from federation.codebooks import to_payload
    from federation.kernels import codebook_training
    from federation.publish import Edition
    from patterns.selectors import item_ordinals
    from patterns.services import items

    result = _result(n_cells)
    stock = tastes.patterns(PER_CELL_FOR_CODEBOOK * n_cells, n_tastes=n_cells)
    masses = np.array([each.mass for each in result.patterns], dtype=np.float32)
    # For few cells a codebook from fewer patterns does, and is there sooner.
    codebook_training.MADE_UP_MOST = MADE_UP_PER_CELL * n_cells
    spread = codebook_training.spread_of(
        stock.vectors,
        result.embeddings,
        stock.tastes,
        np.arange(len(stock.vectors)),
        min_devices=2,
    )
    codebook = codebook_training.train_codebook(result.embeddings, masses, spread)

    checksum = result.checksum()
    # TVs name contents that no cell is published of, too.
    names = [tastes.TITLE % number for number in range(tastes.CONTENTS)]
    names += [f"genre:{tastes.GENRE % number}" for number in range(tastes.GENRES)]
    items.register(sorted({*names, *items_of(result)}))
    edition = Edition(
        version=VERSION,
        round_id=1,
        result=result,
        checksum=checksum,
        bundles=bundles_of(
            result,
            version=VERSION,
            checksum=checksum,
            ordinals=item_ordinals(),
            codebooks={1: to_payload(codebook, 1)},
        ),
    )
    for alias in settings.DATABASES:
        if alias == "default":
            publish.stage(alias, edition)
        else:
            publish.prepare(alias, edition)
        publish.flip(alias, VERSION, checksum)


def _result(n_cells: int) -> RoundResult:
    from federation.result import ResultPattern, RoundResult

    rng = np.random.default_rng(0)
    cells = np.arange(n_cells)
    contents = tastes.contents(cells, CONTENTS_PER_CELL, rng).tolist()
    return RoundResult(
        patterns=tuple(
            ResultPattern(
                cell=cell + 1,
                success_rate=round(0.8 + 0.2 * (cell % 97) / 97, 4),
                sample_count=1_000 + cell,
                mass=100.0 + cell % 1_000,
                device_count=100 + cell % 1_000,
                batch_count=2,
                time_of_day=cell % 7,
                day_of_week=cell % 10,
                content_type=cell % 12,
                genre_hints=(tastes.GENRE % (cell % tastes.GENRES),),
                content_ids=tuple(tastes.TITLE % each for each in contents[cell]),
            )
            for cell in cells.tolist()
        ),
        trends=tuple(
            _trend(region, rank)
            for region in ("global", *sorted(REGIONS))
            for rank in range(1, TRENDS + 1)
        ),
        links=tuple(_links(number, n_cells) for number in range(7 * n_cells)),
        embeddings=tastes.directions(n_cells),
        source_counts=np.full(n_cells, 3),
    )


def _trend(region: str, rank: int) -> ResultTrend:
    from federation.result import ResultTrend

    return ResultTrend(
        region=region,
        rank=rank,
        item=tastes.TITLE % (rank * 7),
        score=round(1 / rank, 4),
        rate=0.1,
        usual_rate=0.01,
        device_count=100,
    )


def _links(number: int, n_cells: int) -> ResultLinks:
    from federation.result import ResultLinks

    others = ((number + step * step) % (7 * n_cells) for step in range(1, LINKS + 1))
    return ResultLinks(
        tastes.TITLE % number,
        tuple(tastes.TITLE % other for other in others),
        tuple(round(0.9 / step, 4) for step in range(1, LINKS + 1)),
    )


if __name__ == "__main__":
    main()
