"""Sampling: the pixels of a micrograph that fast mode learns from."""

from dataclasses import dataclass

import numpy as np

from nital.errors import InputError
from nital.fast.features import (
    CHANNELS,
    GreyLevels,
)
from nital.fast.space import FeatureSpace, Floats, channel_weights, features_in, smoothed_grey
from nital.fast.windows import Window, blocks, sampled_windows
from nital.image.micrograph import Source

SAMPLE_PIXELS = 2**16
NOTHING_INCLUDED = "every pixel is excluded or transparent; there is nothing to learn from"


@dataclass(frozen=True)
class Sample(FeatureSpace):
    """The features of sampled pixels of a micrograph, and how to find those of the others."""

    values: Floats
    """(n, channels): weighted features of pixels drawn from the whole included area."""

    shape: tuple[int, int]
    """(rows, cols) of the image."""

    whole: Floats | None
    """(rows, cols, channels): the weighted features of an image of a single block, else None."""

    def features(self, source: Source, window: Window) -> Floats:
        """The weighted features in a window: (rows, cols, channels)."""
        return super().features(source, window) if self.whole is None else self.whole[window]


def take_sample(source: Source, scale: str) -> Sample:
    """Find the grey levels of a micrograph, and the features of some of its pixels.

    Each channel is divided by the square root of its standard deviation, so that rare objects have
    more weight than in grey levels, and less than if all channels had the same spread. The mode has
    `MODE_WEIGHT` times the weight of the smoothed grey level.

    Nothing here depends on a seed: repeats share the sample.

    Parameters
    ----------
    source : Source
        Of a large image, only some windows are read.
    scale : {"fine", "medium", "coarse"}

    Raises
    ------
    InputError
        If every pixel is excluded.
    """
    windows = sampled_windows(source)
    single = len(blocks(source.shape)) == 1
    included = [~source.read_excluded(*window).ravel() for window in windows]
    known = smoothed_grey(source)
    if not len(known):
        raise InputError(NOTHING_INCLUDED)
    levels = GreyLevels.of(known)
    found = [features_in(source, window, levels, scale) for window in windows]
    drawn = np.arange(len(known))
    if len(known) > SAMPLE_PIXELS:
        drawn = np.random.default_rng(0).choice(len(known), SAMPLE_PIXELS, replace=False)
    values = np.empty((len(drawn), len(CHANNELS)), np.float32)
    spread = np.empty(len(CHANNELS))
    for channel in range(len(CHANNELS)):  # one by one, to save memory
        columns = [each[..., channel].ravel() for each in found]
        column = np.concatenate([each[kept] for each, kept in zip(columns, included, strict=True)])
        values[:, channel] = column[drawn]
        spread[channel] = column.std(dtype=np.float64)
    weights = channel_weights(spread, known)
    values *= weights
    whole = None
    if single:
        whole = found[0]
        whole *= weights
    return Sample(levels, weights, scale, None, values, source.shape, whole)
