"""Superpixels that a test has made itself."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nital.image.micrograph import Micrograph
from nital.paper.superpixels import Superpixels


def divided(superpixels: NDArray[np.int64]) -> Superpixels:
    """Superpixels of a whole image, from their map, (rows, cols)."""
    rows, cols = superpixels.shape
    return Superpixels((rows, cols), ((slice(0, rows), slice(0, cols)),), (superpixels,))


def image_of(pixels: ArrayLike, excluded: NDArray[np.bool_] | None = None) -> Micrograph:
    """A micrograph with these values, in whatever precision, and none of them excluded."""
    values = np.asarray(pixels)
    outside = np.zeros(values.shape[:2], bool) if excluded is None else excluded
    return Micrograph(values, outside, (0.0, 1.0))
