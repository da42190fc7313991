"""Results: the files agree with the result and with each other."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.pictures import fine_classes, halves
from nital.errors import OutputError, Stopped
from nital.fast.labelling import CENTRE_COLUMNS
from nital.fast.settings import FastSettings
from nital.image import windows
from nital.image.files import read_micrograph
from nital.image.labels import read_labels
from nital.image.large import open_micrograph
from nital.image.light import Light
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.synthetic import synthesize
from nital.measure.specimen import Specimen, measure_field, measure_specimen
from nital.methods import segment
from nital.output import results
from nital.output.names import PHASE_FILES, RESULT_FILES, SPECIMEN_FILES
from nital.output.render import class_colours
from nital.output.results import write_phases, write_result, write_synthetic
from nital.output.specimens import specimen_summary, write_specimen
from nital.output.summary import class_summary, summarise
from nital.paper.settings import PAPER
from nital.result.agreement import compare
from nital.result.classes import ClassRow
from nital.result.phases import name_phases
from nital.result.segmentation import Segmentation
from nital.storage.versions import versions
from nital.work.runs import Run
from nital.work.studies import study_classes, study_superpixels
from nital.work.study_folder import (
    class_study_summary,
    superpixel_study_summary,
    write_class_study,
    write_superpixel_study,
)

pytestmark = pytest.mark.usefixtures("two_views")

QUICK = replace(PAPER, n_filters=8, n_responses=6, max_iterations=3, device="cpu")
KEYS = {
    "image",
    "page",
    "sha256",
    "shape",
    "pixel_size_um",
    "cropped_bottom",
    "full_scale",
    "excluded_fraction",
    "n_classes",
    "n_classes_asked",
    "classes",
    "criteria",
    "notes",
    "settings",
    "seconds",
    "versions",
}
OF_PAPER = {"iterations", "stop_reason", "n_superpixels"}


@pytest.fixture(scope="module")
def micrograph() -> Micrograph:
    mask = np.zeros((16, 20), bool)
    mask[14:] = True
    return Micrograph.from_array(halves(), excluded=mask, pixel_size=0.5, name="a.png")


@pytest.fixture(scope="module")
def result(micrograph: Micrograph) -> Segmentation:
    return segment(micrograph, settings=QUICK)


@pytest.fixture
def summary(result: Segmentation, micrograph: Micrograph) -> dict[str, Any]:
    return summarise(result, micrograph, source=Path("x/a.png"), page=2)


def run_of(k: int, m: float, n: int, seed: int) -> Run:
    """A run whose F rises with all its settings."""
    f = k * m * n / 100 + seed
    return Run(k, m, n, seed, k, 9, "n_classes", f, 2 * f, 3 * f, 0.1)


def test_the_summary_has_all_its_keys_and_is_json(
    summary: dict[str, Any], result: Segmentation
) -> None:
    assert set(summary) == KEYS | OF_PAPER
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert set(summary["criteria"]) == {"F", "F_prime", "Q"}
    assert all({"class", "area_fraction", "mean_grey"} <= set(row) for row in summary["classes"])
    assert summary["page"] == 2
    assert summary["sha256"] is None  # not from a file
    assert summary["settings"]["seed"] == 0
    assert summary["iterations"] == 3
    assert summary["stop_reason"] == "max_iterations"
    assert summary["n_classes"] == len(summary["classes"]) == result.n_classes
    assert summary["excluded_fraction"] == pytest.approx(2 / 16)
    assert summary["settings"]["n_superpixels"] is not None
    assert summary["n_superpixels"] == result.details.summary()["n_superpixels"]


def test_the_summary_of_fast_mode_knows_no_training(micrograph: Micrograph) -> None:
    found = segment(micrograph, settings=FastSettings(n_classes=2))
    summary = summarise(found, micrograph, source=Path("a.png"))
    assert set(summary) == KEYS | {"mean_agreement", "light", "view"}
    shape = found.views[0].labels.shape
    assert micrograph.pixel_size is not None
    size = micrograph.pixel_size * micrograph.shape[0] / shape[0]
    assert summary["view"] == {"shape": list(shape), "pixel_size_um": pytest.approx(size)}
    sizeless = replace(micrograph, pixel_size=None)
    assert summarise(found, sizeless, source=Path("a.png"))["view"]["pixel_size_um"] is None
    assert summary["light"]["depth"] == found.light.depth
    assert Light(tuple(summary["light"]["coefficients"])) == found.light
    assert summary["mean_agreement"] == found.mean_agreement
    assert [row["uncertainty"] for row in summary["classes"]] == [
        row.uncertainty for row in found.classes
    ]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["n_classes"] == summary["n_classes_asked"] == 2


def test_the_summary_says_what_people_call_the_field(
    micrograph: Micrograph, result: Segmentation, summary: dict[str, Any]
) -> None:
    found = summarise(result, micrograph, source=Path("x/a.png"), page=2, name="Probe 3, α")
    assert found == summary | {"name": "Probe 3, α"}


@pytest.mark.parametrize("mode", ["fast", "paper"])
def test_the_summary_says_what_was_stopped(
    micrograph: Micrograph, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 10)

    def stop(*_: object) -> None:
        raise Stopped

    settings = QUICK if mode == "paper" else FastSettings(n_classes=2)
    found = segment(micrograph, settings=settings, on_step=stop, on_rows=stop)
    told = summarise(found, micrograph, source=Path("a.png"))
    assert set(told) == KEYS | {"stopped"} | (OF_PAPER if mode == "paper" else {"light"})
    assert told["stopped"] is True
    assert told["notes"] == list(found.notes)
    assert any(note.startswith("stopped before") for note in told["notes"])
    assert told.get("stop_reason") == ("stopped" if mode == "paper" else None)
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_the_summary_holds_the_settings_in_use_and_no_others(
    micrograph: Micrograph, summary: dict[str, Any]
) -> None:
    assert "scale" not in summary["settings"]
    assert summary["settings"]["device"] == "cpu"
    assert summary["settings"]["mode"] == "paper"
    found = segment(micrograph, settings=FastSettings(n_classes=2))
    used = summarise(found, micrograph, source=Path("a.png"))["settings"]
    assert used == found.settings.as_dict()
    assert (used["mode"], used["scale"]) == ("fast", "fine")
    assert not {"n_superpixels", "n_layers", "device", "threads", "seed", "repeats"} & set(used)


def test_versions_name_what_can_alter_a_result() -> None:
    assert set(versions()) == {"nital", "torch", "scikit-image", "numpy", "scipy", "python"}


def test_the_files_say_what_the_summary_says(
    tmp_path: Path, result: Segmentation, micrograph: Micrograph, summary: dict[str, Any]
) -> None:
    write_result(tmp_path, result, micrograph, summary)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"labels.tif", "overlay.png", "classes.csv", "summary.json"}
    assert written <= set(RESULT_FILES)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.tif"), result.labels)
    assert tifffile.imread(tmp_path / "labels.tif").dtype == np.uint8
    assert read_micrograph(tmp_path / "labels.tif").pixel_size == pytest.approx(0.5)
    with Image.open(tmp_path / "overlay.png") as overlay:
        assert overlay.size == (20, 16)
    with (tmp_path / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    colours = [f"#{bytes(colour).hex()}" for colour in class_colours(result.n_classes)]
    assert [row["colour"] for row in rows] == colours
    for row, wanted in zip(rows, summary["classes"], strict=True):
        count = int((result.labels == wanted["class"]).sum())
        assert int(row["class"]) == wanted["class"]
        assert int(row["n_pixels"]) == count == wanted["n_pixels"]
        assert float(row["area_um2"]) == pytest.approx(count / 4, rel=1e-5)
        assert float(row["area_fraction"]) == pytest.approx(count / (14 * 20), abs=1e-6)
        assert float(row["mean_grey"]) == pytest.approx(wanted["mean_grey"], abs=1e-3)


def test_fine_classes_are_written_with_the_class_of_each(
    tmp_path: Path, micrograph: Micrograph
) -> None:
    found = segment(micrograph, 2)
    assert found.fine is not None
    write_result(tmp_path, found, micrograph, summarise(found, micrograph, source=Path("a.png")))
    labels = read_labels(tmp_path / "fine.tif")
    np.testing.assert_array_equal(labels, found.fine.labels)
    with (tmp_path / "fine.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["class"]) for row in rows] == list(range(1, labels.max() + 1))
    for row in rows:
        inside = labels == int(row["class"])
        assert int(row["n_pixels"]) == inside.sum()
        assert np.bincount(found.labels[inside]).argmax() == int(row["in_class"])  # of most
    centres = [[float(row[name]) for name in CENTRE_COLUMNS] for row in rows]
    np.testing.assert_array_equal(centres, found.fine.joining.centres)  # no digit is lost


def test_phases_are_written_with_their_names(tmp_path: Path, micrograph: Micrograph) -> None:
    labels = np.where(halves() < 120, 1, 2).astype(np.uint8)
    labels[:, :3], labels[14:] = 3, 0
    fine = fine_classes(micrograph.pixels, labels)
    phases = name_phases(fine, {"bright": [2], "all else": [3, 1]})
    write_phases(tmp_path, micrograph, phases)
    assert {path.name for path in tmp_path.iterdir()} == set(PHASE_FILES)
    np.testing.assert_array_equal(read_labels(tmp_path / "phases.tif"), phases.labels)
    stored = json.loads((tmp_path / "phases.json").read_text())
    assert [row["phase"] for row in stored["phases"]] == ["bright", "all else"]
    assert [row["fine_classes"] for row in stored["phases"]] == [[2], [1, 3]]
    with (tmp_path / "phases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, start=1):
        count = int((phases.labels == number).sum())
        assert int(row["n_pixels"]) == count == stored["phases"][number - 1]["n_pixels"]
        assert float(row["area_um2"]) == pytest.approx(count / 4)
    assert [row["fine_classes"] for row in rows] == ["2", "1 3"]
    with pytest.raises(OutputError, match="--force"):
        write_phases(tmp_path, micrograph, phases)
    write_phases(tmp_path, micrograph, phases, force=True)


def test_no_area_without_a_pixel_size(tmp_path: Path, summary: dict[str, Any]) -> None:
    micrograph = Micrograph.from_array(halves())
    write_result(tmp_path, segment(micrograph, settings=QUICK), micrograph, summary)
    with (tmp_path / "classes.csv").open(newline="") as file:
        assert {row["area_um2"] for row in csv.DictReader(file)} == {""}
    assert read_micrograph(tmp_path / "labels.tif").pixel_size is None


def test_a_reference_adds_a_comparison(
    tmp_path: Path, result: Segmentation, micrograph: Micrograph
) -> None:
    reference = np.where(halves() < 120, 7, -2)
    agreement = compare(result.labels, reference)
    summary = summarise(result, micrograph, source=Path("a"), agreement=agreement)
    write_result(tmp_path, result, micrograph, summary, reference=reference, agreement=agreement)
    with Image.open(tmp_path / "comparison.png") as image:
        assert image.width > image.height
    stored = json.loads((tmp_path / "summary.json").read_text())["agreement"]
    assert [row["reference"] for row in stored["classes"]] == [-2, 7]
    assert stored["n_pixels"] == 14 * 20
    assert len(stored["unmatched"]) == result.n_classes - 2


def test_labels_of_a_large_micrograph_are_a_pyramid(
    tmp_path: Path,
    result: Segmentation,
    micrograph: Micrograph,
    summary: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "LARGE_PIXELS", 16 * 20)
    write_result(tmp_path, result, micrograph, summary)
    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        assert not file.is_bigtiff
    monkeypatch.setattr(results, "LARGE_PIXELS", 16 * 20 - 1)
    write_result(tmp_path, result, micrograph, summary)
    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        assert file.is_bigtiff
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.tif"), result.labels)
    assert read_micrograph(tmp_path / "labels.tif").pixel_size == 0.5


def test_labels_of_an_ome_zarr_are_an_ome_zarr(
    tmp_path: Path, result: Segmentation, micrograph: Micrograph, summary: dict[str, Any]
) -> None:
    write_result(tmp_path, result, micrograph, summary, as_zarr=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"labels.zarr", "overlay.png", "classes.csv", "summary.json"}
    assert names <= set(RESULT_FILES)
    written = open_micrograph(tmp_path / "labels.zarr")
    assert written.pixel_size == 0.5
    levels = written.read(slice(0, 16), slice(0, 20))[..., 0]
    np.testing.assert_array_equal(np.rint(255 * levels), result.labels)


@pytest.mark.parametrize(("side", "size"), [(20, (20, 16)), (19, (10, 8)), (7, (7, 6))])
def test_the_overlay_of_a_large_micrograph_is_reduced(
    tmp_path: Path,
    result: Segmentation,
    micrograph: Micrograph,
    summary: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    side: int,
    size: tuple[int, int],
) -> None:
    monkeypatch.setattr(results, "OVERLAY_SIDE", side)
    image = np.dstack([halves(), np.where(micrograph.excluded, 0, 255).astype(np.uint8)])
    there = LargeMicrograph.scan(lambda rows, cols: image[rows, cols], (16, 20), pixel_size=0.5)
    shown = []
    for name, source in (("whole", micrograph), ("there", there)):
        (tmp_path / name).mkdir()
        write_result(tmp_path / name, result, source, summary)
        with Image.open(tmp_path / name / "overlay.png") as overlay:
            assert overlay.size == size
            shown.append(np.asarray(overlay))
    np.testing.assert_array_equal(shown[0], shown[1])


def test_a_study_of_the_number_of_classes(tmp_path: Path) -> None:
    study = study_classes([run_of(k, 20, 9, seed) for k in (3, 2) for seed in (0, 1)])
    write_class_study(tmp_path / "classes", study)
    (tmp_path / "classes" / "runs.csv").write_text("kept")
    write_class_study(tmp_path / "classes", study)  # again, after more runs
    assert (tmp_path / "classes" / "runs.csv").read_text() == "kept"
    summary = json.loads((tmp_path / "classes" / "summary.json").read_text())
    assert summary == class_study_summary(study)
    assert summary["best"] == 2
    assert summary["ranking"] == {"F": [2, 3], "F_prime": [2, 3], "Q": [2, 3]}
    with (tmp_path / "classes" / "criteria.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["n_classes"] for row in rows] == ["2", "3"]
    assert float(rows[0]["F"]) == summary["numbers"][0]["F"] == pytest.approx(4.1)


def test_one_repeat_has_no_uncertainty() -> None:
    summary = class_study_summary(study_classes([run_of(2, 20, 9, 0)]))
    assert summary["numbers"][0]["F_std"] is None
    json.dumps(summary, allow_nan=False)


def test_a_map_of_f(tmp_path: Path) -> None:
    study = study_superpixels([run_of(2, m, n, 0) for m in (5, 20) for n in (6, 12)])
    write_superpixel_study(tmp_path / "map", study)
    summary = json.loads((tmp_path / "map" / "summary.json").read_text())
    assert summary == superpixel_study_summary(study)
    assert summary["best"] == {"compactness": 5, "n_superpixels": 6}
    assert len(summary["pairs"]) == 4
    assert {path.name for path in (tmp_path / "map").iterdir()} == {
        "map.png",
        "map.csv",
        "summary.json",
    }


def test_a_synthetic_micrograph(tmp_path: Path) -> None:
    made = synthesize((64, 64), {"ferrite": 0.6, "pearlite": 0.4}, grain_size=12, seed=3)
    write_synthetic(tmp_path, made)
    np.testing.assert_array_equal(read_labels(tmp_path / "truth.tif"), made.truth)
    read = read_micrograph(tmp_path / "micrograph.png")
    np.testing.assert_allclose(read.grey, made.image, atol=1 / 255)
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["seed"] == 3
    for row in truth["classes"]:
        assert row["area_fraction"] == pytest.approx((made.truth == row["class"]).mean())


# --- specimens ----------------------------------------------------------------------------------


def specimen_of(*shares: int, names: tuple[str, ...] = ("ferrite", "Perlit, α")) -> Specimen:
    """Fields of 10 x 10 pixels with these numbers of pixels of the second phase.

    Only the first has a pixel size.
    """
    return measure_specimen(
        [
            measure_field(
                np.where(np.arange(100) < share, 2, 1).reshape(10, 10).astype(np.uint8),
                names,
                name=f"f {share}",
                sha256=f"digest {share}",
                pixel_size=None if i else 0.5,
                points=(3, 4),
            )
            for i, share in enumerate(shares)
        ]
    )


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_summary_of_a_specimen_has_all_its_keys_and_is_json() -> None:
    specimen = specimen_of(20, 24, 18)
    found = specimen_summary(specimen)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {"phases", "fields", "notes", "versions"}
    assert found["notes"] == list(specimen.notes) != []
    assert [row["phase"] for row in found["phases"]] == ["ferrite", "Perlit, α"]
    for row, area, points in zip(found["phases"], specimen.areas, specimen.points, strict=True):
        assert row["area_fraction"]["ci95"] == area.ci95
        assert row["point_fraction"]["mean"] == points.mean
    assert set(found["fields"][0]) == {
        "field",
        "sha256",
        "pixel_size_um",
        "n_pixels",
        "phases",
        "contacts",
    }


def test_the_summary_of_a_specimen_says_what_its_fields_are() -> None:
    first, second = specimen_summary(specimen_of(20, 30))["fields"]
    assert (first["field"], first["sha256"], first["n_pixels"]) == ("f 20", "digest 20", 100)
    assert (first["pixel_size_um"], second["pixel_size_um"]) == (0.5, None)
    assert [row["area_fraction"] for row in second["phases"]] == [0.7, 0.3]
    assert [row["unit"] for each in (first, second) for row in each["phases"]] == [
        *("um", "um", "px", "px")
    ]
    assert first["phases"][1]["mean_area"] == pytest.approx(5)
    assert first["contacts"] == [
        {
            "phase": "ferrite",
            "with": "Perlit, α",
            "length": pytest.approx(10 * 0.5 * np.pi / 4),
            "unit": "um",
        }
    ]


def test_each_pair_of_phases_has_one_line() -> None:
    found = specimen_summary(specimen_of(20, names=("a", "b", "c")))["fields"][0]["contacts"]
    assert [(row["phase"], row["with"]) for row in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [row["length"] > 0 for row in found] == [True, False, False]


def test_one_field_alone_is_json_too() -> None:
    found = specimen_summary(specimen_of(20))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["phases"][0]["area_fraction"]["ci95"] is None


def test_the_tables_of_a_specimen_say_what_its_summary_says(tmp_path: Path) -> None:
    specimen = specimen_of(20, 24, 18)
    write_specimen(tmp_path / "s", specimen)
    assert {path.name for path in (tmp_path / "s").iterdir()} == set(SPECIMEN_FILES)
    told = specimen_summary(specimen)
    for name, key in (("fields.csv", "phases"), ("contacts.csv", "contacts")):
        flat = [{"field": each["field"]} | row for each in told["fields"] for row in each[key]]
        as_text = [{k: "" if v is None else str(v) for k, v in row.items()} for row in flat]
        assert read_table(tmp_path / "s" / name) == as_text
    for row, each in zip(read_table(tmp_path / "s/phases.csv"), told["phases"], strict=True):
        assert (row["phase"], row["n"]) == (each["phase"], "3")
        for key in ("mean", "std", "ci95", "relative_accuracy", "more_fields"):
            assert float(row[key]) == each["area_fraction"][key]
            assert float(row[f"points_{key}"]) == each["point_fraction"][key]


def test_what_one_field_does_not_have_is_an_empty_cell(tmp_path: Path) -> None:
    write_specimen(tmp_path / "s", specimen_of(20, names=("a", "b", "none")))
    *_, none = read_table(tmp_path / "s/fields.csv")
    assert (none["phase"], none["area_fraction"], none["n_regions"]) == ("none", "0.0", "0")
    assert none["mean_area"] == none["intercept_along"] == ""
    for row in read_table(tmp_path / "s/phases.csv"):
        assert row["n"] == "1"
        assert row["std"] == row["ci95"] == row["points_ci95"] == ""


def test_contacts_of_one_phase_are_a_table_without_a_line(tmp_path: Path) -> None:
    write_specimen(tmp_path / "s", specimen_of(0, names=("all",)))
    assert (tmp_path / "s/contacts.csv").read_text() == "field,phase,with,length,unit\n"


def test_the_tables_of_a_specimen_are_replaced_with_force_only(tmp_path: Path) -> None:
    write_specimen(tmp_path, specimen_of(20))
    with pytest.raises(OutputError, match=r"fields\.csv: already exists; use --force"):
        write_specimen(tmp_path, specimen_of(20, 24))
    assert len(read_table(tmp_path / "fields.csv")) == 2
    write_specimen(tmp_path, specimen_of(20, 24), force=True)
    assert len(read_table(tmp_path / "fields.csv")) == 4


def test_the_colour_that_a_person_chose_is_in_the_summary() -> None:
    rows = [ClassRow(1, 3, 0.75, 9.0, name="a", colour="#0a0b0c"), ClassRow(2, 1, 0.25, 99.0)]
    chosen, none = class_summary(rows)
    assert (chosen["name"], chosen["colour"]) == ("a", "#0a0b0c")
    assert not {"name", "colour"} & set(none)


def test_a_colour_without_a_name_is_in_the_files(
    tmp_path: Path, micrograph: Micrograph, result: Segmentation
) -> None:
    first, *others = result.classes
    found = replace(result, classes=(replace(first, colour="#0a0b0c"), *others))
    summary = summarise(found, micrograph, source=Path("a.png"))
    assert summary["classes"][0]["colour"] == "#0a0b0c"
    assert not any("name" in row for row in summary["classes"])
    write_result(tmp_path, found, micrograph, summary)
    rows = read_table(tmp_path / "classes.csv")
    assert rows[0]["colour"] == "#0a0b0c"
    assert [row["colour"] for row in rows[1:]] == [
        f"#{bytes(colour).hex()}" for colour in class_colours(result.n_classes)[1:]
    ]
    assert "name" not in rows[0]
    with tifffile.TiffFile(tmp_path / "labels.tif") as labels:
        assert (labels.pages[0].colormap[:, 1] // 257).tolist() == [10, 11, 12]
