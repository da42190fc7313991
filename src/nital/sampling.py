"""Sampling: what fast mode learns from, the same amount for one megapixel and for a hundred.

An image of up to `SAMPLE_PIXELS` is its own sample. Of a larger one, small tiles are taken from all
over it, and superpixels are found there only, while training is already drawing from the first.
Each step draws some superpixels in proportion to their area, and a few pixels of each, with the
patch of the image that the network sees around them.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

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
class Superpixels:
    """The included pixels of some tiles, superpixel by superpixel. Tensors on the CPU."""

    corner: Tensor
    """(m,), int64: where in the sample the patch of each pixel starts."""

    start: Tensor
    """(n + 1,), int64: where in `corner` each superpixel starts; the last is m."""

    def __len__(self) -> int:
        return len(self.start) - 1


@dataclass(frozen=True)
class Sample:
    """Pixels to learn from, with their surroundings and superpixels. All tensors on the CPU."""

    pixels: Tensor
    """(n, channels), float32: the tiles with their surroundings, one after the other."""

    corner: Tensor
    """(m,), int64: where in `pixels` the patch of each included pixel starts, tile by tile."""

    row_length: int
    """Columns of a tile with its surroundings."""

    side: int
    """Rows and columns of a patch."""

    mosaics: tuple["Superpixels | Future[Superpixels]", ...]
    """Each covers some tiles from all over the image. Those that are not there yet are waited for
    when they are needed."""

    shape: tuple[int, int]
    """(rows, cols) of the image."""

    fraction: float
    """Share of the included area that the sample covers; 1 for the whole image."""

    def finished(self) -> "Sample":
        """The sample with all its superpixels: it can be pickled."""
        return replace(
            self, mosaics=tuple(self.superpixels_of(i) for i in range(len(self.mosaics)))
        )

    def superpixels_of(self, mosaic: int) -> Superpixels:
        """The superpixels of a mosaic, 0 to `len(mosaics)` - 1."""
        found = self.mosaics[mosaic]
        return found.result() if isinstance(found, Future) else found

    @property
    def n_superpixels(self) -> int:
        return sum(len(self.superpixels_of(i)) for i in range(len(self.mosaics)))

    def some_patches(self, n: int) -> Tensor:
        """Patches of `n` pixels, drawn evenly, always the same; (n, side, side, channels)."""
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randint(len(self.corner), (n,), generator=generator)
        return self._patches(self.pixels, self.corner[chosen])

    def batches(self, seed: int, device: torch.device) -> Iterator[Batch]:
        """Batches without end: superpixels in proportion to their area, a few pixels of each.

        The first is drawn from the first mosaic, the second from the first two, and so on, whether
        or not more of them are there already: the draws depend on the seed alone.
        """
        generator = torch.Generator().manual_seed(seed)
        superpixel = torch.arange(STEP_SUPERPIXELS).repeat_interleave(PIXELS_A_SUPERPIXEL)
        superpixel, pixels = superpixel.to(device), self.pixels.to(device)
        corner, start = torch.empty(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
        for step in itertools.count():
            if step < len(self.mosaics):
                more = self.superpixels_of(step)
                start = torch.cat([start, more.start[1:] + len(corner)])
                corner = torch.cat([corner, more.corner])
            # A pixel drawn evenly lies in a superpixel with the chance of its area.
            drawn = torch.randint(len(corner), (STEP_SUPERPIXELS,), generator=generator)
            following = torch.searchsorted(start, drawn, right=True)
            first, size = start[following - 1], start[following] - start[following - 1]
            place = torch.rand(STEP_SUPERPIXELS, PIXELS_A_SUPERPIXEL, generator=generator)
            place = (place * size[:, None]).long().clamp(max=size[:, None] - 1)
            chosen = corner[first[:, None] + place].flatten()
            # A GPU is sent these few numbers only, and nobody waits.
            patches = self._patches(pixels, chosen.to(device, non_blocking=True))
            yield Batch(patches[None], superpixel, STEP_SUPERPIXELS, patches=True)

    def _patches(self, pixels: Tensor, corner: Tensor) -> Tensor:
        """(m,) -> (m, side, side, channels)."""
        steps = torch.arange(self.side, device=pixels.device)
        offsets = self.row_length * steps[:, None] + steps  # (side, side)
        return pixels[corner[:, None, None] + offsets]


def batches_of_each(sample: Sample, seeds: Sequence[int], device: torch.device) -> Iterator[Batch]:
    """Batches for networks that are trained together, each with the draws of its own seed."""
    for own in zip(*(sample.batches(seed, device) for seed in seeds), strict=True):
        yield replace(own[0], pixels=torch.cat([batch.pixels for batch in own]))


def take_sample(
    source: Source, *, n_superpixels: int, compactness: float, receptive_radius: int
) -> Sample:
    """Take tiles from all over an image, and have their superpixels found in the background.

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
    r = receptive_radius
    windows = [
        read_padded(source, rows, cols, r)
        for rows, cols in _choose_tiles(source.shape, shape, areas)
    ]
    included = ~np.stack([excluded[r:-r, r:-r] for _, excluded in windows])
    row_length = shape[1] + 2 * r
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    tile_start = (shape[0] + 2 * r) * row_length * np.arange(len(windows))
    corner = tile_start[:, np.newaxis, np.newaxis] + rows * row_length + cols
    n = min(N_MOSAICS, len(windows))

    def find(first: int) -> Superpixels:
        return _superpixels_of_tiles(
            [pixels[r:-r, r:-r] for pixels, _ in windows[first::n]],
            included[first::n],
            corner[first::n],
            density=n_superpixels / math.prod(source.shape),
            compactness=compactness,
        )

    # No more at a time than there are cores, so that the first is there early.
    pool = ThreadPoolExecutor(torch.get_num_threads())
    mosaics = tuple(pool.submit(find, first) for first in range(n))
    pool.shutdown(wait=False)
    return Sample(
        pixels=torch.from_numpy(np.concatenate([p.reshape(-1, p.shape[2]) for p, _ in windows])),
        corner=torch.from_numpy(corner[included]),
        row_length=row_length,
        side=2 * r + 1,
        mosaics=mosaics,
        shape=source.shape,
        fraction=int(included.sum()) / included_area,
    )


def _superpixels_of_tiles(
    tiles: list[NDArray[np.float32]],
    included: NDArray[np.bool_],
    corner: NDArray[np.int64],
    *,
    density: float,
    compactness: float,
) -> Superpixels:
    """Superpixels of tiles as one mosaic: (rows, cols, channels) each; the others (n, rows, cols).

    SLIC rescales what it is given, so a mosaic has tiles from all over the image.
    """
    mosaic = np.concatenate(tiles)
    wanted = max(1, round(density * mosaic.shape[0] * mosaic.shape[1]))
    found = find_superpixels(mosaic, n_superpixels=wanted, compactness=compactness)
    # A superpixel across the seam of two tiles is two.
    tile = np.arange(len(tiles))[:, np.newaxis, np.newaxis]
    found = found.reshape(corner.shape) + tile * (int(found.max()) + 1)
    _, superpixel = np.unique(found[included], return_inverse=True)
    order = np.argsort(superpixel, kind="stable")
    return Superpixels(
        corner=torch.from_numpy(corner[included][order]),
        start=torch.from_numpy(np.append(0, np.cumsum(np.bincount(superpixel)))),
    )


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
