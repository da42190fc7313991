"""Tiles: parts of pictures and maps of any size, cut from files on the disk for the viewer."""

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nital.errors import InputError
from nital.image.micrograph import LargeMicrograph, Micrograph

TILE = 512
"""Width and height of a tile in pixels; at the right and lower edge there may be fewer."""

_ROWS_AT_ONCE = 1024


def n_levels(shape: tuple[int, int]) -> int:
    """Number of levels of a pyramid; each has half the rows and columns of the last, rounded up."""
    return 1 + max(0, math.ceil(math.log2(max(shape) / TILE)))


def write_pyramid(folder: Path, micrograph: Micrograph | LargeMicrograph) -> None:
    """Write a micrograph in 8 bits, as `micrograph-0.npy` and smaller ones, each a mean of four.

    (rows, cols) where it is grey, else (rows, cols, 3).
    """
    rows, cols = micrograph.shape
    grey = _is_grey(micrograph)
    above = np.empty(0, np.uint8)
    for level in range(n_levels(micrograph.shape)):
        size = -(-rows // 2**level), -(-cols // 2**level)
        aside = folder / f"micrograph-{level}.part.npy"  # the old one may still be shown
        shown = np.lib.format.open_memmap(aside, "w+", np.uint8, size if grey else (*size, 3))
        for top in range(0, size[0], _ROWS_AT_ONCE):
            part = slice(top, min(top + _ROWS_AT_ONCE, size[0]))
            if level == 0:
                pixels = np.round(255 * micrograph.read(part, slice(0, cols))).astype(np.uint8)
                shown[part] = pixels[..., 0] if grey else pixels
            else:
                shown[part] = _halved(above[2 * part.start : 2 * part.stop])
        shown.flush()
        aside.replace(_level(folder, level))
        above = shown


def micrograph_tile(folder: Path, level: int, row: int, col: int) -> bytes:
    """A tile of a micrograph that `write_pyramid` wrote, as PNG.

    Raises
    ------
    InputError
        If there is none.
    """
    data = io.BytesIO()
    Image.fromarray(_cut(_level(folder, level), 1, row, col)).save(data, "PNG", compress_level=1)
    return data.getvalue()


def map_tile(path: Path, level: int, row: int, col: int) -> bytes:
    """A tile of every 2^level-th pixel of a map in a file of numpy, (rows, cols), uint8: its bytes.

    Raises
    ------
    InputError
        If there is none.
    """
    return _cut(path, 2**level, row, col).tobytes()


def _cut(path: Path, step: int, row: int, col: int) -> NDArray[np.uint8]:
    try:
        whole: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path.name}: no such picture ({error}); reload the page") from error
    tile = whole[::step, ::step][row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
    if 0 in tile.shape:
        raise InputError(f"{path.name}: has no tile in row {row}, column {col}; reload the page")
    return np.ascontiguousarray(tile)


def _level(folder: Path, level: int) -> Path:
    return folder / f"micrograph-{level}.npy"


def _is_grey(micrograph: Micrograph | LargeMicrograph) -> bool:
    for top in range(0, micrograph.shape[0], _ROWS_AT_ONCE):
        rows = slice(top, min(top + _ROWS_AT_ONCE, micrograph.shape[0]))
        pixels = micrograph.read(rows, slice(0, micrograph.shape[1]))
        if (pixels != pixels[..., :1]).any():
            return False
    return True


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of four pixels each; a missing last row or column is replaced by the one before."""
    odd = [(0, length % 2) for length in pixels.shape[:2]]
    even = np.pad(pixels, [*odd, *[(0, 0)] * (pixels.ndim - 2)], "edge").astype(np.uint16)
    total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return ((total + 2) // 4).astype(np.uint8)
