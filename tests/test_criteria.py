"""F, F' and Q: by hand on a few pixels, against a naive sum, and by properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nital.criteria import Criteria, evaluate, region_errors
from nital.errors import InputError, SettingError

LABELS = hnp.arrays(np.uint8, (5, 6), elements=st.integers(0, 4)).filter(lambda a: a.any())
IMAGES = hnp.arrays(np.float64, (5, 6, 3), elements=st.floats(0, 1))


def naive(image: NDArray[np.float64], regions: list[NDArray[np.bool_]]) -> Criteria:
    """Eqs. 5 to 7, written out."""
    n_pixels = sum(int(region.sum()) for region in regions)
    areas, errors = [], []
    for region in regions:
        colours = 255 * image[region]
        areas.append(len(colours))
        errors.append(float(((colours - colours.mean(axis=0)) ** 2).sum()))
    r = len(regions)
    same = {area: areas.count(area) for area in areas}
    spread = sum(e / math.sqrt(a) for e, a in zip(errors, areas, strict=True))
    prime = math.sqrt(sum(n ** (1 + 1 / a) for a, n in same.items()))
    q = sum(e / (1 + math.log(a)) + (same[a] / a) ** 2 for e, a in zip(errors, areas, strict=True))
    scale = 1 / (1000 * n_pixels)
    return Criteria(scale * math.sqrt(r) * spread, scale * prime * spread, scale * math.sqrt(r) * q)


def close(found: Criteria, expected: Criteria) -> bool:
    return all(
        getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-15)
        for name in ("F", "F_prime", "Q")
    )


def test_two_regions_by_hand() -> None:
    # Region 1: grey 0 and 2 of 255, so e^2 = 3 * (1 + 1) = 6, A = 2. Region 2: one pixel, e^2 = 0.
    image = np.array([[0, 2 / 255, 1.0]])
    found = evaluate(image, np.array([[1, 1, 2]]))
    spread = 6 / math.sqrt(2)
    assert found.F == pytest.approx(math.sqrt(2) * spread / 3000)
    assert found.F_prime == pytest.approx(math.sqrt(1 + 1) * spread / 3000)
    q = 6 / (1 + math.log(2)) + (1 / 2) ** 2 + (1 / 1) ** 2
    assert found.Q == pytest.approx(math.sqrt(2) * q / 3000)


def test_regions_of_one_area_are_counted_together() -> None:
    # Two regions of one pixel: F' takes R(1)^(1 + 1) = 4, Q takes (2 / 1)^2 for each of them.
    found = evaluate(np.array([[0.3, 0.9]]), np.array([[1, 2]]))
    assert (found.F, found.F_prime) == (0, 0)
    assert found.Q == pytest.approx(math.sqrt(2) * (4 + 4) / 2000)
    areas, errors = region_errors(
        np.array([[0.0, 2 / 255, 0.0, 2 / 255]]), np.array([[1, 1, 2, 2]])
    )
    assert areas.tolist() == [2, 2]
    assert errors == pytest.approx([6, 6])
    found = evaluate(np.array([[0.0, 2 / 255, 0.0, 2 / 255]]), np.array([[1, 1, 2, 2]]))
    assert found.F_prime == pytest.approx(math.sqrt(2**1.5) * 2 * 6 / math.sqrt(2) / 4000)


@pytest.mark.parametrize("grey", [0.0, 0.1, 1 / 3, 1.0])
def test_a_uniform_image_gives_zero(grey: float) -> None:
    image = np.full((4, 5, 3), grey)
    found = evaluate(image, np.ones((4, 5), np.uint8))
    assert (found.F, found.F_prime) == (0, 0)
    # Q's second term depends on areas alone: (R(A) / A)^2 = 1 / 20^2 is all that is left.
    assert found.Q == pytest.approx(1 / 20**2 / (1000 * 20), rel=1e-12)


@given(IMAGES, LABELS)
def test_classes_against_the_naive_sum(
    image: NDArray[np.float64], labels: NDArray[np.uint8]
) -> None:
    regions = [labels == label for label in np.unique(labels) if label]
    assert close(evaluate(image, labels), naive(image, regions))


@given(IMAGES, LABELS)
def test_components_against_a_flood_fill(
    image: NDArray[np.float64], labels: NDArray[np.uint8]
) -> None:
    left = {(int(r), int(c)) for r, c in np.argwhere(labels > 0)}
    regions = []
    while left:
        queue = [left.pop()]
        region = np.zeros(labels.shape, bool)
        while queue:
            r, c = queue.pop()
            region[r, c] = True
            for near in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if near in left and labels[near] == labels[r, c]:
                    left.remove(near)
                    queue.append(near)
        regions.append(region)
    assert close(evaluate(image, labels, regions="components"), naive(image, regions))


@given(IMAGES, LABELS, st.permutations(range(1, 5)))
def test_relabelling_changes_nothing(
    image: NDArray[np.float64], labels: NDArray[np.uint8], order: list[int]
) -> None:
    renamed = np.array([0, *(7 * value for value in order)])[labels]
    assert close(evaluate(image, labels), evaluate(image, renamed))


@given(IMAGES, LABELS, st.integers(0, 4), st.data())
def test_splitting_a_uniform_region_never_lowers_f(
    image: NDArray[np.float64], labels: NDArray[np.uint8], grey: int, data: st.DataObject
) -> None:
    label = data.draw(st.sampled_from([int(v) for v in np.unique(labels) if v]))
    image[labels == label] = grey / 4
    part = data.draw(hnp.arrays(np.bool_, labels.shape))
    split = np.where((labels == label) & part, 9, labels)
    assert evaluate(image, split).F >= evaluate(image, labels).F * (1 - 1e-12)


@given(hnp.arrays(np.float64, (5, 6), elements=st.floats(0, 1)), LABELS)
def test_grey_counts_as_three_equal_channels(
    grey: NDArray[np.float64], labels: NDArray[np.uint8]
) -> None:
    assert close(evaluate(grey, labels), evaluate(np.stack([grey] * 3, axis=2), labels))


@given(hnp.arrays(np.uint8, (5, 6, 3)), LABELS)
def test_eight_bits_are_taken_as_they_are(
    image: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    assert close(evaluate(image, labels), evaluate(image / 255, labels))


@given(IMAGES, LABELS)
def test_excluded_pixels_do_not_count(
    image: NDArray[np.float64], labels: NDArray[np.uint8]
) -> None:
    changed = image.copy()
    changed[labels == 0] = 1 - changed[labels == 0]
    assert evaluate(image, labels) == pytest.approx(evaluate(changed, labels)) or close(
        evaluate(image, labels), evaluate(changed, labels)
    )


@pytest.mark.parametrize(
    ("image", "labels", "said"),
    [
        (np.zeros((2, 3)), np.ones((3, 2), int), r"\(2, 3\).*\(3, 2\)"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "every pixel is 0"),
        (np.zeros((2, 2)), np.array([[1, -4], [1, 1]]), "label -4"),
        (np.zeros((2, 2)), np.ones((2, 2)), "float64"),
        (np.zeros((0, 2)), np.zeros((0, 2), int), "every pixel is 0"),
        (np.full((2, 2), 255.0), np.ones((2, 2), int), r"from 255\.0 to 255\.0"),
        (np.full((2, 2), np.nan), np.ones((2, 2), int), "from nan to nan"),
        (np.ones((2, 2), np.uint16), np.ones((2, 2), int), "uint16"),
        (np.ones((2, 2, 4)), np.ones((2, 2), int), "4 channels"),
    ],
)
def test_bad_input(image: NDArray[np.float64], labels: NDArray[np.int64], said: str) -> None:
    with pytest.raises(InputError, match=said):
        evaluate(image, labels)


def test_unknown_regions() -> None:
    with pytest.raises(SettingError, match=r"'grains'.*classes, components"):
        evaluate(np.zeros((2, 2)), np.ones((2, 2), int), regions="grains")
