from __future__ import annotations

from collections import defaultdict
from dataclasses import fields, replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from federation.kernels import (
    CellCollector,
    ItemCounter,
    KernelInputError,
    SparseCounts,
    merge_sums,
)
from federation.kernels.quantise import (
    CodedCentroids,
    capped_samples,
    pattern_weights,
    quantise,
    rate_fixed_point,
    to_fixed_point,
)
from tests.federation.kernels.planting import (
    SEED,
    block_of,
    cut,
    dealt,
    directions,
    nothing,
)


@pytest.fixture
def centroids(rng):
    return directions(rng, 8).astype(np.float32)


def filter_of(block, min_devices=1):
    counter = ItemCounter(seed=SEED)
    counter.add(block)
    return counter.census().filter(min_devices=min_devices)


def collect(centroids, item_filter, *blocks):
    collector = CellCollector(centroids, item_filter=item_filter)
    for block in blocks:
        collector.add(block)
    return collector.sums()


def naive_sums(centroids, block):
    """Row by row, with dictionaries and Python's whole numbers."""
    cells, _ = CodedCentroids(centroids).nearest(quantise(block.embeddings))
    weights = pattern_weights(block).tolist()
    rates = rate_fixed_point(block.success_rate).tolist()
    samples = capped_samples(block).tolist()
    vectors = to_fixed_point(block.embeddings).astype(np.int64)
    sums: dict[str, Any] = {
        name: defaultdict(int)
        for name in ("weights", "successes", "samples", "patterns")
    }
    sums["vectors"] = np.zeros((len(centroids), 384), dtype=np.int64)
    sums["evening"] = defaultdict(int)
    tvs: dict[str, Any] = {
        name: defaultdict(set)
        for name in (
            "devices",
            "batches",
            "evening",
            "genres",
            "contents",
            "region_items",
            "reporters",
            "content_devices",
        )
    }
    for row, cell in enumerate(cells.tolist()):
        tv = int(block.device_index[row])
        weight = weights[row]
        sums["vectors"][cell] += vectors[row] * weight
        sums["weights"][cell] += weight
        sums["successes"][cell] += weight * rates[row]
        sums["samples"][cell] += samples[row]
        sums["patterns"][cell] += 1
        sums["evening"][cell, int(block.time_of_day[row])] += weight
        tvs["devices"][cell].add(tv)
        tvs["batches"][cell, int(block.device_batch[tv])].add(tv)
        tvs["evening"][cell, int(block.time_of_day[row])].add(tv)
        for genre in block.genres[row]:
            tvs["genres"][cell, genre].add(tv)
        for content in block.content_ids[row]:
            tvs["contents"][cell, content].add(tv)
            tvs["content_devices"][content].add(tv)
        if block.is_fresh[row]:
            region = block.device_region[tv]
            tvs["reporters"][region].add(tv)
            for genre in block.genres[row]:
                tvs["region_items"][region, f"genre:{genre}"].add(tv)
            for content in block.content_ids[row]:
                tvs["region_items"][region, content].add(tv)
    counts = {
        name: {key: len(members) for key, members in table.items()}
        for name, table in tvs.items()
    }
    return sums, counts


def table_dict(table: SparseCounts):
    def name(names, number):
        return names[number] if names else number

    return {
        (name(table.row_names, row), name(table.column_names, column)): count
        for row, column, count in zip(
            table.rows.tolist(),
            table.columns.tolist(),
            table.counts.tolist(),
            strict=True,
        )
    }


def column(values):
    return {key: value for key, value in enumerate(values.tolist()) if value}


def test_sums_match_the_dictionaries(vega, centroids):
    sums = collect(centroids, filter_of(vega), *cut(vega, 4))

    expected, _ = naive_sums(centroids, vega)
    assert np.array_equal(sums.vectors, expected["vectors"])
    for name in ("weights", "successes", "samples", "patterns"):
        assert column(getattr(sums, name)) == expected[name], name
    assert {
        (cell, code): int(weight)
        for (cell, code), weight in np.ndenumerate(sums.time_of_day)
        if weight
    } == expected["evening"]


def test_counts_of_tvs_match_the_dictionaries(vega, centroids):
    sums = collect(centroids, filter_of(vega), *cut(vega, 4))

    _, expected = naive_sums(centroids, vega)
    assert column(sums.devices) == expected["devices"]
    for name in ("batches", "genres", "contents", "region_items"):
        assert table_dict(getattr(sums, name)) == expected[name], name
    assert {
        (cell, code): int(count)
        for (cell, code), count in np.ndenumerate(sums.time_of_day_devices)
        if count
    } == expected["evening"]
    assert sums.reporters() == expected["reporters"]
    assert sums.content_devices.row_dict(0) == expected["content_devices"]


def test_the_cell_of_each_row_is_told(vega, centroids):
    collector = CellCollector(centroids, item_filter=filter_of(vega))

    cells = collector.add(vega)

    assert np.array_equal(np.bincount(cells, minlength=8), collector.sums().patterns)


@pytest.mark.parametrize("n_shards", [1, 3, 10])
@pytest.mark.parametrize("n_blocks", [1, 5])
def test_sharding_does_not_matter(vega, centroids, n_shards, n_blocks):
    names = filter_of(vega)
    shards = [
        collect(centroids, names, *cut(part, n_blocks))
        for part in dealt(vega, n_shards)
    ]

    merged = merge_sums(shards)

    assert merged.digest() == collect(centroids, names, vega).digest()


def test_order_of_shards_does_not_matter(vega, centroids):
    names = filter_of(vega)
    shards = [collect(centroids, names, part) for part in dealt(vega, 3)]

    digests = {merge_sums(list(order)).digest() for order in permutations(shards)}

    assert len(digests) == 1


def test_merging_twice_is_merging_once(vega, centroids):
    names = filter_of(vega)
    first, second, third = (collect(centroids, names, p) for p in dealt(vega, 3))

    nested = merge_sums([merge_sums([third, first]), second])

    assert nested.digest() == merge_sums([first, second, third]).digest()


def test_the_digest_notices_any_change(vega, centroids):
    sums = collect(centroids, filter_of(vega), vega)
    digests = {sums.digest()}

    for field in fields(sums):
        value = getattr(sums, field.name)
        if isinstance(value, SparseCounts):
            changed = replace(value, counts=value.counts + 1)
        else:
            changed = value + 1
        digests.add(replace(sums, **{field.name: changed}).digest())

    # All but sources, which say where TVs are stored and not what they said.
    assert len(digests) == 1 + len(fields(sums)) - 1


def test_a_source_is_a_shard_with_a_tv_in_the_cell(rng, centroids):
    everywhere = np.repeat(centroids[:1], 3, axis=0)
    shards = [block_of(rng, [3], embeddings=everywhere) for _ in range(4)]
    shards.append(block_of(rng, [1], embeddings=centroids[1:2]))

    sums = merge_sums([collect(centroids, filter_of(b), b) for b in shards])

    assert sums.sources.tolist() == [4, 1, 0, 0, 0, 0, 0, 0]


def test_one_loud_tv_cannot_move_a_cell(rng, centroids):
    """A thousand quiet households against one that claims a million samples."""
    quiet = np.repeat(centroids[:1], 1000, axis=0)
    loud = -centroids[:1] + np.float32(1.2) * centroids[1:2]
    embeddings = np.concatenate([quiet, loud / np.linalg.norm(loud)])
    block = block_of(
        rng,
        [1] * 1001,
        embeddings=embeddings,
        sample_count=np.array([5] * 1000 + [1_000_000]),
    )

    sums = collect(centroids[:1], filter_of(block), block)

    mean = sums.vectors[0] / np.linalg.norm(sums.vectors[0].astype(float))
    assert mean @ centroids[0] > 0.9999


def test_the_heaviest_tv_is_known(rng, centroids):
    block = block_of(
        rng,
        [2, 1],
        embeddings=np.repeat(centroids[:1], 3, axis=0),
        success_rate=np.ones(3, dtype=np.float32),
        sample_count=np.array([3, 1, 1]),
    )

    sums = collect(centroids, filter_of(block), block)

    assert sums.heaviest[0] == 1 << 16
    assert sums.weights[0] == 2 << 16


def test_weightless_patterns_do_not_count_as_tvs(rng, centroids):
    block = block_of(
        rng,
        [1, 1],
        embeddings=np.repeat(centroids[:1], 2, axis=0),
        sample_count=np.array([0, 4]),
        content_ids=[["tt1"], ["tt2"]],
    )

    sums = collect(centroids, filter_of(block), block)

    assert sums.devices[0] == 1
    assert sums.contents.row_dict(0) == {"tt2": 1}


def test_only_allowed_names_are_counted(rng, centroids):
    block = block_of(
        rng,
        [1] * 3,
        content_ids=[["tt1"], ["tt1", "junk"], ["tt1"]],
        genres=[["crime"], ["crime"], ["crime", "typo"]],
        is_fresh=np.ones(3, dtype=bool),
    )

    sums = collect(centroids, filter_of(block, min_devices=3), block)

    assert sums.content_devices.column_names == ("tt1",)
    assert sums.genres.column_names == ("crime",)
    assert sums.region_items.column_names == ("genre:crime", "tt1")


def test_stale_patterns_do_not_report(rng, centroids):
    block = block_of(rng, [1] * 3, is_fresh=np.zeros(3, dtype=bool))

    sums = collect(centroids, filter_of(block), block)

    assert sums.reporters() == {}
    assert len(sums.region_items) == 0
    assert sums.n_devices == 3


def test_without_cells_regions_are_still_counted(vega):
    no_centroids = np.zeros((0, 384), dtype=np.float32)

    sums = collect(no_centroids, filter_of(vega), vega)

    assert sums.n_cells == 0
    assert sums.reporters().keys() == {"eu", "us", "global"}


def test_a_shard_without_tvs_changes_nothing(vega, centroids):
    names = filter_of(vega)
    full, empty = collect(centroids, names, vega), collect(centroids, names, nothing())

    assert merge_sums([full, empty]).digest() == full.digest()


def test_sums_over_other_cells_are_not_merged(vega, centroids):
    names = filter_of(vega)

    with pytest.raises(KernelInputError, match=r"found \[4, 8\] cells"):
        merge_sums(
            [collect(centroids, names, vega), collect(centroids[:4], names, vega)]
        )


def test_inputs_are_left_alone(vega, centroids):
    before = vega.embeddings.tobytes(), centroids.tobytes()

    collect(centroids, filter_of(vega), vega)

    assert (vega.embeddings.tobytes(), centroids.tobytes()) == before
