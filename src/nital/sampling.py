"""Sampling: what fast mode learns from, the same amount for one megapixel and for a thousand."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.errors import InputError
from nital.features import CHANNELS, MODE_WEIGHT, GreyLevels, find_features, reach, smooth
from nital.micrograph import Source, luminance

BLOCK_SIDE = 2048
"""Features are found block by block, of at most so many rows and columns."""

TILE_SIDE = 256
N_TILES = 16
"""Of an image of several blocks, so many tiles from all over it are the sample."""

SAMPLE_PIXELS = 2**16

Floats = NDArray[np.float32]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Sample:
    """The features of some pixels of a micrograph, and how to find those of the others."""

    values: Floats
    """(n, channels): weighted features of pixels drawn from all over the included area."""

    levels: GreyLevels
    weights: Floats
    """(channels,): what features are multiplied by."""

    scale: str
    shape: tuple[int, int]
    """(rows, cols) of the image."""

    whole: Floats | None
    """(rows, cols, channels): the weighted features of an image of a single block."""

    def features(self, source: Source, window: Window) -> Floats:
        """The weighted features in a window: (rows, cols, channels)."""
        if self.whole is not None:
            return self.whole[window]
        return _features(source, window, self.levels, self.scale) * self.weights


def take_sample(source: Source, scale: str) -> Sample:
    """Find the grey levels of a micrograph, and the features of some of its pixels.

    Each channel is divided by the root of its standard deviation: so what is rare counts more than
    in grey levels, and less than if all channels had the same spread. The mode counts as
    `MODE_WEIGHT` times the smoothed grey level.

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
    windows = blocks(source.shape)
    single = len(windows) == 1
    if not single:
        windows = list(_choose_tiles(source))
    included = [~source.read_excluded(*window).ravel() for window in windows]
    if not any(each.any() for each in included):
        raise InputError("every pixel is excluded or transparent; there is nothing to learn from")
    smoothed = [smooth(_grey(source, window)).ravel() for window in windows]
    known = np.concatenate([each[kept] for each, kept in zip(smoothed, included, strict=True)])
    levels = GreyLevels.of(known)
    found = [_features(source, window, levels, scale) for window in windows]
    drawn = np.arange(len(known))
    if len(known) > SAMPLE_PIXELS:
        drawn = np.random.default_rng(0).choice(len(known), SAMPLE_PIXELS, replace=False)
    values = np.empty((len(drawn), len(CHANNELS)), np.float32)
    spread = np.empty(len(CHANNELS))
    for channel in range(len(CHANNELS)):  # one by one: all of them are many bytes
        columns = [each[..., channel].ravel() for each in found]
        column = np.concatenate([each[kept] for each, kept in zip(columns, included, strict=True)])
        values[:, channel] = column[drawn]
        spread[channel] = column.std(dtype=np.float64)
    spread[-1] = known.std(dtype=np.float64) / MODE_WEIGHT**2
    weights = np.where(spread > 0, 1 / np.sqrt(np.maximum(spread, 1e-12)), 0).astype(np.float32)
    values *= weights
    whole = None
    if single:
        whole = found[0]
        whole *= weights
    return Sample(values, levels, weights, scale, source.shape, whole)


def blocks(shape: tuple[int, int]) -> list[Window]:
    """Windows of equal size, in reading order, that cover an image of this shape."""
    return list(_divide(shape, BLOCK_SIDE))


def _divide(shape: tuple[int, int], side: int) -> Iterator[Window]:
    rows, cols = (
        np.linspace(0, length, math.ceil(length / side) + 1).astype(int).tolist()
        for length in shape
    )
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            yield slice(top, bottom), slice(left, right)


def _choose_tiles(source: Source) -> Iterator[Window]:
    """Tiles with any included area are dealt, in reading order, into equal groups; one of each."""
    tiles = [
        tile
        for tile in _divide(source.shape, TILE_SIDE)
        if not (source.has_excluded and source.read_excluded(*tile).all())
    ]
    rng = np.random.default_rng(0)
    n_groups = max(1, min(N_TILES, len(tiles)))
    for group in np.array_split(np.arange(len(tiles)), n_groups):
        if len(group):  # else everything is excluded
            yield tiles[rng.choice(group)]


def _features(source: Source, window: Window, levels: GreyLevels, scale: str) -> Floats:
    """Features in a window, found with what lies around it."""
    margin, around, inside = reach(scale), [], []
    for part, length in zip(window, source.shape, strict=True):
        start, stop = max(0, part.start - margin), min(length, part.stop + margin)
        around.append(slice(start, stop))
        inside.append(slice(part.start - start, part.stop - start))
    return find_features(_grey(source, (around[0], around[1])), levels, scale)[tuple(inside)]


def _grey(source: Source, window: Window) -> Floats:
    """The grey level in a window; excluded pixels take that of the nearest that is not."""
    grey = luminance(source.read(*window))
    excluded = source.read_excluded(*window)
    if excluded.any() and not excluded.all():
        nearest = ndimage.distance_transform_edt(
            excluded, return_distances=False, return_indices=True
        )
        grey = grey[tuple(nearest)]
    return grey
