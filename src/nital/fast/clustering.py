"""Clustering: centres of clusters in a sample, and the cluster of every pixel."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

N_CLUSTERS = 48
"""Twice the largest number of fine classes, so that rare constituents get a cluster too."""

DRAWN = 20_000
"""Number of sampled pixels that are clustered; the seed selects them."""

STARTS = 3
MAX_ROUNDS = 40

_ROWS_AT_ONCE = 2**15

Floats = NDArray[np.float32]
OnRound = Callable[[int, Floats], None]


def find_centres(values: Floats, seed: int, on_round: OnRound | None = None) -> Floats:
    """Find centres by k-means (Lloyd 1982): the best of several starts by k-means++ (2007).

    Parameters
    ----------
    values : (n, channels), float32
    seed : int
    on_round : callable, optional
        Called after each round with the number of rounds done, out of at most `STARTS` times
        `MAX_ROUNDS`, and the current centres of this start. A start that converges early skips
        rounds.

    Returns
    -------
    (k, channels), float32
        `N_CLUSTERS` centres; fewer if there are fewer different values.
    """
    rng = np.random.default_rng(seed)
    if len(values) > DRAWN:
        values = values[rng.choice(len(values), DRAWN, replace=False)]
    tries = []
    for start in range(STARTS):

        def report(n_rounds: int, centres: Floats, start: int = start) -> None:
            if on_round is not None:
                on_round(start * MAX_ROUNDS + n_rounds, centres)

        tries.append(_lloyd(values, _first_centres(values, rng), report))
    centres, _ = min(tries, key=lambda found: found[1])
    return centres


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


def _first_centres(values: Floats, rng: np.random.Generator) -> Floats:
    """Draw the first centres (Arthur and Vassilvitskii 2007), each likely far from those before."""
    centres: Floats = values[[rng.integers(len(values))]]
    distance = ((values - centres[0]) ** 2).sum(axis=1)
    while len(centres) < N_CLUSTERS and distance.any():
        reached = np.cumsum(distance, dtype=np.float64)
        drawn = int(np.searchsorted(reached, rng.random() * reached[-1], side="right"))
        centres = np.append(centres, values[[min(drawn, len(values) - 1)]], axis=0)
        distance = np.minimum(distance, ((values - centres[-1]) ** 2).sum(axis=1))
    return centres


def _lloyd(
    values: Floats, centres: Floats, report: Callable[[int, Floats], None]
) -> tuple[Floats, float]:
    """Move centres to the means of their nearest values; also return the squared error left."""
    before: NDArray[np.intp] | None = None
    for n_rounds in range(1, MAX_ROUNDS + 1):
        closest = _closeness(values, centres).argmax(axis=1)
        if before is not None and (closest == before).all():
            break
        before = closest
        size = np.bincount(closest, minlength=len(centres))
        used = size > 0  # empty clusters are dropped
        sums = [np.bincount(closest, column, len(centres))[used] for column in values.T]
        centres = (np.stack(sums, axis=1) / size[used, np.newaxis]).astype(np.float32)
        report(n_rounds, centres)
    closest = _closeness(values, centres).argmax(axis=1)
    return centres, float(((values - centres[closest]) ** 2).sum(dtype=np.float64))
