"""The command line: files written, output and its stream, error messages."""

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import nital as package
from helpers.pictures import halves
from helpers.terminal import PAPER, Nital, Outcome
from nital.image.labels import read_labels
from nital.image.ome_zarr import write_ome_zarr_labels
from nital.work import jobs

pytestmark = pytest.mark.usefixtures("small_views")

STUDY_MODES = pytest.mark.parametrize(
    "mode", [(), ("--mode", "paper", "--max-iterations", 2)], ids=["fast", "paper"]
)
MODES = pytest.mark.parametrize("mode", [(), PAPER], ids=["fast", "paper"])
KEYS = {"n_classes", "classes", "criteria", "settings", "seconds", "versions", "sha256"}
OF_PAPER = {"iterations", "stop_reason", "n_superpixels"}
NETWORK = {
    "n_superpixels",
    "compactness",
    "n_layers",
    "n_filters",
    "n_responses",
    "learning_rate",
    "momentum",
    "max_iterations",
    "device",
    "threads",
    "repeats",
    "seed",
}
"""Settings of paper mode."""


def files(folder: Path | str = ".") -> set[str]:
    """All files below a folder, including hidden ones."""
    return {str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file()}


def assert_refused(outcome: Outcome, says: str, out: str = "o") -> None:
    """One line on stderr, exit code 2, nothing on stdout and nothing written."""
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert says in outcome.err
    assert not Path(out).exists()


def start(*arguments: object, **how: Any) -> "subprocess.Popen[str]":
    """Start the command in a separate process."""
    command = [sys.executable, "-m", "nital", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, **how)


# --- segment ------------------------------------------------------------------------------------


def test_segment_writes_its_files(image: Path, nital: Nital) -> None:
    done = nital("segment", image, "--n-classes", 2, "--out", "o")
    assert (done.code, done.err) == (0, "")
    result_files = {"labels.tif", "overlay.png", "classes.csv", "summary.json"}
    assert files("o/a") == result_files | {"agreement.tif", "fine.tif", "fine.csv"}
    summary = json.loads(Path("o/a/summary.json").read_text())
    assert set(summary) >= KEYS
    assert not set(summary) & OF_PAPER
    assert summary["settings"]["n_classes"] == 2
    with Image.open("o/a/overlay.png") as overlay:
        assert overlay.size == (20, 16)
    assert "o/a/labels.tif" in done.out


def test_paper_mode_writes_no_fine_classes(image: Path, nital: Nital) -> None:
    done = nital("segment", image, *PAPER, "--n-classes", 2, "--out", "o")
    assert done.code == 0
    assert files("o/a") == {"labels.tif", "overlay.png", "classes.csv", "summary.json"}
    summary = json.loads(Path("o/a/summary.json").read_text())
    assert set(summary) >= KEYS | OF_PAPER
    assert f"{summary['iterations']} iterations" in done.out


@pytest.mark.parametrize("options", [(), ("--mode", "fast")])
def test_settings_of_fast_mode(image: Path, nital: Nital, options: tuple[str, ...]) -> None:
    done = nital("segment", image, *options, "--out", "o", "--json")
    used = json.loads(done.out)["settings"]
    names = ("mode", "n_classes", "regions", "scale")
    assert tuple(used[name] for name in names) == ("fast", 3, "classes", "fine")
    assert not set(used) & NETWORK


def test_settings_of_paper_mode(image: Path, nital: Nital) -> None:
    options = ("--mode", "paper", "--max-iterations", 1, "--threads", 1)
    for changed, n_filters in (((), 100), (("--n-filters", 9), 9)):
        done = nital("segment", image, *options, *changed, "--out", f"o{n_filters}", "--json")
        used = json.loads(done.out)["settings"]
        assert set(used) >= {"mode", "n_classes", "regions"} | NETWORK
        assert "scale" not in used
        found = tuple(used[name] for name in ("n_filters", "n_responses", "learning_rate"))
        assert found == (n_filters, 50, 0.1)


@pytest.mark.parametrize("scale", ["fine", "medium", "coarse"])
def test_a_scale_is_used_and_stored(image: Path, nital: Nital, scale: str) -> None:
    done = nital("segment", image, "--scale", scale, "--out", "o", "--json")
    assert done.code == 0
    assert json.loads(done.out)["settings"]["scale"] == scale


def test_fast_mode_gives_as_many_classes_as_asked_for(image: Path, nital: Nital) -> None:
    for k in (2, 4):
        done = nital("segment", image, "--n-classes", k, "--out", f"o{k}", "--json")
        assert json.loads(done.out)["n_classes"] == k
        assert done.err == ""


@MODES
def test_json_is_the_summary_and_nothing_else(
    image: Path, nital: Nital, mode: tuple[str, ...]
) -> None:
    done = nital("segment", image, *mode, "--out", "o", "--json")
    assert json.loads(done.out) == json.loads(Path("o/a/summary.json").read_text())
    assert done.out.count("\n") == 1


@pytest.mark.parametrize("mode", [(), (*PAPER, "--seed", 1)], ids=["fast", "paper"])
def test_the_same_settings_give_the_same_bytes(
    image: Path, nital: Nital, mode: tuple[object, ...]
) -> None:
    for out in ("o1", "o2"):
        nital("segment", image, *mode, "--out", out)
    for name in files("o1/a") - {"summary.json"}:
        assert Path("o1/a", name).read_bytes() == Path("o2/a", name).read_bytes()


def test_a_reference_and_a_pixel_size(image: Path, nital: Nital) -> None:
    Image.fromarray((halves() > 120).astype(np.uint8)).save("r.png")
    done = nital(
        *("segment", image, "--out", "o", "--reference", "r.png"),
        *("--pixel-size", "250nm", "--json"),
    )
    assert Path("o/a/comparison.png").exists()
    summary = json.loads(done.out)
    assert summary["pixel_size_um"] == 0.25
    assert summary["agreement"]["n_pixels"] == 320


def test_transparent_pixels_get_label_0(image: Path, nital: Nital) -> None:
    picture = Image.fromarray(halves()).convert("RGBA")
    alpha = np.full((16, 20), 255, np.uint8)
    alpha[12:] = 0
    picture.putalpha(Image.fromarray(alpha))
    picture.save("t.png")
    assert nital("segment", "t.png", "--out", "o").code == 0
    np.testing.assert_array_equal(read_labels(Path("o/t/labels.tif")) == 0, alpha == 0)


def test_a_result_is_replaced_with_force_only(image: Path, nital: Nital) -> None:
    nital("segment", image, "--out", "o")
    Path("o/a/notes.txt").write_text("mine")
    before = Path("o/a/summary.json").read_bytes()
    again = nital("segment", image, "--out", "o", "--n-classes", 2)
    assert (again.code, again.out) == (2, "")
    assert "--force" in again.err
    assert Path("o/a/summary.json").read_bytes() == before
    assert nital("segment", image, "--out", "o", "--n-classes", 2, "--force").code == 0
    assert json.loads(Path("o/a/summary.json").read_text())["n_classes"] == 2
    assert Path("o/a/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["a b.png", "ä µ.png", "a[1].png", "a[red].png", "-x.png"])
def test_odd_names(image: Path, nital: Nital, name: str) -> None:
    image.rename(name)
    done = nital("segment", "--out", "o", "--", name)
    assert done.code == 0
    assert files(f"o/{Path(name).stem}") >= {"labels.tif", "summary.json"}
    assert done.out.startswith(f"{name}: ")
    assert str(Path("o") / Path(name).stem / "labels.tif") in done.out
    again = nital("segment", "--out", "o", "--", name)
    assert f"o/{Path(name).stem}/labels.tif" in again.err


@pytest.mark.usefixtures("everything_is_large")
def test_an_ome_zarr(image: Path, nital: Nital) -> None:
    write_ome_zarr_labels(Path("g.zarr"), halves(40, 50), np.zeros((0, 3), np.uint8), 0.25)
    done = nital("segment", "g.zarr", "--out", "o")
    assert (done.code, done.err) == (0, "")
    assert "o/g/labels.zarr" in done.out
    assert "labels.tif" not in done.out
    assert Path("o/g/labels.zarr/.zattrs").exists()
    assert_refused(
        nital("segment", "g.zarr", "--out", "p", "--mode", "paper", "--exact"),
        "exact True: needs the whole of g.zarr",
        out="p",
    )


@pytest.mark.usefixtures("everything_is_large")
def test_a_large_tiff(image: Path, nital: Nital) -> None:
    tifffile.imwrite("g.tif", halves(40, 50), compression="lzw")
    done = nital("segment", "g.tif", "--out", "o")
    assert (done.code, done.err) == (0, "")
    with tifffile.TiffFile("o/g/labels.tif") as labels:
        assert labels.is_bigtiff
    again = nital("segment", "g.tif", "--out", "p", "--regions", "components")
    assert_refused(again, "regions 'components': needs the whole of g.tif", out="p")


def test_a_folder_that_is_no_ome_zarr(image: Path, nital: Nital) -> None:
    Path("g.zarr").mkdir()
    Path("g.zarr/.zgroup").write_text('{"zarr_format": 2}')
    assert_refused(nital("segment", "g.zarr", "--out", "o"), "not an OME-Zarr image")


def test_a_page_of_a_stack(image: Path, nital: Nital) -> None:
    tifffile.imwrite("s.tif", np.stack([halves(), 255 - halves()]), photometric="minisblack")
    assert_refused(nital("segment", "s.tif", "--out", "o"), "--page 1..2")
    done = nital("segment", "s.tif", "--out", "o", "--page", 2, "--json")
    assert json.loads(done.out)["page"] == 2


# --- fine classes and phases --------------------------------------------------------------------


def test_fine_makes_a_contact_sheet_and_a_table(image: Path, nital: Nital) -> None:
    nital("segment", image, "--n-classes", 2, "--out", "o")
    done = nital("fine", "o/a")
    assert (done.code, done.err) == (0, "")
    assert "o/a/fine.png" in done.out
    with Image.open("o/a/fine.png") as sheet:
        assert sheet.width > 200
    told = json.loads(nital("fine", "o/a", "--json").out)["fine_classes"]
    assert [row["class"] for row in told] == list(range(1, len(told) + 1))
    assert sum(row["n_pixels"] for row in told) == 16 * 20


def test_fine_classes_are_merged_to_phases(image: Path, nital: Nital) -> None:
    nital("segment", image, "--n-classes", 2, "--out", "o")
    done = nital("fine", "o/a", "--merge", "dark=1-2 bright=rest")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"dark +[\d.]+ % ± [\d.]+ %", done.out)
    rows = json.loads(Path("o/a/phases.json").read_text())["phases"]
    assert rows[0]["uncertainty"] == pytest.approx(rows[1]["uncertainty"])
    assert "uncertainty" in Path("o/a/phases.csv").read_text().splitlines()[0]
    assert re.search(r"a +[\d.]+ % ± [\d.]+ %", nital("phases", "o/a").out)
    fine, phases = read_labels("o/a/fine.tif"), read_labels("o/a/phases.tif")
    assert ((phases == 1) == (fine <= 2)).all()
    again = nital("fine", "o/a", "--merge", "dark=1 bright=rest")
    assert (again.code, again.out) == (2, "")
    assert "--force" in again.err
    told = nital("fine", "o/a", "--merge", "dark=1 bright=rest", "--force", "--json")
    assert json.loads(told.out) == json.loads(Path("o/a/phases.json").read_text())


def test_a_new_result_takes_older_phases_away(image: Path, nital: Nital) -> None:
    nital("segment", image, "--out", "o")
    nital("fine", "o/a")
    nital("fine", "o/a", "--merge", "all=rest")
    assert {"fine.png", "phases.tif", "phases.csv"} <= files("o/a")
    assert nital("segment", image, "--out", "o", "--n-classes", 2).code == 2
    assert nital("segment", image, "--out", "o", "--n-classes", 2, "--force").code == 0
    assert not {"fine.png", "phases.tif", "phases.png", "phases.csv", "phases.json"} & files("o/a")


def test_a_micrograph_that_has_moved(image: Path, nital: Nital) -> None:
    nital("segment", image, "--out", "o")
    image.rename("elsewhere.png")
    missing = nital("fine", "o/a")
    assert (missing.code, missing.out) == (2, "")
    assert "a.png: no such file, the micrograph of o/a; give it with --image" in missing.err
    assert nital("fine", "o/a", "--image", "elsewhere.png").code == 0
    Image.fromarray(halves()[::-1]).save("a.png")
    other = nital("fine", "o/a", "--merge", "all=rest")
    assert other.code == 2
    assert "not the micrograph of o/a" in other.err
    assert "phases.tif" not in files("o/a")


def test_results_without_fine_classes(image: Path, nital: Nital) -> None:
    nital("segment", image, *PAPER, "--out", "o")
    for folder, said in (("o/a", "holds no fine classes"), ("o", "no result"), ("x", "no result")):
        done = nital("fine", folder)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
    Path("o/a/fine.tif").write_bytes(b"II*")
    Path("o/a/summary.json").write_text("{")
    assert "damaged" in nital("fine", "o/a").err


@pytest.mark.parametrize("merge", ["", "a=99", "a=1", "a=1 b=1,rest", "a=1 b=1 c=rest"])
def test_bad_phases_leave_nothing(image: Path, nital: Nital, merge: str) -> None:
    nital("segment", image, "--n-classes", 2, "--out", "o")
    before = files("o")
    done = nital("fine", "o/a", "--merge", merge)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert files("o") == before


# --- many images --------------------------------------------------------------------------------


def test_a_bad_file_does_not_stop_the_others(image: Path, nital: Nital) -> None:
    Path("bad.png").write_text("no image")
    Image.fromarray(halves()).save("c.png")
    done = nital("segment", "bad.png", image, "none.png", "c.png", "--out", "o", "--json")
    assert done.code == 1
    assert [json.loads(line)["image"] for line in done.out.splitlines()] == ["a.png", "c.png"]
    assert {path.name for path in Path("o").iterdir()} == {"a", "c"}
    assert "bad.png" in done.err
    assert "none.png: no such file" in done.err
    assert "2 of 4 images failed" in done.err


def test_a_batch_of_bad_files_only(image: Path, nital: Nital) -> None:
    assert nital("segment", "none.png", "no.png", "--out", "o").code == 2
    assert not Path("o").exists()


def test_two_images_of_one_name(image: Path, nital: Nital) -> None:
    tifffile.imwrite("a.tif", halves())
    assert_refused(nital("segment", image, "a.tif", "--out", "o"), "a.tif")


def test_a_reference_belongs_to_one_image(image: Path, nital: Nital) -> None:
    done = nital("segment", image, "b.png", "--reference", "r.png", "--out", "o")
    assert_refused(done, "--reference")


# --- mistakes -----------------------------------------------------------------------------------


def make_bad(kind: str) -> str:
    """Write a bad file of this kind; return its name."""
    path = Path("bad.tif")
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "cut":
        tifffile.imwrite(path, halves(), compression="lzw")
        path.write_bytes(path.read_bytes()[:-30])
    elif kind == "folder":
        path.mkdir()
    elif kind == "one":
        Image.fromarray(halves(1, 1)).save(path)
    elif kind == "small":
        Image.fromarray(halves(4, 2)).save(path)
    elif kind == "constant":
        Image.fromarray(np.full((16, 16), 9, np.uint8)).save(path)
    elif kind in ("nan", "inf"):
        tifffile.imwrite(path, np.where(halves() > 190, float(kind), 0.5).astype(np.float32))
    elif kind == "stack":
        tifffile.imwrite(path, np.stack([halves()] * 2), imagej=True)
    return str(path)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file"),
        ("empty", "empty"),
        ("text", "not an image"),
        ("cut", "cut short"),
        ("folder", "folder"),
        ("one", "1 x 1"),
        ("small", "4 x 2"),
        ("constant", "constant"),
        ("nan", "NaN"),
        ("inf", "infinite"),
        ("stack", "stack of 2 pages"),
    ],
)
def test_a_bad_image_is_told_in_one_line(image: Path, nital: Nital, kind: str, says: str) -> None:
    done = nital("segment", make_bad(kind), "--out", "o")
    assert_refused(done, says)
    assert "bad.tif" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--n-classes", "many"), "n_classes 'many': not a whole number; use 2 or more, or 'auto'"),
        (("--n-classes", "2.5"), "n_classes '2.5': not a whole number; use 2 or more, or 'auto'"),
        (("--n-classes", 25), "n_classes 25: ask for at most 24"),
        (("--n-classes", 1), "n_classes 1: too small; use 2 or more, or 'auto'"),
        (("--n-classes", -3), "n_classes -3"),
        (("--mode", "swift"), "mode 'swift'"),
        (("--scale", "huge"), "scale 'huge': unknown; use one of fine, medium, coarse"),
        (("--regions", "grains"), "regions 'grains'"),
        (("--page", 2), "page 2"),
        (("--page", 0), "page 0"),
        (("--pixel-size", "0.25"), "0.25um"),
        (("--pixel-size", "-1um"), "-1um"),
        (("--reference", "none.png"), "none.png"),
        (("--reference", "small.png"), "(16, 16)"),
        (("--reference", "smeared.jpg"), "JPEG"),
    ],
)
def test_a_bad_option_is_told_in_one_line(
    image: Path, nital: Nital, options: tuple[object, ...], says: str
) -> None:
    Image.fromarray(halves(16, 16)).save("small.png")
    Image.fromarray(halves()).save("smeared.jpg")
    assert_refused(nital("segment", image, "--out", "o", *options), says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--n-classes", 7), "n_classes 7"),
        (("--n-classes", "auto"), "paper mode needs a number"),
        (("--superpixels", 0), "n_superpixels 0"),
        (("--superpixels", 1000), "n_superpixels 1000"),
        (("--compactness", "nan"), "compactness nan"),
        (("--compactness", -5), "compactness -5"),
        (("--max-iterations", 0), "max_iterations 0"),
        (("--learning-rate", "inf"), "learning_rate inf"),
        (("--momentum", 1), "momentum 1"),
        (("--threads", 0), "threads 0"),
        (("--device", "tpu"), "device 'tpu'"),
        (("--repeats", 0), "repeats 0: too small"),
        (("--repeats", 256), "repeats 256: too many; use 1 to 255"),
        (("--seed", -1), "seed -1"),
        (("--seed", 2**32), "seed 4294967296"),
        (("--n-layers", 8), "no side may be smaller than 17"),
        (("--scale", "coarse"), "scale 'coarse': paper mode has no such setting"),
    ],
)
def test_a_bad_option_of_paper_mode_is_told_in_one_line(
    image: Path, nital: Nital, options: tuple[object, ...], says: str
) -> None:
    assert_refused(nital("segment", image, *PAPER, "--out", "o", *options), says)


@pytest.mark.parametrize(
    "options",
    [
        ("--superpixels", 12),
        ("--compactness", 5),
        ("--max-iterations", 3),
        ("--learning-rate", 0.2),
        ("--momentum", 0.5),
        ("--n-layers", 3),
        ("--n-filters", 8),
        ("--n-responses", 6),
        ("--device", "cpu"),
        ("--threads", 1),
        ("--repeats", 3),
        ("--seed", 1),
    ],
)
def test_an_option_of_paper_mode_is_refused_in_fast_mode(
    image: Path, nital: Nital, options: tuple[object, ...]
) -> None:
    done = nital("segment", image, "--out", "o", *options)
    assert_refused(done, "fast mode has no such setting; leave it out, or use mode paper")


@pytest.mark.parametrize("size", ["1e-300um", "1e300um"])
def test_a_pixel_size_no_file_can_hold(image: Path, nital: Nital, size: str) -> None:
    assert nital("segment", image, "--out", "o", "--pixel-size", size).code in (0, 2)


@pytest.mark.parametrize("options", [("--n-classes", "many"), ("--no-such", 1), ()])
def test_a_wrong_call_exits_with_2(image: Path, nital: Nital, options: tuple[object, ...]) -> None:
    done = nital("segment", *options)
    assert (done.code, done.out) == (2, "")
    assert not Path("o").exists()


@pytest.mark.parametrize("out", ["a.png", "a.png/deeper", "/proc/x", "/dev/null"])
def test_a_folder_that_can_not_be(image: Path, nital: Nital, out: str) -> None:
    before = image.read_bytes()
    assert_refused(nital("segment", image, "--out", out), out)
    assert image.read_bytes() == before


def test_debug_shows_where(image: Path, nital: Nital) -> None:
    with pytest.raises(package.InputError):
        nital("segment", "none.png", "--debug")


def test_a_defect_is_told_as_such(
    image: Path, nital: Nital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(jobs, "write_result", broken)
    done = nital("segment", image, "--out", "o")
    assert done.code == 1
    assert "unexpected: ZeroDivisionError: oh" in done.err
    assert files() == {"a.png"}


def test_version_and_help(nital: Nital) -> None:
    assert nital("--version").out == f"nital {package.__version__}\n"
    assert nital("--help").code == 0
    helped = " ".join(nital("segment", "--help").out.replace("│", " ").split())
    assert "at most one per 20 pixels" in helped
    assert "fast: seconds" in helped
    assert "--scale" in helped


# --- the other commands -------------------------------------------------------------------------


@MODES
def test_a_map_scored_is_as_good_as_when_it_was_made(
    image: Path, nital: Nital, mode: tuple[str, ...]
) -> None:
    Image.fromarray((halves() > 120).astype(np.uint8)).save("r.png")
    call = ("segment", image, *mode, "--out", "o", "--reference", "r.png")
    made = json.loads(nital(*call, "--json").out)
    done = nital("score", "o/a/labels.tif", "--image", image, "--reference", "r.png", "--json")
    scored = json.loads(done.out)
    assert scored["criteria"] == pytest.approx(made["criteria"])
    for found, expected in zip(scored["classes"], made["classes"], strict=True):
        expected.pop("uncertainty", None)  # a map alone does not show it
        assert found == pytest.approx(expected, rel=1e-6)  # fast mode measures class by class
    assert scored["agreement"] == made["agreement"]
    told = nital("score", "o/a/labels.tif", "--image", image, "--reference", "r.png")
    assert "mean IoU" in told.out


def test_score_with_zero_as_a_class(image: Path, nital: Nital) -> None:
    Image.fromarray((halves() > 120).astype(np.uint8)).save("l.png")
    without = json.loads(nital("score", "l.png", "--image", image, "--json").out)
    within = json.loads(nital("score", "l.png", "--image", image, "--include-zero", "--json").out)
    assert (without["n_classes"], without["excluded_fraction"]) == (1, 0.5)
    assert [row["class"] for row in within["classes"]] == [0, 1]


@pytest.mark.parametrize("options", [(), ("--include-zero",)])
def test_score_refuses_negative_labels(image: Path, nital: Nital, options: tuple[str, ...]) -> None:
    tifffile.imwrite("l.tif", np.where(halves() > 120, 1, -1).astype(np.int16))
    assert_refused(nital("score", "l.tif", "--image", image, *options), "negative")


def test_score_refuses_a_map_of_another_size(image: Path, nital: Nital) -> None:
    Image.fromarray(halves(16, 16)).save("l.png")
    assert_refused(nital("score", "l.png", "--image", image), "(16, 16)")


def test_score_counts_every_colour(image: Path, nital: Nital) -> None:
    red_or_green = np.where(halves()[..., np.newaxis] > 120, [200, 0, 0], [0, 200, 0])
    Image.fromarray(red_or_green.astype(np.uint8)).save("l.png")
    done = json.loads(nital("score", "l.png", "--image", image, "--json").out)
    assert done["n_classes"] == 2


def test_superpixels(image: Path, nital: Nital) -> None:
    call = ("superpixels", image, "--compactness", "1,20", "--superpixels", "5,10", "--out", "o")
    assert nital(*call).code == 0
    assert files("o") == {"a/superpixels/grid.png", "a/superpixels/grid.csv"}
    assert nital(*call).code == 2
    assert nital(*call, "--force").code == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--compactness", "1,,2"), "--compactness"),
        (("--compactness", "0"), "--compactness"),
        (("--superpixels", "5,x"), "--superpixels"),
        (("--superpixels", "5,1000"), "1000"),
    ],
)
def test_superpixels_of_no_sense(
    image: Path, nital: Nital, options: tuple[str, ...], says: str
) -> None:
    assert_refused(nital("superpixels", image, "--out", "o", *options), says)


def test_synth(image: Path, nital: Nital) -> None:
    call = ("synth", "ferrite=0.7", "pearlite=0.3", "--size", "64x80", "--grain-size", 12)
    done = nital(*call, "--seed", 4, "--out", "o")
    assert done.code == 0
    assert files("o") == {"micrograph.png", "truth.tif", "truth.json"}
    assert read_labels(Path("o/truth.tif")).shape == (64, 80)
    assert "ferrite" in done.out
    assert nital(*call, "--out", "o").code == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--size", "64"), "--size"),
        (("--size", "8x8"), "64"),
        (("--size", "-64x64"), "64"),
        (("unobtainium=1",), "unobtainium"),
        (("ferrite=-1",), "ferrite"),
        (("ferrite",), "ferrite"),
        (("--noise", "-1"), "noise"),
        (("--layout", "none"), "none"),
    ],
)
def test_synth_of_no_sense(image: Path, nital: Nital, options: tuple[str, ...], says: str) -> None:
    assert_refused(nital("synth", "--out", "o", *options), says)


@STUDY_MODES
def test_classes(image: Path, nital: Nital, mode: tuple[object, ...]) -> None:
    call = ("classes", image, "--range", "2:3", "--repeats", 2, *mode, "--out", "o")
    done = nital(*call, "--json")
    assert done.code == 0
    assert [row["n_classes"] for row in json.loads(done.out)["numbers"]] == [2, 3]
    assert files("o/a/classes") == {
        "runs.csv",
        "study.json",
        "criteria.png",
        "criteria.csv",
        "summary.json",
    }
    journal = Path("o/a/classes/runs.csv")
    before = journal.read_text()
    again = nital(*call, "--json")
    assert json.loads(again.out) == json.loads(done.out)
    n_runs = 4 if mode else 2  # fast mode has no seeds
    assert f"{n_runs} of {n_runs} runs already done" in again.err
    assert journal.read_text() == before
    other = nital(*call, "--regions", "components")
    assert (other.code, other.out) == (2, "")
    assert "another study" in other.err
    anew = nital(*call, "--regions", "components", "--force")
    assert "best number of classes" in anew.out
    assert len(journal.read_text().splitlines()) == n_runs + 1


@STUDY_MODES
def test_classes_side_by_side_are_the_same(
    image: Path, nital: Nital, mode: tuple[object, ...]
) -> None:
    call = ("classes", image, "--range", "2:3", "--repeats", 2, *mode, "--json")
    one, two = (nital(*call, "--workers", n, "--out", str(n)) for n in (1, 2))
    assert json.loads(one.out) == json.loads(two.out)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--range", "3"), "--range"),
        (("--range", "5:2"), "--range"),
        (("--range", "2:25"), "n_classes 25"),
        (("--mode", "paper", "--range", "2:51"), "n_classes 51"),
        (("--mode", "swift"), "mode 'swift'"),
        (("--repeats", 0), "repeats 0"),
        (("--scale", "huge"), "scale 'huge'"),
        (("--superpixels", 12), "n_superpixels 12: fast mode has no such setting"),
        (("--compactness", 5), "compactness 5.0: fast mode has no such setting"),
        (("--max-iterations", 3), "max_iterations 3: fast mode has no such setting"),
        (("--threads", 1), "threads 1: fast mode has no such setting"),
        (("--device", "cpu"), "device 'cpu': fast mode has no such setting"),
        (("--seed", 1), "seed 1: fast mode has no such setting"),
        (("--mode", "paper", "--compactness", 0), "compactness 0"),
        (("--mode", "paper", "--superpixels", 1000), "1000"),
        (("--mode", "paper", "--scale", "medium"), "scale 'medium': paper mode has no such"),
    ],
)
def test_classes_of_no_sense(
    image: Path, nital: Nital, options: tuple[object, ...], says: str
) -> None:
    assert_refused(nital("classes", image, "--out", "o", "--repeats", 1, *options), says)


def test_map(image: Path, nital: Nital) -> None:
    done = nital(
        *("map", image, "--compactness", "5,20", "--superpixels", "6,12"),
        *("--repeats", 1, "--max-iterations", 2, "--out", "o", "--json"),
    )
    assert done.code == 0
    assert len(json.loads(done.out)["pairs"]) == 4
    assert files("o/a/map") == {"runs.csv", "study.json", "map.png", "map.csv", "summary.json"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--compactness", "5"), "at least two"),
        (("--superpixels", "6"), "at least two"),
        (("--superpixels", "6,1000"), "1000"),
    ],
)
def test_map_of_no_sense(image: Path, nital: Nital, options: tuple[object, ...], says: str) -> None:
    short = ("--max-iterations", 1, "--repeats", 1)
    assert_refused(nital("map", image, "--out", "o", *short, *options), says)


@pytest.mark.parametrize("option", ["--mode", "--scale"])
def test_a_map_is_of_paper_mode_only(image: Path, nital: Nital, option: str) -> None:
    done = nital("map", image, "--out", "o", option, "fast")
    assert (done.code, done.out) == (2, "")
    assert option in done.err
    assert not Path("o").exists()


# --- in a process of its own --------------------------------------------------------------------


def test_python_m_nital_prints_json_to_stdout_only(image: Path) -> None:
    process = start("segment", image, "none.png", "--out", "o", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(out)["image"] == "a.png"
    assert "none.png: no such file" in err
    assert all(line.startswith(("error: ", "note: ")) for line in err.splitlines())


def wait_for(folder: Path, process: "subprocess.Popen[str]", pattern: str) -> None:
    """Wait until the process has made a matching file."""
    deadline = time.monotonic() + 60
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


FOR_EVER = (
    *("--mode", "paper", "--n-filters", 8, "--max-iterations", 10**6, "--n-classes", 2),
    *("--learning-rate", "1e-12"),
)


@pytest.mark.parametrize("options", [FOR_EVER, ()], ids=["paper", "fast"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_half_written(
    image: Path, number: signal.Signals, code: int, options: tuple[object, ...]
) -> None:
    if not options:  # large enough that fast mode takes a while
        noise = np.random.default_rng(0).integers(0, 256, (1500, 1500), dtype=np.uint8)
        Image.fromarray(noise).save(image)
    process = start("segment", image, *options, "--out", "o")
    wait_for(Path("o"), process, ".a.*.part")
    time.sleep(0.3)  # until it is computing
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == ""
    assert err.strip() == "stopped; finished results and runs are kept"
    assert files() == {"a.png"}
    assert list(Path("o").iterdir()) == []


@STUDY_MODES
def test_a_study_killed_at_any_moment_loses_no_run(
    image: Path, nital: Nital, mode: tuple[object, ...]
) -> None:
    numbers = ("--range", "2:4", "--repeats", 4) if mode else ("--range", "2:13")
    call = ("classes", image, *numbers, *mode, "--out", "o")
    journal = Path("o/a/classes/runs.csv")
    process = start(*call)
    wait_for(Path("o"), process, "a/classes/runs.csv")
    time.sleep(np.random.default_rng().uniform(0, 0.3))
    process.kill()
    process.communicate(timeout=30)  # its processes, which hold the pipes, end as well
    kept = journal.read_text() if journal.exists() else ""
    whole = kept[: kept.rfind("\n") + 1]
    assert nital(*call, "--json").code == 0
    assert journal.read_text().startswith(whole)
    lines = [line.split(",")[:4] for line in journal.read_text().splitlines()[1:]]
    assert len(lines) == len(set(map(tuple, lines))) == 12


def test_a_full_disk_is_told_and_leaves_nothing(image: Path) -> None:
    def little_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    process = start("segment", image, "--out", "o", preexec_fn=little_space)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert "error: o/a: can't be written (File too large)" in err
    assert files() == {"a.png"}


# --- agreement and the automatic number -----------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "n", "who"),
    [((), 8, "8 disturbed views"), ((*PAPER, "--repeats", 3), 3, "3 repeats")],
    ids=["fast", "paper"],
)
def test_views_and_repeats_write_how_sure_they_are(
    image: Path, nital: Nital, mode: tuple[object, ...], n: int, who: str
) -> None:
    done = nital("segment", image, "--n-classes", 2, *mode, "--out", "o")
    assert done.code == 0
    assert re.search(rf"{who} agree on [\d.]+ % of the area", done.out)
    assert " ± " in done.out
    agreement = tifffile.imread("o/a/agreement.tif")
    assert set(np.unique(agreement)) <= {round(100 * i / n) for i in range(1, n + 1)}
    summary = json.loads(Path("o/a/summary.json").read_text(encoding="utf-8"))
    assert summary["mean_agreement"] == pytest.approx(agreement.mean() / 100, abs=0.005)
    with Path("o/a/classes.csv").open(encoding="utf-8") as file:
        found = [float(row["uncertainty"]) for row in csv.DictReader(file)]
    assert found == pytest.approx([row["uncertainty"] for row in summary["classes"]], abs=1e-6)
    # A single run of paper mode afterwards removes its files.
    assert nital("segment", image, *PAPER, "--n-classes", 2, "--out", "o", "--force").code == 0
    assert not Path("o/a/agreement.tif").exists()
    assert "uncertainty" not in Path("o/a/classes.csv").read_text(encoding="utf-8")


def test_auto_keeps_the_curve(image: Path, nital: Nital) -> None:
    done = nital("segment", image, "--n-classes", "auto", "--out", "o", "--json")
    summary = json.loads(done.out)
    assert summary["n_classes_asked"] == "auto"
    curve = {row["n_classes"]: row["F"] for row in summary["n_classes_by_F"]}
    assert list(curve) == list(range(2, 11))
    assert summary["n_classes"] == min(curve, key=lambda k: curve[k])
    with Path("o/a/n_classes.csv").open(encoding="utf-8") as file:
        rows = {int(row["n_classes"]): float(row["F"]) for row in csv.DictReader(file)}
    assert rows == pytest.approx(curve)


@pytest.mark.usefixtures("everything_is_large")
def test_auto_is_refused_for_a_large_image(nital: Nital, tmp_path: Path) -> None:
    image = tmp_path / "large.tif"
    tifffile.imwrite(image, halves(40, 50))
    done = nital("segment", image, "--n-classes", "auto", "--out", tmp_path / "o")
    assert_refused(done, "needs the whole of large.tif")
