"""Large images: read window by window where they lie, written as pyramids."""

import hashlib
import math
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nital.errors import InputError, damage_told
from nital.image.files import (
    check_page,
    colour_table,
    find_plane,
    read_micrograph,
    rows_left,
    tiff_colours,
)
from nital.image.metadata import read_metadata
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.ome_zarr import TILE_SIDE, is_ome_zarr, levels_of, open_ome_zarr

LARGE_PIXELS = 2**25
"""Images of more pixels are read window by window, and labels are written as a pyramid."""


def open_micrograph(
    path: Path | str,
    *,
    page: int | None = None,
    pixel_size: float | None = None,
    crop_bottom: int | None = None,
) -> Micrograph | LargeMicrograph:
    """Read a micrograph, or open it where it is too large to be held in memory.

    TIFF files, in tiles or strips, and OME-Zarr folders of more than `LARGE_PIXELS` are opened.

    Parameters
    ----------
    path, page, pixel_size, crop_bottom
        As for `read_micrograph`.

    Raises
    ------
    InputError
        As `read_micrograph`.
    """
    path = Path(path)
    if is_ome_zarr(path):
        image = open_ome_zarr(path)
        if math.prod(image.shape) > LARGE_PIXELS:
            plane = check_page(path, page, image.n_planes)
            crop = crop_bottom or 0
            return LargeMicrograph.scan(
                partial(image.read, plane),
                (rows_left(path, crop, image.shape[0]), image.shape[1]),
                pixel_size=image.pixel_size if pixel_size is None else pixel_size,
                name=path.name,
                cropped_bottom=crop,
            )
        return read_micrograph(path, page=page, pixel_size=pixel_size, crop_bottom=crop_bottom)
    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages[0].aspage()
            large = first.imagewidth * first.imagelength > LARGE_PIXELS
    except Exception:  # no TIFF, or a damaged one: read_micrograph says what is wrong with it
        large = False
    if large:
        return _open_tiff(path, page, pixel_size, crop_bottom)
    return read_micrograph(path, page=page, pixel_size=pixel_size, crop_bottom=crop_bottom)


def _open_tiff(
    path: Path, page: int | None, pixel_size: float | None, crop_bottom: int | None
) -> LargeMicrograph:
    import zarr

    with tifffile.TiffFile(path) as tiff:
        chosen, before = find_plane(path, tiff, page)
        start = before * chosen.nbytes + (chosen.dataoffsets[0] if chosen.dataoffsets else 0)
        said = read_metadata(tiff, (chosen.imagelength, chosen.imagewidth))
        mapped = chosen.is_memmappable
        _ = chosen.colormap  # read while the file is open
        pieces = list(zip(chosen.dataoffsets, chosen.databytecounts, strict=False))
        end = max([start + chosen.nbytes if mapped else 0, *map(sum, pieces)])
        whole = len(chosen.dataoffsets) == len(chosen.databytecounts) > 0
    if not whole or end > path.stat().st_size:
        raise InputError(
            f"{path}: cut short, {path.stat().st_size} bytes of at least {end}; copy or export it"
            " again"
        )
    planar = chosen.planarconfig == tifffile.PLANARCONFIG.SEPARATE and len(chosen.shape) == 3
    store: Any = None
    if not mapped:
        if before:
            raise InputError(f"{path}: page {page} can't be found; save it on its own")
        store = zarr.open_array(tifffile.imread(path, key=chosen.index, aszarr=True), mode="r")

    def fetch(rows: slice, cols: slice) -> NDArray[Any]:
        window = (slice(None), rows, cols) if planar else (rows, cols)
        with damage_told(path, rows):
            # A map of its own for each window: what was read does not stay in memory.
            array = np.array((_mapped(path, chosen, start) if mapped else store)[window])
        return tiff_colours(path, np.moveaxis(array, 0, -1) if planar else array, chosen)

    crop = said.bar_height if crop_bottom is None else crop_bottom
    return LargeMicrograph.scan(
        fetch,
        (rows_left(path, crop, chosen.imagelength), chosen.imagewidth),
        pixel_size=said.pixel_size(path) if pixel_size is None else pixel_size,
        name=path.name,
        sha256=_sha256(path),
        cropped_bottom=crop,
    )


def _mapped(path: Path, page: tifffile.TiffPage, start: int) -> NDArray[Any]:
    dtype = page.parent.byteorder + page.dtype.char if page.dtype is not None else "u1"
    return np.memmap(path, dtype, "r", start, page.shape)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_label_pyramid(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    colours: NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    """Write a label map as a tiled, compressed BigTIFF with overviews (OME-TIFF).

    Parameters: (rows, cols); (k, 3) for the labels 1..k, 0 is black; µm or None.
    """
    levels = levels_of(labels)
    options: dict[str, Any] = {"tile": (TILE_SIDE, TILE_SIDE), "compression": "zlib"}
    overviews: dict[str, Any] = {"subfiletype": 1}
    if labels.dtype == np.uint8:
        table = colour_table(colours).astype(np.uint16) * 257
        options |= {"photometric": "palette", "colormap": table}
    # The same labels, the same file: not a new identifier each time.
    metadata: dict[str, Any] = {"axes": "YX", "UUID": str(uuid.UUID(int=0))}
    if pixel_size is not None:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": pixel_size, f"PhysicalSize{axis}Unit": "µm"}
    whole: dict[str, Any] = {"subifds": len(levels) - 1, "metadata": metadata}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        for level, seen in enumerate(levels):
            more = overviews if level else whole
            tiff.write(_tiles(seen), shape=seen.shape, dtype=seen.dtype, **options, **more)


def _tiles(labels: NDArray[np.unsignedinteger]) -> Iterator[NDArray[np.unsignedinteger]]:
    """Tiles in reading order; those at the border are filled up with 0."""
    for top in range(0, labels.shape[0], TILE_SIDE):
        band = np.asarray(labels[top : top + TILE_SIDE])
        for left in range(0, labels.shape[1], TILE_SIDE):
            piece = band[:, left : left + TILE_SIDE]
            yield np.pad(piece, [(0, TILE_SIDE - length) for length in piece.shape])
