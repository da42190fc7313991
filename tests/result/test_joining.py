"""Joining: near fine classes are one class, rare ones are kept, the nearly as good is told."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from helpers.partitions import as_sets, error_of
from nital.result.classes import TINY_FRACTION, from_dark_to_bright, tabulate_classes
from nital.result.criteria import RegionStatistics, evaluate, measure_regions
from nital.result.joining import ANOTHER, AREA_POWER, NEARLY, Joining, moved_area
from nital.result.partitions import partitions

N_FINE = 7
Reals = NDArray[np.float64]


def joining_of(*classes: tuple[float, float]) -> Joining:
    """Fine classes with these areas and centres."""
    areas, centres = np.array(classes, float).T
    grey = np.repeat(centres[:, np.newaxis], 3, axis=1)
    return Joining(centres[:, np.newaxis], RegionStatistics(areas, grey, 0 * areas))


def joined(k: int, *classes: tuple[float, float]) -> list[int]:
    """Join classes with these areas and centres, which rise from dark to bright."""
    return joining_of(*classes).numbers(k).tolist()


def test_the_nearest_are_joined_by_hand() -> None:
    fine = (10, 50), (10, 120), (0, 90), (10, 200), (10, 203)
    assert joined(4, *fine) == [1, 2, 0, 3, 4]
    assert joined(3, *fine) == [1, 2, 0, 3, 3]
    assert joined(2, *fine) == [1, 1, 0, 2, 2]


def test_classes_of_other_numbers_may_not_be_nested() -> None:
    """What three classes have apart may be joined in two, which no tree of pairs can do."""
    fine = (10, 0), (10, 40), (10, 60), (10, 100)
    assert joined(3, *fine) == [1, 2, 2, 3]
    assert joined(2, *fine) == [1, 1, 2, 2]


def test_a_few_odd_pixels_are_no_class_however_odd() -> None:
    assert joined(3, (5000, 1.0), (4000, 1.1), (2000, 5.0), (3, 9.0)) == [1, 2, 3, 3]
    assert joined(3, (5000, 1.0), (4000, 1.1), (2000, 5.0), (300, 9.0)) == [1, 1, 2, 3]
    assert joined(2, (5000, 1.0), (4, 9.0)) == [1, 1]
    assert joined(3, (5000, 1.0), (3, 4.0), (4000, 9.0)) == [1, 1, 2]


def test_odd_pixels_go_to_the_nearest_class_and_do_not_move_it() -> None:
    assert joined(2, (5000, 1.0), (3, 4.0), (5000, 6.0), (4, 1e6)) == [1, 2, 2, 2]


@given(st.lists(st.sampled_from([0, 1, 9, 40, 3000, 5000]), min_size=2, max_size=9), st.data())
def test_a_tiny_fine_class_is_never_a_class(areas: list[int], data: st.DataObject) -> None:
    areas = [*areas, 10_000]
    k = data.draw(st.integers(2, len(areas)))
    centres = np.random.default_rng(len(areas)).random((len(areas), 3))
    statistics = RegionStatistics(np.array(areas, float), 255 * centres, np.zeros(len(areas)))
    number = Joining(centres, statistics).numbers(k)
    rows = tabulate_classes(statistics.joined(np.maximum(number, 1)))
    assert all(row.area_fraction >= TINY_FRACTION for row in rows)
    assert ((number > 0) == (np.array(areas) > 0)).all()
    large = np.array(areas) >= TINY_FRACTION * sum(areas)
    assert number.max() == min(k, large.sum())
    assert np.unique(number[large]).tolist() == list(range(1, number.max() + 1))


def test_rare_classes_count_for_more_than_their_area() -> None:
    """By the error alone the two large ones would be kept apart, and the small one given up."""
    fine = (50_000, 0.0), (50_000, 1.0), (500, 5.0)
    assert joined(2, *fine) == [1, 1, 2]
    areas, centres = np.array(fine).T
    by_error = [
        error_of(centres[:, np.newaxis], areas, np.array(g)) for g in ([1, 1, 2], [1, 2, 2])
    ]
    assert by_error[1] < by_error[0]


def some_statistics(seed: int) -> tuple[Reals, RegionStatistics]:
    """Centres and statistics of classes that are all in use."""
    rng = np.random.default_rng(seed)
    areas = rng.integers(50, 1000, N_FINE).astype(float)
    centres = rng.random((N_FINE, 3))
    return centres, RegionStatistics(areas, 255 * rng.random((N_FINE, 3)), np.zeros(N_FINE))


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_classes_are_numbered_from_dark_to_bright(seed: int, k: int) -> None:
    centres, statistics = some_statistics(seed)
    number = Joining(centres, statistics).numbers(k)
    greys = [row.mean_grey for row in tabulate_classes(statistics.joined(number))]
    assert len(greys) == k
    assert greys == sorted(greys)
    group = partitions(centres, statistics.areas**AREA_POWER, k)[0].group
    assert as_sets(number) == as_sets(group)


@given(st.integers(0, 2**32 - 1))
def test_as_many_classes_as_fine_ones_are_these_in_order(seed: int) -> None:
    centres, statistics = some_statistics(seed)
    number = Joining(centres, statistics).numbers(N_FINE)
    assert (number == from_dark_to_bright(statistics)[1:]).all()


def test_classes_without_a_pixel_have_no_number() -> None:
    areas = np.array([0.0, 400, 0, 300])
    statistics = RegionStatistics(areas, np.array([[9.0], [200], [1], [7]]).repeat(3, 1), areas * 0)
    assert Joining(np.eye(4), statistics).numbers(3).tolist() == [0, 2, 0, 1]


@given(
    hnp.arrays(np.uint8, (6, 7, 3)),
    hnp.arrays(np.uint8, (6, 7), elements=st.integers(0, 5)),
    st.integers(2, 5),
)
def test_the_criteria_of_a_cut_are_those_of_its_map(
    pixels: NDArray[np.uint8], fine: NDArray[np.uint8], k: int
) -> None:
    fine[0, :5] = 1, 2, 3, 4, 5
    joining = Joining(np.random.default_rng(0).random((5, 3)), measure_regions(pixels, fine))
    found = joining.criteria(k)
    expected = evaluate(pixels, np.append(0, joining.numbers(k))[fine])
    for name in ("F", "F_prime", "Q"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))


def test_the_criteria_of_a_cut_by_hand() -> None:
    statistics = measure_regions(np.array([[0, 51, 255, 255]], np.uint8), np.array([[1, 2, 3, 3]]))
    joining = Joining(np.array([[0.0], [1.0], [9.0]]), statistics)
    assert joining.numbers(2).tolist() == [1, 1, 2]
    # sqrt(2) / (1000 * 4) * 3 channels * 2 * 25.5**2 / sqrt(2)
    assert joining.criteria(2).F == pytest.approx(3 * 2 * 25.5**2 / 4000)
    assert joining.criteria(3).F == 0


# --- halves -------------------------------------------------------------------------------------


def halved(joining: Joining, *members: int) -> set[frozenset[int]]:
    """The members of both halves."""
    half = joining.halves(members)
    assert set(half.tolist()) == {1, 2}
    return {frozenset(np.array(members)[half == i].tolist()) for i in (1, 2)}


def test_halves_are_those_of_the_members_in_any_order() -> None:
    joining = joining_of((100, 0.0), (100, 90.0), (100, 1.0), (100, 95.0), (100, 40.0))
    for order in permutations((1, 2, 3, 4)):
        assert halved(joining, *order) == {frozenset([1, 3]), frozenset([2, 4])}
    assert halved(joining, 4, 3, 1) == {frozenset([4]), frozenset([1, 3])}
    assert halved(joining, 1, 3) == {frozenset([1]), frozenset([3])}
    assert halved(joining, 2, 4, 5) == {frozenset([2, 4]), frozenset([5])}


@given(st.integers(0, 2**32 - 1))
def test_the_halves_of_all_are_the_two_classes(seed: int) -> None:
    joining = Joining(*some_statistics(seed))
    assert as_sets(joining.halves(range(1, N_FINE + 1))) == as_sets(joining.numbers(2))


@given(st.integers(0, 2**32 - 1), st.sets(st.integers(1, N_FINE), min_size=2))
def test_both_halves_have_members(seed: int, members: set[int]) -> None:
    half = Joining(*some_statistics(seed)).halves(sorted(members))
    assert len(half) == len(members)
    assert set(half.tolist()) == {1, 2}


def test_a_half_may_be_tiny() -> None:
    joining = joining_of((5000, 1.0), (4000, 1.1), (3, 9.0))
    assert joining.numbers(2).tolist() == [1, 2, 2]
    assert halved(joining, 1, 2, 3) == {frozenset([1, 2]), frozenset([3])}
    assert halved(joining, 1, 3) == {frozenset([1]), frozenset([3])}


# --- another joining ----------------------------------------------------------------------------


def test_what_lies_midway_can_be_joined_to_either_side() -> None:
    joining = joining_of((100, 0.0), (100, 1.0), (100, 2.0))
    other = joining.other_numbers(2)
    assert other is not None
    both = {tuple(joining.numbers(2).tolist()), tuple(other.tolist())}
    assert both == {(1, 1, 2), (1, 2, 2)}


@pytest.mark.parametrize(("nearer", "is_told"), [(1.1, False), (0.9, True)])
def test_another_joining_is_told_as_far_as_it_is_nearly_as_good(
    nearer: float, is_told: bool
) -> None:
    """The error of joining two of equal area rises with the square of their distance."""
    joining = joining_of((100, 0.0), (100, 1.0), (100, 1 + np.sqrt(1 + nearer * NEARLY)))
    assert joining.numbers(2).tolist() == [1, 1, 2]
    other = joining.other_numbers(2)
    assert (other is not None) == is_told
    if other is not None:
        assert other.tolist() == [1, 2, 2]


def test_what_is_far_apart_has_no_other_joining() -> None:
    assert joining_of((10, 0.0), (10, 1.0), (10, 90.0), (10, 95.0)).other_numbers(2) is None


@pytest.mark.parametrize(("factor", "is_told"), [(0.9, False), (1.1, True)])
def test_a_few_pixels_in_another_class_are_no_other_joining(factor: float, is_told: bool) -> None:
    """One fine class lies midway between the two others."""
    between = 2 * factor * ANOTHER / (1 - factor * ANOTHER)
    joining = joining_of((100, 0.0), (100 * between, 1.0), (100, 2.0))
    assert (joining.other_numbers(2) is not None) == is_told


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_another_joining_has_as_many_classes_in_the_same_order(seed: int, k: int) -> None:
    centres, statistics = some_statistics(seed)
    other = Joining(centres, statistics).other_numbers(k)
    if other is not None:
        greys = [row.mean_grey for row in tabulate_classes(statistics.joined(other))]
        assert len(greys) == k
        assert greys == sorted(greys)


# --- area that moves ----------------------------------------------------------------------------


def test_the_area_that_moves_by_hand() -> None:
    areas = np.array([10.0, 20, 30, 40])
    one = np.array([1, 1, 2, 2])
    assert moved_area(one, np.array([2, 2, 1, 1]), areas) == 0  # other numbers of the same classes
    assert moved_area(one, np.array([1, 2, 2, 2]), areas) == pytest.approx(0.2)
    assert moved_area(one, np.array([1, 1, 2, 3]), areas) == pytest.approx(0.3)
    assert moved_area(one, np.array([1, 1, 1, 1]), areas) == pytest.approx(0.3)
