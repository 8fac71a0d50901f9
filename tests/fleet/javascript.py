"""The JavaScript TV as a process, commanded line by line."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from django.conf import settings

from fleet.wire import LearnedPattern

HOME = Path(settings.BASE_DIR) / "fleet" / "javascript"


def node() -> str:
    found = shutil.which("node")
    assert found, "Node is missing: `make test` installs it where it may"
    assert (HOME / "node_modules").is_dir(), "`make test` installs what it depends on"
    return found


class JavaScriptError(Exception):
    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__(facts["message"])
        self.name = facts["name"]
        self.code = facts.get("code")
        self.status = facts.get("status")
        self.field = facts.get("field")


class JavaScriptTv:
    """Node with the driver; one command at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [node(), "test/driver.js"],
            cwd=HOME,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, command: str, **options: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        line = json.dumps({"command": command} | options)
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise JavaScriptError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End it as pulling the plug does."""
        self._process.kill()
        self._process.communicate()


def pattern_of(learned: LearnedPattern) -> dict[str, Any]:
    """Say in JavaScript's words what a brain learned."""
    context = learned.context
    words = {
        "timeOfDay": context.time_of_day,
        "dayOfWeek": context.day_of_week,
        "contentType": context.content_type,
        "genreHints": list(context.genre_hints),
    }
    return {
        "id": str(learned.id),
        "embedding": learned.embedding.tolist(),
        "watchedCount": learned.watched_count,
        "likedCount": learned.liked_count,
        "context": {name: value for name, value in words.items() if value},
        "contentIds": list(learned.content_ids),
    }
