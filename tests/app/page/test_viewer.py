"""The viewer in a real browser: the right colours at the right places; picks, lines, keys, tiles.

Called as a script, this file is the server that the tests look at.
"""

import io
import json
import re
import socket
import sys
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from helpers.browser import SCREEN, server, watch

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Browser, Locator, Page, Request

ROWS, COLS = 900, 1300
LARGE = 4  # times as long and as wide
COLOURS = ("#d02040", "#20a060", "#3060d0")
GREY = {0: 40, 1: 80, 2: 120, 3: 160}
RUST = (200, 80, 40)
"""What the micrograph is like at the columns from 1200 on: a colour, of label 3."""


# ---- The server


def labels_at(rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[np.uint8]:
    """Stripes of 100 columns: 1, 2, 3, 0, 1, ...; the last one 3; and a single pixel of 2."""
    found = np.broadcast_to((cols // 100 + 1) % 4, (len(rows), cols.shape[1])).copy()
    found[:, cols[0] >= 1200] = 3
    found[(rows == 450) & (cols == 650)] = 2
    return found.astype(np.uint8)


def pixels_at(rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey by label, and a colour at the right edge."""
    grey = np.array(list(GREY.values()), np.uint8)[labels_at(rows, cols)]
    pixels = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    pixels[:, cols[0] >= 1200] = RUST
    return pixels


@cache
def tile(layer: str, size: int, level: int, row: int, col: int) -> bytes:
    """A tile of a micrograph that is `size` times as long and as wide."""
    rows = np.arange(0, ROWS * size, 2**level)[row * 512 : row * 512 + 512, np.newaxis] // size
    cols = np.arange(0, COLS * size, 2**level)[np.newaxis, col * 512 : col * 512 + 512] // size
    if layer == "labels":
        return labels_at(rows, cols).tobytes()
    if layer == "sure":
        return np.broadcast_to(cols * 100 // COLS, (len(rows), cols.size)).astype("u1").tobytes()
    file = io.BytesIO()
    Image.fromarray(pixels_at(rows, cols)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def serve(port: int) -> None:
    """Pages that /fresh puts a viewer on; /call calls its methods, /events tells what it sent."""
    from fastapi import Request, Response
    from nicegui import app, ui

    from nital.app.page.viewer import Cropped, Live, Pick, Shown, Source, Viewer, Wiped

    pages: dict[str, ui.element] = {}
    viewers: dict[str, Viewer] = {}
    events: list[Any] = []

    @ui.page("/")
    def index() -> None:
        ui.query(".nicegui-content").style("padding: 0; height: 100vh")
        pages[ui.context.client.id] = ui.element().style("width: 100%; height: 100%")

    @app.post("/fresh/{client}")
    async def fresh(client: str) -> str:
        events.clear()
        pages[client].clear()
        with pages[client]:
            viewer = Viewer(on_pick=picked, on_wipe=wiped, on_crop=cropped)
        viewer.show(Source("/small", ROWS, COLS, 0.05, "made", 1, 1, 1))
        viewer.set_classes([Shown(each, f"class {i}", i % 2) for i, each in enumerate(COLOURS, 1)])
        viewers[client] = viewer
        return viewer.html_id

    def picked(event: Pick) -> None:
        events.append([event.label, event.phase, event.row, event.col, event.shift, event.ctrl])

    def wiped(event: Wiped) -> None:
        events.append(event.share)

    def cropped(event: Cropped) -> None:
        events.append(event.rows)

    @app.post("/call/{client}/{method}")
    async def call(client: str, method: str, request: Request) -> None:
        kinds = {"show": Source, "set_live": Live}
        value = json.loads(await request.body())
        if method == "set_classes":
            value = [Shown(**each) for each in value]
        elif value and method in kinds:
            value = kinds[method](**value)
        getattr(viewers[client], method)(value)

    @app.get("/events")
    async def get_events() -> list[Any]:
        return events

    @app.get("/live/{frame}")
    async def live(frame: int) -> Response:
        return Response(bytes([frame % 3, 1]))

    @app.get("/{name}/{layer}/{level}/{row}/{col}")
    def get_tile(name: str, layer: str, level: int, row: int, col: int) -> Response:
        sizes = {"small": 1, "large": LARGE}
        found = tile(layer, sizes[name], level, row, col) if name in sizes else b"nothing"
        return Response(found, media_type="application/octet-stream")

    ui.run(host="127.0.0.1", port=port, show=False, reload=False, tailwind=False)


# ---- The tests


@pytest.fixture(scope="module")
def address(browser: "Browser") -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with server([sys.executable, __file__, str(port)], f"{url}/events"):
        yield url


class Shows:
    """A page with a new viewer on it, and what to do with it."""

    def __init__(self, page: "Page", address: str) -> None:
        self.page, self.address = page, address
        self.client = page.evaluate("window.clientId")
        self.tiles: list[str] = []
        self.n_events = 0
        viewer = self.post(f"fresh/{self.client}").json()
        self.viewer = page.locator(f"#{viewer}")
        self.canvas = page.locator(f"#{viewer} canvas")
        self.status = page.locator(f"#{viewer} .nital-viewer-status")
        page.wait_for_selector(f"#{viewer}[data-ready=true]")

    def note(self, request: "Request") -> None:
        if "?v=" in request.url:
            self.tiles.append(request.url.removeprefix(self.address))

    def ready(self) -> None:
        self.page.wait_for_selector(".nital-viewer[data-ready=true]")

    def post(self, what: str, value: object = None) -> "APIResponse":
        reply = self.page.request.post(f"{self.address}/{what}", data=json.dumps(value))
        assert reply.ok
        return reply

    def call(self, method: str, value: object) -> None:
        self.post(f"call/{self.client}/{method}", value)

    def event(self) -> Any:
        """The next one that the server was sent."""
        self.n_events += 1
        for _ in range(200):
            events = self.page.request.get(f"{self.address}/events").json()
            if len(events) >= self.n_events:
                return events[self.n_events - 1]
            self.page.wait_for_timeout(10)
        raise AssertionError("no event")

    def sees(
        self, point: tuple[float, float], colour: tuple[int, ...], ready: str = "true"
    ) -> None:
        """Waits until a point of the canvas has this colour, but for rounding."""
        script = """([x, y, colour, ready]) => {
            const root = document.querySelector(".nital-viewer");
            const context = root.querySelector("canvas").getContext("2d");
            const at = [x * devicePixelRatio, y * devicePixelRatio];
            const found = [...context.getImageData(...at, 1, 1).data.slice(0, 3)];
            const isReady = root.dataset.ready === ready;
            window.seen = `${found} at ${x}, ${y} instead of ${colour}, ready: ${isReady}`;
            return isReady && found.every((value, i) => Math.abs(value - colour[i]) <= 1);
        }"""
        self.wait(script, [*point, list(colour), ready])

    def says(self, text: str) -> None:
        """Waits until the status line says this."""
        script = """text => {
            window.seen = document.querySelector(".nital-viewer-status").textContent;
            return window.seen === text;
        }"""
        self.wait(script, text)

    def measures(self, text: str) -> None:
        """Waits until this stands at the scale bar, and all is drawn."""
        script = """text => {
            window.seen = document.querySelector(".nital-viewer-scale").innerText.trim();
            const { ready } = document.querySelector(".nital-viewer").dataset;
            return window.seen === text && ready === "true";
        }"""
        self.wait(script, text)

    def wait(self, script: str, value: object) -> None:
        from playwright.sync_api import TimeoutError as NotSeen

        try:
            self.page.wait_for_function(script, arg=value, timeout=3000)
        except NotSeen:
            raise AssertionError(self.page.evaluate("window.seen")) from None

    def press(self, *keys: str) -> None:
        """Presses keys while the canvas has the focus."""
        self.canvas.focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.ready()


@pytest.fixture(scope="module")
def tab(browser: "Browser", address: str) -> "Iterator[Page]":
    """A page that all tests but one use, for it takes a second to load."""
    context = browser.new_context(viewport=SCREEN)
    yield opened(context.new_page(), address)
    context.close()


def opened(page: "Page", address: str) -> "Page":
    page.goto(address)
    page.wait_for_function("window.did_handshake")
    return page


@pytest.fixture
def shown(tab: "Page", address: str) -> Iterator[Shows]:
    complaints = watch(tab)
    tab.set_viewport_size(SCREEN)
    tab.mouse.move(0, 0)
    shown = Shows(tab, address)
    tab.on("request", shown.note)
    yield shown
    tab.remove_listener("request", shown.note)
    tab.unroute_all(behavior="ignoreErrors")
    assert not complaints


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def mixed(below: tuple[int, ...], above: tuple[int, ...], opacity: float) -> tuple[int, ...]:
    return tuple(round(b + (a - b) * opacity) for a, b in zip(above, below, strict=True))


def grey(label: int) -> tuple[int, ...]:
    return (GREY[label],) * 3


FIT = 800 / 900
"""Screen pixels a pixel of the whole micrograph: it fills the height of 800."""


def at(row: float, col: float) -> tuple[float, float]:
    """Where a pixel is on the screen when all of the micrograph is shown."""
    return 640 + (col + 0.5 - COLS / 2) * FIT, 400 + (row + 0.5 - ROWS / 2) * FIT


def test_modes_have_their_colours(shown: Shows) -> None:
    shown.call("set_mode", "original")
    for label, col in ((1, 50), (2, 150), (3, 250), (0, 350)):
        shown.sees(at(200, col), grey(label))
    shown.sees(at(200, 1250), RUST)

    shown.call("set_mode", "overlay")
    shown.sees(at(200, 50), mixed(grey(1), rgb(COLOURS[0]), 0.5))
    shown.sees(at(200, 1250), mixed(RUST, rgb(COLOURS[2]), 0.5))
    shown.sees(at(200, 350), grey(0))  # excluded
    shown.call("set_opacity", 0.2)
    shown.sees(at(200, 50), mixed(grey(1), rgb(COLOURS[0]), 0.2))

    shown.call("set_mode", "classes")
    for label in (1, 2, 3):
        shown.sees(at(200, label * 100 - 50), rgb(COLOURS[label - 1]))
    shown.sees((5, 5), rgb("#1b1d20"))

    assert not shown.page.get_by_text("unsure").is_visible()
    shown.call("set_mode", "sure")
    shown.sees(at(200, 3), rgb("#00204c"))
    shown.sees(at(200, 652), rgb("#7c7b78"))
    assert shown.page.get_by_text("unsure").is_visible()


def test_legend_and_surroundings_have_the_colours_of_the_canvas(shown: Shows) -> None:
    shown.call("set_mode", "sure")
    legend = style(shown.page.locator(".nital-viewer-legend i"), "background-image")
    assert len(legend) == 5
    for colour, col in zip(legend[:4], (3, 328, 652, 978), strict=True):  # nothing is 100 % sure
        shown.sees(at(200, col), colour)
    shown.sees((5, 5), *style(shown.viewer, "background-color"))


def style(place: "Locator", name: str) -> list[tuple[int, ...]]:
    """The colours in a property of an element's style."""
    found = place.evaluate("(element, name) => getComputedStyle(element)[name]", name)
    return [tuple(map(int, each.split(", "))) for each in re.findall(r"rgb\((.*?)\)", found)]


def test_other_colours_ask_for_nothing(shown: Shows) -> None:
    shown.call("set_mode", "classes")
    shown.sees(at(200, 50), rgb(COLOURS[0]))
    asked = list(shown.tiles)
    joined = [{"colour": "#102030", "title": "joined", "phase": 7}] * 3
    shown.call("set_classes", joined)
    shown.sees(at(200, 50), rgb("#102030"))
    shown.sees(at(200, 250), rgb("#102030"))
    shown.call("set_lit", [1])
    shown.sees(at(200, 50), mixed(grey(1), rgb("#102030"), 0.65))
    assert shown.tiles == asked


def test_lit_labels_stand_out_of_grey(shown: Shows) -> None:
    shown.call("set_lit", [2])
    shown.sees(at(200, 150), mixed(grey(2), rgb(COLOURS[1]), 0.65))
    for label, col in ((1, 50), (3, 250), (0, 350)):
        shown.sees(at(200, col), mixed((0, 0, 0), grey(label), 0.45))
    luminance = 0.3 * RUST[0] + 0.59 * RUST[1] + 0.11 * RUST[2]
    shown.sees(at(200, 1250), (round(0.45 * luminance),) * 3)
    shown.call("set_mode", "original")
    shown.sees(at(200, 1250), RUST)


def test_single_pixels_are_crisp_squares(shown: Shows) -> None:
    """At 40 screen pixels a pixel, the middle is the upper left corner of pixel (450, 650)."""
    shown.call("set_mode", "original")
    shown.press(*["+"] * 12)
    for x, y in ((641, 401), (679, 401), (641, 439), (679, 439)):
        shown.sees((x, y), grey(2))
    for x, y in ((638, 401), (681, 401), (641, 398), (641, 441)):
        shown.sees((x, y), grey(3))
    shown.call("set_mode", "classes")
    shown.sees((679, 439), rgb(COLOURS[1]))
    shown.sees((681, 439), rgb(COLOURS[2]))


def test_a_click_picks_the_pixel_under_it(shown: Shows) -> None:
    mouse = shown.page.mouse
    mouse.click(*at(100, 120))
    assert shown.event() == [2, 0, 100, 120, False, False]
    shown.press(*["+"] * 12)
    mouse.move(700, 300)
    mouse.down()
    mouse.move(660, 360)
    mouse.move(620, 420)
    mouse.up()  # which picks nothing: the middle is now at column 652, row 447
    mouse.click(580, 540)
    assert shown.event() == [2, 0, 450, 650, False, False]
    for key, row in (("Shift", 447), ("Control", 448)):
        shown.page.keyboard.down(key)
        mouse.click(645, 405 + (row - 447) * 40)
        shown.page.keyboard.up(key)
        assert shown.event() == [3, 1, row, 652, key == "Shift", key == "Control"]
    shown.press("0")
    mouse.click(*at(100, 350))
    assert shown.event() == [0, None, 100, 350, False, False]


def test_the_wheel_and_a_double_click_zoom_around_the_pointer(shown: Shows) -> None:
    x, y = at(100, 120)
    mouse = shown.page.mouse
    mouse.move(x, y)
    for _ in range(8):
        mouse.wheel(0, -300)
    shown.says("class 2 · row 100 (5.00 µm), column 120 (6.00 µm)")
    assert shown.page.locator(".nital-viewer-scale").inner_text() == "200 nm"
    shown.press("0")
    mouse.dblclick(x, y)
    shown.says("class 2 · row 100 (5.00 µm), column 120 (6.00 µm)")
    assert shown.event()[:4] == [2, 0, 100, 120]
    mouse.click(x + 2 * FIT * 90, y)
    assert shown.event()[:4] == [3, 1, 100, 210]  # the double click picked once


def test_hovering_tells_class_and_place(shown: Shows) -> None:
    shown.page.mouse.move(*at(100, 150))
    shown.says("class 2 · row 100 (5.00 µm), column 150 (7.50 µm)")
    assert shown.status.get_attribute("aria-live") == "off"
    shown.page.mouse.move(*at(100, 350))
    shown.says("excluded · row 100 (5.00 µm), column 350 (17.50 µm)")
    shown.page.mouse.move(5, 100)
    shown.says("")


def test_left_of_the_wipe_is_the_original(shown: Shows) -> None:
    shown.call("set_mode", "classes")
    shown.call("set_wipe", 0.5)
    shown.sees(at(200, 50), grey(1))
    shown.sees(at(200, 950), rgb(COLOURS[1]))
    line = shown.page.get_by_role("slider")
    shown.page.mouse.move(640, 200)
    shown.page.mouse.down()
    shown.page.mouse.move(500, 200)
    shown.page.mouse.move(320, 200)
    shown.page.mouse.up()
    assert shown.event() == 0.25
    shown.sees(at(200, 450), rgb(COLOURS[0]))
    line.press("ArrowRight")
    assert shown.event() == 0.26
    line.press("Shift+ArrowLeft")
    assert shown.event() == 0.16
    assert line.get_attribute("aria-valuenow") == "16"
    shown.call("set_wipe", None)
    shown.sees(at(200, 50), rgb(COLOURS[0]))
    assert line.count() == 0


def test_the_cut_off_follows_keys_and_pointer(shown: Shows) -> None:
    shown.call("set_mode", "original")
    shown.call("set_crop", 800)
    shown.sees(at(790, 50), grey(1))
    shown.sees(at(830, 50), mixed(grey(1), (27, 29, 32), 0.7))
    line = shown.page.get_by_role("slider", name="Cut off below this line")
    line.press("ArrowUp")
    assert shown.event() == 799
    line.press("Shift+ArrowUp")
    assert shown.event() == 789
    assert line.get_attribute("aria-valuenow") == "789"
    shown.page.mouse.move(*at(789, 100))
    shown.page.mouse.down()
    shown.page.mouse.move(100, 300)
    shown.page.mouse.move(100, 400)
    shown.page.mouse.up()
    assert shown.event() == 450
    shown.sees(at(470, 50), mixed(grey(1), (27, 29, 32), 0.7))
    shown.call("set_crop", ROWS)
    shown.sees(at(ROWS - 3, 50), grey(1))
    line.press("ArrowDown")
    assert shown.event() == ROWS


def test_live_frames_are_drawn_and_counted(shown: Shows) -> None:
    live = {"rows": 1, "cols": 2, "colours": ["#ff0000", "#00ff00"]}
    shown.call("set_live", {"url": "/live/1", **live})
    shown.sees(at(200, 150), mixed(grey(2), (255, 0, 0), 0.5))
    shown.call("set_live", {"url": "/live/2", **live})
    shown.sees(at(200, 648), mixed(grey(3), (0, 255, 0), 0.5))
    shown.sees(at(200, 652), mixed(grey(3), (255, 0, 0), 0.5))
    shown.call("set_live", {"url": "/live/3", **live})
    shown.sees(at(200, 150), grey(2))  # nothing there yet
    assert shown.viewer.get_attribute("data-frames") == "3"
    shown.call("set_mode", "classes")
    shown.sees(at(200, 1250), (255, 0, 0))
    shown.call("set_live", None)
    shown.sees(at(200, 1250), rgb(COLOURS[2]))
    assert shown.viewer.get_attribute("data-frames") == "3"


def test_frames_that_come_too_fast_are_skipped(shown: Shows) -> None:
    held: list[Any] = []
    shown.page.route("**/live/4", lambda route: held.append(route))
    live = {"rows": 1, "cols": 2, "colours": ["#ff0000", "#00ff00"]}
    with shown.page.expect_request("**/live/4"):
        shown.call("set_live", {"url": "/live/4", **live})
    for frame in (5, 6, 8):
        shown.call("set_live", {"url": f"/live/{frame}", **live})
        shown.page.wait_for_timeout(30)
    with shown.page.expect_request("**/live/*") as request:
        held[0].continue_()
    assert request.value.url.endswith("/live/8")
    shown.sees(at(200, 150), mixed(grey(2), (0, 255, 0), 0.5))
    assert shown.viewer.get_attribute("data-frames") in ("1", "2")


def test_keys_alone_are_enough(shown: Shows) -> None:
    cross = shown.page.locator(".nital-viewer-cross")
    assert not cross.is_visible()
    shown.page.keyboard.press("Tab")
    assert cross.is_visible()
    assert "made" in (shown.canvas.get_attribute("aria-label") or "")
    assert shown.status.get_attribute("aria-live") == "polite"
    shown.says("class 2 · row 450 (22.50 µm), column 650 (32.50 µm)")
    shown.page.keyboard.press("ArrowLeft")  # by an eighth of 800 screen pixels
    shown.page.keyboard.press("ArrowUp")
    shown.says("class 2 · row 337 (16.85 µm), column 537 (26.85 µm)")
    shown.page.keyboard.press("Enter")
    assert shown.event() == [2, 0, 337, 537, False, False]
    for key in ("1", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown", "Shift+Space"):
        shown.page.keyboard.press(key)
    assert shown.event() == [2, 0, 338, 539, True, False]
    for key in ("0", "-", "+", "ArrowDown"):
        shown.page.keyboard.press(key)
    shown.says("class 3 · row 562 (28.10 µm), column 650 (32.50 µm)")
    shown.page.mouse.move(*at(100, 150))
    cross.wait_for(state="hidden")


def test_buttons_zoom(shown: Shows) -> None:
    scale = shown.page.locator(".nital-viewer-scale")
    wide = scale.locator("i").bounding_box()
    assert scale.inner_text() == "10 µm"
    assert wide is not None
    assert wide["width"] == pytest.approx(10 / 0.05 * FIT, abs=1)
    for name, text in (("Zoom in", "10 µm"), ("Zoom in", "5 µm"), ("1:1", "10 µm")):
        shown.page.get_by_role("button", name=name).click()
        shown.ready()
        assert scale.inner_text() == text
    for _ in range(3):
        shown.page.get_by_role("button", name="Zoom out").click()
    shown.ready()
    assert scale.inner_text() == "20 µm"  # and no farther
    shown.page.get_by_role("button", name="Fit").click()
    shown.call("set_mode", "original")
    shown.sees(at(200, 1250), RUST)


def test_the_scale_bar_has_a_round_length(shown: Shows) -> None:
    for pixel_size, text in ((None, "200 px"), (50, "10 mm"), (1e-4, "20 nm")):
        shown.call("show", small(pixel_size=pixel_size))
        shown.measures(text)


def small(**other: object) -> dict[str, object]:
    made = {"url": "/small", "rows": ROWS, "cols": COLS, "pixel_size": 0.05, "name": "made"}
    return {**made, "micrograph": 1, "labels": 1, "sure": 1, **other}


LARGE_SOURCE = small(url="/large", rows=ROWS * LARGE, cols=COLS * LARGE, sure=None)


def levels(tiles: list[str]) -> set[str]:
    return {tile.split("/")[3] for tile in tiles}


def test_only_the_tiles_in_view_are_asked_for(shown: Shows) -> None:
    shown.call("set_mode", "classes")
    shown.tiles.clear()
    shown.call("show", LARGE_SOURCE)
    shown.measures("50 µm")
    shown.sees(at(200, 50), rgb(COLOURS[0]))
    assert levels(shown.tiles) == {"4", "2"}  # all of it in one tile, and the level that fits
    assert len(shown.tiles) == len(set(shown.tiles)) == 2 * (1 + 3 * 2)
    shown.tiles.clear()
    shown.press("1")
    shown.sees((640 - 150, 300), rgb(COLOURS[2]))
    assert levels(shown.tiles) == {"0"}
    assert len(shown.tiles) == 2 * 4 * 3
    shown.tiles.clear()
    shown.press("0", "1")
    assert not shown.tiles  # they are still here


def test_a_coarser_tile_stands_in_and_what_is_out_of_view_is_given_up(shown: Shows) -> None:
    shown.call("set_mode", "classes")
    shown.call("show", LARGE_SOURCE)
    shown.measures("50 µm")
    shown.sees(at(200, 50), rgb(COLOURS[0]))
    shown.page.route("**/large/*/0/**", lambda route: None)
    gone: list[str] = []
    shown.page.on("requestfailed", lambda request: gone.append(request.url))
    shown.canvas.press("1")
    shown.sees((640 - 150, 300), rgb(COLOURS[2]), ready="false")
    shown.press("0")
    shown.sees(at(200, 50), rgb(COLOURS[0]))
    assert len(gone) == 2 * 4 * 3
    assert levels([url.removeprefix(shown.address) for url in gone]) == {"0"}


def test_the_view_stays_unless_the_micrograph_is_another(shown: Shows) -> None:
    shown.call("set_mode", "classes")
    shown.press(*["+"] * 12)
    shown.tiles.clear()
    shown.call("show", small(labels=2))
    shown.call("set_opacity", 0.3)
    shown.sees((679, 439), rgb(COLOURS[1]))
    shown.sees((681, 439), rgb(COLOURS[2]))
    assert all("/labels/" in tile and tile.endswith("?v=2") for tile in shown.tiles)
    shown.page.set_viewport_size({"width": 1000, "height": 700})
    shown.sees((500 + 39, 350 + 39), rgb(COLOURS[1]))
    shown.sees((500 + 41, 350 + 39), rgb(COLOURS[2]))
    shown.page.set_viewport_size({"width": 1280, "height": 800})
    shown.call("show", LARGE_SOURCE)
    shown.measures("50 µm")
    shown.sees(at(200, 50), rgb(COLOURS[0]))
    shown.call("show", small(labels=None))
    shown.sees(at(200, 50), grey(1))
    shown.page.mouse.click(*at(200, 50))
    assert shown.event() == [None, None, 200, 50, False, False]
    shown.call("show", None)
    shown.page.locator(".nital-viewer-buttons").wait_for(state="hidden")


def test_what_can_not_be_loaded_is_said_and_tried_again(shown: Shows) -> None:
    shown.call("show", small(url="/broken", sure=None))
    shown.says("picture could not be loaded")
    assert shown.viewer.get_attribute("data-ready") == "false"
    asked = len(shown.tiles)
    with shown.page.expect_request("**/broken/**"):
        shown.canvas.press("ArrowLeft")
    assert len(shown.tiles) > asked
    shown.call("show", small())
    shown.sees(at(200, 50), mixed(grey(1), rgb(COLOURS[0]), 0.5))
    shown.says("class 2 · row 450 (22.50 µm), column 650 (32.50 µm)")


def test_fingers_pan_pinch_and_tap(browser: "Browser", address: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True
    )
    page = context.new_page()
    complaints = watch(page)
    shown = Shows(opened(page, address), address)
    fit = 390 / COLS
    shown.page.touchscreen.tap(195 + (150.5 - 650) * fit, 422)
    label, _, row, col, *_ = shown.event()
    assert (label, row, col // 2) == (2, 450, 150 // 2)
    fingers = context.new_cdp_session(shown.page)
    for kind, places in (
        ("touchStart", [(145, 422), (245, 422)]),
        ("touchMove", [(120, 452), (270, 452)]),
        ("touchMove", [(95, 472), (295, 472)]),  # twice as far apart, and 50 down
        ("touchEnd", []),
    ):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    shown.page.touchscreen.tap(195 + (250.5 - 650) * fit * 2 + 200, 472)
    label, _, row, col, *_ = shown.event()  # the pinch picked nothing
    found = 650 + (250.5 - 650) + 200 / fit / 2
    assert (row, col) == (450, int(found))
    assert label == (int(found) // 100 + 1) % 4
    context.close()
    assert not complaints


if __name__ == "__main__":
    serve(int(sys.argv[1]))
