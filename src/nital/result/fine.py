"""Fine classes: the classes of a micrograph before joining, and the automatic number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.image.light import EVEN, Light
from nital.result.agreement import table_of
from nital.result.classes import ClassRow, expanded_uncertainty, tabulate_classes
from nital.result.criteria import RegionStatistics
from nital.result.joining import Joining, fractions_of

AUTO_NUMBERS = range(2, 11)
"""Numbers of classes that `auto` chooses from: those that the paper compares."""


@dataclass(frozen=True)
class FineClasses:
    """Classes of a micrograph before joining: up to `fast.settings.MAX_CLASSES`."""

    labels: NDArray[np.unsignedinteger]
    """(rows, cols): 1..n from the darkest to the brightest fine class, 0 = excluded."""

    statistics: RegionStatistics
    """Of each fine class, 1..n, in this micrograph."""

    joining: Joining
    """By which they are joined; areas are those here, or in what a model was fitted to."""

    stopped: bool = False
    """Whether the labelling was stopped before it was done."""

    shares: NDArray[np.float64] | None = None
    """(views, n): area fraction of each in each disturbed view, if these have no fine classes of
    their own: with a model, and in a large image. None if the labelling was stopped."""

    light: Light = EVEN
    """The light that was removed first."""

    reach: int = 0
    """As for `place_boundaries`, by which those of classes are placed; 0: they stay."""

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

    def other_fractions(
        self, n_classes: int, class_of: NDArray[np.int64]
    ) -> tuple[float, ...] | None:
        """As `Joining.other_fractions`, in this micrograph; None if the labelling was stopped."""
        if self.stopped:
            return None
        return self.joining.other_fractions(n_classes, class_of, self.statistics.areas)

    def uncertainty_of(self, class_of: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Expanded uncertainty of the area fraction of each class, (k,); None without `shares`.

        Parameters
        ----------
        class_of : (n,)
            The class of each fine class, 1 to k.
        """
        if self.shares is None:
            return None
        return expanded_uncertainty(fractions_of(self.shares, class_of))

    def join(self, n_classes: int, out: NDArray[np.unsignedinteger]) -> RegionStatistics:
        """Write the classes to `out`, which may be `labels`; return their statistics.

        If there are fewer fine classes than asked for, each becomes a class.
        """
        number = self.joining.numbers(n_classes)
        renumber(self.labels, np.append(0, number), out)
        return self.statistics.joined(number)


def renumber(
    labels: NDArray[np.unsignedinteger],
    number: NDArray[np.int64],
    out: NDArray[np.unsignedinteger],
) -> None:
    """Write `number[labels]` to `out`, which may be `labels`, row by row: a copy might not fit."""
    table = number.astype(out.dtype)
    for row, found in zip(out, labels, strict=True):
        row[:] = table[found]


def f_values(joinings: Sequence[Joining]) -> dict[int, NDArray[np.float64]]:
    """F of each number of classes that `auto` chooses from, in each view: (views,)."""
    return {k: np.array([each.criteria(k).F for each in joinings]) for k in AUTO_NUMBERS}


def curve_of(values: Mapping[int, NDArray[np.float64]]) -> dict[int, tuple[float, float]]:
    """Mean and standard deviation of F over the views, for each number of classes."""
    return {
        k: (float(f.mean()), float(f.std(ddof=1)) if len(f) > 1 else math.nan)
        for k, f in values.items()
    }


def lowest(curve: Mapping[int, tuple[float, float]]) -> int:
    """The number of classes with the lowest mean F."""
    return min(curve, key=lambda k: curve[k][0])


def as_good_as(values: Mapping[int, NDArray[np.float64]], n_classes: int) -> tuple[int, ...]:
    """The other numbers of classes whose F the views don't tell from that of `n_classes`.

    On average it is higher by no more than the standard deviation, over the views, of the
    difference; so is that of each number between the two. None for a single view.
    """
    if len(values[n_classes]) < 2:
        return ()
    found = []
    for numbers in (range(n_classes - 1, 1, -1), range(n_classes + 1, max(values) + 1)):
        for k in numbers:
            apart = values[k] - values[n_classes]
            if not apart.any() or apart.mean() > apart.std(ddof=1):
                break  # equal are numbers that the fine classes do not suffice for
            found.append(k)
    return tuple(sorted(found))
