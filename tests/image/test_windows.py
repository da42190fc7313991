"""Windows: blocks that cover an image, and tiles spread over it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.clouds import micrograph
from nital.fast.view import View
from nital.image import windows
from nital.image.micrograph import Micrograph
from nital.image.windows import blocks, sampled_windows


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_blocks_cover_every_pixel_once_and_are_small(rows: int, cols: int) -> None:
    found = blocks((rows, cols))
    area = 0
    for window in found:
        height, width = (part.stop - part.start for part in window)
        assert 0 < height <= windows.BLOCK_SIDE
        assert 0 < width <= windows.BLOCK_SIDE
        area += height * width
    assert area == rows * cols
    assert len({(window[0].start, window[1].start) for window in found}) == len(found)


def view_of(excluded: np.ndarray | None = None) -> View:
    return View(Micrograph.from_array(micrograph(256, 320).pixels, excluded=excluded), 1.0)


def test_of_a_single_block_all_is_sampled() -> None:
    assert sampled_windows(view_of()) == [(slice(0, 256), slice(0, 320))]


@pytest.mark.usefixtures("several_blocks")
def test_of_several_blocks_tiles_from_all_over_are_sampled() -> None:
    tiles = sampled_windows(view_of())
    assert len({(rows.start, cols.start) for rows, cols in tiles}) == windows.N_TILES
    assert {(rows.stop - rows.start, cols.stop - cols.start) for rows, cols in tiles} == {(16, 16)}
    assert {rows.start // 128 for rows, _ in tiles} == {0, 1}
    assert sampled_windows(view_of()) == tiles


@pytest.mark.usefixtures("several_blocks")
def test_tiles_lie_where_anything_is_included() -> None:
    excluded = np.ones((256, 320), bool)
    excluded[200:210, 40:90] = False
    tiles = sampled_windows(view_of(excluded))
    assert 1 <= len(tiles) <= windows.N_TILES
    assert all(not excluded[tile].all() for tile in tiles)


@pytest.mark.usefixtures("several_blocks")
def test_where_all_is_excluded_there_are_no_tiles() -> None:
    image = Micrograph(micrograph(256, 320).pixels, np.ones((256, 320), bool), (0, 1))
    assert sampled_windows(View(image, 1.0)) == []
