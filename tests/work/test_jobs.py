"""Jobs: files in, folders out; a study loses no finished run and repeats none."""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import roifile
import tifffile
from numpy.typing import NDArray
from PIL import Image

from helpers.benches import make_samples_small
from helpers.pictures import halves, make_views_few
from nital.errors import InputError, NitalError, OutputError, SettingError, Stopped
from nital.fast.settings import FAST, FastSettings
from nital.image import windows
from nital.image.files import read_micrograph
from nital.image.labels import read_labels
from nital.image.large import open_micrograph
from nital.image.ome_zarr import write_ome_zarr_labels
from nital.output.exports import export_regions
from nital.output.folders import PhaseFolder, open_result
from nital.output.names import EXPORT_FILES
from nital.output.render import class_colours, overlay
from nital.paper.settings import PAPER
from nital.result.classes import tabulate_classes
from nital.result.criteria import criteria_of
from nital.series.estimator import opener
from nital.series.fitting import fit_model
from nital.settings import Settings
from nital.work import jobs
from nital.work.jobs import KnownModel, segment_file
from nital.work.runs import Run
from nital.work.study_folder import Study, draw_superpixels


@pytest.fixture(scope="module", autouse=True)
def small_samples() -> Iterator[None]:
    """Enough for small images, and two small views; for fixtures of the module as well."""
    with pytest.MonkeyPatch.context() as patch:
        make_samples_small(patch)
        make_views_few(patch)
        yield


QUICK = replace(PAPER, n_filters=8, n_responses=6, max_iterations=3, device="cpu", threads=1)
BOTH = pytest.mark.parametrize("settings", [QUICK, FAST], ids=["paper", "fast"])


def study(image: Path, folder: Path = Path("s"), *, page: int | None = None, **how: Any) -> Study:
    """A study of 2 and 3 classes, two repeats, by default in paper mode."""
    micrograph = read_micrograph(image, page=page)
    settings: Settings = how.pop("settings", QUICK)
    varied: dict[str, Any] = {"n_classes": [2, 3]}
    if settings.mode == "paper":
        varied |= {"compactness": [20.0], "n_superpixels": [12]}
    more = {name: how.pop(name) for name in ("repeats", "force") if name in how}
    return Study(
        "classes", micrograph, folder, settings, varied=varied | how, **({"repeats": 2} | more)
    )


def keys(folder: Path = Path("s")) -> list[tuple[str, ...]]:
    """Classes, compactness, superpixels and seed of every line in the journal."""
    with (folder / "runs.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    return [tuple(row[:4]) for row in rows]


def timeless(runs: Sequence[Run]) -> list[Run]:
    """Runs without their durations."""
    return [replace(run, seconds=0) for run in runs]


# --- one file -----------------------------------------------------------------------------------


def test_a_file_becomes_a_folder(image: Path) -> None:
    steps: list[int] = []
    done = segment_file(image, Path("o"), QUICK, on_step=lambda step: steps.append(step.iteration))
    assert done.summary["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert done.summary["image"] == "a.png"
    assert done.agreement is None
    assert steps == [1, 2, 3]
    assert {path.name for path in Path("o").iterdir()} == {
        "labels.tif",
        "overlay.png",
        "classes.csv",
        "summary.json",
    }


def test_a_file_becomes_a_folder_with_fine_classes_in_fast_mode(image: Path) -> None:
    rows: list[tuple[int, int]] = []
    done = segment_file(
        image, Path("o"), FAST, on_rows=lambda done, labels: rows.append((done, len(labels)))
    )
    assert rows == [(16, 16)]
    assert done.segmentation.fine is not None
    assert {path.name for path in Path("o").iterdir()} == {
        "labels.tif",
        "overlay.png",
        "classes.csv",
        "summary.json",
        "agreement.tif",
        "fine.tif",
        "fine.csv",
    }


@BOTH
def test_a_reference_is_compared(image: Path, settings: Settings) -> None:
    Image.fromarray((halves() > 120).astype(np.uint8)).save("r.png")
    done = segment_file(image, Path("o"), settings, reference=Path("r.png"))
    assert done.agreement is not None
    assert done.summary["agreement"]["accuracy"] == done.agreement.accuracy
    assert Path("o/comparison.png").exists()
    # without a reference, the comparison of the old result must not stay behind
    segment_file(image, Path("o"), settings, force=True)
    assert not Path("o/comparison.png").exists()


def test_fine_classes_of_an_older_result_do_not_stay_behind(image: Path) -> None:
    segment_file(image, Path("o"), FAST)
    segment_file(image, Path("o"), QUICK, force=True)
    assert not {"fine.tif", "fine.csv"} & {path.name for path in Path("o").iterdir()}


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if the computation is reached."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the work has started")

    monkeypatch.setattr(jobs, "segment", never)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("settings", "trouble"),
    [
        *((QUICK, each) for each in ("reference", "ignore", "exists", "small", "superpixels")),
        *((FAST, each) for each in ("reference", "ignore", "exists", "small")),
    ],
)
def test_trouble_is_told_before_the_work_and_leaves_nothing(
    image: Path, settings: Settings, trouble: str
) -> None:
    how: dict[str, Any] = {}
    folder = Path("out/a")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save("other.png")
    Image.fromarray(np.zeros((16, 20), np.uint8)).save("zero.png")
    Image.fromarray(halves(2, 2)).save("small.png")
    if trouble == "reference":
        how = {"reference": Path("other.png")}
    elif trouble == "ignore":
        how = {"reference": Path("zero.png"), "ignore": 0}
    elif trouble == "exists":
        folder = Path("there")
        folder.mkdir()
        (folder / "summary.json").write_text("old")
    elif trouble == "small":
        image = Path("small.png")
    else:
        settings = replace(QUICK, n_superpixels=1000)
    before = sorted(Path().rglob("*"))
    with pytest.raises(NitalError):
        segment_file(image, folder, settings, **how)
    assert sorted(Path().rglob("*")) == before


def test_a_reference_of_another_size_is_named(image: Path) -> None:
    Image.fromarray(np.zeros((16, 16), np.uint8)).save("other.png")
    with pytest.raises(InputError, match=r"other\.png: .*\(16, 16\)"):
        segment_file(image, Path("o"), QUICK, reference=Path("other.png"))


def test_superpixels_are_drawn(image: Path) -> None:
    draw_superpixels(
        read_micrograph(image), Path("o"), compactness=[1, 20], n_superpixels=[5, 10, 15]
    )
    with Path("o/grid.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert all(
        float(r["mean_pixels"]) == pytest.approx(320 / int(r["given"]), abs=0.01) for r in rows
    )
    with Image.open("o/grid.png") as grid:
        assert grid.width > grid.height


# --- one large file -----------------------------------------------------------------------------

SHAPE = (300, 90)


def grains(shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    """Dark and bright squares with noise: grey, 8 bit."""
    rows, cols = np.indices(shape) // 20
    level = np.where((rows + cols) % 2, 60, 180)
    noise = np.random.default_rng(0).integers(0, 40, shape)
    return (level + noise).astype(np.uint8)


@pytest.mark.parametrize("n_blocks", [1, 3])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib", "tile": (64, 64)}], ids=["as it is", "tiles"]
)
def test_a_large_file_gives_the_joined_fine_classes_of_a_small_one(
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    n_blocks: int,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 300 // n_blocks)
    monkeypatch.setattr(windows, "TILE_SIDE", 32)
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 300 * 90)  # as many as it has itself
    tifffile.imwrite("g.tif", grains(), **options)
    small = segment_file(Path("g.tif"), Path("small"), FAST, pixel_size=0.5)
    fine = small.segmentation.fine
    assert fine is not None
    expected = np.empty_like(fine.labels)
    statistics = fine.join(3, expected)
    request.getfixturevalue("everything_is_large")
    rows: list[tuple[int, int]] = []
    done = segment_file(
        *(Path("g.tif"), Path("large"), FAST),
        pixel_size=0.5,
        on_rows=lambda done, labels: rows.append((done, len(labels))),
    )
    assert rows == [(300 * (i + 1) // n_blocks, 300) for i in range(n_blocks)]
    np.testing.assert_array_equal(done.segmentation.labels, expected)
    np.testing.assert_array_equal(read_labels(Path("large/labels.tif")), expected)
    rows_found = done.segmentation.classes
    assert None not in {row.uncertainty for row in rows_found}
    without = tuple(replace(row, uncertainty=None) for row in rows_found)
    assert without == tabulate_classes(statistics)
    assert done.segmentation.criteria == criteria_of(statistics)
    with Image.open("large/overlay.png") as shown:  # without views nothing fades
        pixels = read_micrograph(Path("g.tif")).pixels
        np.testing.assert_array_equal(shown, overlay(pixels, expected, class_colours(3)))
    told, of_views = timeless_summary(done.summary), timeless_summary(small.summary)
    del of_views["mean_agreement"], of_views["view"]
    for summary in (told, of_views):
        del summary["classes"], summary["criteria"], summary["notes"]
    other = fine.other_fractions(3, fine.joining.numbers(3))
    assert told.pop("other_fractions", None) == (None if other is None else list(other))
    of_views.pop("other_fractions", None)  # is relative to the vote
    assert told == of_views
    with tifffile.TiffFile("large/labels.tif") as file:
        assert file.is_bigtiff
    assert {path.name for path in Path("large").iterdir()} == {
        "labels.tif",
        "overlay.png",
        "classes.csv",
        "summary.json",
    }


def stop(*_: object) -> None:
    """Stops the work at once."""
    raise Stopped


@pytest.fixture
def two_blocks(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A micrograph of two blocks, one above the other."""
    tifffile.imwrite("g.tif", grains((90, 60)))
    monkeypatch.setattr(windows, "BLOCK_SIDE", 60)
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 90 * 60)
    return Path("g.tif")


@BOTH
def test_what_is_stopped_becomes_a_folder_that_says_so(
    image: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 40)  # several blocks, so that some stay unlabelled
    done = segment_file(image, Path("o"), settings, on_step=stop, on_rows=stop)
    assert done.summary["stopped"] is True
    stored = json.loads(Path("o/summary.json").read_text(encoding="utf-8"))
    assert stored == done.summary
    assert any(note.startswith("stopped before") for note in stored["notes"])
    whole = segment_file(image, Path("o"), settings, force=True)
    assert "stopped" not in whole.summary


@pytest.mark.parametrize("size", ["small", "large"])
def test_what_is_not_labelled_when_it_is_stopped_is_excluded(
    image: Path, two_blocks: Path, size: str, request: pytest.FixtureRequest
) -> None:
    if size == "large":
        request.getfixturevalue("everything_is_large")
    done = segment_file(two_blocks, Path("o"), replace(FAST, n_classes=2), on_rows=stop)
    labels = read_labels(Path("o/labels.tif"))
    assert ((labels > 0) == (np.arange(90) < 45)[:, np.newaxis]).all()
    assert done.summary["excluded_fraction"] == 0.5
    assert done.summary["stopped"] is True
    assert sum(row["area_fraction"] for row in done.summary["classes"]) == pytest.approx(1)
    field = PhaseFolder.read(Path("o")).measure()
    assert field.n_pixels == 45 * 60
    assert field.fractions == pytest.approx(
        [row["area_fraction"] for row in done.summary["classes"]]
    )
    if size == "small":
        opened = open_result(Path("o"))
        assert ((opened.fine.labels > 0) == (labels > 0)).all()


def test_what_is_stopped_with_a_model_is_told_as_well(image: Path, two_blocks: Path) -> None:
    model = fit_model([opener(two_blocks)], FastSettings(n_classes=2), exposure="same")
    known = KnownModel(model, Path("m.nital"), "0" * 64, 1)
    done = segment_file(two_blocks, Path("o"), model.settings, model=known, on_rows=stop)
    assert done.summary["stopped"] is True
    assert done.summary["excluded_fraction"] == 0.5


def timeless_summary(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without its duration."""
    return {key: value for key, value in summary.items() if key != "seconds"}


def test_a_large_file_gives_the_same_bytes_twice(image: Path, everything_is_large: None) -> None:
    tifffile.imwrite("g.tif", grains())
    for folder in ("o1", "o2"):
        segment_file(Path("g.tif"), Path(folder), FAST)
    for name in ("labels.tif", "overlay.png", "classes.csv"):
        assert Path("o1", name).read_bytes() == Path("o2", name).read_bytes()


def test_labels_of_a_large_file_lie_on_the_disk(image: Path, everything_is_large: None) -> None:
    tifffile.imwrite("g.tif", grains())
    done = segment_file(Path("g.tif"), Path("o"), FAST)
    assert isinstance(done.segmentation.labels, np.memmap)
    assert sorted(path.name for path in Path().rglob("*.part")) == []


def test_an_ome_zarr_becomes_an_ome_zarr(image: Path, everything_is_large: None) -> None:
    write_ome_zarr_labels(Path("g.zarr"), grains(), np.zeros((0, 3), np.uint8), 0.25)
    tifffile.imwrite("g.tif", grains())
    done = segment_file(Path("g.zarr"), Path("o"), FAST)
    expected = segment_file(Path("g.tif"), Path("t"), FAST)
    assert {path.name for path in Path("o").iterdir()} == {
        "labels.zarr",
        "overlay.png",
        "classes.csv",
        "summary.json",
    }
    np.testing.assert_array_equal(done.segmentation.labels, expected.segmentation.labels)
    written = open_micrograph(Path("o/labels.zarr"))
    levels = written.read(slice(0, 300), slice(0, 90))[..., 0]
    np.testing.assert_array_equal(np.rint(255 * levels), expected.segmentation.labels)
    assert written.pixel_size == done.summary["pixel_size_um"] == 0.25
    assert done.summary["sha256"] is None


def test_an_ome_zarr_is_replaced_with_force(image: Path, everything_is_large: None) -> None:
    write_ome_zarr_labels(Path("g.zarr"), grains(), class_colours(3), 0.25)
    segment_file(Path("g.zarr"), Path("o"), FAST)
    with pytest.raises(OutputError, match="--force"):
        segment_file(Path("g.zarr"), Path("o"), FAST)
    again = segment_file(Path("g.zarr"), Path("o"), replace(FAST, n_classes=2), force=True)
    levels = open_micrograph(Path("o/labels.zarr")).read(slice(0, 300), slice(0, 90))[..., 0]
    np.testing.assert_array_equal(np.rint(255 * levels), again.segmentation.labels)


@pytest.mark.parametrize("kind", ["small", "tiff", "zarr"])
def test_what_is_stopped_while_labelling_leaves_no_file(
    image: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    path = Path("g.zarr" if kind == "zarr" else "g.tif")
    if kind == "zarr":
        write_ome_zarr_labels(path, grains(), class_colours(3), None)
    else:
        tifffile.imwrite(path, grains())
    if kind != "small":
        request.getfixturevalue("everything_is_large")
    before = sorted(Path().rglob("*"))

    def stop(done: int, n_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_file(path, Path("o"), FAST, on_rows=stop)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (replace(PAPER, exact=True), "exact True: needs the whole of g.tif"),
        (FastSettings(regions="components"), "regions 'components': needs the whole of g.tif"),
    ],
)
@pytest.mark.usefixtures("everything_is_large", "no_work")
def test_settings_not_for_a_large_file_are_refused_at_once(
    image: Path, settings: Settings, said: str
) -> None:
    tifffile.imwrite("g.tif", grains())
    before = sorted(Path().rglob("*"))
    with pytest.raises(NitalError, match=said):
        segment_file(Path("g.tif"), Path("o"), settings)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.usefixtures("everything_is_large", "no_work")
def test_a_large_file_is_not_compared(image: Path) -> None:
    tifffile.imwrite("g.tif", grains())
    with pytest.raises(InputError, match=r"^a\.png: g\.tif is too large to compare"):
        segment_file(Path("g.tif"), Path("o"), FAST, reference=image)
    assert not Path("o").exists()


def test_a_result_of_a_large_file_is_replaced_with_force_only(
    image: Path, everything_is_large: None
) -> None:
    tifffile.imwrite("g.tif", grains())
    segment_file(Path("g.tif"), Path("o"), FAST)
    before = Path("o/labels.tif").read_bytes()
    other = replace(FAST, n_classes=2)
    with pytest.raises(OutputError, match="--force"):
        segment_file(Path("g.tif"), Path("o"), other)
    assert Path("o/labels.tif").read_bytes() == before
    done = segment_file(Path("g.tif"), Path("o"), other, force=True)
    np.testing.assert_array_equal(
        read_labels(Path("o/labels.tif")), np.asarray(done.segmentation.labels)
    )


# --- a result read back -------------------------------------------------------------------------


def test_fine_classes_are_read_back_as_they_were(image: Path) -> None:
    result = segment_file(image, Path("r"), FAST, pixel_size=0.5).segmentation
    assert result.fine is not None
    opened = open_result(Path("r"))
    np.testing.assert_array_equal(opened.labels, result.labels)
    np.testing.assert_array_equal(opened.fine.labels, result.fine.labels)
    np.testing.assert_array_equal(opened.fine.joining.centres, result.fine.joining.centres)
    np.testing.assert_array_equal(opened.fine.statistics.areas, result.fine.statistics.areas)
    assert opened.micrograph.pixel_size == 0.5


@pytest.mark.parametrize("k", [2, 5])
def test_a_result_read_back_is_cut_as_before(image: Path, k: int) -> None:
    result = segment_file(image, Path("r"), FAST).segmentation
    assert result.fine is not None
    fine = open_result(Path("r")).fine
    labels, expected = np.empty_like(fine.labels), np.empty_like(result.fine.labels)
    fine.join(k, labels)
    result.fine.join(k, expected)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("name", ["fine.tif", "labels.tif", "fine.csv"])
def test_a_result_that_was_altered(image: Path, name: str) -> None:
    segment_file(image, Path("r"), FAST)
    path = Path("r") / name
    if name == "fine.csv":
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    else:
        altered = read_labels(path).astype(np.uint8)
        altered = np.where(altered == 2, 1, altered) if name == "fine.tif" else altered[:-1]
        tifffile.imwrite(path, altered)
    said = r"r: fine\.tif, fine\.csv or labels\.tif was changed"
    with pytest.raises(InputError, match=said):
        open_result(Path("r"))


def test_a_table_of_an_older_version_is_refused(image: Path) -> None:
    segment_file(image, Path("r"), FAST)
    table = Path("r/fine.csv")
    lines = [line.split(",")[:7] for line in table.read_text().splitlines()]
    table.write_text("".join(",".join(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=r"fine\.csv: can't be used.*segment"):
        open_result(Path("r"))


# --- regions for other programs ----------------------------------------------------------------

RINGS = np.array(
    [[1, 1, 1, 1, 0], [1, 2, 2, 1, 0], [1, 2, 2, 1, 0], [1, 1, 1, 1, 0], [3, 3, 1, 2, 0]], np.uint16
)
"""Class 1 around class 2, another region of each, and excluded pixels."""


def labelled(folder: Path, size: float | None = None) -> PhaseFolder:
    """The phases of a folder that holds nothing else."""
    folder.mkdir(exist_ok=True)
    summary = {"pixel_size_um": size, "sha256": None}
    colours = np.array([[10, 11, 12], [20, 21, 22], [30, 31, 32]], np.uint8)
    return PhaseFolder(folder, summary, RINGS, ("α, β", "b", "c/d"), colours, True, (None,) * 3)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", EXPORT_FILES)
def test_one_file_a_kind(tmp_path: Path, kind: str) -> None:
    export_regions(labelled(tmp_path), [kind])
    assert names_in(tmp_path) == {EXPORT_FILES[kind]}


def test_regions_are_in_the_table_by_the_name_of_their_phase(tmp_path: Path) -> None:
    export_regions(labelled(tmp_path, 2.0), ["csv"])
    with (tmp_path / "regions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["phase"], float(row["area_um2"])) for row in rows] == [
        ("α, β", 4 * 13.0),
        ("b", 4 * 4.0),
        ("c/d", 4 * 2.0),
        ("b", 4 * 1.0),
    ]
    assert [row["touches_edge"] for row in rows] == ["True", "False", "True", "True"]


def test_parquet_holds_numbers(tmp_path: Path) -> None:
    export_regions(labelled(tmp_path), ["parquet"])
    found = pyarrow.parquet.read_table(tmp_path / "regions.parquet").to_pydict()
    assert found["phase"] == ["α, β", "b", "c/d", "b"]
    assert found["area_px"] == [13, 4, 2, 1]
    assert found["touches_edge"] == [True, False, True, True]


def test_polygons_have_the_names_and_colours_of_the_phases(tmp_path: Path) -> None:
    export_regions(labelled(tmp_path, 2.0), ["geojson"])
    told = json.loads((tmp_path / "regions.geojson").read_text(encoding="utf-8"))
    found = [each["properties"] for each in told["features"]]
    assert [each["classification"]["name"] for each in found] == ["α, β", "b", "c/d", "b"]
    assert found[2]["classification"]["color"] == [30, 31, 32]
    assert [(each["area_px"], each["area_um2"]) for each in found] == [
        *((13, 52), (4, 16), (2, 8), (1, 4))
    ]


def test_rois_have_the_names_and_colours_of_the_phases(tmp_path: Path) -> None:
    export_regions(labelled(tmp_path), ["rois"])
    rois = roifile.roiread(tmp_path / "regions.zip")
    assert isinstance(rois, list)
    assert [roi.name for roi in rois] == ["α, β 1", "b 2", "c/d 3", "b 4"]
    assert rois[2].stroke_color == b"\xff\x1e\x1f\x20"


@pytest.mark.parametrize("kind", EXPORT_FILES)
def test_regions_that_are_there_are_replaced_with_force_only(tmp_path: Path, kind: str) -> None:
    field, path = labelled(tmp_path), tmp_path / EXPORT_FILES[kind]
    path.write_text("mine")
    with pytest.raises(OutputError, match="already exists; use --force"):
        export_regions(field, list(EXPORT_FILES))
    assert names_in(tmp_path) == {path.name}
    assert path.read_text() == "mine"
    export_regions(field, list(EXPORT_FILES), force=True)
    assert names_in(tmp_path) == set(EXPORT_FILES.values())
    assert path.read_bytes() != b"mine"


# --- studies ------------------------------------------------------------------------------------


def test_a_study_keeps_each_run_at_once(image: Path) -> None:
    counted: list[int] = []
    runs = study(image).finish(on_run=lambda run: counted.append(len(keys())))
    assert counted == [1, 2, 3, 4]
    assert [(run.n_classes, run.seed) for run in runs] == [(2, 0), (2, 1), (3, 0), (3, 1)]


@BOTH
def test_a_study_goes_on_where_it_stopped(image: Path, settings: Settings) -> None:
    how: dict[str, Any] = {"settings": settings}
    if settings.mode == "fast":
        how["n_classes"] = [2, 3, 4, 5]  # as many runs without repeats
    whole = study(image, Path("whole"), **how).finish()

    finished: list[Run] = []

    def stop(run: Run) -> None:
        finished.append(run)
        if len(finished) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(image, **how).finish(on_run=stop)
    again = study(image, **how)
    assert len(again.missing) == again.n_runs - 2 == 2
    assert timeless(again.finish()) == timeless(whole)
    assert sorted(keys()) == sorted(keys(Path("whole")))
    assert study(image, **how).missing == []


def test_a_run_whose_line_was_torn_is_done_again(image: Path) -> None:
    runs = study(image).finish()
    journal = Path("s/runs.csv")
    journal.write_bytes(journal.read_bytes()[:-5])
    assert len(study(image).missing) == 1
    assert timeless(study(image).finish()) == timeless(runs)
    assert len(keys()) == len(set(keys())) == 4


def test_a_larger_study_only_adds_runs(image: Path) -> None:
    study(image).finish()
    first = Path("s/runs.csv").read_text()
    larger = study(image, n_classes=[2, 3, 4], repeats=3)
    assert (larger.n_runs, len(larger.missing)) == (9, 5)
    assert len(larger.finish()) == 9
    assert Path("s/runs.csv").read_text().startswith(first)
    assert len(keys()) == len(set(keys())) == 9
    assert len(study(image, n_classes=[3], repeats=1).finish()) == 1


@BOTH
def test_an_executor_gives_the_same_runs(image: Path, settings: Settings) -> None:
    alone = study(image, Path("alone"), settings=settings).finish()
    with ThreadPoolExecutor(2) as executor:
        together = study(image, settings=settings).finish(executor=executor)
    assert timeless(together) == timeless(alone)


@pytest.mark.parametrize(
    "change",
    [
        {"max_iterations": 4},
        {"n_filters": 9},
        {"regions": "components"},
        {"momentum": 0.5},
    ],
)
def test_other_settings_are_refused(image: Path, change: dict[str, Any]) -> None:
    study(image)
    with pytest.raises(OutputError, match="another study"):
        study(image, settings=replace(QUICK, **change))


@pytest.mark.parametrize(
    "settings",
    [QUICK, replace(FAST, scale="medium"), replace(FAST, regions="components")],
    ids=["mode", "scale", "regions"],
)
def test_other_settings_are_refused_of_a_fast_study(image: Path, settings: Settings) -> None:
    study(image, settings=FAST)
    with pytest.raises(OutputError, match="another study"):
        study(image, settings=settings)


def test_another_image_is_refused(image: Path) -> None:
    study(image)
    Image.fromarray(halves(18, 20)).save("b.png")
    with pytest.raises(OutputError, match=r"sha256.*--force"):
        study(Path("b.png"))
    assert len(study(Path("b.png"), force=True).missing) == 4


def test_another_page_is_refused(image: Path) -> None:
    tifffile.imwrite("s.tif", np.stack([halves(), halves().T.reshape(16, 20)]))
    study(Path("s.tif"), page=1).finish()
    # Either page 2 is refused, or its runs are done: never are those of page 1 used for it.
    try:
        missing = study(Path("s.tif"), page=2).missing
    except OutputError:
        return
    assert len(missing) == 4


@pytest.mark.parametrize(
    "how",
    [{"repeats": 0}, {"n_classes": [2, 7]}, {"compactness": [0.0]}, {"n_superpixels": [1000]}],
)
def test_a_study_that_can_not_be_is_refused_at_once(image: Path, how: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        study(image, **how)
    assert not Path("s").exists()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"n_classes": [2, 25]}, "n_classes 25"),
        ({"compactness": [5.0]}, "compactness 5.0: fast mode has no such setting"),
        ({"n_superpixels": [12]}, "n_superpixels 12: fast mode has no such setting"),
    ],
)
def test_a_fast_study_that_can_not_be_is_refused_at_once(
    image: Path, how: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingError, match=said):
        study(image, settings=FAST, **how)
    assert not Path("s").exists()


def test_a_micrograph_too_small_for_a_study_is_refused_at_once(image: Path) -> None:
    Image.fromarray(halves(2, 2)).save("small.png")
    with pytest.raises(InputError):
        study(Path("small.png"), n_superpixels=[1])
    assert not Path("s").exists()


def test_a_journal_with_a_damaged_number_is_refused(image: Path) -> None:
    study(image).finish()
    journal = Path("s/runs.csv")
    journal.write_text(
        journal.read_text().replace("n_classes,", "n_classes,", 1).replace("12", "x")
    )
    with pytest.raises(NitalError, match="journal"):
        study(image)
