"""A real browser, for the tests that ask for one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from helpers.browser import REMEDY, SCREEN, find_chromium, watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page


# Not for the whole session: while Playwright is at work no other test can call asyncio.run.
@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A headless browser; tests that ask for it are skipped where there is none."""
    reason = f"Playwright is not installed: pip install playwright; then {REMEDY}"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(f"no browser: {REMEDY}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: "Browser") -> "Iterator[BrowserContext]":
    """A browser that keeps what it has loaded: scripts are asked for once."""
    context = browser.new_context(viewport=SCREEN)
    yield context
    context.close()


@pytest.fixture
def page(context: "BrowserContext") -> "Iterator[Page]":
    """An empty page; fails on complaints of `watch`."""
    page = context.new_page()
    complaints = watch(page)
    yield page
    page.close()
    assert not complaints
