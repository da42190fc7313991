"""Writing the results of a segmented micrograph."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nital.fast.labelling import CENTRE_COLUMNS
from nital.image.labels import write_label_pyramid, write_labels
from nital.image.large import LARGE_PIXELS
from nital.image.micrograph import LargeMicrograph, Micrograph, step_within
from nital.image.ome_zarr import write_ome_zarr_labels
from nital.image.synthetic import SyntheticMicrograph
from nital.output.figures import comparison_figure, contact_sheet, save_figure
from nital.output.numbers import percent
from nital.output.render import class_colours, colours_of, overlay
from nital.result.agreement import Agreement
from nital.result.fine import FineClasses
from nital.result.phases import PhaseMap
from nital.result.segmentation import Segmentation
from nital.storage.tables import write_json, write_table
from nital.storage.writing import staged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from nital.output.names import DERIVED_FILES, FINE_FILES, PHASE_FILES
from nital.output.summary import class_rows, curve_summary, phase_summary
from nital.storage.versions import versions

OVERLAY_SIDE = 4000
"""Larger micrographs are subsampled for the overlay, so that it can be opened."""

SHEET_SIDE = 2000
"""The same for a contact sheet, which shows the micrograph once for each fine class."""


def write_result(
    folder: Path,
    segmentation: Segmentation,
    micrograph: Micrograph | LargeMicrograph,
    summary: dict[str, Any],
    *,
    reference: NDArray[np.integer] | None = None,
    agreement: Agreement | None = None,
    as_zarr: bool = False,
) -> None:
    """Write the files of a result to an empty folder (see `storage.staged`)."""
    labels, size = segmentation.labels, micrograph.pixel_size
    colours = colours_of(segmentation.classes)
    if as_zarr:
        write_ome_zarr_labels(folder / "labels.zarr", labels, colours, size)
    elif labels.size > LARGE_PIXELS:
        write_label_pyramid(folder / "labels.tif", labels, colours, size)
    else:
        write_labels(folder / "labels.tif", labels, colours, size)
    _write_overlay(folder / "overlay.png", micrograph, labels, colours, segmentation.agreement)
    if segmentation.agreement is not None:
        per_cent = np.round(100 * segmentation.agreement).astype(np.uint8)
        tifffile.imwrite(folder / "agreement.tif", per_cent)
    if segmentation.curve is not None:
        write_table(folder / "n_classes.csv", curve_summary(segmentation.curve))
    write_table(folder / "classes.csv", class_rows(segmentation.classes, colours, size))
    if segmentation.fine is not None:
        fine = segmentation.fine
        colours = class_colours(len(fine.classes))
        write_labels(folder / "fine.tif", fine.labels, colours, size)
        rows = class_rows(fine.classes, colours, size)
        joined = zip(rows, fine.classes_in(labels), fine.joining.centres.tolist(), strict=True)
        write_table(
            folder / "fine.csv",
            [
                row | {"in_class": label} | dict(zip(CENTRE_COLUMNS, centre, strict=True))
                for row, label, centre in joined
            ],
        )
    if reference is not None and agreement is not None and isinstance(micrograph, Micrograph):
        figure = compare_side_by_side(micrograph, segmentation.labels, reference, agreement)
        save_figure(figure, folder / "comparison.png")
    write_json(folder / "summary.json", summary)


def compare_side_by_side(
    micrograph: Micrograph,
    labels: NDArray[np.integer],
    reference: NDArray[np.integer],
    agreement: Agreement,
) -> "Figure":
    """Draw original, reference and result, with matched classes in the same colour."""
    # Number a reference class and the class matched with it alike, so that they share a colour.
    partners = [row.label for row in agreement.classes]
    shown_labels = _renumber(labels, [*partners, *agreement.unmatched])
    shown_reference = _renumber(reference, [row.reference for row in agreement.classes])
    fractions = [
        (
            f"{row.reference}: " + (f"class {row.label}" if row.label else "not found"),
            row.reference_fraction,
            row.area_fraction,
        )
        for row in agreement.classes
    ]
    fractions += [
        (f"class {label}, no match", 0.0, share) for label, share in agreement.unmatched.items()
    ]
    return comparison_figure(micrograph.pixels, shown_labels, shown_reference, fractions)


def _renumber(labels: NDArray[np.integer], order: Sequence[int | None]) -> NDArray[np.int64]:
    """Number the labels by their place in `order`, from 1; the others become 0."""
    numbered = np.zeros(labels.shape, np.int64)
    for number, label in enumerate(order, start=1):
        if label is not None:
            numbered[labels == label] = number
    return numbered


def _write_overlay(
    path: Path,
    micrograph: Micrograph | LargeMicrograph,
    labels: NDArray[np.unsignedinteger],
    colours: NDArray[np.uint8],
    agreement: NDArray[np.float32] | None = None,
) -> None:
    maps = (labels,) if agreement is None else (labels, agreement)
    pixels, shown, *rest = _reduced(micrograph, OVERLAY_SIDE, *maps)
    picture = Image.fromarray(overlay(pixels, shown, colours, *rest))
    picture.save(path, compress_level=3)  # a third of the time of 6, and hardly larger


def _reduced(
    micrograph: Micrograph | LargeMicrograph, side: int, *maps: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    """Subsample micrograph and maps so that none has more than `side` rows or columns."""
    step = step_within(micrograph.shape, side)
    return micrograph.reduced(step), *(each[::step, ::step] for each in maps)


def write_contact_sheet(
    folder: Path,
    micrograph: Micrograph,
    fine: FineClasses,
    labels: NDArray[np.unsignedinteger],
) -> None:
    """Write `fine.png` to a folder of results; an existing one is replaced.

    `labels`, (rows, cols), are the classes to which the fine classes were joined.
    """
    titles = [
        f"{row.label}:  {percent(row.area_fraction)}" + (f", in class {joined}" if joined else "")
        for row, joined in zip(fine.classes, fine.classes_in(labels), strict=True)
    ]
    with staged(folder, FINE_FILES, force=True) as aside:
        pixels, shown = _reduced(micrograph, SHEET_SIDE, fine.labels)
        figure = contact_sheet(pixels, shown, titles)
        save_figure(figure, aside / "fine.png")


def write_phases(
    folder: Path, micrograph: Micrograph, phases: PhaseMap, *, force: bool = False
) -> None:
    """Write label map, overlay, table and summary of phases to a folder of results."""
    colours, size = class_colours(len(phases.names)), micrograph.pixel_size
    owned = (*PHASE_FILES, *DERIVED_FILES)
    with staged(folder, owned, force=force) as aside:
        write_labels(aside / "phases.tif", phases.labels, colours, size)
        _write_overlay(aside / "phases.png", micrograph, phases.labels, colours)
        rows = class_rows(phases.classes, colours, size)
        named = zip(phases.names, phases.members, rows, strict=True)
        write_table(
            aside / "phases.csv",
            [
                {"phase": name, "fine_classes": " ".join(map(str, members))} | row
                for name, members, row in named
            ],
        )
        write_json(aside / "phases.json", phase_summary(phases, micrograph))


def write_synthetic(folder: Path, made: SyntheticMicrograph) -> None:
    """Write a synthetic micrograph (8 bit), its exact labels and fractions to an empty folder."""
    image = np.round(255 * made.image).astype(np.uint8)
    Image.fromarray(image).save(folder / "micrograph.png")
    write_labels(folder / "truth.tif", made.truth, class_colours(len(made.names)), None)
    truth = {
        "seed": made.seed,
        "classes": [
            {"class": label, "constituent": name, "area_fraction": made.fractions[name]}
            for label, name in enumerate(made.names, start=1)
        ],
        "versions": versions(),
    }
    write_json(folder / "truth.json", truth)
