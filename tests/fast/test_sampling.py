"""Sampling: the pixels of one view that are learned from."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from helpers.clouds import micrograph
from nital.errors import InputError
from nital.fast.features import CHANNELS, MODE_WEIGHT, find_features, smooth
from nital.fast.sampling import take_sample
from nital.fast.view import View, look_at
from nital.image import windows
from nital.image.micrograph import LargeMicrograph, Micrograph, Source

STEPS = pytest.mark.parametrize("step", [0.8, 1.0, 1.5])


def seen(image: Source | None = None, step: float = 1.0) -> View:
    return look_at(micrograph() if image is None else image, step)


def grey_of(view: View) -> NDArray[np.float32]:
    return view.grey((slice(0, view.shape[0]), slice(0, view.shape[1])))


@STEPS
def test_of_a_single_block_every_feature_is_kept(step: float) -> None:
    view = seen(step=step)
    sample = take_sample(view, "fine")
    assert sample.whole is not None
    assert sample.whole.shape == (*view.shape, len(CHANNELS))
    expected = find_features(grey_of(view), sample.levels, "fine") * sample.weights
    assert (sample.whole == expected).all()
    window = slice(10, 20), slice(30, 70)
    assert (sample.features(view, window) == expected[window]).all()
    assert (sample.values == expected.reshape(-1, len(CHANNELS))).all()


@STEPS
def test_a_sample_knows_its_image_and_its_view(step: float) -> None:
    image = micrograph()
    view = seen(image, step)
    sample = take_sample(view, "medium")
    assert sample.shape == image.shape
    assert (sample.step, sample.scale, sample.exposure) == (step, "medium", None)
    assert sample.seen is view


@STEPS
def test_channels_are_divided_by_the_root_of_their_spread(step: float) -> None:
    view = seen(step=step)
    sample = take_sample(view, "fine")
    found = find_features(grey_of(view), sample.levels, "fine").reshape(-1, len(CHANNELS))
    spread = found.std(axis=0, dtype=np.float64)[:-1]  # that of the mode has no part in it
    assert (spread > 0).all()
    assert sample.weights[:-1] == pytest.approx(1 / np.sqrt(spread), rel=1e-4)
    of_mode = MODE_WEIGHT / np.sqrt(smooth(grey_of(view)).std(dtype=np.float64))
    assert sample.weights[-1] == pytest.approx(of_mode, rel=1e-4)


def test_a_channel_that_is_the_same_everywhere_counts_for_nothing() -> None:
    grey = np.repeat([0.2, 0.8], 30).repeat(60).reshape(60, 60)
    sample = take_sample(seen(Micrograph.from_array(grey)), "fine")
    assert sample.weights[CHANNELS.index("bright_below_32")] == 0
    assert np.isfinite(sample.weights).all()


@STEPS
def test_excluded_pixels_are_no_part_of_the_sample(step: float) -> None:
    image = micrograph()
    excluded = np.zeros(image.shape, bool)
    excluded[:50] = True
    view = seen(Micrograph.from_array(image.pixels, excluded=excluded), step)
    sample = take_sample(view, "fine")
    whole = slice(0, view.shape[0]), slice(0, view.shape[1])
    assert len(sample.values) == (~view.read_excluded(*whole)).sum()
    assert sample.whole is not None
    assert (sample.values == sample.whole[~view.read_excluded(*whole)]).all()
    other = image.pixels.copy()
    other[:50] = np.random.default_rng(5).random((50, 1, 3))  # their content has no effect
    again = take_sample(seen(Micrograph.from_array(other, excluded=excluded), step), "fine")
    assert again.levels == sample.levels
    assert (again.values == sample.values).all()


def test_all_excluded_is_an_error() -> None:
    image = micrograph(8, 9)
    nothing = Micrograph(image.pixels, np.ones(image.shape, bool), (0, 1))
    with pytest.raises(InputError, match="every pixel is excluded"):
        take_sample(seen(nothing), "fine")


@pytest.mark.usefixtures("several_blocks")
def test_of_several_blocks_tiles_are_learned_from() -> None:
    view = seen(micrograph(256, 320))
    sample = take_sample(view, "fine")
    assert sample.whole is None
    tiles = windows.sampled_windows(view)
    assert len(tiles) == windows.N_TILES
    assert len(sample.values) == windows.N_TILES * 16 * 16
    found = np.concatenate([sample.features(view, each) for each in tiles])
    assert_allclose(sample.values, found.reshape(-1, len(CHANNELS)), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("several_blocks")
def test_a_window_of_several_blocks_has_the_features_of_the_whole() -> None:
    view = seen(micrograph(256, 320))
    sample = take_sample(view, "fine")
    found = sample.features(view, (slice(128, 192), slice(64, 128)))
    whole = find_features(grey_of(view), sample.levels, "fine") * sample.weights
    assert_allclose(found, whole[128:192, 64:128], rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", ["fine", "medium", "coarse"])
def test_the_same_view_gives_the_same_sample(scale: str) -> None:
    first, second = (take_sample(seen(), scale) for _ in range(2))
    assert first.values.tobytes() == second.values.tobytes()
    assert first.levels == second.levels


def test_a_mirrored_view_gives_the_mirrored_sample() -> None:
    image = micrograph()
    first = take_sample(seen(image), "fine")
    other = take_sample(seen(Micrograph.from_array(image.pixels[:, ::-1])), "fine")
    assert first.whole is not None
    assert other.whole is not None
    assert np.mean(np.abs(other.whole[:, ::-1] - first.whole) > 1e-3) < 1e-3


@pytest.mark.usefixtures("several_blocks")
def test_of_several_blocks_all_excluded_is_an_error_too() -> None:
    values = np.zeros((100, 120, 2), np.uint8)
    values[..., 0] = np.arange(120)
    nothing = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], (100, 120))
    with pytest.raises(InputError, match="every pixel is excluded"):
        take_sample(seen(nothing), "fine")
