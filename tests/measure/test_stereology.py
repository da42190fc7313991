"""Statistics over fields and the point count: by hand, against scipy, against a naive count."""

import math
from dataclasses import astuple
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats

from nital.errors import InputError
from nital.measure.stereology import count_points, over_fields

FIELDS = st.lists(st.floats(0, 1), min_size=2, max_size=12)
MAPS = hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 4))


def test_statistics_by_hand() -> None:
    found = over_fields([0.20, 0.24, 0.18, 0.22, 0.26])
    assert found.n == 5
    assert found.mean == pytest.approx(0.22)
    assert found.std == pytest.approx(0.03162, abs=5e-6)
    assert found.ci95 == pytest.approx(0.03926, abs=5e-6)  # t = 2.776
    assert found.relative_accuracy == pytest.approx(17.85, abs=5e-3)
    assert found.more_fields == 11  # 5 * 1.785**2 = 15.9


@given(FIELDS)
def test_interval_is_that_of_scipy(fields: list[float]) -> None:
    found = over_fields(fields)
    assert found.std is not None
    assert found.ci95 is not None
    assert found.mean == pytest.approx(np.mean(fields))
    assert found.std == pytest.approx(np.std(fields, ddof=1), abs=1e-15)
    if found.std > 1e-12:
        low, high = stats.t.interval(
            0.95, len(fields) - 1, found.mean, found.std / math.sqrt(len(fields))
        )
        assert found.ci95 == pytest.approx((high - low) / 2)


@given(FIELDS, st.randoms(use_true_random=False))
def test_order_of_the_fields_does_not_matter(fields: list[float], random: Random) -> None:
    shuffled = list(fields)
    random.shuffle(shuffled)
    assert over_fields(shuffled) == over_fields(fields)


@given(st.floats(0.001, 1), st.integers(2, 12))
def test_equal_fields(fraction: float, n: int) -> None:
    assert astuple(over_fields([fraction] * n)) == (n, fraction, 0, 0, 0, 0)


@given(st.lists(st.floats(0, 1), min_size=20, max_size=40))
def test_four_times_the_fields_halve_the_interval(fields: list[float]) -> None:
    once, four = over_fields(fields), over_fields(fields * 4)
    assert once.ci95 is not None
    assert four.ci95 == pytest.approx(once.ci95 / 2, rel=0.08)


def test_one_field_has_no_interval() -> None:
    assert astuple(over_fields([0.3])) == (1, 0.3, None, None, None, None)


def test_a_phase_that_is_not_there_has_no_relative_accuracy() -> None:
    assert astuple(over_fields([0, 0, 0])) == (3, 0, 0, 0, None, None)


@pytest.mark.parametrize(
    ("fractions", "said"),
    [
        ([], r"shape \(0,\)"),
        ([[0.1, 0.2]], r"shape \(1, 2\)"),
        ([0.1, math.nan], "nan: not from 0 to 1"),
        ([0.1, 22], "22.0: not from 0 to 1; divide percent"),
        ([-0.1, 0.2], "-0.1"),
    ],
)
def test_fractions_that_can_not_be(fractions: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        over_fields(fractions)


@pytest.mark.parametrize("points", [(1, 1), (3, 5), (6, 8)])
@given(labels=MAPS)
def test_points_one_by_one(points: tuple[int, int], labels: NDArray[np.uint8]) -> None:
    counts, n_points = np.zeros(4), 0
    for i in range(points[0]):
        for j in range(points[1]):
            row = math.floor((i + 0.5) * labels.shape[0] / points[0] + 0.5)
            col = math.floor((j + 0.5) * labels.shape[1] / points[1] + 0.5)
            meeting = {int(labels[r, c]) for r in (row - 1, row) for c in (col - 1, col)}
            if 0 in meeting:
                continue
            n_points += 1
            for label in meeting:
                counts[label - 1] += 1 / len(meeting)
    if not n_points:
        with pytest.raises(InputError, match="excluded"):
            count_points(labels, 4, points=points)
        return
    found = count_points(labels, 4, points=points)
    assert found == pytest.approx(counts / n_points)
    assert found.sum() == pytest.approx(1)


def test_points_on_a_boundary_are_shared() -> None:
    assert count_points(np.array([[1, 1], [1, 2]]), 2, points=(1, 1)).tolist() == [0.5, 0.5]
    three = count_points(np.array([[1, 1], [3, 2]]), 4, points=(1, 1))
    assert three == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    halves = np.repeat([1, 2], 8)[None].repeat(16, axis=0)
    assert count_points(halves, 2, points=(4, 4)).tolist() == [0.5, 0.5]
    assert count_points(halves, 2, points=(5, 5)).tolist() == [0.5, 0.5]  # a column on the boundary


def test_excluded_area_does_not_count() -> None:
    labels = np.repeat([1, 1, 0, 2], 4)[None].repeat(16, axis=0)
    assert count_points(labels, 2, points=(15, 15)) == pytest.approx([7 / 10, 3 / 10])


def test_many_points_give_the_area_fraction() -> None:
    row, col = np.mgrid[:300, :400]
    labels = np.where(np.hypot(row - 140, col - 170) < 110, 2, 1)
    labels[np.hypot(row - 200, col - 330) < 40] = 3
    areas = np.bincount(labels.ravel())[1:] / labels.size
    assert count_points(labels, 3, points=(299, 399)) == pytest.approx(areas, abs=0.003)
    assert count_points(labels, 3, points=(60, 80)) == pytest.approx(areas, abs=0.006)


@pytest.mark.parametrize(
    ("labels", "points", "said"),
    [
        (np.ones((4, 4), int), (4, 3), "4 x 3 points on 4 x 4 pixels"),
        (np.ones((4, 4), int), (0, 3), "0 x 3 points"),
        (np.zeros((4, 4), int), (2, 2), "excluded"),
        (np.full((4, 4), 3), (2, 2), "label 3: above the 2 classes"),
        (np.full((4, 4), -1), (2, 2), "label -1"),
        (np.ones((4, 4)), (2, 2), "float64"),
        (np.ones((4, 4, 3), int), (2, 2), r"\(4, 4, 3\)"),
    ],
)
def test_points_that_can_not_be(
    labels: NDArray[np.int64], points: tuple[int, int], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        count_points(labels, 2, points=points)
