"""Classes: joined by distance, numbered from the darkest to the brightest, and their table."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nital.result.classes import (
    AREA_POWER,
    ClassTree,
    from_dark_to_bright,
    join_classes,
    number_classes,
    order_labels,
    tabulate_classes,
)
from nital.result.criteria import RegionStatistics, evaluate, measure_regions

RAW = hnp.arrays(np.int64, (6, 7), elements=st.integers(0, 9))
GREY = hnp.arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32))
EXCLUDED = hnp.arrays(np.bool_, (6, 7)).filter(lambda mask: not mask.all())


@given(RAW, GREY, EXCLUDED)
def test_order_keeps_the_partition_and_rises_in_grey(
    raw: np.ndarray, grey: np.ndarray, excluded: np.ndarray
) -> None:
    labels = order_labels(raw, grey, excluded)
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
    assert (order_labels(raw, grey, excluded) == order_labels(renumbered, grey, excluded)).all()


def test_equal_means_keep_the_order_of_their_numbers() -> None:
    labels = order_labels(
        np.array([[7, 4]]), np.full((1, 2), 0.5, np.float32), np.zeros((1, 2), bool)
    )
    assert labels.tolist() == [[2, 1]]


@pytest.mark.parametrize(("k", "kind"), [(255, np.uint8), (256, np.uint16)])
def test_the_smallest_kind_that_holds_the_labels(k: int, kind: type) -> None:
    raw = np.arange(k).reshape(1, k)
    grey = np.linspace(0, 1, k, dtype=np.float32).reshape(1, k)
    labels = order_labels(raw, grey, np.zeros((1, k), bool))
    assert labels.dtype == kind
    assert labels.max() == k


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


# --- joining ------------------------------------------------------------------------------------

N_FINE = 7


def fine_classes(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and areas of seven classes, some without a pixel."""
    rng = np.random.default_rng(seed)
    areas = rng.integers(50, 1000, N_FINE) * (rng.random(N_FINE) < 0.8)
    areas[0] = 100
    return rng.random((N_FINE, 3)), areas.astype(float)


def joined_naively(
    centres: NDArray[np.float64], areas: NDArray[np.float64], k: int
) -> set[frozenset[int]]:
    """Join by trying every pair, computed anew from the members."""
    groups = [[int(i)] for i in np.flatnonzero(areas)]

    def cost(pair: tuple[list[int], list[int]]) -> float:
        sizes = [areas[members].sum() for members in pair]
        means = [areas[members] @ centres[members] / areas[members].sum() for members in pair]
        a, b = (size**AREA_POWER for size in sizes)
        return float(a * b / (a + b) * ((means[0] - means[1]) ** 2).sum())

    while len(groups) > k:
        first, second = min(combinations(groups, 2), key=cost)
        groups = [each for each in groups if each not in (first, second)] + [first + second]
    return {frozenset(members) for members in groups}


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_classes_are_joined_as_by_trying_every_pair(seed: int, k: int) -> None:
    centres, areas = fine_classes(seed)
    group = join_classes(centres, areas, k)
    found = {frozenset(np.flatnonzero(group == each).tolist()) for each in range(1, max(group) + 1)}
    assert found == joined_naively(centres, areas, k)


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_as_many_classes_as_asked_for_or_as_there_are(seed: int, k: int) -> None:
    centres, areas = fine_classes(seed)
    group = join_classes(centres, areas, k)
    in_use = areas > 0
    assert np.unique(group[in_use]).tolist() == list(range(1, 1 + min(k, in_use.sum())))
    assert (group[~in_use] == 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE - 1))
def test_fewer_classes_are_more_of_them_joined(seed: int, k: int) -> None:
    centres, areas = fine_classes(seed)
    few, many = (join_classes(centres, areas, n) for n in (k, k + 1))
    assert all(len(set(few[many == each])) == 1 for each in np.unique(many))


def joined(k: int, *classes: tuple[float, float], **how: float) -> list[int]:
    """Join classes with these areas and centres."""
    areas, centres = np.array(classes, float).T
    return join_classes(centres[:, np.newaxis], areas, k, **how).tolist()


def test_the_nearest_are_joined_by_hand() -> None:
    fine = (10, 200), (10, 50), (0, 0), (10, 203), (10, 120)
    assert joined(4, *fine) == [1, 2, 0, 3, 4]
    assert joined(3, *fine) == [1, 2, 0, 1, 3]
    assert joined(2, *fine) == [1, 2, 0, 1, 2]


def test_a_class_of_a_few_odd_pixels_is_given_up_first() -> None:
    # By the error alone the two large ones would be joined.
    assert joined(3, (5000, 1.0), (4000, 1.1), (3, 9.0), (2000, 5.0)) == [1, 2, 3, 3]
    assert joined(3, (5000, 1.0), (4000, 1.1), (300, 9.0), (2000, 5.0)) == [1, 1, 2, 3]


def test_fewer_classes_are_left_where_one_would_be_tiny() -> None:
    assert joined(3, (5000, 1.0), (3, 4.0), (4000, 9.0)) == [1, 1, 2]
    assert joined(2, (5000, 1.0), (4, 9.0)) == [1, 1]


def test_what_is_tiny_can_be_said() -> None:
    assert joined(2, (5000, 1.0), (4, 9.0), least=0) == [1, 2]
    assert joined(2, (75, 0.0), (25, 9.0), least=0.25) == [1, 2]
    assert joined(2, (75, 0.0), (25, 9.0), least=0.26) == [1, 1]
    # The class of 15 out of 100 is joined to the nearer one, although three may be left.
    assert joined(3, (60, 0.0), (25, 1.0), (15, 9.0), least=0.25) == [1, 2, 2]


def test_fewer_classes_than_asked_for_are_left_alone() -> None:
    assert joined(3, (0, 7), (5, 90), (0, 7), (5, 80)) == [0, 1, 0, 2]


def test_joining_leaves_its_input_as_it_was() -> None:
    centres, areas = fine_classes(0)
    kept = centres.copy(), areas.copy()
    join_classes(centres, areas, 2)
    assert (centres == kept[0]).all()
    assert (areas == kept[1]).all()


def test_numbers_rise_from_dark_to_bright_and_equal_ones_keep_their_order() -> None:
    areas = np.array([4.0, 0, 2, 1, 3])
    greys = np.array([90.0, 10, 20, 90, 30])
    classes = RegionStatistics(areas, np.repeat(greys[:, np.newaxis], 3, axis=1), np.zeros(5))
    assert from_dark_to_bright(classes).tolist() == [0, 3, 0, 1, 4, 2]


def some_statistics(seed: int) -> tuple[NDArray[np.float64], RegionStatistics]:
    """Centres and statistics of classes that are all in use."""
    centres, _ = fine_classes(seed)
    rng = np.random.default_rng(seed)
    areas = rng.integers(50, 1000, N_FINE).astype(float)
    return centres, RegionStatistics(areas, 255 * rng.random((N_FINE, 3)), np.zeros(N_FINE))


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_a_tree_numbers_its_classes_from_dark_to_bright(seed: int, k: int) -> None:
    centres, statistics = some_statistics(seed)
    number = ClassTree(centres, statistics).numbers(k)
    greys = [row.mean_grey for row in tabulate_classes(statistics.joined(number))]
    assert len(greys) == k
    assert greys == sorted(greys)
    group = join_classes(centres, statistics.areas, k)
    assert len(set(zip(group.tolist(), number.tolist(), strict=True))) == k


@given(st.integers(0, 2**32 - 1))
def test_as_many_classes_as_a_tree_has_are_its_own_in_order(seed: int) -> None:
    centres, statistics = some_statistics(seed)
    number = ClassTree(centres, statistics).numbers(N_FINE)
    assert (number == from_dark_to_bright(statistics)[1:]).all()


@given(
    hnp.arrays(np.uint8, (6, 7, 3)),
    hnp.arrays(np.uint8, (6, 7), elements=st.integers(0, 5)),
    st.integers(2, 5),
)
def test_the_criteria_of_a_cut_are_those_of_its_map(
    pixels: NDArray[np.uint8], fine: NDArray[np.uint8], k: int
) -> None:
    fine[0, :5] = 1, 2, 3, 4, 5
    tree = ClassTree(np.random.default_rng(0).random((5, 3)), measure_regions(pixels, fine))
    found = tree.criteria(k)
    expected = evaluate(pixels, np.append(0, tree.numbers(k))[fine])
    for name in ("F", "F_prime", "Q"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))


def test_the_criteria_of_a_cut_by_hand() -> None:
    statistics = measure_regions(np.array([[0, 51, 255, 255]], np.uint8), np.array([[1, 2, 3, 3]]))
    tree = ClassTree(np.array([[0.0], [1.0], [9.0]]), statistics)
    assert tree.numbers(2).tolist() == [1, 1, 2]
    # sqrt(2) / (1000 * 4) * 3 channels * 2 * 25.5**2 / sqrt(2)
    assert tree.criteria(2).F == pytest.approx(3 * 2 * 25.5**2 / 4000)
    assert tree.criteria(3).F == 0


# --- halves -------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE - 1))
def test_a_class_is_divided_where_the_next_cut_divides_it(seed: int, k: int) -> None:
    tree = ClassTree(*some_statistics(seed))
    coarse, finer = tree.numbers(k), tree.numbers(k + 1)
    for label in range(1, k + 1):
        members = np.flatnonzero(coarse == label) + 1
        parts = np.unique(finer[members - 1])
        if len(parts) == 2:
            half = tree.halves(members.tolist())
            assert set(half.tolist()) == {1, 2}
            assert len(set(zip(half.tolist(), finer[members - 1].tolist(), strict=True))) == 2
            return
    raise AssertionError("no class was divided")


def tree_of(*classes: tuple[float, float]) -> ClassTree:
    """A tree of classes with these areas and centres."""
    areas, centres = np.array(classes, float).T
    grey = np.repeat(centres[:, np.newaxis], 3, axis=1)
    return ClassTree(centres[:, np.newaxis], RegionStatistics(areas, grey, 0 * areas))


def test_halves_are_those_of_the_members_in_their_order() -> None:
    tree = tree_of((100, 0.0), (100, 90.0), (100, 1.0), (100, 95.0), (100, 40.0))
    assert tree.halves([1, 2, 3, 4]).tolist() == [1, 2, 1, 2]
    assert tree.halves([4, 3, 1]).tolist() == [1, 2, 2]
    assert tree.halves((1, 3)).tolist() == [1, 2]
    assert tree.halves([2, 4, 5]).tolist() == [1, 1, 2]


def test_a_half_may_be_tiny() -> None:
    tree = tree_of((5000, 1.0), (4000, 1.1), (3, 9.0))
    assert tree.numbers(2).tolist() != [1, 1, 2]
    assert tree.halves([1, 2, 3]).tolist() == [1, 1, 2]
    assert tree.halves([1, 3]).tolist() == [1, 2]


def test_classes_without_a_pixel_have_no_number() -> None:
    areas = np.array([0.0, 400, 0, 300])
    statistics = RegionStatistics(areas, np.array([[9.0], [200], [1], [7]]).repeat(3, 1), areas * 0)
    assert number_classes(np.eye(4), statistics, 3).tolist() == [0, 2, 0, 1]
