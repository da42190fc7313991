"""Classes: their order, from the darkest to the brightest, and their table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassRow:
    """One row of the table of classes."""

    label: int
    """Its number in the label map, from 1."""

    n_pixels: int
    area_fraction: float
    """Share of the pixels that are not excluded, 0 to 1."""

    mean_grey: float
    """Mean luminance, 0 (black) to 255 (white)."""


def order_labels(
    raw: NDArray[np.int64], grey: NDArray[np.float32], excluded: NDArray[np.bool_]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Number the classes of a label map 1 to k from the darkest to the brightest.

    Parameters
    ----------
    raw : (rows, cols), int, 0 or more
        Any numbering, with gaps or not.
    grey : (rows, cols), float
        Grey level by which to order; classes of equal mean keep the order of their numbers.
    excluded : (rows, cols), bool
        Pixels that get the label 0.

    Returns
    -------
    (rows, cols), uint8, or uint16 for more than 255 classes
    """
    found, index = np.unique(raw[~excluded], return_inverse=True)
    means = np.bincount(index, weights=grey[~excluded]) / np.bincount(index)
    number = np.empty(len(found), np.int64)
    number[np.argsort(means, kind="stable")] = np.arange(1, len(found) + 1)
    labels = np.zeros(raw.shape, np.uint8 if len(found) <= np.iinfo(np.uint8).max else np.uint16)
    labels[~excluded] = number[index]
    return labels


def tabulate_classes(
    labels: NDArray[np.integer], grey: NDArray[np.float32]
) -> tuple[ClassRow, ...]:
    """Area and mean grey level of each class of a label map; 0 counts as excluded.

    Parameters: (rows, cols) of int, 0 or more; (rows, cols) of float in [0, 1].
    """
    n_pixels = np.bincount(labels.ravel())
    grey_sum = np.bincount(labels.ravel(), weights=grey.ravel())
    total = n_pixels[1:].sum()
    return tuple(
        ClassRow(
            int(label),
            int(n_pixels[label]),
            float(n_pixels[label] / total),
            float(255 * grey_sum[label] / n_pixels[label]),
        )
        for label in np.flatnonzero(n_pixels[1:]) + 1
    )
