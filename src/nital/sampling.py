"""Sampling: what fast mode learns from, the same amount for one megapixel and for a hundred.

An image of up to `SAMPLE_PIXELS` is its own sample. Of a larger one, small tiles are taken from all
over it, and superpixels are found there only. Each step of training draws some superpixels in
proportion to their area, and a few pixels of each, with the patch of the image that the network
sees around them.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nital.errors import InputError
from nital.micrograph import Source, read_padded
from nital.superpixels import find_superpixels
from nital.training import Batch

SAMPLE_PIXELS = 2**18
TILE_SIDE = 64
"""Tiles are at least this high and wide, and less than twice as much."""

STEP_SUPERPIXELS = 256
PIXELS_A_SUPERPIXEL = 4
"""Steps of 128 x 4 and of 256 x 8 pixels agreed with references equally well."""


@dataclass(frozen=True)
class Sample:
    """Pixels to learn from, with their surroundings and superpixels. All tensors on the CPU."""

    pixels: Tensor
    """(n, channels), float32: the tiles with their surroundings, one after the other."""

    corner: Tensor
    """(m,), int64: where in `pixels` the patch of each included pixel starts."""

    row_length: int
    """Columns of a tile with its surroundings."""

    side: int
    """Rows and columns of a patch."""

    superpixel: Tensor
    """(m,), int64: the superpixel of each included pixel, in rising order."""

    start: Tensor
    """(n_superpixels + 1,), int64: where the pixels of each superpixel start."""

    fraction: float
    """Share of the included area that the sample covers; 1 for the whole image."""

    @property
    def n_superpixels(self) -> int:
        return len(self.start) - 1

    def patches(self, chosen: Tensor) -> Tensor:
        """(m,) indices of included pixels -> (m, side, side, channels)."""
        steps = torch.arange(self.side)
        offsets = self.row_length * steps[:, None] + steps  # (side, side)
        return self.pixels[self.corner[chosen][:, None, None] + offsets]

    def some_patches(self, n: int) -> Tensor:
        """Patches of `n` pixels, evenly spread over the sample; (n, side, side, channels)."""
        return self.patches(torch.linspace(0, len(self.corner) - 1, n).long())

    def batches(self, seed: int, device: torch.device) -> Iterator[Batch]:
        """Batches without end: superpixels in proportion to their area, a few pixels of each."""
        generator = torch.Generator().manual_seed(seed)
        superpixel = torch.arange(STEP_SUPERPIXELS).repeat_interleave(PIXELS_A_SUPERPIXEL)
        superpixel = superpixel.to(device)
        for _ in itertools.count():
            # A pixel drawn evenly lies in a superpixel with the chance of its area.
            drawn = torch.randint(len(self.corner), (STEP_SUPERPIXELS,), generator=generator)
            drawn = self.superpixel[drawn]
            first, size = self.start[drawn], self.start[drawn + 1] - self.start[drawn]
            place = torch.rand(STEP_SUPERPIXELS, PIXELS_A_SUPERPIXEL, generator=generator)
            place = (place * size[:, None]).long().clamp(max=size[:, None] - 1)
            chosen = (first[:, None] + place).flatten()
            pixels = self.patches(chosen).to(device, non_blocking=True)
            yield Batch(pixels, superpixel, STEP_SUPERPIXELS, patches=True)


def take_sample(
    source: Source, *, n_superpixels: int, compactness: float, receptive_radius: int
) -> Sample:
    """Take tiles from all over an image, and find their superpixels.

    Nothing here depends on a seed: repeats share the sample. The tiles of a larger image lie one in
    each of equal shares of its included area, at a random place of the share.

    Parameters
    ----------
    source : Source
        The image; only the windows that are needed are read.
    n_superpixels : int
        For the whole image; the sample gets its share.
    compactness : float
        As for `find_superpixels`.
    receptive_radius : int
        How far the network sees; beyond the image's border it sees its reflection.

    Raises
    ------
    InputError
        If every pixel is excluded.
    """
    shape, areas = _grid(source)
    if not areas.any():
        raise InputError("every pixel is excluded or transparent; there is nothing to learn from")
    windows = [
        read_padded(source, rows, cols, receptive_radius)
        for rows, cols in _choose_tiles(source.shape, shape, areas)
    ]
    r = receptive_radius
    core = [(pixels[r:-r, r:-r], excluded[r:-r, r:-r]) for pixels, excluded in windows]
    mosaic = np.concatenate([pixels for pixels, _ in core])  # SLIC rescales: all tiles alike
    included = ~np.concatenate([excluded for _, excluded in core]).ravel()
    share = mosaic.shape[0] * mosaic.shape[1] / math.prod(source.shape)
    found = find_superpixels(
        mosaic, n_superpixels=max(1, round(n_superpixels * share)), compactness=compactness
    )
    tile = np.repeat(np.arange(len(core)), math.prod(shape))
    kept = np.flatnonzero(included)
    # A superpixel across the seam of two tiles is two.
    _, superpixel = np.unique(
        tile[kept] * (int(found.max()) + 1) + found.ravel()[kept], return_inverse=True
    )
    order = np.argsort(superpixel, kind="stable")
    kept, superpixel = kept[order], superpixel[order]
    row, col = np.divmod(kept, shape[1])
    tile, row = np.divmod(row, shape[0])
    row_length = shape[1] + 2 * r
    corner = (tile * (shape[0] + 2 * r) + row) * row_length + col
    return Sample(
        pixels=torch.from_numpy(np.concatenate([p.reshape(-1, p.shape[2]) for p, _ in windows])),
        corner=torch.from_numpy(corner),
        row_length=row_length,
        side=2 * r + 1,
        superpixel=torch.from_numpy(superpixel),
        start=torch.from_numpy(np.append(0, np.cumsum(np.bincount(superpixel)))),
        fraction=len(kept) / float(areas.sum()),
    )


def _grid(source: Source) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Shape of a tile, and the included area of each cell of the grid of tiles."""
    rows, cols = source.shape
    if rows * cols <= SAMPLE_PIXELS:
        return source.shape, np.array([[int((~source.read_excluded(*_all(source.shape))).sum())]])
    n_rows, n_cols = max(1, rows // TILE_SIDE), max(1, cols // TILE_SIDE)
    shape = rows // n_rows, cols // n_cols
    areas = np.full((n_rows, n_cols), math.prod(shape))
    if source.has_excluded:
        for row, start in enumerate(_starts(rows, n_rows)):
            band = ~source.read_excluded(slice(start, start + shape[0]), slice(0, cols))
            for col, left in enumerate(_starts(cols, n_cols)):
                areas[row, col] = int(band[:, left : left + shape[1]].sum())
    return shape, areas


def _choose_tiles(
    shape: tuple[int, int], tile: tuple[int, int], areas: NDArray[np.int64]
) -> Iterator[tuple[slice, slice]]:
    """Windows of the tiles: one in each of equal shares of the area, in reading order."""
    n_tiles = min(areas.size, max(1, SAMPLE_PIXELS // math.prod(tile)))
    place = (np.arange(n_tiles) + np.random.default_rng(0).random(n_tiles)) / n_tiles
    reached = np.cumsum(areas.ravel())
    cells = np.unique(np.searchsorted(reached, place * reached[-1], side="right"))
    rows, cols = _starts(shape[0], len(areas)), _starts(shape[1], len(areas[0]))
    for row, col in zip(*np.divmod(cells, len(areas[0])), strict=True):
        top, left = int(rows[row]), int(cols[col])
        yield slice(top, top + tile[0]), slice(left, left + tile[1])


def _starts(length: int, n: int) -> NDArray[np.int64]:
    """Where `n` tiles of `length // n` start, spread over the length."""
    return np.linspace(0, length - length // n, n).astype(np.int64)


def _all(shape: tuple[int, int]) -> tuple[slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1])
