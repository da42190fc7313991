"""The micrograph: one image as nital sees it, whatever kind of array it came as."""

import math
import re
from collections.abc import Callable
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


def luminance(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, cols, 3) -> (rows, cols)."""
    grey: NDArray[np.float32] = pixels @ np.asarray(LUMINANCE, np.float32)
    return grey


def step_within(shape: tuple[int, ...], side: int) -> int:
    """The n of every n-th row and column of which no more than `side` are left each way."""
    return -(-max(shape) // side)


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

    cropped_bottom: int = 0
    """Rows of the file that were cut off below it, where the info bar is."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.excluded.shape[0], self.excluded.shape[1]

    @property
    def grey(self) -> NDArray[np.float32]:
        """(rows, cols), float32 in [0, 1]: the luminance."""
        return luminance(self.pixels)

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

    def reduced(self, step: int) -> NDArray[np.float32]:
        """Every `step`-th pixel of every `step`-th row: (rows, cols, 3) in [0, 1]."""
        return self.pixels[::step, ::step]

    @classmethod
    def from_array(
        cls,
        image: ArrayLike,
        *,
        excluded: ArrayLike | None = None,
        pixel_size: float | None = None,
        name: str = "micrograph",
        sha256: str | None = None,
        cropped_bottom: int = 0,
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
        cropped_bottom : int
            How many rows of its file were cut off below it.

        Raises
        ------
        InputError
            If the array has another shape or kind, is empty, constant, or not finite.
        """
        array = _with_channels(np.asarray(image))
        _check_kind(array, name)
        low, high = _full_scale(array)
        _check_scale(low, high, name)
        mask = _check_excluded(excluded, array.shape[:2], name)
        pixels = np.empty((*array.shape[:2], 3), np.float32)
        for top in range(0, len(array), _ROWS_AT_ONCE):  # in double precision, but not all at once
            rows = slice(top, top + _ROWS_AT_ONCE)
            pixels[rows] = _scaled(array[rows], low, high)
            mask[rows] |= _transparent(array[rows])
        _check_content(pixels, mask, name)
        return cls(pixels, mask, (low, high), pixel_size, name, sha256, cropped_bottom)


@dataclass(frozen=True)
class LargeMicrograph:
    """A micrograph that stays where it is, and is read window by window."""

    fetch: Callable[[slice, slice], NDArray[Any]]
    """Rows and columns of a window -> its values as they are stored, (rows, cols) or
    (rows, cols, channels)."""

    shape: tuple[int, int]
    has_excluded: bool
    """Whether there is an alpha channel; where it is 0 a pixel is excluded."""

    full_scale: tuple[float, float]
    pixel_size: float | None
    name: str
    sha256: str | None
    cropped_bottom: int = 0
    """Rows of the file that were cut off below it."""

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """A window: (rows, cols, 3) in [0, 1]."""
        return _scaled(self._window(rows, cols), *self.full_scale)

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Which pixels of a window are excluded."""
        if not self.has_excluded:
            return np.zeros((rows.stop - rows.start, cols.stop - cols.start), bool)
        return _transparent(self._window(rows, cols))

    def reduced(self, step: int) -> NDArray[np.float32]:
        """Every `step`-th pixel of every `step`-th row: (rows, cols, 3) in [0, 1]."""
        height = step * max(1, _ROWS_AT_ONCE // step)
        bands = [
            self._window(slice(top, min(top + height, self.shape[0])), slice(0, self.shape[1]))
            for top in range(0, self.shape[0], height)
        ]
        return np.concatenate([_scaled(band[::step, ::step], *self.full_scale) for band in bands])

    @classmethod
    def scan(
        cls,
        fetch: Callable[[slice, slice], NDArray[Any]],
        shape: tuple[int, int],
        *,
        pixel_size: float | None = None,
        name: str = "micrograph",
        sha256: str | None = None,
        cropped_bottom: int = 0,
    ) -> "LargeMicrograph":
        """Check an image as `Micrograph.from_array` does, and find its full scale.

        8-bit images are read until two pixels differ, others once from end to end.

        Raises
        ------
        InputError
            If the values are of another kind, constant or not finite.
        """
        if 0 in shape:
            raise InputError(f"{name}: {shape[0]} x {shape[1]} pixels, no image at all")
        low, high, constant = math.inf, -math.inf, True
        for top in range(0, shape[0], _ROWS_AT_ONCE):
            band = _with_channels(
                fetch(slice(top, min(top + _ROWS_AT_ONCE, shape[0])), slice(0, shape[1]))
            )
            _check_kind(band, name, first_row=top)
            colour = _colour(band)
            low, high = min(low, float(colour.min())), max(high, float(colour.max()))
            if not top:
                first = colour[0, 0].copy()
            constant = constant and bool((colour == first).all())
            if band.dtype == np.uint8 and not constant:
                break
        if constant:
            raise _constant(name, f"{float(first.mean()):g}")
        scale = _scale_of(band.dtype, low, high)
        _check_scale(*scale, name)
        alpha = band.shape[2] in (2, 4)
        return cls(fetch, shape, alpha, scale, pixel_size, name, sha256, cropped_bottom)

    def _window(self, rows: slice, cols: slice) -> NDArray[Any]:
        return _with_channels(self.fetch(rows, cols))


_ROWS_AT_ONCE = 512


def _with_channels(array: NDArray[Any]) -> NDArray[Any]:
    return array[..., np.newaxis] if array.ndim == 2 else array


def _colour(array: NDArray[Any]) -> NDArray[Any]:
    """Without the alpha channel."""
    return array[..., :-1] if array.shape[2] in (2, 4) else array


def _transparent(array: NDArray[Any]) -> NDArray[np.bool_]:
    if array.shape[2] not in (2, 4):
        return np.zeros(array.shape[:2], bool)
    transparent: NDArray[np.bool_] = array[..., -1] == 0
    return transparent


def _scaled(array: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """(rows, cols, channels) -> (rows, cols, 3) in [0, 1]."""
    scaled = ((_colour(array).astype(np.float64) - low) / (high - low)).astype(np.float32)
    return np.broadcast_to(scaled, (*array.shape[:2], 3)).copy()


def _check_scale(low: float, high: float, name: str) -> None:
    if not math.isfinite(high - low):
        raise InputError(f"{name}: values from {low:g} to {high:g}; rescale them before saving")


def _constant(name: str, level: str) -> InputError:
    return InputError(
        f"{name}: constant, every pixel has the grey level {level}; there is nothing to tell apart:"
        " check the exposure or the export"
    )


def _check_kind(array: NDArray[Any], name: str, *, first_row: int = 0) -> None:
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
                f" {first_row + row}, column {col}; replace or crop them"
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
    included = pixels[~mask] if mask.any() else pixels.reshape(-1, 3)
    if (included == included[0]).all():
        raise _constant(name, f"{255 * float(included[0].mean()):.4g} of 255")


def _full_scale(array: NDArray[Any]) -> tuple[float, float]:
    if array.dtype == np.uint8:
        return 0.0, 255.0
    colour = _colour(array)
    return _scale_of(array.dtype, float(colour.min()), float(colour.max()))


def _scale_of(dtype: np.dtype[Any], low: float, high: float) -> tuple[float, float]:
    """Values that become 0 and 1 in an image of this kind, with values from `low` to `high`."""
    if dtype == np.uint8:
        return 0.0, 255.0
    if low < 0 or high > FULL_SCALES[-1]:
        return low, high
    if dtype.kind in "bf" and high < 2:
        return 0.0, max(1.0, high)  # a little above 1 is a filter's overshoot, not 8 bits
    return 0.0, float(next(scale for scale in FULL_SCALES if high <= scale))
