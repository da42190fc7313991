"""Fine classes: the classes of a micrograph before joining, and the automatic number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.image.light import EVEN, Light
from nital.result.agreement import table_of
from nital.result.classes import (
    ClassRow,
    ClassTree,
    tabulate_classes,
)
from nital.result.criteria import RegionStatistics

AUTO_NUMBERS = range(2, 11)
"""Numbers of classes that `auto` chooses from: those that the paper compares."""


@dataclass(frozen=True)
class FineClasses:
    """Classes of a micrograph before joining: up to `fast.settings.MAX_CLASSES`."""

    labels: NDArray[np.unsignedinteger]
    """(rows, cols): 1..n from the darkest to the brightest fine class, 0 = excluded."""

    statistics: RegionStatistics
    """Of each fine class, 1..n, in this micrograph."""

    tree: ClassTree
    """The tree by which they are joined; areas are those here, or in what a model was fitted to."""

    stopped: bool = False
    """Whether the labelling was stopped before it was done."""

    shares: NDArray[np.float64] | None = None
    """(views, n): area fraction of each in each disturbed view, if they are those of a model; None
    if the labelling was stopped, and for a micrograph that is not looked at as a whole."""

    light: Light = EVEN
    """The light that was removed first."""

    @property
    def classes(self) -> tuple[ClassRow, ...]:
        """Area fraction and mean grey level of each."""
        return tabulate_classes(self.statistics, absent=True)

    def classes_in(self, labels: NDArray[np.unsignedinteger]) -> tuple[int, ...]:
        """The class of most pixels of each fine class in another map; 0 if they have none."""
        n = max(len(self.statistics.areas), int(labels.max())) + 1
        table = np.zeros((n, n), np.int64)
        for fine, joined in zip(self.labels, labels, strict=True):  # row by row: they may be large
            table += table_of(fine, joined, n)
        table = table[1 : len(self.statistics.areas) + 1, 1:]
        return tuple(np.where(table.any(axis=1), table.argmax(axis=1) + 1, 0).tolist())

    def join(self, n_classes: int, out: NDArray[np.unsignedinteger]) -> RegionStatistics:
        """Write the classes to `out`, which may be `labels`; return their statistics.

        If there are fewer fine classes than asked for, each becomes a class.
        """
        number = self.tree.numbers(n_classes)
        renumber(self.labels, np.append(0, number), out)
        return self.statistics.joined(number)


def fractions_of(shares: NDArray[np.float64], class_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Area fractions of classes in each view, (views, k).

    Parameters
    ----------
    shares : (views, n)
        As `FineClasses.shares`.
    class_of : (n,)
        The class of each fine class, 1 to k.
    """
    member = class_of[:, np.newaxis] == np.arange(1, class_of.max() + 1)
    fractions: NDArray[np.float64] = shares @ member
    return fractions


def renumber(
    labels: NDArray[np.unsignedinteger],
    number: NDArray[np.int64],
    out: NDArray[np.unsignedinteger],
) -> None:
    """Write `number[labels]` to `out`, which may be `labels`, row by row: a copy might not fit."""
    table = number.astype(out.dtype)
    for row, found in zip(out, labels, strict=True):
        row[:] = table[found]


def curve_of(trees: Sequence[ClassTree]) -> dict[int, tuple[float, float]]:
    """Mean and standard deviation of F over the views, for each number of classes."""
    values = {k: [tree.criteria(k).F for tree in trees] for k in AUTO_NUMBERS}
    several = len(trees) > 1
    return {
        k: (float(np.mean(f)), float(np.std(f, ddof=1)) if several else math.nan)
        for k, f in values.items()
    }


def lowest(curve: dict[int, tuple[float, float]]) -> int:
    """The number of classes with the lowest mean F."""
    return min(curve, key=lambda k: curve[k][0])
