"""What PostgreSQL does alone: the rows of a sync by pgbench, with the same durability.

The scripts write what the product's callers bring: two patterns each, three updates
unless the TV is new, and the TV's row. Vectors are taken from a small table, as pgbench
can bind texts only: that is cheaper than reading them.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.sync import tvs
from benchmarks.sync.callers import NEW_FRACTION
from benchmarks.sync.machine import Machine, MachineError
from benchmarks.sync.tvs import ADDITIONS, UPDATES, Population
from constellation_site import embedded
from constellation_site.embedded.programs import wheel_programs

CLIENTS = 16
THREADS = 2

#: Syncs of a transaction, for what grouped commits could reach; from fewer clients, as
#: a batch has many TVs.
GROUP = 32
GROUP_CLIENTS = 4

_VECTORS = 1_000


def prepare(machine: Machine, shard_id: int) -> None:
    """Have a table of vectors to choose from."""
    with machine.connect_shard(shard_id) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_vector")
        connection.execute(
            f"""
            CREATE TABLE bench_vector AS
            SELECT (row_number() OVER ())::int AS id, embedding,
                   genre_hints AS genres, content_ids AS contents, cell
            FROM (SELECT * FROM patterns_pattern LIMIT {_VECTORS}) AS first
            """
        )
        connection.execute("ALTER TABLE bench_vector ADD PRIMARY KEY (id)")
        connection.execute("VACUUM ANALYZE bench_vector")


def single(machine: Machine, population: Population, *, seconds: float) -> float:
    """Syncs a second, each a transaction of some statements."""
    return _by_turns(machine, population, seconds, is_one_statement=False)


def one_statement(machine: Machine, population: Population, *, seconds: float) -> float:
    """Syncs a second, each one statement and so a transaction."""
    return _by_turns(machine, population, seconds, is_one_statement=True)


def grouped(machine: Machine, population: Population, *, seconds: float) -> float:
    """Syncs a second of returning TVs, ``GROUP`` of them in one transaction."""
    script = _GROUPED.format(count=population.returning)
    return GROUP * _run(machine, population, {script: 100}, GROUP_CLIENTS, seconds)


def _by_turns(
    machine: Machine, population: Population, seconds: float, *, is_one_statement: bool
) -> float:
    new = round(100 * NEW_FRACTION)
    write = _statement if is_one_statement else _statements
    scripts = {
        _dice(0, population.returning) + write(with_updates=True): 100 - new,
        _dice(population.returning, population.new) + write(with_updates=False): new,
    }
    return _run(machine, population, scripts, CLIENTS, seconds)


def _run(
    machine: Machine,
    population: Population,
    scripts: Mapping[str, int],
    clients: int,
    seconds: float,
) -> float:
    """Transactions a second; of each script that many in a hundred."""
    with tempfile.TemporaryDirectory() as name:
        options = []
        for number, (script, weight) in enumerate(scripts.items()):
            file = Path(name) / f"{number}.sql"
            file.write_text(script)
            options.append(f"--file={file}@{weight}")
        done = subprocess.run(
            [
                str(wheel_programs() / "pgbench"),
                *("--host", str(embedded.place_of(machine.home).sockets)),
                *("--username", "constellation", "--no-vacuum"),
                *("--protocol=prepared", f"--client={clients}", f"--jobs={THREADS}"),
                f"--time={max(1, round(seconds))}",
                *options,
                embedded.shard_database(population.shard_id),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise MachineError(f"pgbench: {done.stderr.strip()[-2000:]}")
    return float(found[1])


def _dice(first: int, count: int) -> str:
    return f"""
\\set tv random({first}, {first + count - 1})
\\set v random(1, {_VECTORS})
\\set rate random(8000, 10000)
"""


_DEVICE = tvs.device_id_sql(":tv")
_UPDATED = ", ".join(tvs.pattern_id_sql(":tv", str(n)) for n in range(UPDATES))

_COLUMNS = """device_id, pattern_id, embedding, success_rate, sample_count, time_of_day,
    day_of_week, content_type, genre_hints, content_ids, cell, reported_at"""

_VALUES = (
    "gen_random_uuid(), v.embedding, 0.9, 7, 4, 6, 1, v.genres, v.contents, v.cell"
)

_INSERT = f"""INSERT INTO patterns_pattern ({_COLUMNS})
    SELECT {_DEVICE}, {_VALUES}, now()
    FROM bench_vector AS v WHERE id IN (:v, :v % {_VECTORS} + 1)"""

_GROWN = """success_rate = p.success_rate
        + (0.9 - p.success_rate) * (3.0 / (p.sample_count + 3)),
    sample_count = p.sample_count + 3, reported_at = now()"""

_UPDATE = f"""UPDATE patterns_pattern AS p SET {_GROWN}
    WHERE device_id = {_DEVICE} AND pattern_id IN ({_UPDATED})"""

# Its version stays, or the product's callers would have to be told.
_SYNCED = f"""local_version = local_version, delta_digest = sha256('a delta'),
    stored_count = {ADDITIONS}, updated_count = {UPDATES},
    pattern_count = pattern_count, last_synced_at = now()"""

_DEVICE_UPDATE = f"UPDATE shards_device SET {_SYNCED} WHERE id = {_DEVICE}"


def _statements(*, with_updates: bool) -> str:
    parts = ["BEGIN", _INSERT, *([_UPDATE] if with_updates else []), _DEVICE_UPDATE]
    return ";\n".join([*parts, "COMMIT"]) + ";\n"


def _statement(*, with_updates: bool) -> str:
    updated = f", updated AS ({_UPDATE})" if with_updates else ""
    return f"WITH inserted AS ({_INSERT}){updated} {_DEVICE_UPDATE};\n"


_GROUPED = f"""
WITH chosen AS MATERIALIZED (
    SELECT floor(random() * {{count}})::int8 AS tv, floor(random() * 1000)::int AS v
    FROM generate_series(1, {GROUP}) ORDER BY 1
), inserted AS (
    INSERT INTO patterns_pattern ({_COLUMNS})
    SELECT {tvs.device_id_sql("tv")}, {_VALUES}, now()
    FROM chosen CROSS JOIN generate_series(1, {ADDITIONS}) AS place
    JOIN bench_vector AS v ON v.id = (chosen.v + place) % {_VECTORS} + 1
), updated AS (
    UPDATE patterns_pattern AS p SET {_GROWN}
    FROM chosen CROSS JOIN generate_series(0, {UPDATES - 1}) AS place
    WHERE p.device_id = {tvs.device_id_sql("tv")}
      AND p.pattern_id = {tvs.pattern_id_sql("tv", "place")}
)
UPDATE shards_device SET {_SYNCED} FROM chosen WHERE id = {tvs.device_id_sql("tv")};
"""
