"""Classes: fine ones joined, numbered from the darkest to the brightest, and their table."""

from collections.abc import Iterator
from itertools import pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nital.result.classes import (
    AREA_POWER,
    TINY_FRACTION,
    ClassTree,
    from_dark_to_bright,
    order_labels,
    partition,
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


# --- partition ----------------------------------------------------------------------------------

N_FINE = 7
Reals = NDArray[np.float64]
Groups = NDArray[np.int64]


def points(seed: int) -> tuple[Reals, Reals]:
    """Centres and weights of seven points, some of them to be ignored."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(50, 1000, N_FINE) * (rng.random(N_FINE) < 0.8)
    weights[:2] = 100, 300
    return rng.random((N_FINE, 3)), weights.astype(float)


def error_of(centres: Reals, weights: Reals, group: Groups) -> float:
    """The weighted squared error of the groups from 1."""
    total = 0.0
    for label in np.unique(group[group > 0]):
        own, share = centres[group == label], weights[group == label]
        total += float(share @ ((own - np.average(own, axis=0, weights=share)) ** 2).sum(axis=1))
    return total


def all_partitions(n: int, k: int) -> Iterator[Groups]:
    """Every way to divide n points into k groups, each once."""
    for group in product(range(1, k + 1), repeat=n):
        first = [group.index(label) for label in range(1, k + 1) if label in group]
        if len(first) == k and first == sorted(first):
            yield np.array(group)


def settled(centres: Reals, weights: Reals, start: Reals) -> Groups | None:
    """Groups by k-means from these centres; None if one of them is lost."""
    before = None
    while True:
        group = ((centres[:, np.newaxis] - start) ** 2).sum(axis=2).argmin(axis=1)
        if before is not None and (group == before).all():
            return group + 1
        if len(np.unique(group)) < len(start):
            return None
        before = group
        start = np.stack(
            [
                np.average(centres[group == i], axis=0, weights=weights[group == i])
                for i in range(len(start))
            ]
        )


def as_sets(group: Groups) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(group == each).tolist()) for each in set(group[group > 0])}


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_groups_far_apart_are_those_of_the_least_error(seed: int, k: int) -> None:
    """All partitions are tried; each point lies near one of k corners."""
    rng = np.random.default_rng(seed)
    corner = rng.permutation(np.append(np.arange(k), rng.integers(0, k, N_FINE - k)))
    centres = 10.0 * np.eye(k)[corner] + 0.5 * rng.random((N_FINE, k))
    weights = rng.integers(1, 100, N_FINE).astype(float) ** AREA_POWER
    group = partition(centres, weights, k)
    least = min(all_partitions(N_FINE, k), key=lambda each: error_of(centres, weights, each))
    assert as_sets(group) == as_sets(least) == as_sets(corner + 1)


@given(st.integers(0, 2**32 - 1))
def test_two_groups_are_those_of_the_least_error_along_a_line(seed: int) -> None:
    """Of points in a single channel, whose best groups are neighbours."""
    rng = np.random.default_rng(seed)
    centres = np.sort(np.append(rng.random(4), 3 + rng.random(3)))[:, np.newaxis]
    group = partition(centres, np.ones(N_FINE), 2)
    assert as_sets(group) == {frozenset(range(4)), frozenset(range(4, 7))}


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_no_start_of_one_more_centre_has_less_error(seed: int, k: int) -> None:
    """The groups of one less and any of the points are the starts; the best is kept."""
    centres, weights = points(seed)
    used = weights > 0
    own, share = centres[used], weights[used]
    if len(own) < k:
        return
    group, before = partition(own, share, k), partition(own, share, k - 1)
    means = [np.average(own[before == i], axis=0, weights=share[before == i]) for i in range(1, k)]
    tried = [settled(own, share, np.stack([*means, each])) for each in own]
    errors = [error_of(own, share, each) for each in tried if each is not None]
    assert error_of(own, share, group) <= min(errors) * (1 + 1e-9) + 1e-9


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_each_point_lies_nearest_to_the_mean_of_its_own_group(seed: int, k: int) -> None:
    centres, weights = points(seed)
    group = partition(centres, weights, k)
    means = np.stack(
        [
            np.average(centres[group == i], axis=0, weights=weights[group == i])
            for i in range(1, group.max() + 1)
        ]
    )
    distance = ((centres[:, np.newaxis] - means) ** 2).sum(axis=2)
    used = weights > 0
    nearest = distance[used].min(axis=1)
    assert distance[used, group[used] - 1] == pytest.approx(nearest)


@given(st.integers(0, 2**32 - 1))
def test_more_groups_have_less_error(seed: int) -> None:
    centres, weights = points(seed)
    errors = [
        error_of(centres, weights, partition(centres, weights, k)) for k in range(1, N_FINE + 1)
    ]
    assert all(more <= fewer + 1e-9 for fewer, more in pairwise(errors))
    assert errors[-1] == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, N_FINE))
def test_as_many_groups_as_asked_for_or_as_there_are_points(seed: int, k: int) -> None:
    centres, weights = points(seed)
    group = partition(centres, weights, k)
    used = weights > 0
    assert np.unique(group[used]).tolist() == list(range(1, 1 + min(k, used.sum())))
    assert (group[~used] == 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.permutations(range(N_FINE)))
def test_the_order_of_the_points_has_no_part_in_it(seed: int, k: int, order: list[int]) -> None:
    centres, weights = points(seed)
    group, other = partition(centres, weights, k), partition(centres[order], weights[order], k)
    assert as_sets(other) == as_sets(group[order])


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.floats(0.1, 10), st.floats(-5, 5))
def test_neither_scale_nor_place_nor_all_weights_have_a_part_in_it(
    seed: int, k: int, factor: float, offset: float
) -> None:
    centres, weights = points(seed)
    group = partition(centres, weights, k)
    assert as_sets(partition(factor * centres + offset, factor * weights, k)) == as_sets(group)


def test_equal_points_are_never_in_two_groups() -> None:
    centres = np.array([[0.0], [0.0], [1.0], [1.0], [0.0]])
    assert partition(centres, np.ones(5), 2).tolist() in ([1, 1, 2, 2, 1], [2, 2, 1, 1, 2])
    assert as_sets(partition(centres, np.ones(5), 4)) == {frozenset([0, 1, 4]), frozenset([2, 3])}
    assert partition(np.ones((3, 2)), np.ones(3), 2).tolist() == [1, 1, 1]


def test_the_weight_of_a_point_decides_where_a_group_ends() -> None:
    centres = np.array([[0.0], [4.0], [9.0]])
    assert as_sets(partition(centres, np.array([1.0, 1, 1]), 2)) == {
        frozenset([0, 1]),
        frozenset([2]),
    }
    # 4 * 16 * 100 / 101 against 25 * 100 / 101, and the like.
    assert as_sets(partition(centres, np.array([100.0, 100, 1]), 2)) == {
        frozenset([0]),
        frozenset([1, 2]),
    }


def test_a_partition_leaves_its_input_as_it_was() -> None:
    centres, weights = points(0)
    kept = centres.copy(), weights.copy()
    partition(centres, weights, 3)
    assert (centres == kept[0]).all()
    assert (weights == kept[1]).all()


# --- joining ------------------------------------------------------------------------------------


def tree_of(*classes: tuple[float, float]) -> ClassTree:
    """A tree of classes with these areas and centres."""
    areas, centres = np.array(classes, float).T
    grey = np.repeat(centres[:, np.newaxis], 3, axis=1)
    return ClassTree(centres[:, np.newaxis], RegionStatistics(areas, grey, 0 * areas))


def joined(k: int, *classes: tuple[float, float]) -> list[int]:
    """Join classes with these areas and centres, which rise from dark to bright."""
    return tree_of(*classes).numbers(k).tolist()


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
    number = ClassTree(centres, statistics).numbers(k)
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


def test_numbers_rise_from_dark_to_bright_and_equal_ones_keep_their_order() -> None:
    areas = np.array([4.0, 0, 2, 1, 3])
    greys = np.array([90.0, 10, 20, 90, 30])
    classes = RegionStatistics(areas, np.repeat(greys[:, np.newaxis], 3, axis=1), np.zeros(5))
    assert from_dark_to_bright(classes).tolist() == [0, 3, 0, 1, 4, 2]


def some_statistics(seed: int) -> tuple[Reals, RegionStatistics]:
    """Centres and statistics of classes that are all in use."""
    rng = np.random.default_rng(seed)
    areas = rng.integers(50, 1000, N_FINE).astype(float)
    centres = rng.random((N_FINE, 3))
    return centres, RegionStatistics(areas, 255 * rng.random((N_FINE, 3)), np.zeros(N_FINE))


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_a_tree_numbers_its_classes_from_dark_to_bright(seed: int, k: int) -> None:
    centres, statistics = some_statistics(seed)
    number = ClassTree(centres, statistics).numbers(k)
    greys = [row.mean_grey for row in tabulate_classes(statistics.joined(number))]
    assert len(greys) == k
    assert greys == sorted(greys)
    group = partition(centres, statistics.areas**AREA_POWER, k)
    assert as_sets(number) == as_sets(group)


@given(st.integers(0, 2**32 - 1))
def test_as_many_classes_as_a_tree_has_are_its_own_in_order(seed: int) -> None:
    centres, statistics = some_statistics(seed)
    number = ClassTree(centres, statistics).numbers(N_FINE)
    assert (number == from_dark_to_bright(statistics)[1:]).all()


def test_classes_without_a_pixel_have_no_number() -> None:
    areas = np.array([0.0, 400, 0, 300])
    statistics = RegionStatistics(areas, np.array([[9.0], [200], [1], [7]]).repeat(3, 1), areas * 0)
    assert ClassTree(np.eye(4), statistics).numbers(3).tolist() == [0, 2, 0, 1]


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


def halved(tree: ClassTree, *members: int) -> set[frozenset[int]]:
    """The members of both halves."""
    half = tree.halves(members)
    assert set(half.tolist()) == {1, 2}
    return {frozenset(np.array(members)[half == i].tolist()) for i in (1, 2)}


def test_halves_are_those_of_the_members_in_any_order() -> None:
    tree = tree_of((100, 0.0), (100, 90.0), (100, 1.0), (100, 95.0), (100, 40.0))
    for order in permutations((1, 2, 3, 4)):
        assert halved(tree, *order) == {frozenset([1, 3]), frozenset([2, 4])}
    assert halved(tree, 4, 3, 1) == {frozenset([4]), frozenset([1, 3])}
    assert halved(tree, 1, 3) == {frozenset([1]), frozenset([3])}
    assert halved(tree, 2, 4, 5) == {frozenset([2, 4]), frozenset([5])}


@given(st.integers(0, 2**32 - 1))
def test_the_halves_of_all_are_the_two_classes(seed: int) -> None:
    tree = ClassTree(*some_statistics(seed))
    assert as_sets(tree.halves(range(1, N_FINE + 1))) == as_sets(tree.numbers(2))


@given(st.integers(0, 2**32 - 1), st.sets(st.integers(1, N_FINE), min_size=2))
def test_both_halves_have_members(seed: int, members: set[int]) -> None:
    half = ClassTree(*some_statistics(seed)).halves(sorted(members))
    assert len(half) == len(members)
    assert set(half.tolist()) == {1, 2}


def test_a_half_may_be_tiny() -> None:
    tree = tree_of((5000, 1.0), (4000, 1.1), (3, 9.0))
    assert tree.numbers(2).tolist() == [1, 2, 2]
    assert halved(tree, 1, 2, 3) == {frozenset([1, 2]), frozenset([3])}
    assert halved(tree, 1, 3) == {frozenset([1]), frozenset([3])}
