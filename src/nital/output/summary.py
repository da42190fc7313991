"""Summaries of results, for JSON and for tables."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.image.light import EVEN
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.output.render import hex_of
from nital.result.agreement import Agreement
from nital.result.classes import ClassRow
from nital.result.phases import PhaseMap
from nital.result.segmentation import Segmentation
from nital.storage.versions import versions


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
    """Summarise a result, ready for JSON. `docs/files.md` explains each key.

    `model`: the model whose classes these are (`KnownModel.summary`). `name`: name of the field, if
    it is not that of its folder.
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
        "settings": segmentation.settings.as_dict(),
        "seconds": segmentation.seconds,
        "versions": versions(),
    }
    if name is not None:
        summary["name"] = name
    if segmentation.stopped:
        summary["stopped"] = True
    if segmentation.mean_agreement is not None:
        summary["mean_agreement"] = segmentation.mean_agreement
    if segmentation.views:
        shape, size = segmentation.views[0].labels.shape, micrograph.pixel_size
        summary["view"] = {
            "shape": list(shape),
            "pixel_size_um": None if size is None else size * micrograph.shape[0] / shape[0],
        }
    if segmentation.light != EVEN:
        summary["light"] = {
            "depth": segmentation.light.depth,
            "coefficients": list(segmentation.light.coefficients),
        }
    if segmentation.likeness is not None:
        summary["model"] = model
        summary["likeness"] = asdict(segmentation.likeness)
    if segmentation.curve is not None:
        summary["n_classes_by_F"] = curve_summary(segmentation.curve)
        summary["n_classes_as_good"] = list(segmentation.as_good)
    if segmentation.other_fractions is not None:
        summary["other_fractions"] = list(segmentation.other_fractions)
    summary |= segmentation.details.summary()
    if agreement is not None:
        summary["agreement"] = agreement_summary(agreement)
    return summary


def agreement_summary(agreement: Agreement) -> dict[str, Any]:
    """Return the agreement with a reference, ready for JSON."""
    return {
        "mean_iou": agreement.mean_iou,
        "accuracy": agreement.accuracy,
        "ari": agreement.ari,
        "n_pixels": agreement.n_pixels,
        "unmatched": {str(label): share for label, share in agreement.unmatched.items()},
        "classes": [asdict(row) | {"difference": row.difference} for row in agreement.classes],
    }


def class_rows(
    classes: Sequence[ClassRow], colours: NDArray[np.uint8], pixel_size: float | None
) -> list[dict[str, Any]]:
    """Return the table of classes, ready for CSV; areas in µm² where the pixel size is known."""
    return [
        {
            "class": row.label,
            **({} if all(each.name is None for each in classes) else {"name": row.name}),
            "area_fraction": f"{row.area_fraction:.6f}",
            **({} if row.uncertainty is None else {"uncertainty": f"{row.uncertainty:.6f}"}),
            "n_pixels": row.n_pixels,
            "area_um2": None if pixel_size is None else f"{row.n_pixels * pixel_size**2:.6g}",
            "mean_grey": None if row.mean_grey is None else f"{row.mean_grey:.3f}",
            "colour": hex_of(colour),
        }
        for row, colour in zip(classes, colours, strict=True)
    ]


def phase_summary(phases: PhaseMap, micrograph: Micrograph) -> dict[str, Any]:
    """Return phases and their fine classes, ready for JSON."""
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
                **({} if row.uncertainty is None else {"uncertainty": row.uncertainty}),
                "n_pixels": row.n_pixels,
                "mean_grey": row.mean_grey,
            }
            for name, members, row in rows
        ],
        "criteria": asdict(phases.criteria),
        "versions": versions(),
    }


def class_summary(classes: Sequence[ClassRow]) -> list[dict[str, Any]]:
    """Return the table of classes, ready for JSON."""
    return [
        {
            "class": row.label,
            **({} if row.name is None else {"name": row.name}),
            "area_fraction": row.area_fraction,
            **({} if row.uncertainty is None else {"uncertainty": row.uncertainty}),
            "mean_grey": row.mean_grey,
            "n_pixels": row.n_pixels,
            **({} if row.colour is None else {"colour": row.colour}),
        }
        for row in classes
    ]


def curve_summary(curve: dict[int, tuple[float, float]]) -> list[dict[str, Any]]:
    """Return F over the number of classes, ready for JSON and CSV."""
    return [
        {"n_classes": k, "F": mean, "F_std": None if math.isnan(spread) else spread}
        for k, (mean, spread) in curve.items()
    ]
