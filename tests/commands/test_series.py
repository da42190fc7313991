"""The commands fit, predict and name: files written, output, and errors."""

import csv
import functools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from helpers.pictures import write
from helpers.terminal import Nital, Outcome, nital_alone
from nital.image.labels import read_labels
from nital.result.grouping import ClassName
from nital.series.estimator import Segmenter
from nital.series.model_files import read_model, write_model

MODEL = "model.nital"


pytestmark = pytest.mark.usefixtures("small_samples")


def stripes(*greys: int, seed: int = 0, side: int = 48) -> NDArray[np.uint8]:
    """Areas side by side, each with one grey level, plus noise; all of them twice, so that no side
    is darker than the other."""
    level = np.repeat(np.tile(greys, 2), side // (2 * len(greys)))
    noise = np.random.default_rng(seed).integers(-8, 9, (side, side))
    return (level + noise).astype(np.uint8)


GREYS = 50, 125, 200
PICTURES = {
    "a": stripes(50, 125),
    "b": stripes(125, 200, seed=1),
    "c": stripes(200, 50, seed=2),
}


@functools.cache
def fitted() -> bytes:
    """The bytes of a model fitted to all three."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, MODEL)
        Segmenter(3, exposure="same").fit(list(PICTURES.values())).save(path)
        return path.read_bytes()


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three micrographs in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, picture in PICTURES.items():
        Image.fromarray(picture).save(f"{name}.png")
    return [Path(f"{name}.png") for name in PICTURES]


@pytest.fixture
def model(images: list[Path]) -> Iterator[Path]:
    """A model fitted to the three, also in the working directory."""
    path = Path(MODEL)
    path.write_bytes(fitted())
    return path


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_refused(done: Outcome, says: str) -> None:
    """One line on stderr, exit code 2, nothing on stdout."""
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert says in done.err


# --- fit ----------------------------------------------------------------------------------------


def test_fit_writes_a_model_and_says_what_it_is(images: list[Path], nital: Nital) -> None:
    done = nital("fit", *images, "--exposure", "same", "--out", "steel.nital")
    assert (done.code, done.err) == (0, "")
    assert "3 micrographs, one exposure for all; 24 fine classes in 3 classes" in done.out
    assert "steel.nital" in done.out
    found = read_model(Path("steel.nital"))
    assert [name for name, _ in found.images] == ["a.png", "b.png", "c.png"]
    assert [row.mean_grey for row in found.classes] == pytest.approx(GREYS, abs=8)


def test_fit_as_json_is_the_summary_and_nothing_else(images: list[Path], nital: Nital) -> None:
    done = nital("fit", *images, "--n-classes", 4, "--exposure", "each", "--json")
    assert done.code == 0
    assert done.out.count("\n") == 1
    told, found = json.loads(done.out), read_model(Path(MODEL))
    assert set(told) == {"model", "settings", "exposure", "images", "classes", "n_fine_classes"}
    assert (told["model"], told["exposure"], told["n_fine_classes"]) == (MODEL, "each", 24)
    assert told["settings"]["n_classes"] == 4
    assert told["settings"] == found.settings.as_dict()
    assert [each["name"] for each in told["images"]] == ["a.png", "b.png", "c.png"]
    assert len(told["images"][0]["sha256"]) == 64
    assert [row["class"] for row in told["classes"]] == [1, 2, 3, 4]


def test_fit_finds_the_number_of_classes_itself(images: list[Path], nital: Nital) -> None:
    done = nital("fit", "c.png", "--exposure", "same", "--n-classes", "auto", "--json")
    assert (done.code, done.err) == (0, "")
    Segmenter("auto", exposure="same").fit([Path("c.png")]).save("expected")
    assert Path(MODEL).read_bytes() == Path("expected").read_bytes()
    found = json.loads(done.out)
    assert 2 <= found["settings"]["n_classes"] == len(found["classes"]) <= 10


def test_fit_gives_the_same_bytes_twice(images: list[Path], nital: Nital) -> None:
    for name in ("one", "two"):
        assert nital("fit", *images, "--exposure", "same", "--out", name).code == 0
    assert Path("one").read_bytes() == Path("two").read_bytes()


def test_a_model_is_replaced_with_force_only(model: Path, images: list[Path], nital: Nital) -> None:
    before = model.read_bytes()
    call = ("fit", *images, "--exposure", "same", "--n-classes", 2)
    assert_refused(nital(*call), "model.nital: already exists; use --force")
    assert model.read_bytes() == before
    assert nital(*call, "--force").code == 0
    assert read_model(model).settings.n_classes == 2


def test_a_model_in_the_way_is_told_before_the_work(model: Path, nital: Nital) -> None:
    assert_refused(nital("fit", "none.png"), "model.nital: already exists")


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_folder_in_the_way_is_told(
    images: list[Path], nital: Nital, options: tuple[str, ...]
) -> None:
    Path(MODEL).mkdir()
    assert_refused(nital("fit", *images, *options), "a folder is in the way; name another --out")


def test_fit_leaves_the_info_bar_away(images: list[Path], nital: Nital) -> None:
    barred = np.vstack([PICTURES["a"], np.full((30, 48), 255, np.uint8)])
    barred[50:60, 5:20] = 0
    Image.fromarray(barred).save("bar.png")
    options = ("--n-classes", 2, "--exposure", "same")
    assert nital("fit", "bar.png", "--crop-bottom", 30, *options, "--out", "cut").code == 0
    assert nital("fit", "a.png", *options, "--out", "whole").code == 0
    assert (read_model(Path("cut")).centres == read_model(Path("whole")).centres).all()


def test_fit_takes_a_page_of_stacks(images: list[Path], nital: Nital) -> None:
    pages = np.stack([PICTURES["b"], PICTURES["a"]])
    tifffile.imwrite("stack.tif", pages, photometric="minisblack")
    options = ("--n-classes", 2, "--exposure", "same")
    assert nital("fit", "stack.tif", "--page", 2, *options, "--out", "page").code == 0
    assert nital("fit", "a.png", *options, "--out", "alone").code == 0
    assert (read_model(Path("page")).centres == read_model(Path("alone")).centres).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("a.png", "none.png"), "none.png: no such file"),
        (("a.png", "bad.png"), "bad.png"),
        (("a.png", "--n-classes", 1), "n_classes 1: too small"),
        (("a.png", "--n-classes", 99), "n_classes 99: ask for at most 24"),
        (("a.png", "--exposure", "dark"), "exposure 'dark': unknown; use one of auto, same, each"),
        (("a.png", "--scale", "huge"), "scale 'huge': unknown"),
        (("a.png", "--seed", 1), "Unknown option: --seed"),
        (("a.png", "--page", 7), "page 7"),
        (("a.png", "--crop-bottom", 48), "48"),
        (("a.png", "--out", "bad.png/m"), "bad.png/m: can't be written"),
    ],
)
def test_a_fit_that_can_not_be_is_told_and_leaves_nothing(
    images: list[Path], nital: Nital, options: tuple[object, ...], says: str
) -> None:
    Path("bad.png").write_text("no image")
    assert_refused(nital("fit", *options), says)
    assert not Path(MODEL).exists()


@pytest.mark.parametrize("options", [(), ("a.png", "--n-classes", "many"), ("a.png", "--odd")])
def test_a_wrong_call_of_fit_exits_with_2(
    images: list[Path], nital: Nital, options: tuple[object, ...]
) -> None:
    assert nital("fit", *options).code == 2


# --- predict ------------------------------------------------------------------------------------


def test_predict_writes_the_files_of_segment(model: Path, images: list[Path], nital: Nital) -> None:
    done = nital("predict", *images, "--model", model, "--out", "o")
    assert (done.code, done.err) == (0, "")
    expected = {"labels.tif", "overlay.png", "classes.csv", "summary.json", "fine.tif", "fine.csv"}
    for name in PICTURES:
        assert {path.name for path in Path("o", name).iterdir()} == expected
        assert f"o/{name}/labels.tif" in done.out


def test_predicted_labels_are_those_of_the_model(
    model: Path, images: list[Path], nital: Nital
) -> None:
    nital("predict", *images, "--model", model, "--out", "o")
    for image in images:
        found = read_labels(Path("o", image.stem, "labels.tif"))
        assert (found == Segmenter.load(model).predict(image)).all()


def test_a_class_that_is_not_there_keeps_its_row(
    model: Path, images: list[Path], nital: Nital
) -> None:
    done = nital("predict", "b.png", "--model", model, "--out", "o", "--json")
    rows, told = table("o/b/classes.csv"), json.loads(done.out)["classes"]
    assert [row["class"] for row in rows] == ["1", "2", "3"]
    assert (rows[0]["n_pixels"], rows[0]["area_fraction"], rows[0]["mean_grey"]) == (
        *("0", "0.000000", ""),
    )
    assert (told[0]["n_pixels"], told[0]["area_fraction"], told[0]["mean_grey"]) == (0, 0, None)
    assert done.err == ""


def test_the_summary_names_model_and_likeness(
    model: Path, images: list[Path], nital: Nital
) -> None:
    done = nital("predict", "a.png", "--model", model, "--out", "o", "--json")
    summary = json.loads(done.out)
    assert summary == json.loads(Path("o/a/summary.json").read_text(encoding="utf-8"))
    told = summary["model"]
    assert (told["path"], told["exposure"], told["n_images"]) == (MODEL, "same", 3)
    assert len(told["sha256"]) == 64
    assert set(summary["likeness"]) == {"novelty", "shift", "usual_novelty", "usual_shift"}
    assert summary["settings"]["n_classes"] == 3
    assert summary["notes"] == []


def test_segment_says_nothing_of_a_model(images: list[Path], nital: Nital) -> None:
    summary = json.loads(nital("segment", "a.png", "--out", "o", "--json").out)
    assert not {"model", "likeness"} & set(summary)
    assert "name" not in table("o/a/classes.csv")[0]


def test_what_is_unlike_is_told(model: Path, images: list[Path], nital: Nital) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(noise).save("noise.png")
    done = nital("predict", "noise.png", "--model", model, "--out", "o", "--json")
    assert done.code == 0
    assert "noise.png: unlike the micrographs that the model was fitted to" in done.err
    (note,) = json.loads(done.out)["notes"]
    assert note.startswith("unlike the micrographs")


def test_a_result_is_replaced_with_force_only(
    model: Path, images: list[Path], nital: Nital
) -> None:
    call = ("predict", "a.png", "--model", model, "--out", "o")
    nital(*call)
    assert_refused(nital(*call), "use --force")
    assert nital(*call, "--force").code == 0


def test_a_prediction_is_compared_with_a_reference(
    model: Path, images: list[Path], nital: Nital
) -> None:
    Image.fromarray((PICTURES["a"] > 90).astype(np.uint8)).save("r.png")
    done = nital(
        "predict", "a.png", "--model", model, "--out", "o", "--reference", "r.png", "--json"
    )
    assert json.loads(done.out)["agreement"]["accuracy"] > 0.9
    assert Path("o/a/comparison.png").exists()


def test_an_info_bar_is_cut_off_and_read_back_without(
    model: Path, images: list[Path], nital: Nital
) -> None:
    barred = np.vstack([PICTURES["a"], np.full((30, 48), 255, np.uint8)])
    Image.fromarray(barred).save("bar.png")
    options = ("--model", model, "--out", "o", "--crop-bottom", 30, "--json")
    assert json.loads(nital("predict", "bar.png", *options).out)["cropped_bottom"] == 30
    nital("predict", "a.png", "--model", model, "--out", "o")
    assert (read_labels(Path("o/bar/labels.tif")) == read_labels(Path("o/a/labels.tif"))).all()
    assert nital("fine", "o/bar", "--merge", "all=rest").code == 0


def test_a_bad_file_does_not_stop_the_others(model: Path, images: list[Path], nital: Nital) -> None:
    Path("bad.png").write_text("no image")
    done = nital(
        "predict", "bad.png", "a.png", "none.png", "--model", model, "--out", "o", "--json"
    )
    assert done.code == 1
    assert [json.loads(line)["image"] for line in done.out.splitlines()] == ["a.png"]
    assert "none.png: no such file" in done.err
    assert "2 of 3 images failed" in done.err
    assert [path.name for path in Path("o").iterdir()] == ["a"]


def test_a_batch_of_bad_files_only(model: Path, nital: Nital) -> None:
    assert nital("predict", "none.png", "no.png", "--model", model, "--out", "o").code == 2
    assert not Path("o").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("a.png", "--model", "none"), "none: no such file; name a model written by `nital fit`"),
        (("a.png", "--model", "a.png"), "a.png: damaged, or not a nital model"),
        (("none.png", "--model", MODEL), "none.png: no such file"),
        (("a.png", "x/a.tif", "--model", MODEL), "the same folder as those of a.png"),
        (("a.png", "b.png", "--model", MODEL, "--reference", "r.png"), "belongs to one image"),
        (("a.png", "--model", MODEL, "--pixel-size", "7"), "0.25um or 250nm"),
        (("a.png", "--model", MODEL, "--crop-bottom", 99), "99"),
    ],
)
def test_a_prediction_that_can_not_be_is_told_and_leaves_nothing(
    model: Path, nital: Nital, options: tuple[str, ...], says: str
) -> None:
    assert_refused(nital("predict", *options, "--out", "o"), says)
    assert not Path("o").exists()


def test_predict_needs_a_model(images: list[Path], nital: Nital) -> None:
    done = nital("predict", "a.png", "--out", "o")
    assert (done.code, done.out) == (2, "")
    assert "--model" in done.err


@pytest.mark.usefixtures("everything_is_large")
def test_a_large_file_is_predicted_as_a_small_one(
    model: Path, images: list[Path], nital: Nital
) -> None:
    tifffile.imwrite("g.tif", PICTURES["a"], compression="lzw")
    done = nital("predict", "g.tif", "--model", model, "--out", "o", "--json")
    assert (done.code, done.err) == (0, "")
    assert (read_labels(Path("o/g/labels.tif")) == Segmenter.load(model).predict("a.png")).all()
    assert not Path("o/g/fine.tif").exists()
    assert json.loads(done.out)["likeness"]


# --- the fine classes of a prediction -------------------------------------------------------------


@pytest.fixture
def predicted(model: Path, nital: Nital) -> Path:
    """The folder of an image that lacks some fine classes of its model."""
    assert nital("predict", "b.png", "--model", model, "--out", "o").code == 0
    counts = [int(row["n_pixels"]) for row in table("o/b/fine.csv")]
    assert len(counts) == 24
    assert 0 in counts
    return Path("o/b")


def test_fine_classes_that_are_not_there_keep_their_row(predicted: Path) -> None:
    for row in table("o/b/fine.csv"):
        absent = row["n_pixels"] == "0"
        assert (row["mean_grey"] == "") == (row["in_class"] == "0") == absent


def test_a_contact_sheet_of_a_prediction(predicted: Path, nital: Nital) -> None:
    done = nital("fine", predicted)
    assert (done.code, done.err) == (0, "")
    assert "0.00 %" in done.out
    with Image.open(predicted / "fine.png") as sheet:
        assert sheet.width > 200


def test_fine_classes_of_a_prediction_are_merged(predicted: Path, nital: Nital) -> None:
    done = nital("fine", predicted, "--merge", "dark=1-8 bright=rest")
    assert (done.code, done.err) == (0, "")
    fine, phases = (read_labels(predicted / name) for name in ("fine.tif", "phases.tif"))
    assert ((phases == 1) == (fine <= 8)).all()


def test_a_phase_of_what_is_not_there_has_no_area(predicted: Path, nital: Nital) -> None:
    absent = [row["class"] for row in table("o/b/fine.csv") if row["n_pixels"] == "0"]
    done = nital("fine", predicted, "--merge", f"none={','.join(absent)} all=rest", "--json")
    assert done.code == 0
    none, every = json.loads(done.out)["phases"]
    assert (none["n_pixels"], none["mean_grey"]) == (0, None)
    assert every["area_fraction"] == 1
    assert nital("fine", predicted, "--merge", "one=rest", "--force").code == 0


# --- name -----------------------------------------------------------------------------------------


def test_name_without_names_shows_the_classes(model: Path, nital: Nital) -> None:
    before = model.read_bytes()
    done = nital("name", model)
    assert (done.code, done.err) == (0, "")
    assert "24 fine classes in 3 classes" in done.out
    assert model.read_bytes() == before


def test_names_are_kept_in_the_file_and_shown(model: Path, nital: Nital) -> None:
    done = nital("name", model, "1=pearlite", "3=ferrite α", "--colour", "pearlite=#0A0B0C")
    assert (done.code, done.err) == (0, "")
    assert "pearlite" in done.out
    expected = {1: ClassName("pearlite", "#0a0b0c"), 3: ClassName("ferrite α")}
    assert read_model(model).names == expected
    assert "ferrite α" in nital("name", model).out


def test_names_as_json(model: Path, nital: Nital) -> None:
    done = nital("name", model, "2=bainite", "--json")
    assert done.out.count("\n") == 1
    told = json.loads(done.out)
    assert [row.get("name") for row in told["classes"]] == [None, "bainite", None]
    assert json.loads(nital("name", model, "--json").out) == told


def test_names_and_colours_may_come_one_after_the_other(model: Path, nital: Nital) -> None:
    assert nital("name", model, "1=a").code == 0
    assert nital("name", model, "2=b").code == 0
    assert nital("name", model, "--colour", "a=#000001").code == 0
    assert read_model(model).names == {1: ClassName("a", "#000001"), 2: ClassName("b")}


@pytest.fixture
def coloured(model: Path) -> Path:
    """The model, with a colour for class 1 and no name."""
    found = read_model(model).named({1: ClassName(None, "#0a0b0c")})
    write_model(model, found, versions={}, force=True)
    return model


def test_a_colour_without_a_name_follows_into_a_prediction(coloured: Path, nital: Nital) -> None:
    done = nital("predict", "a.png", "--model", coloured, "--out", "o", "--json")
    assert (done.code, done.err) == (0, "")
    rows = table("o/a/classes.csv")
    assert rows[0]["colour"] == "#0a0b0c"
    assert "name" not in rows[0]
    told = json.loads(done.out)["classes"]
    assert [row.get("colour") for row in told] == ["#0a0b0c", None, None]
    assert not any("name" in row for row in told)
    with tifffile.TiffFile("o/a/labels.tif") as labels:
        assert (labels.pages[0].colormap[:, 1] // 257).tolist() == [10, 11, 12]


def test_a_model_with_a_colour_and_no_name_is_shown(coloured: Path, nital: Nital) -> None:
    shown = nital("name", coloured)
    assert (shown.code, shown.err) == (0, "")
    told = json.loads(nital("name", coloured, "--json").out)["classes"]
    assert (told[0]["colour"], told[0].get("name")) == ("#0a0b0c", None)


def test_other_classes_are_named_beside_a_colour_without_a_name(
    coloured: Path, nital: Nital
) -> None:
    call = ("name", coloured, "2=ferrite", "3=pearlite", "--colour", "ferrite=#000002")
    assert nital(*call).code == 0
    assert read_model(coloured).names == {
        1: ClassName(None, "#0a0b0c"),
        2: ClassName("ferrite", "#000002"),
        3: ClassName("pearlite"),
    }
    said = "film: no class of that name; model.nital has ferrite, pearlite, name it first"
    assert_refused(nital("name", coloured, "--colour", "film=#000003"), said)


def test_a_colour_without_a_name_is_no_name(coloured: Path, nital: Nital) -> None:
    before = coloured.read_bytes()
    said = "film: no class of that name; model.nital has none"
    assert_refused(nital("name", coloured, "--colour", "film=#000003"), said)
    assert coloured.read_bytes() == before


def test_naming_alters_no_prediction(model: Path, nital: Nital) -> None:
    before = Segmenter.load(model).predict("a.png")
    nital("name", model, "1=pearlite")
    assert (Segmenter.load(model).predict("a.png") == before).all()


def test_names_follow_into_the_tables_of_a_prediction(model: Path, nital: Nital) -> None:
    nital("name", model, "1=pearlite", "2=ferrite", "--colour", "ferrite=#0a0b0c")
    done = nital("predict", "b.png", "--model", model, "--out", "o", "--json")
    rows = table("o/b/classes.csv")
    assert [row["name"] for row in rows] == ["pearlite", "ferrite", ""]
    assert rows[1]["colour"] == "#0a0b0c"
    told = json.loads(done.out)["classes"]
    assert [row.get("name") for row in told] == ["pearlite", "ferrite", None]
    shown = nital("predict", "b.png", "--model", model, "--out", "o", "--force")
    assert "pearlite" in shown.out


def test_colours_follow_into_the_label_map_and_the_overlay(model: Path, nital: Nital) -> None:
    nital("name", model, "1=steel", "2=steel", "3=film", "--colour", "steel=#0a0b0c")
    nital("predict", "a.png", "--model", model, "--out", "o")
    with tifffile.TiffFile("o/a/labels.tif") as labels:
        colours = (labels.pages[0].colormap // 257).T
    assert colours[:3].tolist() == [[0, 0, 0], [10, 11, 12], [10, 11, 12]]
    assert colours[3].tolist() not in ([0, 0, 0], [10, 11, 12])
    with Image.open("o/a/overlay.png") as overlay:
        tinted = np.asarray(overlay)
    expected = (PICTURES["a"][..., np.newaxis] + np.array([10.0, 11.0, 12.0])) / 2
    assert tinted == pytest.approx(expected, abs=1)


def test_fine_classes_of_a_model_are_put_together_to_phases(model: Path, nital: Nital) -> None:
    call = ("name", model, "--fine", "bright=13-24", "dark=rest", "--colour", "dark=#000001")
    done = nital(*call, "--json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert [row["name"] for row in told["classes"]] == ["dark", "bright"]
    assert told["settings"]["n_classes"] == 2
    nital("predict", "a.png", "--model", model, "--out", "o")
    fine, labels = (read_labels(Path("o/a", name)) for name in ("fine.tif", "labels.tif"))
    assert ((labels == 2) == (fine >= 13)).all()
    assert [row["name"] for row in table("o/a/classes.csv")] == ["dark", "bright"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("1=",), "1=: not CLASS=NAME, e.g. 1=pearlite"),
        (("x=y",), "x=y: not CLASS=NAME"),
        (("pearlite",), "pearlite: not CLASS=NAME"),
        (("9=name",), "class 9: there are classes 1 to 3"),
        (("0=name",), "class 0: there are classes 1 to 3"),
        (("1=a", "1=b"), "class 1 is named twice"),
        (("1=a", "--colour", "bad"), "--colour bad: not NAME=#RRGGBB"),
        (("1=a", "--colour", "a=red"), "--colour a=red: not NAME=#RRGGBB"),
        (("1=a", "--colour", "a=#000001", "--colour", "a=#000002"), "a has two colours"),
        (("1=a", "--colour", "b=#000001"), "b: no class of that name; model.nital has a"),
        (("--colour", "b=#000001"), "b: no class of that name; model.nital has none"),
        (("--fine",), "--fine: names no phase"),
        (("--fine", "a=1-12"), "a single phase; name two or more"),
        (("--fine", "a=1-12", "b=13-23"), "fine classes 24: in no phase"),
        (("--fine", "a=1-12", "b=12-24"), "fine class 12: in a and in b"),
        (("--fine", "a=1-25", "b=rest"), "use fine classes from 1 to 24"),
        (("--fine", "a=1-24", "b=rest"), "b: has no fine class"),
        (("--fine", "a=x", "b=rest"), "'x' is not a number or a range"),
    ],
)
def test_names_that_can_not_be_are_told_and_leave_the_model(
    model: Path, nital: Nital, options: tuple[str, ...], says: str
) -> None:
    assert_refused(nital("name", model, *options), says)
    assert model.read_bytes() == fitted()


def test_a_model_that_is_not_there_is_not_named(images: list[Path], nital: Nital) -> None:
    for options in ((), ("1=a",), ("--fine", "a=1", "b=rest")):
        assert_refused(nital("name", "none", *options), "none: no such file")
    assert not Path("none").exists()


def test_processes_side_by_side_fit_the_same_model(tmp_path: Path) -> None:
    images = [write(tmp_path / f"{seed}.tif", seed) for seed in range(2)]
    for workers in (1, 2):
        out = tmp_path / f"{workers}.nital"
        done = nital_alone("fit", *images, "--n-classes", 2, "--out", out, "--workers", workers)
        assert done.code == 0, done.err
    assert (tmp_path / "1.nital").read_bytes() == (tmp_path / "2.nital").read_bytes()
