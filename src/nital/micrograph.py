"""The micrograph: one image as nital sees it, whatever kind of array it came as."""

import math
import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nital.errors import InputError

FULL_SCALES = (2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)
"""Brightest values of the usual detectors, of 8 to 16 bits."""

LUMINANCE = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in the grey level (ITU-R BT.709, as in scikit-image)."""

MICROMETRES = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "cm": 1e4}
"""Lengths of the units in µm; µ may be the micro sign or the Greek letter."""

LEAST_LENGTH, MOST_LENGTH = 1e-6, 1e6
"""A pixel is between a picometre and a metre wide, in µm; anything else is a mistake."""


def parse_length(text: str) -> float:
    """A length in µm from a number with a unit, as `0.25um` or `250 nm`.

    Raises
    ------
    InputError
        If it is none, or not between a picometre and a metre.

    Examples
    --------
    >>> parse_length("250nm")
    0.25
    """
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(\D+?)\s*", text)
    unit = MICROMETRES.get(found[2].lower()) if found else None
    try:
        length = float(found[1]) * unit if found and unit else math.nan
    except ValueError:
        length = math.nan
    if not LEAST_LENGTH <= length <= MOST_LENGTH:
        raise InputError(
            f"length {text!r}: not a number with its unit, as 0.25um or 250nm, between 1e-6um and"
            " 1e6um"
        )
    return length


class Source(Protocol):
    """An image that is read window by window."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""

    @property
    def has_excluded(self) -> bool:
        """Whether any pixel may be excluded."""

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """(rows, cols, 3) in [0, 1]."""

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """(rows, cols)."""


def read_padded(
    source: Source, rows: slice, cols: slice, halo: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A window with `halo` pixels around it; beyond the border the image is reflected.

    Returns
    -------
    pixels : (rows + 2 halo, cols + 2 halo, 3)
    excluded : (rows + 2 halo, cols + 2 halo)
    """
    inside, margins = [], []
    for window, length in zip((rows, cols), source.shape, strict=True):
        start, stop = max(0, window.start - halo), min(length, window.stop + halo)
        inside.append(slice(start, stop))
        margins.append((start - (window.start - halo), window.stop + halo - stop))
    pixels = np.pad(source.read(*inside), [*margins, (0, 0)], mode="reflect")
    return pixels, np.pad(source.read_excluded(*inside), margins, mode="reflect")


@dataclass(frozen=True)
class Micrograph:
    """One image, with its pixel size and excluded area."""

    pixels: NDArray[np.float32]
    """(rows, cols, 3) in [0, 1]; a grey image is stacked to three equal channels."""

    excluded: NDArray[np.bool_]
    """(rows, cols); True where a pixel belongs to no class (transparent, masked)."""

    full_scale: tuple[float, float]
    """The values of the original that became 0 and 1."""

    pixel_size: float | None = None
    """Edge of a pixel in µm; None where it is not known."""

    name: str = "micrograph"
    """What messages and folders call it."""

    sha256: str | None = None
    """SHA-256 of the file that it was read from."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.excluded.shape[0], self.excluded.shape[1]

    @property
    def grey(self) -> NDArray[np.float32]:
        """(rows, cols), float32 in [0, 1]: the luminance."""
        return self.pixels @ np.asarray(LUMINANCE, np.float32)

    @property
    def has_excluded(self) -> bool:
        """Whether any pixel is excluded."""
        return bool(self.excluded.any())

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """A window: (rows, cols, 3) in [0, 1]."""
        return self.pixels[rows, cols]

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Which pixels of a window are excluded."""
        return self.excluded[rows, cols]

    @classmethod
    def from_array(
        cls,
        image: ArrayLike,
        *,
        excluded: ArrayLike | None = None,
        pixel_size: float | None = None,
        name: str = "micrograph",
        sha256: str | None = None,
    ) -> "Micrograph":
        """Check an image and bring it to three float channels in [0, 1].

        Values are divided by the full scale of the detector: the smallest of 255, 1023, 4095, 16383
        and 65535 that is not below the brightest pixel, so that a 12-bit image in a 16-bit file is
        not nearly black. 8-bit images are divided by 255, always. Floats below 2 are taken as they
        are, or divided by their maximum if that is above 1. Images with negative or larger values
        are stretched from their minimum to their maximum.

        Parameters
        ----------
        image : (rows, cols), or (rows, cols, channels) with 1 (grey), 2 (grey and alpha), 3 (RGB)
            or 4 (RGBA) channels; bool, integer or float.
        excluded : (rows, cols) of bool, optional
            Pixels that belong to no class. Fully transparent pixels are excluded as well.
        pixel_size : float, optional
            Edge of a pixel in µm.
        name, sha256 : str, optional
            What messages call it, and the SHA-256 of its file.

        Raises
        ------
        InputError
            If the array has another shape or kind, is empty, constant, or not finite.
        """
        array = np.asarray(image)
        if array.ndim == 2:
            array = array[..., np.newaxis]
        _check_kind(array, name)
        low, high = _full_scale(array)
        if not math.isfinite(high - low):
            raise InputError(f"{name}: values from {low:g} to {high:g}; rescale them before saving")
        scaled = ((array.astype(np.float64) - low) / (high - low)).astype(np.float32)
        alpha_last = scaled.shape[2] in (2, 4)
        colour = scaled[..., :-1] if alpha_last else scaled
        pixels = np.broadcast_to(colour, (*colour.shape[:2], 3)).copy()
        mask = _check_excluded(excluded, pixels.shape[:2], name)
        if alpha_last:
            mask |= array[..., -1] == 0
        _check_content(pixels, mask, name)
        return cls(pixels, mask, (low, high), pixel_size, name, sha256)


def _check_kind(array: NDArray[Any], name: str) -> None:
    if array.dtype.kind not in "buif":
        raise InputError(f"{name}: pixels of kind {array.dtype}; save it as grey or RGB numbers")
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise InputError(
            f"{name}: shape {array.shape} is not one image; expected (rows, cols) or"
            " (rows, cols, channels) with 1 to 4 channels; of a stack, give one page"
        )
    if 0 in array.shape:
        raise InputError(f"{name}: {array.shape[0]} x {array.shape[1]} pixels, no image at all")
    if array.shape[:2] == (1, 1):
        raise InputError(f"{name}: 1 x 1 pixels, a single point; use an image")
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            row, col = (int(i) for i in np.argwhere(bad.any(axis=2))[0])
            raise InputError(
                f"{name}: {int(bad.any(axis=2).sum())} pixels are NaN or infinite, the first at row"
                f" {row}, column {col}; replace or crop them"
            )


def _check_excluded(
    excluded: ArrayLike | None, shape: tuple[int, ...], name: str
) -> NDArray[np.bool_]:
    if excluded is None:
        return np.zeros(shape, bool)
    mask = np.array(excluded, dtype=bool)
    if mask.shape != shape:
        raise InputError(
            f"{name}: the excluded area has shape {mask.shape}, the image {shape}; make them equal"
        )
    return mask


def _check_content(pixels: NDArray[np.float32], mask: NDArray[np.bool_], name: str) -> None:
    if mask.all():
        raise InputError(
            f"{name}: every pixel is excluded or transparent; save it without transparency"
        )
    included = pixels[~mask]
    if (included == included[0]).all():
        level = 255 * float(included[0].mean())
        raise InputError(
            f"{name}: constant, every pixel has the grey level {level:.4g} of 255; there is nothing"
            " to tell apart: check the exposure or the export"
        )


def _full_scale(array: NDArray[Any]) -> tuple[float, float]:
    if array.dtype == np.uint8:
        return 0.0, 255.0
    colour = array[..., :-1] if array.shape[2] in (2, 4) else array
    low, high = float(colour.min()), float(colour.max())
    if low < 0 or high > FULL_SCALES[-1]:
        return low, high
    if array.dtype.kind in "bf" and high < 2:
        return 0.0, max(1.0, high)  # a little above 1 is a filter's overshoot, not 8 bits
    return 0.0, float(next(scale for scale in FULL_SCALES if high <= scale))
