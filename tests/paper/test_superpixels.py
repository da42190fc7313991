"""Superpixels: a frozen map, the preset, and what the settings do."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.divided import image_of
from nital.errors import InputError, SettingError
from nital.paper.superpixels import (
    find_superpixels,
    preset_n_superpixels,
    sample_superpixels,
)

FROZEN = Path(__file__).with_name("superpixels.npy")


def pattern() -> NDArray[np.float32]:
    """48 x 64, bright discs on a dark background, with a colour cast; whole numbers only."""
    rows, cols = np.mgrid[:48, :64]
    discs = ((rows % 16 - 8) ** 2 + (cols % 16 - 8) ** 2 < 30).astype(np.float32)
    texture = ((rows * 7 + cols * 13) % 11).astype(np.float32)
    grey = (discs * 140 + texture * 4 + 40) / 255
    return np.stack([grey, grey * np.float32(0.9), grey * np.float32(0.8)], axis=2)


def test_the_frozen_map() -> None:
    """A scikit-image that divides images differently would change every result."""
    assert (find_superpixels(pattern(), n_superpixels=60, compactness=20) == np.load(FROZEN)).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1440, 1920), 50_000),
        ((1000, 1000), 50_000),
        ((999, 1000), 49_950),
        ((360, 360), 6_480),
        ((10_000, 10_000), 1_808_449),
        ((256, 256), 3_276),
        ((3, 4), 1),
    ],
)
def test_the_preset(shape: tuple[int, int], expected: int) -> None:
    assert preset_n_superpixels(shape) == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 30), st.integers(5, 30), st.integers(1, 25), st.integers(0, 2**32 - 1))
def test_every_number_is_in_use(rows: int, cols: int, n: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((rows, cols, 3), dtype=np.float32)
    found = find_superpixels(image, n_superpixels=n)
    assert found.shape == (rows, cols)
    assert found.dtype == np.int64
    assert (np.unique(found) == np.arange(found.max() + 1)).all()


def test_about_as_many_as_asked_for() -> None:
    few, many = (find_superpixels(pattern(), n_superpixels=n).max() + 1 for n in (30, 120))
    assert 15 <= few <= 60
    assert 60 <= many <= 240


def test_low_compactness_follows_colour_and_high_gives_a_grid() -> None:
    bright = pattern()[..., 0] > 0.5

    def crossing(compactness: float) -> int:
        """Superpixels that hold both bright and dark pixels."""
        found = find_superpixels(pattern(), n_superpixels=60, compactness=compactness)
        return sum(0 < bright[found == s].mean() < 1 for s in range(found.max() + 1))

    counts = [crossing(compactness) for compactness in (1, 20, 1000)]
    assert all(low <= high for low, high in itertools.pairwise(counts))
    assert counts[0] < counts[2]


def test_no_preset_is_one_pixel_a_superpixel() -> None:
    assert find_superpixels(pattern()).max() + 1 < 48 * 64 / 4


@pytest.mark.parametrize("n", [0, -3, 48 * 64 + 1])
def test_numbers_out_of_range(n: int) -> None:
    with pytest.raises(SettingError, match=f"n_superpixels {n}: use 1 to 3072"):
        find_superpixels(pattern(), n_superpixels=n)


@pytest.mark.parametrize("compactness", [0, -1, float("nan"), float("inf")])
def test_compactness_out_of_range(compactness: float) -> None:
    with pytest.raises(SettingError, match="compactness"):
        find_superpixels(pattern(), compactness=compactness)


def test_a_grey_image_has_to_be_stacked_first() -> None:
    with pytest.raises(InputError, match="stack grey to three"):
        find_superpixels(pattern()[..., 0])


# --- of a micrograph ----------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
def test_of_a_single_block_they_are_those_of_the_image(whole: bool) -> None:
    image = image_of(pattern())
    found = sample_superpixels(image, n_superpixels=40, compactness=5.0, whole=whole)
    (numbers,) = found.maps
    assert (numbers == find_superpixels(pattern(), n_superpixels=40, compactness=5.0)).all()
    assert found.windows == ((slice(0, len(pattern())), slice(0, pattern().shape[1])),)
    assert found.n_superpixels == found.n_in_image == numbers.max() + 1


@pytest.mark.usefixtures("several_blocks")
def test_of_several_blocks_they_are_those_of_windows() -> None:
    pixels = np.random.default_rng(0).random((256, 320, 3), dtype=np.float32)
    found = sample_superpixels(image_of(pixels), n_superpixels=5120, compactness=5.0, whole=False)
    assert len(found.windows) == len(found.maps) == 6
    assert found.shape == (256, 320)
    seen = np.concatenate([numbers.ravel() for numbers in found.maps])
    assert sorted(set(seen.tolist())) == list(range(found.n_superpixels))
    for (rows, cols), numbers in zip(found.windows, found.maps, strict=True):
        share = 5120 * numbers.size / pixels[..., 0].size
        own = find_superpixels(pixels[rows, cols], n_superpixels=round(share), compactness=5.0)
        assert (numbers - numbers.min() == own).all()
    assert found.n_in_image == round(found.n_superpixels * 256 * 320 / (6 * 16 * 16))
    whole = sample_superpixels(image_of(pixels), n_superpixels=5120, compactness=5.0, whole=True)
    assert len(whole.windows) == 1


@pytest.mark.usefixtures("several_blocks")
@pytest.mark.parametrize("shape", [(30, 40), (256, 320)])
def test_where_all_is_excluded_there_are_none(shape: tuple[int, int]) -> None:
    image = image_of(np.zeros((*shape, 3)), np.ones(shape, bool))
    with pytest.raises(InputError, match="every pixel is excluded"):
        sample_superpixels(image, n_superpixels=10, compactness=5.0, whole=False)
