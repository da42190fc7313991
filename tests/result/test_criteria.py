"""F, F' and Q: by hand on a few pixels, against a naive sum, and by properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nital.errors import InputError, SettingError
from nital.result.criteria import Criteria, RegionStatistics, criteria_of, evaluate, measure_regions

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
    regions = measure_regions(np.array([[0.0, 2 / 255, 0.0, 2 / 255]]), np.array([[1, 1, 2, 2]]))
    assert regions.areas.tolist() == [2, 2]
    assert regions.errors == pytest.approx([6, 6])
    assert regions.means == pytest.approx(np.ones((2, 3)))
    found = evaluate(np.array([[0.0, 2 / 255, 0.0, 2 / 255]]), np.array([[1, 1, 2, 2]]))
    assert found.F_prime == pytest.approx(math.sqrt(2**1.5) * 2 * 6 / math.sqrt(2) / 4000)


@pytest.mark.parametrize("grey", [0.0, 0.1, 1 / 3, 1.0])
def test_a_uniform_image_gives_zero(grey: float) -> None:
    image = np.full((4, 5, 3), grey)
    found = evaluate(image, np.ones((4, 5), np.uint8))
    assert (found.F, found.F_prime) == (0, 0)
    # Q's second term depends on areas alone: only (R(A) / A)^2 = 1 / 20^2 remains.
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


# --- statistics of regions ----------------------------------------------------------------------


def assert_same(found: RegionStatistics, expected: RegionStatistics) -> None:
    """Check equality, except for the mean colour of numbers without pixels."""
    assert (found.areas == expected.areas).all()
    np.testing.assert_allclose(found.errors, expected.errors, rtol=1e-9, atol=1e-6)
    used = expected.areas > 0
    np.testing.assert_allclose(found.means[used], expected.means[used], rtol=1e-9, atol=1e-9)


@given(IMAGES, LABELS)
def test_statistics_against_plain_sums(
    image: NDArray[np.float64], labels: NDArray[np.uint8]
) -> None:
    found = measure_regions(image, labels, 6)
    assert found.areas.shape == found.errors.shape == (6,)
    assert found.means.shape == (6, 3)
    for label in range(1, 7):
        colours = 255 * image[labels == label]
        assert found.areas[label - 1] == len(colours)
        error = float(((colours - colours.mean(axis=0)) ** 2).sum()) if len(colours) else 0
        assert found.errors[label - 1] == pytest.approx(error, rel=1e-9, abs=1e-9)
        if len(colours):
            assert found.means[label - 1] == pytest.approx(colours.mean(axis=0))


def test_regions_are_numbered_to_the_largest_label_unless_told() -> None:
    labels = np.array([[0, 2], [2, 3]])
    assert measure_regions(np.zeros((2, 2)), labels).areas.tolist() == [0, 2, 1]
    assert measure_regions(np.zeros((2, 2)), labels, 5).areas.tolist() == [0, 2, 1, 0, 0]


@given(IMAGES, LABELS, st.integers(1, 4), st.integers(1, 5))
def test_statistics_of_parts_add_up_to_those_of_the_whole(
    image: NDArray[np.float64], labels: NDArray[np.uint8], row: int, col: int
) -> None:
    parts = [
        measure_regions(image[window], labels[window], 4)
        for window in (np.s_[:row], np.s_[row:, :col], np.s_[row:, col:])
    ]
    whole = measure_regions(image, labels, 4)
    assert_same(parts[0] + parts[1] + parts[2], whole)
    assert_same(parts[2] + (parts[1] + parts[0]), whole)


@given(IMAGES, LABELS, st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_joined_statistics_are_those_of_the_joined_labels(
    image: NDArray[np.float64], labels: NDArray[np.uint8], number: list[int]
) -> None:
    joined = measure_regions(image, labels, 4).joined(np.array(number))
    expected = measure_regions(image, np.array([0, *number])[labels], max(number))
    assert_same(joined, expected)


@given(st.floats(0, 1), LABELS, st.integers(1, 4))
def test_one_colour_has_no_error_at_all_however_it_is_put_together(
    grey: float, labels: NDArray[np.uint8], row: int
) -> None:
    image = np.full((5, 6, 3), grey)
    image[..., 1] = grey / 3
    whole = measure_regions(image, labels, 4)
    parts = measure_regions(image[:row], labels[:row], 4) + measure_regions(
        image[row:], labels[row:], 4
    )
    for each in (whole, parts, whole.joined(np.array([1, 2, 1, 2])), parts.joined(np.ones(4, int))):
        assert (each.errors == 0).all()


def test_small_differences_on_a_bright_ground_keep_their_digits() -> None:
    # Subtracting sums of squares would lose a difference of 1e-7 in 250.
    image = np.full((4, 50, 3), 250 / 255)
    image[:, ::2] += 1e-7 / 255
    labels = np.ones((4, 50), int)
    parts = [measure_regions(image[:, at], labels[:, at]) for at in (np.s_[:25], np.s_[25:])]
    expected = 200 * 3 * (1e-7 / 2) ** 2
    assert measure_regions(image, labels).errors[0] == pytest.approx(expected, rel=1e-5)
    assert (parts[0] + parts[1]).errors[0] == pytest.approx(expected, rel=1e-5)


@given(IMAGES, LABELS, st.integers(1, 4))
def test_criteria_from_statistics_are_those_of_the_label_map(
    image: NDArray[np.float64], labels: NDArray[np.uint8], row: int
) -> None:
    assert criteria_of(measure_regions(image, labels)) == evaluate(image, labels)
    assert criteria_of(measure_regions(image, labels, 9)) == evaluate(image, labels)
    regions = measure_regions(image[:row], labels[:row], 4)
    regions += measure_regions(image[row:], labels[row:], 4)
    found, expected = criteria_of(regions), evaluate(image, labels)
    for name in ("F", "F_prime", "Q"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-7, abs=1e-9)


@given(hnp.arrays(np.uint8, (5, 6)), LABELS)
def test_statistics_of_grey_are_those_of_three_equal_channels(
    grey: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    assert_same(measure_regions(grey, labels), measure_regions(np.stack([grey] * 3, 2), labels))
