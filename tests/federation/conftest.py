"""What tests of rounds share; those of the kernels need no database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from federation import units
from federation.models import FederationRound, RoundUnit


@pytest.fixture(autouse=True)
def _databases_that_are_gone_stay_gone(monkeypatch):
    """No test waits for one to come back, unless it says so."""
    monkeypatch.setattr(units, "PAUSES_SECONDS", ())


@pytest.fixture
def low_thresholds(settings):
    """Low enough for some dozen TVs on two shards."""
    settings.MIN_DEVICES_PER_PATTERN = 5
    settings.MIN_SOURCE_COUNT = 2


@pytest.fixture
def run_out():
    """Let the leases of a process that is gone run out."""

    def run_out() -> None:
        # The database's clock, by which leases run.
        over = Now() - timedelta(seconds=1)
        FederationRound.objects.filter(status="running").update(lease_until=over)
        RoundUnit.objects.filter(status="claimed").update(lease_until=over)

    return run_out
