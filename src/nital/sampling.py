"""Sampling: what fast mode learns from, the same amount for one megapixel and for a hundred.

An image of up to `SAMPLE_PIXELS` is its own sample. Of a larger one, small tiles are taken from all
over it, and superpixels are found there only. Each step of training draws some superpixels in
proportion to their area, and a few pixels of each, with the patch of the image that the network
sees around them.
"""

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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

N_MOSAICS = 8
"""SLIC gets the tiles in so many mosaics, however many cores there are: the result is the same."""

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

    shape: tuple[int, int]
    """(rows, cols) of the image."""

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

    Nothing here depends on a seed: repeats share the sample. A larger image is divided into a grid
    of tiles; those with any included area, in reading order, are dealt into equal groups, and one
    of each group is taken by chance: every included pixel has the same chance.

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
    shape, areas, included_area = _grid(source)
    if not areas.any():
        raise InputError("every pixel is excluded or transparent; there is nothing to learn from")
    windows = [
        read_padded(source, rows, cols, receptive_radius)
        for rows, cols in _choose_tiles(source.shape, shape, areas)
    ]
    r = receptive_radius
    included = ~np.stack([excluded[r:-r, r:-r] for _, excluded in windows])
    found = _superpixels_of_tiles(
        [pixels[r:-r, r:-r] for pixels, _ in windows],
        density=n_superpixels / math.prod(source.shape),
        compactness=compactness,
    )
    tile = np.repeat(np.arange(len(windows)), math.prod(shape))
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
        shape=source.shape,
        fraction=len(kept) / included_area,
    )


def _superpixels_of_tiles(
    tiles: list[NDArray[np.float32]], *, density: float, compactness: float
) -> NDArray[np.int64]:
    """Superpixels of each tile, (n, rows, cols); a few may reach from one tile into another.

    SLIC rescales what it is given. So it gets mosaics, each of tiles from all over the image; one a
    core at a time.
    """
    n = min(N_MOSAICS, len(tiles))

    def find(first: int) -> NDArray[np.int64]:
        mosaic = np.concatenate(tiles[first::n])
        wanted = max(1, round(density * mosaic.shape[0] * mosaic.shape[1]))
        return find_superpixels(mosaic, n_superpixels=wanted, compactness=compactness)

    found = np.empty((len(tiles), *tiles[0].shape[:2]), np.int64)
    with ThreadPoolExecutor() as pool:
        for first, mosaic in enumerate(pool.map(find, range(n))):
            found[first::n] = mosaic.reshape(-1, *found.shape[1:])
    return found


def _grid(source: Source) -> tuple[tuple[int, int], NDArray[np.int64], int]:
    """Shape of a tile, the included area of each cell of the grid of tiles, and of the image."""
    rows, cols = source.shape
    if rows * cols <= SAMPLE_PIXELS:
        area = int((~source.read_excluded(slice(0, rows), slice(0, cols))).sum())
        return source.shape, np.array([[area]]), area
    n_rows, n_cols = max(1, rows // TILE_SIDE), max(1, cols // TILE_SIDE)
    shape = rows // n_rows, cols // n_cols
    areas = np.full((n_rows, n_cols), math.prod(shape))
    total = rows * cols
    if source.has_excluded:
        starts, total = _starts(rows, n_rows), 0
        for row, (start, following) in enumerate(itertools.pairwise([*starts, rows])):
            band = ~source.read_excluded(slice(start, following), slice(0, cols))
            total += int(band.sum())
            for col, left in enumerate(_starts(cols, n_cols)):
                areas[row, col] = int(band[: shape[0], left : left + shape[1]].sum())
    return shape, areas, total


def _choose_tiles(
    shape: tuple[int, int], tile: tuple[int, int], areas: NDArray[np.int64]
) -> Iterator[tuple[slice, slice]]:
    """Windows of the tiles, in reading order."""
    candidates = np.flatnonzero(areas)
    n_tiles = min(len(candidates), max(1, SAMPLE_PIXELS // math.prod(tile)))
    rng = np.random.default_rng(0)
    cells = [rng.choice(group) for group in np.array_split(candidates, n_tiles)]
    rows, cols = _starts(shape[0], len(areas)), _starts(shape[1], len(areas[0]))
    for row, col in zip(*np.divmod(cells, len(areas[0])), strict=True):
        top, left = int(rows[row]), int(cols[col])
        yield slice(top, top + tile[0]), slice(left, left + tile[1])


def _starts(length: int, n: int) -> NDArray[np.int64]:
    """Where `n` tiles of `length // n` start, spread over the length."""
    return np.linspace(0, length - length // n, n).astype(np.int64)
