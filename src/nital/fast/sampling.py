"""Sampling: what fast mode learns from, as much for one megapixel as for a thousand micrographs."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.errors import InputError
from nital.fast.features import (
    CHANNELS,
    MODE_WEIGHT,
    GreyLevels,
    dark_and_bright,
    find_features,
    reach,
    smooth,
)
from nital.image.micrograph import LargeMicrograph, Micrograph, Source, luminance, step_within

BLOCK_SIDE = 2048
"""Features are found block by block, of at most so many rows and columns."""

TILE_SIDE = 256
N_TILES = 16
"""Of an image of several blocks, so many tiles from all over it are the sample."""

SAMPLE_PIXELS = 2**16

GREY_PIXELS, LEAST_GREY = 2**20, 2**8
"""Of several images, so many pixels in all tell the range of grey, and at least so many of each."""

PREVIEW_SIDE = 500
"""A preview has so many rows and columns at most."""

DISTANCE = 16
"""What lies so many pixels above, below, left and right of a pixel are its surroundings."""

_LEAST_CONTRAST = 1e-6
_NOTHING_INCLUDED = "every pixel is excluded or transparent; there is nothing to learn from"

Opener = Callable[[], Micrograph | LargeMicrograph]
Floats = NDArray[np.float32]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Exposure:
    """Brightness and contrast that every micrograph is brought to before it is compared."""

    dark: float
    bright: float
    """Mean smoothed grey level of the darker and of the brighter part of the included area
    (`features.dark_and_bright`)."""

    def align(self, source: Source) -> Source:
        """The micrograph as if it had been taken so."""
        known = _smoothed_grey(source)
        if not len(known):
            return source
        return _Aligned(source, *self.gain_and_offset(*dark_and_bright(known)))

    def gain_and_offset(self, dark: float, bright: float) -> tuple[float, float]:
        """What brings these two levels to those of the exposure."""
        gain = (self.bright - self.dark) / max(bright - dark, _LEAST_CONTRAST)
        return gain, self.dark - gain * dark


@dataclass(frozen=True)
class _Aligned:
    """A source with another brightness and contrast; its values may leave [0, 1]."""

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
    """(channels,): what features are multiplied by."""

    scale: str
    exposure: Exposure | None
    """None: the grey levels are taken as they are."""

    def view(self, source: Source) -> Source:
        """A micrograph as its features are to be found in it."""
        return source if self.exposure is None else self.exposure.align(source)

    def features(self, source: Source, window: Window) -> Floats:
        """The weighted features in a window of a view: (rows, cols, channels)."""
        return _features(source, window, self.levels, self.scale) * self.weights


@dataclass(frozen=True)
class Sample(FeatureSpace):
    """The features of some pixels of a micrograph, and how to find those of the others."""

    values: Floats
    """(n, channels): weighted features of pixels drawn from all over the included area."""

    shape: tuple[int, int]
    """(rows, cols) of the image."""

    whole: Floats | None
    """(rows, cols, channels): the weighted features of an image of a single block."""

    def features(self, source: Source, window: Window) -> Floats:
        """The weighted features in a window: (rows, cols, channels)."""
        return super().features(source, window) if self.whole is None else self.whole[window]


@dataclass(frozen=True)
class Preview:
    """Every few pixels of a micrograph, to watch how it is divided while classes are found."""

    features: Floats
    """(rows, cols, channels): weighted."""

    known: NDArray[np.bool_]
    """(rows, cols): whether there are features: not where nothing is learned from a pixel."""


@dataclass(frozen=True)
class CommonSample:
    """Pixels drawn from several micrographs, as many from each."""

    space: FeatureSpace
    values: Floats
    """(n, channels): their weighted features."""

    around: Floats
    """(n, channels): those of a pixel of the surroundings of each, in a direction by chance."""

    pixels: NDArray[np.float32]
    """(n, 3): their colours, at the common exposure if there is one."""

    images: tuple[tuple[str, str | None], ...]
    """Name and SHA-256 of each micrograph."""

    preview: Preview | None
    """Of the first micrograph, if it was asked for."""


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
    windows = sampled_windows(source)
    single = len(blocks(source.shape)) == 1
    included = [~source.read_excluded(*window).ravel() for window in windows]
    known = _smoothed_grey(source)
    if not len(known):
        raise InputError(_NOTHING_INCLUDED)
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
    weights = _weights(spread, known)
    values *= weights
    whole = None
    if single:
        whole = found[0]
        whole *= weights
    return Sample(levels, weights, scale, None, values, source.shape, whole)


def take_common_sample(
    images: Sequence[Opener],
    scale: str,
    *,
    align: bool,
    run_all: Callable[..., Iterable[Any]] = map,
    on_image: Callable[[], None] | None = None,
) -> CommonSample:
    """Find grey levels and weights that several micrographs share, and the features of some pixels.

    Each image is opened twice, and forgotten; the sample is as large for a thousand as for ten.

    Parameters
    ----------
    images : sequence of callables
        Each opens a micrograph; one or more.
    scale : {"fine", "medium", "coarse"}
    align : bool
        Whether brightness and contrast of each are brought in line before they are compared.
    run_all : callable
        As `map`, or the `map` of an executor.
    on_image : callable, optional
        Called after each image; only then there is a preview.

    Raises
    ------
    InputError
        If an image can't be read, or every pixel of one is excluded.
    """
    n_greys = max(LEAST_GREY, GREY_PIXELS // len(images))
    found = list(run_all(partial(_draw_grey, n=n_greys), images))
    greys, exposure = [each.grey for each in found], None
    if align:
        exposure = Exposure(
            fmean(each.dark for each in found), fmean(each.bright for each in found)
        )
        for i, each in enumerate(found):
            gain, offset = exposure.gain_and_offset(each.dark, each.bright)
            greys[i] = each.grey * np.float32(gain) + np.float32(offset)
    known = np.concatenate(greys)
    plain = FeatureSpace(GreyLevels.of(known), np.ones(len(CHANNELS), np.float32), scale, exposure)
    n = max(1, SAMPLE_PIXELS // len(images))
    preview: Preview | None = None
    drawn, previews = [], [on_image is not None, *[False] * (len(images) - 1)]
    for *each, seen in run_all(partial(_draw_features, space=plain, n=n), images, previews):
        drawn.append(each)
        preview = seen or preview
        if on_image is not None:
            on_image()
    values, around, pixels = (np.concatenate(each) for each in zip(*drawn, strict=True))
    weights = _weights(values.std(axis=0, dtype=np.float64), known)
    space = replace(plain, weights=weights)
    named = tuple((each.name, each.sha256) for each in found)
    if preview is not None:
        preview = replace(preview, features=preview.features * weights)
    return CommonSample(space, values * weights, around * weights, pixels, named, preview)


@dataclass(frozen=True)
class _DrawnGrey:
    """What is known of the grey levels of one of several images."""

    grey: Floats
    """(n,): of some pixels, smoothed."""

    dark: float
    bright: float
    """Of all."""

    name: str
    sha256: str | None


def _draw_grey(open_image: Opener, n: int) -> _DrawnGrey:
    source = open_image()
    known = _smoothed_grey(source)
    if not len(known):
        raise InputError(f"{source.name}: {_NOTHING_INCLUDED}")
    drawn = np.random.default_rng(0).choice(len(known), min(n, len(known)), replace=False)
    return _DrawnGrey(known[drawn], *dark_and_bright(known), source.name, source.sha256)


def _smoothed_grey(source: Source) -> Floats:
    """Of the included pixels of what an image is learned from, (n,)."""
    found = [np.empty(0, np.float32)]
    for window in sampled_windows(source):
        included = ~source.read_excluded(*window)
        found.append(smooth(_grey(source, window))[included])
    return np.concatenate(found)


def _draw_features(
    open_image: Opener, with_preview: bool, *, space: FeatureSpace, n: int
) -> tuple[Floats, Floats, Floats, Preview | None]:
    """Features of n pixels of one image and of one pixel around each, (n, channels); their colours,
    (n, 3); a preview, or None."""
    source, rng = space.view(open_image()), np.random.default_rng(0)
    windows = sampled_windows(source)
    places = [np.argwhere(~source.read_excluded(*window)) for window in windows]
    shares = rng.multinomial(n, np.array([len(each) for each in places]) / sum(map(len, places)))
    found, preview = [], _empty_preview(source.shape) if with_preview else None
    for window, place, share in zip(windows, places, shares, strict=True):
        if not share:
            continue
        features = space.features(source, window)
        row, col = place[rng.choice(len(place), share, replace=share > len(place))].T
        beside = _beside(row, col, ~source.read_excluded(*window), rng)
        found.append((features[row, col], features[beside], source.read(*window)[row, col]))
        if preview is not None:
            step = step_within(source.shape, PREVIEW_SIDE)
            first = tuple(slice(-part.start % step, None, step) for part in window)
            there = tuple(slice(-(-part.start // step), -(-part.stop // step)) for part in window)
            preview.features[there] = features[first]
            preview.known[there] = ~source.read_excluded(*window)[first]
    values, around, pixels = (np.concatenate(each) for each in zip(*found, strict=True))
    return values, around, pixels, preview


def _empty_preview(shape: tuple[int, int]) -> Preview:
    step = step_within(shape, PREVIEW_SIDE)
    rows, cols = (-(-length // step) for length in shape)
    return Preview(np.zeros((rows, cols, len(CHANNELS)), np.float32), np.zeros((rows, cols), bool))


def _beside(
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    included: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each pixel one that lies `DISTANCE` away, by chance; itself where none is included."""
    rows, cols = row.copy(), col.copy()
    directions = np.array([(-DISTANCE, 0), (DISTANCE, 0), (0, -DISTANCE), (0, DISTANCE)])
    tried = rng.permuted(np.tile(np.arange(4), (len(row), 1)), axis=1)
    for choice in tried.T[::-1]:  # the first of each pixel comes last, and stays
        down, right = directions[choice].T
        there = (np.clip(row + down, 0, included.shape[0] - 1) == row + down) & (
            np.clip(col + right, 0, included.shape[1] - 1) == col + right
        )
        there[there] = included[(row + down)[there], (col + right)[there]]
        rows[there], cols[there] = (row + down)[there], (col + right)[there]
    return rows, cols


def _weights(spread: NDArray[np.float64], grey: Floats) -> Floats:
    """Weights of the channels from their standard deviations, and from the smoothed grey levels."""
    spread = np.append(spread[:-1], grey.std(dtype=np.float64) / MODE_WEIGHT**2)
    return np.where(spread > 0, 1 / np.sqrt(np.maximum(spread, 1e-12)), 0).astype(np.float32)


def sampled_windows(source: Source) -> list[Window]:
    """What an image is learned from: all of it, or, of several blocks, tiles from all over."""
    windows = blocks(source.shape)
    return windows if len(windows) == 1 else list(_choose_tiles(source))


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
