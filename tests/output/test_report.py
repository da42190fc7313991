"""The report: one file that opens offline, with the numbers of the specimen and nothing else."""

import base64
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.pictures import halves
from helpers.terminal import PAPER, Nital, Outcome
from nital.image.synthetic import synthesize
from nital.output.folders import PhaseFolder, measure_folders
from nital.output.numbers import percent, quantity
from nital.output.report import charts as charts_module
from nital.output.report import document as report
from nital.output.report import pages as pages_module
from nital.result.likeness import Likeness

pytestmark = pytest.mark.usefixtures("two_views")

VOID = {"meta", "img", "br"}
TRICKY = '<b>&"'


class Page(HTMLParser):
    """A parsed page; tags must be closed in the right order."""

    def __init__(self, path: Path | str) -> None:
        super().__init__()
        self.html = Path(path).read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(self.html)
        self.close()
        assert not self._open

    @property
    def text(self) -> str:
        """The visible text, on one line."""
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def pictures(self) -> list[Image.Image]:
        sources = [each["src"] or "" for each in self.all("img")]
        return [Image.open(io.BytesIO(base64.b64decode(each.split(",")[1]))) for each in sources]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "title"):
            self.words.append(data)


def change(folder: str, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change the summary of a result."""
    path = Path(folder, "summary.json")
    summary = json.loads(path.read_text(encoding="utf-8"))
    edit(summary)
    path.write_text(json.dumps(summary), encoding="utf-8")


def assert_refused(done: Outcome, says: str) -> None:
    """One line on stderr, exit code 2, nothing on stdout."""
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert says in done.err


@pytest.fixture
def one(image: Path, nital: Nital) -> Path:
    """A result of two classes with a pixel size, `o/a`."""
    nital("segment", image, "--n-classes", 2, "--pixel-size", "0.5um", "--out", "o")
    return Path("o/a")


@pytest.fixture
def fields(image: Path, nital: Nital) -> list[Path]:
    """Results of three micrographs, `o/a`, `o/b` and `o/c`."""
    for name, rows in (("b", 24), ("c", 40)):
        Image.fromarray(np.vstack([halves(), halves()])[:rows]).save(f"{name}.png")
    nital("segment", image, "b.png", "c.png", "--n-classes", 2, "--out", "o")
    return [Path("o", name) for name in "abc"]


# --- one file, offline ----------------------------------------------------------------------------


@pytest.mark.parametrize("results", [("o/a",), ("o",)], ids=["one", "several"])
def test_a_report_asks_no_host_for_anything(
    fields: list[Path], nital: Nital, results: tuple[str, ...]
) -> None:
    assert nital("report", *results, "--out", "r.html").code == 0
    page = Page("r.html")
    without_pictures = re.sub(r'"data:image/jpeg;base64,[A-Za-z0-9+/=]+"', '""', page.html)
    assert not re.search(r"https?:|//|url\(|@import|data:image", without_pictures)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "default-src 'none'" in page.html


@pytest.mark.parametrize("results", [("o/a",), ("o",)], ids=["one", "several"])
def test_a_report_can_be_read_by_anyone(
    fields: list[Path], nital: Nital, results: tuple[str, ...]
) -> None:
    nital("report", *results, "--out", "r.html")
    page = Page("r.html")
    assert page.html.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert all(each["alt"] for each in page.all("img"))
    assert all(each["aria-label"] for each in page.all("svg"))
    assert all(each["scope"] for each in page.all("th"))
    assert len(page.all("table")) == page.html.count("<caption>")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {(each["href"] or "").removeprefix("#") for each in page.all("a")} <= set(ids)


# --- one result -----------------------------------------------------------------------------------


def test_the_report_of_a_result_holds_its_numbers(one: Path, nital: Nital) -> None:
    done = nital("report", one)
    assert (done.code, done.out) == (0, "open o/a/report.html\n")
    assert "one field: no confidence interval" in done.err
    page = Page("o/a/report.html")
    field = PhaseFolder.read(one).measure()
    for phase, share, uncertainty, counted, regions in zip(
        field.phases,
        field.fractions,
        field.uncertainties,
        field.point_fractions,
        field.regions,
        strict=True,
    ):
        assert uncertainty is not None
        assert f"{phase} {percent(share, uncertainty)} {percent(counted)}" in page.text
        means = (
            regions.mean_area,
            regions.mean_equivalent_diameter,
            regions.mean_aspect_ratio,
            regions.intercept_along,
            regions.intercept_across,
        )
        assert " ".join([phase, str(regions.n_regions), *map(quantity, means)]) in page.text
    assert f"class 1 class 2 {quantity(field.contacts[0, 1])}" in page.text
    assert "area, µm²" in page.text


def test_the_report_of_a_result_says_how_it_was_made(one: Path, nital: Nital) -> None:
    nital("report", one)
    text = Page("o/a/report.html").text
    summary = json.loads((one / "summary.json").read_text(encoding="utf-8"))
    for name, value in summary["settings"].items():
        assert f"{name} {value} " in text
    assert summary["sha256"] in text
    assert "20 × 16 pixels (width × height)" in text
    assert "pixel size 0.5 µm rows cropped at the bottom 0" in text
    for name, version in summary["versions"].items():
        assert f"{name} {version}" in text
    for name, value in (("F", "F"), ("F′", "F_prime"), ("Q", "Q")):
        assert f"{name} = {quantity(summary['criteria'][value], 4)}" in text
    assert "Name Date Signature" in text
    assert "A confidence interval needs several fields" in text


def test_original_and_overlay_are_side_by_side(one: Path, nital: Nital) -> None:
    nital("report", one)
    page = Page("o/a/report.html")
    original, overlay = page.pictures
    assert (original.size, overlay.size) == ((20, 16), (20, 16))
    assert (original.mode, overlay.mode) == ("L", "RGB")
    found = np.asarray(original, float)
    assert np.abs(found - halves()).mean() < 5
    assert page.text.count("2 µm") == 2  # of 10 µm


def test_a_report_is_headed_by_what_people_call_the_field(one: Path, nital: Nital) -> None:
    nital("report", one)
    assert "<h1>a.png</h1>" in Page("o/a/report.html").html
    change("o/a", lambda summary: summary.update(name=f"Probe 3 {TRICKY}"))
    nital("report", one, "--force")
    page = Page("o/a/report.html")
    assert not page.all("b")
    assert "<h1>Probe 3 &lt;b&gt;&amp;&#34;</h1>" in page.html
    assert {each["alt"] for each in page.all("img")} == {
        f"The micrograph Probe 3 {TRICKY} as it was segmented",
        f"The micrograph Probe 3 {TRICKY}, tinted with the colours of its phases",
    }
    assert "file a.png" in page.text  # the file is still named


def test_notes_are_shown(one: Path, nital: Nital) -> None:
    change("o/a", lambda summary: summary["notes"].append("hardly a constituent"))
    nital("report", one)
    assert "hardly a constituent" in Page("o/a/report.html").text


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda: Path("a.png").unlink(), "a.png: no such file"),
        (
            lambda: Image.fromarray(halves()[::-1]).save("a.png"),
            "a.png: not the segmented micrograph, its SHA-256 or size differs",
        ),
        (lambda: Path("a.png").write_bytes(b"no image"), "a.png: not an image of a known kind"),
    ],
    ids=["gone", "another", "damaged"],
)
def test_without_the_original_the_overlay_is_shown(
    one: Path, nital: Nital, spoil: Callable[[], Any], says: str
) -> None:
    spoil()
    assert nital("report", one).code == 0
    page = Page("o/a/report.html")
    assert f"The original can't be shown: {says}" in page.text
    assert len(page.pictures) == 1
    assert "Original" not in page.text


def test_names_are_shown_as_they_are(one: Path, nital: Nital) -> None:
    def name(summary: dict[str, Any]) -> None:
        for row, text in zip(summary["classes"], (TRICKY, "</style><script>"), strict=True):
            row["name"] = text
        summary["notes"] = ["<i>note</i>"]

    change("o/a", name)
    nital("report", one)
    page = Page("o/a/report.html")
    assert not {"b", "i", "script"} & {tag for tag, _ in page.tags}
    assert f"{TRICKY} </style><script>" in page.text
    assert "<i>note</i>" in page.text
    assert len(page.all("style")) == 1


def test_views_and_a_reference_are_told(image: Path, nital: Nital) -> None:
    Image.fromarray((halves() > 100).astype(np.uint8)).save("reference.png")
    nital(
        *("segment", image, "--n-classes", "auto"),
        *("--reference", "reference.png", "--out", "o"),
    )
    nital("report", "o")
    text = Page("o/a/report.html").text
    summary = json.loads(Path("o/a/summary.json").read_text(encoding="utf-8"))
    agreement = percent(summary["mean_agreement"])
    assert f"Disturbed views of the micrograph agree on {agreement} of the area." in text
    first, found = summary["classes"][0], summary["agreement"]
    assert f"class 1 {percent(first['area_fraction'], first['uncertainty'])}" in text
    assert "standard deviation over disturbed views of the micrograph" in text
    assert f"Mean IoU {found['mean_iou']:.3f}, pixel accuracy {found['accuracy']:.3f}" in text
    assert f"mean F of 2 classes {quantity(summary['n_classes_by_F'][0]['F'], 4)} ± " in text
    assert "the tint fades where disturbed views of the micrograph disagree" in text


def test_the_light_that_was_removed_is_shown(image: Path, nital: Nital) -> None:
    made = synthesize((120, 160), {"ferrite": 0.6, "pearlite": 0.4}, grain_size=20, shading=0.3)
    Image.fromarray(np.round(255 * made.image).astype(np.uint8)).save(image)
    nital("segment", image, "--n-classes", 2, "--out", "o")
    nital("report", "o")
    page = Page("o/a/report.html")
    depth = json.loads(Path("o/a/summary.json").read_text(encoding="utf-8"))["light"]["depth"]
    assert depth > 0.1
    assert f"Light that was removed: {percent(depth)} less at the darkest place" in page.text
    picture = np.asarray(page.pictures[-1]).astype(int)
    assert picture.max() == pytest.approx(255, abs=3)
    assert 1 - picture.min() / 255 == pytest.approx(depth, abs=0.03)


def test_repeats_of_paper_mode_are_told(image: Path, nital: Nital) -> None:
    nital("segment", image, *PAPER, "--n-classes", 2, "--repeats", 2, "--out", "o")
    nital("report", "o")
    text = Page("o/a/report.html").text
    summary = json.loads(Path("o/a/summary.json").read_text(encoding="utf-8"))
    agreement = percent(summary["mean_agreement"])
    assert f"2 repeats with different seeds agree on {agreement} of the area." in text
    assert "standard deviation over 2 repeats with different seeds" in text
    assert "the tint fades where 2 repeats with different seeds disagree" in text


@pytest.mark.parametrize(("shift", "word"), [(0.1, "like"), (0.9, "unlike")])
def test_a_model_is_told(one: Path, nital: Nital, shift: float, word: str) -> None:
    def of_model(summary: dict[str, Any]) -> None:
        summary["model"] = {
            "path": "steel.nital",
            "sha256": "f00d" * 16,
            "exposure": "each",
            "n_images": 6,
        }
        summary["likeness"] = vars(Likeness(1.0, shift, 1.2, 0.2))

    change("o/a", of_model)
    nital("report", one)
    text = Page("o/a/report.html").text
    assert f"The micrograph is {word} those the model was fitted to" in text
    assert f"file steel.nital SHA-256 {'f00d' * 16} exposure normalised" in text


def test_phases_that_were_put_together_have_their_own_overlay(one: Path, nital: Nital) -> None:
    assert nital("fine", one, "--merge", "dark=1 other=rest").code == 0
    nital("report", one)
    page = Page("o/a/report.html")
    described = json.loads((one / "phases.json").read_text(encoding="utf-8"))
    assert f"F = {quantity(described['criteria']['F'], 4)}" in page.text
    assert "A region is a phase" in page.text
    assert "Fine classes assigned by hand dark 1 other 2" in page.text
    with Image.open(one / "phases.png") as drawn:
        assert np.abs(np.asarray(page.pictures[1], float) - np.asarray(drawn)).mean() < 8


def test_paper_mode_has_a_report(image: Path, nital: Nital) -> None:
    nital("segment", image, *PAPER, "--n-classes", 2, "--out", "o")
    assert nital("report", "o").code == 0
    text = Page("o/a/report.html").text
    assert "mode paper" in text
    assert "n_filters 8" in text
    assert "iterations" in text


# --- several results ------------------------------------------------------------------------------


def test_the_report_of_a_specimen_holds_its_statistics(fields: list[Path], nital: Nital) -> None:
    done = nital("report", "o")
    assert (done.code, done.out) == (0, "open report.html\n")
    assert "segmented one by one" in done.err
    page = Page("report.html")
    specimen = measure_folders(fields)
    for phase, area, points in zip(specimen.phases, specimen.areas, specimen.points, strict=True):
        for how, found in ((f"{phase} all pixels", area), ("points", points)):
            assert found.std is not None
            assert found.ci95 is not None
            spread = f"{percent(found.std)} ± {percent(found.ci95)} {found.relative_accuracy:.1f} %"
            row = f"{how} {percent(found.mean)} {spread} {found.more_fields or 'none'} "
            assert row in page.text
    for number, field in enumerate(specimen.fields, start=1):
        row = f"{number} {field.name} {' '.join(map(percent, field.fractions))}"
        assert row in page.text
    assert "class numbers follow brightness" in page.text


def test_every_field_has_a_thumbnail_and_a_section(fields: list[Path], nital: Nital) -> None:
    nital("report", "o")
    page = Page("report.html")
    assert len(page.pictures) == 3 * 3
    links = [each["href"] for each in page.all("a")]
    ids = [attributes.get("id") for _, attributes in page.tags]
    for number, folder in enumerate(fields, start=1):
        assert links.count(f"#field-{number}") == 2
        assert f"field-{number}" in ids
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        assert page.text.count(summary["sha256"]) == 1
    assert page.text.count("mode fast") == 1  # common settings are listed once


def test_fields_are_listed_as_people_call_them(fields: list[Path], nital: Nital) -> None:
    change("o/b", lambda summary: summary.update(name="Probe 3"))
    nital("report", "o")
    text = Page("report.html").text
    assert [text.count(each) for each in ("1. a ", "2. Probe 3 ", "3. c ")] == [2, 2, 2]
    assert "2. b " not in text


def test_the_charts_show_fields_and_interval(fields: list[Path], nital: Nital) -> None:
    pages = [pages_module.read_page(folder, 300) for folder in fields]
    specimen = measure_folders(fields)
    charts = list(charts_module.charts(pages, specimen))
    bottom, top = charts_module.CHART_SIZE["bottom"], charts_module.CHART_SIZE["top"]
    assert [chart.phase for chart in charts] == ["class 1", "class 2"]
    for i, chart in enumerate(charts):
        heights = [bar.height for bar in chart.bars]
        wanted = [field.fractions[i] for field in specimen.fields]
        assert np.array(heights) / heights[0] == pytest.approx(np.array(wanted) / wanted[0], 1e-3)
        assert all(bar.y + bar.height == pytest.approx(bottom) for bar in chart.bars)
        assert chart.low is not None
        assert chart.high is not None
        assert top <= chart.high < chart.mean < chart.low <= bottom
        assert bottom - chart.mean == pytest.approx(np.mean(heights), abs=0.02)


def test_notes_and_colours_that_differ_between_fields(fields: list[Path], nital: Nital) -> None:
    change("o/b", lambda summary: summary["notes"].append("odd"))
    change("o/c", lambda summary: summary["classes"][0].update(colour="#ff0000"))
    nital("report", "o")
    text = Page("report.html").text
    assert "odd (field 2 )" in text
    assert "The colours of the phases differ between fields" in text


def test_the_more_fields_the_smaller_their_pictures() -> None:
    sides = [pages_module.picture_side(n) for n in (1, 2, 50, 200, 10_000)]
    assert sides == sorted(sides, reverse=True)
    assert (sides[0], sides[1], sides[-1]) == (
        1000,
        pages_module.MOST_SIDE,
        pages_module.LEAST_SIDE,
    )


def test_the_same_results_and_date_give_the_same_report(fields: list[Path]) -> None:
    date = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    pages = [pages_module.read_page(folder, 300) for folder in fields]
    specimen = measure_folders(fields)
    texts = [report.render_report(pages, specimen, date=date) for _ in range(2)]
    assert texts[0] == texts[1]
    assert "Report of 2026-01-02 03:04+00:00" in texts[0]


# --- scale bars -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_cols", "pixel_size", "text"),
    [
        (1000, 0.25, "50 µm"),
        (1000, 0.001, "200 nm"),
        (1000, 100.0, "20 mm"),
        (10, 0.35, "1 µm"),
        (700, 1.0, "200 µm"),
    ],
)
def test_a_scale_bar_is_round_and_true(n_cols: int, pixel_size: float, text: str) -> None:
    bar = pages_module._scale_bar(n_cols, pixel_size)
    assert bar is not None
    assert bar.text == text
    number, unit = bar.text.split()
    micrometres = float(number) * {"nm": 1e-3, "µm": 1, "mm": 1e3}[unit]
    assert bar.share * n_cols * pixel_size == pytest.approx(micrometres)
    assert 0.1 < bar.share < 0.3 + 1e-9


def test_without_a_pixel_size_there_is_no_scale_bar(fields: list[Path], nital: Nital) -> None:
    nital("report", "o/a")
    page = Page("o/a/report.html")
    assert not re.search(r'class="(bar|length)"', page.html)
    assert "unknown: lengths are in pixels (px)" in page.text
    assert "area, px²" in page.text


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_report_is_replaced_with_force_only(one: Path, nital: Nital) -> None:
    Path("r.html").write_text("old")
    assert_refused(nital("report", one, "--out", "r.html"), "r.html: already exists; use --force")
    assert Path("r.html").read_text() == "old"
    assert nital("report", one, "--out", "r.html", "--force").code == 0
    assert Page("r.html").all("h1")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda: Path("o/c/labels.tif").write_bytes(b"II*\0"), "o/c/labels.tif"),
        (lambda: Path("o/c/overlay.png").unlink(), "o/c/overlay.png: can't be read"),
        (
            lambda: change("o/c", lambda summary: summary["classes"][0].update(name="ferrite")),
            "c: has the phases ferrite, class 2",
        ),
    ],
    ids=["labels", "overlay", "phases"],
)
def test_a_failure_leaves_an_old_report_untouched(
    fields: list[Path], nital: Nital, spoil: Callable[[], Any], says: str
) -> None:
    Path("report.html").write_text("old")
    spoil()
    assert_refused(nital("report", "o", "--force"), says)
    assert Path("report.html").read_text() == "old"
    assert not list(Path().glob(".*"))


def test_a_disk_that_refuses_leaves_an_old_report_untouched(
    one: Path, nital: Nital, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("r.html").write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert_refused(nital("report", one, "--out", "r.html", "--force"), "No space left on device")
    assert Path("r.html").read_text() == "old"
    assert not list(Path().glob(".*"))


@pytest.mark.parametrize("out", ["o", "a.png/r.html"], ids=["folder", "file in the way"])
def test_a_path_that_can_not_be_written_is_told(one: Path, nital: Nital, out: str) -> None:
    assert_refused(nital("report", one, "--out", out), f"{out}: ")


def test_folders_on_the_way_are_made(one: Path, nital: Nital) -> None:
    assert nital("report", one, "--out", "new/deep/r.html").code == 0
    assert {path.name for path in Path("new/deep").iterdir()} == {"r.html"}


def test_a_folder_without_results_is_refused(image: Path, nital: Nital) -> None:
    Path("empty").mkdir()
    assert_refused(nital("report", "empty"), "empty: no result")
    assert not Path("report.html").exists()
