"""The schedule: made from a setting, changed by operators, asked whether one is due."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule

from federation import events, schedule, workers
from federation.models import FederationRound, Publication, Schedule
from shards.services import operators

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def begun(ago: timedelta) -> None:
    FederationRound.objects.create(
        status="abandoned", started_at=Now() - ago, lease_until=Now()
    )


@pytest.fixture
def published() -> None:
    """A version is out, so that no round waits for a first one."""
    Publication.objects.create(
        version=1,
        is_current=True,
        round_id=1,
        checksum="",
        pattern_count=1,
        trend_count=0,
        link_count=0,
        published_at=Now(),
    )


@pytest.fixture
def hourly(settings) -> Schedule:
    settings.FEDERATION_INTERVAL_SECS = 3600
    return schedule.ensure()


def console_of(role: operators.Role) -> Client:
    credentials = operators.create_operator(username="kepler", role=role)
    client = Client()
    client.force_login(User.objects.get(username=credentials.username))
    return client


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1, "every second"),
        (90, "every 90 seconds"),
        (3600, "every hour"),
        (172800, "every 2 days"),
    ],
)
def test_setting_becomes_an_interval_that_people_read(settings, seconds, told):
    settings.FEDERATION_INTERVAL_SECS = seconds

    assert str(schedule.ensure().interval) == told


def test_what_an_operator_set_outlives_a_restart(hourly):
    schedule.change(hourly, every=20, unit="minutes")

    assert str(schedule.ensure().interval) == "every 20 minutes"


def test_setting_that_is_changed_counts_again(hourly, settings):
    schedule.change(hourly, every=20, unit="minutes")
    settings.FEDERATION_INTERVAL_SECS = 7200

    assert str(schedule.ensure().interval) == "every 2 hours"


@pytest.mark.parametrize(("ago", "is_due"), [(HOUR * 0.9, False), (HOUR, True)])
def test_round_is_due_an_interval_after_the_last_began(published, hourly, ago, is_due):
    begun(ago)

    assert schedule.is_due() is is_due


def test_none_is_due_while_the_schedule_is_switched_off(published, hourly):
    begun(2 * HOUR)
    Schedule.objects.update(enabled=False)

    assert not schedule.is_due()


def test_first_round_waits_until_there_is_something(hourly):
    assert not schedule.is_due()


def test_times_of_day_count_as_well(published, hourly):
    hourly.interval = None
    hourly.crontab = CrontabSchedule.objects.create(minute="*")
    hourly.save()
    begun(timedelta(minutes=2))

    assert schedule.is_due()


def test_operator_sets_how_often_in_the_console(hourly):
    address = reverse("admin:federation_schedule_change", args=[hourly.pk])
    console = console_of(operators.Role.OPERATOR)

    answer = console.post(address, {"enabled": "on", "every": 90, "unit": "minutes"})

    assert answer.status_code == 302
    page = console.get(answer.headers["location"]).content.decode()
    assert "every 90 minutes" in page
    assert "Watch over rounds" not in page


def test_interval_of_nothing_is_refused(hourly):
    address = reverse("admin:federation_schedule_change", args=[hourly.pk])
    console = console_of(operators.Role.OPERATOR)

    answer = console.post(address, {"enabled": "on", "every": 0, "unit": "hours"})

    assert answer.status_code == 200
    hourly.refresh_from_db()
    assert str(hourly.interval) == "every hour"


def test_viewer_looks_at_the_schedule_and_changes_nothing(hourly):
    address = reverse("admin:federation_schedule_change", args=[hourly.pk])
    console = console_of(operators.Role.VIEWER)

    assert console.get(address).status_code == 200
    answer = console.post(address, {"enabled": "on", "every": 1, "unit": "days"})
    assert answer.status_code == 403


def test_workers_are_listed_in_the_console():
    workers.say_here(slots=3)

    page = console_of(operators.Role.VIEWER).get(
        reverse("admin:federation_worker_changelist")
    )

    assert workers.are_there()
    assert events.me() in page.content.decode()
