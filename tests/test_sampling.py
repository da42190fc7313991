"""Sampling: patches of the reflected image, drawn by area, from tiles that lie all over it."""

import pickle
import threading
from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nital import sampling
from nital.errors import InputError
from nital.micrograph import LargeMicrograph, Micrograph, Source
from nital.sampling import (
    PIXELS_A_SUPERPIXEL,
    SAMPLE_PIXELS,
    STEP_SUPERPIXELS,
    Sample,
    Superpixels,
    batches_of_each,
    take_sample,
)
from nital.superpixels import find_superpixels
from nital.training import Batch

CPU = torch.device("cpu")


def noise(rows: int, cols: int, **how: NDArray[np.bool_]) -> Micrograph:
    image = np.random.default_rng(0).integers(0, 256, (rows, cols, 3), dtype=np.uint8)
    return Micrograph.from_array(image, **how)


def located(rows: int, cols: int, excluded: NDArray[np.bool_] | None = None) -> Micrograph:
    """An image whose red and green say where a pixel is; its blue is noise."""
    image = np.random.default_rng(0).random((rows, cols, 3), dtype=np.float32)
    image *= 0.1
    image[..., 0] = (np.arange(rows) / rows)[:, np.newaxis]
    image[..., 1] = np.arange(cols) / cols
    return Micrograph.from_array(image, excluded=excluded)


def places(pixels: torch.Tensor, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Row and column of pixels of a `located` image: (..., channels) -> (..., 2)."""
    return np.rint(pixels[..., :2].double().numpy() * shape).astype(np.int64)


def centres(sample: Sample) -> torch.Tensor:
    """All pixels that can be drawn: (m, channels)."""
    middle = sample.side // 2
    return sample.pixels[sample.corner + middle * (sample.row_length + 1)]


def every_patch(sample: Sample) -> torch.Tensor:
    """(m, side, side, channels)."""
    row, col = np.mgrid[: sample.side, : sample.side]
    return sample.pixels[
        sample.corner[:, None, None] + torch.from_numpy(row * sample.row_length + col)
    ]


def owners(sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    """Corners of all pixels, superpixel by superpixel, and the superpixel of each."""
    corner, superpixel, n = [], [], 0
    for mosaic in range(len(sample.mosaics)):
        found = sample.superpixels_of(mosaic)
        corner.append(found.corner)
        superpixel.append(n + torch.arange(len(found)).repeat_interleave(found.start.diff()))
        n += len(found)
    return torch.cat(corner), torch.cat(superpixel)


def take(source: Source, n_superpixels: int = 30, radius: int = 2) -> Sample:
    return take_sample(
        source, n_superpixels=n_superpixels, compactness=20.0, receptive_radius=radius
    )


def reflected(micrograph: Micrograph, radius: int) -> NDArray[np.float32]:
    margin = (radius, radius)
    return np.pad(micrograph.pixels, [margin, margin, (0, 0)], mode="reflect")


# --- a whole image ------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_patches_are_windows_of_the_reflected_image(radius: int) -> None:
    micrograph = located(11, 14)
    sample = take(micrograph, radius=radius)
    side = 2 * radius + 1
    patches = every_patch(sample)
    assert patches.shape == (11 * 14, side, side, 3)
    around = reflected(micrograph, radius)
    seen = set()
    for patch, (row, col) in zip(
        patches.numpy(), places(patches[:, radius, radius], (11, 14)), strict=True
    ):
        assert (patch == around[row : row + side, col : col + side]).all()
        seen.add((row, col))
    assert len(seen) == 11 * 14


def test_superpixels_are_those_of_the_image() -> None:
    micrograph = located(20, 24)
    sample = take(micrograph, n_superpixels=15)
    superpixels = find_superpixels(micrograph.pixels, n_superpixels=15, compactness=20.0)
    corner, superpixel = owners(sample)
    rows, cols = places(centres(replace(sample, corner=corner)), (20, 24)).T
    assert (superpixel.numpy() == superpixels[rows, cols]).all()
    assert sample.n_superpixels == superpixels.max() + 1 > 5
    assert sample.fraction == 1


def test_start_says_where_each_superpixel_begins() -> None:
    sample = take(noise(20, 24))
    (found,) = (sample.superpixels_of(0) for _ in sample.mosaics)
    assert (found.start.diff() > 0).all()
    assert found.start[0] == 0
    assert found.start[-1] == len(found.corner) == 20 * 24
    assert len(found) == sample.n_superpixels


def test_some_patches_are_drawn_evenly_and_always_the_same() -> None:
    sample = take(noise(12, 12))
    found, every = sample.some_patches(20_000), every_patch(sample)
    assert found.shape == (20_000, 5, 5, 3)
    assert torch.equal(found, sample.some_patches(20_000))
    which = (found[:, None] == every).flatten(2).all(dim=2)
    assert (which.sum(dim=1) == 1).all()
    counts = which.sum(dim=0).numpy()
    assert (np.abs(counts - 20_000 / 144) < 5 * np.sqrt(20_000 / 144)).all()


# --- what is drawn ------------------------------------------------------------------------------


def by_hand(sizes: list[int]) -> Sample:
    """Superpixels of these sizes; the one value of a pixel is its number."""
    start = torch.tensor([0, *np.cumsum(sizes)])
    n = int(start[-1])
    return Sample(
        pixels=torch.arange(n)[:, None].float(),
        corner=torch.arange(n),
        row_length=1,
        side=1,
        mosaics=(Superpixels(torch.arange(n), start),),
        shape=(1, n),
        fraction=1.0,
    )


def drawn(sample: Sample, n_batches: int, seed: int = 0) -> torch.Tensor:
    """Numbers of the pixels drawn from a sample by hand: (n, pixels of one superpixel)."""
    batches = islice(sample.batches(seed, CPU), n_batches)
    pixels = torch.cat([batch.pixels for batch in batches]).long()
    return pixels.view(-1, PIXELS_A_SUPERPIXEL)


def test_a_batch_holds_a_few_pixels_of_each_of_its_superpixels() -> None:
    sample = take(noise(20, 24))
    batch = next(sample.batches(0, CPU))
    assert batch.patches
    assert batch.included is None
    assert batch.pixels.shape == (1, STEP_SUPERPIXELS * PIXELS_A_SUPERPIXEL, 5, 5, 3)
    assert batch.n_superpixels == STEP_SUPERPIXELS
    numbers = torch.arange(STEP_SUPERPIXELS)
    assert torch.equal(batch.superpixel, numbers.repeat_interleave(PIXELS_A_SUPERPIXEL))


def test_pixels_drawn_together_lie_in_one_superpixel() -> None:
    sample = by_hand([1, 3, 6, 90])
    superpixels = owners(sample)[1][drawn(sample, 4)]
    assert (superpixels == superpixels[:, :1]).all()


def test_superpixels_are_drawn_in_proportion_to_their_area() -> None:
    sizes = [1, 4, 15, 30, 50]
    sample = by_hand(sizes)
    superpixels = owners(sample)[1][drawn(sample, 100)[:, 0]]
    n = len(superpixels)
    counts = torch.bincount(superpixels, minlength=5).numpy()
    chance = np.array(sizes) / 100
    assert (np.abs(counts - n * chance) < 4 * np.sqrt(n * chance * (1 - chance))).all()


def test_pixels_of_a_superpixel_are_drawn_evenly() -> None:
    pixels = drawn(by_hand([7, 13]), 50).flatten()
    counts = torch.bincount(pixels, minlength=20).numpy()
    n = len(pixels)
    assert (np.abs(counts - n / 20) < 5 * np.sqrt(n / 20)).all()


def first_batches(sample: Sample, seed: int) -> list[Batch]:
    return list(islice(sample.batches(seed, CPU), 3))


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    sample = take(noise(20, 24))
    first, again, other = (first_batches(sample, seed) for seed in (5, 5, 6))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0].pixels, first[1].pixels)


def test_the_global_generator_is_left_alone_and_has_no_say() -> None:
    sample = take(noise(20, 24))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = first_batches(sample, 0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    again = first_batches(sample, 0)
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))


# --- excluded pixels ----------------------------------------------------------------------------


def test_excluded_pixels_are_never_drawn_but_seen_around_others() -> None:
    excluded = np.zeros((20, 24), bool)
    excluded[5:9, 3:20] = True
    micrograph = located(20, 24, excluded)
    sample = take(micrograph)
    rows, cols = places(centres(sample), (20, 24)).T
    assert len(rows) == (~excluded).sum()
    assert not excluded[rows, cols].any()
    around = places(
        torch.cat([batch.pixels for batch in first_batches(sample, 0)], dim=1), (20, 24)
    )
    assert not excluded[tuple(around[0, :, 2, 2].T)].any()
    assert excluded[tuple(around.reshape(-1, 2).T)].any()
    assert sample.fraction == 1


@pytest.mark.parametrize("limit", [SAMPLE_PIXELS, 2**12])
def test_nothing_to_learn_from(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_PIXELS", limit)
    image = np.random.default_rng(0).integers(0, 256, (200, 150, 2), dtype=np.uint8)
    image[..., 1] = 0
    source = LargeMicrograph.scan(lambda rows, cols: image[rows, cols], (200, 150))
    with pytest.raises(InputError, match="every pixel is excluded or transparent"):
        take(source)


# --- larger images ------------------------------------------------------------------------------

LARGE = (2000, 1500)


@pytest.fixture(scope="module")
def large() -> Micrograph:
    return located(*LARGE)


@pytest.fixture(scope="module")
def sample(large: Micrograph) -> Sample:
    return take(large, n_superpixels=30_000)


def tiles_of(sample: Sample, corner: torch.Tensor, n_rows: int) -> torch.Tensor:
    """The tile of each pixel, where tiles are `n_rows` high with what is around them."""
    return corner // (n_rows * sample.row_length)


def test_a_large_image_is_sampled(sample: Sample) -> None:
    n = len(sample.corner)
    assert 0.95 * SAMPLE_PIXELS < n <= SAMPLE_PIXELS
    assert sample.fraction == pytest.approx(n / 3_000_000, rel=0.02)
    assert len(np.unique(places(centres(sample), LARGE), axis=0)) == n


def test_the_sample_gets_its_share_of_the_superpixels(sample: Sample) -> None:
    assert sample.n_superpixels == pytest.approx(30_000 * sample.fraction, rel=0.3)


def test_superpixels_never_cross_tiles(sample: Sample) -> None:
    corner, superpixel = owners(sample)
    tiles = tiles_of(sample, corner, 64 + 4)
    assert len(tiles.unique()) == len(sample.pixels) // (68 * sample.row_length) > 50
    start = torch.searchsorted(superpixel, torch.arange(sample.n_superpixels + 1))
    assert torch.equal(tiles[start[:-1]][superpixel], tiles)
    rows, cols = places(centres(replace(sample, corner=corner)), LARGE).T
    for number in range(0, sample.n_superpixels, 40):
        own = slice(int(start[number]), int(start[number + 1]))
        assert np.ptp(rows[own]) < 64
        assert np.ptp(cols[own]) < sample.row_length - 4


def test_tiles_lie_all_over_the_image(sample: Sample) -> None:
    rows, cols = places(centres(sample), LARGE).T
    counts, _, _ = np.histogram2d(rows, cols, bins=4, range=[[0, LARGE[0]], [0, LARGE[1]]])
    assert (counts > len(rows) / 16 / 4).all()


def test_patches_of_tiles_are_windows_of_the_image(large: Micrograph, sample: Sample) -> None:
    around = reflected(large, 2)
    patches = sample.some_patches(3000)
    corners = places(patches[:, 2, 2], LARGE)
    for patch, (row, col) in zip(patches.numpy(), corners, strict=True):
        assert (patch == around[row : row + 5, col : col + 5]).all()


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> int:
    """Images of more than 128 x 128 pixels are large."""
    monkeypatch.setattr(sampling, "SAMPLE_PIXELS", 2**14)
    return 2**14


@pytest.mark.parametrize("shape", [(128, 129), (700, 63), (5, 5000), (331, 211)])
def test_images_of_any_shape_are_sampled(shape: tuple[int, int], small_samples: int) -> None:
    sample = take(located(*shape), n_superpixels=500)
    assert 0.5 * small_samples < len(sample.corner) <= small_samples
    found = places(centres(sample), shape)
    assert len(np.unique(found, axis=0)) == len(found)
    for axis in range(2):
        assert np.ptp(found[:, axis]) >= 0.4 * shape[axis]


def test_tiles_lie_where_something_is_included(small_samples: int) -> None:
    excluded = np.zeros((400, 600), bool)
    excluded[:, 150:] = True
    sample = take(located(400, 600, excluded), n_superpixels=1000)
    rows, cols = places(centres(sample), (400, 600)).T
    assert cols.max() < 150
    assert len(rows) > small_samples / 4
    assert sample.fraction == pytest.approx(len(rows) / (400 * 150), rel=0.1)
    assert len(owners(sample)[0]) == len(rows)


def test_a_speck_in_a_large_image_is_found(small_samples: int) -> None:
    excluded = np.ones((400, 600), bool)
    excluded[321:324, 480:484] = False
    sample = take(located(400, 600, excluded), n_superpixels=1000)
    assert len(sample.corner) == 12
    assert sample.fraction == 1


def test_the_sample_is_the_same_each_time(small_samples: int) -> None:
    first, again = (take(noise(200, 300), n_superpixels=400) for _ in range(2))
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.corner, again.corner)
    assert all(map(torch.equal, owners(first), owners(again)))


def test_a_large_micrograph_gives_the_sample_of_its_pixels(small_samples: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    source = LargeMicrograph.scan(lambda rows, cols: image[rows, cols], image.shape)
    found, expected = take(source, 400), take(Micrograph.from_array(image), 400)
    assert torch.equal(found.pixels, expected.pixels)
    assert torch.equal(found.corner, expected.corner)
    assert all(map(torch.equal, owners(found), owners(expected)))
    assert found.fraction == expected.fraction


# --- superpixels on their way -------------------------------------------------------------------


def test_every_pixel_is_in_one_superpixel_of_one_mosaic(sample: Sample) -> None:
    corner, _ = owners(sample)
    assert len(sample.mosaics) == sampling.N_MOSAICS
    assert torch.equal(corner.sort().values, sample.corner)


def test_draws_wait_for_what_they_need_only(
    small_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, n_there = noise(200, 300), 2
    expected = list(islice(take(image, n_superpixels=400).batches(0, CPU), 6))
    gate, begun = threading.Event(), count()

    def slow(mosaic: NDArray[np.float32], **how: float) -> NDArray[np.int64]:
        if next(begun) >= n_there:
            gate.wait(60)
        return find_superpixels(mosaic, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(sampling, "find_superpixels", slow)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one mosaic after the other
    sample = take(image, n_superpixels=400)
    assert len(sample.mosaics) > n_there
    batches = sample.batches(0, CPU)
    found = list(islice(batches, n_there))
    assert next(begun) <= n_there + 1
    gate.set()
    found += islice(batches, 6 - n_there)
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(found, expected, strict=True))


def test_the_first_draws_come_from_the_first_mosaics(sample: Sample) -> None:
    batches, known = sample.batches(0, CPU), torch.empty(0, dtype=torch.int64)
    for mosaic in range(len(sample.mosaics)):
        known = torch.cat([known, sample.superpixels_of(mosaic).corner])
        there = {tuple(place) for place in places(centres(replace(sample, corner=known)), LARGE)}
        seen = places(next(batches).pixels[0, :, 2, 2], LARGE)
        assert {tuple(place) for place in seen} <= there


def test_a_failure_on_the_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*positional: object, **named: object) -> None:
        raise InputError("no superpixels today")

    monkeypatch.setattr(sampling, "find_superpixels", broken)
    sample = take(noise(20, 24))
    with pytest.raises(InputError, match="no superpixels today"):
        next(sample.batches(0, CPU))


def test_a_finished_sample_can_be_sent_to_another_process(small_samples: int) -> None:
    sample = take(noise(200, 300), n_superpixels=400)
    there = pickle.loads(pickle.dumps(sample.finished()))
    first, again = (first_batches(each, 3) for each in (sample, there))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))


def test_networks_trained_together_get_the_draws_of_their_seeds() -> None:
    sample = take(noise(20, 24))
    together = list(islice(batches_of_each(sample, [5, 7], CPU), 3))
    for index, seed in enumerate((5, 7)):
        for batch, own in zip(together, first_batches(sample, seed), strict=True):
            assert torch.equal(batch.pixels[index], own.pixels[0])
