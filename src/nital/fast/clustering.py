"""Clustering: centres of clusters in a sample, and the cluster of every pixel.

The clusters follow from the values alone: neither chance nor the order of the values has a part in
them, so that a mirrored micrograph has the mirrored clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nital.fast.settings import MAX_CLASSES

LEAST_ERROR = 1e-7
"""A cluster is not divided if its squared error is below this fraction of that of all values."""

_MOST_ROUNDS = 20
_N_BINS = 1024
_ROWS_AT_ONCE = 2**15

Floats = NDArray[np.float32]
OnDivision = Callable[[Floats], None]


def find_centres(values: Floats, on_division: OnDivision | None = None) -> Floats:
    """Find centres by dividing the cluster of the largest squared error, again and again.

    It is divided across its first principal axis (Boley 1998), halfway between the means of the two
    parts.

    Parameters
    ----------
    values : (n, channels), float32
    on_division : callable, optional
        Called with the current centres after each division.

    Returns
    -------
    (k, channels), float32
        `MAX_CLASSES` centres; fewer if there are fewer different values.
    """
    mean = _mean(values).astype(np.float32)
    clusters = [_Cluster.of(values - mean)]  # sums of large values would lose precision
    least = LEAST_ERROR * clusters[0].error
    while len(clusters) < MAX_CLASSES:
        place = max(range(len(clusters)), key=lambda i: clusters[i].error)
        if clusters[place].error <= least:
            break
        parts = clusters[place].divided()
        if parts is None:
            clusters[place] = replace(clusters[place], error=0.0)
            continue
        clusters[place : place + 1] = parts
        if on_division is not None:
            on_division(np.stack([each.centre for each in clusters]) + mean)
    found: Floats = np.stack([each.centre for each in clusters]) + mean
    return found


@dataclass(frozen=True)
class _Cluster:
    values: Floats
    """(n, channels)"""

    centre: Floats
    axis: Floats
    """The first principal axis, of length 1."""

    error: float
    """Sum of the squared distances from the centre."""

    @classmethod
    def of(cls, values: Floats) -> "_Cluster":
        mean = _mean(values)
        scatter = (values.T @ values).astype(np.float64) - len(values) * np.outer(mean, mean)
        axis = np.linalg.eigh(scatter)[1][:, -1].astype(np.float32)
        centre: Floats = mean.astype(np.float32)
        return cls(values, centre, axis, float(np.trace(scatter)))

    def divided(self) -> list["_Cluster"] | None:
        """Two parts; None if all values are equal along the axis."""
        along = self.values @ self.axis
        along -= along.min()  # near 0, bins can be as narrow as need be
        if not along.any():
            return None
        counts, edges = np.histogram(along, _N_BINS, (0, float(along.max())))
        middles = (edges[1:] + edges[:-1]) / 2
        below, sums = np.append(0, counts.cumsum()), np.append(0, (counts * middles).cumsum())
        place = _N_BINS // 2
        for _ in range(_MOST_ROUNDS):
            lower = sums[place] / below[place]
            upper = (sums[-1] - sums[place]) / (below[-1] - below[place])
            before, place = place, int(np.searchsorted(middles, (lower + upper) / 2))
            if place == before:
                break
        is_upper = along >= edges[place]
        return [_Cluster.of(self.values.compress(part, axis=0)) for part in (~is_upper, is_upper)]


def _mean(values: Floats) -> NDArray[np.float64]:
    """(n, channels) -> (channels,): summed in double precision, without a copy."""
    total: NDArray[np.float64] = np.einsum("ij->j", values, dtype=np.float64)
    return total / len(values)


def nearest(values: Floats, centres: Floats) -> NDArray[np.uint8]:
    """The nearest centre of each value, from 0; ties go to the first. (..., channels) -> (...)."""
    flat = values.reshape(-1, values.shape[-1])
    found = np.empty(len(flat), np.uint8)
    for first in range(0, len(flat), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        found[rows] = _closeness(flat[rows], centres).argmax(axis=1)
    return found.reshape(values.shape[:-1])


def squared_distances(values: Floats, centres: Floats) -> Floats:
    """Squared distance of each value from the nearest centre: (n, channels) -> (n,)."""
    found = np.empty(len(values), np.float32)
    for first in range(0, len(values), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        closest = _closeness(values[rows], centres).max(axis=1)
        found[rows] = np.maximum((values[rows] ** 2).sum(axis=1) - 2 * closest, 0)
    return found


def _closeness(values: Floats, centres: Floats) -> Floats:
    """(n, k): rises as the distance falls; half of (the value's squared norm - distance^2)."""
    closeness: Floats = values @ centres.T
    closeness -= 0.5 * (centres**2).sum(axis=1)
    return closeness
