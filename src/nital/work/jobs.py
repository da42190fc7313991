"""Jobs that turn files into folders of results or into models, for commands and scripts."""

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
from nital.fast.labelling import OnRows
from nital.fast.settings import FastSettings
from nital.image.labels import read_labels
from nital.image.large import open_micrograph
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.methods import resolve, segment
from nital.output.names import DERIVED_FILES, FINE_FILES, PHASE_FILES, RESULT_FILES
from nital.output.results import write_result
from nital.output.summary import summarise
from nital.result.agreement import Agreement, compare
from nital.result.grouping import ClassName
from nital.result.segmentation import Segmentation
from nital.series.estimator import opener
from nital.series.fitting import fit_model
from nital.series.model import Model
from nital.series.model_files import read_model, write_model
from nital.settings import Settings
from nital.storage.versions import versions
from nital.storage.writing import check_new, staged

if TYPE_CHECKING:
    from nital.paper.course import Step


@dataclass(frozen=True)
class KnownModel:
    """A model, and the file it was read from."""

    model: Model
    path: Path
    sha256: str
    n_images: int
    """Number of micrographs it was fitted to."""

    @classmethod
    def read(cls, path: Path) -> "KnownModel":
        """Read a model without the list of its micrographs, since it is sent to many processes.

        Raises the errors of `read_model`.
        """
        model = read_model(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(replace(model, images=()), path, digest, len(model.images))

    @property
    def summary(self) -> dict[str, Any]:
        """What a result records about the model, ready for JSON."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "exposure": self.model.exposure,
            "n_images": self.n_images,
        }


@dataclass(frozen=True)
class SegmentedFile:
    """The result for one file."""

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
    """Segment one file into one folder (`docs/files.md` describes its contents).

    Parameters
    ----------
    settings : Settings
        With a model: its settings.
    model : KnownModel, optional
        Label with its classes; nothing is learned from this file.
    reference : Path, optional
        Label map to compare with; `ignore` is the value of its unlabelled pixels.
    page, pixel_size, crop_bottom
        As for `read_micrograph`.
    force : bool
        Whether to replace an existing result in `folder`.
    on_step, on_rows : callable, optional
        As for `nital.segment`.

    Raises
    ------
    InputError, SettingError, OutputError
        Everything that can be checked is checked before the computation starts.
    """
    micrograph = open_micrograph(image, page=page, pixel_size=pixel_size, crop_bottom=crop_bottom)
    truth = None if reference is None else _read_reference(reference, micrograph, ignore)
    settings = resolve(settings, micrograph)
    # Files derived from an older result don't belong to this one.
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
    settings: FastSettings,
    *,
    exposure: str,
    page: int | None = None,
    crop_bottom: int | None = None,
    force: bool = False,
    executor: Executor | None = None,
) -> Model:
    """Fit a model to files, and write it.

    Parameters: as for `fit_model` and `open_micrograph`.

    Raises
    ------
    InputError, SettingError, OutputError
        The path of the model is checked before the fit starts.
    """
    check_new(out, force=force)
    openers = [opener(each, page=page, crop_bottom=crop_bottom) for each in images]
    run_all = map if executor is None else executor.map
    model = fit_model(openers, settings, exposure=exposure, run_all=run_all)
    write_model(out, model, versions=versions(), force=force)
    return model


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
        The other classes keep their names.
    colours : mapping of name to colour
        As `#0072b2`; for names the model has already or is given here.
    phases : mapping of name to numbers, optional
        Assign fine classes to phases first (`Model.regrouped`).

    Raises
    ------
    InputError
        If the model has no class of that number, or none of that name.
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
    """Read the reference, and check it now rather than after the training."""
    if not isinstance(micrograph, Micrograph):
        raise InputError(
            f"{path}: {micrograph.name} is too large to compare as a whole; compare a part"
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
    """Allocate the labels of a large micrograph in an unnamed file, deleted along with them."""
    if isinstance(micrograph, Micrograph):
        return None
    with tempfile.TemporaryFile(dir=folder) as file:  # the memory map keeps it open
        if hasattr(os, "posix_fallocate"):  # running out of disk space later would kill the process
            os.posix_fallocate(file.fileno(), 0, math.prod(micrograph.shape))
        return np.memmap(file, np.uint8, "w+", shape=micrograph.shape)
