"""Boundaries: they come to lie where the grey turns, and stay where it does not tell."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from nital.result import boundaries
from nital.result.boundaries import (
    enlarge,
    mean_levels,
    nearest_pixels,
    noise_of,
    place_boundaries,
    reach_of,
)

Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]

CHANGES = pytest.mark.parametrize(
    "change", [np.flipud, np.fliplr, np.rot90, np.transpose], ids=lambda each: each.__name__
)


def placed(labels: Labels, grey: Floats, reach: int = 2) -> Labels:
    noise, levels = noise_of([(grey, labels > 0)], reach), mean_levels(labels, grey)
    return place_boundaries(labels, grey, reach, noise, levels)


def imaged(labels: Labels, blur: float, noise: float = 0.0) -> Floats:
    """Label 1 at 0.2, 2 at 0.5, ..., as a microscope shows it."""
    grey = ndimage.gaussian_filter(0.3 * labels.astype(float) - 0.1, blur)
    return (grey + np.random.default_rng(0).normal(0, noise, labels.shape)).astype(np.float32)


def line(width: int, wider: int = 0) -> Labels:
    """A line of label 2 in label 1, in the middle of 40 columns."""
    labels = np.ones((30, 40), np.uint8)
    labels[:, 18 - wider : 18 + width + wider] = 2
    return labels


def step(place: int) -> Labels:
    """Label 1 on the left, 2 on the right."""
    return np.where(np.arange(40) < place, 1, 2).astype(np.uint8)[np.newaxis].repeat(30, axis=0)


# --- moved --------------------------------------------------------------------------------------


def assert_comes_back(width: int, wider: int, blur: float, noise: float) -> None:
    """The line as it was labelled becomes the line in the picture, bright or dark."""
    truth, labels = line(width), line(width, wider)
    grey = imaged(truth, blur, noise)
    found = placed(labels, grey)
    assert (found == truth).all()
    assert found.dtype == np.uint8
    assert (placed(3 - labels, 1 - grey) == 3 - truth).all()


@pytest.mark.parametrize("wider", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("blur", [0.0, 0.3, 0.5, 0.7])
def test_a_line_that_was_labelled_too_wide_comes_back(width: int, wider: int, blur: float) -> None:
    assert_comes_back(width, wider, blur, 0)


@pytest.mark.parametrize(("width", "narrower"), [(3, 1), (4, 1), (5, 1), (5, 2)])
@pytest.mark.parametrize("blur", [0.3, 0.7])
def test_a_line_that_was_labelled_too_narrow_comes_back(
    width: int, narrower: int, blur: float
) -> None:
    assert_comes_back(width, -narrower, blur, 0)


@pytest.mark.parametrize("wider", [0, 1])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_line_with_noise_in_it_comes_back(width: int, wider: int) -> None:
    assert_comes_back(width, wider, 0.5, 0.005)


@pytest.mark.parametrize("off", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("blur", [0.0, 0.5, 1.0, 1.5])
def test_a_step_that_was_labelled_beside_its_place_comes_back(off: int, blur: float) -> None:
    grey = imaged(step(20), blur)
    assert (placed(step(20 + off), grey) == step(20)).all()
    assert (placed(3 - step(20 + off), 1 - grey) == 3 - step(20)).all()


@pytest.mark.parametrize(("reach", "blur"), [(1, 0.5), (3, 1.5), (4, 2.0), (6, 3.0)])
def test_a_step_comes_back_as_far_as_is_looked(reach: int, blur: float) -> None:
    grey = imaged(step(20), blur)
    for off in range(-reach, reach + 1):
        assert (placed(step(20 + off), grey, reach) == step(20)).all()


def test_the_darker_side_is_that_of_the_darker_class_whatever_its_number() -> None:
    """Classes are told by their mean grey level, not by their numbers."""
    grey = imaged(step(20), 0.5)
    swapped = np.array([0, 2, 1], np.uint8)
    assert (placed(swapped[step(22)], grey) == swapped[step(20)]).all()


def test_a_round_grain_comes_back() -> None:
    rows, cols = np.indices((60, 60)) - 29.5
    distance = np.hypot(rows, cols)
    truth = np.where(distance < 15, 2, 1).astype(np.uint8)
    large = np.where(distance < 16.5, 2, 1).astype(np.uint8)
    found = placed(large, imaged(truth, 0.7))
    assert np.count_nonzero(found != truth) < 0.05 * np.count_nonzero(large != truth)


@pytest.mark.parametrize("pair", [(1, 3), (2, 5), (4, 5)])
def test_any_two_of_many_classes_have_their_boundary_placed(pair: tuple[int, int]) -> None:
    truth = np.array([0, *pair], np.uint8)[step(20)]
    labels = np.array([0, *pair], np.uint8)[step(22)]
    for number in range(1, 6):  # the others, far away
        for each in (truth, labels):
            each[25:, 2 * number : 2 * number + 2] = number
    moved = placed(labels, imaged(truth, 0.5))
    assert (moved[:20] == truth[:20]).all()


@pytest.mark.parametrize("rim", [1, 2])
@pytest.mark.parametrize("off", [-1, 0])
@pytest.mark.parametrize("blur", [0.5, 0.7, 1.0])
def test_a_rim_is_divided_between_its_sides(rim: int, off: int, blur: float) -> None:
    truth = 2 * step(20) - 1
    labels = truth.copy()
    labels[:, 20 + off : 20 + off + rim] = 2
    assert (placed(labels, imaged(truth, blur)) == truth).all()


def test_joined_before_or_after_the_boundary_is_the_same() -> None:
    """So that fine classes can be joined without placing boundaries again."""
    rng = np.random.default_rng(0)
    truth = np.digitize(ndimage.gaussian_filter(rng.random((70, 90)), 4), [0.5]).astype(np.uint8)
    labels = np.roll(truth, 1, axis=1) + 1
    fine = (2 * labels - rng.integers(0, 2, labels.shape)).astype(np.uint8)
    grey = imaged((truth + 1).astype(np.uint8), 0.7)
    joined = (placed(fine, grey) + 1) // 2
    near = ndimage.minimum_filter(labels, 5) != ndimage.maximum_filter(labels, 5)
    assert (joined == placed(labels, grey))[near].mean() > 0.99
    assert (joined == truth + 1)[near].mean() > 0.99


# --- left where it is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reach", "width"),
    [(1, 2), (1, 3), (1, 8), (2, 3), (2, 4), (2, 5), (2, 8), (3, 5), (4, 6), (6, 9)],
)
@pytest.mark.parametrize("blur", [0.3, 0.5, 0.7])
def test_a_layer_between_dark_and_bright_stays(reach: int, width: int, blur: float) -> None:
    layered = 2 * step(20) - 1
    layered[:, 20 : 20 + width] = 2
    assert (placed(layered, imaged(layered, blur), reach) == layered).all()


@pytest.mark.parametrize("level", [0.12, 0.2, 0.5, 0.8, 0.88])
@pytest.mark.parametrize("reach", [1, 2, 3, 6])
@pytest.mark.parametrize("width", range(1, 13))
def test_no_class_leaps_over_a_layer(level: float, reach: int, width: int) -> None:
    """However thin it is, what is beside a layer of another grey grows into it, or not at all."""
    layered = 2 * step(14) - 1
    layered[:, 14 : 14 + width] = 2
    grey = np.array([0, 0, level, 1], np.float32)[layered]
    row = placed(layered, grey, reach)[15].astype(int)
    assert (np.diff(row) >= 0).all()


def test_noise_is_that_of_pixels_half_as_far_away_as_the_sides() -> None:
    noise = np.random.default_rng(0).normal(0.5, 0.02, (300, 300)).astype(np.float32)
    known = np.ones(noise.shape, bool)
    alike = noise.repeat(3, axis=0).repeat(3, axis=1)
    assert noise_of([(noise, known)], 2) == pytest.approx(0.02, rel=0.02)
    assert noise_of([(alike, np.ones(alike.shape, bool))], 6) == pytest.approx(0.02, rel=0.02)
    known[:150] = False
    noise[:150] = 7
    assert noise_of([(noise, known)], 4) == pytest.approx(0.02, rel=0.02)
    assert noise_of([(noise[:1, :1], known[:1, :1])], 2) == 0
    assert noise_of([], 2) == 0


def test_neither_exposure_nor_an_offset_matters() -> None:
    truth = line(3)
    grey = imaged(truth, 0.7, 0.002)
    expected = placed(line(3, 1), grey)
    for gain, offset in ((1e-6, 0), (50, 0), (1, -0.3), (1e-3, 1e-4)):
        other = (gain * grey.astype(float) + offset).astype(np.float32)
        assert (placed(line(3, 1), other) == expected).all()


def test_excluded_pixels_stay_and_so_does_what_is_beside_them_alone() -> None:
    truth, labels = step(20), step(22)
    labels[:10] = 0
    found = placed(labels, imaged(truth, 0.5))
    assert (found[:10] == 0).all()
    assert (found[10:] == truth[10:]).all()


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_what_excluded_pixels_show_has_no_part_in_it(noise: float) -> None:
    labels = step(22)
    labels[:18] = 0
    grey = imaged(step(20), 0.7, noise)
    found = [
        placed(labels, np.where(labels > 0, grey, np.float32(shown))) for shown in (0.0, 0.5, 1.0)
    ]
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert (found[0] != labels).any()


@given(
    hnp.arrays(np.uint8, (9, 11), elements=st.integers(0, 4)).filter(lambda each: each.any()),
    hnp.arrays(np.float32, (9, 11), elements=st.floats(0, 1, width=16)),
    st.integers(1, 4),
)
def test_a_pixel_keeps_its_class_or_gets_that_of_one_nearby(
    labels: Labels, grey: Floats, reach: int
) -> None:
    before = labels.copy()
    found = placed(labels, grey, reach)
    assert (labels == before).all()
    assert ((found == 0) == (labels == 0)).all()
    for row, col in np.argwhere(found != labels):
        rows, cols = (slice(max(0, at - reach), at + reach + 1) for at in (row, col))
        beside = labels[rows, cols]
        assert found[row, col] in beside


@pytest.mark.parametrize("labels", [np.ones((9, 11), np.uint8), np.zeros((9, 11), np.uint8)])
def test_a_single_class_has_no_boundary(labels: Labels) -> None:
    grey = np.random.default_rng(0).random((9, 11), np.float32)
    assert (placed(labels, grey) == labels).all()


@CHANGES
def test_a_mirrored_or_turned_map_has_mirrored_or_turned_boundaries(
    change: Callable[[Any], NDArray[Any]],
) -> None:
    rng = np.random.default_rng(0)
    truth = np.digitize(ndimage.gaussian_filter(rng.random((70, 90)), 4), [0.48, 0.52])
    truth = (truth + 1).astype(np.uint8)
    labels = np.roll(truth, (1, 2), (0, 1))
    labels[:9, :20] = 0
    grey = imaged(truth, 0.7, 0.01)
    found = placed(labels, grey)
    assert (found != labels).sum() > 100
    assert (placed(change(labels), change(grey)) == change(found)).all()


@pytest.mark.parametrize("reach", [1, 2, 5])
@pytest.mark.parametrize("rows", [1, 7, 30])
def test_strips_are_as_the_whole(rows: int, reach: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = imaged(step(20), 0.7, 0.02)
    expected = placed(step(22), grey, reach)
    monkeypatch.setattr(boundaries, "_ROWS_AT_ONCE", rows)
    assert (placed(step(22), grey, reach) == expected).all()


def test_what_is_nearby_follows_the_sampling_of_the_view() -> None:
    assert [reach_of(step) for step in (1 / 3, 0.6, 1, 2, 4)] == [1, 1, 2, 3, 6]


# --- noise --------------------------------------------------------------------------------------


@pytest.mark.parametrize("contrast", [0.0, 0.01, 0.02])
def test_nothing_moves_where_the_contrast_is_within_the_noise(contrast: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (120, 160))
    labels = np.where(np.arange(160) < 80, 1, 2).astype(np.uint8)[np.newaxis].repeat(120, axis=0)
    grey = (0.4 + contrast * labels + noise).astype(np.float32)
    near = np.abs(np.arange(160) - 79.5) < 2
    assert (placed(labels, grey) == labels)[:, near].mean() > 0.98


def test_a_boundary_far_from_any_edge_stays() -> None:
    grey = imaged(step(20), 0.5, 0.005)
    assert (placed(step(30), grey) == step(30)).all()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_noise_beside_a_line_that_was_labelled_too_wide_is_no_part_of_it(width: int) -> None:
    assert_comes_back(width, 2, 0.5, 0.005)


# --- enlarged -----------------------------------------------------------------------------------


def test_enlarged_by_hand() -> None:
    labels = np.array([[1, 1, 2, 2]], np.uint8)
    assert enlarge(labels, (1, 8)).tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]]
    assert enlarge(labels, (3, 4)).tolist() == [[1, 1, 2, 2]] * 3
    assert enlarge(labels, (1, 2)).tolist() == [[1, 2]]
    assert enlarge(np.array([[1, 2]], np.uint8), (1, 3)).tolist() == [[1, 1, 2]]  # a tie


def test_of_the_same_shape_it_is_a_copy() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = enlarge(labels, (3, 4))
    assert (found == labels).all()
    assert found is not labels


MAPS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)).map(
    lambda each: (each % 4).astype(np.uint8)
)
SIDES = st.integers(1, 30)


@given(MAPS, SIDES, SIDES)
def test_whatever_the_shape_each_class_is_one_of_those_nearby(
    labels: Labels, rows: int, cols: int
) -> None:
    found = enlarge(labels, (rows, cols))
    assert found.shape == (rows, cols)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= {0, *np.unique(labels)}
    for row, col in np.ndindex(rows, cols):
        place = [
            (i + 0.5) * own / n - 0.5
            for i, own, n in zip((row, col), labels.shape, (rows, cols), strict=True)
        ]
        near = [
            np.clip([np.floor(at - 1e-9), np.ceil(at + 1e-9)], 0, own - 1).astype(int)
            for at, own in zip(place, labels.shape, strict=True)
        ]
        beside = labels[near[0][0] : near[0][1] + 1, near[1][0] : near[1][1] + 1]
        assert found[row, col] in beside or not found[row, col]


@given(MAPS, st.integers(1, 5))
def test_enlarged_by_a_whole_number_the_middle_of_each_pixel_keeps_its_class(
    labels: Labels, factor: int
) -> None:
    factor = 2 * factor - 1
    found = enlarge(labels, (labels.shape[0] * factor, labels.shape[1] * factor))
    middles = found[factor // 2 :: factor, factor // 2 :: factor]
    assert (middles == labels).all()


@given(MAPS, SIDES, SIDES)
def test_a_mirrored_map_is_enlarged_to_the_mirrored_one(
    labels: Labels, rows: int, cols: int
) -> None:
    found = enlarge(labels, (rows, cols))
    assert (enlarge(np.flip(labels), (rows, cols)) == np.flip(found)).all()
    assert (enlarge(labels.T, (cols, rows)) == found.T).all()


def test_a_large_grain_has_the_same_share_when_enlarged() -> None:
    rows, cols = np.indices((50, 60))
    labels = np.where(np.hypot(rows - 25, cols - 30) < 18, 2, 1).astype(np.uint8)
    found = enlarge(labels, (137, 171))
    assert (found == 2).mean() == pytest.approx((labels == 2).mean(), abs=0.005)


@given(MAPS, SIDES, SIDES)
def test_the_nearest_pixels_are_those_of_the_map(labels: Labels, rows: int, cols: int) -> None:
    found = nearest_pixels(labels, (rows, cols))
    for row, col in np.ndindex(rows, cols):
        place = int((row + 0.5) * labels.shape[0] / rows), int((col + 0.5) * labels.shape[1] / cols)
        assert found[row, col] == labels[place]
