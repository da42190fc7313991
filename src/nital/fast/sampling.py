"""Sampling: the pixels of a micrograph that fast mode learns from."""

import math
from dataclasses import dataclass

import numpy as np

from nital.errors import InputError
from nital.fast.features import CHANNELS, GreyLevels
from nital.fast.settings import CORRECTED, KEPT
from nital.fast.space import FeatureSpace, Floats, channel_weights, features_in, smoothed_grey
from nital.fast.view import View
from nital.image.micrograph import spread_over
from nital.image.windows import Window, blocks, sampled_windows

SAMPLE_PIXELS = 2**16
NOTHING_INCLUDED = "every pixel is excluded or transparent; there is nothing to learn from"


@dataclass(frozen=True)
class Sample(FeatureSpace):
    """The features of sampled pixels of a view, and how to find those of the others."""

    values: Floats
    """(n, channels): weighted features of about `SAMPLE_PIXELS` pixels, evenly spread over the view
    or, in a view of several blocks, over tiles of it."""

    seen: View
    whole: Floats | None
    """(rows, cols, channels): the weighted features of a view of a single block, else None."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the image."""
        return self.seen.source.shape

    def features(self, view: View, window: Window) -> Floats:
        """The weighted features in a window of the view: (rows, cols, channels)."""
        return super().features(view, window) if self.whole is None else self.whole[window]


def take_sample(view: View, scale: str, *, light: str = CORRECTED) -> Sample:
    """Find the grey levels of a view, and the features of its pixels, or of some of them.

    Each channel is divided by the square root of its standard deviation, so that rare objects have
    more weight than in grey levels, and less than if all channels had the same spread. The mode has
    `MODE_WEIGHT` times the weight of the smoothed grey level.

    Parameters
    ----------
    view : View
    scale : {"fine", "medium", "coarse"}
    light : {"corrected", "kept"}
        As in `FastSettings`: whether uneven light is removed in the view.

    Raises
    ------
    InputError
        If every pixel is excluded.
    """
    windows = sampled_windows(view)
    included = [~view.read_excluded(*window) for window in windows]
    n_pixels = sum(each.size for each in included)
    step = max(1, round(math.sqrt(n_pixels / SAMPLE_PIXELS)))
    places = [np.ix_(*(spread_over(length, step) for length in each.shape)) for each in included]
    known = smoothed_grey(view)
    if not len(known):
        raise InputError(NOTHING_INCLUDED)
    levels = GreyLevels.of(known)
    found = [features_in(view, window, levels, scale) for window in windows]
    values = np.concatenate(
        [
            each[place][kept[place]]
            for each, kept, place in zip(found, included, places, strict=True)
        ]
    )
    if not len(values):  # few pixels are included
        values = np.concatenate([each[kept] for each, kept in zip(found, included, strict=True)])
    spread = np.array(
        [values[:, channel].std(dtype=np.float64) for channel in range(len(CHANNELS))]
    )
    weights = channel_weights(spread, known)
    values *= weights
    whole = None
    if len(blocks(view.shape)) == 1:
        whole = found[0]
        whole *= weights
    return Sample(
        levels=levels,
        weights=weights,
        scale=scale,
        exposure=None,
        step=view.step,
        tone=view.tone,
        light=None if light == KEPT else view.light,
        values=values,
        seen=view,
        whole=whole,
    )
