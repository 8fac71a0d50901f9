"""Publications put on a database by hand, without a round."""

from __future__ import annotations

from federation import publish
from federation.publish import Edition
from federation.result import RoundResult
from tests.federation.test_publish import a_result, an_edition


def stage(alias: str, version: int, result: RoundResult | None = None) -> Edition:
    edition = an_edition(version, result or a_result(seed=version))
    publish.stage(alias, edition)
    return edition


def put_out(alias: str, version: int, result: RoundResult | None = None) -> None:
    edition = stage(alias, version, result)
    publish.flip(alias, version, edition.checksum)
