"""Console: results to stdout, the rest to stderr; names unchanged; bars on a terminal only."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from helpers.pictures import halves
from nital.commands import console, tables
from nital.fast.settings import FastSettings
from nital.measure.specimen import Specimen, measure_field, measure_specimen
from nital.methods import segment
from nital.paper.course import Step
from nital.paper.settings import PAPER
from nital.result.agreement import compare
from nital.result.segmentation import Segmentation
from nital.work.runs import Run
from nital.work.studies import study_classes, study_superpixels

NAMES = ["a.png", "a[1].png", "a[red].png", "[bold]a[/bold].png", "a:smile:.png", "ä b.png"]


@pytest.fixture(scope="module")
def result() -> Segmentation:
    quick = replace(PAPER, n_filters=8, n_responses=6, max_iterations=3, device="cpu")
    return segment(halves(), settings=quick)


def run_of(k: int, m: float, n: int, seed: int, f: float) -> Run:
    """A run with these settings and this F."""
    return Run(k, m, n, seed, k, 9, "n_classes", f, 2 * f, 3 * f, 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_names_appear_as_they_are(
    name: str, result: Segmentation, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.print_segmentation(name, result, None)
    assert capsys.readouterr().out.startswith(f"{name}: ")


def test_paper_mode_tells_its_iterations(
    result: Segmentation, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.print_segmentation("a.png", replace(result, seconds={"training": 1.5}), None)
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"a.png: {result.n_classes} classes, 3 iterations, 1.5 s on cpu"


@pytest.mark.usefixtures("small_views")
def test_fast_mode_has_no_iterations_to_tell(capsys: pytest.CaptureFixture[str]) -> None:
    found = segment(halves(), settings=FastSettings(n_classes=2))
    tables.print_segmentation("a.png", replace(found, seconds={"labels": 0.2}), None)
    assert capsys.readouterr().out.startswith("a.png: 2 classes, 0.2 s\n")


@pytest.mark.parametrize("name", NAMES)
def test_messages_are_one_line_on_stderr(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = f"{name}: {'a long reason ' * 20}".strip()
    console.say_error(message)
    console.say_note(message)
    said = capsys.readouterr()
    assert said.err == f"error: {message}\nnote: {message}\n"
    assert said.out == ""


def test_the_table_of_classes(result: Segmentation, capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_segmentation("a.png", result, None)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[2 : 2 + result.n_classes]]
    assert [row[0] for row in rows] == [str(row.label) for row in result.classes]
    shares = [float(row[1]) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=0.05)
    assert "F = " in lines[-1]


def test_excluded_area_is_told(result: Segmentation, capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_classes(result.classes, 0.125)
    assert "excluded: 12.50 % of the image" in capsys.readouterr().out


def test_agreement_names_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.array([[1, 1, 2, 2, 3]])
    tables.print_agreement(compare(labels, np.array([[1, 1, 2, 2, 2]])), ("pearlite", "ferrite"))
    text = capsys.readouterr().out
    assert "1 pearlite" in text
    assert "class 3 (20.00 %) has no match" in text
    assert "pixel accuracy 0.800" in text


def specimen_of(*shares: int, names: tuple[str, ...] = ("a", "b"), size: float = 0.5) -> Specimen:
    """Fields of 10 x 10 pixels, named after the number of pixels of their second phase."""
    return measure_specimen(
        [
            measure_field(
                np.where(np.arange(100) < share, 2, 1).reshape(10, 10).astype(np.uint8),
                names,
                name=str(share),
                pixel_size=size or None,
                points=(3, 4),
            )
            for share in shares
        ]
    )


def test_the_tables_of_a_specimen(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_specimen(specimen_of(20, 24, 18, 22, 26))
    said = capsys.readouterr()
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert said.err == ""
    assert lines[:3] == ["field a b", "20 80.00 % 20.00 %", "24 76.00 % 24.00 %"]
    assert lines[6] == "over 5 fields (ASTM E562, E1245)"
    assert "b all pixels 22.00 % 3.16 % ± 3.93 % 17.8 % 11 more" in lines
    assert len(lines) == 6 + 1 + 1 + 4  # no regions


def test_phases_of_a_specimen_are_found_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = specimen_of(20, 40).fields
    turned = replace(second, phases=("b", "a"))
    tables.print_specimen(measure_specimen([first, turned]))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:3] == ["20 80.00 % 20.00 %", "40 40.00 % 60.00 %"]


@pytest.mark.parametrize(("size", "unit"), [(0.5, "µm"), (0, "px")])
def test_one_field_has_regions_and_no_interval(
    capsys: pytest.CaptureFixture[str], size: float, unit: str
) -> None:
    tables.print_specimen(specimen_of(20, size=size))
    text = capsys.readouterr().out
    assert "over 1 field (" in text
    assert "±" not in text
    last = " ".join(text.splitlines()[-1].split())
    edge = size or 1
    diameter = edge * (80 / np.pi) ** 0.5
    assert last.startswith(f"b 1 {20 * edge**2:.4g} {unit}² {diameter:.4g} {unit} 5 ")


def test_a_phase_that_is_not_there_has_empty_cells(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_specimen(specimen_of(20, 30, names=("a", "b", "none")))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "none all pixels 0.00 % 0.00 % ± 0.00 %" in lines
    tables.print_specimen(specimen_of(20, names=("a", "b", "none")))
    assert capsys.readouterr().out.splitlines()[-1].split() == ["none", "0"]


@pytest.mark.parametrize("name", ["[red]x", "[bold]a[/bold]", "a:smile:", "Перлит µ", "lath α"])
def test_names_of_phases_and_fields_appear_as_they_are(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (field,) = specimen_of(20, names=("other", name)).fields
    tables.print_specimen(measure_specimen([replace(field, name=name)]))
    assert capsys.readouterr().out.count(name) == 5  # header, field, two counts, regions


def test_studies(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_class_study(
        study_classes([run_of(k, 20, 9, seed, k + seed) for k in (2, 3) for seed in (0, 1)])
    )
    tables.print_superpixel_study(
        study_superpixels([run_of(2, m, n, 0, m * n) for m in (5, 20) for n in (1000, 2000)])
    )
    text = capsys.readouterr().out
    assert "best number of classes, by F: 2" in text
    assert "lowest mean F: compactness 5, 1,000 superpixels" in text


def test_a_study_says_where_maps_have_other_numbers_of_classes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = [replace(run_of(k, 20, 9, 0, k), n_found=2) for k in (2, 3)]
    tables.print_class_study(study_classes(runs))
    assert capsys.readouterr().err == (
        "note: 3 classes asked for, the label maps have 2.0 on average\n"
    )


def test_bars_are_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.segmentation_bar("a[1].png", 3) as (on_step, on_rows):
        on_step(Step(1, 4, 0.5))
        on_rows(2, np.zeros((8, 8), np.uint8))
    with console.run_bar(2, 1) as on_run:
        on_run(run_of(2, 20, 9, 0, 1.0))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal shows of stderr."""
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(console, "err", terminal)
    return shown


def test_bars_show_names_as_they_are_on_a_terminal(screen: io.StringIO) -> None:
    with console.segmentation_bar("a[red].png", 3) as (on_step, _):
        on_step(Step(3, 4, 0.5))
    assert "a[red].png: 4 classes, loss 0.500" in screen.getvalue()


def test_the_bar_of_the_training_becomes_that_of_the_rows(screen: io.StringIO) -> None:
    with console.segmentation_bar("a[red].png", 3) as (on_step, on_rows):
        on_step(Step(3, 4, 0.5))
        on_rows(128, np.zeros((700, 8), np.uint8))
    last = screen.getvalue().rsplit("a[red].png", 1)[1]
    assert last.startswith(": rows labelled")
    assert "128/700" in last
