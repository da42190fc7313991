"""Views: evenly lit, at a sampling of their own, and the way back to the pixels."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from helpers.clouds import micrograph
from nital.fast import view as module
from nital.fast.view import COARSEST, FINEST, VIEW_PIXELS, View, filled, look_at, step_of
from nital.image import windows
from nital.image.light import EVEN, Light
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.windows import Window, blocks

STEPS = [FINEST, 0.37, 0.75, 1.0, 1.3, 2.0, 3.1, 4.0]
LIT = Light((0.1, -0.05, 0.03, 0.02, -0.04))


def whole(view: View) -> Window:
    return slice(0, view.shape[0]), slice(0, view.shape[1])


def plain(shape: tuple[int, int], step: float) -> View:
    """A view of random pixels; what it shows does not matter."""
    pixels = np.random.default_rng(0).random((*shape, 3)).astype(np.float32)
    return View(Micrograph(pixels, np.zeros(shape, bool), (0, 1)), step)


SIDES = st.integers(1, 60)
VIEWS = st.builds(
    lambda rows, cols, step: plain((rows, cols), step), SIDES, SIDES, st.floats(FINEST, COARSEST)
)


# --- sampling -----------------------------------------------------------------------------------


@given(st.integers(1, 50_000), st.integers(1, 50_000))
def test_a_view_has_as_many_pixels_whatever_the_micrograph_has(rows: int, cols: int) -> None:
    step = step_of((rows, cols))
    assert FINEST <= step <= COARSEST
    if FINEST < step < COARSEST:
        assert rows * cols / step**2 == pytest.approx(VIEW_PIXELS)


def test_steps_by_hand() -> None:
    assert step_of((512, 512)) == 1
    assert step_of((1024, 1024)) == 2
    assert step_of((256, 256)) == 0.5
    assert step_of((20_000, 30_000)) == COARSEST
    assert step_of((5, 5)) == FINEST


@given(VIEWS)
def test_a_view_is_as_many_steps_long_and_wide_as_its_source(view: View) -> None:
    for own, length in zip(view.shape, view.source.shape, strict=True):
        assert own >= 1
        assert abs(own - length / view.step) <= 0.5 or own == 1


@pytest.mark.parametrize("step", STEPS)
def test_all_that_is_read_has_the_shape_of_its_window(step: float) -> None:
    view = look_at(micrograph(40, 52), step)
    rows, cols = view.shape
    window = slice(rows // 3, rows - 1), slice(1, cols // 2)
    shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
    for one in (view, replace(view, kept=None)):
        assert one.grey(window).shape == one.read_excluded(*window).shape == shape
        assert one.pixels(window).shape == (*shape, 3)
        assert one.grey(window).dtype == one.pixels(window).dtype == np.float32


def test_at_the_sampling_of_the_micrograph_the_grey_is_its_own() -> None:
    image = micrograph()
    view = View(image, 1.0)
    assert view.shape == image.shape
    assert (view.grey(whole(view)) == image.grey).all()
    assert (view.pixels(whole(view)) == image.pixels).all()


@pytest.mark.parametrize("step", STEPS)
def test_a_slope_is_the_same_slope_at_any_sampling(step: float) -> None:
    """Linear interpolation, splines and blurs keep a slope as it is, away from the rims."""
    rows, cols = np.indices((120, 160))
    slope = (0.1 + 0.002 * rows + 0.003 * cols).astype(np.float32)
    view = View(Micrograph.from_array(slope), step)
    centres = [
        (np.arange(own) + 0.5) * length / own - 0.5
        for own, length in zip(view.shape, (120, 160), strict=True)
    ]
    expected = 0.1 + 0.002 * centres[0][:, np.newaxis] + 0.003 * centres[1]
    rim = math.ceil(10 / step)
    inside = (slice(rim, -rim),) * 2
    assert_allclose(view.grey(whole(view))[inside], expected[inside], rtol=0, atol=1e-4)


@pytest.mark.parametrize("step", [2.0, 3.1, 4.0])
def test_what_is_finer_than_a_coarse_view_is_averaged(step: float) -> None:
    rows, cols = np.indices((120, 160))
    board = Micrograph.from_array(((rows + cols) % 2).astype(np.float32))
    view = View(board, step)
    assert_allclose(view.grey(whole(view)), 0.5, rtol=0, atol=0.1)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("lit", [EVEN, LIT])
def test_windows_are_those_of_the_whole(
    step: float, lit: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = micrograph(150, 170)
    read = View(image, step, lit, gain=0.7, offset=0.1)
    grey, kept = read.grey(whole(read)), read.kept_whole()
    monkeypatch.setattr(windows, "BLOCK_SIDE", max(10, round(40 / step)))
    assert len(blocks(read.shape)) > 1
    assert_allclose(read.kept_whole().grey(whole(read)), grey, rtol=0, atol=1e-5)
    for window in blocks(read.shape):
        assert_allclose(read.grey(window), grey[window], rtol=0, atol=1e-5)
        assert (kept.grey(window) == grey[window]).all()
        assert (read.pixels(window) == read.pixels(whole(read))[window]).all()
        assert (read.read_excluded(*window) == kept.read_excluded(*window)).all()


@pytest.mark.parametrize("step", [1.0, 2.0])
def test_a_part_is_as_the_whole_has_it(step: float) -> None:
    image = micrograph(150, 170)
    view = View(image, step, LIT, gain=0.7, offset=0.1).kept_whole()
    window = slice(20, 60), slice(10, 70)
    part = view.part(window)
    assert part.shape == (40, 60)
    inner = slice(5, -5), slice(5, -5)  # at its borders there is nothing to interpolate with
    assert_allclose(part.grey(whole(part))[inner], view.grey(window)[inner], rtol=0, atol=1e-5)
    assert (part.read_excluded(*whole(part)) == view.read_excluded(*window)).all()


@pytest.mark.parametrize("step", STEPS)
def test_a_mirrored_or_turned_micrograph_has_the_mirrored_or_turned_view(step: float) -> None:
    image = micrograph(97, 122)
    grey = View(image, step).kept_whole().kept
    assert grey is not None
    for change in (np.flipud, np.fliplr, np.rot90, np.transpose):
        pixels = np.moveaxis(np.stack([change(image.grey)] * 3), 0, -1)
        other = View(Micrograph.from_array(pixels), step)
        assert_allclose(other.grey(whole(other)), change(grey[0]), rtol=0, atol=1e-5)


# --- light and exposure -------------------------------------------------------------------------


def test_a_view_is_evenly_lit() -> None:
    rows, cols = np.indices((120, 160)) // 8
    flat = np.where((rows + cols) % 2, 0.5, 0.2).astype(np.float32)
    view = look_at(Micrograph.from_array(flat * LIT.field(flat.shape)), 1.0)
    assert view.light.depth == pytest.approx(LIT.depth, abs=0.02)
    assert_allclose(view.grey(whole(view)), flat, rtol=0, atol=0.015)


def test_an_exposure_is_a_gain_and_an_offset_after_any_other() -> None:
    view = look_at(micrograph(), 1.5)
    before = view.grey(whole(view))
    after = view.exposed(0.5, 0.1).exposed(2.0, -0.3)
    assert_allclose(after.grey(whole(view)), before - 0.1, rtol=0, atol=1e-5)
    assert (after.gain, after.offset) == pytest.approx((1, -0.1))
    read = replace(after, kept=None)
    assert_allclose(read.grey(whole(view)), before - 0.1, rtol=0, atol=1e-5)
    assert (view.grey(whole(view)) == before).all()


def test_a_large_view_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = look_at(micrograph(), 1.5)
    monkeypatch.setattr(module, "KEPT_PIXELS", 100)
    read = look_at(micrograph(), 1.5)
    assert kept.kept is not None
    assert read.kept is None
    assert read.light == kept.light
    assert_allclose(read.grey(whole(read)), kept.grey(whole(kept)), rtol=0, atol=1e-6)


def test_the_light_on_a_large_image_is_that_of_some_of_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, cols = np.indices((480, 640)) // 16
    flat = np.where((rows + cols) % 2, 0.5, 0.2)
    lit = (255 * flat * LIT.field((480, 640))).round().astype(np.uint8)
    monkeypatch.setattr(module, "MOST_PIXELS", 480 * 640 // 9)
    large = LargeMicrograph.scan(lambda rows, cols: lit[rows, cols], lit.shape)
    found = look_at(large).light
    assert found.coefficients == pytest.approx(LIT.coefficients, abs=0.02)


# --- back to the pixels -------------------------------------------------------------------------


@settings(max_examples=50)
@given(VIEWS, st.integers(1, 30))
def test_windows_of_the_source_hold_each_of_its_pixels_once(view: View, side: int) -> None:
    count = np.zeros(view.source.shape, int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "BLOCK_SIDE", side)
        for window in blocks(view.shape):
            count[view.window_of(window)] += 1
    assert (count == 1).all()


@given(VIEWS)
def test_places_rise_and_are_the_nearest(view: View) -> None:
    for places, n, own in zip(view.places(), view.source.shape, view.shape, strict=True):
        assert len(places) == n
        assert (np.diff(places) >= 0).all()
        assert places[0] >= 0
        assert places[-1] < own
        centre = (np.arange(n) + 0.5) * own / n - 0.5
        assert (np.abs(places - centre) <= 0.5 + 1e-9).all()
        assert own > n or (np.unique(places) == np.arange(own)).all()


@settings(max_examples=50)
@given(VIEWS, st.integers(1, 30))
def test_labels_of_a_window_come_back_as_those_of_the_whole(view: View, side: int) -> None:
    labels = np.random.default_rng(0).integers(1, 9, view.shape).astype(np.uint8)
    everywhere = tuple(slice(0, length) for length in view.source.shape)
    enlarged = view.enlarged(labels, whole(view), everywhere)
    assert enlarged.shape == view.source.shape
    rows, cols = view.places()
    assert (enlarged == labels[rows][:, cols]).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "BLOCK_SIDE", side)
        for window in blocks(view.shape):
            there = view.window_of(window)
            assert (view.enlarged(labels[window], window, there) == enlarged[there]).all()


def test_labels_by_hand() -> None:
    view = plain((6, 4), 2.0)
    labels = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)
    assert view.shape == (3, 2)
    found = view.enlarged(labels, whole(view), (slice(0, 6), slice(0, 4)))
    assert (found == labels.repeat(2, 0).repeat(2, 1)).all()
    lower = view.enlarged(labels[1:], (slice(1, 3), slice(0, 2)), (slice(2, 5), slice(1, 4)))
    assert lower.tolist() == [[3, 4, 4], [3, 4, 4], [5, 6, 6]]
    assert view.window_of((slice(1, 3), slice(1, 2))) == (slice(2, 6), slice(2, 4))


# --- excluded -----------------------------------------------------------------------------------


def half_excluded(shown: float) -> Micrograph:
    excluded = np.zeros((60, 80), bool)
    excluded[:, 50:] = True
    return Micrograph.from_array(
        np.where(excluded, shown, micrograph(60, 80).grey), excluded=excluded
    )


@pytest.mark.parametrize("step", STEPS)
def test_excluded_pixels_are_those_of_the_source(step: float) -> None:
    view = look_at(half_excluded(0.0), step)
    n_cols = view.shape[1]
    centres = (np.arange(n_cols) + 0.5) * 80 / n_cols
    for one in (view, replace(view, kept=None)):
        assert one.has_excluded
        assert (one.read_excluded(*whole(view)) == (np.floor(centres) >= 50)).all()


@pytest.mark.parametrize("step", STEPS)
def test_what_excluded_pixels_show_is_not_seen(step: float) -> None:
    dark, bright = (look_at(half_excluded(shown), step) for shown in (0.0, 1.0))
    assert dark.light == bright.light
    assert (dark.grey(whole(dark)) == bright.grey(whole(bright))).all()


def test_excluded_pixels_are_filled_with_the_nearest() -> None:
    grey = np.array([[0.1, 0.2, 0.9, 0.9, 0.5]], np.float32)
    excluded = np.array([[False, False, True, True, False]])
    assert filled(grey, excluded) == pytest.approx(np.float32([[0.1, 0.2, 0.2, 0.5, 0.5]]))
    assert (filled(grey, np.zeros((1, 5), bool)) == grey).all()
    assert (filled(grey, np.ones((1, 5), bool)) == grey).all()


def nearest_grey(grey: NDArray[np.float32], excluded: NDArray[np.bool_]) -> list[set[float]]:
    """For each excluded pixel, the grey levels of its nearest included ones."""
    known = np.argwhere(~excluded)
    found = []
    for place in np.argwhere(excluded):
        distance = ((known - place) ** 2).sum(axis=1)
        found.append({float(grey[tuple(each)]) for each in known[distance == distance.min()]})
    return found


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
def test_what_fills_is_the_nearest_whatever_is_excluded(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    grey, excluded = rng.random((7, 9), np.float32), rng.random((7, 9)) < share
    if excluded.all():
        return
    result = filled(grey, excluded)
    assert (result[~excluded] == grey[~excluded]).all()
    for value, allowed in zip(result[excluded], nearest_grey(grey, excluded), strict=True):
        assert float(value) in allowed
