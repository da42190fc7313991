"""Keeping: what the worker does with classes once they are found, as the commands do."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nital.app.work.fields import FieldFile, Found, result_in, shown_in
from nital.app.work.live import Stage
from nital.app.work.worker import Reporter
from nital.errors import InputError
from nital.image.labels import read_labels
from nital.measure.specimen import Specimen
from nital.output.folders import measure_folders
from nital.output.names import DERIVED_FILES, RESULT_FILES
from nital.output.report.document import write_report
from nital.output.results import write_result
from nital.output.specimens import write_specimen
from nital.output.summary import summarise
from nital.result.agreement import Agreement, compare
from nital.result.fine import FineClasses
from nital.result.grouping import Grouping
from nital.storage.writing import staged, writing
from nital.work.jobs import KnownModel

NOT_SURE = 255
"""In the map of how sure the classes are: pixels without a class."""


def find_silhouette(report: Reporter, session: Path, field: FieldFile, path: Path) -> float:
    """Write how sure the class of each pixel is, for the viewer; return the mean, 0 to 1."""
    report(Stage(f"how sure: {field.name}", field=field.number))
    model, micrograph = KnownModel.read(path).model, field.open()
    folder = shown_in(session, field.number)
    aside = folder / "sure.part.npy"
    with writing(folder):
        out = np.lib.format.open_memmap(aside, "w+", np.uint8, micrograph.shape)
        with field.naming_errors():
            model.silhouette(micrograph, out=out)
        labelled = np.load(folder / "labels.npy", mmap_mode="r") > 0
        mean = float(out[labelled].mean(dtype=np.float64)) / 100
        out[~labelled] = NOT_SURE
        out.flush()
        aside.replace(folder / "sure.npy")
    return mean


def keep_fields(
    report: Reporter, session: Path, fields: Sequence[FieldFile], decided: Path | Grouping
) -> Specimen:
    """Write a folder of results for each micrograph, as the commands do, and measure them.

    Parameters
    ----------
    decided : Path or Grouping
        The file of a model; in paper mode, which has none, the classes as they were decided.
    """
    grouping, model, folders = decided, None, []
    if isinstance(grouping, Path):
        known = KnownModel.read(grouping)
        grouping, model = known.model, known.summary
    for place, field in enumerate(fields):
        report(Stage(f"measuring {field.name}", place / len(fields), field.number))
        folders.append(_keep(session, field, grouping, model))
    report.check()
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
    fine = FineClasses(
        labels, found.statistics, grouping.joining, found.stopped, found.shares, found.light
    )
    with (
        field.naming_errors(),
        staged(folder, (*RESULT_FILES, *DERIVED_FILES), force=True) as aside,
    ):
        result = grouping.join(micrograph, fine, found.likeness)
        if found.details is not None:  # it has classes, and no fine ones
            result = replace(result, details=found.details, fine=None, pixels=None)
        summary = summarise(
            result, micrograph, source=field.path, page=field.page, model=model, name=field.name
        )
        write_result(aside, result, micrograph, summary)
    return folder


def report_fields(report: Reporter, session: Path, numbers: Sequence[int]) -> Path:
    """Write the report of what `keep_fields` wrote."""
    report(Stage("writing the report"))
    path = session / "results" / "report.html"
    write_report([result_in(session, number) for number in numbers], path, force=True)
    return path


def score_field(
    report: Reporter, session: Path, number: int, reference: Path, name: str
) -> Agreement:
    """Compare what `keep_fields` wrote of a micrograph with a label map drawn by a person."""
    report(Stage(f"comparing with {name}", field=number))
    labels = read_labels(result_in(session, number) / "labels.tif").astype(np.uint16)
    try:
        return compare(labels, read_labels(reference))
    except InputError as error:
        raise InputError(str(error).replace(str(reference), name)) from error
