"""Decoding: from the bytes of a file to the values of its pixels."""

import io
import math
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nital.errors import InputError, reason_of
from nital.image.metadata import Metadata, PixelSize, read_metadata
from nital.image.ome_zarr import open_ome_zarr

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG_MAGIC = b"\xff\xd8"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def decode(
    path: Path, data: bytes, page: int | None, *, apply_palette: bool
) -> tuple[NDArray[Any], Metadata]:
    """Decode the stored pixels, (rows, cols) or (rows, cols, channels), and the metadata."""
    try:
        if data.startswith(_TIFF_MAGIC):
            return _read_tiff(path, data, page, apply_palette)
        if data.startswith(_PNG_MAGIC) and data[24] == 16:
            check_page(path, page, 1)
            return imagecodecs.png_decode(data), Metadata()  # Pillow would cut 16-bit colour to 8
        return _read_pillow(path, data, page, apply_palette), Metadata()
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path}: too large to be read as a whole; save it as TIFF, which is read part by part"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: not an image of a known kind; export it as TIFF or PNG"
        ) from error
    except Exception as error:  # decoders raise anything on damaged files
        raise InputError(
            f"{path}: damaged, or of a kind that is not supported ({reason_of(error)}); export it"
            " again as TIFF or PNG"
        ) from error


def read_ome_zarr(path: Path, page: int | None) -> tuple[NDArray[Any], Metadata]:
    image = open_ome_zarr(path)
    plane = check_page(path, page, image.n_planes)
    array = image.read(plane, *(slice(0, length) for length in image.shape))
    size = image.pixel_size
    return array, Metadata(() if size is None else (PixelSize("OME-Zarr", size, size),))


def check_page(path: Path, page: int | None, n_pages: int) -> int:
    """Check the number of a page, and return its index, from 0."""
    if page is not None and page < 1:
        raise InputError(f"{path}: page {page}; pages are counted from 1")
    if page is None and n_pages > 1:
        raise InputError(
            f"{path}: a stack of {n_pages} pages; choose one with --page 1..{n_pages}, or"
            " save it on its own"
        )
    if page is not None and page > n_pages:
        raise InputError(f"{path}: page {page} of {n_pages}; choose one of 1..{n_pages}")
    return 0 if page is None else page - 1


def _read_tiff(
    path: Path, data: bytes, page: int | None, apply_palette: bool
) -> tuple[NDArray[Any], Metadata]:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tiff_page, before = find_plane(path, tiff, page)
        end = max(map(sum, zip(tiff_page.dataoffsets, tiff_page.databytecounts, strict=True)))
        if end > len(data):
            raise InputError(
                f"{path}: cut short, {len(data)} bytes of at least {end}; copy or export it again"
            )
        if _count_planes(tiff) > len(tiff.pages):
            array = tiff.series[0].asarray().reshape(-1, *tiff_page.shape)[before]
        else:
            array = tiff_page.asarray()
        if tiff_page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
        if apply_palette:
            array = tiff_colours(path, array, tiff_page)
        return array, read_metadata(tiff, array.shape[:2])


def find_plane(
    path: Path, tiff: tifffile.TiffFile, page: int | None
) -> tuple[tifffile.TiffPage, int]:
    """Find the directory of a plane, and how many planes of that directory precede it.

    ImageJ writes a single directory, followed by all planes of the stack.

    Parameters
    ----------
    page : int, optional
        From 1; None if the file has only one.
    """
    index = check_page(path, page, _count_planes(tiff))
    one_for_all = len(tiff.pages) == 1
    return tiff.pages[0 if one_for_all else index].aspage(), index if one_for_all else 0


def _count_planes(tiff: tifffile.TiffFile) -> int:
    if len(tiff.pages) > 1:
        return len(tiff.pages)
    axes = zip(tiff.series[0].axes, tiff.series[0].shape, strict=True)
    return math.prod(length for axis, length in axes if axis not in "YXS")


def tiff_colours(path: Path, array: NDArray[Any], page: tifffile.TiffPage) -> NDArray[Any]:
    """Convert the stored values of a page to grey or RGB, with larger values for more light."""
    kinds = tifffile.PHOTOMETRIC
    if page.colormap is not None:
        colours = (page.colormap.T >> 8).astype(np.uint8)  # TIFF palettes always have 16 bits
        looked_up: NDArray[Any] = colours[array]
        return looked_up
    if page.photometric == kinds.MINISWHITE:
        inverted: NDArray[Any] = ~array if array.dtype.kind in "bu" else -array
        return inverted
    if page.photometric == kinds.SEPARATED and array.dtype == np.uint8 and array.shape[2] == 4:
        return np.asarray(Image.fromarray(array, "CMYK").convert("RGB"))
    # The decoder returns YCbCr inside a JPEG stream as RGB.
    decoded = page.photometric == kinds.YCBCR and page.compression == tifffile.COMPRESSION.JPEG
    if page.photometric not in (kinds.MINISBLACK, kinds.RGB) and not decoded:
        name = getattr(page.photometric, "name", page.photometric)
        raise InputError(f"{path}: colours stored as {name}; export it as grey or RGB")
    return array


def _read_pillow(path: Path, data: bytes, page: int | None, apply_palette: bool) -> NDArray[Any]:
    with Image.open(io.BytesIO(data)) as image:
        image.seek(check_page(path, page, getattr(image, "n_frames", 1)))
        image.load()
        if apply_palette and (image.mode in ("P", "PA") or "transparency" in image.info):
            return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
        if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "F") and not (
            image.mode.startswith("I;16")
        ):
            return np.asarray(image.convert("RGB"))
        return np.asarray(image)
