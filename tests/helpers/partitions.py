"""Partitions of points: their error, and what they have in common."""

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Groups = NDArray[np.int64]


def error_of(centres: Reals, weights: Reals, group: Groups) -> float:
    """The weighted squared error of the groups from 1."""
    total = 0.0
    for label in np.unique(group[group > 0]):
        own, share = centres[group == label], weights[group == label]
        total += float(share @ ((own - np.average(own, axis=0, weights=share)) ** 2).sum(axis=1))
    return total


def as_sets(group: Groups) -> set[frozenset[int]]:
    """The members of each group."""
    return {frozenset(np.flatnonzero(group == each).tolist()) for each in set(group[group > 0])}
