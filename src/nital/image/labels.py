"""Label maps: reading and writing."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nital.errors import InputError
from nital.image.decoding import (
    JPEG_MAGIC,
    decode,
    read_ome_zarr,
)
from nital.image.ome_zarr import TILE_SIDE, is_ome_zarr, levels_of
from nital.storage.tables import read_bytes


def read_labels(path: Path | str) -> NDArray[np.int64]:
    """Read a label map: whole numbers, or colours that stand for classes.

    Grey and palette images keep their numbers, as does grey stored as RGB. In a colour image each
    colour is a class, numbered from 1 in the order of (red, green, blue), but black is 0.

    Returns
    -------
    (rows, cols), int64

    Raises
    ------
    InputError
        As for `read_micrograph`; also for a JPEG file, which smears labels, and for fractions,
        numbers above 65535 or more than 256 colours.
    """
    path = Path(path)
    if is_ome_zarr(path):
        array, _ = read_ome_zarr(path, None)
    else:
        data = read_bytes(path)
        array, _ = decode(path, data, None, apply_palette=False)
        if data.startswith(JPEG_MAGIC):
            raise InputError(
                f"{path}: a JPEG file; its compression smears labels into their neighbours: save"
                " the label map as PNG or TIFF"
            )
    if array.ndim == 3 and (array[..., :1] == array[..., : 3 if array.shape[2] > 2 else 1]).all():
        array = array[..., 0]
    if array.ndim == 3:
        colours, index = np.unique(array[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
        if len(colours) > 256:
            raise InputError(
                f"{path}: {len(colours)} colours, so it is not a label map; give each class one"
                " colour or number"
            )
        first = int(colours[0].any())  # np.unique sorts: black, if present, comes first
        return index.reshape(array.shape[:2]).astype(np.int64) + first
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.round(array))).all():
        raise InputError(f"{path}: holds fractions; a label map holds whole numbers")
    if array.max() > np.iinfo(np.uint16).max:
        raise InputError(f"{path}: label {array.max()} is too large; use 65535 or less")
    return array.astype(np.int64)


def write_labels(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    colours: NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    """Write a label map as a TIFF that ImageJ opens with its colours and pixel size.

    `labels`: (rows, cols); `colours`: (k, 3) for the labels 1..k, 0 is black; `pixel_size`: µm.
    """
    table = colour_table(colours)
    options: dict[str, Any] = {"metadata": {}}
    if labels.dtype == np.uint8:
        options |= {"photometric": "palette", "colormap": table.astype(np.uint16) * 257}
    else:  # ImageJ has no 16-bit palettes; a look-up table over the range of labels serves
        options["metadata"] |= {"LUTs": [table], "min": 0, "max": 255}
    if pixel_size is not None:
        options["resolution"] = (1 / pixel_size, 1 / pixel_size)
        options["metadata"]["unit"] = "um"
    tifffile.imwrite(path, labels, imagej=True, **options)


def colour_table(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Table of a palette, (3, 256): black, then as many of the colours (k, 3) as fit."""
    table = np.zeros((3, 256), np.uint8)
    shown = colours[:255].T
    table[:, 1 : 1 + shown.shape[1]] = shown
    return table


def write_label_pyramid(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    colours: NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    """Write a label map as a tiled, compressed BigTIFF with overviews (OME-TIFF).

    Parameters are those of `write_labels`.
    """
    levels = levels_of(labels)
    options: dict[str, Any] = {"tile": (TILE_SIDE, TILE_SIDE), "compression": "zlib"}
    overviews: dict[str, Any] = {"subfiletype": 1}
    if labels.dtype == np.uint8:
        table = colour_table(colours).astype(np.uint16) * 257
        options |= {"photometric": "palette", "colormap": table}
    # A fixed identifier, so that the same labels give the same file.
    metadata: dict[str, Any] = {"axes": "YX", "UUID": str(uuid.UUID(int=0))}
    if pixel_size is not None:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": pixel_size, f"PhysicalSize{axis}Unit": "µm"}
    whole: dict[str, Any] = {"subifds": len(levels) - 1, "metadata": metadata}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        for level, seen in enumerate(levels):
            more = overviews if level else whole
            tiff.write(tiles(seen), shape=seen.shape, dtype=seen.dtype, **options, **more)


def tiles(labels: NDArray[np.unsignedinteger]) -> Iterator[NDArray[np.unsignedinteger]]:
    """Tiles in reading order; those at the border are padded with 0."""
    for top in range(0, labels.shape[0], TILE_SIDE):
        band = np.asarray(labels[top : top + TILE_SIDE])
        for left in range(0, labels.shape[1], TILE_SIDE):
            piece = band[:, left : left + TILE_SIDE]
            yield np.pad(piece, [(0, TILE_SIDE - length) for length in piece.shape])
