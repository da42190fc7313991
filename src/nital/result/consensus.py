"""Consensus of disturbed views, or of repeats with several seeds, and their agreement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nital.result.agreement import iou_of, table_of

MAX_ROUNDS = 5


@dataclass(frozen=True)
class Consensus:
    """One label map for several, and their agreement with it."""

    labels: NDArray[np.uint8]
    """(rows, cols): the class that most maps assign to a pixel, 0 where none has a class."""

    agreement: NDArray[np.float32]
    """(rows, cols): fraction of the maps that assign this class to a pixel."""

    fractions: NDArray[np.float64]
    """(maps, k): area fraction of each class in each map; 0 for an absent one."""


def find_consensus(
    maps: Sequence[NDArray[np.unsignedinteger]], excluded: NDArray[np.bool_]
) -> Consensus:
    """Align label maps of one micrograph, and take the majority vote.

    The classes of each map are matched with those of the map that agrees best with all others, so
    that the sum of IoU is largest; then with those of the majority vote, until it no longer
    changes. Ties go to the lowest class.

    Parameters
    ----------
    maps : sequence of (rows, cols), unsigned
        1..k, with k up to 255, which may differ between maps.
    excluded : (rows, cols), bool
        Pixels that count in no area fraction.
    """
    k = max(int(each.max()) for each in maps)
    reference = max(
        maps, key=lambda one: sum(_n_agreeing(table_of(each, one, k + 1)) for each in maps)
    )
    for _ in range(MAX_ROUNDS):
        aligned = [_match(table_of(each, reference, k + 1))[each] for each in maps]
        labels, votes = _vote(aligned, k)
        if (labels == reference).all():
            break
        reference = labels
    agreement = (votes / np.float32(len(maps))).astype(np.float32)
    counts = np.stack([np.bincount(each[~excluded], minlength=k + 1)[1:] for each in aligned])
    return Consensus(labels, agreement, counts / np.count_nonzero(~excluded))


def _match(table: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Match the labels 0..k with those of the reference, one to one, by their contingency table."""
    number = np.arange(len(table), dtype=np.uint8)
    rows, cols = linear_sum_assignment(iou_of(table[1:, 1:]), maximize=True)
    number[rows + 1] = cols + 1
    return number


def _n_agreeing(table: NDArray[np.int64]) -> int:
    """Number of pixels on which two maps agree when matched."""
    return int(table[np.arange(1, len(table)), _match(table)[1:]].sum())


def _vote(
    maps: Sequence[NDArray[np.uint8]], k: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """The majority class of each pixel, the lowest in a tie, and its number of votes."""
    labels = np.zeros(maps[0].shape, np.uint8)
    most = np.zeros(maps[0].shape, np.uint16)
    for label in range(1, k + 1):
        votes = np.zeros(maps[0].shape, np.uint16)
        for each in maps:
            votes += each == label
        more = votes > most
        labels[more] = label
        most[more] = votes[more]
    return labels, most
