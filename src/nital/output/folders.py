"""Reading folders of results: the phases of a field, and their names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.fast.labelling import CENTRE_COLUMNS
from nital.image.labels import read_labels
from nital.image.large import LARGE_PIXELS, open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.measure.regions import tabulate_regions
from nital.measure.specimen import GRID, NAMED, Field, Specimen, measure_field, measure_specimen
from nital.output.render import colours_of
from nital.result.classes import ClassRow
from nital.result.criteria import measure_regions
from nital.result.fine import FineClasses
from nital.result.joining import Joining
from nital.storage.tables import read_columns, read_json


@dataclass(frozen=True)
class PhaseFolder:
    """The phases in a folder of results: those named by a person, else the classes."""

    folder: Path
    summary: dict[str, Any]
    labels: NDArray[np.uint16]
    """(rows, cols): 1..k in the order of `phases`, 0 = excluded."""

    phases: tuple[str, ...]
    colours: NDArray[np.uint8]
    """(k, 3)."""

    origin: str | None
    """As `Field.origin`."""

    uncertainties: tuple[float | None, ...]
    """As `Field.uncertainties`; of phases with several classes, their sum, which is the most that
    it can be."""

    @property
    def name(self) -> str:
        """Name of the field: as given by a person, else that of its folder."""
        return name_of(self.folder, self.summary)

    @property
    def pixel_size(self) -> float | None:
        """Edge length of a pixel in µm."""
        size: float | None = self.summary["pixel_size_um"]
        return size

    @cached_property
    def regions(self) -> dict[str, Any]:
        """Columns of the table of regions, the phase of each first (`tabulate_regions`)."""
        columns = tabulate_regions(self.labels, pixel_size=self.pixel_size)
        phases = np.array(["", *self.phases])[columns.pop("class")]
        return {"phase": phases.tolist(), **columns}

    @classmethod
    def read(cls, folder: Path) -> "PhaseFolder":
        """Read a folder written by `nital segment`, `predict` or `fine --merge`.

        Raises
        ------
        InputError
            If it holds no result, or its files don't belong together.
        """
        summary = read_summary(folder)
        try:
            return cls._read(folder, summary)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder}: summary.json or phases.json was changed ({error}); segment again"
            ) from error

    @classmethod
    def _read(cls, folder: Path, summary: dict[str, Any]) -> "PhaseFolder":
        if (folder / "phases.json").is_file():
            path, table = folder / "phases.tif", read_json(folder / "phases.json")["phases"]
            rows = [_row(each, each["label"], each["phase"]) for each in table]
        else:
            path = labels_path(folder)
            rows = [_row(each, each["class"], each.get("name")) for each in summary["classes"]]
        labels = read_labels(path)
        n_pixels = [row.n_pixels for row in rows]
        if (
            list(labels.shape) != summary["shape"]
            or labels.min() < 0
            or np.bincount(labels.ravel(), minlength=len(rows) + 1)[1:].tolist() != n_pixels
        ):
            raise InputError(f"{path}: not the label map of this result; segment again")
        return cls._of_rows(folder, summary, labels, rows)

    @classmethod
    def _of_rows(
        cls,
        folder: Path,
        summary: dict[str, Any],
        labels: NDArray[np.int64],
        rows: Sequence[ClassRow],
    ) -> "PhaseFolder":
        """Make the phases; classes with the same name are one phase."""
        names = [row.name or f"class {row.label}" for row in rows]
        phases = tuple(dict.fromkeys(names))
        number = np.array([0, *(phases.index(name) + 1 for name in names)], np.uint16)
        colours = colours_of(rows)[[names.index(phase) for phase in phases]]
        named = all(row.name is not None for row in rows)
        origin = NAMED if named else summary.get("model", {}).get("sha256")
        uncertainties = tuple(
            _sum_of([row.uncertainty for row, own in zip(rows, names, strict=True) if own == phase])
            for phase in phases
        )
        return cls(folder, summary, number[labels], phases, colours, origin, uncertainties)

    def measure(self, points: tuple[int, int] = GRID, name: str | None = None) -> Field:
        """Measure the field and call it `name`; raises the errors of `measure_field`."""
        return measure_field(
            self.labels,
            self.phases,
            name=name or self.name,
            sha256=self.summary["sha256"],
            page=self.summary["page"],
            pixel_size=self.pixel_size,
            points=points,
            origin=self.origin,
            uncertainties=self.uncertainties,
        )


def _row(entry: dict[str, Any], label: int, name: str | None) -> ClassRow:
    """The class or phase of an entry of a summary."""
    colour, uncertainty = entry.get("colour"), entry.get("uncertainty")
    return ClassRow(label, entry["n_pixels"], 0.0, None, uncertainty, name, colour)


def _sum_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the summary of a result.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    if not (folder / "summary.json").is_file():
        raise InputError(f"{folder}: no result of `nital segment`; name the folder of one image")
    return read_json(folder / "summary.json")


def name_of(folder: Path, summary: dict[str, Any]) -> str:
    """Return the name of a field."""
    given: str | None = summary.get("name")
    return given or folder.resolve().name  # the name of "." is empty


def labels_path(folder: Path) -> Path:
    """Return the path of the label map: a file, or a folder if the image was one."""
    zarr = folder / "labels.zarr"
    return zarr if zarr.exists() else folder / "labels.tif"


def open_original(path: Path, summary: dict[str, Any]) -> Micrograph | LargeMicrograph:
    """Open the micrograph in `path`, read as described in a summary; it may be another one."""
    return open_micrograph(
        path,
        page=summary["page"],
        pixel_size=summary["pixel_size_um"],
        crop_bottom=summary["cropped_bottom"],
    )


def find_results(paths: Iterable[Path]) -> list[Path]:
    """Find folders of results: the paths themselves, or all within them, sub-folders included.

    Raises
    ------
    InputError
        If a path is not a folder, or holds no result.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path}: not a folder; name a folder of results")
        inside = sorted(
            each.parent for each in path.rglob("summary.json") if _is_result(each.parent, path)
        )
        if not inside:
            raise InputError(f"{path}: no result of `nital segment` or `nital predict` in it")
        found += [path] if path in inside else inside
    once: dict[Path, Path] = {}
    for folder in found:
        once.setdefault(folder.resolve(), folder)
    return list(once.values())


def _is_result(folder: Path, within: Path) -> bool:
    """Whether a folder holds a result.

    Studies have a summary too but no label map; hidden folders are still being written.
    """
    hidden = any(part.startswith(".") for part in folder.relative_to(within).parts)
    return not hidden and any((folder / name).exists() for name in ("labels.tif", "labels.zarr"))


def measure_folders(folders: Sequence[Path], points: tuple[int, int] = GRID) -> Specimen:
    """Measure the specimen with these fields; one label map is in memory at a time.

    A field is called by the name a person gave it, else by that of its folder; fields that share a
    name, by their path.

    Raises
    ------
    InputError
        If a folder can't be read, or the fields don't belong together (`measure_specimen`).
    """
    names = [name_of(folder, read_summary(folder)) for folder in folders]
    return measure_specimen(
        [
            PhaseFolder.read(folder).measure(
                points, name if names.count(name) == 1 else str(folder)
            )
            for folder, name in zip(folders, names, strict=True)
        ]
    )


@dataclass(frozen=True)
class OpenedResult:
    """A result of fast mode, read from its folder."""

    micrograph: Micrograph
    fine: FineClasses
    labels: NDArray[np.uint16]
    """The classes to which the fine classes were joined."""

    settings: dict[str, Any] | None
    """With which they were found (`modes.settings_of`); None for those of a model."""


def open_result(folder: Path, *, image: Path | None = None) -> OpenedResult:
    """Read the fine classes of a result, and its micrograph.

    Parameters
    ----------
    folder : Path
        As written by `segment_file`.
    image : Path, optional
        Path of the micrograph. Default: where it was when it was segmented.

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
        raise InputError(f"{path}: no such file, the micrograph of {folder}; give it with --image")
    micrograph, joined = open_original(path, summary), labels_path(folder)
    fine, labels = (read_labels(each).astype(np.uint16) for each in (folder / "fine.tif", joined))
    if (
        not isinstance(micrograph, Micrograph)
        or micrograph.sha256 != summary["sha256"]
        or micrograph.shape != fine.shape
    ):
        raise InputError(
            f"{path}: not the micrograph of {folder}; give the right one with --image, or segment"
            " again"
        )
    table = read_columns(folder / "fine.csv", ("n_pixels", *CENTRE_COLUMNS))
    counts, centres = table[:, 0], table[:, 1:]
    n = max(len(counts), int(fine.max()))
    statistics = measure_regions(micrograph.pixels, fine, n)
    if labels.shape != fine.shape or not np.array_equal(statistics.areas, counts):
        raise InputError(
            f"{folder}: fine.tif, fine.csv or {joined.name} was changed; segment again"
        )
    known = None if "model" in summary else summary["settings"]
    return OpenedResult(
        micrograph, FineClasses(fine, statistics, Joining(centres, statistics)), labels, known
    )
