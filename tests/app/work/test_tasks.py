"""The tasks: what the page writes is what the commands write, and what is stopped is kept."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from helpers.benches import (
    PAPER,
    SHAPE,
    SILENT,
    THREE,
    Listener,
    Session,
    ignore,
    steel,
    uploaded,
    with_glass,
)
from nital.app.work import live as live_module
from nital.app.work import tasks
from nital.app.work.fields import FieldFile, Found, Labelled, Opened, Trained, result_in, shown_in
from nital.app.work.keeping import keep_fields
from nital.app.work.live import LIVE, Stage
from nital.app.work.tasks import (
    LABELS,
    TRAINING,
    label_fields,
    make_synthetic,
    open_field,
    recover_field,
    recover_training,
    segment_fields,
    train_field,
)
from nital.app.work.tiles import n_levels
from nital.app.work.worker import Reporter
from nital.errors import InputError, Stopped
from nital.fast.settings import FastSettings
from nital.image import windows
from nital.image.files import read_micrograph
from nital.image.labels import read_labels
from nital.image.synthetic import SyntheticMicrograph, synthesize
from nital.methods import segment
from nital.series.model_files import read_model
from nital.settings import Settings

pytestmark = pytest.mark.usefixtures("seen_steels")


# --- opening -------------------------------------------------------------------------------------


def test_a_file_is_opened_with_the_pixel_size_that_it_says(tmp_path: Path) -> None:
    how = {"resolution": (20_000, 20_000), "resolutionunit": "centimeter"}
    field = uploaded(tmp_path, 4, ".tif", **how)
    listener = Listener()
    found = open_field(listener.report, tmp_path, field)
    assert found == Opened(4, SHAPE, 0, pytest.approx(0.5))
    assert listener.messages == [Stage("opening field-4.tif", field=4)]
    folder = tmp_path / "shown" / "004"
    assert len(list(folder.glob("micrograph-*.npy"))) == n_levels(SHAPE)
    np.testing.assert_array_equal(np.load(folder / "micrograph-0.npy"), steel(4))
    typed = open_field(SILENT, tmp_path, replace(field, pixel_size=0.2))
    assert typed == Opened(4, SHAPE, 0, 0.2)
    assert open_field(SILENT, tmp_path, uploaded(tmp_path, 3)).pixel_size is None


def test_what_is_cut_off_is_shown_all_the_same(tmp_path: Path) -> None:
    header = "[Scan]\r\nPixelWidth=2.5e-8\r\nPixelHeight=2.5e-8\r\n[Image]\r\nResolutionY=50\r\n"
    field = uploaded(tmp_path, 1, ".tif", extratags=[(34682, "s", 0, header, True)])
    for crop_bottom, cropped in ((None, 14), (20, 20), (0, 0)):
        found = open_field(SILENT, tmp_path, replace(field, crop_bottom=crop_bottom))
        assert found == Opened(1, SHAPE, cropped, pytest.approx(0.025))
        shown = np.load(shown_in(tmp_path, 1) / "micrograph-0.npy")
        np.testing.assert_array_equal(shown, steel(1))


def test_one_page_of_several_is_opened(tmp_path: Path) -> None:
    field = uploaded(tmp_path, 1, ".tif")
    tifffile.imwrite(field.path, np.stack([steel(1), steel(2)]), photometric="minisblack")
    open_field(SILENT, tmp_path, replace(field, page=2))
    shown = np.load(shown_in(tmp_path, 1) / "micrograph-0.npy")
    np.testing.assert_array_equal(shown, steel(2))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def write_letter(path: Path) -> None:
    path.write_text("Dear Sir")


def stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([steel(1)] * 2), photometric="minisblack")


def stretch(path: Path) -> None:
    tifffile.imwrite(path, steel(1), resolution=(2e4, 1e4), resolutionunit="centimeter")


@pytest.mark.parametrize(
    ("suffix", "change", "typed", "reason"),
    [
        (".tif", halve, {}, "cut short"),
        (".png", halve, {}, "damaged"),
        (".tif", empty, {}, "an empty file"),
        (".png", write_letter, {}, "not an image"),
        (".png", Path.unlink, {}, "no such file"),
        (".png", None, {"crop_bottom": 64}, "give 0 to 63 by the line in the picture"),
        (".tif", None, {"page": 2}, "page 2 of 1"),
        (".tif", stack, {}, "choose one below, of 1..2"),
        (".tif", stretch, {}, "give their edge in the field below"),
    ],
)
def test_errors_name_the_micrograph_as_the_page_does(
    tmp_path: Path,
    suffix: str,
    change: Callable[[Path], None] | None,
    typed: dict[str, int],
    reason: str,
) -> None:
    field = replace(uploaded(tmp_path, 1, suffix), **typed)
    if change is not None:
        change(field.path)
    with pytest.raises(InputError) as caught:
        open_field(SILENT, tmp_path, field)
    text = str(caught.value)
    assert text.startswith(f"{field.name}: ")
    assert reason in text
    for hidden in (str(tmp_path), "uploads", field.path.name, "--"):
        assert hidden not in text


def test_a_name_may_hold_that_of_the_file(tmp_path: Path) -> None:
    field = replace(uploaded(tmp_path, 1), name="nr-001.png")
    field.path.write_bytes(b"")
    with pytest.raises(InputError, match=r"^nr-001\.png: an empty file"):
        field.open()


@pytest.mark.usefixtures("everything_is_large")
def test_damage_within_a_large_file_is_reported_by_the_name_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nital.image.micrograph._ROWS_AT_ONCE", 16)  # what is damaged lies below
    monkeypatch.setattr("nital.app.work.tiles._ROWS_AT_ONCE", 16)
    field = uploaded(tmp_path, 1, ".tif")
    with tifffile.TiffFile(field.path) as tiff:
        start = tiff.pages.first.dataoffsets[5]
    data = bytearray(field.path.read_bytes())
    data[start : start + 50] = bytes(50)
    field.path.write_bytes(data)
    with pytest.raises(InputError, match=r"^field-1\.tif: damaged, rows 32 to 48") as caught:
        open_field(SILENT, tmp_path, field)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("n_checks", [0, 1], ids=["before", "after it is read"])
def test_opening_can_be_stopped_before_it_is_shown(tmp_path: Path, n_checks: int) -> None:
    answers = iter([False] * n_checks + [True])
    with pytest.raises(Stopped):
        open_field(Reporter(ignore, lambda: next(answers)), tmp_path, uploaded(tmp_path, 1))
    assert not shown_in(tmp_path, 1).exists()


def test_a_synthetic_micrograph_is_written_to_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, int]] = []

    def synthesize_less(shape: tuple[int, int], *how: Any, **more: Any) -> SyntheticMicrograph:
        shapes.append(shape)
        return synthesize(SHAPE, *how, **more)

    monkeypatch.setattr(tasks, "synthesize", synthesize_less)
    path = tmp_path / "new" / "synthetic.png"
    make_synthetic(SILENT, path)
    assert shapes == [(768, 1024)]
    with Image.open(path) as image:
        assert (image.size, image.mode) == (SHAPE[::-1], "L")
        dark = (np.asarray(image) < 100).mean()
    assert 0.1 < dark < 0.6  # pearlite, and the boundaries of ferrite


# --- labelling -----------------------------------------------------------------------------------


def test_each_micrograph_is_reported_when_it_is_labelled(
    session: Session,
) -> None:
    listener = Listener()
    settings = replace(THREE, n_classes="auto")
    assert segment_fields(listener.report, session.folder, session.fields, settings, "auto") == 3
    model = read_model(session.path)
    assert listener.messages[0] == Stage(
        "finding classes", detail="looking at grey levels and sizes"
    )
    assert listener.of(Settings) == [model.settings]
    assert [found.number for found in listener.of(Labelled)] == [1, 2, 3]
    for found in listener.of(Labelled):
        labels = np.load(shown_in(session.folder, found.number) / "labels.npy")
        assert labels.dtype == np.uint8
        n_fine = len(model.class_of)
        assert found.areas == tuple(np.bincount(labels.ravel(), minlength=n_fine + 1)[1:])
        assert found.excluded_fraction == (0.5 if found.number == 1 else 0)
        assert (found.stopped, found.is_far) == (False, False)
    order = [type(message) for message in listener.messages]
    assert order.index(FastSettings) < order.index(Labelled)


def test_an_unlike_micrograph_is_reported(session: Session) -> None:
    Image.fromarray(255 - steel(2) // 2).save(session.fields[1].path)
    listener = Listener()
    assert label_fields(listener.report, session.folder, session.fields[:2], session.path) == 2
    assert [found.is_far for found in listener.of(Labelled)] == [False, True]


@pytest.mark.parametrize("side", [1000, 25])
def test_the_map_under_way_is_shown(
    session: Session, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 32)
    monkeypatch.setattr(live_module, "LIVE_SIDE", side)
    fields, step = session.fields[1:], 1 if side == 1000 else 4
    pictures: list[tuple[Stage, NDArray[np.uint8]]] = []

    def look(message: Any) -> bool:
        live = message.live if isinstance(message, Stage) else None
        if live is not None and live.n_done:
            assert (live.rows, live.cols) == (64 // step, 80 // step)
            data = np.frombuffer((session.folder / LIVE).read_bytes(), np.uint8)
            pictures.append((message, data.reshape(live.rows, live.cols)))
            assert live.n_classes == data.max() <= 3
        return False

    segment_fields(Listener(look).report, session.folder, fields, THREE, "same")
    class_of = read_model(session.path).class_of
    assert len(class_of) == 24  # as many as can be
    numbers = [stage.live.number for stage, _ in pictures if stage.live]
    assert numbers == [*range(numbers[0], numbers[0] + 12)]
    for number in (2, 3):
        own = [(stage, picture) for stage, picture in pictures if stage.field == number]
        assert {stage.text for stage, _ in own} == {f"labelling field-{number}.png"}
        assert [stage.live.n_done for stage, _ in own if stage.live] == [*range(1, 7)]
        filled = [int((picture > 0).sum()) for _, picture in own]
        assert filled[0] > 0
        assert filled == sorted(set(filled))
        labels = np.load(shown_in(session.folder, number) / "labels.npy")
        expected = np.append(0, class_of)[labels[::step, ::step]]
        np.testing.assert_array_equal(own[-1][1], expected)
    shares = [stage.done for stage, _ in pictures if stage.field]
    assert shares == [0.25] * 3 + [0.5] * 3 + [0.75] * 3 + [1.0] * 3


def test_the_map_is_shown_while_classes_are_found(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "LIVE_PAUSE", 0)
    listener = Listener()
    segment_fields(listener.report, session.folder, session.fields[1:], THREE, "same")
    stages = [each for each in listener.of(Stage) if each.text == "finding classes"]
    assert {each.field for each in stages if each.live} == {2}
    lives = [each.live for each in stages if each.live]
    assert [live.number for live in lives] == [*range(1, len(lives) + 1)]
    assert {(live.rows, live.cols, live.n_done) for live in lives} == {(64, 80, 0)}
    assert {live.n_classes for live in lives} <= {2, 3}
    details = [re.sub(r"\d+", "N", each.detail) for each in stages]
    assert [*dict.fromkeys(details)] == [
        "looking at grey levels and sizes",
        "N clusters",
        "comparing them with the micrographs",
    ]
    shares = [each.done for each in stages[1:]]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_pictures_of_a_fit_come_with_a_pause(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "LIVE_PAUSE", 3600)
    listener = Listener()
    segment_fields(listener.report, session.folder, session.fields[1:], THREE, "same")
    shown = [each for each in listener.of(Stage) if each.live and not each.live.n_done]
    assert len(shown) == 1


# --- stopped -------------------------------------------------------------------------------------


def is_clustering(message: Any) -> bool:
    """Whether a message is of a clustering."""
    return isinstance(message, Stage) and message.detail.endswith(" clusters")


def is_done(field: int, n_blocks: int) -> Callable[[Any], bool]:
    """Whether a message is of a field of which so many blocks are labelled."""

    def check(message: Any) -> bool:
        live = message.live if isinstance(message, Stage) else None
        return live is not None and (message.field, live.n_done) == (field, n_blocks)

    return check


def test_what_is_done_when_it_is_stopped_is_kept(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 32)
    folder = session.folder
    label_fields(SILENT, folder, session.fields, session.path)
    whole = {i: np.load(shown_in(folder, i) / "labels.npy") for i in (1, 2)}
    shutil.rmtree(folder / "shown")
    listener = Listener(is_done(2, 3))
    with pytest.raises(Stopped):
        label_fields(listener.report, folder, session.fields, session.path)
    reported = [(found.number, found.stopped) for found in listener.of(Labelled)]
    assert reported == [(1, False), (2, True)]
    np.testing.assert_array_equal(np.load(shown_in(folder, 1) / "labels.npy"), whole[1])
    part = np.load(shown_in(folder, 2) / "labels.npy")
    done = np.indices(SHAPE)[0] < 32  # three blocks of 32 rows
    np.testing.assert_array_equal(part, np.where(done, whole[2], 0))
    assert listener.of(Labelled)[1].excluded_fraction == 0.5
    assert not shown_in(folder, 3).exists()
    specimen = keep_fields(SILENT, folder, session.fields[:2], session.path)
    assert [field.n_pixels for field in specimen.fields] == [32 * 80, 32 * 80]
    summaries = [json.loads((result_in(folder, i) / "summary.json").read_text()) for i in (1, 2)]
    assert [summary.get("stopped") for summary in summaries] == [None, True]
    labels = read_labels(result_in(folder, 2) / "labels.tif")
    np.testing.assert_array_equal(labels, np.append(0, session.model.class_of)[part])


@pytest.mark.parametrize(
    "block",
    [
        32,
        2048,
    ],
)
def test_what_is_stopped_while_classes_are_found_leaves_the_older_ones(
    session: Session, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", block)
    monkeypatch.setattr(windows, "TILE_SIDE", 32)
    before = session.path.read_bytes()
    listener = Listener(is_clustering)
    with pytest.raises(Stopped):
        segment_fields(listener.report, session.folder, session.fields, FastSettings(), "same")
    assert listener.of(Settings) == []
    assert session.path.read_bytes() == before


def test_what_is_stopped_above_glass_is_stopped_and_no_error(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 32)
    listener = Listener(is_done(1, 1))
    with pytest.raises(Stopped):
        label_fields(listener.report, session.folder, session.fields, session.path)


class KilledError(Exception):
    """Nothing more is done, as where the process was killed."""


def test_what_was_done_when_the_process_was_killed_is_recovered(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "BLOCK_SIDE", 32)
    folder, field = session.folder, session.fields[1]
    label_fields(SILENT, folder, [field], session.path)
    whole = np.load(shown_in(folder, 2) / "labels.npy")
    at_third = is_done(2, 3)
    stopped = Listener(at_third)
    with pytest.raises(Stopped):
        label_fields(stopped.report, folder, [field], session.path)

    def die(message: Any) -> None:
        if at_third(message):
            raise KilledError

    with pytest.raises(KilledError):
        label_fields(Reporter(die, lambda: False), folder, [field], session.path)
    part = shown_in(folder, 2) / LABELS
    np.lib.format.open_memmap(part, "r+")[40:50, 5:] = 7  # it had begun with the next block
    listener = Listener()
    found = recover_field(listener.report, folder, field, session.path, 3)
    assert listener.messages == [Stage("keeping what is done of field-2.png", field=2)]
    assert found == replace(stopped.of(Labelled)[0], is_far=found.is_far)
    labels = np.load(shown_in(folder, 2) / "labels.npy")
    np.testing.assert_array_equal(labels[:32], whole[:32])
    assert (labels[32:] == 0).all()
    assert not part.exists()
    specimen = keep_fields(SILENT, folder, [field], session.path)
    assert specimen.fields[0].n_pixels == 32 * 80


def test_what_was_done_when_the_process_was_killed_at_the_end_is_recovered(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks were reported, their clusters joined to fine classes; nothing was moved."""
    folder, field = session.folder, session.fields[1]
    whole = np.load(shown_in(folder, 2) / "labels.npy")

    def die(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "_store_fine", die)
        with pytest.raises(KilledError):
            label_fields(SILENT, folder, [field], session.path)
    recover_field(SILENT, folder, field, session.path, 1)
    np.testing.assert_array_equal(np.load(shown_in(folder, 2) / "labels.npy"), whole)


# --- paper mode ----------------------------------------------------------------------------------


@pytest.fixture
def lone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, FieldFile]:
    """A session, and a micrograph in it, its upper rows transparent; every step is drawn."""
    monkeypatch.setattr(tasks, "DRAWING_PAUSE", 0)
    field = with_glass(tmp_path, rows=20)
    open_field(SILENT, tmp_path, field)
    return tmp_path, field


def test_paper_mode_labels_a_single_micrograph(lone: tuple[Path, FieldFile]) -> None:
    folder, field = lone
    listener = Listener()
    assert train_field(listener.report, folder, [field], PAPER) == 1
    (found,) = listener.of(Trained)
    expected = segment(field.open(), settings=PAPER)
    labels = np.load(shown_in(folder, 1) / "labels.npy")
    np.testing.assert_array_equal(labels, expected.labels)
    assert found.settings == expected.settings
    assert found.settings.as_dict()["n_superpixels"] is not None  # as it was used
    areas = [row.n_pixels for row in expected.classes]
    assert found.statistics.areas.tolist() == areas
    assert found.labelled == Labelled(1, tuple(map(float, areas)), 20 / 64, False, False)
    kept = Found.read(shown_in(folder, 1))
    assert (kept.details, kept.likeness) == (expected.details, None)
    assert not (folder / TRAINING).exists()


def test_the_map_is_shown_while_the_network_learns(lone: tuple[Path, FieldFile]) -> None:
    folder, field = lone
    maps: list[NDArray[np.uint8]] = []

    def look(message: Any) -> bool:
        if isinstance(message, Stage) and message.live is not None:
            data = np.frombuffer((folder / LIVE).read_bytes(), np.uint8)
            maps.append(data.reshape(message.live.rows, message.live.cols))
        return False

    listener = Listener(look)
    train_field(listener.report, folder, [field], PAPER)
    first, *stages, labelling = listener.of(Stage)
    assert first == Stage("dividing field-1.png into superpixels", field=1)
    assert (labelling.text, labelling.done, labelling.field) == ("labelling field-1.png", 1, 1)
    assert [stage.done for stage in stages] == [0.25, 0.5, 0.75, 1]
    for i, (stage, shown) in enumerate(zip([*stages, labelling], maps, strict=True), start=1):
        assert len(np.unique(shown[shown > 0])) > 1
        assert ((shown == 0) == (np.indices(SHAPE)[0] < 20)).all()
        if stage is labelling:
            break
        assert re.fullmatch(rf"iteration {i}, \d+ classes left", stage.detail)
        assert stage.may_end_early
        assert (stage.live.number, stage.live.n_done) == (i, i)


def test_drawing_takes_a_small_part_of_the_time(
    lone: tuple[Path, FieldFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "DRAWING_PAUSE", 1e9)
    folder, field = lone
    listener = Listener()
    train_field(listener.report, folder, [field], PAPER)
    _, *stages, _ = listener.of(Stage)
    assert [each.detail.split(",")[0] for each in stages] == [
        f"iteration {i}" for i in range(1, len(stages) + 1)
    ]
    assert {each.live.number for each in stages} == {1}
    kept = Found.read(shown_in(folder, 1))
    assert kept.details is not None
    assert kept.details.training is not None
    assert len(kept.details.training.steps) == len(stages) > 1


@pytest.mark.parametrize("killed", [False, True])
def test_a_training_that_is_ended_leaves_the_map_of_its_last_iteration(
    lone: tuple[Path, FieldFile], killed: bool
) -> None:
    folder, field = lone

    def look(message: Any) -> bool:
        is_second = isinstance(message, Stage) and message.detail.startswith("iteration 2,")
        if is_second and killed:
            raise KilledError
        return is_second

    listener = Listener(look)
    with pytest.raises(KilledError if killed else Stopped):
        train_field(listener.report, folder, [field], PAPER)
    if killed:
        found = recover_training(SILENT, folder, field)
    else:
        (found,) = listener.of(Trained)
    assert found.labelled.stopped
    expected = segment(field.open(), settings=replace(PAPER, max_iterations=2))
    labels = np.load(shown_in(folder, 1) / "labels.npy")
    np.testing.assert_array_equal(labels, expected.labels)
    kept = Found.read(shown_in(folder, 1))
    assert kept.details is not None
    assert kept.details.training is not None
    assert kept.details.training.stop_reason == "stopped"
    assert len(kept.details.training.steps) == 2


def test_killed_while_it_labels_it_is_labelled_again(lone: tuple[Path, FieldFile]) -> None:
    folder, field = lone

    def look(message: Any) -> bool:
        if isinstance(message, Stage) and message.text.startswith("labelling"):
            raise KilledError
        return False

    with pytest.raises(KilledError):
        train_field(Listener(look).report, folder, [field], PAPER)
    found = recover_training(SILENT, folder, field)
    expected = segment(field.open(), settings=PAPER)
    np.testing.assert_array_equal(np.load(shown_in(folder, 1) / "labels.npy"), expected.labels)
    assert not found.labelled.stopped
    assert Found.read(shown_in(folder, 1)).details == expected.details


@pytest.mark.parametrize("killed", [False, True])
def test_paper_mode_labels_a_large_micrograph(
    tmp_path: Path, everything_is_large: None, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as it came, if it was killed."""
    monkeypatch.setattr("nital.paper.labelling.TILE_SIDE", 16)
    field = uploaded(tmp_path, 2, ".tif")
    open_field(SILENT, tmp_path, field)

    def look(message: Any) -> bool:
        is_half = isinstance(message, Stage) and message.text.startswith("labelling")
        if is_half and killed and message.done >= 0.5:
            raise KilledError
        return False

    listener = Listener(look)
    if killed:
        with pytest.raises(KilledError):
            train_field(listener.report, tmp_path, [field], PAPER)
        found = recover_training(SILENT, tmp_path, field)
    else:
        train_field(listener.report, tmp_path, [field], PAPER)
        (found,) = listener.of(Trained)
    labels = np.load(shown_in(tmp_path, 2) / "labels.npy")
    expected = segment(read_micrograph(field.path), settings=PAPER)
    n_rows = len(labels) // 2 if killed else len(labels)
    assert ((labels > 0) == (np.arange(len(labels)) < n_rows)[:, np.newaxis]).all()
    assert found.labelled.stopped == killed
    assert sum(found.labelled.areas) == (labels > 0).sum()
    if not killed:
        np.testing.assert_array_equal(labels, expected.labels)
    assert all(stage.live is None for stage in listener.of(Stage) if "iteration" in stage.detail)


def test_paper_mode_is_stopped_before_it_learns(lone: tuple[Path, FieldFile]) -> None:
    folder, field = lone
    listener = Listener(lambda message: True)
    with pytest.raises(Stopped):
        train_field(listener.report, folder, [field], PAPER)
    assert not (shown_in(folder, 1) / "labels.npy").exists()
