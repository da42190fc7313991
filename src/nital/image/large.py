"""Large images: read from the disk window by window."""

import hashlib
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nital.errors import InputError, reading_rows
from nital.image.decoding import check_page, find_plane, tiff_colours
from nital.image.files import read_micrograph, rows_left
from nital.image.metadata import read_metadata
from nital.image.micrograph import LargeMicrograph, Micrograph
from nital.image.ome_zarr import is_ome_zarr, open_ome_zarr

LARGE_PIXELS = 2**25
"""Images with more pixels are read window by window, and their labels written as a pyramid."""


def open_micrograph(
    path: Path | str,
    *,
    page: int | None = None,
    pixel_size: float | None = None,
    crop_bottom: int | None = None,
) -> Micrograph | LargeMicrograph:
    """Read a micrograph, or open it if it is too large to be held in memory.

    TIFF files, in tiles or strips, and OME-Zarr folders of more than `LARGE_PIXELS` are opened.

    Parameters
    ----------
    path, page, pixel_size, crop_bottom
        As for `read_micrograph`.

    Raises
    ------
    InputError
        As for `read_micrograph`.
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
    except Exception:  # not a TIFF, or damaged: read_micrograph raises the right error
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
        metadata = read_metadata(tiff, (chosen.imagelength, chosen.imagewidth))
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
        with reading_rows(path, rows):
            # A separate memory map for each window, so that what was read does not stay in memory.
            array = np.array((_mapped(path, chosen, start) if mapped else store)[window])
        return tiff_colours(path, np.moveaxis(array, 0, -1) if planar else array, chosen)

    crop = metadata.bar_height if crop_bottom is None else crop_bottom
    return LargeMicrograph.scan(
        fetch,
        (rows_left(path, crop, chosen.imagelength), chosen.imagewidth),
        pixel_size=metadata.pixel_size(path) if pixel_size is None else pixel_size,
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
