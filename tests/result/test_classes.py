"""Classes: fine ones joined, numbered from the darkest to the brightest, and their table."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nital.result.classes import from_dark_to_bright, tabulate_classes
from nital.result.criteria import RegionStatistics, measure_regions

RAW = hnp.arrays(np.int64, (6, 7), elements=st.integers(0, 9))
GREY = hnp.arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32))
EXCLUDED = hnp.arrays(np.bool_, (6, 7)).filter(lambda mask: not mask.all())


def ordered(raw: np.ndarray, grey: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Labels from dark to bright, of a map with any numbers from 0."""
    labels = np.where(excluded, 0, raw + 1)
    number: np.ndarray = from_dark_to_bright(measure_regions(grey, labels))
    return number[labels]


@given(RAW, GREY, EXCLUDED)
def test_order_keeps_the_partition_and_rises_in_grey(
    raw: np.ndarray, grey: np.ndarray, excluded: np.ndarray
) -> None:
    labels = ordered(raw, grey, excluded)
    assert (labels[excluded] == 0).all()
    pairs = set(zip(raw[~excluded].tolist(), labels[~excluded].tolist(), strict=True))
    k = len(pairs)
    assert len({old for old, _ in pairs}) == k
    assert {new for _, new in pairs} == set(range(1, k + 1))
    means = [grey[labels == label].astype(np.float64).mean() for label in range(1, k + 1)]
    assert all(low <= high + 1e-6 for low, high in pairwise(means))


@given(RAW, GREY, EXCLUDED, st.permutations(range(10)))
def test_renumbering_the_input_changes_nothing_where_means_differ(
    raw: np.ndarray, grey: np.ndarray, excluded: np.ndarray, order: list[int]
) -> None:
    found = np.unique(raw[~excluded])
    means = [grey[(raw == label) & ~excluded].astype(np.float64).mean() for label in found]
    if len({round(mean, 5) for mean in means}) < len(found):
        return
    renumbered = np.array(order)[raw]
    assert (ordered(raw, grey, excluded) == ordered(renumbered, grey, excluded)).all()


def test_equal_means_keep_the_order_of_their_numbers() -> None:
    labels = ordered(np.array([[7, 4]]), np.full((1, 2), 0.5, np.float32), np.zeros((1, 2), bool))
    assert labels.tolist() == [[2, 1]]


def test_table_by_hand() -> None:
    labels = np.array([[1, 1, 1, 3], [0, 0, 3, 3]], np.uint8)
    grey = np.array([[0, 0.1, 0.2, 1], [0.5, 0.5, 1, 1]], np.float32)
    first, third = tabulate_classes(measure_regions(grey, labels))
    assert (first.label, first.n_pixels, first.area_fraction) == (1, 3, 0.5)
    assert first.mean_grey == pytest.approx(25.5)
    assert (third.label, third.n_pixels, third.area_fraction) == (3, 3, 0.5)
    assert third.mean_grey == pytest.approx(255)


def test_absent_classes_have_a_row_where_they_are_asked_for() -> None:
    labels = np.array([[2, 2, 0, 4]], np.uint8)
    statistics = measure_regions(np.full((1, 4), 0.2, np.float32), labels, 5)
    assert [row.label for row in tabulate_classes(statistics)] == [2, 4]
    rows = tabulate_classes(statistics, absent=True)
    assert [row.label for row in rows] == [1, 2, 3, 4, 5]
    assert [row.n_pixels for row in rows] == [0, 2, 0, 1, 0]
    assert [row.area_fraction for row in rows] == pytest.approx([0, 2 / 3, 0, 1 / 3, 0])
    assert [row.mean_grey is None for row in rows] == [True, False, True, False, True]


def test_numbers_rise_from_dark_to_bright_and_equal_ones_keep_their_order() -> None:
    areas = np.array([4.0, 0, 2, 1, 3])
    greys = np.array([90.0, 10, 20, 90, 30])
    classes = RegionStatistics(areas, np.repeat(greys[:, np.newaxis], 3, axis=1), np.zeros(5))
    assert from_dark_to_bright(classes).tolist() == [0, 3, 0, 1, 4, 2]
