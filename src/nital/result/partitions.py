"""Partitions: points divided into groups so that their squared error is least."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST_ROUNDS = 30


@dataclass(frozen=True)
class Partition:
    """A division of points into groups."""

    group: NDArray[np.int64]
    """(n,): the group of each point, from 1; 0 for those ignored."""

    error: float
    """Weighted squared distances of the points from the means of their groups."""


def partitions(
    centres: NDArray[np.floating], weights: NDArray[np.floating], n_groups: int
) -> list[Partition]:
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
    list of Partition
        What the last starts lead to, from the least squared error on.
    """
    live = np.flatnonzero(weights > 0)
    if not len(live):
        return [Partition(np.zeros(len(centres), np.int64), 0.0)]
    points, share = centres[live].astype(np.float64), weights[live].astype(np.float64)
    points = points - np.average(points, axis=0, weights=share)
    groups = np.zeros((1, len(live)), np.int64)
    errors = np.array([(share * (points**2).sum(axis=1)).sum()])
    found = np.zeros((1, points.shape[1]))
    for n in range(2, min(n_groups, len(live)) + 1):
        starts = np.concatenate(
            [np.repeat(found[np.newaxis], len(points), axis=0), points[:, np.newaxis]], axis=1
        )
        nearest, error = _k_means(points, share, starts)
        order = np.argsort(error, kind="stable")
        order = order[np.isfinite(error[order])]
        if not len(order):
            break
        groups, errors = nearest[order], error[order]
        found = _means(points, share, groups[:1], n)[0][0]
    number = np.zeros((len(groups), len(centres)), np.int64)
    number[:, live] = groups + 1
    return [Partition(group, float(error)) for group, error in zip(number, errors, strict=True)]


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
