"""Classes: joining them, ordering them from dark to bright, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.image.micrograph import LUMINANCE
from nital.result.criteria import Criteria, RegionStatistics, criteria_of

TINY_FRACTION = 0.001
"""A class with a smaller area fraction is hardly a constituent."""

AREA_POWER = 0.7
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

    spread: float | None = None
    """Standard deviation of the area fraction over repeats with other seeds, if there are
    several."""

    name: str | None = None
    """Name given by a person, such as `pearlite`; classes with the same name are one phase."""

    colour: str | None = None
    """Such as `#0072b2`; None: that of its number in the palette."""


@dataclass(frozen=True)
class ClassTree:
    """Fine classes, and the tree by which they are joined."""

    centres: NDArray[np.float64]
    """(n, 2 channels): mean weighted features of each fine class and of its surroundings
    (`fast.CENTRE_COLUMNS`), by which fine classes are joined."""

    statistics: RegionStatistics
    """Of each fine class, 1..n, in the data that the tree was made from."""

    def numbers(self, n_classes: int) -> NDArray[np.int64]:
        """The class of each fine class, (n,), when they are joined to `n_classes`: 1..k."""
        return number_classes(self.centres, self.statistics, n_classes)

    def criteria(self, n_classes: int) -> Criteria:
        """F, F' and Q of the classes of that cut, with each class a region."""
        return criteria_of(self.statistics.joined(self.numbers(n_classes)))

    def halves(self, members: Sequence[int]) -> NDArray[np.int64]:
        """Split a class of these fine classes, numbered from 1, by the tree: 1 or 2 for each.

        A half may be of any size: a person who asks for it wants to see it.
        """
        index = np.asarray(members) - 1
        return join_classes(self.centres[index], self.statistics.areas[index], 2, least=0)


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


def join_classes(
    centres: NDArray[np.floating],
    areas: NDArray[np.floating],
    n_classes: int,
    *,
    least: float = TINY_FRACTION,
) -> NDArray[np.int64]:
    """Join classes, two at a time, until `n_classes` are left and none of them is tiny.

    Each step joins the two classes whose union adds least to the squared error of the features
    (Ward 1963), where each class is weighted by the power `AREA_POWER` of its area. As long as a
    class has less than `least` of the area, the smallest is one of the two: a few odd pixels are
    not a constituent, however odd.

    Parameters
    ----------
    centres : (n, channels), float
        The mean features of each class.
    areas : (n,), float
        In pixels; classes without pixels are ignored.
    n_classes : int
        Number of classes to leave; fewer are left if there are fewer at first or one would be tiny.
    least : float
        Area fraction, 0 to 1, below which a class is tiny.

    Returns
    -------
    (n,), int64
        The joined class of each class, from 1; 0 for those without pixels.
    """
    live = np.flatnonzero(areas > 0)
    group = np.zeros(len(areas), np.int64)
    group[live] = np.arange(1, len(live) + 1)
    means, sizes = centres[live].astype(np.float64), areas[live].astype(np.float64)
    while len(sizes) > 1:
        smallest = int(np.argmin(sizes))
        tiny = sizes[smallest] < least * sizes.sum()
        if len(sizes) <= n_classes and not tiny:
            break
        i, j = _cheapest_union(means, sizes, smallest if tiny else None)
        size = sizes[i] + sizes[j]
        means[i] = (sizes[i] * means[i] + sizes[j] * means[j]) / size
        sizes[i] = size
        means, sizes = np.delete(means, j, axis=0), np.delete(sizes, j)
        group[group == j + 1] = i + 1
        group[group > j + 1] -= 1
    return group


def number_classes(
    centres: NDArray[np.floating], statistics: RegionStatistics, n_classes: int
) -> NDArray[np.int64]:
    """Join classes by `join_classes`, and number them 1 to k from the darkest to the brightest.

    Returns (n,), int64; 0 for classes without pixels.
    """
    group = join_classes(centres, statistics.areas, n_classes)
    joined = statistics.joined(np.maximum(group, 1))  # empty classes add nothing to 1
    return from_dark_to_bright(joined)[group]


def _cheapest_union(
    means: NDArray[np.float64], areas: NDArray[np.float64], of: int | None
) -> tuple[int, int]:
    """The pair i < j, including `of` if given, whose union costs least."""
    i, j = np.triu_indices(len(areas), 1)
    if of is not None:
        concerned = (i == of) | (j == of)
        i, j = i[concerned], j[concerned]
    weight = areas**AREA_POWER
    cost = weight[i] * weight[j] / (weight[i] + weight[j])
    best = int(np.argmin(cost * ((means[i] - means[j]) ** 2).sum(axis=1)))
    return int(i[best]), int(j[best])


def tabulate_classes(classes: RegionStatistics, *, absent: bool = False) -> tuple[ClassRow, ...]:
    """Area and mean grey level of each class in use, and of the others too if `absent`."""
    total = classes.areas.sum()
    return tuple(
        ClassRow(
            int(number + 1),
            int(area),
            float(area / total),
            float(classes.means[number] @ LUMINANCE) if area else None,
        )
        for number, area in enumerate(classes.areas)
        if area or absent
    )
