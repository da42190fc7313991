"""What tests of the page share: a real browser, a page that is watched, and a server."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Page,
        Request,
        ViewportSize,
        WebSocket,
    )

NAMES = ("chromium", "chromium-browser", "google-chrome")
REMEDY = "install Debian's chromium: apt install chromium; or set NITAL_CHROMIUM"
SCREEN: "ViewportSize" = {"width": 1280, "height": 800}
PATIENCE = 30
"""Seconds that a server has until it answers."""


def find_chromium() -> str | None:
    """The path of a Chromium: what NITAL_CHROMIUM names, or else the first on the PATH."""
    named = os.environ.get("NITAL_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


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


def watch(page: "Page") -> list[str]:
    """A list that grows with each error in a page, and with each request to elsewhere."""
    complaints: list[str] = []

    def hear(message: "ConsoleMessage") -> None:
        if message.type == "error":
            complaints.append(f"console: {message.text}")

    def check(request: "Request | WebSocket") -> None:
        address = urlsplit(request.url)
        is_here = address.hostname in ("127.0.0.1", "localhost")
        if not is_here and address.scheme not in ("data", "blob"):
            complaints.append(f"asked for {request.url}")

    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on("console", hear)
    page.on("request", check)
    page.on("websocket", check)
    return complaints


@contextmanager
def server(
    command: Sequence[str], url: str, **variables: str
) -> "Iterator[subprocess.Popen[bytes]]":
    """Runs a command whose server answers at a URL; shows its output if it never does."""
    # By these variables NiceGUI would take the server for a test of its own.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | variables
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)  # that of a script of the tests
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            wait_for(process, url)
            yield process
        finally:
            ended = process.poll()
            process.terminate()
            said, _ = process.communicate(timeout=PATIENCE)
            print(said.decode(errors="replace"))  # shown by pytest if a test fails
            if ended is not None:
                print(f"it had ended by itself, with {ended}")


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def nital_app(sessions: Path, port: int, *options: object) -> "Iterator[subprocess.Popen[bytes]]":
    """Serves the local page, which keeps its sessions in a folder, at a port."""
    command = [sys.executable, "-m", "nital", "app", "--no-browser", "--port", str(port)]
    url = f"http://127.0.0.1:{port}/not-there"  # the page itself would start a session
    with server([*command, *map(str, options)], url, NITAL_SESSIONS=str(sessions)) as process:
        yield process


def wait_for(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Returns when the server answers, whatever it answers."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE):
                return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    process.terminate()
    said, _ = process.communicate(timeout=PATIENCE)
    raise AssertionError(f"no answer from {url}:\n{said.decode(errors='replace')}")
