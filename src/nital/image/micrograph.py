"""The micrograph: one image, converted from any kind of array."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nital.errors import InputError, SettingError
from nital.image.values import (
    check_kind,
    check_scale,
    constant_error,
    find_transparent,
    full_scale_of,
    scale_for,
    scale_values,
    with_channels,
    without_alpha,
)
from nital.image.windows import Seen

LUMINANCE = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in the grey level (ITU-R BT.709, as in scikit-image)."""


class Source(Seen, Protocol):
    """An image that is read window by window."""

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Pixels of a window, (rows, cols, 3) in [0, 1]."""


def luminance(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Luminance of colour pixels: (rows, cols, 3) -> (rows, cols)."""
    grey: NDArray[np.float32] = pixels @ np.asarray(LUMINANCE, np.float32)
    return grey


def step_within(shape: tuple[int, ...], side: int) -> int:
    """Smallest n such that every n-th row and column leaves at most `side` of each."""
    return -(-max(shape) // side)


def spread_over(length: int, step: int) -> NDArray[np.int64]:
    """About every step-th place of `length`, alike from both ends."""
    n = max(2, length // step)
    half = np.round(np.arange(n // 2) * (length - 1) / (n - 1)).astype(np.int64)
    middle = np.array([length // 2] if n % 2 and length % 2 else [], np.int64)
    return np.concatenate([half, middle, (length - 1 - half)[::-1]])


def nearest_places(length: int, of: int) -> NDArray[np.int64]:
    """Of `of` places in a row, the nearest to each of `length` that span the same: (length,)."""
    places = ((np.arange(length) + 0.5) * of / length).astype(np.int64)
    return np.minimum(places, of - 1)


def spread_pixels(source: Source, n: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """About n pixels, evenly spread over an image: (rows, cols, 3), and which are included."""
    step = max(1, math.isqrt(math.prod(source.shape) // n))
    rows, cols = (spread_over(length, step) for length in source.shape)
    pixels = np.empty((len(rows), len(cols), 3), np.float32)
    included = np.empty((len(rows), len(cols)), bool)
    across = slice(0, source.shape[1])
    for top in range(0, source.shape[0], _ROWS_AT_ONCE):
        band = slice(top, min(top + _ROWS_AT_ONCE, source.shape[0]))
        inside = (rows >= band.start) & (rows < band.stop)
        if inside.any():
            place = np.ix_(rows[inside] - top, cols)
            pixels[inside] = source.read(band, across)[place]
            included[inside] = ~source.read_excluded(band, across)[place]
    return pixels, included


@dataclass(frozen=True)
class Micrograph:
    """One image, with its pixel size and excluded area."""

    pixels: NDArray[np.float32]
    """(rows, cols, 3) in [0, 1]; a grey image is stacked to three equal channels."""

    excluded: NDArray[np.bool_]
    """(rows, cols); True where a pixel belongs to no class (transparent, masked)."""

    full_scale: tuple[float, float]
    """Values of the original that correspond to 0 and 1."""

    pixel_size: float | None = None
    """Edge of a pixel in µm; None if it is not known."""

    name: str = "micrograph"
    """Name in messages and of folders."""

    sha256: str | None = None
    """SHA-256 of the file that it was read from."""

    cropped_bottom: int = 0
    """Number of rows cut off at the bottom of the file, where the info bar is."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.excluded.shape[0], self.excluded.shape[1]

    @property
    def grey(self) -> NDArray[np.float32]:
        """(rows, cols), float32 in [0, 1]: the luminance."""
        return luminance(self.pixels)

    @property
    def is_large(self) -> bool:
        """False: it is in memory as a whole."""
        return False

    @property
    def has_excluded(self) -> bool:
        """Whether any pixel is excluded."""
        return bool(self.excluded.any())

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Pixels of a window, (rows, cols, 3) in [0, 1]."""
        return self.pixels[rows, cols]

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Excluded pixels of a window, (rows, cols)."""
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
        """Check an image and convert it to three float channels in [0, 1].

        Values are divided by the full scale of the detector: the smallest of 255, 1023, 4095, 16383
        and 65535 that is not below the brightest pixel, so that a 12-bit image in a 16-bit file is
        not nearly black. 8-bit images are always divided by 255. Floats below 2 are kept, or
        divided by their maximum if it is above 1. Images with negative or larger values are
        stretched from their minimum to their maximum.

        Parameters
        ----------
        image : (rows, cols), or (rows, cols, channels) with 1 (grey), 2 (grey and alpha), 3 (RGB)
            or 4 (RGBA) channels; bool, integer or float.
        excluded : (rows, cols) of bool, optional
            Pixels that belong to no class. Fully transparent pixels are excluded as well.
        pixel_size : float, optional
            Edge of a pixel in µm.
        name, sha256 : str, optional
            Name in messages, and SHA-256 of the file.
        cropped_bottom : int
            Number of rows cut off at the bottom of the file.

        Raises
        ------
        InputError
            If the array has an unsupported shape or kind, or is empty, constant or not finite.
        """
        array = with_channels(np.asarray(image))
        check_kind(array, name)
        low, high = full_scale_of(array)
        check_scale(low, high, name)
        mask = _check_excluded(excluded, array.shape[:2], name)
        pixels = np.empty((*array.shape[:2], 3), np.float32)
        for top in range(0, len(array), _ROWS_AT_ONCE):  # in double precision, but not all at once
            rows = slice(top, top + _ROWS_AT_ONCE)
            pixels[rows] = scale_values(array[rows], low, high)
            mask[rows] |= find_transparent(array[rows])
        _check_content(pixels, mask, name)
        return cls(pixels, mask, (low, high), pixel_size, name, sha256, cropped_bottom)


@dataclass(frozen=True)
class LargeMicrograph:
    """A micrograph that is read from the disk window by window."""

    fetch: Callable[[slice, slice], NDArray[Any]]
    """Rows and columns of a window -> its stored values, (rows, cols) or (rows, cols, channels)."""

    shape: tuple[int, int]
    has_excluded: bool
    """Whether there is an alpha channel; pixels where it is 0 are excluded."""

    full_scale: tuple[float, float]
    pixel_size: float | None
    name: str
    sha256: str | None
    cropped_bottom: int = 0
    """Number of rows cut off at the bottom of the file."""

    @property
    def is_large(self) -> bool:
        """True: it is never in memory as a whole."""
        return True

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Pixels of a window, (rows, cols, 3) in [0, 1]."""
        return scale_values(self._window(rows, cols), *self.full_scale)

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Excluded pixels of a window, (rows, cols)."""
        if not self.has_excluded:
            return np.zeros((rows.stop - rows.start, cols.stop - cols.start), bool)
        return find_transparent(self._window(rows, cols))

    def reduced(self, step: int) -> NDArray[np.float32]:
        """Every `step`-th pixel of every `step`-th row: (rows, cols, 3) in [0, 1]."""
        height = step * max(1, _ROWS_AT_ONCE // step)
        bands = [
            self._window(slice(top, min(top + height, self.shape[0])), slice(0, self.shape[1]))
            for top in range(0, self.shape[0], height)
        ]
        return np.concatenate(
            [scale_values(band[::step, ::step], *self.full_scale) for band in bands]
        )

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

        8-bit images are read until two pixels differ, others once in full.

        Raises
        ------
        InputError
            If the values are of an unsupported kind, constant or not finite.
        """
        if 0 in shape:
            raise InputError(f"{name}: {shape[0]} x {shape[1]} pixels, an empty image")
        low, high, constant = math.inf, -math.inf, True
        for top in range(0, shape[0], _ROWS_AT_ONCE):
            band = with_channels(
                fetch(slice(top, min(top + _ROWS_AT_ONCE, shape[0])), slice(0, shape[1]))
            )
            check_kind(band, name, first_row=top)
            colour = without_alpha(band)
            low, high = min(low, float(colour.min())), max(high, float(colour.max()))
            if not top:
                first = colour[0, 0].copy()
            constant = constant and bool((colour == first).all())
            if band.dtype == np.uint8 and not constant:
                break
        if constant:
            raise constant_error(name, f"{float(first.mean()):g}")
        scale = scale_for(band.dtype, low, high)
        check_scale(*scale, name)
        alpha = band.shape[2] in (2, 4)
        return cls(fetch, shape, alpha, scale, pixel_size, name, sha256, cropped_bottom)

    def _window(self, rows: slice, cols: slice) -> NDArray[Any]:
        return with_channels(self.fetch(rows, cols))


def check_least_side(micrograph: Micrograph | LargeMicrograph, least: int) -> None:
    """Raise an InputError if a side has fewer than `least` pixels."""
    if min(micrograph.shape) < least:
        raise InputError(
            f"{micrograph.name}: {micrograph.shape[0]} x {micrograph.shape[1]} pixels; no side may"
            f" be smaller than {least}"
        )


def too_large(
    micrograph: Micrograph | LargeMicrograph, name: str, value: object, needed: str
) -> SettingError:
    """The error for a setting that needs a large micrograph in memory."""
    return SettingError(
        f"{name} {value!r}: needs the whole of {micrograph.name} ({micrograph.shape[0]} x"
        f" {micrograph.shape[1]} pixels) in memory; use {needed}, or a part of the image"
    )


_ROWS_AT_ONCE = 512


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
        raise constant_error(name, f"{255 * float(included[0].mean()):.4g} of 255")
