"""How quick the page is: first picture, result, answers while it computes, frames, memory.

    python benchmarks/page.py [--side 1000] [--large 8000] [--uploads 50]

A real page in headless Chromium, which draws on the same two cores as nital computes: on a desktop
with a graphics card it is quicker. docs/bench.md has the table.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import tifffile
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from nital.image.synthetic import synthesize

WAIT = 600_000
FRACTIONS = {"ferrite": 0.65, "pearlite": 0.35}
REPEATS = 3
LEARNING_SIDE, LEARNING = 256, 15.0
"""Paper mode is watched on a micrograph of so many pixels a side, for so many seconds."""


@contextmanager
def served(sessions: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a page, and the process that serves it."""
    command = [sys.executable, "-m", "nital", "app", "--no-browser"]
    environment = os.environ | {"NITAL_SESSIONS": str(sessions)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        yield app.stdout.readline().split()[3], psutil.Process(app.pid)
        app.terminate()


def write_image(path: Path, side: int) -> Path:
    """A synthetic micrograph, laid side by side with itself where it is large."""
    tile = synthesize((1000, 1000), FRACTIONS, grain_size=40, seed=0).image
    times = -(-side // 1000)
    pixels = np.tile(np.round(255 * tile).astype(np.uint8), (times, times))[:side, :side]
    tifffile.imwrite(path, pixels)
    return path


def open_image(page: Page, address: str, path: Path, side: int) -> float:
    """Seconds from choosing a file to seeing it."""
    page.goto(address)
    page.get_by_role("tab", name="1 Open").wait_for()
    page.wait_for_timeout(2000)  # the workers are loading
    start = time.perf_counter()
    page.set_input_files("input[type=file]", path)
    page.get_by_text(f"{side:,} × {side:,}").wait_for(timeout=WAIT)
    page.locator('[data-ready="true"]').wait_for(timeout=WAIT)
    return time.perf_counter() - start


def segment(page: Page) -> dict[str, float]:
    """Seconds from pressing the button to the first map and to the result; frames; answers."""
    page.get_by_role("tab", name="2 Segment").click()
    page.wait_for_timeout(500)
    return follow(page, WAIT)


def learn(page: Page) -> dict[str, float]:
    """The same in paper mode, for a while; and seconds from pressing Stop to its end."""
    page.get_by_role("tab", name="2 Segment").click()
    page.get_by_text("More settings").click()
    page.get_by_label("Mode", exact=True).click()
    page.get_by_role("option", name="paper").click()
    page.wait_for_timeout(500)
    found = follow(page, LEARNING)
    rate = (found["frames"] - 1) / (found.pop("result") - found["first"])
    start = time.perf_counter()
    page.get_by_role("button", name="Stop").click()
    page.locator(".nital-progress").wait_for(state="hidden")
    return found | {"frames a second": rate, "stopped after": time.perf_counter() - start}


def follow(page: Page, seconds: float) -> dict[str, float]:
    """Press the button, and watch until there are classes, or for so many seconds."""
    before = int(page.locator("[data-frames]").get_attribute("data-frames") or 0)
    start = time.perf_counter()
    page.get_by_role("button", name="Segment", exact=True).click()
    first, answers = float("nan"), []
    done = page.get_by_role("button", name="Assign fine classes one by one")
    frames = before
    while not done.is_visible() and time.perf_counter() < start + seconds:
        asked = time.perf_counter()
        with urllib.request.urlopen(f"{page.url}/live") as answer:
            answer.read()
        answers.append(time.perf_counter() - asked)
        frames = int(page.locator("[data-frames]").get_attribute("data-frames") or 0)
        if frames > before and np.isnan(first):
            first = time.perf_counter() - start
        page.wait_for_timeout(50)
    result = time.perf_counter() - start
    return {
        "first": result if np.isnan(first) else first,
        "result": result,
        "frames": frames - before,
        "answer": float(np.median(answers)),
        "slowest answer": max(answers),
    }


def slide(page: Page) -> float:
    """Seconds from a key on the slider of k to the picture redrawn."""
    slider = page.get_by_role("slider", name="Number of classes")
    canvas = "() => document.querySelector('canvas').toDataURL().length"
    slider.locator("[tabindex='0']").focus()  # Quasar keeps role and focus apart
    times = []
    for _ in range(6):
        old = page.evaluate(canvas)
        start = time.perf_counter()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"old => ({canvas})() !== old", arg=old, polling="raf")
        times.append(time.perf_counter() - start)
        page.wait_for_timeout(300)
    return float(np.median(times))


def memory(process: psutil.Process) -> float:
    """MB of the server and its workers."""
    each = [process, *process.children(recursive=True)]
    return sum(one.memory_info().rss for one in each) / 1e6


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--large", type=int, default=8000)
    parser.add_argument("--uploads", type=int, default=50)
    given = parser.parse_args()
    chromium = os.environ.get("NITAL_CHROMIUM") or shutil.which("chromium")
    table = Table("what", "measured")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        with served(folder / "sessions") as (address, process):
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
            )
            for side in (given.side, given.large):
                path = write_image(folder / f"{side}.tif", side)
                for _ in range(REPEATS if side == given.side else 1):
                    page = browser.new_page(viewport={"width": 1280, "height": 800})
                    opened = open_image(page, address, path, side)
                    found = segment(page)
                    told = ", ".join(f"{key} {value:.3g}" for key, value in found.items())
                    table.add_row(f"{side} x {side}", f"open {opened:.2f} s, {told}")
                    table.add_row("", f"slider to picture {1000 * slide(page):.0f} ms")
                    page.close()
            path = write_image(folder / "learning.tif", LEARNING_SIDE)
            for _ in range(REPEATS):
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                open_image(page, address, path, LEARNING_SIDE)
                told = ", ".join(f"{key} {value:.3g}" for key, value in learn(page).items())
                table.add_row(f"paper mode, {LEARNING_SIDE} x {LEARNING_SIDE}", told)
                page.close()
            table.add_row("memory so far", f"{memory(process):.0f} MB")
            path = write_image(folder / "small.tif", 500)
            page = browser.new_page()
            page.goto(address)
            page.get_by_role("tab", name="1 Open").wait_for()
            for i in range(given.uploads):
                page.set_input_files("input[type=file]", path)
                page.get_by_text("500 × 500").nth(i).wait_for(timeout=WAIT)
                if i in (9, given.uploads - 1):
                    table.add_row(f"memory after {i + 1} uploads", f"{memory(process):.0f} MB")
            browser.close()
    load = os.getloadavg()[0]
    Console().print(f"{os.cpu_count()} cores, load {load:.1f}", table)


if __name__ == "__main__":
    main()
