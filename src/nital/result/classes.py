"""Classes: joining them, ordering them from dark to bright, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.image.micrograph import LUMINANCE
from nital.result.criteria import Criteria, RegionStatistics, criteria_of

COVERAGE = 2.0
"""Expanded uncertainty over standard deviation (Guide to the Expression of Uncertainty in
Measurement)."""

_MOST_ROUNDS = 30

TINY_FRACTION = 0.001
"""A class with a smaller area fraction is hardly a constituent."""

AREA_POWER = 0.5
"""Below 1, so that rare constituents keep a class longer than by their squared error alone."""


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


@dataclass(frozen=True)
class ClassTree:
    """Fine classes, and the tree by which they are joined."""

    centres: NDArray[np.float64]
    """(n, 2 channels): mean weighted features of each fine class and of its surroundings
    (`fast.CENTRE_COLUMNS`), by which fine classes are joined."""

    statistics: RegionStatistics
    """Of each fine class, 1..n, in the data that the tree was made from."""

    def numbers(self, n_classes: int) -> NDArray[np.int64]:
        """The class of each fine class, (n,), when they are joined to `n_classes`: 1..k.

        Their squared error is least (`partition`), where each is weighted by the power `AREA_POWER`
        of its area. A tiny fine class has no part in that, and goes to the nearest class: a few odd
        pixels are not a constituent, however odd.
        """
        areas = self.statistics.areas
        tiny = areas < TINY_FRACTION * areas.sum()
        group = partition(self.centres, np.where(tiny, 0, areas**AREA_POWER), n_classes)
        means = [
            np.average(self.centres[group == i], axis=0, weights=areas[group == i])
            for i in range(1, group.max() + 1)
        ]
        for place in np.flatnonzero(tiny & (areas > 0)):
            distance = ((np.stack(means) - self.centres[place]) ** 2).sum(axis=1)
            group[place] = 1 + int(distance.argmin())
        joined = self.statistics.joined(np.maximum(group, 1))  # empty classes add nothing to 1
        return from_dark_to_bright(joined)[group]

    def criteria(self, n_classes: int) -> Criteria:
        """F, F' and Q of the classes of that cut, with each class a region."""
        return criteria_of(self.statistics.joined(self.numbers(n_classes)))

    def halves(self, members: Sequence[int]) -> NDArray[np.int64]:
        """Split a class of these fine classes, numbered from 1, by the tree: 1 or 2 for each.

        A half may be of any size: a person who asks for it wants to see it.
        """
        index = np.asarray(members) - 1
        return partition(self.centres[index], self.statistics.areas[index] ** AREA_POWER, 2)


def order_labels(
    raw: NDArray[np.int64], grey: NDArray[np.float32], excluded: NDArray[np.bool_]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Number the classes of a label map 1 to k from the darkest to the brightest.

    Parameters
    ----------
    raw : (rows, cols), int, 0 or more
        Any numbering, with or without gaps.
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
    """Renumber classes 1..n: 1 to k from dark to bright for those in use, 0 for the others.

    Returns (n + 1,), int64; the first entry is that of label 0. Classes of equal mean keep the
    order of their numbers.
    """
    live = np.flatnonzero(classes.areas > 0)
    number = np.zeros(len(classes.areas) + 1, np.int64)
    order = np.argsort(classes.means[live] @ LUMINANCE, kind="stable")
    number[live[order] + 1] = np.arange(1, len(live) + 1)
    return number


def partition(
    centres: NDArray[np.floating], weights: NDArray[np.floating], n_groups: int
) -> NDArray[np.int64]:
    """Divide points into groups so that their squared error is least, as far as can be found.

    Global k-means (Likas, Vlassis and Verbeek 2003): the best centres of one group less, and each
    of the points in turn as one more centre, are the starts of k-means (Lloyd 1982), of which the
    best is kept. Nothing is left to chance, and little to the order in which points are joined.

    Parameters
    ----------
    centres : (n, channels), float
    weights : (n,), float
        0 for points to be ignored.
    n_groups : int
        Number of groups; there are fewer if there are fewer different points.

    Returns
    -------
    (n,), int64
        The group of each point, from 1; 0 for those ignored.
    """
    live = np.flatnonzero(weights > 0)
    points, share = centres[live].astype(np.float64), weights[live].astype(np.float64)
    points = points - np.average(points, axis=0, weights=share)
    group = np.zeros(len(live), np.int64)
    found = np.zeros((1, points.shape[1]))
    for n in range(2, min(n_groups, len(live)) + 1):
        starts = np.concatenate(
            [np.repeat(found[np.newaxis], len(points), axis=0), points[:, np.newaxis]], axis=1
        )
        nearest, error = _k_means(points, share, starts)
        best = int(error.argmin())
        if not np.isfinite(error[best]):
            break
        group = nearest[best]
        found = _means(points, share, group[np.newaxis], n)[0][0]
    number = np.zeros(len(centres), np.int64)
    number[live] = group + 1
    return number


def _k_means(
    points: NDArray[np.float64], weights: NDArray[np.float64], starts: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Move centres, (starts, k, channels), to the means of their nearest points until they stay.

    Returns the nearest centre of each point, (starts, n), and the weighted squared error, which is
    infinite for starts that lose a centre.
    """
    centres, before = starts, np.zeros((0, 0), np.int64)
    for _ in range(_MOST_ROUNDS):
        closeness = points @ centres.transpose(0, 2, 1) - 0.5 * (centres**2).sum(axis=2)[:, None]
        nearest = closeness.argmax(axis=2)
        if np.array_equal(nearest, before):
            break
        before = nearest
        centres, sizes = _means(points, weights, nearest, starts.shape[1])
    chosen = np.take_along_axis(centres, nearest[:, :, np.newaxis], axis=1)
    error = (weights * ((points - chosen) ** 2).sum(axis=2)).sum(axis=1)
    return nearest, np.where((sizes > 0).all(axis=1), error, np.inf)


def _means(
    points: NDArray[np.float64], weights: NDArray[np.float64], group: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted means of groups 0 to n - 1, (starts, n, channels), and their weights."""
    member = (group[:, np.newaxis] == np.arange(n)[:, np.newaxis]) * weights
    sizes = member.sum(axis=2)
    return (member @ points) / np.maximum(sizes, 1e-300)[:, :, np.newaxis], sizes


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
