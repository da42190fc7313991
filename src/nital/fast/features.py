"""Features: the grey level of a pixel, decomposed by the size of the objects around it.

The grey level is decomposed into bands, by the size and the length of the bright or dark object to
which the pixel belongs at each level: threshold decomposition, with the differences of successive
area openings (Vincent 1992). Pixels of the same grey level thus differ if they belong to small and
to large objects. Further features are the remainder, the local contrast, and the mode of the
histogram. Averaged over a neighbourhood, the bands are its granulometry, which distinguishes
textures.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nital.fast.settings import SCALES

SMOOTHING = 1.0
"""Standard deviation in pixels of the Gaussian that first removes noise."""

N_LEVELS = 32
TAILS = 0.5
"""Percentage of the grey levels below the lowest level, and above the highest."""

AREAS = (32, 200, 1000)
"""In pixels: a band holds objects smaller than its area, but not smaller than the previous one."""

LONG = 5.0
"""An object this many times longer than wide, and not smaller than the first area, is long."""

CONTRAST_WINDOW = 12.0
"""Standard deviation in pixels of the window in which local contrast is measured."""

MODE_WEIGHT = 2.0
"""Weight of the mode, relative to that of the smoothed grey level."""

N_BINS = 256
SEPARABLE = 0.7
"""A group of grey levels is split in two if this fraction of its variance lies between the two
(Otsu 1979). It is 0.64 for a single normal distribution, and nearly 1 for two far apart."""

VALLEY_WIDTH = 0.03
"""Standard deviation, as a fraction of the grey range, by which the histogram is smoothed."""

BLUR = dict(zip(SCALES, (0.0, 4.0, 16.0), strict=True))
"""Standard deviation in pixels of the neighbourhood over which each scale averages."""

CHANNELS = (
    *(f"bright_below_{area}" for area in AREAS),
    "bright_long",
    *(f"dark_below_{area}" for area in AREAS),
    "dark_long",
    "rest",
    "contrast_of_2",
    "contrast_of_4",
    "mode",
)
"""Names of the channels, in order."""

_N_BANDS = len(AREAS) + 1


def grey_of(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The smoothed grey level that features add up to: (..., channels), not weighted -> (...)."""
    bright, dark = features[..., :_N_BANDS], features[..., _N_BANDS : 2 * _N_BANDS]
    found: NDArray[np.float32] = bright.sum(-1) - dark.sum(-1) + features[..., 2 * _N_BANDS]
    return found


@dataclass(frozen=True)
class GreyLevels:
    """Grey levels of a micrograph, as needed to find its features."""

    low: float
    high: float
    """Range of the smoothed grey level, without its tails."""

    modes: tuple[float, ...]
    """Means of the groups of grey levels, in rising order; usually a single one."""

    cuts: tuple[float, ...]
    """Grey levels that separate the groups."""

    @classmethod
    def of(cls, smoothed: NDArray[np.float32]) -> "GreyLevels":
        """Determine them from smoothed grey levels, (n,)."""
        low, high = (float(each) for each in np.percentile(smoothed, (TAILS, 100 - TAILS)))
        if low == high:  # nearly all pixels are equal
            low, high = float(smoothed.min()), float(smoothed.max())
        counts, edges = _histogram(np.clip(smoothed, low, high), low, high)
        centres = (edges[:-1] + edges[1:]) / 2
        places = _cuts(counts.astype(float), centres)
        groups = zip(np.split(counts, places), np.split(centres, places), strict=True)
        modes = tuple(float(np.average(levels, weights=share)) for share, levels in groups)
        return cls(low, high, modes, tuple(edges[places].tolist()))


def _cuts(counts: NDArray[np.float64], levels: NDArray[np.float64], depth: int = 2) -> list[int]:
    """Split a histogram in two, and each part once more, if they are separable.

    It is split at the lowest point between the means of the two parts or, if there is no valley
    between them, at Otsu's threshold.
    """
    if depth == 0 or np.count_nonzero(counts) < 2:
        return []
    place, ends, separability = _otsu(counts, levels)
    if separability < SEPARABLE:
        return []
    first, last = np.searchsorted(levels, ends)
    height = ndimage.gaussian_filter1d(counts, VALLEY_WIDTH * N_BINS, mode="nearest")
    valley = first + int(height[first : last + 1].argmin())
    place = valley if first < valley < last else place
    lower = _cuts(counts[:place], levels[:place], depth - 1)
    upper = _cuts(counts[place:], levels[place:], depth - 1)
    return [*lower, place, *(place + each for each in upper)]


def _otsu(
    counts: NDArray[np.float64], levels: NDArray[np.float64]
) -> tuple[int, tuple[float, float], float]:
    """Otsu's threshold (1979).

    Returns the first level above it, the means of both parts, and the fraction of the variance that
    lies between them.
    """
    share = counts / counts.sum()
    below, means = np.cumsum(share)[:-1], np.cumsum(share * levels)
    total, means = means[-1], means[:-1]
    between = (total * below - means) ** 2 / np.maximum(below * (1 - below), 1e-12)
    place = int(between.argmax())
    ends = means[place] / below[place], (total - means[place]) / (1 - below[place])
    variance = share @ (levels - total) ** 2
    return place + 1, (float(ends[0]), float(ends[1])), float(between[place] / variance)


def _histogram(
    grey: NDArray[np.float32], low: float, high: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts in `N_BINS` between these levels, and the edges of the bins."""
    if high - low < 2 * N_BINS * np.spacing(np.float32(max(abs(low), abs(high)))):
        return np.histogram(grey.astype(float), N_BINS, (low, high))  # finer than float32 resolves
    return np.histogram(grey, N_BINS, (low, high))


def dark_and_bright(smoothed: NDArray[np.float32]) -> tuple[float, float]:
    """Means of the darker and of the brighter grey levels, (n,), split at Otsu's threshold.

    If two constituents differ in grey level, neither mean depends on their area fractions; if none
    do, the two lie about a standard deviation apart around the mean. For equal levels, they are
    equal.
    """
    low, high = float(smoothed.min()), float(smoothed.max())
    if low == high:
        return low, high
    counts, edges = _histogram(smoothed, low, high)
    return _otsu(counts.astype(float), (edges[:-1] + edges[1:]) / 2)[1]


def smooth(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth the grey level to remove noise."""
    smoothed: NDArray[np.float32] = ndimage.gaussian_filter(grey, SMOOTHING)
    return smoothed


def find_features(grey: NDArray[np.float32], levels: GreyLevels, scale: str) -> NDArray[np.float32]:
    """Find the features of every pixel of an image, or of a window with a sufficient margin.

    Parameters
    ----------
    grey : (rows, cols), float32 in [0, 1]
    levels : GreyLevels
        Of the whole micrograph, so that windows agree.
    scale : {"fine", "medium", "coarse"}
        Width of the neighbourhood that the features are averaged over (`BLUR`).

    Returns
    -------
    (rows, cols, channels), float32
        `CHANNELS`, in grey levels of [0, 1].
    """
    smoothed = smooth(grey)
    features = np.empty((*grey.shape, len(CHANNELS)), np.float32)
    rest = features[..., 2 * _N_BANDS]
    rest[:] = smoothed
    thresholds = np.linspace(levels.low, levels.high, N_LEVELS + 1)
    step = (levels.high - levels.low) / N_LEVELS
    with ThreadPoolExecutor() as pool:  # the functions called release the GIL
        contrast = pool.submit(_contrast, grey, smoothed)
        bright = pool.submit(_size_bands, smoothed, thresholds[1:])
        dark = pool.submit(_size_bands, -smoothed, -thresholds[-2::-1])
        for first, sign, found in ((0, 1, bright), (_N_BANDS, -1, dark)):
            for band, count in enumerate(found.result(), start=first):
                np.multiply(count, step, out=features[..., band], casting="unsafe")
                rest -= sign * features[..., band]
        features[..., 2 * _N_BANDS + 1 : -1] = contrast.result()
    features[..., -1] = np.asarray(levels.modes)[np.digitize(smoothed, levels.cuts)]
    if BLUR[scale]:
        for channel in range(len(CHANNELS)):
            features[..., channel] = ndimage.gaussian_filter(features[..., channel], BLUR[scale])
    return features


def _contrast(grey: NDArray[np.float32], smoothed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Root mean square of the detail removed by two blurs, in a window: (rows, cols, 2)."""
    contrast = np.empty((*grey.shape, 2), np.float32)
    for place, (image, sigma) in enumerate(((grey, 2), (smoothed, 4))):
        detail = image - ndimage.gaussian_filter(grey, sigma)
        power = ndimage.gaussian_filter(np.square(detail), CONTRAST_WINDOW)
        np.sqrt(np.maximum(power, 0), out=contrast[..., place])
    return contrast


def reach(scale: str) -> int:
    """Margin of the image needed around a window, in pixels.

    The blurs end there. An object that extends beyond is measured as far as it is visible.
    """
    return 128 + round(4 * BLUR[scale])


def _size_bands(values: NDArray[np.float32], thresholds: NDArray[np.float64]) -> NDArray[np.int8]:
    """Number of levels at which a pixel belongs to an object of each band: (bands, rows, cols).

    An object is a connected component of the pixels that reach a level. It is measured by its runs,
    the pieces of rows that it consists of, which are far fewer than its pixels.
    """
    n_rows, n_cols = values.shape
    changes = np.zeros((_N_BANDS, n_rows, n_cols + 1), np.int8)
    padded = np.zeros((n_rows, n_cols + 2), bool)
    for threshold in thresholds:
        np.greater_equal(values, threshold, out=padded[:, 1:-1])
        components, n = ndimage.label(padded[:, 1:-1])
        edges = np.flatnonzero(padded.ravel()[1:] != padded.ravel()[:-1])
        row, start = np.divmod(edges[::2], n_cols + 2)
        stop = edges[1::2] - row * (n_cols + 2)
        component = components[row, start]
        band = _bands_of(component, row, start, stop, n)[component]
        kept = band < _N_BANDS
        changes[band[kept], row[kept], start[kept]] += 1
        changes[band[kept], row[kept], stop[kept]] -= 1
    return changes.cumsum(axis=2, dtype=np.int8)[..., :-1]


def _bands_of(
    component: NDArray[np.int32],
    row: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    n: int,
) -> NDArray[np.int64]:
    """The band of components 0 to n, from their runs; `_N_BANDS` for those too large for any.

    Length over width follows from the larger of the two principal moments; it is exact for
    rectangles.
    """
    length = (stop - start).astype(float)
    col = (start + stop - 1) / 2
    area = np.bincount(component, length, n + 1)
    size = np.maximum(area, 1)
    mean_row = np.bincount(component, length * row, n + 1) / size
    mean_col = np.bincount(component, length * col, n + 1) / size
    down, along = row - mean_row[component], col - mean_col[component]
    # The moment of a pixel, which is a square, is 1/12; that of a run along its row, length^2 / 12.
    of_rows = np.bincount(component, length * (down**2 + 1 / 12), n + 1) / size
    of_cols = np.bincount(component, length * (along**2 + length**2 / 12), n + 1) / size
    mixed = np.bincount(component, length * down * along, n + 1) / size
    largest = (of_rows + of_cols) / 2 + np.hypot((of_rows - of_cols) / 2, mixed)
    band = np.digitize(area, AREAS)
    large = band == len(AREAS)
    band[(area >= AREAS[0]) & (12 * largest >= LONG * area)] = len(AREAS)
    band[large] = _N_BANDS
    return band
