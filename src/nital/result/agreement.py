"""Agreement of a label map with a reference made by a person."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError


@dataclass(frozen=True)
class ClassAgreement:
    """Agreement of one class of the reference with its match."""

    reference: int
    """Its number in the reference."""

    label: int | None
    """The class matched with it; None if the label map has too few classes."""

    iou: float
    """Intersection over union of the two, 0 to 1."""

    area_fraction: float
    """Fraction of the compared pixels in the matched class."""

    reference_fraction: float
    """Fraction of the compared pixels in this class of the reference."""

    @property
    def difference(self) -> float:
        """Area fraction found, less that of the reference."""
        return self.area_fraction - self.reference_fraction


@dataclass(frozen=True)
class Agreement:
    """Agreement over all pixels that neither map excludes."""

    classes: tuple[ClassAgreement, ...]
    """One for each class of the reference, in the order of their numbers."""

    mean_iou: float
    """Sum of the IoU of the matched pairs over the number of classes in the reference, 0 to 1."""

    accuracy: float
    """Fraction of the pixels whose class is matched with their reference class, 0 to 1."""

    ari: float
    """Adjusted Rand index, at most 1; 0 is expected by chance. It needs no matching."""

    n_pixels: int
    """Number of pixels compared."""

    unmatched: dict[int, float]
    """Area fraction of each class of the label map that has no partner in the reference."""


def compare(
    labels: NDArray[np.integer], reference: NDArray[np.integer], *, ignore: int | None = None
) -> Agreement:
    """Compare a label map with a reference of the same field.

    Classes are matched one to one so that the sum of IoU is largest (Hungarian method). A reference
    class without a partner has IoU 0; a class without a partner counts as wrong.

    Parameters
    ----------
    labels : (rows, cols), int, 0 or more
        0 is excluded.
    reference : (rows, cols), int
        Any numbering; 0 is a class like any other unless it is `ignore`.
    ignore : int, optional
        The value of unlabelled pixels of the reference.

    Raises
    ------
    InputError
        If the shapes differ or no pixel is left to compare.

    Examples
    --------
    >>> found = compare(np.array([[2, 2, 1, 1]]), np.array([[5, 5, 5, 9]]))
    >>> [(row.reference, row.label, round(row.iou, 3)) for row in found.classes]
    [(5, 2, 0.667), (9, 1, 0.5)]
    >>> found.accuracy
    0.75
    """
    if labels.shape != reference.shape:
        raise InputError(
            f"the reference has shape {reference.shape}, the labels {labels.shape}; they must be of"
            " the same field, pixel for pixel"
        )
    valid = labels != 0
    if ignore is not None:
        valid &= reference != ignore
    if not valid.any():
        raise InputError("no pixel is labelled in both maps; check the ignored value")
    from scipy.optimize import linear_sum_assignment  # takes a third of a second, rarely needed

    found, label_index = np.unique(labels[valid], return_inverse=True)
    known, reference_index = np.unique(reference[valid], return_inverse=True)
    n = max(len(known), len(found))
    table = table_of(reference_index, label_index, n)[: len(known), : len(found)]
    iou = iou_of(table)
    partner = dict(zip(*linear_sum_assignment(iou, maximize=True), strict=True))
    total = int(table.sum())
    rows = tuple(
        ClassAgreement(
            reference=int(value),
            label=int(found[partner[i]]) if i in partner else None,
            iou=float(iou[i, partner[i]]) if i in partner else 0.0,
            area_fraction=float(table[:, partner[i]].sum() / total) if i in partner else 0.0,
            reference_fraction=float(table[i].sum() / total),
        )
        for i, value in enumerate(known)
    )
    return Agreement(
        classes=rows,
        mean_iou=float(np.mean([row.iou for row in rows])),
        accuracy=float(sum(table[i, j] for i, j in partner.items()) / total),
        ari=_adjusted_rand_index(table),
        n_pixels=total,
        unmatched={
            int(label): float(table[:, j].sum() / total)
            for j, label in enumerate(found)
            if j not in partner.values()
        },
    )


def table_of(first: NDArray[np.integer], second: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """Contingency table (n, n): pixels labelled i in the first map and j in the second, below n."""
    pair = first.ravel().astype(np.intp) * n + second.ravel()
    return np.bincount(pair, minlength=n * n).reshape(n, n)


def iou_of(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each pair of classes; 0 where neither has a pixel."""
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
    iou: NDArray[np.float64] = table / np.maximum(union, 1)
    return iou


def _adjusted_rand_index(table: NDArray[np.int64]) -> float:
    """Adjusted Rand index from a contingency table.

    Hubert & Arabie, Journal of Classification 2, 193-218 (1985).
    """

    def pairs(counts: NDArray[np.int64]) -> float:
        exact = counts.astype(np.float64)  # squares for large images overflow integers
        return float((exact * (exact - 1) / 2).sum())

    together = pairs(table)
    in_reference, in_labels = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = pairs(table.sum(keepdims=True))
    if total == 0:
        return 1.0
    expected = in_reference * in_labels / total
    most = (in_reference + in_labels) / 2
    if most == expected:  # both maps are one class, or every class is one pixel
        return 1.0
    return (together - expected) / (most - expected)
