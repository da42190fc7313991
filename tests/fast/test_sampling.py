"""Sampling: blocks, tiles from all over an image, weighted features."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from nital.errors import InputError
from nital.fast import sampling
from nital.fast.features import CHANNELS, MODE_WEIGHT, dark_and_bright, find_features, smooth
from nital.fast.sampling import (
    DISTANCE,
    CommonSample,
    Exposure,
    Window,
    blocks,
    take_common_sample,
    take_sample,
)
from nital.image.micrograph import LargeMicrograph, Micrograph


def micrograph(rows: int = 96, cols: int = 128, seed: int = 0) -> Micrograph:
    grey = ndimage.gaussian_filter(np.random.default_rng(seed).random((rows, cols)), 2)
    return Micrograph.from_array((grey - grey.min()) / np.ptp(grey))


@pytest.fixture
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BLOCK_SIDE", 64)
    monkeypatch.setattr(sampling, "TILE_SIDE", 16)
    monkeypatch.setattr(sampling, "N_TILES", 6)


@dataclass
class Watched:
    """A micrograph that takes note of the windows that are read."""

    of: Micrograph
    read_windows: list[Window] = field(default_factory=list)
    name: str = "watched"
    sha256: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.of.shape

    @property
    def has_excluded(self) -> bool:
        return self.of.has_excluded

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        self.read_windows.append((rows, cols))
        return self.of.read(rows, cols)

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        return self.of.read_excluded(rows, cols)


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_blocks_cover_every_pixel_once_and_are_small(rows: int, cols: int) -> None:
    found = blocks((rows, cols))
    area = 0
    for window in found:
        height, width = (part.stop - part.start for part in window)
        assert 0 < height <= sampling.BLOCK_SIDE
        assert 0 < width <= sampling.BLOCK_SIDE
        area += height * width
    assert area == rows * cols
    assert len({(window[0].start, window[1].start) for window in found}) == len(found)


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
    other[:50] = np.random.default_rng(5).random((50, 1, 3))  # what they show has no say
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
    read = {(rows.start, cols.start) for rows, cols in watched.read_windows[: sampling.N_TILES]}
    assert len(read) == sampling.N_TILES
    assert {row // 128 for row, _ in read} == {0, 1}
    assert len(sample.values) == sampling.N_TILES * 16 * 16


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


# --- several micrographs --------------------------------------------------------------------------


def common(images: Sequence[Any], *, align: bool = False) -> CommonSample:
    return take_common_sample([lambda image=each: image for each in images], "fine", align=align)


def spans(*sides: int) -> list[Micrograph]:
    """Images of these sides whose grey levels do not overlap: 0 to 0.1, 0.2 to 0.3, ..."""
    found = [np.random.default_rng(i).random((side, side)) for i, side in enumerate(sides)]
    return [Micrograph.from_array((2 * i + each) / 10) for i, each in enumerate(found)]


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_PIXELS", 3000)


@pytest.mark.usefixtures("small_samples")
def test_of_each_image_there_are_as_many_pixels_whatever_its_size() -> None:
    sample = common(spans(20, 90, 40))
    of = (5 * sample.pixels[:, 0]).astype(int)
    assert np.bincount(of).tolist() == [1000, 1000, 1000]
    assert len(sample.values) == len(sample.around) == len(sample.pixels)


@pytest.mark.usefixtures("small_samples")
def test_no_pixel_is_drawn_twice_where_there_are_enough() -> None:
    (image,) = spans(60)
    assert len(np.unique(image.pixels)) == 3600
    assert len(np.unique(common([image]).pixels[:, 0])) == 3000


def test_a_sample_is_no_larger_for_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_PIXELS", 20)
    (image,) = spans(20)
    assert len(common([image] * 5).values) == 20
    assert len(common([image] * 25).values) == 25  # at least one of each


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("align", [False, True])
def test_drawn_pixels_have_the_features_that_the_space_gives_them(align: bool) -> None:
    images = [micrograph(40, 50), micrograph(60, 40, seed=1)]
    sample = common(images, align=align)
    for i, image in enumerate(images):
        view = sample.space.view(image)
        window = slice(0, image.shape[0]), slice(0, image.shape[1])
        known = set(map(bytes, sample.space.features(view, window).reshape(-1, len(CHANNELS))))
        drawn = slice(1500 * i, 1500 * (i + 1))
        for values in (sample.values[drawn], sample.around[drawn]):
            assert set(map(bytes, values)) <= known
        assert np.isin(sample.pixels[drawn, 0], view.read(*window)[..., 0]).all()


@pytest.mark.usefixtures("small_samples")
def test_what_is_around_a_pixel_lies_some_pixels_away() -> None:
    image = micrograph(60, 70)
    sample = common([image])
    features = sample.space.features(image, (slice(0, 60), slice(0, 70)))
    place = {bytes(features[row, col]): (row, col) for row in range(60) for col in range(70)}
    assert len(place) == 60 * 70
    pairs = zip(map(bytes, sample.values), map(bytes, sample.around), strict=True)
    steps = np.array([np.subtract(place[beside], place[own]) for own, beside in pairs])
    assert (np.abs(steps).max(axis=1) == DISTANCE).all()
    assert (np.abs(steps).min(axis=1) == 0).all()
    _, counts = np.unique(steps, axis=0, return_counts=True)
    assert counts / 3000 == pytest.approx(np.full(4, 0.25), abs=0.05)


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(1, 50), st.floats(0, 1))
def test_what_is_beside_a_pixel_is_included_and_at_the_distance(
    seed: int, rows: int, cols: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    included = rng.random((rows, cols)) < share
    row, col = np.nonzero(included)
    down, right = sampling._beside(row, col, included, rng)
    assert included[down, right].all()
    steps = np.abs(np.stack([down - row, right - col]))
    assert set(steps.sum(axis=0)) <= {0, DISTANCE}
    assert not steps.min(axis=0).any()
    # Itself only where nothing included lies at the distance.
    padded = np.pad(included, DISTANCE)
    shifts = [(-DISTANCE, 0), (DISTANCE, 0), (0, -DISTANCE), (0, DISTANCE)]
    near = np.any([np.roll(padded, shift, (0, 1)) for shift in shifts], axis=0)
    near = near[DISTANCE : DISTANCE + rows, DISTANCE : DISTANCE + cols]
    assert ((steps.sum(axis=0) > 0) == near[row, col]).all()


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("align", [False, True])
def test_excluded_pixels_are_no_part_of_a_common_sample(align: bool) -> None:
    excluded = np.zeros((60, 70), bool)
    excluded[20:] = True
    samples = []
    for shown in (0.0, 1.0):
        pixels = np.where(excluded, shown, micrograph(60, 70).grey)
        images = [Micrograph.from_array(pixels, excluded=excluded), micrograph(50, 50, seed=1)]
        samples.append(common(images, align=align))
    first, second = samples
    assert first.space.levels == second.space.levels
    assert first.space.exposure == second.space.exposure
    for name in ("values", "around", "pixels"):
        assert (getattr(first, name) == getattr(second, name)).all()


def test_an_image_that_is_excluded_altogether_is_named() -> None:
    image = micrograph(8, 9)
    nothing = Micrograph(image.pixels, np.ones(image.shape, bool), (0, 1), name="glass.tif")
    with pytest.raises(InputError, match=r"glass\.tif: every pixel is excluded"):
        common([image, nothing])


@pytest.mark.usefixtures("several_blocks", "small_samples")
@pytest.mark.parametrize("align", [False, True])
def test_of_large_images_tiles_from_all_over_are_read(align: bool) -> None:
    watched = [Watched(micrograph(256, 320)), Watched(micrograph(256, 256, seed=1))]
    sample = common(watched, align=align)
    assert len(sample.values) == 3000
    for each in watched:
        tiles = {
            (rows.start, cols.start)
            for rows, cols in each.read_windows
            if (rows.stop - rows.start, cols.stop - cols.start) == (16, 16)
        }
        assert len(tiles) == sampling.N_TILES
        assert {row // 128 for row, _ in tiles} == {0, 1}


@pytest.mark.usefixtures("small_samples")
def test_names_and_checksums_are_kept_in_order() -> None:
    first, second = micrograph(20, 20), micrograph(30, 20)
    images = [
        Micrograph.from_array(first.pixels, name="a.tif", sha256="1" * 64),
        Micrograph.from_array(second.pixels, name="b.tif"),
    ]
    assert common(images).images == (("a.tif", "1" * 64), ("b.tif", None))


@pytest.mark.usefixtures("small_samples")
def test_a_common_exposure_is_the_mean_of_all() -> None:
    images = [micrograph(), Micrograph.from_array(0.5 * micrograph(seed=1).grey + 0.1)]
    found = common(images, align=True).space.exposure
    levels = [dark_and_bright(smooth(each.grey)) for each in images]
    assert found is not None
    assert (found.dark, found.bright) == pytest.approx(np.mean(levels, axis=0))
    assert common(images).space.exposure is None


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (0.3, 0.5), (0.7, 0.1)])
def test_an_image_is_brought_to_the_exposure(gain: float, offset: float) -> None:
    image = micrograph()
    excluded = np.zeros(image.shape, bool)
    excluded[:, :40] = True
    changed = Micrograph.from_array(gain * image.grey + offset, excluded=excluded)
    view = Exposure(0.4, 0.5).align(changed)
    window = slice(0, image.shape[0]), slice(0, image.shape[1])
    smoothed = smooth(view.read(*window)[..., 0])[:, 40:]
    assert dark_and_bright(smoothed) == pytest.approx((0.4, 0.5), abs=0.005)
    assert view.shape == image.shape
    assert view.has_excluded
    assert (view.read_excluded(*window) == excluded).all()


def test_an_image_of_one_grey_level_is_brought_to_the_exposure_all_the_same() -> None:
    flat = Micrograph(np.full((9, 9, 3), 0.5, np.float32), np.zeros((9, 9), bool), (0, 1))
    seen = Exposure(0.4, 0.5).align(flat).read(slice(0, 9), slice(0, 9))
    assert np.isfinite(seen).all()
    assert np.ptp(seen) == 0
