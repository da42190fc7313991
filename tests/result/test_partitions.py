"""Partitions: their error is least, nothing is left to chance, and others come after the best."""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.partitions import as_sets, error_of
from nital.result.joining import AREA_POWER
from nital.result.partitions import partitions

N_FINE = 7
Reals = NDArray[np.float64]
Groups = NDArray[np.int64]


def points(seed: int) -> tuple[Reals, Reals]:
    """Centres and weights of seven points, some of them to be ignored."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(50, 1000, N_FINE) * (rng.random(N_FINE) < 0.8)
    weights[:2] = 100, 300
    return rng.random((N_FINE, 3)), weights.astype(float)


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


def groups_of(centres: Reals, weights: Reals, k: int) -> Groups:
    """The best partition."""
    return partitions(centres, weights, k)[0].group


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_groups_far_apart_are_those_of_the_least_error(seed: int, k: int) -> None:
    """All partitions are tried; each point lies near one of k corners."""
    rng = np.random.default_rng(seed)
    corner = rng.permutation(np.append(np.arange(k), rng.integers(0, k, N_FINE - k)))
    centres = 10.0 * np.eye(k)[corner] + 0.5 * rng.random((N_FINE, k))
    weights = rng.integers(1, 100, N_FINE).astype(float) ** AREA_POWER
    group = groups_of(centres, weights, k)
    least = min(all_partitions(N_FINE, k), key=lambda each: error_of(centres, weights, each))
    assert as_sets(group) == as_sets(least) == as_sets(corner + 1)


@given(st.integers(0, 2**32 - 1))
def test_two_groups_are_those_of_the_least_error_along_a_line(seed: int) -> None:
    """Of points in a single channel, whose best groups are neighbours."""
    rng = np.random.default_rng(seed)
    centres = np.sort(np.append(rng.random(4), 3 + rng.random(3)))[:, np.newaxis]
    group = groups_of(centres, np.ones(N_FINE), 2)
    assert as_sets(group) == {frozenset(range(4)), frozenset(range(4, 7))}


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_no_start_of_one_more_centre_has_less_error(seed: int, k: int) -> None:
    """The groups of one less and any of the points are the starts; the best is kept."""
    centres, weights = points(seed)
    used = weights > 0
    own, share = centres[used], weights[used]
    if len(own) < k:
        return
    group, before = groups_of(own, share, k), groups_of(own, share, k - 1)
    means = [np.average(own[before == i], axis=0, weights=share[before == i]) for i in range(1, k)]
    tried = [settled(own, share, np.stack([*means, each])) for each in own]
    errors = [error_of(own, share, each) for each in tried if each is not None]
    assert error_of(own, share, group) <= min(errors) * (1 + 1e-9) + 1e-9


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_each_point_lies_nearest_to_the_mean_of_its_own_group(seed: int, k: int) -> None:
    centres, weights = points(seed)
    group = groups_of(centres, weights, k)
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
        error_of(centres, weights, groups_of(centres, weights, k)) for k in range(1, N_FINE + 1)
    ]
    assert all(more <= fewer + 1e-9 for fewer, more in pairwise(errors))
    assert errors[-1] == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, N_FINE))
def test_as_many_groups_as_asked_for_or_as_there_are_points(seed: int, k: int) -> None:
    centres, weights = points(seed)
    group = groups_of(centres, weights, k)
    used = weights > 0
    assert np.unique(group[used]).tolist() == list(range(1, 1 + min(k, used.sum())))
    assert (group[~used] == 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.permutations(range(N_FINE)))
def test_the_order_of_the_points_has_no_part_in_it(seed: int, k: int, order: list[int]) -> None:
    centres, weights = points(seed)
    group, other = groups_of(centres, weights, k), groups_of(centres[order], weights[order], k)
    assert as_sets(other) == as_sets(group[order])


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.floats(0.1, 10), st.floats(-5, 5))
def test_neither_scale_nor_place_nor_all_weights_have_a_part_in_it(
    seed: int, k: int, factor: float, offset: float
) -> None:
    centres, weights = points(seed)
    group = groups_of(centres, weights, k)
    assert as_sets(groups_of(factor * centres + offset, factor * weights, k)) == as_sets(group)


def test_equal_points_are_never_in_two_groups() -> None:
    centres = np.array([[0.0], [0.0], [1.0], [1.0], [0.0]])
    assert groups_of(centres, np.ones(5), 2).tolist() in ([1, 1, 2, 2, 1], [2, 2, 1, 1, 2])
    assert as_sets(groups_of(centres, np.ones(5), 4)) == {frozenset([0, 1, 4]), frozenset([2, 3])}
    assert groups_of(np.ones((3, 2)), np.ones(3), 2).tolist() == [1, 1, 1]


def test_the_weight_of_a_point_decides_where_a_group_ends() -> None:
    centres = np.array([[0.0], [4.0], [9.0]])
    assert as_sets(groups_of(centres, np.array([1.0, 1, 1]), 2)) == {
        frozenset([0, 1]),
        frozenset([2]),
    }
    # 4 * 16 * 100 / 101 against 25 * 100 / 101, and the like.
    assert as_sets(groups_of(centres, np.array([100.0, 100, 1]), 2)) == {
        frozenset([0]),
        frozenset([1, 2]),
    }


def test_a_partition_leaves_its_input_as_it_was() -> None:
    centres, weights = points(0)
    kept = centres.copy(), weights.copy()
    groups_of(centres, weights, 3)
    assert (centres == kept[0]).all()
    assert (weights == kept[1]).all()


# --- others -------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, N_FINE))
def test_the_errors_are_those_of_the_groups_and_rise(seed: int, k: int) -> None:
    centres, weights = points(seed)
    found = partitions(centres, weights, k)
    errors = [each.error for each in found]
    assert errors == sorted(errors)
    for each in found:
        expected = error_of(centres, weights, each.group)
        assert each.error == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert ((each.group > 0) == (weights > 0)).all()


def test_others_by_hand() -> None:
    """The middle one of three is as near to one side as to the other."""
    found = partitions(np.array([[0.0], [1], [2]]), np.ones(3), 2)
    assert {tuple(sorted(map(len, as_sets(each.group)))) for each in found} == {(1, 2)}
    assert {frozenset(as_sets(each.group)) for each in found} == {
        frozenset({frozenset([0, 1]), frozenset([2])}),
        frozenset({frozenset([0]), frozenset([1, 2])}),
    }
    assert [each.error for each in found] == pytest.approx([0.5] * len(found))


def test_of_nothing_but_ignored_points_no_group_is_made() -> None:
    (found,) = partitions(np.eye(3), np.zeros(3), 2)
    assert (found.group.tolist(), found.error) == ([0, 0, 0], 0)
