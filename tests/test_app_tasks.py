"""The tasks: what the page writes is what the commands write, and what is stopped is kept."""

import functools
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from conftest import Nital
from nital import clustering, sampling
from nital.app import tasks
from nital.app.tasks import (
    CLUSTERS,
    FITTED,
    LIVE,
    NOT_SURE,
    FieldFile,
    Labelled,
    Opened,
    Stage,
    find_silhouette,
    keep_fields,
    label_fields,
    make_synthetic,
    open_field,
    recover_field,
    report_fields,
    result_in,
    score_field,
    segment_fields,
    shown_in,
)
from nital.app.tiles import n_levels
from nital.app.worker import Tell
from nital.errors import InputError, Stopped
from nital.files import read_labels
from nital.folders import PhaseFolder
from nital.model import ClassName, Model
from nital.model_files import read_model, write_model
from nital.results import versions
from nital.settings import Settings
from nital.synthetic import SyntheticMicrograph, synthesize

SHAPE = (64, 80)
THREE = Settings(n_classes=3, seed=5)
FILES = ("labels.tif", "fine.tif", "fine.csv", "overlay.png", "classes.csv")


def make_samples_small(patch: pytest.MonkeyPatch) -> None:
    """Enough for a few small images, and quickly clustered."""
    patch.setattr(sampling, "SAMPLE_PIXELS", 2**12)
    patch.setattr(clustering, "DRAWN", 1000)
    patch.setattr(clustering, "STARTS", 1)


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    make_samples_small(monkeypatch)


@functools.cache
def steel(seed: int) -> NDArray[np.uint8]:
    """Do not alter it."""
    fractions = {"ferrite": 0.4 + 0.1 * seed, "pearlite": 0.6 - 0.1 * seed}
    made = synthesize(SHAPE, fractions, grain_size=16, shading=0, seed=seed)
    return np.round(255 * made.image).astype(np.uint8)


def uploaded(session: Path, number: int, suffix: str = ".png", **how: Any) -> FieldFile:
    """A micrograph that was dropped on the page as `field-1.png`."""
    path = session / "uploads" / f"{number:03}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = steel(number)
    if suffix == ".png":
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, **({"rowsperstrip": 8, "compression": "zlib"} | how))
    return FieldFile(number, f"field-{number}{suffix}", path, None, None)


def with_glass(session: Path, *, rows: int) -> FieldFile:
    """A micrograph whose upper rows are transparent."""
    field = uploaded(session, 1)
    alpha = np.where(np.arange(SHAPE[0]) < rows, 0, 255).astype(np.uint8)
    layers = [steel(1), np.repeat(alpha[:, np.newaxis], SHAPE[1], axis=1)]
    Image.merge("LA", [Image.fromarray(each) for each in layers]).save(field.path)
    return field


class Listener:
    """Hears what work says, and stops it as soon as it says something of a kind."""

    def __init__(self, stop_at: Callable[[Any], bool] = lambda _: False) -> None:
        self.messages: list[Any] = []
        self._stop_at, self._stopped = stop_at, False
        self.tell = Tell(self._hear, lambda: self._stopped)

    def _hear(self, message: Any) -> None:
        self.messages.append(message)
        self._stopped = self._stopped or self._stop_at(message)

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


def deaf(_: object) -> None:
    pass


DEAF = Tell(deaf, lambda: False)


def segmented(session: Path, fields: Sequence[FieldFile], settings: Settings = THREE) -> Model:
    """All of them, in a session."""
    segment_fields(DEAF, session, fields, settings, "same")
    return read_model(session / FITTED)


@dataclass(frozen=True)
class Session:
    """Micrographs that were segmented."""

    folder: Path
    fields: tuple[FieldFile, ...]
    model: Model

    @property
    def path(self) -> Path:
        return self.folder / FITTED


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Do not alter it."""
    folder = tmp_path_factory.mktemp("first")
    fields = with_glass(folder, rows=32), uploaded(folder, 2), uploaded(folder, 3)
    with pytest.MonkeyPatch.context() as patch:
        make_samples_small(patch)
        return Session(folder, fields, segmented(folder, fields))


@pytest.fixture
def session(first: Session, tmp_path: Path) -> Session:
    """Three micrographs that are segmented, the upper half of the first transparent."""
    folder = Path(shutil.copytree(first.folder, tmp_path / "session"))
    fields = [
        replace(each, path=folder / each.path.relative_to(first.folder)) for each in first.fields
    ]
    return Session(folder, tuple(fields), first.model)


def decided(session: Path, model: Model) -> Path:
    write_model(session / "decided.nital", model, versions=versions(), force=True)
    return session / "decided.nital"


# --- opening -------------------------------------------------------------------------------------


def test_a_file_is_opened_with_the_pixel_size_that_it_says(tmp_path: Path) -> None:
    how = {"resolution": (20_000, 20_000), "resolutionunit": "centimeter"}
    field = uploaded(tmp_path, 4, ".tif", **how)
    listener = Listener()
    found = open_field(listener.tell, tmp_path, field)
    assert found == Opened(4, SHAPE, 0, pytest.approx(0.5))
    assert listener.messages == [Stage("opening field-4.tif", field=4)]
    folder = tmp_path / "shown" / "004"
    assert len(list(folder.glob("micrograph-*.npy"))) == n_levels(SHAPE)
    np.testing.assert_array_equal(np.load(folder / "micrograph-0.npy"), steel(4))
    typed = open_field(DEAF, tmp_path, replace(field, pixel_size=0.2))
    assert typed == Opened(4, SHAPE, 0, 0.2)
    assert open_field(DEAF, tmp_path, uploaded(tmp_path, 3)).pixel_size is None


def test_what_is_cut_off_is_shown_all_the_same(tmp_path: Path) -> None:
    said = "[Scan]\r\nPixelWidth=2.5e-8\r\nPixelHeight=2.5e-8\r\n[Image]\r\nResolutionY=50\r\n"
    field = uploaded(tmp_path, 1, ".tif", extratags=[(34682, "s", 0, said, True)])
    for crop_bottom, cropped in ((None, 14), (20, 20), (0, 0)):
        found = open_field(DEAF, tmp_path, replace(field, crop_bottom=crop_bottom))
        assert found == Opened(1, SHAPE, cropped, pytest.approx(0.025))
        shown = np.load(shown_in(tmp_path, 1) / "micrograph-0.npy")
        np.testing.assert_array_equal(shown, steel(1))


def test_one_page_of_several_is_opened(tmp_path: Path) -> None:
    field = uploaded(tmp_path, 1, ".tif")
    tifffile.imwrite(field.path, np.stack([steel(1), steel(2)]), photometric="minisblack")
    open_field(DEAF, tmp_path, replace(field, page=2))
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
    ("suffix", "change", "typed", "said"),
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
def test_trouble_is_told_by_the_name_that_people_know(
    tmp_path: Path,
    suffix: str,
    change: Callable[[Path], None] | None,
    typed: dict[str, int],
    said: str,
) -> None:
    field = replace(uploaded(tmp_path, 1, suffix), **typed)
    if change is not None:
        change(field.path)
    with pytest.raises(InputError) as caught:
        open_field(DEAF, tmp_path, field)
    text = str(caught.value)
    assert text.startswith(f"{field.name}: ")
    assert said in text
    for hidden in (str(tmp_path), "uploads", field.path.name, "--"):
        assert hidden not in text


def test_a_name_may_hold_that_of_the_file(tmp_path: Path) -> None:
    field = replace(uploaded(tmp_path, 1), name="nr-001.png")
    field.path.write_bytes(b"")
    with pytest.raises(InputError, match=r"^nr-001\.png: an empty file"):
        field.open()


@pytest.mark.usefixtures("everything_is_large")
def test_damage_within_a_large_file_is_told_by_the_name_that_people_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nital.micrograph._ROWS_AT_ONCE", 16)  # what is damaged lies below
    monkeypatch.setattr("nital.app.tiles._ROWS_AT_ONCE", 16)
    field = uploaded(tmp_path, 1, ".tif")
    with tifffile.TiffFile(field.path) as tiff:
        start = tiff.pages.first.dataoffsets[5]
    data = bytearray(field.path.read_bytes())
    data[start : start + 50] = bytes(50)
    field.path.write_bytes(data)
    with pytest.raises(InputError, match=r"^field-1\.tif: damaged, rows 32 to 48") as caught:
        open_field(DEAF, tmp_path, field)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("n_checks", [0, 1], ids=["before", "after it is read"])
def test_opening_can_be_stopped_before_it_is_shown(tmp_path: Path, n_checks: int) -> None:
    answers = iter([False] * n_checks + [True])
    with pytest.raises(Stopped):
        open_field(Tell(deaf, lambda: next(answers)), tmp_path, uploaded(tmp_path, 1))
    assert not shown_in(tmp_path, 1).exists()


def test_a_synthetic_micrograph_is_written_where_it_shall_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, int]] = []

    def synthesize_less(shape: tuple[int, int], *how: Any, **more: Any) -> SyntheticMicrograph:
        shapes.append(shape)
        return synthesize(SHAPE, *how, **more)

    monkeypatch.setattr(tasks, "synthesize", synthesize_less)
    path = tmp_path / "new" / "synthetic.png"
    make_synthetic(DEAF, path)
    assert shapes == [(768, 1024)]
    with Image.open(path) as image:
        assert (image.size, image.mode) == (SHAPE[::-1], "L")
        dark = (np.asarray(image) < 100).mean()
    assert 0.1 < dark < 0.6  # pearlite, and the boundaries of ferrite


# --- the same as the commands --------------------------------------------------------------------


def copied(fields: Sequence[FieldFile], folder: Path) -> list[Path]:
    """Their files, by the names that people know."""
    folder.mkdir(exist_ok=True)
    return [Path(shutil.copy(each.path, folder / each.name)) for each in fields]


def run(nital: Nital, *arguments: object) -> None:
    outcome = nital(*arguments)
    assert outcome.code == 0, outcome.err


def check_same(kept: Path, predicted: Path, files: Sequence[str] = FILES) -> None:
    """Byte by byte, and all that the summaries say but where and when."""
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
    settings = Settings(n_classes=3, seed=5, scale="medium")
    assert segment_fields(DEAF, session, fields, settings, "each") == 3
    keep_fields(DEAF, session, fields, session / FITTED)
    model, out = tmp_path / "model.nital", tmp_path / "out"
    how = ("--n-classes", 3, "--seed", 5, "--scale", "medium", "--exposure", "each")
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
    how = ("--n-classes", 4, "--seed", 5, "--exposure", "same", "--crop-bottom", 9)
    run(nital, "fit", *files, *how, "--out", fitted)
    assert (session / FITTED).read_bytes() == fitted.read_bytes()
    changed = model.joined(3, 1).named({1: ClassName("pearlite", "#d55e00")})
    path = decided(session, changed.named({2: ClassName(None, "#999999")}))
    specimen = keep_fields(DEAF, session, fields, path)
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
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 32)
    monkeypatch.setattr(sampling, "TILE_SIDE", 32)
    session = tmp_path / "session"
    fields = [replace(uploaded(session, i, ".tif"), crop_bottom=4) for i in (1, 2)]
    files = copied(fields, tmp_path / "files")
    segmented(session, fields)
    keep_fields(DEAF, session, fields, session / FITTED)
    model, out = tmp_path / "model.nital", tmp_path / "out"
    how = ("--seed", 5, "--exposure", "same", "--crop-bottom", 4)
    run(nital, "fit", *files, *how, "--out", model)
    run(nital, "predict", *files, "--crop-bottom", 4, "--model", model, "--out", out)
    assert (session / FITTED).read_bytes() == model.read_bytes()
    for field in fields:
        files = ("labels.tif", "overlay.png", "classes.csv")
        check_same(result_in(session, field.number), out / Path(field.name).stem, files)
    with tifffile.TiffFile(result_in(session, 1) / "labels.tif") as tiff:
        assert tiff.is_ome  # a pyramid
    assert open_field(DEAF, session, fields[0]).cropped_bottom == 4
    sure = find_silhouette(DEAF, session, fields[0], session / FITTED)
    assert 0 < sure < 1


# --- labelling -----------------------------------------------------------------------------------


def test_each_micrograph_is_told_when_it_is_labelled(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nital.settings.AUTO_REPEATS", 2)
    listener = Listener()
    settings = replace(THREE, n_classes="auto")
    assert segment_fields(listener.tell, session.folder, session.fields, settings, "auto") == 3
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
    assert order.index(Settings) < order.index(Labelled)


def test_what_is_unlike_is_told(session: Session) -> None:
    Image.fromarray(255 - steel(2) // 2).save(session.fields[1].path)
    listener = Listener()
    assert label_fields(listener.tell, session.folder, session.fields[:2], session.path) == 2
    assert [found.is_far for found in listener.of(Labelled)] == [False, True]


@pytest.mark.parametrize("side", [1000, 25])
def test_the_map_under_way_is_shown(
    session: Session, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 32)
    monkeypatch.setattr(tasks, "LIVE_SIDE", side)
    fields, step = session.fields[1:], 1 if side == 1000 else 4
    pictures: list[tuple[Stage, NDArray[np.uint8]]] = []

    def look(message: Any) -> bool:
        live = message.live if isinstance(message, Stage) else None
        if live is not None and live.n_blocks:
            assert (live.rows, live.cols) == (64 // step, 80 // step)
            data = np.frombuffer((session.folder / LIVE).read_bytes(), np.uint8)
            pictures.append((message, data.reshape(live.rows, live.cols)))
            assert live.n_classes == data.max() <= 3
        return False

    segment_fields(Listener(look).tell, session.folder, fields, THREE, "same")
    class_of = read_model(session.path).class_of
    assert len(class_of) == 24  # as many as can be; there are more clusters
    assert [stage.live.number for stage, _ in pictures if stage.live] == [*range(1, 13)]
    for number in (2, 3):
        own = [(stage, picture) for stage, picture in pictures if stage.field == number]
        assert {stage.text for stage, _ in own} == {f"labelling field-{number}.png"}
        assert [stage.live.n_blocks for stage, _ in own if stage.live] == [*range(1, 7)]
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
    monkeypatch.setattr(tasks, "LIVE_PAUSE", 0)
    listener = Listener()
    segment_fields(listener.tell, session.folder, session.fields[1:], THREE, "same")
    stages = [each for each in listener.of(Stage) if each.text == "finding classes"]
    assert {each.field for each in stages if each.live} == {2}
    lives = [each.live for each in stages if each.live]
    assert [live.number for live in lives] == [*range(1, len(lives) + 1)]
    assert {(live.rows, live.cols, live.n_blocks) for live in lives} == {(64, 80, 0)}
    assert {live.n_classes for live in lives} <= {2, 3}
    details = [re.sub(r"\d+", "N", each.detail) for each in stages]
    assert [*dict.fromkeys(details)] == [
        "looking at grey levels and sizes",
        "round N, N clusters",
        "comparing them with the micrographs",
    ]
    shares = [each.done for each in stages[1:]]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_pictures_of_a_fit_come_with_a_pause(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LIVE_PAUSE", 3600)
    listener = Listener()
    segment_fields(listener.tell, session.folder, session.fields[1:], THREE, "same")
    shown = [each for each in listener.of(Stage) if each.live and not each.live.n_blocks]
    assert len(shown) == 1


# --- stopped -------------------------------------------------------------------------------------


def is_clustering(message: Any) -> bool:
    """Whether a message is of a clustering."""
    return isinstance(message, Stage) and message.detail.startswith("round")


def is_done(field: int, n_blocks: int) -> Callable[[Any], bool]:
    """Whether a message is of a field of which so many blocks are labelled."""

    def check(message: Any) -> bool:
        live = message.live if isinstance(message, Stage) else None
        return live is not None and (message.field, live.n_blocks) == (field, n_blocks)

    return check


def test_what_is_done_when_it_is_stopped_is_kept(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 32)
    folder = session.folder
    label_fields(DEAF, folder, session.fields, session.path)
    whole = {i: np.load(shown_in(folder, i) / "labels.npy") for i in (1, 2)}
    shutil.rmtree(folder / "shown")
    listener = Listener(is_done(2, 3))
    with pytest.raises(Stopped):
        label_fields(listener.tell, folder, session.fields, session.path)
    told = [(found.number, found.stopped) for found in listener.of(Labelled)]
    assert told == [(1, False), (2, True)]
    np.testing.assert_array_equal(np.load(shown_in(folder, 1) / "labels.npy"), whole[1])
    part = np.load(shown_in(folder, 2) / "labels.npy")
    done = np.indices(SHAPE)[0] < 32  # three blocks of 32 rows
    np.testing.assert_array_equal(part, np.where(done, whole[2], 0))
    assert listener.of(Labelled)[1].excluded_fraction == 0.5
    assert not shown_in(folder, 3).exists()
    specimen = keep_fields(DEAF, folder, session.fields[:2], session.path)
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
    monkeypatch.setattr(sampling, "BLOCK_SIDE", block)
    monkeypatch.setattr(sampling, "TILE_SIDE", 32)
    before = session.path.read_bytes()
    listener = Listener(is_clustering)
    with pytest.raises(Stopped):
        segment_fields(listener.tell, session.folder, session.fields, Settings(), "same")
    assert listener.of(Settings) == []
    assert session.path.read_bytes() == before


def test_what_is_stopped_above_glass_is_stopped_and_no_error(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 32)
    listener = Listener(is_done(1, 1))
    with pytest.raises(Stopped):
        label_fields(listener.tell, session.folder, session.fields, session.path)


class KilledError(Exception):
    """Nothing more is done, as where the process was killed."""


def test_what_was_done_when_the_process_was_killed_is_recovered(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 32)
    folder, field = session.folder, session.fields[1]
    label_fields(DEAF, folder, [field], session.path)
    whole = np.load(shown_in(folder, 2) / "labels.npy")
    at_third = is_done(2, 3)
    stopped = Listener(at_third)
    with pytest.raises(Stopped):
        label_fields(stopped.tell, folder, [field], session.path)

    def die(message: Any) -> None:
        if at_third(message):
            raise KilledError

    with pytest.raises(KilledError):
        label_fields(Tell(die, lambda: False), folder, [field], session.path)
    part = shown_in(folder, 2) / CLUSTERS
    np.lib.format.open_memmap(part, "r+")[40:50, 5:] = 7  # it had begun with the next block
    listener = Listener()
    found = recover_field(listener.tell, folder, field, session.path, 3)
    assert listener.messages == [Stage("keeping what is done of field-2.png", field=2)]
    assert found == replace(stopped.of(Labelled)[0], is_far=found.is_far)
    labels = np.load(shown_in(folder, 2) / "labels.npy")
    np.testing.assert_array_equal(labels[:32], whole[:32])
    assert (labels[32:] == 0).all()
    assert not part.exists()
    specimen = keep_fields(DEAF, folder, [field], session.path)
    assert specimen.fields[0].n_pixels == 32 * 80


def test_what_was_done_when_the_process_was_killed_at_the_end_is_recovered(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks were told, their clusters joined to fine classes, and nothing put in its place."""
    folder, field = session.folder, session.fields[1]
    whole = np.load(shown_in(folder, 2) / "labels.npy")

    def die(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "_take", die)
        with pytest.raises(KilledError):
            label_fields(DEAF, folder, [field], session.path)
    recover_field(DEAF, folder, field, session.path, 1)
    np.testing.assert_array_equal(np.load(shown_in(folder, 2) / "labels.npy"), whole)


def test_measuring_can_be_stopped(session: Session) -> None:
    listener = Listener(lambda message: message.text == "measuring field-2.png")
    with pytest.raises(Stopped):
        keep_fields(listener.tell, session.folder, session.fields[:2], session.path)
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
        means.append(find_silhouette(listener.tell, folder, field, path))
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
        specimen = keep_fields(DEAF, session.folder, session.fields[:1], path)
        assert specimen.phases == names
        found = PhaseFolder.read(result_in(session.folder, 1))
        assert found.phases == names
        regions = result_in(session.folder, 1) / "regions.csv"
        assert not regions.exists()
        regions.write_text("of what was kept before")


def test_a_micrograph_that_was_cut_since_has_to_be_segmented_again(session: Session) -> None:
    fields = [replace(session.fields[0], crop_bottom=1)]
    with pytest.raises(InputError, match=r"^field-1\.png: is another file .*; segment again"):
        keep_fields(DEAF, session.folder, fields, session.path)
    assert not result_in(session.folder, 1).exists()


@pytest.fixture
def kept(session: Session) -> Path:
    """The folder of a session with two micrographs that are kept."""
    keep_fields(DEAF, session.folder, session.fields[:2], session.path)
    return session.folder


def test_fields_are_called_as_people_call_them(kept: Path) -> None:
    table = (kept / "results" / "fields.csv").read_text().splitlines()[1:]
    assert {line.partition(",")[0] for line in table} == {"field-1.png", "field-2.png"}


def test_the_report_is_of_what_was_kept(kept: Path) -> None:
    listener = Listener()
    for numbers in ([1, 2], [2]):
        path = report_fields(listener.tell, kept, numbers)
        assert path == kept / "results" / "report.html"
        html = path.read_text()
        assert [f"field-{i}.png" in html for i in (1, 2)] == [i in numbers for i in (1, 2)]
    assert listener.messages == [Stage("writing the report")] * 2


def test_a_map_that_a_person_drew_is_compared(kept: Path) -> None:
    labels = read_labels(result_in(kept, 2) / "labels.tif").astype(np.uint8)
    reference = kept / "drawn-001.png"
    Image.fromarray(40 * labels).save(reference)
    listener = Listener()
    found = score_field(listener.tell, kept, 2, reference, "drawn.png")
    assert (found.mean_iou, found.accuracy, found.n_pixels) == (1, 1, 64 * 80)
    assert listener.messages == [Stage("comparing with drawn.png", field=2)]
    assert score_field(DEAF, kept, 1, reference, "drawn.png").accuracy < 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("PNG", r"^the reference has shape \(8, 8\), the labels \(64, 80\)"),
        ("JPEG", r"^drawn\.png: a JPEG file"),
        ("text", r"^drawn\.png: not an image"),
    ],
)
def test_trouble_with_a_drawn_map_is_told_by_its_name(kept: Path, kind: str, said: str) -> None:
    reference = kept / "drawn-001.png"
    if kind == "text":
        reference.write_text("Dear Sir")
    else:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(reference, kind)
    with pytest.raises(InputError, match=said) as caught:
        score_field(DEAF, kept, 1, reference, "drawn.png")
    assert str(kept) not in str(caught.value)
