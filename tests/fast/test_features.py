"""Features: bands by size and length, contrast, modes of the histogram."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from nital.fast import features
from nital.fast.features import (
    AREAS,
    BLUR,
    CHANNELS,
    GreyLevels,
    dark_and_bright,
    find_features,
    reach,
    smooth,
)

Floats = NDArray[np.float32]

N_BANDS = len(AREAS) + 1
LEVELS = GreyLevels(0.0, 1.0, (0.5,), ())


def bands_naively(values: Floats, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pixel by pixel and object by object, length and width from the moments of the pixels."""
    bands = np.zeros((N_BANDS, *values.shape), np.int64)
    for threshold in thresholds:
        things, n = ndimage.label(values >= threshold)
        for thing in range(1, n + 1):
            rows, cols = np.nonzero(things == thing)
            if len(rows) >= AREAS[-1]:
                continue
            moments = np.cov(rows, cols, bias=True) + np.eye(2) / 12
            long = 12 * np.linalg.eigvalsh(np.atleast_2d(moments))[-1] / len(rows)
            band = sum(len(rows) >= area for area in AREAS)
            if len(rows) >= AREAS[0] and long >= features.LONG:
                band = N_BANDS - 1
            bands[band, rows, cols] += 1
    return bands


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_bands_are_those_of_every_thing_by_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.random((40, 50)), rng.choice([0.5, 1.5, 3]))
    values = ((values - values.min()) / np.ptp(values)).astype(np.float32)
    thresholds = np.linspace(0.05, 0.97, 7)  # no moment is exactly at the limit
    found = features._size_bands(values, thresholds)
    assert (found == bands_naively(values, thresholds)).all()


def scene() -> Floats:
    """On grey: bright squares of 5, 12, 25 and 60 pixels a side, a bright and a dark rod."""
    image = np.full((120, 160), 0.4, np.float32)
    image[10:15, 10:15] = 0.9
    image[30:42, 10:22] = 0.9
    image[50:110, 10:70] = 0.9
    image[55:80, 110:135] = 0.9
    image[10:14, 80:140] = 0.9
    image[90:150, 100:103] = 0.1
    return image


def test_things_of_one_grey_lie_in_the_bands_of_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "smooth", lambda grey: grey)
    found = find_features(scene(), LEVELS, "fine")
    names = dict(zip(CHANNELS, np.moveaxis(found, 2, 0), strict=True))
    above, below = 0.5, 0.3
    for name, place, height in (
        ("bright_below_32", (12, 12), above),
        ("bright_below_200", (36, 16), above),
        ("bright_below_1000", (70, 122), above),
        ("bright_long", (12, 100), above),
        ("dark_long", (100, 101), below),
    ):
        assert names[name][place] == pytest.approx(height, abs=1 / features.N_LEVELS)
        others = [each for other, each in names.items() if "_" in other and other != name]
        sized = [each[place] for each in others[: 2 * N_BANDS - 1]]
        assert max(sized) < 0.05
    assert names["rest"][80, 40] == pytest.approx(0.9)  # too large for any band
    assert names["rest"][12, 12] == pytest.approx(0.4, abs=1 / features.N_LEVELS)


@given(st.integers(0, 2**32 - 1))
def test_bands_and_rest_add_up_to_the_smoothed_grey(seed: int) -> None:
    grey = np.random.default_rng(seed).random((30, 20)).astype(np.float32)
    levels = GreyLevels.of(smooth(grey).ravel())
    found = find_features(grey, levels, "fine")
    bright, dark = found[..., :N_BANDS].sum(axis=2), found[..., N_BANDS : 2 * N_BANDS].sum(axis=2)
    assert_allclose(found[..., 2 * N_BANDS] + bright - dark, smooth(grey), rtol=0, atol=1e-5)
    assert (found[..., : 2 * N_BANDS] >= 0).all()


def test_a_negative_has_the_bright_bands_for_dark_ones() -> None:
    rng = np.random.default_rng(0)
    grey = ndimage.gaussian_filter(rng.random((60, 80)), 2).astype(np.float32)
    found = find_features(grey, GreyLevels.of(smooth(grey).ravel()), "fine")
    negative = find_features(1 - grey, GreyLevels.of(smooth(1 - grey).ravel()), "fine")
    assert (
        np.mean(np.abs(negative[..., :N_BANDS] - found[..., N_BANDS : 2 * N_BANDS]) > 1e-3) < 0.01
    )


def test_contrast_is_high_where_the_grey_changes_from_pixel_to_pixel() -> None:
    grey = np.full((80, 160), 0.5, np.float32)
    grey[:, 80:] += 0.2 * (np.indices((80, 80)).sum(axis=0) % 2 - 0.5)
    found = find_features(grey, LEVELS, "fine")
    contrast = found[..., CHANNELS.index("contrast_of_2")]
    assert contrast[40, 10] < 0.001
    assert contrast[40, 150] == pytest.approx(0.1, rel=0.05)  # root mean square of +-0.1


@pytest.mark.parametrize(("parts", "n_modes"), [((0.5,), 1), ((0.2, 0.8), 2), ((0.1, 0.5, 0.9), 3)])
def test_modes_are_the_groups_of_the_histogram(parts: tuple[float, ...], n_modes: int) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(part, 0.03, 4000) for part in parts]).astype(np.float32)
    levels = GreyLevels.of(values)
    assert levels.modes == pytest.approx(parts, abs=0.03)
    assert len(levels.cuts) == n_modes - 1
    pairs = zip(levels.modes, levels.cuts, levels.modes[1:], strict=False)
    assert all(low < cut < high for low, cut, high in pairs)


@given(st.integers(0, 2**32 - 1))
def test_two_groups_are_parted_in_the_valley_between_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate(
        [rng.normal(part, 0.03, rng.integers(500, 5000)) for part in (0.3, 0.7)]
    ).astype(np.float32)
    levels = GreyLevels.of(values)
    assert all(0.38 < cut < 0.62 for cut in levels.cuts)
    assert levels.modes == pytest.approx((0.3, 0.7), abs=0.01)


def test_a_shoulder_is_parted_where_otsu_parts_it() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.7, 0.05, 8000), 0.1 + 0.6 * np.sqrt(rng.random(4000))])
    levels = GreyLevels.of(values.astype(np.float32))
    clipped = np.clip(values, levels.low, levels.high)
    otsu = threshold_otsu(clipped, nbins=features.N_BINS)
    assert min(abs(cut - otsu) for cut in levels.cuts) < 0.01


@given(st.integers(0, 2**32 - 1))
def test_a_bell_curve_is_a_single_group(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.5, 0.1, 20_000).astype(np.float32)
    assert GreyLevels.of(values).cuts == ()


def test_the_mode_of_a_pixel_is_that_of_its_side_of_the_cut() -> None:
    grey = np.repeat([0.1, 0.3, 0.6, 0.9], 10).astype(np.float32).reshape(1, 40).repeat(20, axis=0)
    levels = GreyLevels(0.0, 1.0, (0.2, 0.8), (0.5,))
    mode = find_features(grey, levels, "fine")[..., -1]
    assert np.unique(mode[:, :18]).tolist() == [np.float32(0.2)]
    assert np.unique(mode[:, 22:]).tolist() == [np.float32(0.8)]


def test_nearly_equal_pixels_have_levels_too() -> None:
    values = np.full(10_000, 0.5, np.float32)
    values[7] = 0.6
    levels = GreyLevels.of(values)
    assert (levels.low, levels.high) == (np.float32(0.5), np.float32(0.6))


@pytest.mark.parametrize("scale", ["fine", "medium", "coarse"])
def test_a_coarser_scale_averages_over_the_neighbourhood(scale: str) -> None:
    grey = np.random.default_rng(0).random((90, 70)).astype(np.float32)
    fine, averaged = find_features(grey, LEVELS, "fine"), find_features(grey, LEVELS, scale)
    expected = ndimage.gaussian_filter(fine[..., 0], BLUR[scale])
    assert_allclose(averaged[..., 0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", ["fine", "coarse"])
def test_a_window_with_its_surroundings_has_the_features_of_the_whole(scale: str) -> None:
    rng = np.random.default_rng(1)
    grey = ndimage.gaussian_filter(rng.random((500, 60)), 1).astype(np.float32)
    margin = reach(scale)
    whole = find_features(grey, LEVELS, scale)
    window = find_features(grey[240 - margin : 260 + margin], LEVELS, scale)[margin:-margin]
    assert_allclose(window, whole[240:260], rtol=0, atol=1e-5)


@pytest.mark.parametrize("step", [1e-7, 1e-6, 1e-4])
def test_levels_that_float32_hardly_tells_apart_have_a_histogram(step: float) -> None:
    grey = np.full(1000, 0.5, np.float32)
    grey[::3] += np.float32(step)
    levels = GreyLevels.of(grey)
    assert levels.low <= levels.high
    dark, bright = dark_and_bright(grey)
    assert grey.min() - 1e-6 <= dark <= bright <= grey.max() + 1e-6
