"""Classes: joined by F, numbered from the darkest to the brightest, and their table."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nital.classes import join_classes, order_labels, tabulate_classes
from nital.criteria import RegionStatistics, evaluate, measure_regions
from nital.micrograph import LUMINANCE

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


# --- joining ------------------------------------------------------------------------------------

N_FINE = 7


def fine_map(seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """An image and a label map of up to seven classes, some without a pixel."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(rng.permutation(N_FINE + 1)[:6], size=(6, 8))
    labels[0, 0] = labels.max() or 1
    colours = rng.random((N_FINE + 1, 3))
    image = 0.7 * colours[labels] + 0.3 * rng.random((6, 8, 3))
    return image, labels


def joined_by_brute_force(
    image: NDArray[np.float64], labels: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """Of all maps with one class fewer the one with the lowest F, again and again."""
    while len(found := np.unique(labels[labels > 0])) > k:
        maps = [np.where(labels == b, a, labels) for a, b in combinations(found, 2)]
        labels = min(maps, key=lambda each: evaluate(image, each).F)
    return labels


def partition(labels: NDArray[np.integer]) -> set[bytes]:
    return {(labels == label).tobytes() for label in np.unique(labels[labels > 0])}


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_classes_are_joined_as_by_trying_every_pair(seed: int, k: int) -> None:
    image, labels = fine_map(seed)
    number = join_classes(measure_regions(image, labels, N_FINE), k)
    assert number.shape == (N_FINE + 1,)
    assert partition(number[labels]) == partition(joined_by_brute_force(image, labels, k))


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_as_many_classes_as_asked_for_or_as_there_are(seed: int, k: int) -> None:
    image, labels = fine_map(seed)
    number = join_classes(measure_regions(image, labels, N_FINE), k)
    in_use = np.unique(labels[labels > 0])
    assert np.unique(number[in_use]).tolist() == list(range(1, 1 + min(k, len(in_use))))
    unused = np.setdiff1d(np.arange(N_FINE + 1), in_use)
    assert (number[unused] == 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, N_FINE))
def test_joined_classes_rise_from_dark_to_bright(seed: int, k: int) -> None:
    image, labels = fine_map(seed)
    joined = join_classes(measure_regions(image, labels, N_FINE), k)[labels]
    grey = image @ np.array(LUMINANCE)
    means = [grey[joined == label].mean() for label in range(1, joined.max() + 1)]
    assert means == sorted(means)


def of_greys(*regions: tuple[float, float, float]) -> RegionStatistics:
    """Statistics of regions of these areas, grey levels and errors."""
    areas, greys, errors = (np.array(each, float) for each in zip(*regions, strict=True))
    return RegionStatistics(areas, np.repeat(greys[:, np.newaxis], 3, axis=1), errors)


def test_the_nearest_are_joined_by_hand() -> None:
    fine = of_greys((10, 200, 5), (10, 50, 5), (0, 0, 0), (10, 203, 5), (10, 120, 5))
    assert join_classes(fine, 4).tolist() == [0, 3, 1, 0, 4, 2]
    assert join_classes(fine, 3).tolist() == [0, 3, 1, 0, 3, 2]
    assert join_classes(fine, 2).tolist() == [0, 2, 1, 0, 2, 1]


def test_a_class_of_a_few_odd_pixels_is_given_up_first() -> None:
    # F alone would join the two large ones.
    fine = of_greys((5000, 100, 9), (4000, 104, 9), (3, 250, 0), (2000, 180, 9))
    assert join_classes(fine, 3).tolist() == [0, 1, 2, 3, 3]
    assert join_classes(fine, 2).tolist() == [0, 1, 1, 2, 2]
    large_enough = of_greys((5000, 100, 9), (4000, 104, 9), (12, 250, 0), (2000, 180, 9))
    assert join_classes(large_enough, 3).tolist() == [0, 1, 1, 3, 2]


def test_fewer_classes_than_asked_for_are_left_alone() -> None:
    fine = of_greys((0, 7, 0), (5, 90, 3), (0, 7, 0), (5, 80, 3))
    assert join_classes(fine, 3).tolist() == [0, 0, 2, 0, 1]


def test_classes_of_equal_grey_keep_the_order_of_their_numbers() -> None:
    fine = of_greys((5, 90, 0), (9, 90, 0), (7, 90, 0))
    assert join_classes(fine, 3).tolist() == [0, 1, 2, 3]


def test_joining_leaves_the_statistics_as_they_were() -> None:
    fine = measure_regions(*fine_map(0), N_FINE)
    kept = [values.copy() for values in (fine.areas, fine.means, fine.errors)]
    join_classes(fine, 2)
    for values, before in zip((fine.areas, fine.means, fine.errors), kept, strict=True):
        assert (values == before).all()
