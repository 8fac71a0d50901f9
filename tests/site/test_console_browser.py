"""The console in a real browser: drawn, quiet, offline, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, sync_playwright

from federation.models import GlobalPattern, Trend
from shards.models import Shard
from shards.services import operators
from shards.services.operators import Role
from tests.console import add_content, cell_of, publish, trend_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PASSWORD = "only for this test"
CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: A busy machine takes its time to draw a page.
PATIENCE_MILLISECONDS = 180_000
PAGES = [
    "/admin/",
    "/admin/shards/shard/",
    "/admin/shards/devicehome/",
    "/admin/federation/trend/",
    "/admin/federation/globalpattern/",
    "/admin/federation/federationround/",
]


@pytest.fixture
def fleet(vega, altair) -> None:
    """Two shards, a publication, trends that rise."""
    operators.create_operator(
        username="operator", role=Role.OPERATOR, password=PASSWORD
    )
    Shard.objects.update(observed_at=timezone.now(), is_reachable=True)
    add_content("tt1", "Alien", year=1979)
    for version in (1, 2):
        publish(version, published_at=timezone.now() - timedelta(minutes=9))
        trend_of(
            version,
            "tt1",
            kind="rising",
            score=0.4 * version,
            course=[0.01, 0.02, 0.05, 0.12],
            shard_ids=[vega.pk, altair.pk],
            shard_shares=[0.6, 0.4],
            shard_concentration=0.52,
            batch_ids=[7],
            batch_shares=[0.9],
            batch_concentration=0.81,
            carrying_batch=7,
        ).save()
    GlobalPattern.objects.bulk_create([cell_of(2, 7, content_ids=["tt1"])])
    assert Trend.objects.count() == 2


@pytest.fixture
def browser(live_server, fleet) -> Iterator[Browser]:
    # After the fleet: while Playwright's event loop runs, Django refuses the ORM.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=CHROMIUM_OPTIONS,
            timeout=PATIENCE_MILLISECONDS,
        )
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1440], ids=["phone", "desk"])
def test_console_is_quiet_and_offline_in_the_dark(browser, live_server, width):
    page = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme="dark"
    )
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    complaints: list[str] = []
    strangers: list[str] = []
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type == "error" else None
        ),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            strangers.append(request.url)
            if urlsplit(request.url).hostname not in {"localhost", None}
            else None
        ),
    )

    _log_in(page, live_server.url)
    too_wide = [path for path in PAGES if _overflows(page, live_server.url + path)]
    page.goto(f"{live_server.url}/admin/federation/trend/")
    page.click("th a:has-text('Alien')")
    page.wait_for_selector("text=Carried by batch 7")
    too_wide += [page.url] if _overflows(page, page.url) else []
    page.goto(live_server.url)

    assert page.inner_text(".cs-attention").startswith("storage")  # altair is full
    assert "Alien (1979)" in page.inner_text("#content")
    assert page.evaluate("document.documentElement.classList.contains('dark')")
    assert complaints == []
    assert strangers == []
    assert too_wide == []


def test_new_key_is_copied_with_one_click(browser, live_server):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    _log_in(page, live_server.url)
    page.goto(f"{live_server.url}/admin/shards/enrolmentbatch/add/")
    page.fill("#id_name", "Kitchens")
    page.click("button[name=_save]")

    page.click("text=Copy")

    page.wait_for_selector("text=Copied")
    key = page.inner_text("#enrolment-key")
    assert len(key) > 40
    assert page.evaluate("getSelection().toString()") == key


def _log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/admin/")
    page.fill("#id_username", "operator")
    page.fill("#id_password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#content")


def _overflows(page: Page, url: str) -> bool:
    """Whether the page itself, not a table within it, scrolls sideways."""
    page.goto(url)
    page.wait_for_load_state("networkidle")
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))
