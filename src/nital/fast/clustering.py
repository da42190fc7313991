"""Clustering: centres of clusters in a sample, and the cluster of every pixel."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

N_CLUSTERS = 48
"""Twice as many as fine classes are kept: what is rare gets a cluster before it gets a class."""

DRAWN = 20_000
"""So many of the sampled pixels are clustered; which, depends on the seed."""

STARTS = 3
MAX_ROUNDS = 40

_ROWS_AT_ONCE = 2**15

Floats = NDArray[np.float32]
OnRound = Callable[[int, Floats], None]


def find_centres(values: Floats, seed: int, on_round: OnRound | None = None) -> Floats:
    """Centres by k-means (Lloyd 1982): the best of several starts by k-means++ (2007).

    Parameters
    ----------
    values : (n, channels), float32
    seed : int
    on_round : callable, optional
        Called after each round with the number of rounds that are over, of `STARTS` times
        `MAX_ROUNDS` at most, and the centres of this start as they are. A start that ends early
        leaves rounds out.

    Returns
    -------
    (k, channels), float32
        `N_CLUSTERS`; fewer where there are not as many different values.
    """
    rng = np.random.default_rng(seed)
    if len(values) > DRAWN:
        values = values[rng.choice(len(values), DRAWN, replace=False)]
    tries = []
    for start in range(STARTS):

        def tell(n_rounds: int, centres: Floats, start: int = start) -> None:
            if on_round is not None:
                on_round(start * MAX_ROUNDS + n_rounds, centres)

        tries.append(_lloyd(values, _spread_out(values, rng), tell))
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
    """(n, k): rises as the distance falls; half of its square below half the value's own."""
    closeness: Floats = values @ centres.T
    closeness -= 0.5 * (centres**2).sum(axis=1)
    return closeness


def _spread_out(values: Floats, rng: np.random.Generator) -> Floats:
    """First centres (Arthur and Vassilvitskii 2007): each far from those before, by chance."""
    centres: Floats = values[[rng.integers(len(values))]]
    distance = ((values - centres[0]) ** 2).sum(axis=1)
    while len(centres) < N_CLUSTERS and distance.any():
        reached = np.cumsum(distance, dtype=np.float64)
        drawn = int(np.searchsorted(reached, rng.random() * reached[-1], side="right"))
        centres = np.append(centres, values[[min(drawn, len(values) - 1)]], axis=0)
        distance = np.minimum(distance, ((values - centres[-1]) ** 2).sum(axis=1))
    return centres


def _lloyd(
    values: Floats, centres: Floats, tell: Callable[[int, Floats], None]
) -> tuple[Floats, float]:
    """Move centres to the means of what is nearest to them; also the squared error that is left."""
    before: NDArray[np.intp] | None = None
    for n_rounds in range(1, MAX_ROUNDS + 1):
        closest = _closeness(values, centres).argmax(axis=1)
        if before is not None and (closest == before).all():
            break
        before = closest
        size = np.bincount(closest, minlength=len(centres))
        used = size > 0  # one that nothing is nearest to goes
        sums = [np.bincount(closest, column, len(centres))[used] for column in values.T]
        centres = (np.stack(sums, axis=1) / size[used, np.newaxis]).astype(np.float32)
        tell(n_rounds, centres)
    closest = _closeness(values, centres).argmax(axis=1)
    return centres, float(((values - centres[closest]) ** 2).sum(dtype=np.float64))
