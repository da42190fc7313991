"""The commands phases and export: output, files written, and errors."""

import csv
import json
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import roifile
import tifffile
from numpy.typing import NDArray
from PIL import Image

from helpers.terminal import Nital, Outcome
from nital.fast.settings import FastSettings
from nital.image.labels import read_labels
from nital.measure.regions import tabulate_regions
from nital.measure.stereology import count_points, over_fields
from nital.output.names import EXPORT_FILES, SPECIMEN_FILES
from nital.output.numbers import percent
from nital.work.jobs import segment_file

SHARES = {"a": 0.25, "b": 0.5, "c": 0.375}
"""Number of dark rows in each micrograph."""

KINDS = pytest.mark.parametrize("kind", EXPORT_FILES)


def picture(share: float, seed: int = 0) -> NDArray[np.uint8]:
    """Dark rows above bright ones that contain a dark island: grey, 8 bit, with noise."""
    level = np.where(np.arange(32) < 32 * share, 60, 180)[:, np.newaxis].repeat(24, axis=1)
    level[24:29, 4:12] = 60
    noise = np.random.default_rng(seed).integers(0, 20, level.shape)
    return (level + noise).astype(np.uint8)


def labels_of(folder: Path | str) -> NDArray[np.int64]:
    return read_labels(Path(folder, "labels.tif"))


def table(path: Path | str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path | str = ".") -> dict[str, bytes]:
    """All files below a folder, including hidden ones, with their contents."""
    each = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in each}


def assert_refused(done: Outcome, says: str) -> None:
    """One line on stderr, exit code 2, nothing on stdout."""
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert says in done.err


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three micrographs, and their results with two classes in `o`."""
    folder = tmp_path_factory.mktemp("specimen")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed, (name, share) in enumerate(SHARES.items()):
            Image.fromarray(picture(share, seed)).save(f"{name}.png")
            settings = FastSettings(n_classes=2)
            segment_file(Path(f"{name}.png"), Path("o", name), settings, pixel_size=0.5)
    return folder


@pytest.fixture
def fields(segmented: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results, copied to a new working directory for each test."""
    shutil.copytree(segmented, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path("o")


@pytest.fixture
def field(fields: Path) -> Path:
    """One of them."""
    return fields / "a"


# --- phases -------------------------------------------------------------------------------------


def expected(of_maps: Sequence[float]) -> list[str]:
    """The table row for the area fraction of a phase in these fields."""
    found = over_fields(of_maps)
    assert found.std is not None
    assert found.ci95 is not None
    return [
        f"{100 * found.mean:.2f} %",
        f"{100 * found.std:.2f} %",
        f"± {100 * found.ci95:.2f} %",
        f"{found.relative_accuracy:.1f} %",
        f"{found.more_fields} more",
    ]


def test_phases_prints_the_statistics_of_the_maps(fields: Path, nital: Nital) -> None:
    done = nital("phases", fields)
    assert done.code == 0
    maps = [labels_of(fields / name) for name in SHARES]
    lines = done.out.splitlines()
    for i in (1, 2):
        areas = [float((labels == i).mean()) for labels in maps]
        points = [float(count_points(labels, 2)[i - 1]) for labels in maps]
        for how, shares in (("all pixels", areas), ("points", points)):
            (line,) = (each for each in lines if f"class {i}" in each and f" {how} " in each)
            assert " ".join(line.split()) == " ".join((f"class {i} {how}", *expected(shares)))


def test_phases_prints_a_line_a_field(fields: Path, nital: Nital) -> None:
    lines = [line.split() for line in nital("phases", fields).out.splitlines()]
    assert lines[0] == ["field", "class", "1", "class", "2"]
    for line, name in zip(lines[1:4], SHARES, strict=True):
        dark = float((labels_of(fields / name) == 1).mean())
        rows = json.loads((fields / name / "summary.json").read_text(encoding="utf-8"))["classes"]
        uncertain = [percent(row["uncertainty"]) for row in rows]
        told = f"{percent(dark)} ± {uncertain[0]} {percent(1 - dark)} ± {uncertain[1]}"
        assert line == [name, *told.split()]
    assert lines[4][:3] == ["over", "3", "fields"]


def test_the_uncertainty_of_classes_with_one_name_is_at_most_their_sum(
    field: Path, nital: Nital
) -> None:
    path = field / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    for row, uncertainty in zip(summary["classes"], (0.01, 0.02), strict=True):
        row |= {"name": "steel", "uncertainty": uncertainty}
    path.write_text(json.dumps(summary), encoding="utf-8")
    found = json.loads(nital("phases", field, "--json").out)["fields"][0]["phases"]
    assert [each["uncertainty"] for each in found] == [pytest.approx(0.03)]
    del summary["classes"][0]["uncertainty"]
    path.write_text(json.dumps(summary), encoding="utf-8")
    found = json.loads(nital("phases", field, "--json").out)["fields"][0]["phases"]
    assert [each["uncertainty"] for each in found] == [None]


def test_fields_may_be_named_one_by_one(fields: Path, nital: Nital) -> None:
    whole, named = nital("phases", fields), nital("phases", *(fields / name for name in SHARES))
    assert (named.code, named.out) == (0, whole.out)


def test_notes_are_on_stderr(fields: Path, nital: Nital) -> None:
    done = nital("phases", fields, "--json")
    (note,) = done.err.splitlines()
    assert note.startswith("note: fields that were segmented one by one")
    assert f"note: {json.loads(done.out)['notes'][0]}" == note


def test_phases_as_json_is_one_object_and_nothing_else(fields: Path, nital: Nital) -> None:
    done = nital("phases", fields, "--json")
    assert done.out.count("\n") == 1
    told = json.loads(done.out)
    assert set(told) == {"phases", "fields", "notes", "versions"}
    assert [each["field"] for each in told["fields"]] == list(SHARES)
    for i, row in enumerate(told["phases"], start=1):
        shares = [float((labels_of(fields / name) == i).mean()) for name in SHARES]
        assert row["phase"] == f"class {i}"
        assert row["area_fraction"]["mean"] == pytest.approx(np.mean(shares))
        assert [each["phases"][i - 1]["area_fraction"] for each in told["fields"]] == shares


def test_phases_writes_nothing_unless_asked_to(fields: Path, nital: Nital) -> None:
    before = files()
    nital("phases", fields)
    nital("phases", fields, "--json")
    assert files() == before


def test_the_tables_say_what_the_json_says(fields: Path, nital: Nital) -> None:
    done = nital("phases", fields, "--out", "s", "--json")
    assert done.out.count("\n") == 1
    assert set(files("s")) == set(SPECIMEN_FILES)
    told = json.loads(done.out)
    rows, phases, contacts = (table(Path("s", name)) for name in SPECIMEN_FILES)
    assert [row["field"] for row in rows] == [name for name in SHARES for _ in (1, 2)]
    flat = [row for each in told["fields"] for row in each["phases"]]
    assert [float(row["area_fraction"]) for row in rows] == [row["area_fraction"] for row in flat]
    for row, wanted in zip(phases, told["phases"], strict=True):
        assert row["phase"] == wanted["phase"]
        assert float(row["mean"]) == wanted["area_fraction"]["mean"]
        assert float(row["points_ci95"]) == wanted["point_fraction"]["ci95"]
    assert [float(row["length"]) for row in contacts] == [
        each["contacts"][0]["length"] for each in told["fields"]
    ]


def test_phases_names_the_files_that_it_wrote(fields: Path, nital: Nital) -> None:
    done = nital("phases", fields, "--out", "s s/ä")
    assert done.code == 0
    assert all(f"s s/ä/{name}" in done.out for name in SPECIMEN_FILES)
    assert set(files("s s/ä")) == set(SPECIMEN_FILES)


def test_tables_are_replaced_with_force_only(fields: Path, nital: Nital) -> None:
    nital("phases", fields / "a", fields / "b", "--out", "s")
    Path("s/notes.txt").write_text("mine")
    before = files("s")
    again = nital("phases", fields, "--out", "s")
    assert (again.code, again.out) == (2, "")
    assert "s/fields.csv: already exists; use --force" in again.err
    assert files("s") == before
    assert nital("phases", fields, "--out", "s", "--force").code == 0
    assert len(table("s/fields.csv")) == 6
    assert Path("s/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("points", ["3x4", "31x23", "1X1"])
def test_as_many_points_are_counted_as_asked_for(fields: Path, nital: Nital, points: str) -> None:
    rows, cols = map(int, points.lower().split("x"))
    told = json.loads(nital("phases", fields, "--points", points, "--json").out)
    for name, each in zip(SHARES, told["fields"], strict=True):
        counted = count_points(labels_of(fields / name), 2, points=(rows, cols))
        assert [row["point_fraction"] for row in each["phases"]] == counted.tolist()


def test_one_field_has_no_interval_but_its_regions(field: Path, nital: Nital) -> None:
    done = nital("phases", field)
    assert done.code == 0
    assert done.err.startswith("note: one field: no confidence interval")
    assert "±" not in done.out[done.out.index("over 1 field (") :]
    header, *rows = done.out.splitlines()[-3:]
    assert header.split()[:2] == ["phase", "regions"]
    regions = tabulate_regions(labels_of(field), pixel_size=0.5)
    for i, row in enumerate(rows, start=1):
        areas = regions["area_um2"][regions["class"] == i]
        assert row.split()[:5] == ["class", f"{i}", f"{len(areas)}", f"{areas.mean():.4g}", "µm²"]


def test_phases_that_a_person_named_are_measured(fields: Path, nital: Nital) -> None:
    for name in SHARES:
        merged = nital("fine", fields / name, "--merge", "[dark]=1-6 bright-α=rest")
        assert merged.code == 0
    done = nital("phases", fields)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0].split() == ["field", "[dark]", "bright-α"]
    told = json.loads(nital("phases", fields, "--json").out)
    for name, each in zip(SHARES, told["fields"], strict=True):
        share = float((read_labels(fields / name / "phases.tif") == 1).mean())
        assert each["phases"][0]["area_fraction"] == share


def test_one_phase_alone_has_no_contacts(field: Path, nital: Nital) -> None:
    nital("fine", field, "--merge", "all=rest")
    assert nital("phases", field, "--out", "s").code == 0
    assert Path("s/contacts.csv").read_text() == "field,phase,with,length,unit\n"
    (row,) = table("s/phases.csv")
    assert (row["phase"], row["mean"]) == ("all", "1.0")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("none",), "none: not a folder; name a folder of results"),
        (("a.png",), "a.png: not a folder; name a folder of results"),
        (("empty",), "empty: no result of `nital segment`"),
        (("o", "empty"), "empty: no result of `nital segment`"),
        (("o", "copy"), "copy: the same micrograph as a; name each field once"),
        (("o", "other"), "other: has the phases x, y, but a class 1, class 2; label all"),
        (("changed",), "changed/labels.tif: not the label map of this result"),
        (("o", "--points", "3"), "--points 3: not rows x columns"),
        (("o", "--points", "axb"), "--points axb: not rows x columns"),
        (("o", "--points", "3x4x5"), "--points 3x4x5: not rows x columns"),
        (("o", "--points", "0x3"), "0 x 3 points on 32 x 24 pixels"),
        (("o", "--points", "32x3"), "32 x 3 points on 32 x 24 pixels"),
        (("o", "--out", "a.png"), "a.png: is a file, not a folder"),
    ],
)
def test_a_specimen_that_can_not_be_is_told_and_leaves_nothing(
    fields: Path, nital: Nital, arguments: tuple[str, ...], says: str
) -> None:
    Path("empty").mkdir()
    if "copy" in arguments:
        shutil.copytree(fields / "a", "copy")
    for name in {"other", "changed"} & set(arguments):
        shutil.move(fields / "c", name)
    if "other" in arguments:
        nital("fine", "other", "--merge", "x=1-6 y=rest")
    if "changed" in arguments:
        tifffile.imwrite("changed/labels.tif", labels_of("changed")[::-1, ::-1].T.astype(np.uint8))
    before = files()
    done = nital("phases", *arguments)
    assert done.err.splitlines()[-1].startswith("error: ")
    assert says in done.err
    assert (done.code, done.out) == (2, "")
    assert files() == before


@pytest.mark.parametrize("command", ["phases", "export"])
@pytest.mark.parametrize("options", [(), ("o", "--odd"), ("--force",)])
def test_a_wrong_call_exits_with_2(
    fields: Path, nital: Nital, command: str, options: tuple[str, ...]
) -> None:
    before = files()
    done = nital(command, *options)
    assert (done.code, done.out) == (2, "")
    assert files() == before


# --- export -------------------------------------------------------------------------------------


def pixels_by_phase(rows: Sequence[dict[str, Any]], area: str, scale: float) -> dict[str, float]:
    """Total area of the regions, in pixels."""
    found: dict[str, float] = {}
    for row in rows:
        found[row["phase"]] = found.get(row["phase"], 0) + float(row[area]) / scale
    return found


def shoelace(ring: list[tuple[int, int]]) -> float:
    """Signed area of a closed ring; negative for a hole."""
    return sum((x * q - p * y) / 2 for (x, y), (p, q) in pairwise(ring))


def pixels_of(labels: NDArray[np.int64]) -> dict[str, int]:
    return {f"class {i}": int((labels == i).sum()) for i in range(1, labels.max() + 1)}


def test_regions_are_written_for_each_program(field: Path, nital: Nital) -> None:
    before = files()
    done = nital("export", field)
    assert (done.code, done.err) == (0, "")
    made = {"regions.csv", "regions.zip", "regions.geojson"}
    assert set(files()) - set(before) == {f"o/a/{name}" for name in made}
    assert all(f"o/a/{name}" in done.out for name in made)
    assert files().items() >= before.items()


@KINDS
def test_no_more_is_written_than_asked_for(field: Path, nital: Nital, kind: str) -> None:
    before = files()
    done = nital("export", field, "--to", kind)
    assert (done.code, done.err) == (0, "")
    assert set(files()) - set(before) == {f"o/a/{EXPORT_FILES[kind]}"}
    assert done.out == f"open o/a/{EXPORT_FILES[kind]}\n"


def test_areas_in_csv_add_up_to_the_pixels_of_each_phase(field: Path, nital: Nital) -> None:
    nital("export", field, "--to", "csv")
    rows, labels = table(field / "regions.csv"), labels_of(field)
    assert len(rows) == len(tabulate_regions(labels)["class"]) > 2
    assert pixels_by_phase(rows, "area_um2", 0.25) == pixels_of(labels)


def test_areas_are_in_pixels_where_their_size_is_not_known(fields: Path, nital: Nital) -> None:
    nital("segment", "a.png", "--n-classes", 2, "--out", "p")
    nital("export", "p/a", "--to", "csv")
    assert pixels_by_phase(table("p/a/regions.csv"), "area_px", 1) == pixels_of(labels_of("p/a"))


def test_parquet_says_what_csv_says(field: Path, nital: Nital) -> None:
    nital("export", field, "--to", "parquet,csv")
    found = pyarrow.parquet.read_table(field / "regions.parquet").to_pylist()
    rows = table(field / "regions.csv")
    assert [{key: str(value) for key, value in row.items()} for row in found] == rows


def test_rois_cover_the_regions(field: Path, nital: Nital) -> None:
    nital("export", field, "--to", "rois")
    rois = roifile.roiread(field / "regions.zip")
    regions = tabulate_regions(labels_of(field))
    assert isinstance(rois, list)
    assert [roi.name for roi in rois] == [
        f"class {label} {number}" for number, label in enumerate(regions["class"], start=1)
    ]


def test_polygons_have_the_areas_of_the_regions(field: Path, nital: Nital) -> None:
    nital("export", field, "--to", "geojson")
    told = json.loads((field / "regions.geojson").read_text(encoding="utf-8"))["features"]
    rows = [
        {"phase": each["properties"]["classification"]["name"], "area": shoelace(ring)}
        for each in told
        for ring in each["geometry"]["coordinates"]
    ]
    assert pixels_by_phase(rows, "area", 1) == pixels_of(labels_of(field))


def test_excluded_pixels_are_in_no_region(fields: Path, nital: Nital) -> None:
    image = Image.fromarray(picture(0.5)).convert("RGBA")
    alpha = np.full((32, 24), 255, np.uint8)
    alpha[:, 20:] = 0
    image.putalpha(Image.fromarray(alpha))
    image.save("t.png")
    nital("segment", "t.png", "--n-classes", 2, "--out", "p")
    nital("export", "p", "--to", "csv")
    found = pixels_by_phase(table("p/t/regions.csv"), "area_px", 1)
    assert found == pixels_of(labels_of("p/t"))
    assert sum(found.values()) == 32 * 20


def test_regions_are_called_by_what_a_person_named(fields: Path, nital: Nital) -> None:
    folder = shutil.move(fields / "b", "Gefüge α")
    nital("fine", folder, "--merge", "dark/α=1-6 bright=rest")
    assert nital("export", folder, "--to", "csv,parquet,rois,geojson").code == 0
    phases = read_labels(Path(folder, "phases.tif"))
    expected = {"dark/α": (phases == 1).sum(), "bright": (phases == 2).sum()}
    assert pixels_by_phase(table(Path(folder, "regions.csv")), "area_um2", 0.25) == expected


def test_all_results_in_a_folder_are_exported(fields: Path, nital: Nital) -> None:
    done = nital("export", fields, "--to", "csv")
    assert (done.code, done.err) == (0, "")
    for name in SHARES:
        found = pixels_by_phase(table(fields / name / "regions.csv"), "area_um2", 0.25)
        assert found == pixels_of(labels_of(fields / name))
        assert f"o/{name}/regions.csv" in done.out


@KINDS
def test_regions_are_replaced_with_force_only(field: Path, nital: Nital, kind: str) -> None:
    path = field / EXPORT_FILES[kind]
    path.write_text("mine")
    before = files()
    assert_refused(nital("export", field, "--to", kind), f"{path}: already exists; use --force")
    assert files() == before
    assert nital("export", field, "--to", kind, "--force").code == 0
    assert path.read_bytes() != b"mine"


def test_another_kind_leaves_the_first_alone(field: Path, nital: Nital) -> None:
    nital("export", field, "--to", "csv")
    before = files()
    assert nital("export", field, "--to", "geojson").code == 0
    assert files().items() >= before.items()


@pytest.mark.parametrize("to", ["csv , geojson", "geojson,csv,csv"])
def test_kinds_between_commas(field: Path, nital: Nital, to: str) -> None:
    before = files()
    assert nital("export", field, "--to", to).code == 0
    assert set(files()) - set(before) == {"o/a/regions.csv", "o/a/regions.geojson"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("o/a", "--to", "xlsx"), "--to xlsx: 'xlsx' is unknown; use csv, parquet, rois, geojson"),
        (("o/a", "--to", "csv,CSV"), "--to csv,CSV: 'CSV' is unknown"),
        (("o/a", "--to", ""), "'' is unknown"),
        (("o/a", "--to", "csv,"), "--to csv,: '' is unknown"),
        (("none",), "none: not a folder"),
        (("a.png",), "a.png: not a folder"),
        (("empty",), "empty: no result of `nital segment`"),
        (("changed",), "changed/labels.tif: not the label map of this result"),
    ],
)
def test_an_export_that_can_not_be_is_told_and_leaves_nothing(
    fields: Path, nital: Nital, arguments: tuple[str, ...], says: str
) -> None:
    Path("empty").mkdir()
    shutil.move(fields / "c", "changed")
    Image.fromarray(picture(0.5)).save("changed/labels.tif", "PNG")
    before = files()
    assert_refused(nital("export", *arguments), says)
    assert files() == before


# --- the classes of a model ---------------------------------------------------------------------


@pytest.mark.usefixtures("small_samples")
def test_names_and_colours_of_a_model_are_in_all_that_is_measured(
    fields: Path, nital: Nital
) -> None:
    nital("fit", "a.png", "b.png", "--n-classes", 2, "--exposure", "same", "--out", "m")
    nital("name", "m", "1=lath α", "2=film", "--colour", "lath α=#0a0b0c")
    assert nital("predict", "a.png", "b.png", "--model", "m", "--out", "p").code == 0
    done = nital("phases", "p", "--json")
    assert (done.code, done.err) == (0, "")
    assert [row["phase"] for row in json.loads(done.out)["phases"]] == ["lath α", "film"]
    nital("export", "p/a", "--to", "geojson")
    told = json.loads(Path("p/a/regions.geojson").read_text(encoding="utf-8"))["features"]
    classes = [each["properties"]["classification"] for each in told]
    assert {"name": "lath α", "color": [10, 11, 12]} in classes
