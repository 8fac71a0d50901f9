"""Errors as gRPC tells them: a status, and a ``Problem`` with all that REST says."""

from __future__ import annotations

from typing import Any

import grpc
import orjson
import structlog

from constellation.v1 import problem_pb2
from shards.exceptions import ConstellationError
from sync import problems

CODE_KEY = "code"
RETRY_AFTER_KEY = "retry-after"
PROBLEM_KEY = "constellation-problem-bin"

#: What follows from the code, and need not travel.
_IMPLIED = ("type", "title")

log = structlog.get_logger(__name__)


def known(exc: Exception) -> ConstellationError:
    """Say what a call raised in our own words; a bug is logged, and stays here."""
    error = problems.translated(exc, {})
    if error is None:
        log.error("a gRPC call failed", exc_info=exc)
        error = ConstellationError()
    return problems.complete(error)


def status(error: ConstellationError) -> grpc.StatusCode:
    return grpc.StatusCode[error.grpc_status]


def problem(error: ConstellationError) -> problem_pb2.Problem:
    """Write the members of problem+json; those without a field go into ``facts``."""
    message = problem_pb2.Problem()
    for name, value in problems.members(error).items():
        if name in _IMPLIED:
            continue
        if name != "facts" and name in message.DESCRIPTOR.fields_by_name:
            setattr(message, name, value)
        else:
            message.facts[name] = orjson.dumps(value, default=str).decode()
    return message


def trailing_metadata(error: ConstellationError) -> tuple[tuple[str, Any], ...]:
    message = problem(error)
    entries: list[tuple[str, Any]] = [
        (CODE_KEY, error.code),
        (PROBLEM_KEY, message.SerializeToString()),
    ]
    if message.retry_after_seconds:
        entries.append((RETRY_AFTER_KEY, str(message.retry_after_seconds)))
    return tuple(entries)
