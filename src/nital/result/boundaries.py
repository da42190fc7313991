"""Boundaries: label maps at the pixels of a micrograph, with boundaries where its grey turns.

The image of an edge is blurred, half of it to each side. The boundary between two classes is
therefore placed where the grey level lies midway between the two sides, for a line of a pixel as
well as for a large grain.
"""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.image.micrograph import nearest_places

ALIKE = 3.0
"""Pixels are averaged with those around them as far as they differ by no more than about this many
standard deviations of the noise: a line of one pixel stays as narrow as it is."""

REACH = 1.5
"""The two sides of a boundary are looked for as many pixels of the view away: features are blurred
by one, and labels are rounded to whole ones."""

SPAN = 1.2
"""The two sides differ by this times sqrt(2 ln n) standard deviations of the noise, or the boundary
stays: noise alone hardly spans as many among the n pixels of a square."""

LEAST_STEP = 0.9
"""Towards either side of an edge grey changes from a pixel to the next by this, or more, times what
it would if it changed evenly as far as is looked; in a layer of a grey between the two it does not.
"""

LAYER = 0.1
"""The grey level of a layer is by this share of their difference away from both sides."""

_ROWS_AT_ONCE = 256
_FAR = 2.0**10
_TIE = 1e-4
_TINY = 1e-12
Labels = NDArray[np.unsignedinteger]
Part = tuple[NDArray[np.float32], NDArray[np.bool_]]


def enlarge(labels: Labels, shape: tuple[int, int]) -> Labels:
    """A label map with other numbers of rows and columns, interpolated linearly.

    Each pixel gets the class that most of its surroundings belong to, the lowest in a tie; label 0
    only where there is nothing else.
    """
    if labels.shape == shape:
        return labels.copy()
    found = np.empty(shape, labels.dtype)
    (above, down), (left, along) = map(_neighbours, labels.shape, shape)
    for first in range(0, shape[0], _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        near, weights = [], []
        for row, share_of_row in ((0, 1 - down[rows]), (1, down[rows])):
            for col, share_of_col in ((0, 1 - along), (1, along)):
                near.append(labels[np.ix_(above[row, rows], left[col])])
                weights.append(np.multiply.outer(share_of_row, share_of_col))
        found[rows] = _majority(near, weights)
    return found


def _neighbours(own: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each pixel along an axis the two nearest of another sampling, (2, n), and the weight of
    the second."""
    place = np.clip((np.arange(length) + 0.5) * own / length - 0.5, 0, own - 1)
    first = place.astype(np.int64)
    return np.stack([first, np.minimum(first + 1, own - 1)]), (place - first).astype(np.float32)


def _majority(near: list[Labels], weights: list[NDArray[np.float32]]) -> Labels:
    """The label, 0 aside, that has the largest part of the weights at each pixel."""
    shares = np.stack(
        [
            sum(weight * (other == label) for other, weight in zip(near, weights, strict=True))
            for label in near
        ]
    )
    shares[np.stack(near) == 0] = -1
    most = shares.max(axis=0)
    candidates = np.where(shares > most - _TIE, np.stack(near), np.iinfo(near[0].dtype).max)
    found: Labels = np.where(most > _TIE, candidates.min(axis=0), 0)
    return found


def nearest_pixels(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """An image with other numbers of rows and columns: the values of the nearest pixels."""
    return values[np.ix_(*map(nearest_places, shape, values.shape))]


def reach_of(step: float) -> int:
    """How many pixels away the sides of a boundary are, if a pixel of the view is `step` wide."""
    return max(1, math.ceil(REACH * step))


def place_boundaries(
    labels: Labels,
    grey: NDArray[np.float32],
    reach: int,
    noise: float,
    levels: NDArray[np.floating],
) -> Labels:
    """Move boundaries to where the grey level lies midway between the two sides.

    A pixel gets the class of the dark pixels nearby if its grey level is below the middle of the
    darkest and the brightest, else that of the bright ones. So a line of a pixel is as wide as in
    the picture, and a rim of intermediate grey is divided between the two sides. Where grey hardly
    differs, and in a layer of intermediate grey, which is flatter than an edge, classes stay.

    Parameters
    ----------
    labels : (rows, cols), uint8
        1..k; 0 is excluded, and stays.
    grey : (rows, cols), float
    reach : int
        Nearby are the pixels of a square as far away; what is placed depends on one more.
    noise : float
        Standard deviation of the noise of `grey` (`noise_of`).
    levels : (k,)
        Mean grey level of each class, about.

    Returns
    -------
    (rows, cols), of the dtype of `labels`
    """
    margin, levels = reach + 1, np.append(0, levels).astype(np.float32)

    def placed(first: int) -> Labels:
        start, stop = max(0, first - margin), first + _ROWS_AT_ONCE
        around = slice(start, stop + margin)
        found = _placed(labels[around], grey[around], reach, noise, levels)
        return found[first - start : stop - start]

    with ThreadPoolExecutor(2) as pool:  # the filters release the GIL
        return np.concatenate(list(pool.map(placed, range(0, len(labels), _ROWS_AT_ONCE))))


def _placed(
    labels: Labels,
    grey: NDArray[np.float32],
    reach: int,
    noise: float,
    levels: NDArray[np.floating],
) -> Labels:
    known, side = labels > 0, 2 * reach + 1
    clean = _denoised(grey, known, ALIKE * noise)
    dark, bright = _extremes(clean, known, side)
    contrast, middle = bright - dark, (dark + bright) / 2
    is_dark = clean < middle
    away = np.where(is_dark, clean - dark, bright - clean)
    next_dark, next_bright = _extremes(clean, known, 3)
    step = np.where(is_dark, clean - next_dark, next_bright - clean)
    is_layer = (away > LAYER * contrast) & (reach * step < LEAST_STEP * away)
    # Grey level and class in one number: the extremes bring the classes of their pixels. The level
    # of the class counts as well: beside an edge a pixel may still have that of the other side.
    scale = max(float(np.abs(levels).max()), _TINY)
    level = np.clip((clean + levels[labels]) / np.float32(scale), -8, 7.99)
    both = ((2**20 * (level + 8)).astype(np.uint32) << 8) | labels
    darkest = ndimage.minimum_filter(np.where(known, both, np.iinfo(np.uint32).max), side)
    brightest = ndimage.maximum_filter(np.where(known, both, 0), side)
    placed = np.where(is_dark, darkest, brightest) & 0xFF
    least = SPAN * math.sqrt(2 * math.log(side**2)) * noise
    moved = known & ~is_layer & (contrast > least)
    return np.where(moved, placed, labels).astype(labels.dtype)


def _extremes(
    grey: NDArray[np.float32], known: NDArray[np.bool_], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the greatest known grey level in a square around each pixel."""
    far = np.float32(_FAR)
    dark = ndimage.minimum_filter(np.where(known, grey, far), side)
    return dark, ndimage.maximum_filter(np.where(known, grey, -far), side)


def mean_levels(labels: Labels, grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean grey level of each class, (k,)."""
    total, area = np.bincount(labels.ravel(), grey.ravel()), np.bincount(labels.ravel())
    return total[1:] / np.maximum(area[1:], 1)


def noise_of(parts: Iterable[Part], reach: int) -> float:
    """Standard deviation of the noise: from the differences of pixels (median absolute).

    They are half as far away as the sides of a boundary: the noise of neighbours may be alike.

    Parameters
    ----------
    parts : iterable of grey, known
        Parts of a micrograph, (rows, cols), and which pixels to use.
    reach : int
        As for `place_boundaries`.
    """
    steps, away = [], (reach + 1) // 2
    for grey, known in parts:
        for one, other in ((np.s_[:, away:], np.s_[:, :-away]), (np.s_[away:], np.s_[:-away])):
            steps.append(np.abs(grey[one] - grey[other])[known[one] & known[other]])
    each = np.concatenate([np.empty(0, np.float32), *steps])
    return float(1.4826 * np.median(each) / np.sqrt(2)) if len(each) else 0.0


def _denoised(
    grey: NDArray[np.float32], known: NDArray[np.bool_], alike: float
) -> NDArray[np.float32]:
    """The grey level by a bilateral filter of 3 x 3 pixels (Tomasi and Manduchi 1998).

    A pixel that differs by `alike` has 0.6 times the weight of an equal one, and one that is not
    known has none.
    """
    if alike == 0:
        return grey
    apart = np.where(known, grey, np.float32(_FAR))
    return _weighted_means(np.pad(apart, 1, mode="symmetric"), np.float32(alike))


def _weighted_means(padded: NDArray[np.float32], alike: np.float32) -> NDArray[np.float32]:
    """The means of all but the outermost pixels.

    The sums are those of a mirrored or turned image to the last digit: opposite neighbours are
    added first.
    """
    grey = padded[1:-1, 1:-1]
    (rows, cols), total, weight = grey.shape, grey.copy(), np.ones_like(grey)
    for axes in (((0, 1), (1, 0)), ((1, 1), (1, -1))):  # beside, and across a corner
        sums = []
        for down, along in axes:
            terms = []
            for sign in (1, -1):
                top, left = 1 + sign * down, 1 + sign * along
                near = padded[top : top + rows, left : left + cols]
                share = np.exp(-(((near - grey) / alike) ** 2 + down**2 + along**2) / 2)
                terms.append((share * near, share))
            sums.append([one + other for one, other in zip(*terms, strict=True)])
        total += sums[0][0] + sums[1][0]
        weight += sums[0][1] + sums[1][1]
    means: NDArray[np.float32] = total / weight
    return means
