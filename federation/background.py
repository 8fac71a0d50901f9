"""A round run beside the request that asked for it.

A round takes from seconds to an hour, so nobody's browser waits for it: a thread of
the web process runs it, and its page tells how it goes. If the process ends meanwhile
the lease runs out, and whoever comes next goes on with the round.
"""

from __future__ import annotations

from threading import Thread

import structlog
from django.db import connections

from federation import rollback, rounds
from federation.models import FederationRound
from shards.exceptions import ConstellationError

log = structlog.get_logger(__name__)


def start_round() -> FederationRound:
    """Start a round, or go on with one left behind, and return its row.

    Raises what kept it from starting, ``RoundAlreadyRunning`` for one.
    """
    return _finishing(rounds.begin())


def start_roll_back(*, version: int) -> FederationRound:
    """Start publishing an earlier version again; also a round with a row."""
    return _finishing(rollback.begin(version=version))


def _finishing(told: FederationRound) -> FederationRound:
    Thread(target=_finish, args=(told,), name="federation-round", daemon=True).start()
    return told


def _finish(told: FederationRound) -> None:
    try:
        report = rounds.finish(told)
    except ConstellationError as exc:
        log.warning("round from the console ended early", problem=str(exc))
    except Exception:
        # Its row says that it stopped; the traceback belongs to the log.
        log.exception("round from the console failed")
    else:
        log.info("round from the console is over", status=report.status)
    finally:
        # They are this thread's own, and nobody else would close them.
        connections.close_all()
