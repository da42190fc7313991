"""Makes the pictures of docs/bench.md: a real page in a real browser, on the synthetic micrograph.

    python docs/make_screenshots.py

It needs the extra `dev` and Debian's `chromium-headless-shell`, or another Chromium that is named
in NITAL_CHROMIUM.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Error, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
WAIT = 60_000


def main() -> None:
    """Drive the page from an empty bench to a report."""
    chromium = os.environ.get("NITAL_CHROMIUM") or shutil.which("chromium-headless-shell")
    with tempfile.TemporaryDirectory() as sessions, sync_playwright() as playwright:
        command = [sys.executable, "-m", "nital", "app", "--no-browser"]
        environment = os.environ | {"NITAL_SESSIONS": sessions}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as app:
            assert app.stdout is not None
            address = app.stdout.readline().split()[3]
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
            )
            page = browser.new_page(viewport={"width": 1280, "height": 760})
            try:
                drive(page, address)
            finally:
                browser.close()
                app.terminate()


def drive(page: Page, address: str) -> None:
    """From an empty bench to figures, with a picture of each step."""
    for _ in range(50):  # the address is printed a moment before the page is there
        try:
            page.goto(address)
            break
        except Error:
            page.wait_for_timeout(200)
    page.get_by_role("button", name="Try a synthetic micrograph").click()
    page.get_by_text("1,024 × 768").wait_for(timeout=WAIT)
    page.get_by_label("Pixel size").fill("0.25 um")
    page.keyboard.press("Enter")
    page.get_by_text("1 pixel is 0.25 µm").wait_for()
    shoot(page, "open")
    page.get_by_role("tab", name="2 Segment").click()
    page.get_by_role("button", name="Segment", exact=True).click()
    page.get_by_role("button", name="Assign fine classes one by one").wait_for(timeout=WAIT)
    for number, name in ((1, "pearlite"), (3, "ferrite")):
        page.get_by_label(f"Name of class {number}").fill(name)
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
    shoot(page, "decide")
    page.get_by_role("button", name="Assign fine classes one by one").click()
    page.get_by_text("Fine class 1 of").wait_for()
    shoot(page, "assign")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="More for class 2").click()
    page.get_by_text("Join to pearlite").click()
    page.get_by_role("tab", name="4 Measure").click()
    page.get_by_role("button", name="Measure regions").click()
    page.get_by_text("A region is a connected piece").wait_for(timeout=WAIT)
    page.get_by_text("class 2 joined to pearlite").wait_for(state="hidden")
    shoot(page, "measure")
    page.get_by_role("button", name="How sure").click()
    page.get_by_text(re.compile(r"^mean \d+ %")).wait_for(timeout=WAIT)
    shoot(page, "sure")
    page.goto(address)
    page.get_by_role("button", name="Try a synthetic micrograph").click()
    page.get_by_text("1,024 × 768").wait_for(timeout=WAIT)
    page.get_by_role("tab", name="2 Segment").click()
    page.get_by_role("button", name="Segment", exact=True).click()
    page.get_by_text(" clusters").first.wait_for(timeout=WAIT)
    page.wait_for_function("Number(document.querySelector('[data-frames]').dataset.frames) > 1")
    page.screenshot(path=IMAGES / "bench-segment.jpg", type="jpeg", quality=82)


def shoot(page: Page, name: str) -> None:
    """Take a picture once all tiles are drawn."""
    page.locator('[data-ready="true"]').wait_for(timeout=WAIT)
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # animations of the controls
    page.screenshot(path=IMAGES / f"bench-{name}.jpg", type="jpeg", quality=82)


if __name__ == "__main__":
    main()
