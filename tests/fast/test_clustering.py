"""Clustering: division across the principal axis, and the nearest centre."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from nital.fast import clustering
from nital.fast.clustering import find_centres, nearest, squared_distances
from nital.fast.settings import MAX_CLASSES

Floats = NDArray[np.float32]


def in_order(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """The rows in the order of their first, then their next numbers, as far as they differ."""
    return values[np.lexsort(np.round(values, 3).T[::-1])]


# --- the centres --------------------------------------------------------------------------------

CORNERS = st.lists(
    st.tuples(*[st.integers(-4, 4)] * 3), min_size=1, max_size=MAX_CLASSES, unique=True
)


@given(CORNERS, st.integers(0, 2**32 - 1))
def test_groups_far_apart_are_never_mixed(corners: list[tuple[int, ...]], seed: int) -> None:
    """Each cluster holds pixels of a single group once there are as many as there may be."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(corners)), rng.integers(5, 60, len(corners)))
    true = 10 * np.array(corners, np.float32)
    values = (true[group] + rng.normal(0, 1e-4, (len(group), 3))).astype(np.float32)
    centres = find_centres(values)
    assert len(centres) <= MAX_CLASSES
    cluster = nearest(values, centres)
    pairs = set(zip(cluster.tolist(), group.tolist(), strict=True))
    assert len(pairs) == len(set(cluster.tolist()))
    assert {own for _, own in pairs} == set(range(len(corners)))


@pytest.mark.parametrize("value", [1e-30, 1.0, 3.0, 1e6])
def test_values_a_rounding_apart_can_be_divided(value: float) -> None:
    upper = np.nextafter(np.float32(value), np.float32(np.inf))
    values = np.array([[value, 0, 0], [upper, 0, 0]] * 5, np.float32)
    assert 1 <= len(find_centres(values)) <= 2


def test_clouds_far_apart_get_their_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "MAX_CLASSES", 5)
    rng = np.random.default_rng(0)
    true = 10 * np.array([[0, 0], [0, 1], [1, 0], [2, 3], [5, 1]], np.float32)
    values = np.concatenate([centre + rng.normal(0, 0.1, (300, 2)) for centre in true])
    found = find_centres(values.astype(np.float32))
    assert in_order(found) == pytest.approx(in_order(true), abs=0.05)


def test_a_rare_group_far_away_gets_a_centre() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (20_000, 4)).astype(np.float32)
    values[:40] = 30 + 0.1 * values[:40]
    centres = find_centres(values)
    assert np.abs(centres - 30).max(axis=1).min() < 0.2


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_the_values_has_no_part_in_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.gamma(2, 1, (3000, 4)).astype(np.float32)
    first = find_centres(values)
    for other in (values[::-1], rng.permutation(values)):
        assert in_order(find_centres(other)) == pytest.approx(in_order(first), abs=1e-4)


def test_the_same_values_give_the_same_bytes() -> None:
    values = np.random.default_rng(0).random((2000, 5)).astype(np.float32)
    first = find_centres(values)
    np.random.seed(1)  # noqa: NPY002 - the global generator is not used
    assert find_centres(values).tobytes() == first.tobytes()


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.integers(1, 4)),
        elements=st.floats(-100, 100, width=16),
    )
)
def test_centres_are_means_of_parts_of_the_values(values: Floats) -> None:
    centres = find_centres(values)
    assert 1 <= len(centres) <= min(MAX_CLASSES, len(np.unique(values, axis=0)))
    assert centres.dtype == np.float32
    assert centres.shape[1] == values.shape[1]
    assert (centres >= values.min(axis=0) - 1e-3).all()
    assert (centres <= values.max(axis=0) + 1e-3).all()
    one = find_centres(values[:1])
    assert one == pytest.approx(values[:1])


def test_more_centres_leave_less_error() -> None:
    values = np.random.default_rng(0).random((3000, 3)).astype(np.float32)
    each: list[Floats] = [values.mean(axis=0, keepdims=True)]
    find_centres(values, each.append)
    errors = [float(squared_distances(values, centres).mean()) for centres in each]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_many_values_have_as_many_centres_as_there_may_be_fine_classes() -> None:
    values = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    assert find_centres(values).shape == (MAX_CLASSES, 3)


@pytest.mark.parametrize("n", [1, 2, 1000])
@pytest.mark.parametrize("level", [0.0, 0.1, 1e-7, 12345.678])
def test_equal_values_have_a_single_centre(n: int, level: float) -> None:
    values = np.full((n, 3), level, np.float32)
    assert find_centres(values) == pytest.approx(values[:1])


def test_fewer_different_values_than_clusters_give_as_many_centres() -> None:
    values = np.array([[0, 1], [2, 3], [0, 1], [5, 5]], np.float32).repeat(20, axis=0)
    assert sorted(find_centres(values).tolist()) == [[0, 1], [2, 3], [5, 5]]


def test_a_division_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threshold lies halfway between the means of the two parts, which are its own."""
    monkeypatch.setattr(clustering, "MAX_CLASSES", 2)
    values = np.array([0, 1, 2, 3, 9, 11], np.float32)[:, np.newaxis]
    assert sorted(find_centres(values).ravel().tolist()) == [1.5, 10]


def test_a_cluster_is_divided_across_its_longest_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "MAX_CLASSES", 2)
    rng = np.random.default_rng(0)
    values = rng.normal(0, (1, 5), (4000, 2)) @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    low, high = find_centres(values.astype(np.float32))
    axis = np.abs(high - low) / np.linalg.norm(high - low)
    assert axis == pytest.approx([0.8, 0.6], abs=0.05)


def test_each_division_is_told_with_its_centres() -> None:
    values = np.random.default_rng(1).random((500, 3)).astype(np.float32)
    told: list[Floats] = []
    found = find_centres(values, told.append)
    assert (found == find_centres(values)).all()
    assert [len(each) for each in told] == list(range(2, MAX_CLASSES + 1))
    assert (told[-1] == found).all()
    for before, after in pairwise(told):
        kept = {bytes(row) for row in before} & {bytes(row) for row in after}
        assert len(kept) == len(before) - 1


# --- the nearest --------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_the_nearest_is_that_of_all_distances(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((4, 9, 3)).astype(np.float32)
    centres = rng.random((k, 3)).astype(np.float32)
    distance = ((values[..., np.newaxis, :] - centres.astype(float)) ** 2).sum(axis=-1)
    chosen = np.take_along_axis(distance, nearest(values, centres)[..., np.newaxis].astype(int), -1)
    assert_allclose(chosen[..., 0], distance.min(axis=-1), rtol=0, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_a_squared_distance_is_that_from_the_nearest(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    values, centres = rng.random((36, 3), np.float32), rng.random((k, 3), np.float32)
    distance = ((values[:, np.newaxis] - centres.astype(float)) ** 2).sum(axis=-1)
    assert_allclose(squared_distances(values, centres), distance.min(axis=1), rtol=0, atol=1e-6)


def test_a_squared_distance_is_never_below_0() -> None:
    values = np.random.default_rng(0).random((500, 12), np.float32)
    found = squared_distances(values, values)
    assert (found >= 0).all()
    assert_allclose(found, np.zeros(500), rtol=0, atol=1e-5)


def test_of_no_value_there_is_no_distance() -> None:
    assert squared_distances(np.empty((0, 3), np.float32), np.ones((2, 3), np.float32)).size == 0


def test_pieces_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values, centres = rng.random((1000, 4), np.float32), rng.random((7, 4), np.float32)
    whole, distances = nearest(values, centres), squared_distances(values, centres)
    monkeypatch.setattr(clustering, "_ROWS_AT_ONCE", 64)
    assert (nearest(values, centres) == whole).all()
    assert_allclose(squared_distances(values, centres), distances, rtol=0, atol=1e-6)
