"""Criteria of a segmentation that need no reference: F, F' and Q. Lower is better.

The criteria sum up the deviation of the pixels from the mean colour of their region, and penalise
many and small regions. With R regions of areas A_i in an image of N x M pixels, and R(A) the number
of regions that have exactly the area A:

    F  = sqrt(R) / (1000 N M) * sum_i e_i^2 / sqrt(A_i)                              (Eq. 5, [1])
    F' = sqrt(sum_A R(A)^(1 + 1/A)) / (1000 N M) * sum_i e_i^2 / sqrt(A_i)           (Eq. 6, [2])
    Q  = sqrt(R) / (1000 N M) * sum_i [e_i^2 / (1 + log A_i) + (R(A_i) / A_i)^2]     (Eq. 7, [2])

The equations are those of Kim, Inoue and Kasuya [3]. `e_i^2` is the sum, over the pixels of the
region and the three channels, of the squared difference from the region's mean on a scale of 0 to
255, as in [1] and [2]. The logarithm is natural; the sources do not name its base. Pixels with the
label 0 are excluded: they are in no region, and not counted in N x M.

References
----------
.. [1] Liu, J. & Yang, Y. Multiresolution color image segmentation. IEEE TPAMI 16, 689-700 (1994).
.. [2] Borsotti, M., Campadelli, P. & Schettini, R. Quantitative evaluation of color image
   segmentation results. Pattern Recognition Letters 19, 741-747 (1998).
.. [3] Kim, H., Inoue, J. & Kasuya, T. Scientific Reports 10, 17835 (2020).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, SettingError
from nital.settings import REGIONS


@dataclass(frozen=True)
class Criteria:
    """F, F' and Q of one segmentation; lower is better."""

    F: float
    F_prime: float
    Q: float


def evaluate(
    pixels: NDArray[np.floating] | NDArray[np.uint8],
    labels: NDArray[np.integer],
    *,
    regions: str = "classes",
) -> Criteria:
    """Compute F, F' and Q of a label map.

    Parameters
    ----------
    pixels : (rows, cols, 3) or (rows, cols), float in [0, 1] or uint8
        A grey image counts as three equal channels.
    labels : (rows, cols), int, 0 or more
        Any numbering; 0 is excluded.
    regions : {"classes", "components"}
        What a region is: all pixels of a class, as the paper counts R (its Fig. 10), or each
        connected piece of a class (pixels that share an edge).

    Raises
    ------
    InputError
        If the shapes differ, the pixels are of an unsupported kind or range, a label is negative,
        or every pixel is excluded.
    SettingError
        If `regions` is unknown.

    Examples
    --------
    >>> image = np.array([[0.0, 0.0, 1.0, 1.0]])
    >>> evaluate(image, np.array([[1, 1, 2, 2]])).F
    0.0
    >>> round(evaluate(image, np.array([[1, 1, 1, 1]])).F, 3)  # 4 * 3 * 127.5**2 / 2 / 4000
    24.384
    """
    _check(pixels, labels, regions)
    if regions == "components":
        from skimage.measure import label as connected_components  # slow to load

        labels = connected_components(labels, background=0, connectivity=1)
    return criteria_of(measure_regions(pixels, labels))


@dataclass(frozen=True)
class RegionStatistics:
    """Areas and colours of regions 1..n, from which the criteria are computed.

    Statistics of two parts of an image add up to those of both, and regions can be joined, without
    reading the pixels again.
    """

    areas: NDArray[np.float64]
    """(n,): A_i in pixels; 0 for an unused number."""

    means: NDArray[np.float64]
    """(n, 3): mean colour, 0 to 255."""

    errors: NDArray[np.float64]
    """(n,): e_i^2."""

    @classmethod
    def empty(cls, n_regions: int) -> "RegionStatistics":
        """Statistics of regions that have no pixels yet, to which parts of an image are added."""
        return cls(np.zeros(n_regions), np.zeros((n_regions, 3)), np.zeros(n_regions))

    def __add__(self, other: "RegionStatistics") -> "RegionStatistics":
        both = RegionStatistics(
            np.concatenate([self.areas, other.areas]),
            np.concatenate([self.means, other.means]),
            np.concatenate([self.errors, other.errors]),
        )
        return both.joined(np.tile(np.arange(1, len(self.areas) + 1), 2))

    def joined(self, number: NDArray[np.integer]) -> "RegionStatistics":
        """Statistics of joined regions; `number` (n,) gives the new region of each, 1 to k.

        Errors are taken about the new means (Chan, Golub and LeVeque 1983), so that no large sums
        are subtracted.
        """
        n = int(number.max())
        index = number - 1
        areas = np.bincount(index, self.areas, minlength=n).astype(np.float64)
        # About the mean of one of the parts, so that the difference of equal colours is exactly 0.
        anchor = np.zeros((n, self.means.shape[1]))
        anchor[index[self.areas > 0]] = self.means[self.areas > 0]
        offset = np.where(self.areas[:, None] > 0, self.means - anchor[index], 0)
        mean = (
            np.stack(
                [np.bincount(index, self.areas * each, minlength=n) for each in offset.T], axis=1
            )
            / np.maximum(areas, 1)[:, None]
        )
        moved = ((offset - mean[index]) ** 2).sum(axis=1)
        errors = np.bincount(index, self.errors + self.areas * moved, minlength=n)
        return RegionStatistics(areas, anchor + mean, errors.astype(np.float64))


def criteria_of(regions: RegionStatistics) -> Criteria:
    """F, F' and Q from the statistics of the regions."""
    found = regions.areas > 0
    areas, errors = regions.areas[found], regions.errors[found]
    n_regions = len(areas)
    scale = 1 / (1000 * areas.sum())
    distinct, index, same = np.unique(areas, return_inverse=True, return_counts=True)
    spread = float((errors / np.sqrt(areas)).sum())
    penalty = errors / (1 + np.log(areas)) + (same[index] / areas) ** 2
    return Criteria(
        F=float(scale * np.sqrt(n_regions) * spread),
        F_prime=float(scale * np.sqrt((same ** (1 + 1 / distinct)).sum()) * spread),
        Q=float(scale * np.sqrt(n_regions) * penalty.sum()),
    )


def criteria_with(
    regions: str,
    classes: RegionStatistics,
    pixels: NDArray[np.float32] | None,
    labels: NDArray[np.unsignedinteger],
) -> Criteria:
    """Criteria from the statistics of the classes if they are the regions, else from the pixels."""
    if regions == "classes" or pixels is None:
        return criteria_of(classes)
    return evaluate(pixels, labels, regions=regions)


def measure_regions(
    pixels: NDArray[np.floating] | NDArray[np.uint8],
    labels: NDArray[np.integer],
    n_regions: int | None = None,
) -> RegionStatistics:
    """Area, mean colour and colour error of each region.

    Parameters are those of `evaluate`; regions are the labels 1 to `n_regions`, or to the largest.
    """
    index = labels.ravel()
    length = 0 if n_regions is None else n_regions + 1
    areas = np.bincount(index, minlength=length).astype(np.float64)
    planes = pixels.reshape(index.size, -1).T  # (channels, n)
    full_scale = 1 if pixels.dtype == np.uint8 else 255
    anchor = np.zeros_like(areas)
    errors, means = np.zeros_like(areas), []
    for plane in planes:
        # About the mean, in a second pass: the difference of two large sums would lose precision.
        level = full_scale * plane.astype(np.float64)
        anchor[index] = level  # a pixel of the region, so that a uniform region gives exactly 0
        level -= anchor[index]
        mean = np.bincount(index, weights=level, minlength=length) / np.maximum(areas, 1)
        level -= mean[index]
        np.square(level, out=level)
        errors += np.bincount(index, weights=level, minlength=length)
        means.append(anchor + mean)
    colours = np.stack(means * (3 // len(means)), axis=1)
    return RegionStatistics(areas[1:], colours[1:], errors[1:] * (3 / len(planes)))


def _check(
    pixels: NDArray[np.floating] | NDArray[np.uint8], labels: NDArray[np.integer], regions: str
) -> None:
    if regions not in REGIONS:
        raise SettingError(f"regions {regions!r}: unknown; use one of {', '.join(REGIONS)}")
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise InputError(
            f"labels of shape {labels.shape}, kind {labels.dtype}: expected whole numbers in"
            " (rows, cols)"
        )
    if pixels.shape[:2] != labels.shape or pixels.ndim not in (2, 3):
        raise InputError(
            f"the image has shape {pixels.shape}, the labels {labels.shape}; they must be of the"
            " same field, pixel for pixel"
        )
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3):
        raise InputError(f"{pixels.shape[2]} channels; use grey or RGB, without transparency")
    in_range = pixels.dtype.kind == "f" and pixels.size and 0 <= pixels.min() <= pixels.max() <= 1
    if pixels.dtype != np.uint8 and pixels.size and not in_range:
        raise InputError(
            f"pixels of kind {pixels.dtype} from {pixels.min()} to {pixels.max()}; use uint8, or"
            " floats from 0 to 1"
        )
    if labels.size == 0 or labels.max() < 1:
        raise InputError("labels: every pixel is 0, excluded; there is nothing to evaluate")
    if labels.min() < 0:
        raise InputError(f"label {labels.min()}: negative; use 1 to k, and 0 for excluded pixels")
