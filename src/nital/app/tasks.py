"""What the worker does: open, segment, label, keep. The same functions as the commands call.

A session is a folder:

    uploads/001.tif     micrographs that were dropped on the page
    shown/001/          what the viewer shows of each: micrograph-0.npy ..., labels.npy, sure.npy;
                        fine.npz has the statistics of the fine classes
    live.bin            the map under way, small
    fitted.nital        a model that the bench has not taken note of yet
    model.nital         as it was fitted
    decided.nital       with what was decided since
    results/001/        a folder of results, as `nital predict` writes it
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nital.agreement import Agreement, compare
from nital.app.tiles import write_pyramid
from nital.app.worker import Tell
from nital.criteria import RegionStatistics
from nital.errors import InputError
from nital.fast import OnRows
from nital.files import read_labels
from nital.fitting import FitStep, fit_model
from nital.folders import measure_folders
from nital.jobs import KnownModel
from nital.large import open_micrograph
from nital.micrograph import LargeMicrograph, Micrograph
from nital.model import Model
from nital.model_files import write_model
from nital.report import write_report
from nital.results import (
    DERIVED_FILES,
    RESULT_FILES,
    summarise,
    versions,
    write_result,
    write_specimen,
)
from nital.segmentation import FineClasses, Likeness
from nital.settings import Settings
from nital.specimen import Specimen
from nital.storage import staged, write_whole, writing
from nital.synthetic import synthesize

LIVE, FITTED = "live.bin", "fitted.nital"
CLUSTERS, FINE = "clusters.part.npy", "labels.part.npy"

LIVE_SIDE = 1000
"""The map under way is shown with so many rows and columns at most."""

LIVE_PAUSE = 0.15
"""Seconds between two pictures of a fit: drawing one takes some 50 ms, a round of it 3."""

NOT_SURE = 255
"""In the map of how sure the classes are: no class at all."""


_PLACES = {
    "--page": "below, of",
    "--pixel-size": "in the field below",
    "--crop-bottom": "by the line in the picture",
}
"""Where the page has what messages call by the name of an option."""

_STAGES = {
    "sampling": "looking at grey levels and sizes",
    "clustering": "round {0.n_rounds}, {0.n_clusters} clusters",
    "comparing": "comparing them with the micrographs",
}
"""What a fit is at, by `FitStep.stage`."""

_NAME = "\0"
"""Stands for a name until all of the path is gone: a name may hold that of the file."""


@dataclass(frozen=True)
class FieldFile:
    """A micrograph of a session, as the worker has to know it."""

    number: int
    name: str
    path: Path
    pixel_size: float | None
    """Edge of a pixel in µm, as typed; None: what the file says."""

    crop_bottom: int | None
    """Rows cut off below; None: what the file says."""

    page: int | None = None
    """Of a file with several, from 1."""

    def open(self) -> Micrograph | LargeMicrograph:
        """The micrograph, by its own name; errors as of `open_micrograph`."""
        return self._open(self.crop_bottom)

    def open_whole(self) -> Micrograph | LargeMicrograph:
        """With what is cut off."""
        return self._open(0)

    def _open(self, crop_bottom: int | None) -> Micrograph | LargeMicrograph:
        with self.told():
            found = open_micrograph(
                self.path, page=self.page, pixel_size=self.pixel_size, crop_bottom=crop_bottom
            )
        return replace(found, name=self.name)

    @contextmanager
    def told(self) -> Iterator[None]:
        """What is wrong with the file is told by the name that people know, for the page."""
        try:
            yield
        except InputError as error:
            text = str(error).replace(str(self.path), _NAME).replace(self.path.name, _NAME)
            text = text.replace(_NAME, self.name)
            for option, place in _PLACES.items():
                text = text.replace(f"with {option}", place)
            raise InputError(text) from error


@dataclass(frozen=True)
class Opened:
    """What was found in a file."""

    number: int
    shape: tuple[int, int]
    """(rows, cols), with what is cut off."""

    cropped_bottom: int
    pixel_size: float | None
    """In µm; as typed, or as the file says."""


@dataclass(frozen=True)
class Stage:
    """What is under way."""

    text: str
    done: float | None = None
    """0 to 1, where it is known."""

    field: int | None = None
    """The micrograph that it is done to."""

    live: "Live | None" = None
    detail: str = ""
    """How far it is, in words that change from step to step."""


@dataclass(frozen=True)
class Live:
    """The map under way, in `live.bin`."""

    number: int
    """Of the picture, from 1."""

    rows: int
    cols: int
    """Of the picture; it shows the whole micrograph, without what is cut off."""

    n_classes: int
    n_blocks: int
    """So many of the micrograph are labelled; 0 while classes are found."""


@dataclass(frozen=True)
class Labelled:
    """What came of one micrograph."""

    number: int
    areas: tuple[float, ...]
    """Pixels of each fine class."""

    excluded_fraction: float
    is_far: bool
    """Whether it is unlike those that the model was fitted to."""

    stopped: bool


def shown_in(session: Path, number: int) -> Path:
    """The folder of what the viewer shows of a micrograph."""
    return session / "shown" / f"{number:03}"


def result_in(session: Path, number: int) -> Path:
    """The folder of results of a micrograph."""
    return session / "results" / f"{number:03}"


def open_field(tell: Tell, session: Path, field: FieldFile) -> Opened:
    """Read a micrograph, and write what the viewer shows of it."""
    tell(Stage(f"opening {field.name}", field=field.number))
    said = field.open()
    whole = said if not said.cropped_bottom else field.open_whole()
    tell.check()
    folder = shown_in(session, field.number)
    with field.told(), writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_pyramid(folder, whole)
    return Opened(field.number, whole.shape, said.cropped_bottom, said.pixel_size)


def make_synthetic(tell: Tell, path: Path) -> None:
    """Write a synthetic micrograph of ferrite and pearlite."""
    made = synthesize((768, 1024), {"ferrite": 0.65, "pearlite": 0.35}, grain_size=48, seed=0)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(255 * made.image).astype(np.uint8)).save(path)


def segment_fields(
    tell: Tell,
    session: Path,
    fields: Sequence[FieldFile],
    settings: Settings,
    exposure: str,
) -> int:
    """Fit a model to all micrographs, and label each with it; how many could be labelled.

    Sends `Stage` and, of each micrograph, `Labelled`. What is done when it is stopped is kept.
    """
    tell(Stage("finding classes", detail=_STAGES["sampling"]))
    openers, live = [each.open for each in fields], _LiveMap(tell, session, fields)
    model = fit_model(openers, settings, exposure=exposure, on_step=live.follow)
    write_model(session / FITTED, model, versions=versions(), force=True)
    tell(model.settings)
    return _label_all(tell, session, fields, model)


def label_fields(tell: Tell, session: Path, fields: Sequence[FieldFile], path: Path) -> int:
    """Label micrographs with a model; messages as of `segment_fields`."""
    return _label_all(tell, session, fields, KnownModel.read(path).model)


def _label_all(tell: Tell, session: Path, fields: Sequence[FieldFile], model: Model) -> int:
    live = _LiveMap(tell, session, fields)
    for place, field in enumerate(fields):
        tell(_label(session, field, model, live.label(place, model)))
    return len(fields)


class _LiveMap:
    """Shows a map while it is made."""

    def __init__(self, tell: Tell, session: Path, fields: Sequence[FieldFile]) -> None:
        self._tell, self._session, self._fields = tell, session, fields
        self._n_shown, self._next = 0, 0.0

    def follow(self, step: FitStep) -> None:
        """As `on_step` of `fit_model`."""
        self._tell.check()
        if time.monotonic() < self._next:
            return
        live = field = None
        if step.image is not None:
            live, field = self._draw(step.draw(), 0), self._fields[step.image].number
            self._next = time.monotonic() + LIVE_PAUSE
        detail = _STAGES[step.stage].format(step)
        self._tell(Stage("finding classes", step.done, field, live, detail))

    def label(self, place: int, model: Model) -> OnRows:
        """What follows the labelling of a micrograph."""
        field = self._fields[place]
        class_of = np.append(0, model.class_of[model.fine_of - 1]).astype(np.uint8)
        n_blocks = 0

        def on_rows(done: int, labels: NDArray[np.uint8]) -> None:
            nonlocal n_blocks
            self._tell.check()
            n_blocks += 1
            step = -(-max(labels.shape) // LIVE_SIDE)
            live = self._draw(class_of[labels[::step, ::step]], n_blocks)
            share = (place + done / len(labels)) / len(self._fields)
            self._tell(Stage(f"labelling {field.name}", share, field.number, live))

        return on_rows

    def _draw(self, classes: NDArray[np.uint8], n_blocks: int) -> Live:
        self._n_shown += 1
        write_whole(self._session / LIVE, classes.tobytes())
        rows, cols = classes.shape
        return Live(self._n_shown, rows, cols, int(classes.max()), n_blocks)


def recover_field(
    tell: Tell, session: Path, field: FieldFile, path: Path, n_blocks: int
) -> Labelled:
    """Keep what `label_fields` had done of a micrograph when its process was killed."""
    tell(Stage(f"keeping what is done of {field.name}", field=field.number))
    model, micrograph = KnownModel.read(path).model, field.open()
    folder = shown_in(session, field.number)
    with field.told(), writing(folder):
        clusters = np.lib.format.open_memmap(folder / CLUSTERS, "r+")
        fine = np.lib.format.open_memmap(folder / FINE, "w+", np.uint8, clusters.shape)
        found = model.recover_fine_classes(micrograph, clusters, n_blocks, fine)
    return _take(session, field, *found)


def _label(session: Path, field: FieldFile, model: Model, on_rows: OnRows) -> Labelled:
    """Write the fine classes of one micrograph, for the viewer and for what is kept."""
    micrograph, folder = field.open(), shown_in(session, field.number)
    with field.told(), writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        clusters, fine = (
            np.lib.format.open_memmap(folder / name, "w+", np.uint8, micrograph.shape)
            for name in (CLUSTERS, FINE)
        )
        found = model.find_fine_classes(micrograph, out=clusters, on_rows=on_rows, into=fine)
    return _take(session, field, *found)


def _take(session: Path, field: FieldFile, fine: FineClasses, likeness: Likeness) -> Labelled:
    """Put the fine classes where they belong."""
    folder = shown_in(session, field.number)
    with writing(folder):
        np.savez(
            folder / "fine.npz",
            areas=fine.statistics.areas,
            means=fine.statistics.means,
            errors=fine.statistics.errors,
            likeness=np.array(list(asdict(likeness).values())),
            stopped=fine.stopped,
        )
        (folder / FINE).replace(folder / "labels.npy")
        (folder / CLUSTERS).unlink()
    return Labelled(
        number=field.number,
        areas=tuple(fine.statistics.areas.tolist()),
        excluded_fraction=1 - float(fine.statistics.areas.sum()) / fine.labels.size,
        is_far=likeness.is_far,
        stopped=fine.stopped,
    )


def find_silhouette(tell: Tell, session: Path, field: FieldFile, path: Path) -> float:
    """Write how sure the class of each pixel is, for the viewer; its mean, 0 to 1."""
    tell(Stage(f"how sure: {field.name}", field=field.number))
    model, micrograph = KnownModel.read(path).model, field.open()
    folder = shown_in(session, field.number)
    aside = folder / "sure.part.npy"
    with writing(folder):
        out = np.lib.format.open_memmap(aside, "w+", np.uint8, micrograph.shape)
        with field.told():
            model.silhouette(micrograph, out=out)
        labelled = np.load(folder / "labels.npy", mmap_mode="r") > 0
        mean = float(out[labelled].mean(dtype=np.float64)) / 100
        out[~labelled] = NOT_SURE
        out.flush()
        aside.replace(folder / "sure.npy")
    return mean


def keep_fields(tell: Tell, session: Path, fields: Sequence[FieldFile], path: Path) -> Specimen:
    """Write a folder of results for each micrograph, as `nital predict` does; measure them."""
    known, folders = KnownModel.read(path), []
    for place, field in enumerate(fields):
        tell(Stage(f"measuring {field.name}", place / len(fields), field.number))
        folders.append(_keep(session, field, known))
    tell.check()
    specimen = measure_folders(folders)
    write_specimen(session / "results", specimen, force=True)
    return specimen


def _keep(session: Path, field: FieldFile, known: KnownModel) -> Path:
    micrograph, shown = field.open(), shown_in(session, field.number)
    folder = result_in(session, field.number)
    labels = np.load(shown / "labels.npy", mmap_mode="r")
    if labels.shape != micrograph.shape:
        raise InputError(f"{field.name}: is another file than was segmented; segment again")
    with np.load(shown / "fine.npz") as kept:
        statistics = RegionStatistics(kept["areas"], kept["means"], kept["errors"])
        likeness, stopped = Likeness(*kept["likeness"].tolist()), bool(kept["stopped"])
    fine = FineClasses(labels, statistics, known.model.tree, stopped)
    with field.told(), staged(folder, (*RESULT_FILES, *DERIVED_FILES), force=True) as aside:
        result = known.model.join(micrograph, fine, likeness)
        summary = summarise(
            result,
            micrograph,
            source=field.path,
            page=field.page,
            model=known.summary,
            name=field.name,
        )
        write_result(aside, result, micrograph, summary)
    return folder


def report_fields(tell: Tell, session: Path, numbers: Sequence[int]) -> Path:
    """Write the report of what `keep_fields` kept."""
    tell(Stage("writing the report"))
    path = session / "results" / "report.html"
    write_report([result_in(session, number) for number in numbers], path, force=True)
    return path


def score_field(tell: Tell, session: Path, number: int, reference: Path, name: str) -> Agreement:
    """Compare what `keep_fields` kept of a micrograph with a label map made by a person."""
    tell(Stage(f"comparing with {name}", field=number))
    labels = read_labels(result_in(session, number) / "labels.tif").astype(np.uint16)
    try:
        return compare(labels, read_labels(reference))
    except InputError as error:
        raise InputError(str(error).replace(str(reference), name)) from error
