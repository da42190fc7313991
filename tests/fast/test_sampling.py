"""Sampling: the pixels of one micrograph that are learned from."""

import numpy as np
import pytest

from helpers.watched import Watched, micrograph
from nital.errors import InputError
from nital.fast import sampling, windows
from nital.fast.features import CHANNELS, MODE_WEIGHT, find_features, smooth
from nital.fast.sampling import take_sample
from nital.image.micrograph import LargeMicrograph, Micrograph


def test_of_a_single_block_every_feature_is_kept() -> None:
    image = micrograph()
    sample = take_sample(image, "fine")
    assert sample.whole is not None
    expected = find_features(image.grey, sample.levels, "fine") * sample.weights
    assert (sample.whole == expected).all()
    window = slice(10, 20), slice(30, 70)
    assert (sample.features(image, window) == expected[window]).all()
    assert sorted(map(tuple, sample.values)) == sorted(
        map(tuple, expected.reshape(-1, len(CHANNELS)))
    )


def test_channels_are_divided_by_the_root_of_their_spread() -> None:
    image = micrograph()
    sample = take_sample(image, "fine")
    found = find_features(image.grey, sample.levels, "fine").reshape(-1, len(CHANNELS))
    spread = found.std(axis=0)
    used = spread > 0
    assert sample.weights[:-1] == pytest.approx((1 / np.sqrt(spread))[:-1], rel=1e-4)
    assert used[:-1].all()
    of_mode = MODE_WEIGHT / np.sqrt(smooth(image.grey).std())
    assert sample.weights[-1] == pytest.approx(of_mode, rel=1e-4)


def test_a_channel_that_is_the_same_everywhere_counts_for_nothing() -> None:
    grey = np.repeat([0.2, 0.8], 30).repeat(60).reshape(60, 60)
    sample = take_sample(Micrograph.from_array(grey), "fine")
    assert sample.weights[CHANNELS.index("bright_below_32")] == 0
    assert np.isfinite(sample.weights).all()


def test_excluded_pixels_are_no_part_of_the_sample() -> None:
    image = micrograph()
    excluded = np.zeros(image.shape, bool)
    excluded[:50] = True
    part = Micrograph.from_array(image.pixels, excluded=excluded)
    sample = take_sample(part, "fine")
    assert len(sample.values) == (~excluded).sum()
    other = part.pixels.copy()
    other[:50] = np.random.default_rng(5).random((50, 1, 3))  # their content has no effect
    again = take_sample(Micrograph.from_array(other, excluded=excluded), "fine")
    assert again.levels == sample.levels
    assert (again.values == sample.values).all()


def test_all_excluded_is_an_error() -> None:
    image = micrograph(8, 9)
    nothing = Micrograph(image.pixels, np.ones(image.shape, bool), (0, 1))
    with pytest.raises(InputError, match="every pixel is excluded"):
        take_sample(nothing, "fine")


@pytest.mark.usefixtures("several_blocks")
def test_of_several_blocks_tiles_from_all_over_are_read() -> None:
    watched = Watched(micrograph(256, 320))
    sample = take_sample(watched, "fine")
    assert sample.whole is None
    read = {(rows.start, cols.start) for rows, cols in watched.read_windows[: windows.N_TILES]}
    assert len(read) == windows.N_TILES
    assert {row // 128 for row, _ in read} == {0, 1}
    assert len(sample.values) == windows.N_TILES * 16 * 16


@pytest.mark.usefixtures("several_blocks")
def test_tiles_lie_where_anything_is_included() -> None:
    image = micrograph(256, 320)
    excluded = np.ones(image.shape, bool)
    excluded[200:210, 40:90] = False
    sample = take_sample(Micrograph.from_array(image.pixels, excluded=excluded), "fine")
    assert 0 < len(sample.values) <= 500


@pytest.mark.usefixtures("several_blocks")
def test_a_window_of_several_blocks_has_the_features_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = micrograph(256, 320)
    sample = take_sample(image, "fine")
    found = sample.features(image, (slice(128, 192), slice(64, 128)))
    whole = find_features(image.grey, sample.levels, "fine") * sample.weights
    assert found == pytest.approx(whole[128:192, 64:128], abs=1e-4)


def test_the_same_image_gives_the_same_sample() -> None:
    first, second = (take_sample(micrograph(300, 300), "medium") for _ in range(2))
    assert (first.values == second.values).all()
    assert len(first.values) == sampling.SAMPLE_PIXELS


@pytest.mark.usefixtures("several_blocks")
def test_of_several_blocks_all_excluded_is_an_error_too() -> None:
    values = np.zeros((100, 120, 2), np.uint8)
    values[..., 0] = np.arange(120)
    nothing = LargeMicrograph.scan(lambda rows, cols: values[rows, cols], (100, 120))
    with pytest.raises(InputError, match="every pixel is excluded"):
        take_sample(nothing, "fine")
