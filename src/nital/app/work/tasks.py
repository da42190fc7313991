"""Tasks: what the worker does to make classes: open, segment, label. As the commands do.

A session is a folder:

    uploads/001.tif     micrographs that were dropped on the page
    shown/001/          what the viewer shows of each: micrograph-0.npy ..., labels.npy, sure.npy;
                        found.npz has what else was found
    live.bin            the map under way, small
    training.npz        how far paper mode has come
    fitted.nital        a model that the bench has not adopted yet
    model.nital         as it was fitted
    decided.nital       the same with what was decided since
    results/001/        a folder of results, as `nital predict` writes it
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nital.app.work.fields import (
    TRAINING,
    FieldFile,
    Found,
    KeptTraining,
    Labelled,
    Opened,
    Trained,
    shown_in,
)
from nital.app.work.live import FIRST, LiveMap, Stage
from nital.app.work.tiles import write_pyramid
from nital.app.work.worker import Reporter
from nital.errors import Stopped
from nital.fast.labelling import OnRows
from nital.fast.settings import FastSettings
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.synthetic import synthesize
from nital.image.windows import blocks
from nital.methods import prepare, resolve, segment
from nital.paper.course import PaperDetails
from nital.paper.settings import PaperSettings
from nital.result.criteria import RegionStatistics, measure_regions
from nital.result.fine import FineClasses
from nital.result.likeness import Likeness
from nital.result.segmentation import Segmentation
from nital.series.fitting import fit_model
from nital.series.model import Model
from nital.series.model_files import write_model
from nital.storage.versions import versions
from nital.storage.writing import writing
from nital.work.jobs import KnownModel

if TYPE_CHECKING:
    from nital.paper.course import Step

DRAWING_PAUSE = 2.0
"""The map of a training is drawn after this many times as long as it took the last time."""

FITTED = "fitted.nital"
LABELS = "labels.part.npy"


def open_field(report: Reporter, session: Path, field: FieldFile) -> Opened:
    """Read a micrograph, and write what the viewer shows of it."""
    report(Stage(f"opening {field.name}", field=field.number))
    cropped = field.open()
    whole = cropped if not cropped.cropped_bottom else field.open_whole()
    report.check()
    folder = shown_in(session, field.number)
    with field.naming_errors(), writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_pyramid(folder, whole)
    return Opened(field.number, whole.shape, cropped.cropped_bottom, cropped.pixel_size)


def make_synthetic(report: Reporter, path: Path) -> None:
    """Write a synthetic micrograph of ferrite and pearlite."""
    made = synthesize((768, 1024), {"ferrite": 0.65, "pearlite": 0.35}, grain_size=48, seed=0)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(255 * made.image).astype(np.uint8)).save(path)


def segment_fields(
    report: Reporter,
    session: Path,
    fields: Sequence[FieldFile],
    settings: FastSettings,
    exposure: str,
) -> int:
    """Fit a model to all micrographs, and label each with it; return how many were labelled.

    Reports `Stage` and, of each micrograph, `Labelled`. What is done when it is stopped is kept.
    """
    report(FIRST)
    openers, live = [each.open for each in fields], LiveMap(report, session, fields)
    model = fit_model(openers, settings, exposure=exposure, on_step=live.fit)
    write_model(session / FITTED, model, versions=versions(), force=True)
    report(model.settings)
    return _label_all(report, session, fields, model, live)


def label_fields(report: Reporter, session: Path, fields: Sequence[FieldFile], path: Path) -> int:
    """Label micrographs with a model; reports as `segment_fields` does."""
    model = KnownModel.read(path).model
    return _label_all(report, session, fields, model, LiveMap(report, session, fields))


def _label_all(
    report: Reporter, session: Path, fields: Sequence[FieldFile], model: Model, live: LiveMap
) -> int:
    for place, field in enumerate(fields):
        report(_label(session, field, model, live.label(place, model.class_of)))
    return len(fields)


def _label(session: Path, field: FieldFile, model: Model, on_rows: OnRows) -> Labelled:
    """Write the fine classes of one micrograph, for the viewer and for results."""
    micrograph, folder = field.open(), shown_in(session, field.number)
    with field.naming_errors(), writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        out = np.lib.format.open_memmap(folder / LABELS, "w+", np.uint8, micrograph.shape)
        found = model.find_fine_classes(micrograph, out=out, on_rows=on_rows)
    return _store_fine(session, field, *found)


def _store_fine(session: Path, field: FieldFile, fine: FineClasses, likeness: Likeness) -> Labelled:
    """Store the fine classes that a model found."""
    found = Found(fine.statistics, fine.stopped, fine.shares, fine.light, likeness)
    return _store(session, field, fine.labels.size, found)


def _store(session: Path, field: FieldFile, n_pixels: int, found: Found) -> Labelled:
    """Move the labels to their place, and store what was found of them."""
    folder = shown_in(session, field.number)
    with writing(folder):
        found.write(folder)
        (folder / LABELS).replace(folder / "labels.npy")
    areas = found.statistics.areas
    return Labelled(
        number=field.number,
        areas=tuple(areas.tolist()),
        shares=None if found.shares is None else tuple(map(tuple, found.shares.tolist())),
        excluded_fraction=1 - float(areas.sum()) / n_pixels,
        is_far=found.likeness is not None and found.likeness.is_far,
        stopped=found.stopped,
    )


def recover_field(
    report: Reporter, session: Path, field: FieldFile, path: Path, n_blocks: int
) -> Labelled:
    """Keep what `label_fields` had done of a micrograph when its process was killed."""
    report(Stage(f"keeping what is done of {field.name}", field=field.number))
    model, micrograph = KnownModel.read(path).model, field.open()
    folder = shown_in(session, field.number)
    with field.naming_errors(), writing(folder):
        labels = np.lib.format.open_memmap(folder / LABELS, "r+")
        found = model.recover_fine_classes(micrograph, labels, n_blocks)
    return _store_fine(session, field, *found)


def train_field(
    report: Reporter, session: Path, fields: Sequence[FieldFile], settings: PaperSettings
) -> int:
    """Segment a single micrograph in paper mode; return 1.

    Reports `Stage` and `Trained`. What is done when it is stopped is kept.
    """
    (field,) = fields
    report(Stage(f"dividing {field.name} into superpixels", field=field.number))
    micrograph = field.open()
    with field.naming_errors():
        settings = resolve(settings, micrograph)
        superpixels = prepare(micrograph, settings)
    report.check()
    live, kept = LiveMap(report, session, fields), KeptTraining(settings, superpixels.n_in_image)
    next_drawn = 0.0

    def on_step(step: "Step") -> None:
        nonlocal next_drawn
        begun, raw = time.monotonic(), None
        kept.add(step)
        kept.write(session)
        if begun >= next_drawn and not micrograph.is_large:
            assert step.draw is not None
            raw = step.draw()
            next_drawn = time.monotonic() + DRAWING_PAUSE * (time.monotonic() - begun)
        live.train(step, raw, settings)

    show = live.label(0, np.arange(1, settings.n_responses + 1))

    def on_rows(done: int, labels: NDArray[np.uint8]) -> None:
        kept.n_rows = done
        kept.write(session)
        show(done, labels)

    folder = shown_in(session, field.number)
    with field.naming_errors(), writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        out = np.lib.format.open_memmap(folder / LABELS, "w+", np.uint8, micrograph.shape)
        found = segment(
            micrograph,
            settings=settings,
            prepared=superpixels,
            out=out,
            on_step=on_step,
            on_rows=on_rows,
        )
    report(_store_trained(session, field, micrograph, found))
    return 1


def recover_training(report: Reporter, session: Path, field: FieldFile) -> Trained:
    """Keep what `train_field` had done when its process was killed.

    A micrograph that is not large is labelled by its last iteration; of a large one, the rows that
    were labelled.
    """
    from nital.paper.trained import TrainedNetwork  # loads torch

    report(Stage(f"keeping what is done of {field.name}", field=field.number))
    micrograph, kept = field.open(), KeptTraining.read(session)
    folder = shown_in(session, field.number)

    def on_rows(done: int, labels: NDArray[np.uint8]) -> None:
        if micrograph.is_large and done >= kept.n_rows:
            raise Stopped

    with field.naming_errors(), writing(folder):
        network = TrainedNetwork(micrograph, prepare(micrograph, kept.settings), kept.settings)
        out = np.lib.format.open_memmap(folder / LABELS, "w+", np.uint8, micrograph.shape)
        assert kept.weights is not None
        result = network.recover(kept.weights, kept.training, out=out, on_rows=on_rows)
    return _store_trained(session, field, micrograph, result)


def _store_trained(
    session: Path, field: FieldFile, micrograph: Micrograph | LargeMicrograph, result: Segmentation
) -> Trained:
    """Store the classes that paper mode found."""
    (session / TRAINING).unlink()
    n = result.n_classes
    statistics = RegionStatistics.empty(n)
    for block in blocks(micrograph.shape):
        statistics += measure_regions(micrograph.read(*block), result.labels[block], n)
    assert isinstance(result.details, PaperDetails)
    found = Found(statistics, result.stopped, details=result.details)
    labelled = _store(session, field, result.labels.size, found)
    return Trained(result.settings, statistics, labelled)
