"""Feature spaces: how features of pixels are found and weighted, so that they are comparable."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.fast.features import (
    MODE_WEIGHT,
    GreyLevels,
    dark_and_bright,
    find_features,
    reach,
    smooth,
)
from nital.fast.windows import Window, sampled_windows
from nital.image.micrograph import Source, luminance

DISTANCE = 16
"""The surroundings of a pixel are the pixels this far above, below, left and right of it."""

_LEAST_CONTRAST = 1e-6
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Exposure:
    """Brightness and contrast to which every micrograph is adjusted before it is compared."""

    dark: float
    bright: float
    """Mean smoothed grey level of the darker and of the brighter part of the included area
    (`features.dark_and_bright`)."""

    def align(self, source: Source) -> Source:
        """Adjust a micrograph to this exposure."""
        known = smoothed_grey(source)
        if not len(known):
            return source
        return _Aligned(source, *self.gain_and_offset(*dark_and_bright(known)))

    def gain_and_offset(self, dark: float, bright: float) -> tuple[float, float]:
        """Gain and offset that map these two levels to those of the exposure."""
        gain = (self.bright - self.dark) / max(bright - dark, _LEAST_CONTRAST)
        return gain, self.dark - gain * dark


@dataclass(frozen=True)
class _Aligned:
    """A source with adjusted brightness and contrast; its values may lie outside [0, 1]."""

    source: Source
    gain: float
    offset: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.shape

    @property
    def has_excluded(self) -> bool:
        return self.source.has_excluded

    def read(self, rows: slice, cols: slice) -> Floats:
        return self.source.read(rows, cols) * np.float32(self.gain) + np.float32(self.offset)

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        return self.source.read_excluded(rows, cols)


@dataclass(frozen=True)
class FeatureSpace:
    """How the features of a pixel are found and weighted, so that pixels can be compared."""

    levels: GreyLevels
    weights: Floats
    """(channels,): factors of the features."""

    scale: str
    exposure: Exposure | None
    """None: the grey levels are not adjusted."""

    def view(self, source: Source) -> Source:
        """A micrograph, adjusted to the exposure if there is one."""
        return source if self.exposure is None else self.exposure.align(source)

    def features(self, source: Source, window: Window) -> Floats:
        """The weighted features in a window of a view: (rows, cols, channels)."""
        return features_in(source, window, self.levels, self.scale) * self.weights


def smoothed_grey(source: Source) -> Floats:
    """Smoothed grey levels of the included pixels of the sampled windows, (n,)."""
    found = [np.empty(0, np.float32)]
    for window in sampled_windows(source):
        included = ~source.read_excluded(*window)
        found.append(smooth(grey_in(source, window))[included])
    return np.concatenate(found)


def channel_weights(spread: NDArray[np.float64], grey: Floats) -> Floats:
    """Weights of the channels from their standard deviations, and from the smoothed grey levels."""
    spread = np.append(spread[:-1], grey.std(dtype=np.float64) / MODE_WEIGHT**2)
    return np.where(spread > 0, 1 / np.sqrt(np.maximum(spread, 1e-12)), 0).astype(np.float32)


def features_in(source: Source, window: Window, levels: GreyLevels, scale: str) -> Floats:
    """Features in a window, found with the margin that they need."""
    margin, around, inside = reach(scale), [], []
    for part, length in zip(window, source.shape, strict=True):
        start, stop = max(0, part.start - margin), min(length, part.stop + margin)
        around.append(slice(start, stop))
        inside.append(slice(part.start - start, part.stop - start))
    return find_features(grey_in(source, (around[0], around[1])), levels, scale)[tuple(inside)]


def grey_in(source: Source, window: Window) -> Floats:
    """The grey level in a window; excluded pixels take that of the nearest included one."""
    grey = luminance(source.read(*window))
    excluded = source.read_excluded(*window)
    if excluded.any() and not excluded.all():
        nearest = ndimage.distance_transform_edt(
            excluded, return_distances=False, return_indices=True
        )
        grey = grey[tuple(nearest)]
    return grey
