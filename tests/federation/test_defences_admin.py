"""What didn't fit the rest, and what is under quarantine, in the console."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import ADDITION, DELETION, LogEntry

from federation.models import FederationRound, Quarantine
from shards.services.operators import Role
from tests.console import add_round, logged_in

pytestmark = pytest.mark.django_db

QUARANTINE = "/admin/federation/quarantine/"


@pytest.fixture
def told():
    made = add_round(status=FederationRound.Status.PUBLISHED)
    FederationRound.objects.filter(pk=made.pk).update(
        pattern_count=100,
        defences={
            "left_out_batches": [41, 42],
            "left_out_of_cells": [[7, 43]],
            "held_cells": [11],
        },
    )
    return made


def test_round_page_names_what_did_not_fit(client, told):
    viewer = logged_in(client, Role.VIEWER)

    page = viewer.get(f"/admin/federation/federationround/{told.pk}/change/")

    text = page.content.decode()
    assert "2 enrolment batches left out" in text
    assert "41, 42" in text
    assert "7 (43)" in text
    assert "1 cells held where they were" in text


def test_overview_warns_of_batches_but_not_of_the_usual_few_cells(client, told):
    viewer = logged_in(client, Role.VIEWER)

    text = viewer.get("/admin/").content.decode()

    assert "2 enrolment batches left out" in text
    assert "held where they were" not in text


def test_operators_put_under_quarantine_and_let_out_and_both_are_logged(client):
    operator = logged_in(client, Role.OPERATOR)
    facts = {"kind": "cell", "name": "0017", "reason": "odd"}

    operator.post(f"{QUARANTINE}add/", facts)
    row = Quarantine.objects.get()
    operator.post(f"{QUARANTINE}{row.pk}/delete/", {"post": "yes"})

    assert (row.kind, row.name, row.reason) == ("cell", "17", "odd")
    assert not Quarantine.objects.exists()
    flags = LogEntry.objects.order_by("pk").values_list("action_flag", flat=True)
    assert list(flags) == [ADDITION, DELETION]


def test_what_is_nothing_of_its_kind_is_refused_on_the_form(client):
    operator = logged_in(client, Role.OPERATOR)

    page = operator.post(f"{QUARANTINE}add/", {"kind": "device", "name": "vega-1"})

    assert "a TV is named by its UUID" in page.content.decode()
    assert not Quarantine.objects.exists()


def test_viewers_look_and_change_nothing(client):
    Quarantine.objects.create(kind="content", name="film-9")
    viewer = logged_in(client, Role.VIEWER)

    assert "film-9" in viewer.get(QUARANTINE).content.decode()
    assert viewer.get(f"{QUARANTINE}add/").status_code == 403
