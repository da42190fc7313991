"""Values of pixels: from the numbers stored in a file to grey levels in [0, 1]."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError

FULL_SCALES = (2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)
"""Largest values of the usual detectors, 8 to 16 bits."""


def with_channels(array: NDArray[Any]) -> NDArray[Any]:
    return array[..., np.newaxis] if array.ndim == 2 else array


def without_alpha(array: NDArray[Any]) -> NDArray[Any]:
    """Drop the alpha channel."""
    return array[..., :-1] if array.shape[2] in (2, 4) else array


def find_transparent(array: NDArray[Any]) -> NDArray[np.bool_]:
    if array.shape[2] not in (2, 4):
        return np.zeros(array.shape[:2], bool)
    transparent: NDArray[np.bool_] = array[..., -1] == 0
    return transparent


def scale_values(array: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """(rows, cols, channels) -> (rows, cols, 3) in [0, 1]."""
    scaled = ((without_alpha(array).astype(np.float64) - low) / (high - low)).astype(np.float32)
    return np.broadcast_to(scaled, (*array.shape[:2], 3)).copy()


def check_scale(low: float, high: float, name: str) -> None:
    if not math.isfinite(high - low):
        raise InputError(f"{name}: values from {low:g} to {high:g}; rescale them before saving")


def constant_error(name: str, level: str) -> InputError:
    return InputError(
        f"{name}: constant, every pixel has the grey level {level}; there is nothing to tell apart:"
        " check the exposure or the export"
    )


def check_kind(array: NDArray[Any], name: str, *, first_row: int = 0) -> None:
    if array.dtype.kind not in "buif":
        raise InputError(f"{name}: pixels of kind {array.dtype}; save it as grey or RGB numbers")
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise InputError(
            f"{name}: shape {array.shape} is not one image; expected (rows, cols) or"
            " (rows, cols, channels) with 1 to 4 channels; of a stack, give one page"
        )
    if 0 in array.shape:
        raise InputError(f"{name}: {array.shape[0]} x {array.shape[1]} pixels, an empty image")
    if array.shape[:2] == (1, 1):
        raise InputError(f"{name}: 1 x 1 pixels, a single point; use an image")
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            row, col = (int(i) for i in np.argwhere(bad.any(axis=2))[0])
            raise InputError(
                f"{name}: {int(bad.any(axis=2).sum())} pixels are NaN or infinite, the first at row"
                f" {first_row + row}, column {col}; replace or crop them"
            )


def full_scale_of(array: NDArray[Any]) -> tuple[float, float]:
    if array.dtype == np.uint8:
        return 0.0, 255.0
    colour = without_alpha(array)
    return scale_for(array.dtype, float(colour.min()), float(colour.max()))


def scale_for(dtype: np.dtype[Any], low: float, high: float) -> tuple[float, float]:
    """Values mapped to 0 and 1, for an image of this kind with values from `low` to `high`."""
    if dtype == np.uint8:
        return 0.0, 255.0
    if low < 0 or high > FULL_SCALES[-1]:
        return low, high
    if dtype.kind in "bf" and high < 2:
        return 0.0, max(1.0, high)  # a little above 1 is a filter's overshoot, not 8 bits
    return 0.0, float(next(scale for scale in FULL_SCALES if high <= scale))
