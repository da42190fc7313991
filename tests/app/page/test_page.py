"""The whole page in a real browser: files to a report, by mouse, by keys, and when it fails."""

import csv
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.browser import SCREEN, free_port, nital_app, watch
from helpers.fields import LARGE, MIDDLE, copy_session, fractions_of
from helpers.terminal import Nital
from helpers.visitor import STEPS, Visitor
from nital.image.labels import read_labels
from nital.measure.stereology import over_fields
from nital.output.numbers import percent

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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
    assert [name for name, _ in measured] == [row.name for row in rows]
    told = [share.split(" ± ") for _, share in measured]
    assert [share for share, _ in told] == [row.share for row in rows] == fractions_of(labels)
    assert all(0 < float(uncertainty.split()[0]) < 10 for _, uncertainty in told)

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
    assert [row[1].split(" ± ")[0] for row in four] == [percent(share) for share in shares[0]]
    for table, n in ((three, 3), (four, 4)):
        for row, column in zip(table, zip(*shares[:n], strict=True), strict=True):
            over = over_fields(column)
            assert over.ci95 is not None
            assert row[2:4] == [percent(over.mean), percent(over.ci95)]


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
            visitor.page.get_by_label("Exposure").wait_for()
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
