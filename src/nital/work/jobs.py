"""Jobs: from files to folders of results; what the commands and whoever scripts them call."""

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.fast.labelling import CENTRE_COLUMNS, OnRows
from nital.image.files import read_columns, read_labels, write_table
from nital.image.large import LARGE_PIXELS, open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.measure.regions import tabulate_regions
from nital.methods import resolve, segment
from nital.output.exports import write_geojson, write_parquet, write_rois
from nital.output.folders import PhaseFolder, labels_path, open_original, read_summary
from nital.output.render import save_figure, superpixel_figure
from nital.output.results import (
    DERIVED_FILES,
    EXPORT_FILES,
    FINE_FILES,
    PHASE_FILES,
    RESULT_FILES,
    summarise,
    versions,
    write_result,
)
from nital.result.agreement import Agreement, compare
from nital.result.classes import ClassTree
from nital.result.criteria import measure_regions
from nital.result.grouping import ClassName
from nital.result.segmentation import FineClasses, Segmentation
from nital.series.estimator import Segmenter, opener
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.settings import Settings
from nital.storage.writing import Journal, check_new, staged
from nital.work.studies import RUN_FIELDS, Key, Run, execute, key_of, plan

if TYPE_CHECKING:
    from nital.paper.training import Step

VARIED = ("n_classes", "n_superpixels", "compactness", "seed")
"""Settings that differ between the runs of a study."""

SHOWN_SIDE = 160
"""A grid of superpixels shows the middle of the micrograph, this many pixels wide and high: in the
whole of a large one no outline could be seen."""


@dataclass(frozen=True)
class KnownModel:
    """A model, and the file that it was read from."""

    model: Model
    path: Path
    sha256: str
    n_images: int
    """How many micrographs it was fitted to."""

    @classmethod
    def read(cls, path: Path) -> "KnownModel":
        """Read it, without the list of its micrographs: it goes to many processes.

        Errors: as of `read_model`.
        """
        model = read_model(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(replace(model, images=()), path, digest, len(model.images))

    @property
    def summary(self) -> dict[str, Any]:
        """What a result says of it, ready for JSON."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "exposure": self.model.exposure,
            "n_images": self.n_images,
        }


@dataclass(frozen=True)
class SegmentedFile:
    """What came of one file."""

    segmentation: Segmentation
    summary: dict[str, Any]
    agreement: Agreement | None


def segment_file(
    image: Path,
    folder: Path,
    settings: Settings,
    *,
    reference: Path | None = None,
    ignore: int | None = None,
    model: "KnownModel | None" = None,
    page: int | None = None,
    pixel_size: float | None = None,
    crop_bottom: int | None = None,
    force: bool = False,
    on_step: "Callable[[Step], None] | None" = None,
    on_rows: OnRows | None = None,
) -> SegmentedFile:
    """Segment one file into one folder (`docs/files.md` says what is in it).

    Parameters
    ----------
    settings : Settings
        Those of the model, where there is one.
    model : KnownModel, optional
        Its classes are used, and nothing is learned from this file.
    reference : Path, optional
        Label map to compare with; `ignore` is the value of its unlabelled pixels.
    page, pixel_size, crop_bottom
        As for `read_micrograph`.
    force : bool
        Whether a result that is in `folder` already may be replaced.
    on_step, on_rows : callable, optional
        As for `nital.segment`.

    Raises
    ------
    InputError, SettingError, OutputError
        All that can be known beforehand is checked before the training starts.
    """
    micrograph = open_micrograph(image, page=page, pixel_size=pixel_size, crop_bottom=crop_bottom)
    truth = None if reference is None else _read_reference(reference, micrograph, ignore)
    settings = resolve(settings, micrograph)
    # What was made of an older result does not belong to this one.
    owned = (*RESULT_FILES, *FINE_FILES, *PHASE_FILES, *DERIVED_FILES)
    with staged(folder, owned, force=force) as aside:
        out = _room_on_disk(aside, micrograph)
        if model is None:
            result = segment(
                micrograph, settings=settings, out=out, on_step=on_step, on_rows=on_rows
            )
        else:
            result = model.model.segment(micrograph, out=out, on_rows=on_rows)
        agreement = None if truth is None else compare(result.labels, truth, ignore=ignore)
        summary = summarise(
            result,
            micrograph,
            source=image,
            page=page,
            agreement=agreement,
            model=None if model is None else model.summary,
        )
        write_result(
            aside,
            result,
            micrograph,
            summary,
            reference=truth,
            agreement=agreement,
            as_zarr=image.is_dir(),
        )
    return SegmentedFile(result, summary, agreement)


def fit_files(
    images: Sequence[Path],
    out: Path,
    *,
    n_classes: int | str,
    seed: int,
    scale: str,
    exposure: str,
    page: int | None = None,
    crop_bottom: int | None = None,
    force: bool = False,
    executor: Executor | None = None,
) -> Model:
    """Fit a model to files, and write it.

    Parameters: as for `nital.Segmenter` and `open_micrograph`.

    Raises
    ------
    InputError, SettingError, OutputError
        The name of the model is checked before the work starts.
    """
    check_new(out, force=force)
    segmenter = Segmenter(n_classes, seed=seed, scale=scale, exposure=exposure)
    openers = [opener(each, page=page, crop_bottom=crop_bottom) for each in images]
    segmenter.fit(openers, executor=executor)
    segmenter.save(out, force=force)
    return segmenter.model_


def name_classes(
    path: Path,
    names: Mapping[int, str],
    *,
    colours: Mapping[str, str],
    phases: Mapping[str, Sequence[int]] | None = None,
) -> Model:
    """Name the classes of a model, in its file.

    Parameters
    ----------
    names : mapping of class to name
        The others keep theirs.
    colours : mapping of name to colour
        As `#0072b2`; of names that the model has or is given here.
    phases : mapping of name to numbers, optional
        Fine classes that are put together to phases before (`Model.regrouped`).

    Raises
    ------
    InputError
        If the model has no such class, or no such name.
    """
    model = read_model(path)
    if phases is not None:
        model = model.regrouped(phases)
    model = model.named({number: ClassName(name) for number, name in names.items()})
    known = {each.name for each in model.names.values() if each.name is not None}
    for name in colours:
        if name not in known:
            raise InputError(
                f"{name}: no class of that name; {path} has {', '.join(sorted(known)) or 'none'},"
                " name it first"
            )
    model = model.named(
        {
            number: ClassName(each.name, colours.get(each.name or "", each.colour))
            for number, each in model.names.items()
        }
    )
    write_model(path, model, versions=versions(), force=True)
    return model


def _read_reference(
    path: Path, micrograph: Micrograph | LargeMicrograph, ignore: int | None
) -> NDArray[np.int64]:
    """The label map to compare with; would it be refused? Said now, not after the training."""
    if not isinstance(micrograph, Micrograph):
        raise InputError(
            f"{path}: {micrograph.name} is too large to be compared as a whole; compare a part"
        )
    truth = read_labels(path)
    try:
        compare((~micrograph.excluded).astype(np.uint8), truth, ignore=ignore)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return truth


def _room_on_disk(
    folder: Path, micrograph: Micrograph | LargeMicrograph
) -> NDArray[np.uint8] | None:
    """Labels of a large micrograph, in a file without a name that goes when they go."""
    if isinstance(micrograph, Micrograph):
        return None
    with tempfile.TemporaryFile(dir=folder) as file:  # the map holds on to what it maps
        if hasattr(os, "posix_fallocate"):  # a disk that is full later would kill the process
            os.posix_fallocate(file.fileno(), 0, math.prod(micrograph.shape))
        return np.memmap(file, np.uint8, "w+", shape=micrograph.shape)


@dataclass(frozen=True)
class OpenedResult:
    """A result in fast mode, read back from its folder."""

    micrograph: Micrograph
    fine: FineClasses
    labels: NDArray[np.uint16]
    """The classes that the fine ones were joined to."""


def open_result(folder: Path, *, image: Path | None = None) -> OpenedResult:
    """Read back the fine classes of a result, and its micrograph.

    Parameters
    ----------
    folder : Path
        As `segment_file` wrote it.
    image : Path, optional
        Where the micrograph is now. None: where it was when it was segmented.

    Raises
    ------
    InputError
        If there are no fine classes, or the micrograph is missing or another one.
    """
    summary = read_summary(folder)
    if not (folder / "fine.tif").is_file():
        raise InputError(
            f"{folder}: holds no fine classes; paper mode and images of more than"
            f" {LARGE_PIXELS:,} pixels have none: segment again in fast mode, or a part"
        )
    path = image or Path(summary["image"])
    if not path.exists():
        raise InputError(f"{path}: the micrograph of {folder} is not there; say where with --image")
    micrograph, joined = open_original(path, summary), labels_path(folder)
    fine, labels = (read_labels(each).astype(np.uint16) for each in (folder / "fine.tif", joined))
    if (
        not isinstance(micrograph, Micrograph)
        or micrograph.sha256 != summary["sha256"]
        or micrograph.shape != fine.shape
    ):
        raise InputError(
            f"{path}: not the micrograph that {folder} was made from; name that with --image, or"
            " segment again"
        )
    table = read_columns(folder / "fine.csv", ("n_pixels", *CENTRE_COLUMNS))
    counts, centres = table[:, 0], table[:, 1:]
    n = max(len(counts), int(fine.max()))
    statistics = measure_regions(micrograph.pixels, fine, n)
    if labels.shape != fine.shape or not np.array_equal(statistics.areas, counts):
        raise InputError(
            f"{folder}: fine.tif, fine.csv and {joined.name} are not as they were written; segment"
            " again"
        )
    return OpenedResult(
        micrograph, FineClasses(fine, statistics, ClassTree(centres, statistics)), labels
    )


def draw_superpixels(
    micrograph: Micrograph,
    folder: Path,
    *,
    compactness: Sequence[float],
    n_superpixels: Sequence[int],
    force: bool = False,
) -> None:
    """Draw superpixels over compactness and number, with a table of how many SLIC gave."""
    from nital.paper.superpixels import check_n_superpixels, find_superpixels

    window = tuple(
        slice(start, start + SHOWN_SIDE)
        for start in (max(0, (length - SHOWN_SIDE) // 2) for length in micrograph.shape)
    )
    for n in n_superpixels:
        check_n_superpixels(n, micrograph.shape)
    with staged(folder, ("grid.png", "grid.csv"), force=force) as aside:
        maps = [
            [
                find_superpixels(micrograph.pixels, n_superpixels=n, compactness=m)
                for n in n_superpixels
            ]
            for m in compactness
        ]
        given = [[int(each.max()) + 1 for each in row] for row in maps]
        figure = superpixel_figure(
            micrograph.pixels[window],
            [[each[window] for each in row] for row in maps],
            compactness,
            n_superpixels,
            given,
        )
        save_figure(figure, aside / "grid.png")
        rows = [
            {
                "compactness": m,
                "n_superpixels": n,
                "given": count,
                "mean_pixels": round(micrograph.excluded.size / count, 2),
            }
            for m, counts in zip(compactness, given, strict=True)
            for n, count in zip(n_superpixels, counts, strict=True)
        ]
        write_table(aside / "grid.csv", rows)


class Study:
    """A study of one file that keeps every finished run at once, and goes on where it stopped.

    Parameters
    ----------
    kind : str
        Its name, `classes` or `map`.
    micrograph : Micrograph
    folder : Path
        Where its journal is, or will be.
    settings : Settings
        What all runs share; `settings.seed` is the seed of the first repeat.
    n_classes, compactness, n_superpixels : sequences
        What the runs vary; each combination is run `repeats` times.
    force : bool
        Whether to throw away the runs that are in `folder` already.

    Raises
    ------
    SettingError, OutputError
        If a setting is out of its range, or `folder` holds another study or can't be written.
    """

    def __init__(
        self,
        kind: str,
        micrograph: Micrograph,
        folder: Path,
        settings: Settings,
        *,
        n_classes: Sequence[int],
        compactness: Sequence[float],
        n_superpixels: Sequence[int | None],
        repeats: int,
        force: bool = False,
    ) -> None:
        self._micrograph = micrograph
        runs = plan(
            settings,
            n_classes=n_classes,
            compactness=compactness,
            n_superpixels=n_superpixels,
            repeats=repeats,
        )
        self._wanted = [resolve(each, micrograph) for each in runs]
        used = self._wanted[0].in_use
        common = {key: value for key, value in used.items() if key not in VARIED}
        pixels = hashlib.sha256(micrograph.pixels.tobytes() + micrograph.excluded.tobytes())
        identity = {
            "study": kind,
            "sha256": micrograph.sha256,
            "pixels_sha256": pixels.hexdigest(),  # another page of the file is another study
            **common,
            **versions(),
        }
        columns = [field.name for field in RUN_FIELDS]
        self._journal = Journal.of_study(folder, columns, identity, force=force)
        self._finished = self._read()

    @property
    def n_runs(self) -> int:
        """Runs of the study, finished or not."""
        return len(self._wanted)

    @property
    def missing(self) -> list[Settings]:
        """Runs that are still to do."""
        return [each for each in self._wanted if key_of(each) not in self._finished]

    def finish(
        self, *, executor: Executor | None = None, on_run: Callable[[Run], None] | None = None
    ) -> list[Run]:
        """Do what is missing, through any executor; return all runs of the study.

        Raises
        ------
        OutputError
            If another process is at work on this study, or the journal can't be written.
        """
        with self._journal.locked():
            self._finished = self._read()  # another process may have been at work meanwhile
            for run in execute(self._micrograph, self.missing, executor=executor):
                self._journal.append(run.as_row())
                self._finished[run.key] = run
                if on_run is not None:
                    on_run(run)
        return [self._finished[key_of(each)] for each in self._wanted]

    def _read(self) -> dict[Key, Run]:
        return {run.key: run for run in map(Run.from_row, self._journal.rows)}


def export_regions(field: PhaseFolder, kinds: Sequence[str], *, force: bool = False) -> None:
    """Write the regions of a field into its folder, for other programs.

    Parameters
    ----------
    kinds : sequence of {"csv", "parquet", "rois", "geojson"}
    force : bool
        Whether files that are there already may be replaced.
    """
    files = {kind: EXPORT_FILES[kind] for kind in kinds}
    names, colours, size = field.phases, field.colours, field.pixel_size
    with staged(field.folder, tuple(files.values()), force=force) as aside:
        table: dict[str, Any] = {}
        if {"csv", "parquet"} & set(kinds):
            columns = tabulate_regions(field.labels, pixel_size=size)
            phases = np.array(["", *names])[columns.pop("class")]
            table = {"phase": phases.tolist(), **columns}
        for kind, name in files.items():
            if kind == "csv":
                rows = zip(*table.values(), strict=True)
                write_table(aside / name, [dict(zip(table, row, strict=True)) for row in rows])
            elif kind == "parquet":
                write_parquet(aside / name, table)
            elif kind == "rois":
                write_rois(aside / name, field.labels, names, colours)
            else:
                write_geojson(aside / name, field.labels, names, colours, size)
