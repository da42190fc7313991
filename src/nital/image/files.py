"""Files: reading micrographs as a whole."""

import hashlib
from pathlib import Path

from nital.errors import InputError
from nital.image.decoding import decode, read_ome_zarr
from nital.image.micrograph import Micrograph
from nital.image.ome_zarr import is_ome_zarr
from nital.storage.tables import read_bytes


def read_micrograph(
    path: Path | str,
    *,
    page: int | None = None,
    pixel_size: float | None = None,
    crop_bottom: int | None = None,
) -> Micrograph:
    """Read a micrograph: TIFF, PNG, JPEG, BMP or any other format that Pillow reads, or OME-Zarr.

    Parameters
    ----------
    path : Path or str
        A file, or a folder with an OME-Zarr image of one or three channels.
    page : int, optional
        Page of a stack, from 1; not needed if the file has only one.
    pixel_size : float, optional
        Edge of a pixel in µm. None: taken from the metadata of the file, namely those of Zeiss,
        FEI, OME or ImageJ, or a TIFF resolution too fine to be that of a print.
    crop_bottom : int, optional
        Number of rows to cut off at the bottom, where the info bar is. None: taken from FEI
        metadata, otherwise 0.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, not an image, or a stack and `page` is not given; if
        its metadata disagree on the pixel size and none is given; or if no row is left.
    """
    path = Path(path)
    digest = None
    if is_ome_zarr(path):
        array, metadata = read_ome_zarr(path, page)
    else:
        data = read_bytes(path)
        array, metadata = decode(path, data, page, apply_palette=True)
        digest = hashlib.sha256(data).hexdigest()
    crop = metadata.bar_height if crop_bottom is None else crop_bottom
    return Micrograph.from_array(
        array[: rows_left(path, crop, len(array))],
        pixel_size=metadata.pixel_size(path) if pixel_size is None else pixel_size,
        name=path.name,
        sha256=digest,
        cropped_bottom=crop,
    )


def rows_left(path: Path, crop_bottom: int, n_rows: int) -> int:
    """Number of rows left when the bottom of an image is cut off."""
    if crop_bottom and not 0 < crop_bottom < n_rows:
        raise InputError(
            f"{path}: {crop_bottom} rows can't be cut off at the bottom of {n_rows}; give"
            f" 0 to {n_rows - 1} with --crop-bottom"
        )
    return n_rows - crop_bottom
