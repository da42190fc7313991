"""Keeping: what the worker does with classes that are there. The same functions as the commands."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nital.app.work.fields import FieldFile, Found, result_in, shown_in
from nital.app.work.live import Stage
from nital.app.work.worker import Tell
from nital.errors import InputError
from nital.image.files import read_labels
from nital.measure.specimen import Specimen
from nital.output.folders import measure_folders
from nital.output.report import write_report
from nital.output.results import (
    DERIVED_FILES,
    RESULT_FILES,
    summarise,
    write_result,
    write_specimen,
)
from nital.result.agreement import Agreement, compare
from nital.result.grouping import Grouping
from nital.result.segmentation import FineClasses
from nital.storage.writing import staged, writing
from nital.work.jobs import KnownModel

NOT_SURE = 255
"""In the map of how sure the classes are: no class at all."""


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


def keep_fields(
    tell: Tell, session: Path, fields: Sequence[FieldFile], decided: Path | Grouping
) -> Specimen:
    """Write a folder of results for each micrograph, as the commands do; measure them.

    Parameters
    ----------
    decided : Path or Grouping
        The file of a model; in paper mode, which leaves none, its classes as they were decided.
    """
    grouping, model, folders = decided, None, []
    if isinstance(grouping, Path):
        known = KnownModel.read(grouping)
        grouping, model = known.model, known.summary
    for place, field in enumerate(fields):
        tell(Stage(f"measuring {field.name}", place / len(fields), field.number))
        folders.append(_keep(session, field, grouping, model))
    tell.check()
    specimen = measure_folders(folders)
    write_specimen(session / "results", specimen, force=True)
    return specimen


def _keep(
    session: Path, field: FieldFile, grouping: Grouping, model: dict[str, Any] | None
) -> Path:
    micrograph, shown = field.open(), shown_in(session, field.number)
    folder = result_in(session, field.number)
    labels = np.load(shown / "labels.npy", mmap_mode="r")
    if labels.shape != micrograph.shape:
        raise InputError(f"{field.name}: is another file than was segmented; segment again")
    found = Found.read(shown)
    fine = FineClasses(labels, found.statistics, grouping.tree, found.stopped)
    with field.told(), staged(folder, (*RESULT_FILES, *DERIVED_FILES), force=True) as aside:
        result = grouping.join(micrograph, fine, found.likeness)
        if found.training is not None:  # what it found are classes, and no fine ones
            result = replace(
                result,
                training=found.training,
                n_superpixels=found.n_superpixels,
                members=(),
                pixels=None,
            )
        summary = summarise(
            result, micrograph, source=field.path, page=field.page, model=model, name=field.name
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
