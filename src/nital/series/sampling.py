"""Sampling of many micrographs: the pixels a model is fitted to, as many for ten as for 1000."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.fast.features import (
    CHANNELS,
    GreyLevels,
    dark_and_bright,
)
from nital.fast.sampling import NOTHING_INCLUDED, SAMPLE_PIXELS
from nital.fast.settings import KEPT
from nital.fast.space import (
    DISTANCE,
    Exposure,
    FeatureSpace,
    Floats,
    channel_weights,
    smoothed_grey,
)
from nital.fast.view import MOST_PIXELS, light_and_colours, look_at, step_of
from nital.image.light import EVEN, Light, common_light, find_light
from nital.image.micrograph import (
    LargeMicrograph,
    Micrograph,
    luminance,
    spread_pixels,
    step_within,
)
from nital.image.tone import Tone, tone_of
from nital.image.windows import sampled_windows

GREY_PIXELS, LEAST_GREY = 2**20, 2**8
"""Pixels that determine the range of grey of several images: in all, and at least from each."""

PREVIEW_SIDE = 500
"""Largest number of rows and columns of a preview."""

Opener = Callable[[], Micrograph | LargeMicrograph]


@dataclass(frozen=True)
class Preview:
    """A subsampled micrograph on which the classes are shown while they are found."""

    features: Floats
    """(rows, cols, channels): weighted."""

    known: NDArray[np.bool_]
    """(rows, cols): whether a pixel has features; false where it is excluded or not sampled."""


@dataclass(frozen=True)
class CommonSample:
    """Pixels drawn from several micrographs, equally many from each."""

    space: FeatureSpace
    values: Floats
    """(n, channels): their weighted features."""

    around: Floats
    """(n, channels): weighted features of a neighbour of each, in a random direction."""

    pixels: NDArray[np.float32]
    """(n, 3): their colours, at the common exposure if there is one."""

    images: tuple[tuple[str, str | None], ...]
    """Name and SHA-256 of each micrograph."""

    preview: Preview | None
    """Preview of the first micrograph, if requested."""


@dataclass(frozen=True)
class Looks:
    """How several micrographs are looked at."""

    step: float
    tone: Tone
    light: Light | None
    """That of the series; None if light is kept."""

    lights: tuple[Light, ...]
    """That on each: of the series, or its own."""


def find_looks(
    images: Sequence[Opener], light: str, run_all: Callable[..., Iterable[Any]] = map
) -> Looks:
    """Find how several micrographs are looked at, so that they can be compared.

    Parameters are those of `take_common_sample`.
    """
    given = EVEN if light == KEPT else None
    steps, lights, scatters = zip(*run_all(partial(_look_of, light=given), images), strict=True)
    step, tone = math.exp(fmean(map(math.log, steps))), tone_of(sum(scatters))
    if light == KEPT:
        return Looks(step, tone, None, lights)
    usual = common_light(lights)
    if len(images) > 1:
        lights = tuple(run_all(partial(_light_on, usual=usual), images, lights))
    return Looks(step, tone, usual, lights)


def take_common_sample(
    images: Sequence[Opener],
    scale: str,
    looks: Looks,
    *,
    align: bool,
    run_all: Callable[..., Iterable[Any]] = map,
    on_image: Callable[[], None] | None = None,
) -> CommonSample:
    """Find grey levels and weights that several micrographs share, and the features of a sample.

    Each image is opened a few times and not kept; the sample is as large for a thousand as for ten.

    Parameters
    ----------
    images : sequence of callables
        Each opens a micrograph; one or more.
    scale : {"fine", "medium", "coarse"}
    looks : Looks
        Of these micrographs.
    align : bool
        Whether to normalise brightness and contrast of each micrograph first.
    run_all : callable
        `map`, or the `map` of an executor.
    on_image : callable, optional
        Called after each image; without it there is no preview.

    Raises
    ------
    InputError
        If an image can't be read, or every pixel of one is excluded.
    """
    n_greys = max(LEAST_GREY, GREY_PIXELS // len(images))
    draw = partial(_draw_grey, n=n_greys, step=looks.step, tone=looks.tone)
    found = list(run_all(draw, images, looks.lights))
    greys, exposure = [each.grey for each in found], None
    if align:
        exposure = Exposure(
            fmean(each.dark for each in found), fmean(each.bright for each in found)
        )
        for i, each in enumerate(found):
            gain, offset = exposure.gain_and_offset(each.dark, each.bright)
            greys[i] = each.grey * np.float32(gain) + np.float32(offset)
    known = np.concatenate(greys)
    plain = FeatureSpace(
        GreyLevels.of(known),
        np.ones(len(CHANNELS), np.float32),
        scale,
        exposure,
        looks.step,
        looks.tone,
        looks.light,
    )
    n = max(1, SAMPLE_PIXELS // len(images))
    preview: Preview | None = None
    drawn, previews = [], [on_image is not None, *[False] * (len(images) - 1)]
    draw_features = partial(_draw_features, space=plain, n=n)
    for *each, seen in run_all(draw_features, images, looks.lights, previews):
        drawn.append(each)
        preview = seen or preview
        if on_image is not None:
            on_image()
    values, around, pixels = (np.concatenate(each) for each in zip(*drawn, strict=True))
    weights = channel_weights(values.std(axis=0, dtype=np.float64), known)
    space = replace(plain, weights=weights)
    named = tuple((each.name, each.sha256) for each in found)
    if preview is not None:
        preview = replace(preview, features=preview.features * weights)
    return CommonSample(space, values * weights, around * weights, pixels, named, preview)


@dataclass(frozen=True)
class _DrawnGrey:
    """Grey levels of one of several images."""

    grey: Floats
    """(n,): smoothed grey levels of a sample."""

    dark: float
    bright: float
    """Means of the darker and of the brighter part of all pixels."""

    name: str
    sha256: str | None


def _look_of(
    open_image: Opener, *, light: Light | None
) -> tuple[float, Light, NDArray[np.float64]]:
    """How one of several images would be looked at: its step, its light, and its colours."""
    source = open_image()
    return step_of(source.shape), *light_and_colours(source, light)


def _light_on(open_image: Opener, own: Light, *, usual: Light) -> Light:
    """That of the series, unless its own is clearly better."""
    pixels, included = spread_pixels(open_image(), MOST_PIXELS)
    return find_light(luminance(pixels), included, usual, own)


def _draw_grey(open_image: Opener, light: Light, *, n: int, step: float, tone: Tone) -> _DrawnGrey:
    source = open_image()
    known = smoothed_grey(look_at(source, step, tone, light))
    if not len(known):
        raise InputError(f"{source.name}: {NOTHING_INCLUDED}")
    drawn = np.random.default_rng(0).choice(len(known), min(n, len(known)), replace=False)
    return _DrawnGrey(known[drawn], *dark_and_bright(known), source.name, source.sha256)


def _draw_features(
    open_image: Opener, light: Light, with_preview: bool, *, space: FeatureSpace, n: int
) -> tuple[Floats, Floats, Floats, Preview | None]:
    """Return features of n pixels of one image and of a neighbour of each, (n, channels); their
    colours, (n, 3); a preview, or None."""
    view, rng = space.view(open_image(), light), np.random.default_rng(0)
    windows = sampled_windows(view)
    places = [np.argwhere(~view.read_excluded(*window)) for window in windows]
    shares = rng.multinomial(n, np.array([len(each) for each in places]) / sum(map(len, places)))
    found, preview = [], _empty_preview(view.shape) if with_preview else None
    for window, place, share in zip(windows, places, shares, strict=True):
        if not share:
            continue
        features = space.features(view, window)
        row, col = place[rng.choice(len(place), share, replace=share > len(place))].T
        beside = _beside(row, col, ~view.read_excluded(*window), rng)
        found.append((features[row, col], features[beside], view.pixels(window)[row, col]))
        if preview is not None:
            step = step_within(view.shape, PREVIEW_SIDE)
            first = tuple(slice(-part.start % step, None, step) for part in window)
            there = tuple(slice(-(-part.start // step), -(-part.stop // step)) for part in window)
            preview.features[there] = features[first]
            preview.known[there] = ~view.read_excluded(*window)[first]
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
    """Draw for each pixel one that is `DISTANCE` away; itself where all of those are excluded."""
    rows, cols = row.copy(), col.copy()
    directions = np.array([(-DISTANCE, 0), (DISTANCE, 0), (0, -DISTANCE), (0, DISTANCE)])
    tried = rng.permuted(np.tile(np.arange(4), (len(row), 1)), axis=1)
    for choice in tried.T[::-1]:  # the first choice is written last, so it wins
        down, right = directions[choice].T
        there = (np.clip(row + down, 0, included.shape[0] - 1) == row + down) & (
            np.clip(col + right, 0, included.shape[1] - 1) == col + right
        )
        there[there] = included[(row + down)[there], (col + right)[there]]
        rows[there], cols[there] = (row + down)[there], (col + right)[there]
    return rows, cols
