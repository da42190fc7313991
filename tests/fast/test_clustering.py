"""Clustering: k-means and the nearest centre."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nital.fast import clustering
from nital.fast.clustering import (
    DRAWN,
    MAX_ROUNDS,
    N_CLUSTERS,
    STARTS,
    find_centres,
    nearest,
    squared_distances,
)


def test_clouds_far_apart_get_their_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "N_CLUSTERS", 5)
    rng = np.random.default_rng(0)
    true = 10 * np.array([[0, 0], [0, 1], [1, 0], [2, 3], [5, 1]], np.float32)
    values = np.concatenate([centre + rng.normal(0, 0.1, (300, 2)) for centre in true])
    found = find_centres(values.astype(np.float32), seed=3)
    assert sorted(found.tolist()) == pytest.approx(np.array(sorted(true.tolist())), abs=0.05)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_the_nearest_is_that_of_all_distances(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((4, 9, 3)).astype(np.float32)
    centres = rng.random((k, 3)).astype(np.float32)
    distance = ((values[..., np.newaxis, :] - centres.astype(float)) ** 2).sum(axis=-1)
    chosen = np.take_along_axis(distance, nearest(values, centres)[..., np.newaxis].astype(int), -1)
    assert chosen[..., 0] == pytest.approx(distance.min(axis=-1), abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_a_squared_distance_is_that_from_the_nearest(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    values, centres = rng.random((36, 3), np.float32), rng.random((k, 3), np.float32)
    distance = ((values[:, np.newaxis] - centres.astype(float)) ** 2).sum(axis=-1)
    assert squared_distances(values, centres) == pytest.approx(distance.min(axis=1), abs=1e-6)


def test_a_squared_distance_is_never_below_0() -> None:
    values = np.random.default_rng(0).random((500, 12), np.float32)
    found = squared_distances(values, values)
    assert (found >= 0).all()
    assert found == pytest.approx(np.zeros(500), abs=1e-5)


def test_of_no_value_there_is_no_distance() -> None:
    assert squared_distances(np.empty((0, 3), np.float32), np.ones((2, 3), np.float32)).size == 0


def test_pieces_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values, centres = rng.random((1000, 4), np.float32), rng.random((7, 4), np.float32)
    whole, distances = nearest(values, centres), squared_distances(values, centres)
    monkeypatch.setattr(clustering, "_ROWS_AT_ONCE", 64)
    assert (nearest(values, centres) == whole).all()
    assert squared_distances(values, centres) == pytest.approx(distances, abs=1e-6)


def test_each_centre_is_the_mean_of_what_is_nearest_to_it() -> None:
    values = np.random.default_rng(0).random((3000, 3)).astype(np.float32)
    centres = find_centres(values, seed=1)
    assert centres.shape == (N_CLUSTERS, 3)
    cluster = nearest(values, centres)
    means = np.stack([values[cluster == i].mean(axis=0) for i in range(N_CLUSTERS)])
    assert np.abs(means - centres).max() < 0.02  # after 40 rounds nearly settled


def test_fewer_different_values_than_clusters_give_as_many_centres() -> None:
    values = np.array([[0, 1], [2, 3], [0, 1], [5, 5]], np.float32).repeat(20, axis=0)
    assert sorted(find_centres(values, seed=0).tolist()) == [[0, 1], [2, 3], [5, 5]]


def test_the_seed_decides_and_nothing_else() -> None:
    values = np.random.default_rng(0).random((DRAWN + 500, 2)).astype(np.float32)
    first = find_centres(values, seed=5)
    np.random.seed(1)  # noqa: NPY002 - the global generator is not used
    assert (find_centres(values, seed=5) == first).all()
    other = find_centres(values, seed=6)
    assert other.shape != first.shape or (other != first).any()


def test_each_round_is_told_with_its_centres() -> None:
    values = np.random.default_rng(1).random((500, 3)).astype(np.float32)
    told: list[tuple[int, NDArray[np.float32]]] = []
    found = find_centres(values, 5, lambda *each: told.append(each))
    assert (found == find_centres(values, 5)).all()
    rounds = [n for n, _ in told]
    assert rounds == sorted(set(rounds))
    assert {(n - 1) // MAX_ROUNDS for n in rounds} == set(range(STARTS))
    ends = [
        centres
        for (n, centres), after in zip(told, [*rounds[1:], np.inf], strict=True)
        if (n - 1) // MAX_ROUNDS != (after - 1) // MAX_ROUNDS
    ]
    assert any(np.array_equal(each, found) for each in ends)
