"""Windows: the blocks in which images are processed, and the tiles that are sampled."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from nital.image.micrograph import Source

BLOCK_SIDE = 2048
"""Features are found block by block, with at most this many rows and columns."""

TILE_SIDE = 256
N_TILES = 16
"""An image of several blocks is sampled in this many tiles, spread over it."""
Window = tuple[slice, slice]


def sampled_windows(source: Source) -> list[Window]:
    """Windows to sample: the whole image or, if it has several blocks, tiles spread over it."""
    windows = blocks(source.shape)
    return windows if len(windows) == 1 else list(_choose_tiles(source))


def blocks(shape: tuple[int, int]) -> list[Window]:
    """Windows of equal size, in reading order, that cover an image of this shape."""
    return list(_divide(shape, BLOCK_SIDE))


def _divide(shape: tuple[int, int], side: int) -> Iterator[Window]:
    rows, cols = (
        np.linspace(0, length, math.ceil(length / side) + 1).astype(int).tolist()
        for length in shape
    )
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            yield slice(top, bottom), slice(left, right)


def _choose_tiles(source: Source) -> Iterator[Window]:
    """Split the tiles with included area, in reading order, into equal groups; draw one of each."""
    tiles = [
        tile
        for tile in _divide(source.shape, TILE_SIDE)
        if not (source.has_excluded and source.read_excluded(*tile).all())
    ]
    rng = np.random.default_rng(0)
    n_groups = max(1, min(N_TILES, len(tiles)))
    for group in np.array_split(np.arange(len(tiles)), n_groups):
        if len(group):  # else everything is excluded
            yield tiles[rng.choice(group)]
