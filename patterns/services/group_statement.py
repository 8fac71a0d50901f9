"""The statement that applies a group of syncs; ``groups`` says what it promises.

Wishes are ``patterns.reckoning.Wish``; averaging takes the steps of
``patterns.reckoning.averaged``.
"""

from __future__ import annotations

import re

from patterns.delta import EMPTY_DIGEST
from patterns.reckoning import SAMPLE_COUNT_MAX, Wish
from patterns.services.group_columns import NONE
from shards import statistics

#: What an ``entry`` makes of a ``pattern``: ``after``.
AVERAGED = f"""
    CROSS JOIN LATERAL (
        SELECT pattern.success_rate + (entry.rate - pattern.success_rate)
            * (entry.samples::float8 / (pattern.sample_count::float8 + entry.samples))
    ) AS average (rate)
    CROSS JOIN LATERAL (
        SELECT
            LEAST(
                GREATEST(average.rate, LEAST(pattern.success_rate, entry.rate)),
                GREATEST(pattern.success_rate, entry.rate)
            ),
            CASE
                WHEN pattern.sample_count > {SAMPLE_COUNT_MAX} - entry.samples
                THEN {SAMPLE_COUNT_MAX}
                ELSE pattern.sample_count + entry.samples
            END
    ) AS after (rate, samples)
"""

#: Whether a TV has room for its patterns; fewer always fit.
_FITS = "NOT (growth > 0 AND pattern_count + growth > %(patterns_limit)s)"

_IS_UPDATE = f"wish IN ({Wish.UPDATE}, {Wish.UPDATE_AND_REMOVE})"

_NAMED = f"""
WITH sent AS MATERIALIZED (
    SELECT
        device_id, local_version, NULLIF(base_version, {NONE}) AS base_version, digest,
        NULLIF(token_epoch, {NONE}) AS token_epoch,
        stored_count, filtered_count, updated_count, removed_count
    FROM unnest(
        %(device_ids)s::uuid[], %(local_versions)s::int8[], %(base_versions)s::int8[],
        %(digests)s::bytea[], %(token_epochs)s::int8[], %(stored_counts)s::int2[],
        %(filtered_counts)s::int2[], %(updated_counts)s::int2[],
        %(removed_counts)s::int2[]
    ) AS sent (
        device_id, local_version, base_version, digest, token_epoch,
        stored_count, filtered_count, updated_count, removed_count
    )
), held AS MATERIALIZED (
    -- No key of another table waits for these rows, so the weaker lock is enough.
    SELECT id, device.xmin AS written_by
    FROM shards_device AS device
    WHERE id = ANY(%(device_ids)s::uuid[])
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
), found AS MATERIALIZED (
    SELECT
        device.*, sent.local_version AS sent_version, sent.digest AS sent_digest,
        sent.stored_count AS sent_stored, sent.filtered_count AS sent_filtered,
        sent.updated_count AS sent_updated, sent.removed_count AS sent_removed,
        stands.it AND sent.local_version > device.local_version
            AND COALESCE(sent.base_version, device.local_version)
                = device.local_version AS is_new,
        stands.it AND sent.local_version = device.local_version
            AND sent.digest = COALESCE(
                NULLIF(device.delta_digest, ''), '\\x{EMPTY_DIGEST.hex()}'::bytea
            ) AS is_replay
    FROM sent
    JOIN held ON held.id = sent.device_id
    JOIN shards_device AS device
        ON device.id = sent.device_id AND device.xmin = held.written_by
    CROSS JOIN LATERAL (
        SELECT device.revoked_at IS NULL
            AND COALESCE(sent.token_epoch, device.token_epoch) = device.token_epoch
    ) AS stands (it)
), touched AS MATERIALIZED (
    SELECT
        device.id AS device_id, device.pattern_count, entry.pattern_id, entry.wish,
        pattern.pattern_id IS NOT NULL AS is_stored,
        pattern.pattern_id IS NOT NULL AND {_IS_UPDATE}
            AND after.rate >= %(quality_threshold)s AS is_updated,
        after.rate, after.samples
    FROM unnest(
        %(touched_owners)s::uuid[], %(touched_ids)s::uuid[], %(touched_wishes)s::int2[],
        %(touched_rates)s::float8[], %(touched_samples)s::int8[]
    ) AS entry (device_id, pattern_id, wish, rate, samples)
    JOIN found AS device ON device.id = entry.device_id AND device.is_new
    LEFT JOIN patterns_pattern AS pattern
        ON pattern.device_id = entry.device_id
        AND pattern.pattern_id = entry.pattern_id
    {AVERAGED}
), judged AS (
    SELECT
        *,
        wish = {Wish.STORE} OR wish = {Wish.UPDATE} AND is_updated AS stays,
        is_stored AND {_IS_UPDATE} AND NOT is_updated AS is_filtered,
        wish = {Wish.REMOVE} AND is_stored
            OR wish = {Wish.UPDATE_AND_REMOVE} AND is_updated AS is_removed
    FROM touched
), weighed AS MATERIALIZED (
    SELECT
        *, sum(stays::int - is_stored::int) OVER (PARTITION BY device_id) AS growth
    FROM judged
), summed AS (
    SELECT
        device_id,
        max(growth) AS growth,
        count(*) FILTER (WHERE is_filtered) AS filtered,
        count(*) FILTER (WHERE is_updated) AS updated,
        count(*) FILTER (WHERE is_removed) AS removed
    FROM weighed
    GROUP BY device_id
), decided AS MATERIALIZED (
    SELECT
        found.*,
        COALESCE(growth, 0) AS growth,
        sent_filtered + COALESCE(filtered, 0) AS now_filtered,
        sent_updated + COALESCE(updated, 0) AS now_updated,
        sent_removed + COALESCE(removed, 0) AS now_removed,
        is_new AND COALESCE({_FITS}, true) AS is_applied
    FROM found
    LEFT JOIN summed ON summed.device_id = found.id
), upserted AS (
    INSERT INTO patterns_pattern AS pattern (
        device_id, pattern_id, embedding, success_rate, sample_count, time_of_day,
        day_of_week, content_type, genre_hints, content_ids, cell, reported_at
    )
    SELECT
        added.device_id, pattern_id,
        (%(added_embeddings)s::float4[])[place * 384 - 383 : place * 384]::halfvec(384),
        rate, samples, time_of_day, day_of_week, content_type,
        (%(added_genres)s::text[])[genre_start + 1 : genre_end],
        (%(added_contents)s::text[])[content_start + 1 : content_end],
        NULLIF(cell, {NONE}), %(now)s
    FROM unnest(
        %(added_owners)s::uuid[], %(added_ids)s::uuid[], %(added_rates)s::float8[],
        %(added_samples)s::int8[], %(added_times)s::int2[], %(added_days)s::int2[],
        %(added_types)s::int2[], %(added_genre_starts)s::int4[],
        %(added_genre_ends)s::int4[], %(added_content_starts)s::int4[],
        %(added_content_ends)s::int4[], %(added_cells)s::int4[]
    ) WITH ORDINALITY AS added (
        device_id, pattern_id, rate, samples, time_of_day, day_of_week, content_type,
        genre_start, genre_end, content_start, content_end, cell, place
    )
    JOIN decided ON decided.id = added.device_id AND is_applied
    ON CONFLICT (device_id, pattern_id) DO UPDATE SET
        embedding = excluded.embedding,
        success_rate = excluded.success_rate,
        sample_count = excluded.sample_count,
        time_of_day = excluded.time_of_day,
        day_of_week = excluded.day_of_week,
        content_type = excluded.content_type,
        genre_hints = excluded.genre_hints,
        content_ids = excluded.content_ids,
        cell = excluded.cell,
        reported_at = excluded.reported_at
), updated AS (
    UPDATE patterns_pattern AS pattern
    SET success_rate = weighed.rate, sample_count = samples, reported_at = %(now)s
    FROM weighed
    WHERE wish = {Wish.UPDATE} AND stays AND {_FITS}
        AND pattern.device_id = weighed.device_id
        AND pattern.pattern_id = weighed.pattern_id
), deleted AS (
    DELETE FROM patterns_pattern AS pattern
    USING weighed
    WHERE is_stored AND NOT stays AND {_FITS}
        AND pattern.device_id = weighed.device_id
        AND pattern.pattern_id = weighed.pattern_id
), saved AS (
    UPDATE shards_device AS device
    SET
        last_synced_at = %(now)s,
        local_version = CASE WHEN is_applied THEN sent_version
            ELSE decided.local_version END,
        delta_digest = CASE WHEN is_applied THEN sent_digest
            ELSE decided.delta_digest END,
        stored_count = CASE WHEN is_applied THEN sent_stored
            ELSE decided.stored_count END,
        filtered_count = CASE WHEN is_applied THEN now_filtered
            ELSE decided.filtered_count END,
        updated_count = CASE WHEN is_applied THEN now_updated
            ELSE decided.updated_count END,
        removed_count = CASE WHEN is_applied THEN now_removed
            ELSE decided.removed_count END,
        pattern_count = decided.pattern_count
            + CASE WHEN is_applied THEN growth ELSE 0 END
    FROM decided
    WHERE device.id = decided.id AND (is_applied OR is_replay)
), heard AS (
    SELECT
        last_synced_at AS previous_sync_at,
        CASE WHEN is_applied THEN growth ELSE 0 END AS pattern_delta
    FROM decided
    WHERE is_applied OR is_replay
), {statistics.RECORD_GROUP}
SELECT
    id, revoked_at, token_epoch, region, local_version, delta_digest, is_applied,
    CASE WHEN is_applied THEN sent_stored ELSE stored_count END,
    CASE WHEN is_applied THEN now_filtered ELSE filtered_count END,
    CASE WHEN is_applied THEN now_updated ELSE updated_count END,
    CASE WHEN is_applied THEN now_removed ELSE removed_count END,
    pattern_count + CASE WHEN is_new THEN growth ELSE 0 END
FROM decided
"""

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")

#: Of ``group_columns.parameters``, ``statistics.group_parameters`` and the limits.
PARAMETERS = tuple(dict.fromkeys(_PLACEHOLDER.findall(_NAMED)))

#: Takes the ``PARAMETERS`` in their order, and gives rows of ``groups.Outcome``. With
#: ``raw_cursor``.
STATEMENT = _PLACEHOLDER.sub(lambda found: f"${PARAMETERS.index(found[1]) + 1}", _NAMED)
