"""Keeping: the same results as the commands write, and what is made of them."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.benches import (
    FILES,
    PAPER,
    SHAPE,
    SILENT,
    THREE,
    Listener,
    Session,
    decided,
    segmented,
    uploaded,
)
from helpers.terminal import Nital
from nital.app.work.fields import FieldFile, Trained, result_in, shown_in
from nital.app.work.keeping import (
    NOT_SURE,
    find_silhouette,
    keep_fields,
    report_fields,
    score_field,
)
from nital.app.work.live import Stage
from nital.app.work.tasks import FITTED, open_field, segment_fields, train_field
from nital.errors import InputError, Stopped
from nital.fast.settings import FastSettings
from nital.image import windows
from nital.image.labels import read_labels
from nital.output.folders import PhaseFolder
from nital.result.grouping import ClassName, Grouping
from nital.series.model_files import read_model

pytestmark = pytest.mark.usefixtures("seen_steels")


# --- the same as the commands --------------------------------------------------------------------


def copied(fields: Sequence[FieldFile], folder: Path) -> list[Path]:
    """Their files, by the names that people know."""
    folder.mkdir(exist_ok=True)
    return [Path(shutil.copy(each.path, folder / each.name)) for each in fields]


def run(nital: Nital, *arguments: object) -> None:
    outcome = nital(*arguments)
    assert outcome.code == 0, outcome.err


def check_same(kept: Path, predicted: Path, files: Sequence[str] = FILES) -> None:
    """Byte by byte, and all in the summaries but where and when."""
    assert {path.name for path in kept.iterdir()} == {*files, "summary.json"}
    assert {path.name for path in predicted.iterdir()} == {*files, "summary.json"}
    for name in files:
        assert (kept / name).read_bytes() == (predicted / name).read_bytes(), name
    summaries = [json.loads((each / "summary.json").read_text()) for each in (kept, predicted)]
    assert summaries[0].pop("name") == Path(summaries[1]["image"]).name
    for summary in summaries:
        del summary["image"], summary["seconds"], summary["model"]["path"]
    assert summaries[0] == summaries[1]


def test_the_page_writes_what_fit_and_predict_write(tmp_path: Path, nital: Nital) -> None:
    session = tmp_path / "session"
    fields = [uploaded(session, number) for number in (1, 2, 4)]
    files = copied(fields, tmp_path / "files")
    settings = FastSettings(n_classes=3, scale="medium")
    assert segment_fields(SILENT, session, fields, settings, "each") == 3
    keep_fields(SILENT, session, fields, session / FITTED)
    model, out = tmp_path / "model.nital", tmp_path / "out"
    how = ("--n-classes", 3, "--scale", "medium", "--exposure", "each")
    run(nital, "fit", *files, *how, "--out", model)
    run(nital, "predict", *files, "--model", model, "--out", out)
    assert (session / FITTED).read_bytes() == model.read_bytes()
    for field in fields:
        check_same(result_in(session, field.number), out / Path(field.name).stem)


def test_what_was_decided_cut_off_and_typed_is_in_what_is_kept(
    tmp_path: Path, nital: Nital
) -> None:
    session = tmp_path / "session"
    fields = [
        replace(uploaded(session, number), crop_bottom=9, pixel_size=0.25) for number in (1, 2)
    ]
    files = copied(fields, tmp_path / "files")
    model = segmented(session, fields, replace(THREE, n_classes=4))
    fitted = tmp_path / "model.nital"
    how = ("--n-classes", 4, "--exposure", "same", "--crop-bottom", 9)
    run(nital, "fit", *files, *how, "--out", fitted)
    assert (session / FITTED).read_bytes() == fitted.read_bytes()
    changed = model.joined(3, 1).named({1: ClassName("pearlite", "#d55e00")})
    path = decided(session, changed.named({2: ClassName(None, "#999999")}))
    specimen = keep_fields(SILENT, session, fields, path)
    how = ("--crop-bottom", 9, "--pixel-size", "0.25um")
    run(nital, "predict", *files, *how, "--model", path, "--out", tmp_path / "out")
    for field in fields:
        kept = result_in(session, field.number)
        check_same(kept, tmp_path / "out" / Path(field.name).stem)
        assert read_labels(kept / "labels.tif").shape == (55, 80)
        found = PhaseFolder.read(kept)
        assert found.phases == ("pearlite", "class 2", "class 3")
        assert found.pixel_size == 0.25
    assert specimen.phases == ("pearlite", "class 2", "class 3")
    run(nital, "phases", tmp_path / "out", "--out", tmp_path / "specimen")
    for name in ("phases.csv", "contacts.csv", "fields.csv"):
        rows = [
            (folder / name).read_text().splitlines()
            for folder in (session / "results", tmp_path / "specimen")
        ]
        # But for the names of the fields, which are those of their folders there.
        numbers = [[line.partition(",")[2] for line in lines] for lines in rows]
        assert numbers[0] == numbers[1], name


@pytest.mark.usefixtures("everything_is_large")
def test_a_large_micrograph_is_kept_as_the_commands_keep_it(
    tmp_path: Path, nital: Nital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 32)
    monkeypatch.setattr(windows, "TILE_SIDE", 32)
    session = tmp_path / "session"
    fields = [replace(uploaded(session, i, ".tif"), crop_bottom=4) for i in (1, 2)]
    files = copied(fields, tmp_path / "files")
    segmented(session, fields)
    keep_fields(SILENT, session, fields, session / FITTED)
    model, out = tmp_path / "model.nital", tmp_path / "out"
    how = ("--exposure", "same", "--crop-bottom", 4)
    run(nital, "fit", *files, *how, "--out", model)
    run(nital, "predict", *files, "--crop-bottom", 4, "--model", model, "--out", out)
    assert (session / FITTED).read_bytes() == model.read_bytes()
    for field in fields:
        files = ("labels.tif", "overlay.png", "classes.csv")
        check_same(result_in(session, field.number), out / Path(field.name).stem, files)
    with tifffile.TiffFile(result_in(session, 1) / "labels.tif") as tiff:
        assert tiff.is_ome  # a pyramid
    assert open_field(SILENT, session, fields[0]).cropped_bottom == 4
    sure = find_silhouette(SILENT, session, fields[0], session / FITTED)
    assert 0 < sure < 1


def test_measuring_can_be_stopped(session: Session) -> None:
    listener = Listener(lambda message: message.text == "measuring field-2.png")
    with pytest.raises(Stopped):
        keep_fields(listener.report, session.folder, session.fields[:2], session.path)
    assert listener.messages == [
        Stage("measuring field-1.png", 0.0, 1),
        Stage("measuring field-2.png", 0.5, 2),
    ]
    assert result_in(session.folder, 1).exists()
    assert not result_in(session.folder, 2).exists()


# --- what is made of it --------------------------------------------------------------------------


def test_the_map_of_how_sure_the_classes_are(session: Session) -> None:
    folder, field = session.folder, session.fields[0]
    listener, means = Listener(), []
    for path in (decided(folder, session.model.joined(1, 2)), session.path):
        means.append(find_silhouette(listener.report, folder, field, path))
        found = np.load(shown_in(folder, 1) / "sure.npy")
        expected = np.zeros(SHAPE, np.uint8)
        read_model(path).silhouette(field.open(), out=expected)
        np.testing.assert_array_equal(found[32:], expected[32:])
        assert (found[:32] == NOT_SURE).all()
        assert found[32:].max() <= 100
        assert means[-1] == pytest.approx(expected[32:].mean() / 100)
    assert means[0] != means[1]
    assert listener.messages == [Stage("how sure: field-1.png", field=1)] * 2
    assert not list(folder.rglob("*.part*"))


def test_what_is_kept_anew_replaces_what_was_kept(session: Session) -> None:
    changed = decided(session.folder, session.model.joined(1, 3))
    for path, names in (
        (session.path, ("class 1", "class 2", "class 3")),
        (changed, ("class 1", "class 2")),
    ):
        specimen = keep_fields(SILENT, session.folder, session.fields[:1], path)
        assert specimen.phases == names
        found = PhaseFolder.read(result_in(session.folder, 1))
        assert found.phases == names
        regions = result_in(session.folder, 1) / "regions.csv"
        assert not regions.exists()
        regions.write_text("of what was kept before")


def test_a_micrograph_that_was_cut_since_has_to_be_segmented_again(session: Session) -> None:
    fields = [replace(session.fields[0], crop_bottom=1)]
    with pytest.raises(InputError, match=r"^field-1\.png: is another file .*; segment again"):
        keep_fields(SILENT, session.folder, fields, session.path)
    assert not result_in(session.folder, 1).exists()


@pytest.fixture
def kept(session: Session) -> Path:
    """The folder of a session with two micrographs that are kept."""
    keep_fields(SILENT, session.folder, session.fields[:2], session.path)
    return session.folder


def test_fields_are_called_as_people_call_them(kept: Path) -> None:
    table = (kept / "results" / "fields.csv").read_text().splitlines()[1:]
    assert {line.partition(",")[0] for line in table} == {"field-1.png", "field-2.png"}


def test_the_report_is_of_what_was_kept(kept: Path) -> None:
    listener = Listener()
    for numbers in ([1, 2], [2]):
        path = report_fields(listener.report, kept, numbers)
        assert path == kept / "results" / "report.html"
        html = path.read_text()
        assert [f"field-{i}.png" in html for i in (1, 2)] == [i in numbers for i in (1, 2)]
    assert listener.messages == [Stage("writing the report")] * 2


def test_a_map_that_a_person_drew_is_compared(kept: Path) -> None:
    labels = read_labels(result_in(kept, 2) / "labels.tif").astype(np.uint8)
    reference = kept / "drawn-001.png"
    Image.fromarray(40 * labels).save(reference)
    listener = Listener()
    found = score_field(listener.report, kept, 2, reference, "drawn.png")
    assert (found.mean_iou, found.accuracy, found.n_pixels) == (1, 1, 64 * 80)
    assert listener.messages == [Stage("comparing with drawn.png", field=2)]
    assert score_field(SILENT, kept, 1, reference, "drawn.png").accuracy < 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("PNG", r"^the reference has shape \(8, 8\), the labels \(64, 80\)"),
        ("JPEG", r"^drawn\.png: a JPEG file"),
        ("text", r"^drawn\.png: not an image"),
    ],
)
def test_errors_of_a_drawn_map_have_its_name(kept: Path, kind: str, reason: str) -> None:
    reference = kept / "drawn-001.png"
    if kind == "text":
        reference.write_text("Dear Sir")
    else:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(reference, kind)
    with pytest.raises(InputError, match=reason) as caught:
        score_field(SILENT, kept, 1, reference, "drawn.png")
    assert str(kept) not in str(caught.value)


# --- paper mode ----------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, FieldFile, Grouping]:
    """A session with a micrograph that paper mode segmented, and its classes."""
    session = tmp_path / "session"
    field, listener = uploaded(session, 1), Listener()
    open_field(SILENT, session, field)
    train_field(listener.report, session, [field], PAPER)
    (found,) = listener.of(Trained)
    return session, field, Grouping.of_classes(found.settings, found.statistics)


def test_the_page_writes_what_segment_writes_in_paper_mode(
    trained: tuple[Path, FieldFile, Grouping], tmp_path: Path, nital: Nital
) -> None:
    session, field, found = trained
    keep_fields(SILENT, session, [field], found)
    (file,) = copied([field], tmp_path / "files")
    how = ("--mode", "paper", "--n-classes", 2, "--seed", 5, "--n-filters", 8)
    more = ("--n-responses", 6, "--max-iterations", 4, "--out", tmp_path / "out")
    run(nital, "segment", file, *how, *more)
    kept = result_in(session, 1)
    written = tmp_path / "out" / "field-1"
    files = ("labels.tif", "overlay.png", "classes.csv")
    for name in files:
        assert (kept / name).read_bytes() == (written / name).read_bytes(), name
    assert {path.name for path in kept.iterdir()} == {*files, "summary.json"}
    summaries = [json.loads((each / "summary.json").read_text()) for each in (kept, written)]
    assert summaries[0].pop("name") == "field-1.png"
    for summary in summaries:
        del summary["image"], summary["seconds"]
    assert summaries[0] == summaries[1]
    assert summaries[0]["iterations"] == 4


def test_classes_of_paper_mode_are_named_and_joined(
    trained: tuple[Path, FieldFile, Grouping],
) -> None:
    session, field, found = trained
    k = len(found.classes)
    assert k > 2
    changed = found.joined(1, k).named({1: ClassName("matrix")})
    specimen = keep_fields(SILENT, session, [field], changed)
    assert len(specimen.phases) == k - 1
    assert "matrix" in specimen.phases
    labels = read_labels(result_in(session, 1) / "labels.tif")
    before = np.load(shown_in(session, 1) / "labels.npy")
    np.testing.assert_array_equal(labels, np.append(0, changed.class_of)[before])
    report = report_fields(SILENT, session, [1]).read_text()
    assert "matrix" in report
