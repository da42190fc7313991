"""Disturbances: what microscopes do to a picture without any change of the specimen.

The classes of a micrograph are what most of its disturbed views agree on, and its area fractions
are as uncertain as those views differ. Each disturbance is the same for a mirrored or turned view.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.fast.view import View

N_THREADS = 2
"""Views that are looked at side by side."""

T = TypeVar("T")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Disturbance:
    """Another sampling of a view, and another grey level in it."""

    name: str
    pixels: float = 1.0
    """Pixels of the disturbed view, relative to those of the view."""

    alter: Callable[[Floats], Floats] | None = None


def _blurred(grey: Floats) -> Floats:
    found: Floats = ndimage.gaussian_filter(grey, 0.8)
    return found


def _noisy(grey: Floats) -> Floats:
    """Add normal noise of a quarter of the standard deviation, alike from every corner."""
    down, along = (np.minimum(np.arange(n), n - 1 - np.arange(n)) for n in grey.shape)
    noise = np.random.default_rng(0).standard_normal((max(grey.shape) // 2 + 1,) * 2, np.float32)
    nearer = np.minimum(down[:, np.newaxis], along)
    farther = np.maximum(down[:, np.newaxis], along)
    noisy: Floats = grey + 0.25 * grey.std() * noise[nearer, farther]
    return noisy


def _darker_outwards(grey: Floats) -> Floats:
    down, along = (np.linspace(-1, 1, n, dtype=np.float32) for n in grey.shape)
    return grey * (1 - 0.075 * (down[:, np.newaxis] ** 2 + along**2))


DISTURBANCES = (
    Disturbance("none"),
    Disturbance("gamma 0.8", alter=lambda grey: np.maximum(grey, 0) ** np.float32(0.8)),
    Disturbance("gamma 1.25", alter=lambda grey: np.maximum(grey, 0) ** np.float32(1.25)),
    Disturbance("blur of 0.8 pixels", alter=_blurred),
    Disturbance("noise", alter=_noisy),
    Disturbance("light falling outwards by 15 %", alter=_darker_outwards),
    Disturbance("coarser sampling", pixels=0.7),
    Disturbance("finer sampling", pixels=1.4),
)


def disturbed(view: View, disturbance: Disturbance) -> View:
    """The view as the disturbance leaves it; it is kept in memory."""
    if disturbance.pixels != 1:
        view = replace(view, step=view.step / np.sqrt(disturbance.pixels), kept=None).kept_whole()
    if disturbance.alter is not None and view.kept is not None:
        view = replace(view, kept=(disturbance.alter(view.kept[0]), view.kept[1]))
    return view


def of_each_view(view: View, found_of: Callable[[View], T]) -> tuple[T, ...]:
    """What a function finds in each disturbed view; the first is the view itself."""
    with ThreadPoolExecutor(N_THREADS) as pool:
        return tuple(pool.map(lambda each: found_of(disturbed(view, each)), DISTURBANCES))
