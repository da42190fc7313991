"""Feature spaces: features of windows, at a sampling and an exposure that many share."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from helpers.clouds import micrograph
from nital.fast.features import CHANNELS, GreyLevels, dark_and_bright, find_features, reach, smooth
from nital.fast.space import Exposure, FeatureSpace, features_in, smoothed_grey
from nital.fast.view import look_at
from nital.image.light import EVEN
from nital.image.micrograph import Micrograph
from nital.image.tone import GREY


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (0.3, 0.5), (0.7, 0.1)])
def test_an_image_is_brought_to_the_exposure(gain: float, offset: float) -> None:
    image = micrograph()
    excluded = np.zeros(image.shape, bool)
    excluded[:, :40] = True
    changed = Micrograph.from_array(gain * image.grey + offset, excluded=excluded)
    view = Exposure(0.4, 0.5).align(look_at(changed, 1.0))
    window = slice(0, image.shape[0]), slice(0, image.shape[1])
    smoothed = smooth(view.grey(window))[:, 40:]
    assert dark_and_bright(smoothed) == pytest.approx((0.4, 0.5), abs=0.005)
    assert view.shape == image.shape
    assert view.has_excluded
    assert (view.read_excluded(*window) == excluded).all()


def test_an_image_of_one_grey_level_is_brought_to_the_exposure_all_the_same() -> None:
    flat = Micrograph(np.full((9, 9, 3), 0.5, np.float32), np.zeros((9, 9), bool), (0, 1))
    seen = Exposure(0.4, 0.5).align(look_at(flat, 1.0)).grey((slice(0, 9), slice(0, 9)))
    assert np.isfinite(seen).all()
    assert np.ptp(seen) == 0


def test_an_exposure_is_that_of_the_view_as_it_is_lit() -> None:
    image = micrograph()
    shaded = image.grey * np.linspace(0.7, 1, image.shape[1], dtype=np.float32)
    view = Exposure(0.4, 0.5).align(look_at(Micrograph.from_array(shaded), 1.0))
    assert view.light.depth > 0.2
    assert dark_and_bright(smoothed_grey(view)) == pytest.approx((0.4, 0.5), abs=0.005)


LEVELS = GreyLevels(0.0, 1.0, (0.5,), ())


@pytest.mark.parametrize("exposure", [None, Exposure(0.4, 0.5)])
@pytest.mark.parametrize("step", [0.7, 1.0, 1.6])
def test_a_space_has_a_view_at_its_sampling_and_exposure(
    step: float, exposure: Exposure | None
) -> None:
    image = micrograph()
    weights = np.ones(len(CHANNELS), np.float32)
    plain = look_at(image, step)
    space = FeatureSpace(LEVELS, weights, "fine", exposure, step, GREY, plain.light)
    view = space.view(image)
    assert view.step == step
    assert view.shape == plain.shape
    expected = plain if exposure is None else exposure.align(plain)
    whole = slice(0, view.shape[0]), slice(0, view.shape[1])
    assert (view.grey(whole) == expected.grey(whole)).all()


def test_features_are_weighted() -> None:
    weights = np.arange(len(CHANNELS), dtype=np.float32)
    view = look_at(micrograph(), 1.0)
    window = slice(10, 40), slice(20, 90)
    space = FeatureSpace(LEVELS, weights, "fine", None, 1.0, GREY, EVEN)
    assert (
        space.features(view, window) == features_in(view, window, LEVELS, "fine") * weights
    ).all()


@pytest.mark.parametrize("scale", ["fine", "medium"])
def test_features_in_a_window_are_those_of_the_whole(scale: str) -> None:
    view = look_at(micrograph(500, 90), 1.0)
    whole = find_features(view.grey((slice(0, 500), slice(0, 90))), LEVELS, scale)
    assert reach(scale) < 200
    for window in ((slice(240, 260), slice(30, 60)), (slice(0, 9), slice(80, 90))):
        assert_allclose(features_in(view, window, LEVELS, scale), whole[window], rtol=0, atol=1e-5)


def test_smoothed_grey_is_that_of_the_included_pixels() -> None:
    excluded = np.zeros((96, 128), bool)
    excluded[30:50] = True
    view = look_at(Micrograph.from_array(micrograph().grey, excluded=excluded), 1.0)
    grey = view.grey((slice(0, 96), slice(0, 128)))
    assert (smoothed_grey(view) == smooth(grey)[~excluded]).all()
