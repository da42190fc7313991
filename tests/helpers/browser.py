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

if TYPE_CHECKING:
    from playwright.sync_api import (
        ConsoleMessage,
        Page,
        Request,
        ViewportSize,
        WebSocket,
    )

SMALL_APP = Path(__file__).with_name("small_app.py")
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first needs an eighth less time."""
REMEDY = "install one, on Debian: apt install chromium-headless-shell; or set NITAL_CHROMIUM"
SCREEN: "ViewportSize" = {"width": 1280, "height": 800}
PATIENCE = 30
"""Seconds that a server has until it answers."""


def find_chromium() -> str | None:
    """The path of a Chromium: what NITAL_CHROMIUM names, or else the first on the PATH."""
    named = os.environ.get("NITAL_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


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
    command = [sys.executable, str(SMALL_APP), "app", "--no-browser", "--port", str(port)]
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
