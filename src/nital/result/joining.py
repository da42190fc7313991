"""Joining: which fine classes are one class, for any number of classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nital.result.classes import TINY_FRACTION, from_dark_to_bright
from nital.result.criteria import Criteria, RegionStatistics, criteria_of
from nital.result.partitions import Partition, partitions

AREA_POWER = 0.5
"""Below 1, so that rare constituents keep a class longer than by their squared error alone."""

NEARLY = 0.05
"""Another joining is nearly as good if its squared error is larger by at most this fraction."""

ANOTHER = 0.05
"""It is another one, and not nearly the same, if this fraction of the area changes its class."""


@dataclass(frozen=True)
class Joining:
    """What fine classes are joined by to any number of classes."""

    centres: NDArray[np.float64]
    """(n, 2 channels): mean weighted features of each fine class and of its surroundings
    (`fast.labelling.CENTRE_COLUMNS`), by which fine classes are joined."""

    statistics: RegionStatistics
    """Of each fine class, 1..n, in the data in which they were found."""

    def numbers(self, n_classes: int) -> NDArray[np.int64]:
        """The class of each fine class, (n,), when they are joined to `n_classes`: 1..k.

        Their squared error is as small as `partitions` finds it, where each is weighted by the
        power `AREA_POWER` of its area. A tiny fine class has no part in that, and goes to the
        nearest class: a few odd pixels are not a constituent, however odd.
        """
        return self._classes_of(self._partitions(n_classes)[0].group)

    def other_numbers(self, n_classes: int) -> NDArray[np.int64] | None:
        """The classes as joined by another division that is nearly as good; None without any.

        Of those within `NEARLY` of the least squared error that are not nearly the same it is the
        best that was found.
        """
        best, *others = self._partitions(n_classes)
        areas = self.statistics.areas
        for other in others:
            if other.error > (1 + NEARLY) * best.error:
                break
            if moved_area(best.group, other.group, areas) > ANOTHER:
                return self._classes_of(other.group)
        return None

    def other_fractions(
        self, n_classes: int, class_of: NDArray[np.int64], areas: NDArray[np.floating]
    ) -> tuple[float, ...] | None:
        """Area fractions, from dark to bright, if joined in another way that is nearly as good.

        None if there is none, or if it is nearly the same in this micrograph.

        Parameters
        ----------
        n_classes : int
        class_of : (n,)
            The class of each fine class as they are joined: as by `numbers`, or as the vote of the
            views decided, which may be for the other way.
        areas : (n,)
            Of each fine class in a micrograph.
        """
        other = self.other_numbers(n_classes)
        if other is None:
            return None
        ways = (other, self.numbers(n_classes))
        moved, told = max(
            ((moved_area(class_of, way, areas), way) for way in ways), key=itemgetter(0)
        )
        return tuple(fractions_of(areas / areas.sum(), told).tolist()) if moved > ANOTHER else None

    def _partitions(self, n_classes: int) -> list[Partition]:
        areas = self.statistics.areas
        return partitions(self.centres, np.where(self._tiny, 0, areas**AREA_POWER), n_classes)

    @property
    def _tiny(self) -> NDArray[np.bool_]:
        areas = self.statistics.areas
        tiny: NDArray[np.bool_] = areas < TINY_FRACTION * areas.sum()
        return tiny

    def _classes_of(self, group: NDArray[np.int64]) -> NDArray[np.int64]:
        """The groups, numbered from dark to bright; tiny fine classes in the nearest."""
        areas, group = self.statistics.areas, group.copy()
        means = [
            np.average(self.centres[group == i], axis=0, weights=areas[group == i])
            for i in range(1, group.max() + 1)
        ]
        for place in np.flatnonzero(self._tiny & (areas > 0)):
            distance = ((np.stack(means) - self.centres[place]) ** 2).sum(axis=1)
            group[place] = 1 + int(distance.argmin())
        joined = self.statistics.joined(np.maximum(group, 1))  # empty classes add nothing to 1
        return from_dark_to_bright(joined)[group]

    def criteria(self, n_classes: int) -> Criteria:
        """F, F' and Q of the classes when joined to `n_classes`, with each class a region."""
        return criteria_of(self.statistics.joined(self.numbers(n_classes)))

    def halves(self, members: Sequence[int]) -> NDArray[np.int64]:
        """Split a class of these fine classes, numbered from 1, in two: 1 or 2 for each.

        A half may be of any size: a person who asks for it wants to see it.
        """
        index = np.asarray(members) - 1
        weights = self.statistics.areas[index] ** AREA_POWER
        return partitions(self.centres[index], weights, 2)[0].group


def moved_area(
    one: NDArray[np.int64], other: NDArray[np.int64], areas: NDArray[np.floating]
) -> float:
    """Fraction of the area whose class differs between two joinings, the classes being matched.

    Parameters
    ----------
    one, other : (n,)
        The class of each fine class, from 0.
    areas : (n,)
        Of each fine class.
    """
    n = 1 + int(max(one.max(), other.max()))
    shared = np.zeros((n, n))
    np.add.at(shared, (one, other), areas)
    same = shared[linear_sum_assignment(shared, maximize=True)].sum()
    return float(1 - same / areas.sum())


def fractions_of(shares: NDArray[np.float64], class_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Area fractions of classes, (k,), or in each view, (views, k).

    Parameters
    ----------
    shares : (n,) or (views, n)
        Area fractions of fine classes, such as `FineClasses.shares`.
    class_of : (n,)
        The class of each fine class, 1 to k.
    """
    member = class_of[:, np.newaxis] == np.arange(1, class_of.max() + 1)
    fractions: NDArray[np.float64] = shares @ member
    return fractions
