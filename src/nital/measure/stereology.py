"""Statistics over the fields of a specimen, and the point count, as in ASTM E562 [1] and E1245 [2].

A field is one micrograph of a specimen. A tile of a micrograph is not a field: neighbouring tiles
are alike, and an interval from them would be too narrow.

References
----------
.. [1] ASTM E562, Standard Test Method for Determining Volume Fraction by Systematic Manual Point
   Count.
.. [2] ASTM E1245, Standard Practice for Determining the Inclusion or Second-Phase Constituent
   Content of Metals by Automatic Image Analysis.
"""

import math
import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nital.errors import InputError

WANTED_ACCURACY = 10
"""Relative accuracy in % that E562 considers good enough for most purposes."""


@dataclass(frozen=True)
class FieldStatistics:
    """Area fraction of one phase over the fields of a specimen.

    Halving the relative accuracy takes four times as many fields.
    """

    n: int
    """Number of fields."""

    mean: float
    """Mean area fraction, 0 to 1: the estimate of the volume fraction."""

    std: float | None
    """Standard deviation of the fields, with n - 1; None for one field, like all values below."""

    ci95: float | None
    """Half the width of the 95 % confidence interval of the mean: t s / sqrt(n), with Student's t
    of n - 1 degrees of freedom."""

    relative_accuracy: float | None
    """100 ci95 / mean in %; None where the mean is 0."""

    more_fields: int | None
    """Number of further fields that a relative accuracy of 10 % takes, if they are like these; None
    if there is no relative accuracy. It uses t for the present fields, which is conservative for
    few.
    """


def over_fields(fractions: ArrayLike) -> FieldStatistics:
    """Mean and confidence interval of the area fraction of one phase.

    Parameters
    ----------
    fractions : (n,), float, 0 to 1
        Area fraction, or point fraction, in each field.

    Raises
    ------
    InputError
        If there is no field, or a fraction is not a number from 0 to 1.

    Examples
    --------
    >>> found = over_fields([0.20, 0.24, 0.18, 0.22, 0.26])
    >>> round(found.mean, 3), round(found.ci95, 4), round(found.relative_accuracy, 1)
    (0.22, 0.0393, 17.8)
    >>> found.more_fields
    11
    """
    values = np.asarray(fractions, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise InputError(
            f"area fractions of shape {values.shape}: expected one per field; give one or more"
        )
    if (wrong := ~((values >= 0) & (values <= 1))).any():  # true of NaN too
        raise InputError(
            f"area fraction {values[wrong][0]}: not from 0 to 1; divide percent by 100, and leave"
            " out fields that were not measured"
        )
    fields, n = values.tolist(), len(values)
    mean = statistics.mean(fields)  # exact: the order of the fields can't matter
    if n == 1:
        return FieldStatistics(n, mean, None, None, None, None)
    from scipy.special import stdtrit  # Student's t without the second that scipy.stats takes

    std = statistics.stdev(fields)
    ci95 = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
    if mean == 0:
        return FieldStatistics(n, mean, std, ci95, None, None)
    accuracy = 100 * ci95 / mean
    more = max(0, math.ceil(n * (accuracy / WANTED_ACCURACY) ** 2) - n)
    return FieldStatistics(n, mean, std, ci95, accuracy, more)


def count_points(
    labels: NDArray[np.integer], n_classes: int, *, points: tuple[int, int] = (10, 10)
) -> NDArray[np.float64]:
    """Point fractions P_P of classes 1..n_classes on a regular grid, as counted by hand.

    A point lies on the corner where four pixels meet. If they are of one class, it counts one for
    this class; otherwise the point lies on a boundary, and the classes that meet share it equally:
    one half each for two. A point with an excluded pixel is not counted.

    Parameters
    ----------
    labels : (rows, cols), int, 0 to n_classes
        0 is excluded.
    points : (int, int)
        Rows and columns of the grid, spread evenly over the field to the nearest corner. E562 uses
        16 to 100 points per field, so few that two of them rarely hit one region.

    Returns
    -------
    (n_classes,), float64
        They sum to 1. Regions of a few pixels are nearly all boundary, and are overestimated.

    Raises
    ------
    InputError
        If the labels are of an unsupported kind or range, the grid is finer than the field, or no
        point is left.

    Examples
    --------
    >>> count_points(np.repeat([[1, 1, 2, 2]], 4, axis=0), 2, points=(3, 3))
    array([0.5, 0.5])
    """
    check_labels(labels, n_classes)
    for length, n in zip(labels.shape, points, strict=True):
        if not 1 <= n < length:
            raise InputError(
                f"{points[0]} x {points[1]} points on {labels.shape[0]} x {labels.shape[1]} pixels:"
                " use 1 point or more each way, and fewer than the pixels"
            )
    rows, cols = (_corners(*each) for each in zip(labels.shape, points, strict=True))
    four = np.stack(
        [labels[np.ix_(rows - up, cols - left)].ravel() for up in (0, 1) for left in (0, 1)]
    )  # (4, points)
    four = four[:, (four != 0).all(axis=0)]
    if not four.size:
        raise InputError(
            f"{points[0]} x {points[1]} points: all of them lie on excluded area; use more points"
        )
    meets = np.stack([(four == label).any(axis=0) for label in range(1, n_classes + 1)])
    fractions: NDArray[np.float64] = (meets / meets.sum(axis=0)).mean(axis=1)  # (n_classes, points)
    return fractions


def check_labels(labels: NDArray[np.integer], n_classes: int | None = None) -> None:
    """Raise InputError unless labels are a 2-D array of whole numbers from 0 to `n_classes`."""
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or not labels.size:
        raise InputError(
            f"labels of shape {labels.shape}, kind {labels.dtype}: expected whole numbers in"
            " (rows, cols)"
        )
    if labels.min() < 0:
        raise InputError(f"label {labels.min()}: negative; use 1 to k, and 0 for excluded pixels")
    if n_classes is not None and labels.max() > n_classes:
        raise InputError(
            f"label {labels.max()}: above the {n_classes} classes; use 0 to {n_classes}"
        )


def _corners(length: int, n: int) -> NDArray[np.intp]:
    """(n,): corners i between pixels i - 1 and i, nearest to the middles of n equal parts."""
    return ((2 * np.arange(n) + 1) * length + n) // (2 * n)
