"""Folders of results, read back: the phases of a field, and what they are called."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.files import read_json, read_labels
from nital.image.large import open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.measure.specimen import GRID, NAMED, Field, Specimen, measure_field, measure_specimen
from nital.output.render import colours_of
from nital.result.classes import ClassRow


@dataclass(frozen=True)
class PhaseFolder:
    """The phases in a folder of results: those that a person named, else the classes."""

    folder: Path
    summary: dict[str, Any]
    labels: NDArray[np.uint16]
    """(rows, cols): 1..k in the order of `phases`, 0 = excluded."""

    phases: tuple[str, ...]
    colours: NDArray[np.uint8]
    """(k, 3)."""

    origin: str | None
    """As in `Field`."""

    @property
    def name(self) -> str:
        """Of the field: what people call it, else that of its folder."""
        return name_of(self.folder, self.summary)

    @property
    def pixel_size(self) -> float | None:
        """Edge of a pixel in µm."""
        size: float | None = self.summary["pixel_size_um"]
        return size

    @classmethod
    def read(cls, folder: Path) -> "PhaseFolder":
        """Read a folder that `nital segment`, `predict` or `fine --merge` has written.

        Raises
        ------
        InputError
            If it holds no result, or files that don't belong together.
        """
        summary = read_summary(folder)
        try:
            return cls._read(folder, summary)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder}: summary.json or phases.json is not as it was written ({error}); segment"
                " again"
            ) from error

    @classmethod
    def _read(cls, folder: Path, summary: dict[str, Any]) -> "PhaseFolder":
        if (folder / "phases.json").is_file():
            path, table = folder / "phases.tif", read_json(folder / "phases.json")["phases"]
            rows = [_row(each["label"], each["phase"], None, each["n_pixels"]) for each in table]
        else:
            path = labels_path(folder)
            rows = [
                _row(each["class"], each.get("name"), each.get("colour"), each["n_pixels"])
                for each in summary["classes"]
            ]
        labels = read_labels(path)
        n_pixels = [row.n_pixels for row in rows]
        if (
            list(labels.shape) != summary["shape"]
            or labels.min() < 0
            or np.bincount(labels.ravel(), minlength=len(rows) + 1)[1:].tolist() != n_pixels
        ):
            raise InputError(f"{path}: not the map that was written there; segment again")
        return cls._of_rows(folder, summary, labels, rows)

    @classmethod
    def _of_rows(
        cls,
        folder: Path,
        summary: dict[str, Any],
        labels: NDArray[np.int64],
        rows: Sequence[ClassRow],
    ) -> "PhaseFolder":
        """Classes of one name are one phase."""
        names = [row.name or f"class {row.label}" for row in rows]
        phases = tuple(dict.fromkeys(names))
        number = np.array([0, *(phases.index(name) + 1 for name in names)], np.uint16)
        colours = colours_of(rows)[[names.index(phase) for phase in phases]]
        named = all(row.name is not None for row in rows)
        origin = NAMED if named else summary.get("model", {}).get("sha256")
        return cls(folder, summary, number[labels], phases, colours, origin)

    def measure(self, points: tuple[int, int] = GRID, name: str | None = None) -> Field:
        """The field, measured, and called `name`; errors as of `measure_field`."""
        return measure_field(
            self.labels,
            self.phases,
            name=name or self.name,
            sha256=self.summary["sha256"],
            page=self.summary["page"],
            pixel_size=self.pixel_size,
            points=points,
            origin=self.origin,
        )


def _row(label: int, name: str | None, colour: str | None, n_pixels: int) -> ClassRow:
    return ClassRow(label, n_pixels, 0.0, None, name=name, colour=colour)


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of a result.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    if not (folder / "summary.json").is_file():
        raise InputError(f"{folder}: no result of `nital segment`; name a folder of one image")
    return read_json(folder / "summary.json")


def name_of(folder: Path, summary: dict[str, Any]) -> str:
    """What a field is called."""
    given: str | None = summary.get("name")
    return given or folder.resolve().name  # the name of "." is empty


def labels_path(folder: Path) -> Path:
    """The label map of a result: a file, or a folder where the image was one."""
    zarr = folder / "labels.zarr"
    return zarr if zarr.exists() else folder / "labels.tif"


def open_original(path: Path, summary: dict[str, Any]) -> Micrograph | LargeMicrograph:
    """The micrograph in `path`, read as the one of this summary was; it may be another one."""
    return open_micrograph(
        path,
        page=summary["page"],
        pixel_size=summary["pixel_size_um"],
        crop_bottom=summary["cropped_bottom"],
    )


def find_results(paths: Iterable[Path]) -> list[Path]:
    """Folders of results: those named, or all that lie in a folder named, in its sub-folders too.

    Raises
    ------
    InputError
        If a path is no folder, or there is no result in it.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path}: no folder; name a folder of results")
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
    """Studies have a summary too, and no label map; hidden folders are still being written."""
    hidden = any(part.startswith(".") for part in folder.relative_to(within).parts)
    return not hidden and any((folder / name).exists() for name in ("labels.tif", "labels.zarr"))


def measure_folders(folders: Sequence[Path], points: tuple[int, int] = GRID) -> Specimen:
    """The specimen whose fields these are; one map is in memory at a time.

    A field has the name that it was given, else that of its folder; where two have the same, the
    whole path.

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
