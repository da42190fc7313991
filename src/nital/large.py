"""Large images: read window by window where they lie, written as pyramids."""

import hashlib
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nital.errors import InputError
from nital.files import (
    check_page,
    colour_table,
    count_planes,
    read_micrograph,
    tiff_colours,
    tiff_pixel_size,
)
from nital.micrograph import MICROMETRES, LargeMicrograph, Micrograph

LARGE_PIXELS = 2**25
"""Images of more pixels are read window by window, and labels are written as a pyramid."""

TILE_SIDE = 512
"""Tiles of a pyramid; levels are added until one tile holds the whole."""

ZARR_METADATA = ("zarr.json", ".zattrs", ".zgroup")


def open_micrograph(
    path: Path | str, *, page: int | None = None, pixel_size: float | None = None
) -> Micrograph | LargeMicrograph:
    """Read a micrograph, or open it where it is too large to be held in memory.

    TIFF files, in tiles or strips, and OME-Zarr folders of more than `LARGE_PIXELS` are opened.

    Parameters
    ----------
    path, page, pixel_size
        As for `read_micrograph`; or a folder with an OME-Zarr image of one or three channels.

    Raises
    ------
    InputError
        As `read_micrograph`; or if a folder is no OME-Zarr image.
    """
    path = Path(path)
    if _is_zarr(path):
        fetch, shape, found = _open_ome_zarr(path, page)
        if math.prod(shape) > LARGE_PIXELS:
            size = found if pixel_size is None else pixel_size
            return LargeMicrograph.scan(fetch, shape, pixel_size=size, name=path.name)
        return read_whole(path, page=page, pixel_size=pixel_size)
    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages[0].aspage()
            large = first.imagewidth * first.imagelength > LARGE_PIXELS
    except Exception:  # no TIFF, or a damaged one: read_micrograph says what is wrong with it
        large = False
    if large:
        return _open_tiff(path, page, pixel_size)
    return read_micrograph(path, page=page, pixel_size=pixel_size)


def read_whole(
    path: Path | str, *, page: int | None = None, pixel_size: float | None = None
) -> Micrograph:
    """Read a micrograph of any kind that `open_micrograph` knows, whatever memory that takes.

    Raises
    ------
    InputError
        As `open_micrograph`.
    """
    path = Path(path)
    if _is_zarr(path):
        fetch, shape, found = _open_ome_zarr(path, page)
        size = found if pixel_size is None else pixel_size
        everything = fetch(slice(0, shape[0]), slice(0, shape[1]))
        return Micrograph.from_array(everything, pixel_size=size, name=path.name)
    return read_micrograph(path, page=page, pixel_size=pixel_size)


def _is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / name).exists() for name in ZARR_METADATA)


def _open_tiff(path: Path, page: int | None, pixel_size: float | None) -> LargeMicrograph:
    import zarr

    with tifffile.TiffFile(path) as tiff:
        index = check_page(path, page, count_planes(tiff))
        one_page = len(tiff.pages) == 1
        chosen = tiff.pages[0 if one_page else index].aspage()
        start = index * chosen.nbytes if one_page else 0  # after the first of the planes
        start += chosen.dataoffsets[0] if chosen.dataoffsets else 0
        found_size = tiff_pixel_size(tiff)
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
        store = zarr.open_array(tifffile.imread(path, key=chosen.index, aszarr=True), mode="r")

    def fetch(rows: slice, cols: slice) -> NDArray[Any]:
        window = (slice(None), rows, cols) if planar else (rows, cols)
        with _damage_told(path, rows):
            # A map of its own for each window: what was read does not stay in memory.
            array = np.array((_mapped(path, chosen, start) if mapped else store)[window])
        return tiff_colours(path, np.moveaxis(array, 0, -1) if planar else array, chosen)

    return LargeMicrograph.scan(
        fetch,
        (chosen.imagelength, chosen.imagewidth),
        pixel_size=found_size if pixel_size is None else pixel_size,
        name=path.name,
        sha256=_sha256(path),
    )


@contextmanager
def _damage_told(path: Path, rows: slice) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: damaged, rows {rows.start} to {rows.stop} can't be read ({reason}); export it"
            " again"
        ) from error


def _mapped(path: Path, page: tifffile.TiffPage, start: int) -> NDArray[Any]:
    dtype = page.parent.byteorder + page.dtype.char if page.dtype is not None else "u1"
    return np.memmap(path, dtype, "r", start, page.shape)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_ome_zarr(
    path: Path, page: int | None
) -> tuple[Callable[[slice, slice], NDArray[Any]], tuple[int, int], float | None]:
    """How to fetch a window, shape and pixel size in µm of the image at full resolution."""
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        attributes: dict[str, Any] = dict(group.attrs)
        described = attributes.get("ome", attributes)["multiscales"][0]
        level = described["datasets"][0]
        array: Any = group[level["path"]]
        names = [axis["name"] for axis in described["axes"]]
        rows_axis, cols_axis = names.index("y"), names.index("x")
        size = _zarr_pixel_size(described, level, names)
    except Exception as error:  # a folder can hold anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not an OME-Zarr image ({reason}); name the folder that holds its"
            " multiscales metadata"
        ) from error
    stacks = [axis for axis, name in enumerate(names) if name in ("t", "z")]
    index = check_page(path, page, math.prod(array.shape[axis] for axis in stacks))
    place = np.unravel_index(index, [array.shape[axis] for axis in stacks]) if stacks else ()
    channel = names.index("c") if "c" in names else None
    if channel is not None and array.shape[channel] not in (1, 3):
        raise InputError(
            f"{path}: {array.shape[channel]} channels, neither grey nor RGB; export the one that"
            " shows the microstructure"
        )

    def fetch(rows: slice, cols: slice) -> NDArray[Any]:
        window: list[Any] = [slice(None)] * len(names)
        window[rows_axis], window[cols_axis] = rows, cols
        for axis, number in zip(stacks, place, strict=True):
            window[axis] = int(number)
        with _damage_told(path, rows):
            found = np.asarray(array[tuple(window)])
        return found if channel is None else np.moveaxis(found, 0, -1)

    return fetch, (array.shape[rows_axis], array.shape[cols_axis]), size


def _zarr_pixel_size(
    described: dict[str, Any], level: dict[str, Any], names: list[str]
) -> float | None:
    """Edge of a pixel in µm, where it is given for both directions alike."""
    units = {"nanometer": "nm", "micrometer": "um", "millimeter": "mm", "centimeter": "cm"}
    scales = [
        each["scale"]
        for holder in (level, described)  # what holds for all levels comes on top
        for each in holder.get("coordinateTransformations", [])
        if each["type"] == "scale"
    ]
    sizes = []
    for name in "yx":
        place = names.index(name)
        unit = MICROMETRES.get(units.get(described["axes"][place].get("unit", ""), ""))
        if unit and scales:
            sizes.append(math.prod(float(scale[place]) for scale in scales) * unit)
    return sizes[0] if len(sizes) == 2 and math.isclose(*sizes, rel_tol=1e-3) else None


def write_label_pyramid(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    colours: NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    """Write a label map as a tiled, compressed BigTIFF with overviews (OME-TIFF).

    Parameters: (rows, cols); (k, 3) for the labels 1..k, 0 is black; µm or None.
    """
    levels = _levels(labels)
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


def _levels(labels: NDArray[np.unsignedinteger]) -> list[NDArray[np.unsignedinteger]]:
    """Views of a map in ever fewer pixels, until one tile holds the whole."""
    n = 1 + max(0, math.ceil(math.log2(max(labels.shape) / TILE_SIDE)))
    # Every 2nd pixel: a label in between would be one that nobody found.
    return [labels[:: 2**level, :: 2**level] for level in range(n)]


def _tiles(labels: NDArray[np.unsignedinteger]) -> Iterator[NDArray[np.unsignedinteger]]:
    """Tiles in reading order; those at the border are filled up with 0."""
    for top in range(0, labels.shape[0], TILE_SIDE):
        band = np.asarray(labels[top : top + TILE_SIDE])
        for left in range(0, labels.shape[1], TILE_SIDE):
            piece = band[:, left : left + TILE_SIDE]
            yield np.pad(piece, [(0, TILE_SIDE - length) for length in piece.shape])


def write_ome_zarr_labels(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    colours: NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    """Write a label map as OME-Zarr 0.4 with overviews, chunked and compressed.

    Parameters: as for `write_label_pyramid`.
    """
    import zarr

    axes: list[Any] = [{"name": name, "type": "space"} for name in "yx"]
    if pixel_size is not None:
        axes = [axis | {"unit": "micrometer"} for axis in axes]
    group = zarr.open_group(path, mode="w", zarr_format=2)
    datasets: list[Any] = []
    for level, seen in enumerate(_levels(labels)):
        array = group.create_array(
            str(level),
            shape=seen.shape,
            dtype=seen.dtype,
            chunks=(TILE_SIDE, TILE_SIDE),
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        for top in range(0, seen.shape[0], TILE_SIDE):
            array[top : top + TILE_SIDE] = np.ascontiguousarray(seen[top : top + TILE_SIDE])
        scale = [2**level * (pixel_size or 1.0)] * 2
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": scale}],
            }
        )
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs["image-label"] = {
        "version": "0.4",
        "colors": [
            {"label-value": label, "rgba": [*map(int, colour), 255]}
            for label, colour in enumerate(colours, start=1)
        ],
    }
