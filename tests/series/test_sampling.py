"""Sampling of several micrographs: equally many pixels from each, at a common exposure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.clouds import micrograph
from nital.errors import InputError
from nital.fast.features import CHANNELS, dark_and_bright
from nital.fast.space import DISTANCE, FeatureSpace, smoothed_grey
from nital.fast.view import View, look_at, step_of
from nital.image import windows
from nital.image.light import EVEN, Light
from nital.image.micrograph import Micrograph
from nital.image.synthetic import synthesize
from nital.series import sampling as module
from nital.series.sampling import CommonSample, Opener, find_looks, take_common_sample

# --- several micrographs --------------------------------------------------------------------------


def common(images: Sequence[Any], *, align: bool = False, light: str = "corrected") -> CommonSample:
    openers = opened(images)
    return take_common_sample(openers, "fine", find_looks(openers, light), align=align)


def opened(images: Sequence[Any]) -> list[Opener]:
    return [lambda image=each: image for each in images]


def spans(*sides: int) -> list[Micrograph]:
    """Images of these sides whose grey levels do not overlap: 0 to 0.1, 0.2 to 0.3, ..."""
    found = [np.random.default_rng(i).random((side, side)) for i, side in enumerate(sides)]
    return [Micrograph.from_array((2 * i + each) / 10) for i, each in enumerate(found)]


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """In views that have about the pixels of the images."""
    monkeypatch.setattr(module, "SAMPLE_PIXELS", 3000)
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 60 * 60)


def windows_of(view: View) -> tuple[slice, slice]:
    return slice(0, view.shape[0]), slice(0, view.shape[1])


@pytest.mark.usefixtures("small_samples")
def test_of_each_image_there_are_as_many_pixels_whatever_its_size() -> None:
    sample = common(spans(20, 90, 40))
    of = (5 * sample.pixels[:, 0]).astype(int)
    assert np.bincount(of).tolist() == [1000, 1000, 1000]
    assert len(sample.values) == len(sample.around) == len(sample.pixels)


@pytest.mark.usefixtures("small_samples")
def test_no_pixel_is_drawn_twice_where_there_are_enough() -> None:
    (image,) = spans(60)
    assert len(np.unique(image.pixels)) == 3600  # as many as the view has
    assert len(np.unique(common([image]).pixels[:, 0])) == 3000


def test_a_sample_is_no_larger_for_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_PIXELS", 20)
    (image,) = spans(20)
    assert len(common([image] * 5, light="kept").values) == 20
    assert len(common([image] * 25, light="kept").values) == 25  # at least one from each


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("align", [False, True])
def test_drawn_pixels_have_the_features_that_the_space_gives_them(align: bool) -> None:
    images = [micrograph(40, 50), micrograph(60, 40, seed=1)]
    sample = common(images, align=align)
    for i, image in enumerate(images):
        view = sample.space.view(image)
        found = sample.space.features(view, windows_of(view)).reshape(-1, len(CHANNELS))
        known = set(map(bytes, found))
        drawn = slice(1500 * i, 1500 * (i + 1))
        for values in (sample.values[drawn], sample.around[drawn]):
            assert set(map(bytes, values)) <= known
        assert np.isin(sample.pixels[drawn, 0], image.pixels[..., 0]).all()


@pytest.mark.usefixtures("small_samples")
def test_what_is_around_a_pixel_lies_some_pixels_away() -> None:
    image = micrograph(60, 70)
    sample = common([image])
    view = sample.space.view(image)
    features = sample.space.features(view, windows_of(view))
    place = {bytes(features[at]): at for at in np.ndindex(view.shape)}
    assert len(place) == view.shape[0] * view.shape[1]
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
    down, right = module._beside(row, col, included, rng)
    assert included[down, right].all()
    steps = np.abs(np.stack([down - row, right - col]))
    assert set(steps.sum(axis=0)) <= {0, DISTANCE}
    assert not steps.min(axis=0).any()
    # Itself only where no pixel at that distance is included.
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
def test_of_large_images_tiles_from_all_over_are_read(
    align: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nital.fast.view.VIEW_PIXELS", 256 * 256)
    monkeypatch.setattr("nital.fast.view.KEPT_PIXELS", 1000)
    read: list[tuple[slice, slice]] = []
    found_in = module.FeatureSpace.features

    def watched(space: FeatureSpace, view: View, window: tuple[slice, slice]) -> Any:
        read.append(window)
        return found_in(space, view, window)

    monkeypatch.setattr(module.FeatureSpace, "features", watched)
    sample = common([micrograph(256, 320), micrograph(256, 256, seed=1)], align=align)
    assert len(sample.values) == 3000
    assert len(read) == 2 * windows.N_TILES
    for own in (read[: windows.N_TILES], read[windows.N_TILES :]):
        assert len({(rows.start, cols.start) for rows, cols in own}) == windows.N_TILES
        assert {rows.start // 128 for rows, _ in own} == {0, 1}
        assert all(rows.stop - rows.start <= 16 for rows, _ in own)


@pytest.mark.usefixtures("small_samples")
def test_names_and_checksums_are_kept_in_order() -> None:
    first, second = micrograph(20, 20), micrograph(30, 20)
    images = [
        Micrograph.from_array(first.pixels, name="a.tif", sha256="1" * 64),
        Micrograph.from_array(second.pixels, name="b.tif"),
    ]
    assert common(images).images == (("a.tif", "1" * 64), ("b.tif", None))


@pytest.mark.usefixtures("small_samples")
def test_all_are_looked_at_with_the_geometric_mean_of_their_steps() -> None:
    images = [micrograph(48, 60), micrograph(90, 120), micrograph(60, 60)]
    steps = [step_of(each.shape) for each in images]
    space = common(images).space
    assert space.step == pytest.approx(np.exp(np.mean(np.log(steps))))
    assert all(space.view(each).step == space.step for each in images)


@pytest.mark.usefixtures("small_samples")
def test_a_common_exposure_is_the_mean_of_all() -> None:
    images = [micrograph(), Micrograph.from_array(0.5 * micrograph(seed=1).grey + 0.1)]
    sample = common(images, align=True)
    found = sample.space.exposure
    looks = find_looks(opened(images), "corrected")
    views = [
        look_at(each, looks.step, looks.tone, light)
        for each, light in zip(images, looks.lights, strict=True)
    ]
    levels = [dark_and_bright(smoothed_grey(each)) for each in views]
    assert found is not None
    assert (found.dark, found.bright) == pytest.approx(np.mean(levels, axis=0))
    assert common(images).space.exposure is None


# --- light ----------------------------------------------------------------------------------------

RAMP = Light((0.15, 0.0, 0.0, 0.0, 0.0))


def fields_under(*lights: Light) -> list[Micrograph]:
    """Fields of one steel."""
    shares = {"ferrite": 0.6, "pearlite": 0.4}
    made = [
        synthesize((160, 160), shares, grain_size=16, shading=0, seed=i) for i in range(len(lights))
    ]
    return [
        Micrograph.from_array(np.clip(each.image * light.field(each.image.shape), 0, 1))
        for each, light in zip(made, lights, strict=True)
    ]


def apart(one: Light | None, other: Light) -> float:
    assert one is not None
    return float(np.abs(np.subtract(one.coefficients, other.coefficients)).max())


@pytest.mark.parametrize("light", [EVEN, RAMP])
def test_one_light_on_all_is_the_median_and_is_taken_for_each(light: Light) -> None:
    images = fields_under(*[light] * 3)
    looks = find_looks(opened(images), "corrected")
    each = [look_at(image).light.coefficients for image in images]
    assert apart(looks.light, Light(tuple(np.median(each, axis=0).tolist()))) < 1e-9
    assert looks.lights == (looks.light,) * 3
    assert len(set(each)) > 1


def test_another_light_on_one_of_them_is_its_own() -> None:
    images = fields_under(EVEN, RAMP, EVEN)
    looks = find_looks(opened(images), "corrected")
    assert apart(looks.light, EVEN) < 0.02
    assert apart(looks.lights[1], RAMP) < 0.03
    assert [light == looks.light for light in looks.lights] == [True, False, True]


def test_of_two_the_more_even_light_is_that_of_the_series() -> None:
    images = fields_under(RAMP, EVEN)
    found = find_looks(opened(images), "corrected")
    assert found.light == look_at(images[1]).light
    assert found.lights == (look_at(images[0]).light, found.light)
    assert find_looks(opened(images[::-1]), "corrected").lights == found.lights[::-1]


def test_light_that_is_kept_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nital.fast.view.find_light", None)
    looks = find_looks(opened(spans(20, 30)), "kept")
    assert looks.light is None
    assert looks.lights == (EVEN, EVEN)


@pytest.mark.parametrize(("light", "is_own"), [(EVEN, False), (RAMP, True)])
def test_a_further_micrograph_has_the_light_of_the_series_or_its_own(
    light: Light, is_own: bool
) -> None:
    space = replace(common(spans(20)).space, light=Light((0.001,) * 5))
    found = space.view(fields_under(light)[0]).light
    assert (found != space.light) == is_own
    assert apart(found, light) < 0.03
