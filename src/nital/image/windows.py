"""Windows: the blocks in which images are processed, and the tiles that are sampled."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_SIDE = 2048
"""Features are found block by block, with at most this many rows and columns."""

TILE_SIDE = 256
N_TILES = 16
"""An image of several blocks is sampled in this many tiles, spread over it."""
Window = tuple[slice, slice]


class Seen(Protocol):
    """An image whose excluded pixels are known: a micrograph, or a view."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""

    @property
    def has_excluded(self) -> bool:
        """Whether any pixel may be excluded."""

    def read_excluded(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """The excluded pixels in a window, (rows, cols)."""


def strips(window: Window, n_rows: int) -> list[Window]:
    """A window, cut into windows of at most n rows."""
    rows, cols = window
    tops = range(rows.start, rows.stop, n_rows)
    return [(slice(top, min(top + n_rows, rows.stop)), cols) for top in tops]


def widened(window: Window, margin: int, shape: tuple[int, int]) -> tuple[Window, Window]:
    """A window with a margin, as far as an image of this shape reaches, and its place in that."""
    around, inside = [], []
    for part, length in zip(window, shape, strict=True):
        start = max(0, part.start - margin)
        around.append(slice(start, min(length, part.stop + margin)))
        inside.append(slice(part.start - start, part.stop - start))
    return (around[0], around[1]), (inside[0], inside[1])


def shifted(window: Window, origin: Window) -> Window:
    """A window of a part of an image, as one of the image, where the part begins at `origin`."""
    rows, cols = (
        slice(part.start + first.start, part.stop + first.start)
        for part, first in zip(window, origin, strict=True)
    )
    return rows, cols


def sampled_windows(seen: Seen) -> list[Window]:
    """Windows to sample: the whole image or, if it has several blocks, tiles spread over it."""
    windows = blocks(seen.shape)
    return windows if len(windows) == 1 else list(_choose_tiles(seen))


def blocks(shape: tuple[int, int]) -> list[Window]:
    """Windows of equal size, in reading order, that cover an image of this shape."""
    return list(divide(shape, BLOCK_SIDE))


def divide(shape: tuple[int, int], side: int) -> Iterator[Window]:
    """Windows of about equal size that cover an image, in reading order, with at most so many rows
    and columns."""
    rows, cols = (
        np.linspace(0, length, math.ceil(length / side) + 1).astype(int).tolist()
        for length in shape
    )
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            yield slice(top, bottom), slice(left, right)


def _choose_tiles(seen: Seen) -> Iterator[Window]:
    """Split the tiles with included area, in reading order, into equal groups; draw one of each."""
    tiles = [
        tile
        for tile in divide(seen.shape, TILE_SIDE)
        if not (seen.has_excluded and seen.read_excluded(*tile).all())
    ]
    rng = np.random.default_rng(0)
    n_groups = max(1, min(N_TILES, len(tiles)))
    for group in np.array_split(np.arange(len(tiles)), n_groups):
        if len(group):  # else everything is excluded
            yield tiles[rng.choice(group)]
