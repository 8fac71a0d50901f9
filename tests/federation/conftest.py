"""What tests of rounds share; those of the kernels need no database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from federation.models import FederationRound


@pytest.fixture
def low_thresholds(settings):
    """Low enough for some dozen TVs on two shards."""
    settings.MIN_DEVICES_PER_PATTERN = 5
    settings.MIN_SOURCE_COUNT = 2


@pytest.fixture
def run_out():
    """Let the lease of a round whose process is gone run out."""

    def run_out() -> None:
        FederationRound.objects.filter(status="running").update(
            # The database's clock, by which leases run.
            lease_until=Now() - timedelta(seconds=1)
        )

    return run_out
