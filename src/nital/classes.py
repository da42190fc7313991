"""Classes: how many become few, their order from the darkest to the brightest, their table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.criteria import RegionStatistics
from nital.micrograph import LUMINANCE

TINY_FRACTION = 0.001
"""A class with a smaller share of the area is hardly a constituent."""


@dataclass(frozen=True)
class ClassRow:
    """One row of the table of classes."""

    label: int
    """Its number in the label map, from 1."""

    n_pixels: int
    area_fraction: float
    """Share of the pixels that are not excluded, 0 to 1."""

    mean_grey: float
    """Mean luminance, 0 (black) to 255 (white)."""


def order_labels(
    raw: NDArray[np.int64], grey: NDArray[np.float32], excluded: NDArray[np.bool_]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Number the classes of a label map 1 to k from the darkest to the brightest.

    Parameters
    ----------
    raw : (rows, cols), int, 0 or more
        Any numbering, with gaps or not.
    grey : (rows, cols), float
        Grey level by which to order; classes of equal mean keep the order of their numbers.
    excluded : (rows, cols), bool
        Pixels that get the label 0.

    Returns
    -------
    (rows, cols), uint8, or uint16 for more than 255 classes
    """
    found, index = np.unique(raw[~excluded], return_inverse=True)
    means = np.bincount(index, weights=grey[~excluded]) / np.bincount(index)
    number = np.empty(len(found), np.int64)
    number[np.argsort(means, kind="stable")] = np.arange(1, len(found) + 1)
    labels = np.zeros(raw.shape, np.uint8 if len(found) <= np.iinfo(np.uint8).max else np.uint16)
    labels[~excluded] = number[index]
    return labels


def from_dark_to_bright(classes: RegionStatistics) -> NDArray[np.int64]:
    """Numbers for classes 1..n: 1 to k from the darkest of those in use; 0 for the others.

    (n + 1,), int64; the first is that of 0. Classes of equal mean keep the order of their numbers.
    """
    live = np.flatnonzero(classes.areas > 0)
    number = np.zeros(len(classes.areas) + 1, np.int64)
    order = np.argsort(classes.means[live] @ LUMINANCE, kind="stable")
    number[live[order] + 1] = np.arange(1, len(live) + 1)
    return number


def join_classes(fine: RegionStatistics, n_classes: int) -> NDArray[np.int64]:
    """Join fine classes, two at a time, until `n_classes` are left.

    Each time the two are joined whose union raises sum_i e_i^2 / sqrt(A_i) least: of all maps with
    one class fewer, the one with the lowest F (`criteria`). As long as a class has less than
    `TINY_FRACTION` of the area, the smallest is one of the two: F would rather join two phases than
    give up a class of a few odd pixels.

    Parameters
    ----------
    fine : RegionStatistics
        Of the fine classes 1..n; numbers without a pixel are passed over.
    n_classes : int
        How many to leave; there may be fewer to begin with.

    Returns
    -------
    (n + 1,), int64
        The class of each fine class, 1..k from the darkest to the brightest; 0 for 0 and for
        numbers without a pixel.
    """
    live = np.flatnonzero(fine.areas > 0)
    groups = [[number] for number in live]
    areas, means, errors = fine.areas[live], fine.means[live], fine.errors[live]
    while len(groups) > n_classes:
        smallest = int(np.argmin(areas))
        tiny = areas[smallest] < TINY_FRACTION * areas.sum()
        i, j = _cheapest_union(areas, means, errors, smallest if tiny else None)
        area = areas[i] + areas[j]
        errors[i] = _error_of_union(areas, means, errors, i, j)
        means[i] = (areas[i] * means[i] + areas[j] * means[j]) / area
        areas[i] = area
        groups[i] += groups.pop(j)
        areas, means, errors = (np.delete(each, j, axis=0) for each in (areas, means, errors))
    classes = np.zeros(len(fine.areas) + 1, np.int64)
    number = from_dark_to_bright(RegionStatistics(areas, means, errors))
    for group, place in zip(groups, number[1:], strict=True):
        classes[np.array(group) + 1] = place
    return classes


def _cheapest_union(
    areas: NDArray[np.float64],
    means: NDArray[np.float64],
    errors: NDArray[np.float64],
    of: int | None,
) -> tuple[int, int]:
    """The pair i < j, with `of` among them, whose union raises sum e^2 / sqrt(A) least."""
    i, j = np.triu_indices(len(areas), 1)
    if of is not None:
        concerned = (i == of) | (j == of)
        i, j = i[concerned], j[concerned]
    error = _error_of_union(areas, means, errors, i, j)
    alone = errors / np.sqrt(areas)
    best = int(np.argmin(error / np.sqrt(areas[i] + areas[j]) - alone[i] - alone[j]))
    return int(i[best]), int(j[best])


def _error_of_union(
    areas: NDArray[np.float64],
    means: NDArray[np.float64],
    errors: NDArray[np.float64],
    i: Any,
    j: Any,
) -> Any:
    """e^2 of the union of classes i and j; numbers, or arrays of as many."""
    distance = ((means[i] - means[j]) ** 2).sum(axis=-1)
    return errors[i] + errors[j] + areas[i] * areas[j] / (areas[i] + areas[j]) * distance


def tabulate_classes(classes: RegionStatistics) -> tuple[ClassRow, ...]:
    """Area and mean grey level of each class in use, from their statistics."""
    total = classes.areas.sum()
    return tuple(
        ClassRow(
            int(number + 1),
            int(classes.areas[number]),
            float(classes.areas[number] / total),
            float(classes.means[number] @ LUMINANCE),
        )
        for number in np.flatnonzero(classes.areas)
    )
