"""Operators and what they may do.

A role is a group with Django's permissions, made when its first operator is, so that
the console, the API and Django's own pages ask the same question: ``has_perm``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.db import models, transaction
from django.db.models import Q
from rest_framework.authtoken.models import Token

from shards.databases import CONTROL_ALIAS
from shards.exceptions import NameTaken

PASSWORD_BYTES = 12

#: Apps whose models operators work with.
ROOMS = ("shards", "patterns", "federation")
#: What else an administrator takes care of: other operators and their tokens.
STAFF_APPS = ("auth", "authtoken", "admin")

#: What an operator may change; everything of the rooms may be looked at.
OPERATOR_PERMISSIONS = (
    ("shards", "change_shard"),
    ("shards", "add_enrolmentbatch"),
    ("shards", "change_enrolmentbatch"),
    ("shards", "change_device"),
    ("shards", "delete_device"),
    ("patterns", "add_content"),
    ("patterns", "change_content"),
    ("federation", "add_federationround"),
    ("federation", "change_federationround"),
    ("federation", "change_schedule"),
    ("federation", "add_quarantine"),
    ("federation", "delete_quarantine"),
)

#: Asked by the doors.
MAY_LOOK = "shards.view_shard"
MAY_FORGET_DEVICES = "shards.delete_device"


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    ADMINISTRATOR = "administrator", "Administrator"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """How an operator logs in."""

    username: str
    #: None if they keep one that nobody else knows.
    password: str | None
    #: For ``Authorization: Token …``.
    token: str


@transaction.atomic(using=CONTROL_ALIAS)
def create_operator(
    *, username: str, role: Role, password: str | None = None
) -> Credentials:
    """Make an operator; without a password they get a random one."""
    if User.objects.filter(username=username).exists():
        raise NameTaken(kind="operator", name=username)

    password = password or secrets.token_urlsafe(PASSWORD_BYTES)
    user = User.objects.create_user(username, password=password, is_staff=True)
    user.groups.add(_group(role))
    return _credentials(user, password)


@transaction.atomic(using=CONTROL_ALIAS)
def ensure_operator(
    *, username: str, role: Role, password: str | None = None
) -> Credentials:
    """Have an operator with this role, and with this password if one is given."""
    user = User.objects.filter(username=username).first()
    if user is None:
        return create_operator(username=username, role=role, password=password)

    user.groups.add(_group(role))
    if password is not None and not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return _credentials(user, password)


def _credentials(user: User, password: str | None) -> Credentials:
    token, _ = Token.objects.get_or_create(user=user)
    return Credentials(username=user.username, password=password, token=token.key)


def _group(role: Role) -> Group:
    """Return a role's group, with what it may do as of this version."""
    # Usually made by `migrate`, but not yet while several databases are migrated.
    for app in (*ROOMS, *STAFF_APPS):
        create_permissions(apps.get_app_config(app), verbosity=0, using=CONTROL_ALIAS)
    group, _ = Group.objects.get_or_create(name=role.label)
    group.permissions.add(*Permission.objects.filter(_permissions(role)))
    return group


def _permissions(role: Role) -> Q:
    of_rooms = Q(content_type__app_label__in=ROOMS)
    if role == Role.ADMINISTRATOR:
        return of_rooms | Q(content_type__app_label__in=STAFF_APPS)

    allowed = of_rooms & Q(codename__startswith="view_")
    if role == Role.OPERATOR:
        for app, codename in OPERATOR_PERMISSIONS:
            allowed |= Q(content_type__app_label=app, codename=codename)
    return allowed
