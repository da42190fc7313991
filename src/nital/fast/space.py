"""Feature spaces: how features of pixels are found and weighted, so that they are comparable."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.fast.features import (
    BLUR,
    MODE_WEIGHT,
    GreyLevels,
    dark_and_bright,
    find_features,
    grey_of,
    reach,
    smooth,
)
from nital.fast.view import View, look_at
from nital.image.light import EVEN, Light
from nital.image.micrograph import Source
from nital.image.tone import Tone
from nital.image.windows import Window, sampled_windows, widened
from nital.result.boundaries import reach_of

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

    def align(self, view: View) -> View:
        """Adjust a view to this exposure."""
        known = smoothed_grey(view)
        if not len(known):
            return view
        return view.exposed(*self.gain_and_offset(*dark_and_bright(known)))

    def gain_and_offset(self, dark: float, bright: float) -> tuple[float, float]:
        """Gain and offset that map these two levels to those of the exposure."""
        gain = (self.bright - self.dark) / max(bright - dark, _LEAST_CONTRAST)
        return gain, self.dark - gain * dark


@dataclass(frozen=True)
class FeatureSpace:
    """How the features of a pixel are found and weighted, so that pixels can be compared."""

    levels: GreyLevels
    weights: Floats
    """(channels,): factors of the features."""

    scale: str
    exposure: Exposure | None
    """None: the grey levels are not adjusted."""

    step: float
    """Pixels of a micrograph, in a row, for each pixel of its view."""

    tone: Tone
    light: Light | None
    """That of the micrographs that were fitted to; None: light is kept."""

    def view(self, source: Source, found: Light | None = None) -> View:
        """The view of a micrograph, adjusted to the exposure if there is one.

        Parameters
        ----------
        source : Source
        found : Light, optional
            That on the micrograph, if it is known.
        """
        light = EVEN if self.light is None else found
        view = look_at(source, self.step, self.tone, light, self.light)
        return view if self.exposure is None else self.exposure.align(view)

    @property
    def reach(self) -> int:
        """How many pixels of a micrograph away the sides of a boundary of fine classes are looked
        for; 0 where these are areas of texture, whose boundaries are no edges."""
        return 0 if BLUR[self.scale] else reach_of(self.step)

    def features(self, view: View, window: Window) -> Floats:
        """The weighted features in a window of a view: (rows, cols, channels)."""
        return features_in(view, window, self.levels, self.scale) * self.weights

    def grey_of(self, centres: Floats) -> Floats:
        """The grey level of centres of weighted features, (k, channels) -> (k,), about."""
        used = self.weights > 0
        found: Floats = grey_of(
            np.divide(centres, self.weights, np.zeros_like(centres), where=used)
        )
        return found


def smoothed_grey(view: View) -> Floats:
    """Smoothed grey levels of the included pixels of the sampled windows, (n,)."""
    found = (
        smooth(view.grey(window))[~view.read_excluded(*window)] for window in sampled_windows(view)
    )
    return np.concatenate([np.empty(0, np.float32), *found])


def channel_weights(spread: NDArray[np.float64], grey: Floats) -> Floats:
    """Weights of the channels from their standard deviations, and from the smoothed grey levels."""
    spread = np.append(spread[:-1], grey.std(dtype=np.float64) / MODE_WEIGHT**2)
    return np.where(spread > 0, 1 / np.sqrt(np.maximum(spread, 1e-12)), 0).astype(np.float32)


def features_in(view: View, window: Window, levels: GreyLevels, scale: str) -> Floats:
    """Features in a window, found with the margin that they need."""
    around, inside = widened(window, reach(scale), view.shape)
    return find_features(view.grey(around), levels, scale)[inside]
