"""The open panel in a real browser: files that come, that cannot be used, that lack something."""

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.browser import SCREEN, watch
from helpers.fields import grains, in_bits
from helpers.visitor import STEPS, Visitor
from nital.image.files import read_micrograph
from nital.image.labels import read_labels
from nital.image.synthetic import synthesize
from nital.result.agreement import compare

if TYPE_CHECKING:
    from subprocess import Popen

    from playwright.sync_api import Browser


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
