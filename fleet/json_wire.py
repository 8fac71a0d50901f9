"""The wire for people: JSON, with every float32 of a vector written in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from fleet.errors import UnreadableReply, json_of
from fleet.news import News, Reply, attempt
from fleet.wire import (
    EMBEDDING_DIMENSIONS,
    Changes,
    Context,
    Enrolled,
    Enrolment,
    Growth,
    LearnedPattern,
    Sync,
)


class JsonWire:
    """Says and hears names; needs nothing but the server."""

    media_type = "application/json"

    def write_enrolment(self, enrolment: Enrolment) -> bytes:
        body = {
            "enrolment_key": enrolment.enrolment_key,
            "device_id": str(enrolment.device_id),
            "model": enrolment.model,
            "firmware": enrolment.firmware,
        }
        if enrolment.region is not None:
            body["region"] = enrolment.region
        return orjson.dumps(body)

    def read_enrolment(self, content: bytes) -> Enrolled:
        reply = json_of(content)
        token, sync_url = reply.get("token"), reply.get("sync_url")
        if not token or not isinstance(token, str):
            raise UnreadableReply("no token in the reply", code="no_token")
        if not isinstance(sync_url, str | None):
            raise UnreadableReply(f"{sync_url} is no address to sync at")
        return Enrolled(token=token, sync_url=sync_url)

    def alike(self, patterns: Sequence[LearnedPattern]) -> Sequence[LearnedPattern]:
        return patterns

    def write_delta(self, changes: Changes) -> bytes:
        return orjson.dumps(
            {
                "patterns_added": [_addition(each) for each in changes.added],
                "patterns_updated": [_update(each) for each in changes.grown],
                "patterns_removed": [str(each) for each in changes.removed],
                "local_version": changes.local_version,
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )

    def write_sync(self, sync: Sync) -> bytes:
        body = {
            "device_id": str(sync.device_id),
            "delta": orjson.Fragment(sync.delta),
            "base_version": sync.base_version,
        }
        if sync.global_version is not None:
            body["global_version"] = sync.global_version
        return orjson.dumps(body)

    def read_sync(self, content: bytes) -> Reply:
        reply = json_of(content)
        try:
            accepted = {name: int(n) for name, n in reply["accepted"].items()}
            local_version = int(reply["local_version"])
            next_sync_seconds = float(reply.get("next_sync_seconds") or 0)
            answer = reply["global"]
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise UnreadableReply(f"the reply lacks or garbles {exc}") from exc
        news, trouble = attempt(lambda: _news(answer))
        return Reply(
            accepted=accepted,
            local_version=local_version,
            resync=bool(reply.get("resync")),
            next_sync_seconds=next_sync_seconds or None,
            news=news,
            trouble=trouble,
        )


def _addition(pattern: LearnedPattern) -> dict[str, Any]:
    return {
        "id": str(pattern.id),
        "embedding": np.ascontiguousarray(pattern.embedding, np.float32),
        "success_rate": pattern.success_rate,
        "sample_count": pattern.watched_count,
        "context": _context(pattern.context)
        | {"content_ids": list(pattern.content_ids)},
    }


def _context(context: Context) -> dict[str, Any]:
    names = ("time_of_day", "day_of_week", "content_type")
    known = {n: value for n in names if (value := getattr(context, n)) is not None}
    return known | {"genre_hints": list(context.genre_hints)}


def _update(growth: Growth) -> dict[str, Any]:
    return {
        "id": str(growth.id),
        "new_success_rate": growth.success_rate,
        "additional_samples": growth.watched_count,
    }


def _news(answer: Mapping[str, Any]) -> News | None:
    """Read the ``global`` part; a TV that is up to date gets no lists."""
    if "similar" not in answer:
        return None
    similar = answer["similar"]
    return News(
        global_version=answer["global_version"],
        similar_embeddings=np.array(
            [each["embedding"] for each in similar], np.float16
        ).reshape(len(similar), EMBEDDING_DIMENSIONS),
        similar_success=np.array(
            [each["success_rate"] for each in similar], np.float32
        ),
        similar_contents=[tuple(each.get("content_ids", ())) for each in similar],
        trends=[
            (each["content_id"], float(each["trending_score"]))
            for each in answer.get("trending", ())
        ],
        links={
            each["content_id"]: [(other, float(w)) for other, w in each["related"]]
            for each in answer.get("links", ())
        },
    )
