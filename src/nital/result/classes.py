"""Classes: their order from dark to bright, and their table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.image.micrograph import LUMINANCE
from nital.result.criteria import RegionStatistics

COVERAGE = 2.0
"""Expanded uncertainty over standard deviation (Guide to the Expression of Uncertainty in
Measurement)."""

TINY_FRACTION = 0.001
"""A class with a smaller area fraction is hardly a constituent."""


@dataclass(frozen=True)
class ClassRow:
    """One row of the table of classes."""

    label: int
    """Its number in the label map, from 1."""

    n_pixels: int
    area_fraction: float
    """Fraction of the pixels that are not excluded, 0 to 1."""

    mean_grey: float | None
    """Mean luminance, 0 (black) to 255 (white); None for a class of a model that is absent."""

    uncertainty: float | None = None
    """Expanded uncertainty of the area fraction from how the picture was taken, 0 to 1
    (`expanded_uncertainty` of the disturbed views, or of the repeats of paper mode). None for a
    single one."""

    name: str | None = None
    """Name given by a person, such as `pearlite`; classes with the same name are one phase."""

    colour: str | None = None
    """Such as `#0072b2`; None: that of its number in the palette."""


def expanded_uncertainty(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """`COVERAGE` times the standard deviation over two or more rows: (views, k) -> (k,)."""
    expanded: NDArray[np.float64] = COVERAGE * fractions.std(axis=0, ddof=1)
    return expanded


def from_dark_to_bright(classes: RegionStatistics) -> NDArray[np.int64]:
    """Renumber classes 1..n: 1 to k from dark to bright for those in use, 0 for the others.

    Returns (n + 1,), int64; the first entry is that of label 0. Classes of equal mean keep the
    order of their numbers.
    """
    live = np.flatnonzero(classes.areas > 0)
    number = np.zeros(len(classes.areas) + 1, np.int64)
    order = np.argsort(classes.means[live] @ LUMINANCE, kind="stable")
    number[live[order] + 1] = np.arange(1, len(live) + 1)
    return number


def tabulate_classes(
    classes: RegionStatistics,
    uncertainty: NDArray[np.float64] | None = None,
    *,
    absent: bool = False,
) -> tuple[ClassRow, ...]:
    """Area, its uncertainty (k,) and mean grey level of each class in use, and of the others too if
    `absent`."""
    total = classes.areas.sum()
    return tuple(
        ClassRow(
            int(number + 1),
            int(area),
            float(area / total),
            float(classes.means[number] @ LUMINANCE) if area else None,
            None if uncertainty is None else float(uncertainty[number]),
        )
        for number, area in enumerate(classes.areas)
        if area or absent
    )
