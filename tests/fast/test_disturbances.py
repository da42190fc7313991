"""Disturbances: what they change, and that they are the same for a mirrored or turned view."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from helpers.clouds import micrograph
from nital.fast.disturbances import DISTURBANCES, Disturbance, disturbed
from nital.fast.view import View
from nital.image.micrograph import Micrograph

EACH = pytest.mark.parametrize("disturbance", DISTURBANCES, ids=lambda each: each.name)
SHAPES = [(60, 80), (61, 80), (59, 33)]
ALTERING = [each for each in DISTURBANCES if each.alter is not None]
RESAMPLING = [each for each in DISTURBANCES if each.pixels != 1]


def view_of(grey: NDArray[np.float32], step: float = 1.0) -> View:
    return View(Micrograph.from_array(grey), step).kept_whole()


def grey_of(view: View) -> NDArray[np.float32]:
    assert view.kept is not None
    return view.kept[0]


def named(name: str) -> Disturbance:
    (found,) = (each for each in DISTURBANCES if each.name == name)
    return found


def test_there_are_eight_with_names_of_their_own() -> None:
    assert len({each.name for each in DISTURBANCES}) == len(DISTURBANCES) == 8
    assert len(ALTERING) + len(RESAMPLING) + 1 == 8


def test_the_first_changes_nothing() -> None:
    view = view_of(micrograph().grey)
    assert disturbed(view, DISTURBANCES[0]) is view


@pytest.mark.parametrize("disturbance", DISTURBANCES[1:], ids=lambda each: each.name)
def test_all_others_change_the_grey_level_a_little(disturbance: Disturbance) -> None:
    grey = micrograph().grey
    found = disturbed(view_of(grey), disturbance)
    before = grey_of(View(found.source, found.step).kept_whole())
    if disturbance in ALTERING:
        assert (grey_of(found) != before).mean() > 0.9
        assert np.abs(grey_of(found) - before).max() < 0.25
    else:
        assert found.shape != grey.shape
    assert grey_of(found).dtype == np.float32


@EACH
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [0.5, 1.0, 1.7])
@pytest.mark.parametrize(
    "change", [np.flipud, np.fliplr, np.rot90, np.transpose], ids=lambda each: each.__name__
)
def test_a_mirrored_or_turned_view_is_disturbed_alike(
    disturbance: Disturbance,
    shape: tuple[int, int],
    step: float,
    change: Callable[[Any], NDArray[Any]],
) -> None:
    grey = micrograph(*shape).grey
    expected = change(grey_of(disturbed(view_of(grey, step), disturbance)))
    found = grey_of(disturbed(view_of(np.ascontiguousarray(change(grey)), step), disturbance))
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=0, atol=2e-5)


@EACH
def test_it_is_always_the_same(disturbance: Disturbance) -> None:
    view = view_of(micrograph().grey)
    before = grey_of(view).copy()
    first, again = (grey_of(disturbed(view, disturbance)) for _ in range(2))
    assert (first == again).all()
    assert (grey_of(view) == before).all()


@pytest.mark.parametrize("disturbance", RESAMPLING, ids=lambda each: each.name)
@pytest.mark.parametrize("step", [0.5, 1.0, 2.0])
def test_another_sampling_has_other_pixels_of_the_same_micrograph(
    disturbance: Disturbance, step: float
) -> None:
    view = view_of(micrograph(200, 300).grey, step).exposed(0.5, 0.2)
    found = disturbed(view, disturbance)
    assert found.source is view.source
    share = np.prod(found.shape) / np.prod(view.shape)
    assert share == pytest.approx(disturbance.pixels, rel=0.02)
    assert (found.gain, found.offset, found.light) == (view.gain, view.offset, view.light)
    assert grey_of(found).mean() == pytest.approx(grey_of(view).mean(), rel=0.01)


@pytest.mark.parametrize("disturbance", ALTERING, ids=lambda each: each.name)
def test_what_is_excluded_stays_excluded(disturbance: Disturbance) -> None:
    excluded = np.zeros((96, 128), bool)
    excluded[10:40, 50:] = True
    view = View(Micrograph.from_array(micrograph().grey, excluded=excluded), 1.0).kept_whole()
    window = slice(0, 96), slice(0, 128)
    assert (disturbed(view, disturbance).read_excluded(*window) == excluded).all()


# --- each by itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.8, 1.25])
def test_a_gamma_is_a_power_of_the_grey_level(gamma: float) -> None:
    grey = micrograph().grey
    found = grey_of(disturbed(view_of(grey), named(f"gamma {gamma:g}")))
    assert_allclose(found, grey**gamma, rtol=0, atol=1e-6)


def test_a_gamma_takes_what_is_darker_than_black_for_black() -> None:
    view = view_of(micrograph().grey).exposed(1.0, -0.5)
    for name in ("gamma 0.8", "gamma 1.25"):
        found = grey_of(disturbed(view, named(name)))
        assert (found[grey_of(view) < 0] == 0).all()


def test_a_blur_keeps_the_mean_and_flattens_the_rest() -> None:
    grey = np.random.default_rng(0).random((90, 90)).astype(np.float32)
    found = grey_of(disturbed(view_of(grey), named("blur of 0.8 pixels")))
    assert found.mean() == pytest.approx(grey.mean(), abs=1e-4)
    assert found.std() < 0.5 * grey.std()


def test_noise_is_a_quarter_of_the_spread() -> None:
    grey = micrograph(300, 400).grey
    noise = grey_of(disturbed(view_of(grey), named("noise"))) - grey
    assert noise.std() == pytest.approx(0.25 * grey.std(), rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=0.02 * float(grey.std()))
    quarter = noise[:150, :200].ravel()
    assert abs(np.corrcoef(quarter[:-1], quarter[1:])[0, 1]) < 0.05


def test_the_light_falls_by_15_per_cent_to_the_corners() -> None:
    grey = np.full((101, 201), 0.5, np.float32)
    grey[0, 0] = 0.50001  # a picture of one grey level is refused
    found = grey_of(disturbed(view_of(grey), named("light falling outwards by 15 %"))) / grey
    assert found[50, 100] == pytest.approx(1)
    assert found[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(np.full(4, 0.85))
    assert found[50, 0] == pytest.approx(0.925)
