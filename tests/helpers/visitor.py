"""A visitor: somebody who works with a session of the page in a browser, and sees what it shows."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

WAIT = 30_000
"""Milliseconds that anything may take on a machine that is busy."""

BACKDROP = "#1b1d20"
STEPS = ("1 Open", "2 Segment", "3 Decide", "4 Measure", "5 Keep")

LEAST_CONTRAST = 4.5  # WCAG 2, level AA
LOW_CONTRAST = """least => {
    const channels = colour => {
        const found = colour.match(/^rgba?\\(([^)]+)\\)$/);
        return found && found[1].split(/[ ,/]+/).map(Number);
    };
    const over = ([r, g, b, alpha = 1], below) =>
        [r, g, b].map((value, i) => alpha * value + (1 - alpha) * below[i]);
    const linear = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const luminance = colour => {
        const [r, g, b] = colour.map(value => linear(value / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = {};
    for (const element of document.querySelectorAll("body *")) {
        const text = [...element.childNodes].map(
            each => each.nodeType === Node.TEXT_NODE ? each.textContent.trim() : "").join("");
        if (!text || !element.checkVisibility({ opacityProperty: true })) continue;
        if (element.closest("[disabled], .nital-viewer, .q-icon")) continue;
        const above = [];
        for (let each = element; each; each = each.parentElement) above.unshift(each);
        let [ground, opacity] = [[255, 255, 255], 1];
        for (const each of above) {
            const style = getComputedStyle(each);
            const colour = channels(style.backgroundColor);
            if (colour) ground = over(colour, ground);
            opacity *= Number(style.opacity);
        }
        const [r, g, b, alpha = 1] = channels(getComputedStyle(element).color) ?? [...ground, 1];
        const ink = over([r, g, b, alpha * opacity], ground);
        const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
        const contrast = (high + 0.05) / (low + 0.05);
        if (contrast < least) found[text] = contrast.toFixed(2);
    }
    return found;
}"""


@dataclass(frozen=True)
class Row:
    """A phase as the step `3 Decide` lists it."""

    name: str
    colour: str
    share: str


class Visitor:
    """Somebody who looks at a session and works with it."""

    def __init__(self, page: "Page", url: str) -> None:
        self.page = page
        page.set_default_timeout(WAIT)
        page.goto(url)
        page.wait_for_function("window.did_handshake")
        self.tab(STEPS[0]).wait_for()
        self.side = page.locator(".nital-side")
        self.canvas = page.locator(".nital-viewer canvas")
        self.progress = page.locator(".nital-progress")
        self.assign = page.get_by_role("button", name="Assign fine classes one by one")

    # -- where things are

    def tab(self, title: str) -> "Locator":
        return self.page.get_by_role("tab", name=title)

    def button(self, name: str) -> "Locator":
        return self.page.get_by_role("button", name=name, exact=True)

    def go(self, step: str) -> None:
        """To one of the `STEPS`."""
        self.tab(step).click()
        self.page.get_by_role("tab", name=step, selected=True).wait_for()

    def reads(self, text: str | re.Pattern[str]) -> None:
        """Waits until this stands somewhere on the page."""
        self.page.get_by_text(text).first.wait_for()

    def is_drawn(self) -> None:
        """Waits until all tiles in view are drawn."""
        self.page.wait_for_selector(".nital-viewer[data-ready=true]")

    def rests(self) -> None:
        """Waits until nothing moves or fades any more."""
        self.page.mouse.move(0, 0)
        self.wait("() => document.getAnimations().every(each => each.playState !== 'running')")

    # -- the steps

    def open(self, *paths: Path) -> None:
        """Chooses files, and waits until they are open."""
        sizes = self.side.get_by_text(re.compile(r"^[\d,]+ × [\d,]+$"))
        before = sizes.count()
        self.choose(*paths)
        sizes.nth(before + len(paths) - 1).wait_for()
        self.is_drawn()

    def choose(self, *paths: Path) -> None:
        self.page.locator("input[type=file][multiple]").set_input_files(paths)

    def show(self, name: str) -> None:
        """Another micrograph."""
        self.go("1 Open")
        self.side.get_by_role("button", name=name, exact=True).click()
        self.page.get_by_role("application", name=f"Micrograph {name}.").wait_for()
        self.is_drawn()

    def segment(self) -> None:
        """Presses the button, and waits for the classes."""
        self.start()
        self.assign.wait_for()
        self.is_drawn()

    def start(self) -> None:
        self.go("2 Segment")
        self.button("Segment").click()

    def call(self, number: int, name: str) -> None:
        """Names a class, and waits until the rows are those with the name."""
        self.page.get_by_label(f"Name of class {number}").fill(name)
        self.page.keyboard.press("Enter")
        self.button(f"Light up {name}").wait_for()

    def choose_from_menu(self, called: str, item: str) -> None:
        self.button(f"More for {called}").click()
        self.page.get_by_text(item, exact=True).click()

    def look(self, view: str) -> None:
        """At the original, the overlay, the classes, or how sure they are."""
        self.button(view).click()
        self.page.get_by_role("button", name=view, exact=True, pressed=True).wait_for()

    def keep(self, title: str, folder: Path) -> Path:
        """Presses a button of the last step; what comes of it."""
        self.go("5 Keep")
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name=title).click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    # -- keys

    def tab_to(self, name: str) -> None:
        """Presses Tab until the focus is on what has this name."""
        seen = []
        for _ in range(60):
            self.page.keyboard.press("Tab")
            seen.append(self.focused())
            if name in seen[-1]:
                return
        raise AssertionError(f"no {name!r} in the order of Tab: {seen}")

    def focused(self) -> str:
        """The name of what has the focus; empty where nothing has."""
        return str(
            self.page.evaluate(
                """() => {
                    const { activeElement: here, body } = document;
                    if (here.role === "menu") return ""; // and not all of its items
                    const label = here.closest("[aria-label]")?.ariaLabel;
                    return here === body ? "" : here.ariaLabel || here.textContent.trim() || label;
                }"""
            )
        )

    # -- what is to be seen

    def rows(self, k: int) -> list[Row]:
        """The phases, once there are so many."""
        rows = self.wait(
            """k => {
                const swatches = [...document.querySelectorAll('[aria-label^="Colour of"]')];
                if (swatches.length !== k || swatches.some(each => !each.checkVisibility())) return;
                return swatches.map(each => {
                    const row = each.parentElement;
                    const name = row.querySelector("input").value;
                    const share = row.innerText.match(/<?[\\d.]+ %/)[0];
                    return [name, getComputedStyle(each).backgroundColor, share];
                });
            }""",
            k,
        )
        return [Row(name, hex_of(colour), share) for name, colour, share in rows]

    def shares(self) -> dict[str, float]:
        """How much of the micrograph has which colour on the canvas; of what is drawn sharp."""
        self.is_drawn()
        counts = self.page.evaluate(
            """() => {
                const canvas = document.querySelector(".nital-viewer canvas");
                const whole = [0, 0, canvas.width, canvas.height];
                const { data } = canvas.getContext("2d").getImageData(...whole);
                const counts = {};
                for (let i = 0; i < data.length; i += 4) {
                    const colour = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
                    counts[colour] = (counts[colour] ?? 0) + 1;
                }
                return counts;
            }"""
        )
        found = {f"#{int(colour):06x}": count for colour, count in counts.items()}
        found.pop(BACKDROP, None)
        total = sum(found.values())
        return {colour: count / total for colour, count in found.items()}

    def sees(self, rows: Sequence[Row]) -> None:
        """Waits until the canvas has just the colours of these phases, with their shares."""
        wanted: dict[str, float] = {}
        for row in rows:
            share = float(row.share.strip("<% ")) / 100
            wanted[row.colour] = wanted.get(row.colour, 0) + share
        until = time.monotonic() + WAIT / 1000
        while True:
            found = self.shares()
            # Screen pixels are no whole multiples of the micrograph's: 1 % for their rounding.
            if found.keys() == wanted.keys() and found == pytest.approx(wanted, abs=0.01):
                return
            assert time.monotonic() < until, f"{found} instead of {wanted}"
            self.page.wait_for_timeout(50)

    def point_of(self, colour: str) -> tuple[float, float]:
        """Somewhere on the canvas, well within a region of this colour."""
        return tuple(
            self.wait(
                """colour => {
                    const canvas = document.querySelector(".nital-viewer canvas");
                    const { left, top } = canvas.getBoundingClientRect();
                    const context = canvas.getContext("2d");
                    const [width, side] = [canvas.width, 9];
                    for (let y = 8; y < canvas.height - 8; y += 4)
                        for (let x = 8; x < width - 8; x += 4) {
                            if (document.elementFromPoint(left + x, top + y) !== canvas) continue;
                            const { data } = context.getImageData(x - 4, y - 4, side, side);
                            const pixels = data.filter((_, i) => i % 4 < 3);
                            if (pixels.every((value, i) => value === colour[i % 3]))
                                return [left + x, top + y];
                        }
                }""",
                list(bytes.fromhex(colour[1:])),
            )
        )

    def click_on(self, row: Row) -> None:
        """Clicks a region of a phase; the classes alone have to be shown."""
        self.is_drawn()
        self.page.mouse.click(*self.point_of(row.colour))

    def table(self, title: str = "phase") -> list[list[str]]:
        """The cells of the table whose first column has this title, without its head."""
        found = self.wait(
            """title => {
                const tables = [...document.querySelectorAll(".nital-side table")];
                const found = tables.find(each =>
                    each.checkVisibility() && each.rows[0]?.cells[0].textContent === title);
                return found && [...found.rows].map(
                    row => [...row.cells].map(cell => cell.textContent));
            }""",
            title,
        )
        return found[1:]

    def wait(self, script: str, value: object = None) -> Any:
        """What a script returns, once it is something."""
        return self.page.wait_for_function(script, arg=value, timeout=WAIT).json_value()

    def pale_texts(self, scheme: Literal["light", "dark"]) -> dict[str, str]:
        """Texts that are hard to read, with their contrast."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.wait_for_selector(f".body--{scheme}")
        self.rests()
        found: dict[str, str] = self.page.evaluate(LOW_CONTRAST, LEAST_CONTRAST)
        return found

    def tiles(self) -> list[str]:
        """A list that grows with each request for a tile."""
        asked: list[str] = []

        def note(request: "Request") -> None:
            if "/fields/" in request.url:
                asked.append(request.url)

        self.page.on("request", note)
        return asked


def hex_of(colour: str) -> str:
    return "#" + "".join(f"{int(each):02x}" for each in re.findall(r"\d+", colour)[:3])
