"""The whole page in a real browser: from files to a report, by mouse, by keys, and when it fails.

With NITAL_SCREENSHOTS set, pictures of the page are left in the folder of that name.
"""
# ruff: noqa: F401, F811 (a fixture is imported, and then named as an argument)

import base64
import csv
import os
import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from helpers.browser import SCREEN, browser, context, free_port, nital_app, page, watch
from helpers.terminal import Nital
from helpers.visitor import STEPS, Visitor
from nital.image.files import read_micrograph
from nital.image.labels import read_labels
from nital.image.synthetic import synthesize
from nital.measure.stereology import over_fields
from nital.output.numbers import percent
from nital.output.render import PALETTE
from nital.result.agreement import compare

if TYPE_CHECKING:
    from subprocess import Popen

    from playwright.sync_api import Browser, Page

MIDDLE, LARGE = 900, 3000
"""Pixels that a micrograph is long and wide: what takes seconds, and what takes long."""


# --- micrographs ---------------------------------------------------------------------------------


def grains(seed: int, rows: int = 240, cols: int = 320) -> NDArray[np.float32]:
    shares = {"ferrite": 0.4 + 0.05 * seed, "pearlite": 0.6 - 0.05 * seed}
    return synthesize((rows, cols), shares, grain_size=24, seed=seed).image


def in_bits(pixels: NDArray[np.float32], kind: type[np.unsignedinteger]) -> NDArray[Any]:
    return np.round(pixels * np.iinfo(kind).max).astype(kind)


def write_tiff(path: Path, pixels: NDArray[Any], pixel_size: float) -> Path:
    """With the pixel size in µm."""
    per_cm = 10_000 / pixel_size
    tifffile.imwrite(path, pixels, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of micrographs, whole and broken."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(1, 5):
        path = folder / f"field {seed}.tif"
        write_tiff(path, in_bits(grains(seed), np.uint8), 0.25)
    Image.fromarray(in_bits(grains(5), np.uint16)).save(folder / "deep.png")
    Image.fromarray(in_bits(grains(6), np.uint8)).save(folder / "photo.jpg", quality=95)
    Image.fromarray(in_bits(grains(7), np.uint8)).save(folder / "plain.bmp")
    Image.fromarray(in_bits(grains(8, 200, 200), np.uint8)).save(folder / "small.png")
    tile = in_bits(grains(9, 500, 500), np.uint8)
    for side in (MIDDLE, LARGE):
        pixels = np.tile(tile, (6, 6))[:side, :side]
        write_tiff(folder / f"{side}.tif", pixels, 0.5)
    return folder


# --- sessions ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sessions."""
    return tmp_path_factory.mktemp("sessions")


@pytest.fixture(scope="module")
def served(browser: "Browser", sessions: Path) -> "Iterator[tuple[str, Popen[bytes]]]":
    """Where the page is, and the process that serves it."""
    port = free_port()
    with nital_app(sessions, port) as process:
        yield f"http://127.0.0.1:{port}/", process


@pytest.fixture(scope="module")
def address(served: "tuple[str, Popen[bytes]]") -> str:
    """Where the page is."""
    return served[0]


@pytest.fixture
def visitor(page: "Page", address: str) -> Visitor:
    """Somebody with a session of his own."""
    return Visitor(page, address)


@pytest.fixture(scope="module")
def segmented(browser: "Browser", address: str, pictures: Path, sessions: Path) -> Path:
    """The folder of a session with `field 1.tif` and three classes."""
    context = browser.new_context(viewport=SCREEN)
    visitor = Visitor(context.new_page(), address)
    visitor.open(pictures / "field 1.tif")
    visitor.segment()
    identifier = visitor.page.url.rpartition("/")[2]
    context.close()
    return sessions / identifier


@pytest.fixture
def decider(page: "Page", address: str, segmented: Path) -> Visitor:
    """Somebody who finds three classes in a session of his own."""
    copied = copy_session(segmented, segmented.parent)
    visitor = Visitor(page, f"{address}bench/{copied.name}")
    visitor.assign.wait_for()
    visitor.is_drawn()
    return visitor


def copy_session(folder: Path, root: Path) -> Path:
    """As another session; its micrograph stays where it is."""
    return Path(shutil.copytree(folder, root / secrets.token_urlsafe(16)))


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """A folder for pictures of the page."""
    folder = Path(os.environ.get("NITAL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fractions_of(labels: NDArray[Any]) -> list[str]:
    return [percent(float(np.mean(labels == i))) for i in range(1, labels.max() + 1)]


# --- tests ---------------------------------------------------------------------------------------


def test_from_a_file_to_a_report(
    visitor: Visitor, pictures: Path, tmp_path: Path, nital: Nital
) -> None:
    source = pictures / "field 1.tif"
    visitor.open(source)
    visitor.reads("1 pixel is 0.25 µm")
    visitor.segment()
    visitor.look("Classes")
    visitor.sees(visitor.rows(3))
    visitor.call(1, "pearlite")
    visitor.call(3, "ferrite")
    visitor.choose_from_menu("class 2", "Join to pearlite")
    rows = visitor.rows(2)
    assert [row.name for row in rows] == ["pearlite", "ferrite"]
    visitor.sees(rows)

    visitor.go("4 Measure")
    measured = visitor.table()
    visitor.button("Measure regions").click()
    visitor.reads("A region is a connected piece")
    labels = read_labels(visitor.keep("Label map", tmp_path))
    assert measured == [[row.name, row.share] for row in rows]
    assert [share for _, share in measured] == fractions_of(labels)

    report = visitor.keep("Report", tmp_path).read_text(encoding="utf-8")
    for text in ("pearlite", "ferrite", source.name, measured[0][1]):
        assert text in report
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)[^"')\s]+""", report) == []

    with visitor.keep("Table of phases", tmp_path).open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == ["pearlite", "ferrite"]
    assert [percent(float(row["area_fraction"])) for row in table] == fractions_of(labels)

    model = visitor.keep("Model", tmp_path)
    found = nital("predict", source, "--model", model, "--out", tmp_path / "predicted")
    assert found.code == 0, found.err
    (predicted,) = (tmp_path / "predicted").rglob("labels.tif")
    (kept,) = tmp_path.glob("*labels.tif")
    assert predicted.read_bytes() == kept.read_bytes()


def test_dropped_files_are_opened(visitor: Visitor, pictures: Path) -> None:
    paths = [pictures / name for name in ("deep.png", "photo.jpg", "plain.bmp")]
    files = [
        {"name": path.name, "content": base64.b64encode(path.read_bytes()).decode()}
        for path in paths
    ]
    visitor.page.evaluate(
        """files => {
            const dataTransfer = new DataTransfer();
            for (const { name, content } of files) {
                const bytes = Uint8Array.from(atob(content), each => each.charCodeAt(0));
                dataTransfer.items.add(new File([bytes], name));
            }
            const how = { dataTransfer, bubbles: true, cancelable: true };
            window.drag = kind => !window.dispatchEvent(new DragEvent(kind, how));
        }""",
        files,
    )
    target = visitor.page.get_by_text("Drop micrographs here", exact=True)
    for taken in ("dragover", "drop"):
        assert visitor.page.evaluate("kind => drag(kind)", taken), f"{taken} is left to the browser"
        target.wait_for(state="visible" if taken == "dragover" else "hidden")
    for path in paths:
        visitor.reads(path.name)
    visitor.side.get_by_text("320 × 240").nth(2).wait_for()
    for seed, path in enumerate(paths, start=5):
        visitor.show(path.name)
        grey = sum(int(colour[1:3], 16) * share for colour, share in visitor.shares().items())
        assert grey == pytest.approx(255 * grains(seed).mean(), abs=1.5), path.name


def test_what_is_stopped_ends_at_once(visitor: Visitor, pictures: Path) -> None:
    visitor.open(pictures / f"{LARGE}.tif")
    visitor.start()
    visitor.go("1 Open")
    visitor.page.get_by_text("Cut off the info bar").click()
    line = visitor.page.get_by_role("slider", name="Cut off below this line")
    line.press("ArrowUp")
    visitor.reads("segmenting is under way; wait for it, or stop it")
    visitor.wait(
        "rows => document.querySelector('.nital-viewer-crop').ariaValueNow === String(rows)", LARGE
    )
    visitor.reads(f"labelling {LARGE}.tif")
    start = time.monotonic()
    visitor.button("Stop").click()
    visitor.progress.wait_for(state="hidden")
    took = time.monotonic() - start
    print(f"stopped after {took:.2f} s")
    assert took < 2.5  # a second where nobody else computes
    visitor.assign.wait_for()  # what there is is kept
    visitor.reads("stopped before it was done")
    visitor.go("1 Open")
    visitor.button(f"Remove {LARGE}.tif").click()
    visitor.button("Remove it").click()
    visitor.button(f"Remove {LARGE}.tif").wait_for(state="hidden")
    visitor.open(pictures / "field 1.tif")
    visitor.segment()
    visitor.look("Classes")
    visitor.sees(visitor.rows(3))


def test_a_network_learns_while_it_is_watched(
    visitor: Visitor, pictures: Path, tmp_path: Path, shots: Path
) -> None:
    visitor.open(pictures / "deep.png")
    visitor.go("2 Segment")
    visitor.page.get_by_text("More settings").click()
    visitor.page.get_by_label("Mode", exact=True).click()
    visitor.page.get_by_role("option", name="paper").click()
    visitor.reads("Only the micrograph that is shown is segmented")
    visitor.page.get_by_label("Number of classes", exact=True).fill("2")
    visitor.button("Segment").click()
    visitor.reads(re.compile(r"iteration \d+, \d+ classes left, at most \d+ (s|min) left"))
    visitor.wait("() => Number(document.querySelector('[data-frames]').dataset.frames) > 2")
    visitor.page.screenshot(path=shots / "learning.png")
    visitor.button("Stop").click()
    visitor.assign.wait_for()  # what there is is kept
    visitor.reads("stopped before training had ended")
    visitor.go("5 Keep")
    assert not visitor.page.get_by_role("button", name="Model").is_visible()
    report = visitor.keep("Report", tmp_path).read_text(encoding="utf-8")
    assert "stopped before training had ended" in report
    visitor.look("How sure")
    visitor.reads("paper mode does not tell how sure it is")


def test_the_slider_moves_no_pixels(decider: Visitor) -> None:
    visitor = decider
    visitor.look("Classes")
    before = {3: visitor.rows(3)}
    visitor.sees(before[3])
    asked = visitor.tiles()
    slider = visitor.page.get_by_role("slider", name="Number of classes")
    slider.locator(".q-slider__track-container").focus()
    for key, k in (("ArrowRight", 4), ("ArrowRight", 5), ("ArrowLeft", 4), ("ArrowLeft", 3)):
        visitor.page.keyboard.press(key)
        rows = visitor.rows(k)
        visitor.sees(rows)
        assert rows == before.setdefault(k, rows)
        assert slider.get_attribute("aria-valuenow") == str(k)
    assert len({row.colour for row in before[5]}) == 5
    for key, k in (("z", 4), ("z", 5), ("z", 4), ("y", 5), ("Shift+Z", 4), ("z", 5)):
        visitor.page.keyboard.press(f"Control+{key}")
        visitor.sees(visitor.rows(k))
        assert visitor.rows(k) == before[k]
    for k in (4, 3):
        visitor.button("Undo (Ctrl+Z)").click()
        assert visitor.rows(k) == before[k]
    visitor.page.locator("button[aria-label^=Undo][disabled]").wait_for()
    assert asked == []


def test_clicks_join_and_the_menu_splits(decider: Visitor) -> None:
    visitor = decider
    visitor.look("Classes")
    rows = visitor.rows(3)
    visitor.sees(rows)
    visitor.click_on(rows[0])
    visitor.reads("class 1 is lit up: click another class to join it to this one")
    assert visitor.button("Light up class 1").get_attribute("aria-pressed") == "true"
    other = visitor.page.mouse
    visitor.page.keyboard.press("Escape")
    visitor.page.get_by_role("button", name="Light up class 1", pressed=False).wait_for()
    visitor.sees(rows)

    places = [visitor.point_of(row.colour) for row in rows]
    other.click(*places[0])
    visitor.reads("class 1 is lit up")
    assert {row.colour for row in rows}.isdisjoint(visitor.shares())
    other.click(*places[2])
    visitor.reads("class 3 joined to class 1")
    joined = visitor.rows(2)
    assert sum(float(row.share[:-2]) for row in joined) == pytest.approx(100, abs=0.011)
    assert {rows[0].colour, rows[1].colour} == {row.colour for row in joined}
    visitor.sees(joined)

    (large,) = (i for i, row in enumerate(joined, start=1) if row.colour == rows[0].colour)
    visitor.choose_from_menu(f"class {large}", "Split in two")
    split = visitor.rows(3)
    assert len({row.colour for row in split}) == 3
    visitor.sees(split)

    unused = next(colour for colour in PALETTE if colour not in {row.colour for row in split})
    visitor.button("Colour of class 2").click()
    visitor.button(unused).click()
    visitor.button(unused).wait_for(state="hidden")
    visitor.wait(
        """colour => [...document.querySelectorAll('[aria-label^="Colour of"]')]
            .some(each => getComputedStyle(each).backgroundColor === colour)""",
        "rgb({}, {}, {})".format(*bytes.fromhex(unused[1:])),
    )
    recoloured = visitor.rows(3)
    assert recoloured[1].colour == unused
    visitor.sees(recoloured)


def test_fine_classes_are_assigned_by_keys(decider: Visitor) -> None:
    visitor = decider
    press = visitor.page.keyboard.press
    visitor.assign.click()
    place = visitor.page.get_by_text("what is lit up")
    visitor.reads("Fine class 1 of")
    press("Escape")
    assert len(visitor.rows(3)) == 3
    visitor.assign.click()
    visitor.reads("Fine class 1 of")
    count = int(re.findall(r"of (\d+)", place.inner_text())[0])
    bar = visitor.page.locator(".nital-viewer-scale i")
    zoomed = bar.bounding_box()
    visitor.canvas.click(position={"x": 300, "y": 300})  # it has the focus, and digits of its own
    assigned: dict[str, float] = {}
    start = time.monotonic()
    for i in range(1, count + 1):
        visitor.reads(f"Fine class {i} of {count}")
        key = "n" if i == 1 else "4" if i == 3 else "12"[i % 2]
        share = float(re.findall(r"([\d.]+) %", place.inner_text())[0])
        slot = "4" if key == "n" else key
        assigned[slot] = assigned.get(slot, 0) + share
        press(key)
    rows = visitor.rows(3)  # the third phase was left empty
    took = time.monotonic() - start
    print(f"{count} fine classes assigned in {took:.1f} s")
    assert bar.bounding_box() == zoomed
    assert took < count  # a second each; a person takes two to look
    shares = [float(row.share[:-2]) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=0.016)
    assert sorted(shares) == pytest.approx(sorted(assigned.values()), abs=0.005 * (count + 1))
    visitor.look("Classes")
    visitor.sees(rows)


def test_fine_classes_are_assigned_only_where_nothing_else_has_changed(
    browser: "Browser", decider: Visitor, address: str
) -> None:
    """Another tab, a redo, and a key of a French keyboard come in between."""
    visitor, press = decider, decider.page.keyboard.press
    visitor.assign.click()
    visitor.reads("Fine class 1 of")
    visitor.page.evaluate("window.dispatchEvent(new KeyboardEvent('keydown', {key: '²'}))")
    press("n")
    visitor.reads("Fine class 2 of")
    press("Control+z")
    visitor.reads("Fine class 1 of")
    press("Control+y")  # an assignment can't be made again
    press("1")
    visitor.reads("Fine class 2 of")
    visitor.button("Undo (Ctrl+Z)").click()
    visitor.reads("Fine class 1 of")
    visitor.button("New phase").click()
    visitor.reads("Fine class 2 of")
    press(" ")  # leaves it, and presses no button again
    visitor.reads("Fine class 3 of")
    assert visitor.page.get_by_role("button", name=re.compile(r"^\d ")).count() == 4
    context = browser.new_context(viewport=SCREEN)
    other = Visitor(context.new_page(), visitor.page.url)
    other.assign.wait_for()
    other.call(1, "ferrite")
    visitor.reads("the classes have changed meanwhile")
    context.close()
    visitor.assign.wait_for()
    assert "ferrite" in [row.name for row in visitor.rows(4)]


def test_a_name_that_is_refused_does_not_stay(decider: Visitor) -> None:
    visitor = decider
    visitor.choose_from_menu("class 2", "Join to class 1")
    visitor.rows(2)
    visitor.call(1, "ferrite")
    second = visitor.page.get_by_label("Name of class 2")
    second.fill("ferrite")
    visitor.page.keyboard.press("Enter")
    visitor.reads("a single class would be left")
    visitor.wait("() => document.querySelector('[aria-label=\"Name of class 2\"]').value === ''")
    assert [row.name for row in visitor.rows(2)] == ["ferrite", ""]


def test_what_can_not_be_used_is_reported(browser: "Browser", address: str, pictures: Path) -> None:
    folder = pictures / "broken"
    folder.mkdir()
    whole = (pictures / "deep.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "letter.png").write_text("Dear colleague, here is the micrograph.")
    (folder / "slides.gif").write_bytes(b"GIF89a")
    frames = [Image.fromarray(in_bits(grains(seed), np.uint8)) for seed in (2, 3)]
    frames[0].save(folder / "frames.gif", save_all=True, append_images=frames[1:])
    (folder / "frames.gif").rename(folder / "frames.png")
    Image.new("L", (80, 64), 128).save(folder / "flat.png")
    context = browser.new_context(viewport=SCREEN)
    visitor = Visitor(page := context.new_page(), address)
    complaints = watch(page)
    visitor.choose(*(folder / name for name in ("cut.png", "slides.gif", "letter.png", "flat.png")))
    reasons = {"cut.png": "damaged", "letter.png": "not an image", "flat.png": "constant"}
    for name, reason in reasons.items():
        alert = visitor.side.get_by_role("alert").filter(has_text=f"{name}: {reason}")
        alert.wait_for()
        assert not re.search(r"Traceback|unexpected|Error\b|sessions", alert.inner_text())
    visitor.reads("slides.gif: not of a kind that is read")
    assert visitor.pale_texts("dark") == visitor.pale_texts("light") == {}
    page.get_by_role("alert").get_by_role("button", name="Close").click()
    assert not page.get_by_text("opening ").is_visible()
    visitor.open(pictures / "field 4.tif")
    visitor.segment()
    visitor.go("2 Segment")
    visitor.reads("1 micrograph; one set of classes for all.")
    visitor.go("1 Open")
    visitor.choose(folder / "frames.png")
    visitor.reads("frames.png: a stack of 2 pages")
    visitor.side.get_by_role("button", name="frames.png", exact=True).click()
    page.get_by_label("Page of the file").fill("2")
    page.keyboard.press("Enter")
    visitor.side.get_by_text("320 × 240").nth(1).wait_for()
    context.close()
    assert complaints == [
        "console: Failed to load resource: the server responded with a status of 422"
        " (Unprocessable Entity)"
    ]


def test_a_restart_loses_nothing(browser: "Browser", segmented: Path, tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/bench/{copy_session(segmented, tmp_path).name}"
    context = browser.new_context(viewport=SCREEN)
    complaints = watch(page := context.new_page())
    with nital_app(tmp_path, port):
        visitor = Visitor(page, address)
        visitor.look("Classes")
        first = visitor.rows(3)
        visitor.sees(first)
        visitor.call(1, "pearlite")
        visitor.choose_from_menu("class 2", "Join to pearlite")
        joined = visitor.rows(2)
        assert complaints == []
    with nital_app(tmp_path, port):
        # The page that was left open finds its session again by itself.
        page.wait_for_selector("[aria-pressed=true] >> text=Overlay")
        assert visitor.rows(2) == joined
        complaints[:] = [each for each in complaints if "ERR_CONNECTION_REFUSED" not in each]
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_text("Earlier sessions").wait_for()
        assert visitor.pale_texts("dark") == visitor.pale_texts("light") == {}
        page.get_by_role("link", name="field 1.tif").click()
        page.wait_for_url(address)
        visitor.look("Classes")
        visitor.sees(visitor.rows(2))
        for called in ("class 2", "class 1"):  # not joined any more, and then not named
            visitor.button("Undo (Ctrl+Z)").click()
            visitor.button(f"Light up {called}").wait_for()
        assert visitor.rows(3) == first
        context.close()
    assert complaints == []


def test_two_tabs_work_side_by_side(
    browser: "Browser", address: str, pictures: Path, tmp_path: Path
) -> None:
    context = browser.new_context(viewport=SCREEN)
    pages = [context.new_page(), context.new_page()]
    complaints = [watch(page) for page in pages]
    first, second = (Visitor(page, address) for page in pages)
    assert pages[0].url != pages[1].url
    second.open(pictures / "field 2.tif")
    first.page.bring_to_front()  # what is behind is drawn once a second
    first.open(pictures / f"{MIDDLE}.tif")
    first.start()
    first.progress.wait_for()
    second.page.bring_to_front()
    second.start()
    second.reads("waits for 1 other work")
    first.page.bring_to_front()
    first.page.reload()
    first.progress.wait_for()
    first.go("3 Decide")
    phases = {first: ("dark", "bright"), second: ("pearlite", "ferrite")}
    for visitor, names in phases.items():
        visitor.page.bring_to_front()
        visitor.assign.wait_for()
        visitor.call(1, names[0])
        visitor.call(3, names[1])
    for visitor, names in phases.items():
        visitor.page.bring_to_front()
        visitor.look("Classes")
        rows = visitor.rows(3)
        assert [row.name for row in rows] == [names[0], "", names[1]]
        visitor.sees(rows)
        labels = read_labels(visitor.keep("Label map", tmp_path))
        assert labels.shape == ((MIDDLE, MIDDLE) if visitor is first else (240, 320))
        assert [row.share for row in rows] == fractions_of(labels)
    context.close()
    assert complaints == [[], []]


def test_many_uploads_need_no_more_memory(
    visitor: Visitor, served: "tuple[str, Popen[bytes]]", pictures: Path, sessions: Path
) -> None:
    psutil = pytest.importorskip("psutil")
    server = psutil.Process(served[1].pid)

    def memory() -> float:
        each = [server, *server.children(recursive=True)]
        return sum(one.memory_info().rss for one in each) / 2**20

    visitor.open(*[pictures / "small.png"] * 10)
    before = memory()
    for _ in range(4):
        visitor.open(*[pictures / "small.png"] * 10)
    grown = memory() - before
    print(f"{grown:.1f} MiB more after 40 uploads")
    # 7 to 9 MiB when this was written: of the server, which holds the rows of the list. If the
    # float32 pixels of each micrograph were held, it would be 18 more.
    assert grown < 16
    names = {"small.png", *(f"small ({i}).png" for i in range(2, 51))}
    found = visitor.side.get_by_role("button", name=re.compile(r"^small")).all_inner_texts()
    assert set(found) == names
    identifier = visitor.page.url.rpartition("/")[2]
    assert len(list((sessions / identifier / "uploads").iterdir())) == 50


def test_several_fields_have_intervals(visitor: Visitor, pictures: Path, tmp_path: Path) -> None:
    visitor.open(*(pictures / f"field {i}.tif" for i in (1, 2, 3)))
    visitor.segment()
    visitor.go("4 Measure")
    visitor.reads("Mean of 3 fields with its 95 % confidence interval")
    three = visitor.table()
    visitor.go("1 Open")
    visitor.open(pictures / "field 4.tif")
    visitor.go("2 Segment")
    visitor.button("Apply these classes to 1 micrograph more").click()
    visitor.assign.wait_for()
    visitor.go("4 Measure")
    visitor.reads("Mean of 4 fields")
    four = visitor.table()
    with zipfile.ZipFile(visitor.keep("Everything", tmp_path)) as archive:
        archive.extractall(tmp_path)
    folders = sorted(path.parent for path in tmp_path.glob("*/labels.tif"))
    assert [folder.name for folder in folders] == [f"00{i} field {i}" for i in range(1, 5)]
    labels = [read_labels(folder / "labels.tif") for folder in folders]
    shares = [[float(np.mean(each == i)) for i in (1, 2, 3)] for each in labels]
    assert [row[1] for row in four] == [percent(share) for share in shares[0]]
    for table, n in ((three, 3), (four, 4)):
        for row, column in zip(table, zip(*shares[:n], strict=True), strict=True):
            over = over_fields(column)
            assert over.ci95 is not None
            assert row[2:4] == [percent(over.mean), percent(over.ci95)]


def test_what_is_unlike_the_others_is_readably_marked(decider: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "negative.png"
    Image.fromarray(in_bits(1 - grains(2), np.uint8)).save(path)
    decider.go("1 Open")
    decider.open(path)
    decider.go("2 Segment")
    decider.button("Apply these classes to 1 micrograph more").click()
    decider.page.get_by_role("tab", name="3 Decide", selected=True).wait_for()
    decider.go("1 Open")
    decider.reads("unlike the others: check exposure and magnification")
    assert decider.pale_texts("dark") == decider.pale_texts("light") == {}


def test_keys_alone_lead_to_a_report(visitor: Visitor, pictures: Path) -> None:
    press, page = visitor.page.keyboard.press, visitor.page
    visitor.open(pictures / "field 1.tif")

    def next_tab(before: str, after: str) -> None:
        visitor.tab_to(before)
        press("ArrowRight")
        press("Enter")
        page.get_by_role("tab", name=after, selected=True).wait_for()

    next_tab("1 Open", "2 Segment")
    visitor.tab_to("Number of classes")
    press("ArrowUp")
    visitor.tab_to("Segment")
    press("Enter")
    visitor.assign.wait_for()
    assert len(visitor.rows(4)) == 4
    visitor.tab_to("Name of class 1")
    page.keyboard.type("pearlite")
    for _ in range(4):  # bulb, menu and colour are between two names
        press("Tab")
    page.keyboard.type("bainite", delay=30)
    press("Enter")
    for name in ("pearlite", "bainite"):
        visitor.button(f"Light up {name}").wait_for()
    visitor.tab_to("More for class 3")
    press("Enter")
    page.wait_for_function("document.activeElement.role === 'menu'")
    page.evaluate("fetch(`${location.href}/live`)")  # nobody picks before the server answers
    visitor.tab_to("Join to pearlite")
    press("Enter")
    page.get_by_role("menu").wait_for(state="hidden")  # an open menu keeps the focus
    assert {row.name for row in visitor.rows(3)} == {"pearlite", "bainite", ""}
    next_tab("3 Decide", "4 Measure")
    visitor.tab_to("Measure regions")
    press("Enter")
    visitor.reads("A region is a connected piece")
    next_tab("4 Measure", "5 Keep")
    visitor.tab_to("Report")
    with page.expect_download() as download:
        press("Enter")
    assert download.value.suggested_filename == "report.html"


VISIBLE_FOCUS = """() => {
    const { activeElement: here, body } = document;
    if (here === body) return null;
    const isDrawn = (style, edge) =>
        style[`${edge}Style`] !== "none" && parseFloat(style[`${edge}Width`]) >= 2;
    const field = here.closest(".q-field--focused .q-field__control");
    const isSeen = isDrawn(getComputedStyle(here), "outline") ||
        (field && isDrawn(getComputedStyle(field, "::after"), "borderTop"));
    return [here.ariaLabel || here.textContent.trim() || here.className, isSeen];
}"""
NAMED = (
    "button",
    "textbox",
    "slider",
    "tab",
    "switch",
    "combobox",
    "spinbutton",
    "checkbox",
    "link",
)


def each_step(visitor: Visitor) -> Iterator[str]:
    """Goes through all, and unfolds what is folded."""
    for step in STEPS:
        visitor.go(step)
        if step == "2 Segment":
            visitor.page.get_by_text("More settings").click()
            visitor.page.get_by_label("Seed").wait_for()
        elif step == "4 Measure":
            visitor.button("Measure regions").click()
            visitor.reads("A region is a connected piece")
        yield step


def test_everything_has_a_name(decider: Visitor) -> None:
    devtools = decider.page.context.new_cdp_session(decider.page)
    for step in each_step(decider):
        nodes = devtools.send("Accessibility.getFullAXTree")["nodes"]
        roles = [
            (node["role"]["value"], node["name"]["value"].strip())
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in NAMED
        ]
        assert len(roles) > 15, step
        assert [role for role, name in roles if not name] == [], step


def test_the_focus_is_always_visible(decider: Visitor) -> None:
    unseen: dict[str, str] = {}
    for step in each_step(decider):
        decider.tab(step).focus()
        for _ in range(60):
            decider.page.keyboard.press("Tab")
            found = decider.page.evaluate(VISIBLE_FOCUS)
            if found is None:
                break
            if not found[1]:
                unseen.setdefault(found[0], step)
    assert unseen == {}


SIZES = ((1280, 800), (390, 844))
FITS = """() => {
    const { scrollWidth, scrollHeight } = document.documentElement;
    return scrollWidth <= innerWidth && (innerWidth < 800 || scrollHeight <= innerHeight);
}"""  # on a phone one scrolls down to the steps


def test_it_is_readable_in_light_and_dark_wide_and_narrow(decider: Visitor, shots: Path) -> None:
    page = decider.page
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    for step in each_step(decider):
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function(FITS, timeout=3000)
            if step == "2 Segment":
                decider.button("Segment").click(trial=True)  # scrolls there, and is not covered
            for scheme in ("light", "dark"):
                pale = decider.pale_texts(scheme)
                assert pale == {}, step
                decider.is_drawn()
                page.screenshot(path=shots / f"{step} {scheme} {width}.png")
    decider.button("Light or dark").click()  # it is dark now, as the system says
    page.wait_for_selector(".body--light")
    decider.button("Light or dark").click()
    page.wait_for_selector(".body--dark")


def test_what_a_file_does_not_contain_is_typed(
    visitor: Visitor, pictures: Path, tmp_path: Path
) -> None:
    stack = tmp_path / "stack.tif"
    with tifffile.TiffWriter(stack) as writer:
        for seed, rows in ((1, 240), (2, 200)):
            writer.write(in_bits(grains(seed, rows), np.uint8), photometric="minisblack")
    visitor.choose(stack)
    alert = visitor.side.get_by_role("alert").filter(has_text="stack.tif")
    alert.wait_for()
    assert "2 pages" in alert.inner_text()
    visitor.page.get_by_label("Page of the file").fill("2")
    visitor.page.keyboard.press("Enter")
    visitor.reads("320 × 200")
    visitor.reads("lengths are in pixels")

    visitor.page.get_by_label("Pixel size").fill("half a micron")
    visitor.page.keyboard.press("Enter")
    visitor.reads("length 'half a micron': not a number with its unit")
    visitor.page.get_by_label("Pixel size").fill("500nm")
    visitor.page.keyboard.press("Enter")
    visitor.reads("1 pixel is 0.5 µm (typed)")

    visitor.page.get_by_role("switch", name="Cut off the info bar").click()
    line = visitor.page.get_by_role("slider", name="Cut off below this line")
    line.focus()
    for n_cut in range(10, 41, 10):
        visitor.page.keyboard.press("Shift+ArrowUp")
        visitor.reads(f"; {n_cut} rows cut off")
    assert line.get_attribute("aria-valuenow") == "160"
    visitor.page.get_by_role("switch", name="Cut off the info bar").click()
    line.wait_for(state="hidden")

    visitor.segment()
    path = visitor.keep("Label map", tmp_path)
    labels = read_labels(path)
    assert labels.shape == (160, 320)
    assert read_micrograph(path).pixel_size == pytest.approx(0.5)

    truth = synthesize((200, 320), {"ferrite": 0.5, "pearlite": 0.5}, grain_size=24, seed=2).truth
    reference = tmp_path / "drawn.png"
    Image.fromarray(truth[:160]).save(reference)
    visitor.go("4 Measure")
    visitor.side.locator("input[type=file]:not([multiple])").set_input_files(reference)
    found = compare(labels.astype(np.uint16), truth[:160])
    visitor.reads(f"drawn.png: mean IoU {found.mean_iou:.3f}, pixel accuracy {found.accuracy:.3f}")
    assert found.mean_iou > 0.5
    table = visitor.table("drawn: found")
    assert [row[1] for row in table] == [f"{each.iou:.3f}" for each in found.classes]


def test_a_pixel_size_is_typed_while_others_arrive(visitor: Visitor, pictures: Path) -> None:
    visitor.open(pictures / "field 1.tif")
    field = visitor.page.get_by_label("Pixel size")
    field.fill("0.5")
    visitor.open(pictures / "field 2.tif")
    assert field.input_value() == "0.5"


def test_undo_reverts_an_assignment(decider: Visitor) -> None:
    visitor = decider
    before = visitor.rows(3)
    visitor.assign.click()
    visitor.reads("Fine class 1 of")
    here = visitor.side.get_by_text("(it is here)").inner_text()
    other = next(key for key in "123" if not here.startswith(key))
    visitor.page.keyboard.press(other)
    visitor.reads("Fine class 2 of")
    visitor.page.keyboard.press("Control+z")
    visitor.page.keyboard.press("Backspace")
    visitor.reads("Fine class 1 of")
    assert visitor.side.get_by_text("(it is here)").inner_text() == here
    visitor.page.keyboard.press("Space")
    visitor.page.keyboard.press("Escape")
    assert visitor.rows(3) == before


def test_a_file_is_taken_wherever_it_is_dropped(decider: Visitor) -> None:
    for step in STEPS[::-1]:
        decider.go(step)
        assert decider.page.evaluate(
            """() => {
                const dataTransfer = new DataTransfer();
                dataTransfer.items.add(new File(["text"], "a.png"));
                const how = { dataTransfer, bubbles: true, cancelable: true };
                return !window.dispatchEvent(new DragEvent("dragover", how));
            }"""
        ), f"at {step} the browser would leave the page to show the file"
