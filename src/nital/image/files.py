"""Files: micrographs and label maps, between the disk and arrays."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nital.errors import InputError, reason_of
from nital.image.metadata import Metadata, PixelSize, read_metadata
from nital.image.micrograph import Micrograph
from nital.image.ome_zarr import is_ome_zarr, open_ome_zarr

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_MAGIC = b"\xff\xd8"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def read_micrograph(
    path: Path | str,
    *,
    page: int | None = None,
    pixel_size: float | None = None,
    crop_bottom: int | None = None,
) -> Micrograph:
    """Read a micrograph: TIFF, PNG, JPEG, BMP and whatever else Pillow reads, or OME-Zarr.

    Parameters
    ----------
    path : Path or str
        A file, or a folder with an OME-Zarr image of one or three channels.
    page : int, optional
        Which page of a stack, from 1. A file with one page needs none.
    pixel_size : float, optional
        Edge of a pixel in µm. None: as the metadata of the file say, those of Zeiss and FEI,
        OME and ImageJ, or a TIFF resolution that is too fine to be that of a print.
    crop_bottom : int, optional
        How many rows to cut off at the bottom, where the info bar is. None: as FEI metadata
        say, else none.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, no image, or a stack without `page`; if its
        metadata disagree on the pixel size, and none is given; or if no row is left.
    """
    path = Path(path)
    digest = None
    if is_ome_zarr(path):
        array, said = _read_ome_zarr(path, page)
    else:
        data = _read_bytes(path)
        array, said = _decode(path, data, page, apply_palette=True)
        digest = hashlib.sha256(data).hexdigest()
    crop = said.bar_height if crop_bottom is None else crop_bottom
    return Micrograph.from_array(
        array[: rows_left(path, crop, len(array))],
        pixel_size=said.pixel_size(path) if pixel_size is None else pixel_size,
        name=path.name,
        sha256=digest,
        cropped_bottom=crop,
    )


def read_labels(path: Path | str) -> NDArray[np.int64]:
    """Read a label map: whole numbers, or colours that stand for classes.

    Grey and palette images keep their numbers, also grey that is stored as RGB. In a colour image
    each colour is a class; they are numbered from 1 in the order of (red, green, blue), but black
    is 0.

    Returns
    -------
    (rows, cols), int64

    Raises
    ------
    InputError
        As for `read_micrograph`; or for JPEG, which smears labels, fractions, numbers above 65535,
        or more than 256 colours.
    """
    path = Path(path)
    if is_ome_zarr(path):
        array, _ = _read_ome_zarr(path, None)
    else:
        data = _read_bytes(path)
        array, _ = _decode(path, data, None, apply_palette=False)
        if data.startswith(_JPEG_MAGIC):
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
        first = int(colours[0].any())  # np.unique sorts: black, if it is there, comes first
        return index.reshape(array.shape[:2]).astype(np.int64) + first
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.round(array))).all():
        raise InputError(f"{path}: holds fractions; a label map holds whole numbers")
    if array.max() > np.iinfo(np.uint16).max:
        raise InputError(f"{path}: label {array.max()} is too large; number them up to 65535")
    return array.astype(np.int64)


def write_labels(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    colours: NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    """Write a label map as a TIFF that ImageJ opens with its colours and pixel size.

    Parameters: (rows, cols); (k, 3) for the labels 1..k, 0 is black; µm or None.
    """
    table = colour_table(colours)
    options: dict[str, Any] = {"metadata": {}}
    if labels.dtype == np.uint8:
        options |= {"photometric": "palette", "colormap": table.astype(np.uint16) * 257}
    else:  # ImageJ knows no palette of 16 bits; a look-up table over the range of labels does
        options["metadata"] |= {"LUTs": [table], "min": 0, "max": 255}
    if pixel_size is not None:
        options["resolution"] = (1 / pixel_size, 1 / pixel_size)
        options["metadata"]["unit"] = "um"
    tifffile.imwrite(path, labels, imagej=True, **options)


def colour_table(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The table of a palette, (3, 256): black, then the colours (k, 3) as far as there is room."""
    table = np.zeros((3, 256), np.uint8)
    shown = colours[:255].T
    table[:, 1 : 1 + shown.shape[1]] = shown
    return table


def write_table(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows that share their keys as CSV; None becomes an empty cell.

    `columns`: the keys, where there may be no row.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_columns(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """Columns of numbers of a table: (rows, names).

    Raises
    ------
    InputError
        If the table can't be read, or a column is missing or holds something else.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [[float(row[name]) for name in names] for row in csv.DictReader(file)]
        if not np.isfinite(rows).all():
            raise ValueError("a value is not finite")
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(
            f"{path}: not as it was written ({error}); segment the micrograph again"
        ) from error
    return np.array(rows)


def read_json(path: Path) -> dict[str, Any]:
    """Read an object that `write_json` wrote.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        value: dict[str, Any] = json.loads(_read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); make it again") from error
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object as indented JSON."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _decode(
    path: Path, data: bytes, page: int | None, *, apply_palette: bool
) -> tuple[NDArray[Any], Metadata]:
    """Pixels as they are stored, (rows, cols) or (rows, cols, channels), and the metadata."""
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
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise InputError(
            f"{path}: damaged, or of a kind that is not supported ({reason_of(error)}); export it"
            " again as TIFF or PNG"
        ) from error


def _read_ome_zarr(path: Path, page: int | None) -> tuple[NDArray[Any], Metadata]:
    image = open_ome_zarr(path)
    plane = check_page(path, page, image.n_planes)
    array = image.read(plane, *(slice(0, length) for length in image.shape))
    size = image.pixel_size
    return array, Metadata(() if size is None else (PixelSize("OME-Zarr", size, size),))


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not a file; name the images in it") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); check its rights") from error
    if not data:
        raise InputError(f"{path}: an empty file; copy or export it again")
    return data


def check_page(path: Path, page: int | None, n_pages: int) -> int:
    """Index of the page, from 0."""
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


def rows_left(path: Path, crop_bottom: int, n_rows: int) -> int:
    """Rows of an image above those that are cut off."""
    if crop_bottom and not 0 < crop_bottom < n_rows:
        raise InputError(
            f"{path}: {crop_bottom} rows can't be cut off at the bottom of {n_rows}; give"
            f" 0 to {n_rows - 1} with --crop-bottom"
        )
    return n_rows - crop_bottom


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
    """The directory of a plane, and how many planes of that directory come before it.

    ImageJ writes one directory, and then the planes of a stack one after the other.

    Parameters
    ----------
    page : int, optional
        From 1; None where the file has only one.
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
    """Grey or RGB values, brighter for more light, from whatever the page stores."""
    kinds = tifffile.PHOTOMETRIC
    if page.colormap is not None:
        colours = (page.colormap.T >> 8).astype(np.uint8)  # palettes are of 16 bits, always
        looked_up: NDArray[Any] = colours[array]
        return looked_up
    if page.photometric == kinds.MINISWHITE:
        inverted: NDArray[Any] = ~array if array.dtype.kind in "bu" else -array
        return inverted
    if page.photometric == kinds.SEPARATED and array.dtype == np.uint8 and array.shape[2] == 4:
        return np.asarray(Image.fromarray(array, "CMYK").convert("RGB"))
    # What is stored as YCbCr inside a JPEG stream comes out of the decoder as RGB.
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
