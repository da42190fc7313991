"""Micrographs, small and known, and models fitted to them."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.fast.settings import FastSettings
from nital.image.micrograph import Micrograph
from nital.image.synthetic import synthesize
from nital.series.fitting import fit_model
from nital.series.model import Model
from nital.series.sampling import Opener

DARK, MID, BRIGHT = 0.2, 0.5, 0.8
SIDE, STEEL_SIDE = 96, 128


def field(*greys: float, seed: int = 0, widths: Sequence[int] | None = None) -> NDArray[np.float64]:
    """Broad areas side by side, each of one grey level, with noise: (96, 96)."""
    edges = np.cumsum(widths or np.full(len(greys), SIDE // len(greys)))
    columns = np.array(greys)[np.searchsorted(edges[:-1], np.arange(SIDE), side="right")]
    return columns + np.random.default_rng(seed).normal(0, 0.015, (SIDE, SIDE))


def inside(labels: NDArray[np.unsignedinteger], place: int, of: int) -> NDArray[Any]:
    """Labels of one of the areas of equal width, without its rims."""
    width = SIDE // of
    return labels[:, place * width + 5 : (place + 1) * width - 5]


@functools.cache
def steel(seed: int, ferrite: float = 0.6, side: int = STEEL_SIDE) -> NDArray[np.float32]:
    """Ferrite and pearlite, evenly lit."""
    fractions = {"ferrite": ferrite, "pearlite": 1 - ferrite}
    return synthesize((side, side), fractions, grain_size=20, shading=0, seed=seed).image


def opened(images: Sequence[NDArray[Any]]) -> list[Opener]:
    return [partial(Micrograph.from_array, image) for image in images]


def fitted(images: Sequence[NDArray[Any]], n_classes: int = 3, exposure: str = "same") -> Model:
    return fit_model(opened(images), FastSettings(n_classes=n_classes), exposure=exposure)


def labels_of(model: Model, image: NDArray[Any]) -> NDArray[np.unsignedinteger]:
    return model.segment(Micrograph.from_array(image)).labels


@functools.cache
def three_greys() -> Model:
    """Of fields that show two of three constituents each; do not alter it."""
    pairs = ((DARK, MID), (MID, BRIGHT), (BRIGHT, DARK))
    return fitted([field(*greys, seed=i) for i, greys in enumerate(pairs)])


@functools.cache
def of_steel(exposure: str = "same") -> Model:
    return fitted([steel(seed) for seed in range(4)], 2, exposure)


def is_same(one: Model, other: Model) -> bool:
    """Bit by bit; arrays have no single truth that `==` could give."""
    arrays = ("centres", "shares", "class_of")
    statistics = ("areas", "means", "errors")
    return (
        all(np.array_equal(getattr(one, each), getattr(other, each)) for each in arrays)
        and np.array_equal(one.space.weights, other.space.weights)
        and np.array_equal(one.joining.centres, other.joining.centres)
        and all(
            np.array_equal(
                getattr(one.joining.statistics, each), getattr(other.joining.statistics, each)
            )
            for each in statistics
        )
        and replace(one.space, weights=other.space.weights) == other.space
        and (one.settings, one.spread, one.usual, one.images, one.names)
        == (other.settings, other.spread, other.usual, other.images, other.names)
    )
