"""Tiles: each level a mean of four as by hand, and the tiles of a level are the whole of it."""

import io
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from nital.app.work import tiles
from nital.app.work.tiles import TILE, map_tile, micrograph_tile, n_levels, write_pyramid
from nital.errors import InputError
from nital.image.micrograph import LargeMicrograph, Micrograph

Bytes = NDArray[np.uint8]

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))


@contextmanager
def small(tile: int = 4, rows: int = 3) -> Iterator[Path]:
    """An empty folder, tiles of a few pixels, and pyramids that are made a few rows at a time."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="nital") as folder,
    ):
        patch.setattr(tiles, "TILE", tile)
        patch.setattr(tiles, "_ROWS_AT_ONCE", rows)
        yield Path(folder)


def drawn(shape: tuple[int, ...], seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def micrograph(pixels: Bytes) -> Micrograph:
    """Of 8 bits, grey or in colour."""
    stacked = pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=2)
    scaled = (stacked / 255).astype(np.float32)
    return Micrograph(scaled, np.zeros(pixels.shape[:2], bool), (0, 255))


def halved(pixels: Bytes) -> Bytes:
    """By hand: the mean of four, rounded half up; beyond the edge its last pixel is repeated."""
    rows, cols = pixels.shape[:2]
    half = np.empty((math.ceil(rows / 2), math.ceil(cols / 2), *pixels.shape[2:]), np.uint8)
    for row, col in np.ndindex(half.shape[:2]):
        four = [
            pixels[min(2 * row + down, rows - 1), min(2 * col + right, cols - 1)].astype(float)
            for down in (0, 1)
            for right in (0, 1)
        ]
        half[row, col] = np.floor(sum(four) / 4 + 0.5)
    return half


def levels(pixels: Bytes) -> list[Bytes]:
    found = [pixels]
    while max(found[-1].shape[:2]) > tiles.TILE:
        found.append(halved(found[-1]))
    return found


def joined(tile: Callable[[int, int], NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    """All tiles of a level of (rows, cols), side by side."""
    n_rows, n_cols = (math.ceil(length / tiles.TILE) for length in shape[:2])
    return np.concatenate(
        [np.concatenate([tile(row, col) for col in range(n_cols)], axis=1) for row in range(n_rows)]
    )


def decoded(data: bytes) -> Bytes:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image)


def decoded_tile(folder: Path, level: int, row: int, col: int) -> Bytes:
    return decoded(micrograph_tile(folder, level, row, col))


# --- the pyramid ---------------------------------------------------------------------------------


@given(SHAPES, st.booleans(), st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
@example((1, 1), False, 3, 4, 0)
@example((17, 9), True, 3, 4, 0)
@settings(deadline=None, max_examples=40)
def test_every_level_is_the_mean_of_four(
    shape: tuple[int, int], coloured: bool, rows: int, tile: int, seed: int
) -> None:
    pixels = drawn((*shape, 3) if coloured else shape, seed)
    with small(tile, rows) as folder:
        write_pyramid(folder, micrograph(pixels))
        expected = levels(pixels)
        assert len(list(folder.iterdir())) == len(expected) == n_levels(shape)
        for level, one in enumerate(expected):
            found = np.load(folder / f"micrograph-{level}.npy")
            assert found.dtype == np.uint8
            is_grey = (pixels == pixels[..., :1]).all() if coloured else True
            np.testing.assert_array_equal(found, one[..., 0] if coloured and is_grey else one)


@given(SHAPES, st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_tiles_of_a_level_are_the_whole_of_it(
    shape: tuple[int, int], coloured: bool, seed: int
) -> None:
    pixels = drawn((*shape, 3) if coloured else shape, seed)
    with small() as folder:
        write_pyramid(folder, micrograph(pixels))
        for level, one in enumerate(levels(pixels)):
            found = joined(partial(decoded_tile, folder, level), one.shape)
            np.testing.assert_array_equal(found, one)


@pytest.mark.parametrize(
    ("shape", "n"),
    [
        ((1, 1), 1),
        ((TILE, TILE), 1),
        ((TILE + 1, 1), 2),
        ((1, 2 * TILE), 2),
        ((2 * TILE + 1, 9), 3),
        ((20_000, 30_000), 7),
    ],
)
def test_the_last_level_is_one_tile(shape: tuple[int, int], n: int) -> None:
    assert n_levels(shape) == n


def test_tiles_are_of_the_size_that_the_viewer_knows(tmp_path: Path) -> None:
    pixels = drawn((TILE + 88, TILE + 40))
    write_pyramid(tmp_path, micrograph(pixels))
    tile = decoded(micrograph_tile(tmp_path, 0, 0, 0))
    np.testing.assert_array_equal(tile, pixels[:512, :512])
    assert decoded(micrograph_tile(tmp_path, 0, 1, 1)).shape == (88, 40)
    assert decoded(micrograph_tile(tmp_path, 1, 0, 0)).shape == (300, 276)
    assert map_tile(tmp_path / "micrograph-0.npy", 0, 1, 1) == pixels[512:, 512:].tobytes()


def test_grey_levels_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((30, 20)).astype(np.float32)
    write_pyramid(tmp_path, Micrograph.from_array(values))
    found = np.load(tmp_path / "micrograph-0.npy")
    assert found.shape == (30, 20)
    assert np.abs(found - 255 * values.astype(float)).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("place", [(0, 0), (9, 0), (19, 13)])
def test_one_coloured_pixel_makes_a_colour_image(place: tuple[int, int]) -> None:
    pixels = np.repeat(drawn((20, 14, 1)), 3, axis=2)
    pixels[(*place, 1)] ^= 1
    with small() as folder:
        write_pyramid(folder, micrograph(pixels))
        for level, one in enumerate(levels(pixels)):
            np.testing.assert_array_equal(np.load(folder / f"micrograph-{level}.npy"), one)


@pytest.mark.parametrize("coloured", [False, True])
def test_a_large_micrograph_has_the_pyramid_of_a_small_one(coloured: bool) -> None:
    values = drawn((50, 27, 3) if coloured else (50, 27))

    def fetch(rows: slice, cols: slice) -> Bytes:
        assert rows.stop - rows.start <= 3  # of a large one there is no room for more
        return values[rows, cols]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nital.image.micrograph._ROWS_AT_ONCE", 3)
        large = LargeMicrograph.scan(fetch, (50, 27))
    for image in (large, micrograph(values)):
        with small() as folder:
            write_pyramid(folder, image)
            for level, one in enumerate(levels(values)):
                np.testing.assert_array_equal(np.load(folder / f"micrograph-{level}.npy"), one)


# --- maps ----------------------------------------------------------------------------------------


@given(SHAPES, st.integers(0, 6), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_tiles_of_a_map_hold_every_nth_pixel(shape: tuple[int, int], level: int, seed: int) -> None:
    labels = drawn(shape, seed)
    with small() as folder:
        path = folder / "labels.npy"
        np.save(path, labels)
        seen = labels[:: 2**level, :: 2**level]

        def tile(row: int, col: int) -> Bytes:
            height, width = (
                min(tiles.TILE, length - place * tiles.TILE)
                for length, place in zip(seen.shape, (row, col), strict=True)
            )
            data = map_tile(path, level, row, col)
            return np.frombuffer(data, np.uint8).reshape(height, width)

        np.testing.assert_array_equal(joined(tile, seen.shape), seen)


def test_a_map_that_lies_by_columns_is_sent_by_rows(tmp_path: Path) -> None:
    labels = np.asfortranarray(drawn((5, 7)))
    np.save(tmp_path / "labels.npy", labels)
    assert map_tile(tmp_path / "labels.npy", 0, 0, 0) == bytes(labels.ravel().tolist())


# --- what is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "row", "col"), [(0, 2, 0), (0, 0, 2), (0, 2**20, 0), (1, 1, 0), (1, 0, 1), (2, 0, 0)]
)
def test_a_tile_that_is_not_there_is_an_error(level: int, row: int, col: int) -> None:
    pixels = drawn((8, 7))
    with small() as folder:
        write_pyramid(folder, micrograph(pixels))
        message = rf"micrograph-{level}\.npy: (no such picture|has no tile in row {row}, column)"
        with pytest.raises(InputError, match=message + ".*; reload the page"):
            micrograph_tile(folder, level, row, col)
        if level < 2:
            with pytest.raises(InputError, match=r"micrograph-0\.npy: has no tile in row"):
                map_tile(folder / "micrograph-0.npy", level, row, col)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"no array at all",
        np.lib.format.MAGIC_PREFIX + b"\1\0",
        b"",
    ],
)
def test_a_map_that_is_missing_or_damaged_is_an_error(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "labels.npy"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=r"^labels\.npy: no such picture"):
        map_tile(path, 0, 0, 0)


def test_while_a_pyramid_is_written_again_the_old_one_is_seen(tmp_path: Path) -> None:
    pixels = drawn((60, 50))
    write_pyramid(tmp_path, micrograph(pixels))
    before = micrograph_tile(tmp_path, 0, 0, 0)
    seen: list[bytes] = []

    def fetch(rows: slice, cols: slice) -> Bytes:
        seen.append(micrograph_tile(tmp_path, 0, 0, 0))
        return pixels[rows, cols]

    write_pyramid(tmp_path, LargeMicrograph(fetch, (60, 50), False, (0, 255), None, "a", None))
    assert set(seen) == {before}
