"""Agreement with a reference: by hand, against every possible matching, and by properties."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nital.errors import InputError
from nital.result.agreement import compare

MAPS = hnp.arrays(np.uint8, (4, 5), elements=st.integers(1, 4))


def test_by_hand() -> None:
    reference = np.array([[0, 0, 0, 0, 1, 1], [7, 7, 7, 7, 1, 1]])
    labels = np.array([[2, 2, 2, 1, 1, 1], [3, 3, 3, 3, 3, 1]])
    found = compare(labels, reference)
    assert [(row.reference, row.label) for row in found.classes] == [(0, 2), (1, 1), (7, 3)]
    assert [row.iou for row in found.classes] == pytest.approx([3 / 4, 3 / 5, 4 / 5])
    assert found.mean_iou == pytest.approx((3 / 4 + 3 / 5 + 4 / 5) / 3)
    assert found.accuracy == pytest.approx(10 / 12)
    assert [row.difference for row in found.classes] == pytest.approx([-1 / 12, 0, 1 / 12])
    assert found.n_pixels == 12
    assert found.unmatched == {}


def test_adjusted_rand_index_by_hand() -> None:
    # Contingency [[2, 1], [0, 3]]: 1 + 3 = 4 pairs together; rows 3 + 3, columns 1 + 6; of 15.
    found = compare(np.array([[1, 1, 2, 2, 2, 2]]), np.array([[5, 5, 5, 6, 6, 6]]))
    expected = 6 * 7 / 15
    assert found.ari == pytest.approx((4 - expected) / ((6 + 7) / 2 - expected))


@given(MAPS, MAPS)
def test_matching_is_the_best_of_all(
    labels: NDArray[np.uint8], reference: NDArray[np.uint8]
) -> None:
    ours = [int(v) for v in np.unique(labels)]
    theirs = [int(v) for v in np.unique(reference)]

    def iou(a: int | None, b: int | None) -> float:
        if a is None or b is None:
            return 0.0
        both, either = (labels == a) & (reference == b), (labels == a) | (reference == b)
        return float(both.sum() / either.sum())

    padded: list[int | None] = [*ours, *[None] * max(0, len(theirs) - len(ours))]
    best = max(
        sum(iou(a, b) for a, b in zip(chosen, theirs, strict=True))
        for chosen in itertools.permutations(padded, len(theirs))
    )
    found = compare(labels, reference)
    assert found.mean_iou == pytest.approx(best / len(theirs))
    for row in found.classes:
        assert row.iou == pytest.approx(iou(row.label, row.reference))


@given(MAPS, st.permutations([1, 2, 3, 4]))
def test_a_renumbered_copy_agrees_fully(labels: NDArray[np.uint8], order: list[int]) -> None:
    found = compare(np.array([0, *order])[labels], labels)
    assert (found.mean_iou, found.accuracy, found.ari) == (1, 1, 1)
    assert all(row.difference == 0 for row in found.classes)


@given(MAPS, MAPS)
def test_fractions_add_up(labels: NDArray[np.uint8], reference: NDArray[np.uint8]) -> None:
    found = compare(labels, reference)
    assert sum(row.reference_fraction for row in found.classes) == pytest.approx(1)
    held = sum(row.area_fraction for row in found.classes) + sum(found.unmatched.values())
    assert held == pytest.approx(1)


def test_fewer_classes_than_the_reference() -> None:
    found = compare(np.array([[1, 1, 1, 1]]), np.array([[3, 3, 3, 4]]))
    first, second = found.classes
    assert (first.label, first.iou) == (1, 0.75)
    assert (second.label, second.iou, second.area_fraction) == (None, 0, 0)
    assert second.difference == -0.25
    assert found.mean_iou == 0.375


def test_more_classes_than_the_reference() -> None:
    found = compare(np.array([[1, 1, 1, 2]]), np.array([[3, 3, 3, 3]]))
    assert found.classes[0].label == 1
    assert found.unmatched == {2: 0.25}
    assert found.accuracy == 0.75


def test_ignored_and_excluded_pixels_do_not_count() -> None:
    reference = np.array([[0, 0, 1, 2, 2]])
    labels = np.array([[1, 2, 1, 2, 0]])
    found = compare(labels, reference, ignore=0)
    assert found.n_pixels == 2
    assert [(row.reference, row.label, row.iou) for row in found.classes] == [(1, 1, 1), (2, 2, 1)]


def test_large_maps_do_not_overflow() -> None:
    reference = np.repeat([1, 2], 200_000).reshape(1, -1)
    assert compare(reference, reference).ari == 1


@pytest.mark.parametrize(
    ("labels", "reference", "ignore", "said"),
    [
        (np.ones((2, 3), int), np.ones((3, 2), int), None, r"\(3, 2\).*\(2, 3\)"),
        (np.ones((2, 3), int), np.full((2, 3), 9), 9, "no pixel is labelled in both"),
        (np.zeros((2, 3), int), np.ones((2, 3), int), None, "no pixel is labelled in both"),
    ],
)
def test_bad_input(
    labels: NDArray[np.int64], reference: NDArray[np.int64], ignore: int | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        compare(labels, reference, ignore=ignore)
