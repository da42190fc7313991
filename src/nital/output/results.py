"""Results: what a segmented micrograph leaves on the disk, and its summary."""

import math
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nital.fast.labelling import CENTRE_COLUMNS
from nital.image.files import write_json, write_labels, write_table
from nital.image.large import LARGE_PIXELS, write_label_pyramid
from nital.image.micrograph import LargeMicrograph, Micrograph, step_within
from nital.image.ome_zarr import write_ome_zarr_labels
from nital.image.synthetic import SyntheticMicrograph
from nital.measure.specimen import Field, Specimen
from nital.output.render import (
    class_colours,
    colours_of,
    comparison_figure,
    contact_sheet,
    contour_figure,
    criteria_figure,
    hex_of,
    overlay,
    percent,
    save_figure,
)
from nital.result.agreement import Agreement
from nital.result.classes import ClassRow
from nital.result.phases import PhaseMap
from nital.result.segmentation import FineClasses, Segmentation
from nital.storage.writing import staged
from nital.work.studies import ClassStudy, SuperpixelStudy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULT_FILES = (
    "labels.tif",
    "labels.zarr",
    "overlay.png",
    "classes.csv",
    "comparison.png",
    "summary.json",
    "fine.tif",
    "fine.csv",
    "agreement.tif",
    "n_classes.csv",
)
FINE_FILES = ("fine.png",)
PHASE_FILES = ("phases.tif", "phases.png", "phases.csv", "phases.json")
OVERLAY_SIDE = 4000
"""The overlay of a larger micrograph shows every 2nd, 3rd ... pixel, so that it can be opened."""

SHEET_SIDE = 2000
"""A contact sheet holds the micrograph once for each fine class."""

EXPORT_FILES = {
    "csv": "regions.csv",
    "parquet": "regions.parquet",
    "rois": "regions.zip",
    "geojson": "regions.geojson",
}
"""Files of regions for other programs, by what `nital export --to` calls them."""

REPORT_FILE = "report.html"
DERIVED_FILES = (*EXPORT_FILES.values(), REPORT_FILE)
"""What is made of the phases of a result: when these change, it goes."""

SPECIMEN_FILES = ("fields.csv", "phases.csv", "contacts.csv")
CONTACT_COLUMNS = ("field", "phase", "with", "length", "unit")
SYNTHETIC_FILES = ("micrograph.png", "truth.tif", "truth.json")


def summarise(
    segmentation: Segmentation,
    micrograph: Micrograph | LargeMicrograph,
    *,
    source: Path,
    page: int | None = None,
    agreement: Agreement | None = None,
    model: dict[str, Any] | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """The summary of a result, ready for JSON. `docs/files.md` explains each key.

    `model`: path and SHA-256 of the model whose classes these are. `name`: what people call the
    field, where that is not the name of its folder.
    """
    summary: dict[str, Any] = {
        "image": str(source),
        "page": page,
        "sha256": micrograph.sha256,
        "shape": list(micrograph.shape),
        "pixel_size_um": micrograph.pixel_size,
        "cropped_bottom": micrograph.cropped_bottom,
        "full_scale": list(micrograph.full_scale),
        "excluded_fraction": segmentation.excluded_fraction,
        "n_classes": segmentation.n_classes,
        "n_classes_asked": segmentation.settings.n_classes,
        "classes": class_summary(segmentation.classes),
        "criteria": asdict(segmentation.criteria),
        "notes": list(segmentation.notes),
        "seed": segmentation.settings.seed,
        "settings": segmentation.settings.in_use,
        "seconds": segmentation.seconds,
        "versions": versions(),
    }
    if name is not None:
        summary["name"] = name
    if segmentation.stopped:
        summary["stopped"] = True
    if segmentation.mean_agreement is not None:
        summary["mean_agreement"] = segmentation.mean_agreement
    if segmentation.likeness is not None:
        summary["model"] = model
        summary["likeness"] = asdict(segmentation.likeness)
    if segmentation.curve is not None:
        summary["n_classes_by_F"] = curve_summary(segmentation.curve)
    if segmentation.training is not None:
        summary |= {
            "n_superpixels": segmentation.n_superpixels,
            "iterations": len(segmentation.training.steps),
            "stop_reason": segmentation.training.stop_reason,
        }
    if agreement is not None:
        summary["agreement"] = agreement_summary(agreement)
    return summary


def agreement_summary(agreement: Agreement) -> dict[str, Any]:
    """The agreement with a reference, ready for JSON."""
    return {
        "mean_iou": agreement.mean_iou,
        "accuracy": agreement.accuracy,
        "ari": agreement.ari,
        "n_pixels": agreement.n_pixels,
        "unmatched": {str(label): share for label, share in agreement.unmatched.items()},
        "classes": [asdict(row) | {"difference": row.difference} for row in agreement.classes],
    }


def versions() -> dict[str, str]:
    """Versions of everything that can alter a result."""
    packages = ("nital", "torch", "scikit-image", "numpy", "scipy")
    return {name: version(name) for name in packages} | {"python": platform.python_version()}


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
        joined = zip(rows, fine.classes_in(labels), fine.tree.centres.tolist(), strict=True)
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
    """The figure of original, reference and result, matched classes in one colour."""
    # One numbering, and so one colour, for a reference class and the class matched with it.
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
        (f"class {label}, no partner", 0.0, share) for label, share in agreement.unmatched.items()
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
    Image.fromarray(overlay(pixels, shown, colours, *rest)).save(path)


def _reduced(
    micrograph: Micrograph | LargeMicrograph, side: int, *maps: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    """Every n-th pixel of micrograph and maps, so that none is higher or wider than `side`."""
    step = step_within(micrograph.shape, side)
    return micrograph.reduced(step), *(each[::step, ::step] for each in maps)


def class_rows(
    classes: Sequence[ClassRow], colours: NDArray[np.uint8], pixel_size: float | None
) -> list[dict[str, Any]]:
    """The table of classes, ready for CSV; areas in µm² where the pixel size is known."""
    return [
        {
            "class": row.label,
            **({} if all(each.name is None for each in classes) else {"name": row.name}),
            "area_fraction": f"{row.area_fraction:.6f}",
            **({} if row.spread is None else {"spread": f"{row.spread:.6f}"}),
            "n_pixels": row.n_pixels,
            "area_um2": None if pixel_size is None else f"{row.n_pixels * pixel_size**2:.6g}",
            "mean_grey": None if row.mean_grey is None else f"{row.mean_grey:.3f}",
            "colour": hex_of(colour),
        }
        for row, colour in zip(classes, colours, strict=True)
    ]


def write_contact_sheet(
    folder: Path,
    micrograph: Micrograph,
    fine: FineClasses,
    labels: NDArray[np.unsignedinteger],
) -> None:
    """Write `fine.png` to a folder of results; an older one is replaced.

    `labels` (rows, cols) are the classes that the fine ones were joined to.
    """
    titles = [
        f"{row.label}:  {percent(row.area_fraction)}" + (f", in class {joined}" if joined else "")
        for row, joined in zip(fine.classes, fine.classes_in(labels), strict=True)
    ]
    with staged(folder, FINE_FILES, force=True) as aside:
        pixels, shown = _reduced(micrograph, SHEET_SIDE, fine.labels)
        figure = contact_sheet(pixels, shown, titles)
        save_figure(figure, aside / "fine.png")


def phase_summary(phases: PhaseMap, micrograph: Micrograph) -> dict[str, Any]:
    """Phases and what they were made of, ready for JSON."""
    rows = zip(phases.names, phases.members, phases.classes, strict=True)
    return {
        "image": micrograph.name,
        "sha256": micrograph.sha256,
        "pixel_size_um": micrograph.pixel_size,
        "phases": [
            {
                "phase": name,
                "label": row.label,
                "fine_classes": list(members),
                "area_fraction": row.area_fraction,
                "n_pixels": row.n_pixels,
                "mean_grey": row.mean_grey,
            }
            for name, members, row in rows
        ],
        "criteria": asdict(phases.criteria),
        "versions": versions(),
    }


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


def specimen_summary(specimen: Specimen) -> dict[str, Any]:
    """A specimen, ready for JSON; lengths in the unit of each field."""
    return {
        "phases": [
            {
                "phase": phase,
                "area_fraction": asdict(area),
                "point_fraction": asdict(points),
            }
            for phase, area, points in zip(
                specimen.phases, specimen.areas, specimen.points, strict=True
            )
        ],
        "fields": [
            {
                "field": field.name,
                "sha256": field.sha256,
                "pixel_size_um": field.pixel_size,
                "n_pixels": field.n_pixels,
                "phases": _phase_rows(field),
                "contacts": _contact_rows(field),
            }
            for field in specimen.fields
        ],
        "notes": list(specimen.notes),
        "versions": versions(),
    }


def _phase_rows(field: Field) -> list[dict[str, Any]]:
    """What was measured of each phase in a field."""
    rows = zip(field.phases, field.fractions, field.point_fractions, field.regions, strict=True)
    return [
        {"phase": phase, "area_fraction": area, "point_fraction": points}
        | {key: value for key, value in asdict(regions).items() if key != "label"}
        for phase, area, points, regions in rows
    ]


def _contact_rows(field: Field) -> list[dict[str, Any]]:
    """The boundary of each pair of phases in a field."""
    unit = "px" if field.pixel_size is None else "um"
    return [
        {"phase": one, "with": other, "length": float(field.contacts[i, j]), "unit": unit}
        for (i, one), (j, other) in combinations(enumerate(field.phases), 2)
    ]


def write_specimen(folder: Path, specimen: Specimen, *, force: bool = False) -> None:
    """Write the tables of a specimen: a line a phase and field, a line a phase, contacts."""
    with staged(folder, SPECIMEN_FILES, force=force) as aside:
        for name, rows, columns in (
            ("fields.csv", _phase_rows, ()),
            ("contacts.csv", _contact_rows, CONTACT_COLUMNS),  # where there is one phase: no row
        ):
            table = [{"field": each.name} | row for each in specimen.fields for row in rows(each)]
            write_table(aside / name, table, columns)
        measured = zip(specimen.phases, specimen.areas, specimen.points, strict=True)
        table = [
            {"phase": phase}
            | asdict(area)
            | {f"points_{key}": value for key, value in asdict(points).items() if key != "n"}
            for phase, area, points in measured
        ]
        write_table(aside / "phases.csv", table)


def class_summary(classes: Sequence[ClassRow]) -> list[dict[str, Any]]:
    """The table of classes, ready for JSON."""
    return [
        {
            "class": row.label,
            **({} if row.name is None else {"name": row.name}),
            "area_fraction": row.area_fraction,
            **({} if row.spread is None else {"spread": row.spread}),
            "mean_grey": row.mean_grey,
            "n_pixels": row.n_pixels,
            **({} if row.colour is None else {"colour": row.colour}),
        }
        for row in classes
    ]


def curve_summary(curve: dict[int, tuple[float, float]]) -> list[dict[str, Any]]:
    """F over the number of classes, ready for JSON and CSV."""
    return [
        {"n_classes": k, "F": mean, "F_std": None if math.isnan(spread) else spread}
        for k, (mean, spread) in curve.items()
    ]


def class_study_summary(study: ClassStudy) -> dict[str, Any]:
    """A study of the number of classes, ready for JSON."""
    names = {"F": "F", "F'": "F_prime", "Q": "Q"}
    numbers = []
    for i, k in enumerate(study.n_classes):
        row: dict[str, Any] = {
            "n_classes": k,
            "mean_found": study.mean_found[i],
            "runs": study.repeats[i],
        }
        for criterion, key in names.items():
            spread = study.spread[criterion][i]
            row[key] = study.mean[criterion][i]
            row[f"{key}_std"] = None if math.isnan(spread) else spread
            row[f"{key}_normalised"] = study.normalised[criterion][i]
        numbers.append(row)
    return {
        "best": study.best,
        "ranking": {names[criterion]: list(order) for criterion, order in study.ranking.items()},
        "numbers": numbers,
    }


def superpixel_study_summary(study: SuperpixelStudy) -> dict[str, Any]:
    """A map of F over compactness and number of superpixels, ready for JSON."""
    return {
        "best": {"compactness": study.best[0], "n_superpixels": study.best[1]},
        "pairs": [
            {
                "compactness": m,
                "n_superpixels": n,
                "F": float(study.mean_f[i, j]),
                "runs": int(study.repeats[i, j]),
            }
            for i, m in enumerate(study.compactness)
            for j, n in enumerate(study.n_superpixels)
        ],
    }


def write_class_study(folder: Path, study: ClassStudy) -> None:
    """Plot, table and summary of a study of the number of classes, beside its journal."""
    summary = class_study_summary(study)
    with staged(folder, ("criteria.png", "criteria.csv", "summary.json"), force=True) as aside:
        figure = criteria_figure(study.n_classes, study.mean, study.spread, study.normalised)
        save_figure(figure, aside / "criteria.png")
        write_table(aside / "criteria.csv", summary["numbers"])
        write_json(aside / "summary.json", summary)


def write_superpixel_study(folder: Path, study: SuperpixelStudy) -> None:
    """Plot, table and summary of a map of F, beside its journal."""
    summary = superpixel_study_summary(study)
    with staged(folder, ("map.png", "map.csv", "summary.json"), force=True) as aside:
        figure = contour_figure(study.compactness, study.n_superpixels, study.mean_f)
        save_figure(figure, aside / "map.png")
        write_table(aside / "map.csv", summary["pairs"])
        write_json(aside / "summary.json", summary)


def write_synthetic(folder: Path, made: SyntheticMicrograph) -> None:
    """Write a synthetic micrograph (8 bit), its truth and its fractions to an empty folder."""
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
