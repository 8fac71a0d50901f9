"""What can go wrong between a TV and its server; ``code`` says why, for counting."""

from __future__ import annotations

from typing import Any

import httpx
import orjson


class FleetError(Exception):
    """A sync that came to nothing."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class GaveUp(FleetError):
    """Tried as often as the back-off allows. What was owed is still owed."""

    def __init__(self, message: str, *, code: str, is_answered: bool) -> None:
        super().__init__(message, code=code)
        #: Whether somebody is there, who says "not now".
        self.is_answered = is_answered


class Refused(FleetError):
    """The server understood, and says no."""

    def __init__(self, response: httpx.Response) -> None:
        self.problem = problem_of(response)
        self.status = response.status_code
        self.field: str | None = self.problem.get("field")
        detail = self.problem.get("detail") or self.problem.get("title") or ""
        super().__init__(
            f"{self.status} {detail}".strip(),
            code=str(self.problem.get("code") or f"http_{self.status}"),
        )


class UnreadableReply(FleetError):
    """An answer that isn't what the contract says."""

    def __init__(self, message: str, *, code: str = "unreadable_reply") -> None:
        super().__init__(message, code=code)


def json_of(content: bytes) -> dict[str, Any]:
    """Parse an object; raises UnreadableReply for anything else."""
    try:
        reply = orjson.loads(content)
    except orjson.JSONDecodeError as exc:
        raise UnreadableReply(f"the reply isn't JSON: {exc}") from exc
    if not isinstance(reply, dict):
        raise UnreadableReply("the reply isn't an object")
    return reply


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """Return what the server says went wrong; empty if that isn't a problem+json."""
    try:
        return json_of(response.content)
    except UnreadableReply:
        return {}
