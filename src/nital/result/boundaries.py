"""Boundaries: label maps at the pixels of a micrograph, with boundaries where its grey turns.

The image of an edge is blurred, half of it to each side. The boundary between two classes is
therefore placed where the grey level lies midway between the two sides, for a line of a pixel as
well as for a large grain.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.image.micrograph import nearest_places

ALIKE = 3.0
"""Pixels are averaged with those around them as far as they differ by no more than about this many
standard deviations of the noise: a line of one pixel stays as narrow as it is."""

SIDE = 5
"""Edge in pixels of the square in which the two sides of a boundary are looked for."""

LEAST_CONTRAST = 3.0
"""The two sides differ by this many standard deviations of the noise, or the boundary stays: noise
alone hardly spans as many in a square."""

_ROWS_AT_ONCE = 256
Labels = NDArray[np.unsignedinteger]


def enlarge(labels: Labels, shape: tuple[int, int]) -> Labels:
    """A label map with other numbers of rows and columns, interpolated linearly.

    Each pixel gets the class that most of its surroundings belong to, the lowest in a tie; label 0
    only where there is nothing else.
    """
    if labels.shape == shape:
        return labels.copy()
    found, most = np.zeros(shape, labels.dtype), np.zeros(shape, np.float32)
    factors = [n / own for n, own in zip(shape, labels.shape, strict=True)]
    for label in range(1, int(labels.max()) + 1):
        here = labels == label
        if not here.any():
            continue
        share = ndimage.zoom(
            here.astype(np.float32), factors, order=1, mode="nearest", grid_mode=True
        )
        more = share > most + 1e-4
        found[more] = label
        most[more] = share[more]
    return found


def nearest_pixels(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """An image with other numbers of rows and columns: the values of the nearest pixels."""
    return values[np.ix_(*map(nearest_places, shape, values.shape))]


def place_boundaries(labels: Labels, grey: NDArray[np.float32]) -> Labels:
    """Move the boundaries between pairs of classes to where the grey level lies midway.

    Near a boundary of two classes, a pixel goes to the class that is darker as a whole if its grey
    level is below the middle of the darkest and the brightest nearby, else to the other. Where
    three classes meet, and where grey hardly differs, labels stay.

    Parameters
    ----------
    labels : (rows, cols), unsigned
        1..k; 0 is excluded, and stays.
    grey : (rows, cols), float

    Returns
    -------
    (rows, cols), of the dtype of `labels`
    """
    known = labels > 0
    if not known.any():
        return labels.copy()
    # What excluded pixels show has no part in it.
    clean = np.where(known, grey, grey[known].mean(dtype=np.float64)).astype(np.float32)
    noise = _noise_of(clean, known)
    clean = _denoised(clean, ALIKE * noise)
    dark, bright = ndimage.minimum_filter(clean, SIDE), ndimage.maximum_filter(clean, SIDE)
    low = ndimage.minimum_filter(labels, SIDE)
    high = ndimage.maximum_filter(labels, SIDE)
    moved = (low != high) & (low > 0) & (bright - dark > LEAST_CONTRAST * noise)
    n = int(labels.max())
    for label in range(2, n):  # a third class between the two
        between = moved & (low < label) & (label < high)
        if between.any():
            moved &= ~(between & ndimage.maximum_filter(labels == label, SIDE))
    area = np.maximum(np.bincount(labels.ravel(), minlength=n + 1), 1)
    mean = np.bincount(labels.ravel(), clean.ravel(), n + 1) / area
    rising = mean[low] < mean[high]
    is_dark = clean < (dark + bright) / 2
    return np.where(moved, np.where(is_dark == rising, low, high), labels).astype(labels.dtype)


def _denoised(grey: NDArray[np.float32], alike: float) -> NDArray[np.float32]:
    """The grey level by a bilateral filter of 3 x 3 pixels (Tomasi and Manduchi 1998).

    A pixel that differs by `alike` has 0.6 times the weight of an equal one.
    """
    if alike == 0:
        return grey
    padded, found = np.pad(grey, 1, mode="symmetric"), np.empty_like(grey)
    for first in range(0, len(grey), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        found[rows] = _weighted_means(padded[first : first + _ROWS_AT_ONCE + 2], np.float32(alike))
    return found


def _weighted_means(padded: NDArray[np.float32], alike: np.float32) -> NDArray[np.float32]:
    """As `_denoised`, without the outermost pixels.

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


def _noise_of(grey: NDArray[np.float32], known: NDArray[np.bool_]) -> float:
    """Standard deviation of the noise, from the differences of neighbours (median absolute)."""
    pairs = known[:, 1:] & known[:, :-1], known[1:] & known[:-1]
    steps = np.concatenate([np.diff(grey, axis=axis)[pairs[1 - axis]] for axis in (0, 1)])
    return float(1.4826 * np.median(np.abs(steps)) / np.sqrt(2)) if len(steps) else 0.0
