"""The page of the API in a real browser: complete, quiet, and offline."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from sync.schema.document import document, operations_of
from tests.site.test_console_browser import CHROMIUM_OPTIONS, PATIENCE_MILLISECONDS

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_page_shows_every_operation_and_asks_nobody_else(live_server):
    complaints: list[str] = []
    asked: list[str] = []

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=CHROMIUM_OPTIONS,
            timeout=PATIENCE_MILLISECONDS,
        )
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if message.type == "error" else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{live_server.url}/api/v1/docs")
        page.wait_for_selector(".opblock")
        shown = page.locator(".opblock").count()
        page.click("#operations-Sync-sync .opblock-summary-control")
        page.wait_for_selector("#operations-Sync-sync table.responses-table")
        story = page.inner_text("#operations-Sync-sync")
        browser.close()

    assert shown == len(operations_of(document()))
    assert "version_reused" in story
    assert "patterns_added" in story
    assert complaints == []
    assert [
        url
        for url in asked
        if urlsplit(url).scheme != "data" and urlsplit(url).hostname != "localhost"
    ] == []
