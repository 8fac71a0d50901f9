"""What the operator reads once everything runs."""

from __future__ import annotations

from django.urls import reverse

from constellation_site import embedded, environment
from constellation_site.up.options import DEMO_DEVICES_PER_PATTERN, Options
from constellation_site.up.preparation import Login


def text(options: Options, login: Login, seconds: float) -> str:
    rows = [
        ("Console", f"{options.rest_url}{reverse('admin:index')}"),
        ("Login", _login(login)),
        ("gRPC", options.grpc_target),
        ("Metrics", options.metrics_url),
        ("Try", f"curl {options.rest_url}/api/v1/info"),
        ("Data", _data(options)),
    ]
    if options.is_demo:
        rows.append(("Fleet", f"{options.demo_tvs} simulated TVs keep syncing"))
    if options.lowers_privacy_threshold:
        rows.append(("", "In so small a fleet what is published needs only"))
        rows.append(("", f"{DEMO_DEVICES_PER_PATTERN} TVs behind it, not 50"))
    lines = [f"  {label:<9}{value}" for label, value in rows]
    return "\n".join(
        [
            "",
            f"Constellation is ready ({seconds:.0f} s).",
            "",
            *lines,
            "",
            "Ctrl-C stops everything and keeps the data.",
            "",
        ]
    )


def _login(login: Login) -> str:
    if login.password is None:
        change = f"manage.py changepassword {login.username}"
        return f"{login.username}, with the password you chose ({change})"
    return f"{login.username} / {login.password}"


def _data(options: Options) -> str:
    if environment.raw("POSTGRES_URL"):
        return "in the databases of POSTGRES_URL and SHARD_POSTGRES_URLS"
    root = embedded.place_of(options.home).root
    if root.is_relative_to(options.home):
        return str(options.home)
    return f"{options.home} and {root}"
