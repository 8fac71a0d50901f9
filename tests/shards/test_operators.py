from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from rest_framework.authtoken.models import Token

from shards.exceptions import NameTaken
from shards.services import operators
from shards.services.operators import Role

pytestmark = pytest.mark.django_db


def may(role: Role, permission: str) -> bool:
    name = f"{role}-{permission}"
    operators.create_operator(username=name, role=role)
    return User.objects.get(username=name).has_perm(permission)


@pytest.mark.parametrize(
    ("permission", "viewer", "operator", "administrator"),
    [
        ("shards.view_shard", True, True, True),
        ("federation.view_trend", True, True, True),
        ("shards.change_shard", False, True, True),  # drain it
        ("shards.delete_device", False, True, True),  # forget a TV
        ("patterns.add_content", False, True, True),
        ("shards.delete_shard", False, False, True),
        ("auth.add_user", False, False, True),
        ("authtoken.add_tokenproxy", False, False, True),
    ],
)
def test_what_each_role_may_do(permission, viewer, operator, administrator):
    allowed = [may(role, permission) for role in Role]

    assert allowed == [viewer, operator, administrator]


def test_every_permission_of_an_operator_exists():
    """A misspelt one would be left out without a word."""
    for app, codename in operators.OPERATOR_PERMISSIONS:
        assert Permission.objects.filter(
            content_type__app_label=app, codename=codename
        ).exists(), codename


def test_roles_are_made_where_no_permission_exists_yet():
    Permission.objects.all().delete()

    operators.create_operator(username="vera", role=Role.VIEWER)

    assert User.objects.get(username="vera").has_perm("shards.view_shard")


def test_an_operator_can_log_in():
    credentials = operators.create_operator(username="vera", role=Role.VIEWER)

    user = authenticate(username="vera", password=credentials.password)
    assert user is not None
    assert user.is_staff
    assert Token.objects.get(key=credentials.token).user == user


def test_an_existing_operator_is_not_made_twice():
    operators.create_operator(username="vera", role=Role.VIEWER)

    with pytest.raises(NameTaken, match="called vera"):
        operators.create_operator(username="vera", role=Role.VIEWER)


def test_ensuring_an_operator_makes_one():
    credentials = operators.ensure_operator(username="vera", role=Role.ADMINISTRATOR)

    assert authenticate(username="vera", password=credentials.password)


def test_ensuring_again_keeps_password_and_token():
    first = operators.ensure_operator(username="vera", role=Role.VIEWER)

    again = operators.ensure_operator(username="vera", role=Role.VIEWER)

    assert again.password is None
    assert again.token == first.token
    assert authenticate(username="vera", password=first.password)


def test_ensuring_with_a_password_sets_it():
    operators.ensure_operator(username="vera", role=Role.VIEWER)

    operators.ensure_operator(username="vera", role=Role.VIEWER, password="one-I-know")

    assert authenticate(username="vera", password="one-I-know")


def test_the_command_prints_what_a_machine_needs():
    out = StringIO()

    call_command("operator", "create", "vera", "--role", "viewer", "--json", stdout=out)

    facts = json.loads(out.getvalue())
    assert set(facts) == {"username", "password", "token"}
    assert authenticate(username="vera", password=facts["password"])


def test_the_command_names_the_roles_there_are():
    with pytest.raises(CommandError, match=r"viewer.*operator.*administrator"):
        call_command("operator", "create", "vera", "--role", "king")
