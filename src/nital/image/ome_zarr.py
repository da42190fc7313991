"""OME-Zarr: reading chunked images in a folder plane by plane, and writing label maps."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError, reading_rows, reason_of
from nital.image.lengths import MICROMETRES

TILE_SIDE = 512
"""Side of the tiles of a pyramid; levels are added until one tile holds the whole map."""

METADATA = ("zarr.json", ".zattrs", ".zgroup")

# zarr takes a third of a second to load, so it is imported where it is used.


def is_ome_zarr(path: Path) -> bool:
    """Whether this is a folder with Zarr metadata."""
    # os.path.isdir is false, and raises nothing, for a name that the system does not accept.
    return os.path.isdir(path) and any((path / name).exists() for name in METADATA)


@dataclass(frozen=True)
class OmeZarr:
    """The first image of an OME-Zarr folder at its full resolution."""

    path: Path
    array: Any
    """zarr.Array, with an axis for each of `axes`."""

    axes: tuple[str, ...]
    pixel_size: float | None
    """Edge of a pixel in µm; None unless it is given, and the same, for both directions."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self._length("y"), self._length("x")

    @property
    def n_planes(self) -> int:
        """Number of planes along the axes t and z."""
        return math.prod(self._length(axis) for axis in self._stacked)

    def read(self, plane: int, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window of a plane (from 0): (rows, cols), or (rows, cols, channels).

        Raises
        ------
        InputError
            If it is damaged.
        """
        window: dict[str, Any] = {"y": rows, "x": cols}
        lengths = [self._length(axis) for axis in self._stacked]
        places = np.unravel_index(plane, lengths) if lengths else ()
        window |= dict(zip(self._stacked, map(int, places), strict=True))
        with reading_rows(self.path, rows):
            found = np.asarray(
                self.array[tuple(window.get(axis, slice(None)) for axis in self.axes)]
            )
        return np.moveaxis(found, 0, -1) if "c" in self.axes else found

    @property
    def _stacked(self) -> list[str]:
        return [axis for axis in self.axes if axis in ("t", "z")]

    def _length(self, axis: str) -> int:
        return int(self.array.shape[self.axes.index(axis)])


def open_ome_zarr(path: Path) -> OmeZarr:
    """Open a folder that holds the `multiscales` metadata of OME-Zarr.

    Raises
    ------
    InputError
        If they are missing, or if the image has neither one nor three channels.
    """
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        attributes: dict[str, Any] = dict(group.attrs)
        described = attributes.get("ome", attributes)["multiscales"][0]
        level = described["datasets"][0]
        axes = tuple(str(axis["name"]) for axis in described["axes"])
        image = OmeZarr(path, group[level["path"]], axes, _pixel_size(described, level, axes))
        _ = image.shape, image.n_planes  # raises if an axis is missing
    except Exception as error:  # a folder can hold anything
        raise InputError(
            f"{path}: not an OME-Zarr image ({reason_of(error)}); name the folder that holds its"
            " multiscales metadata"
        ) from error
    n_channels = image.array.shape[axes.index("c")] if "c" in axes else 1
    if n_channels not in (1, 3):
        raise InputError(
            f"{path}: {n_channels} channels, neither grey nor RGB; export the one that shows the"
            " microstructure"
        )
    return image


def _pixel_size(
    described: dict[str, Any], level: dict[str, Any], names: tuple[str, ...]
) -> float | None:
    """Edge of a pixel in µm; None unless it is given, and the same, for both directions."""
    units = {"nanometer": "nm", "micrometer": "um", "millimeter": "mm", "centimeter": "cm"}
    scales = [
        each["scale"]
        for holder in (level, described)  # a scale for all levels is applied as well
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


def write_ome_zarr_labels(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    colours: NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    """Write a label map as OME-Zarr 0.4 with overviews, chunked and compressed.

    Parameters are those of `write_label_pyramid`.
    """
    import zarr

    axes: list[Any] = [{"name": name, "type": "space"} for name in "yx"]
    if pixel_size is not None:
        axes = [axis | {"unit": "micrometer"} for axis in axes]
    group = zarr.open_group(path, mode="w", zarr_format=2)
    datasets: list[Any] = []
    for level, seen in enumerate(levels_of(labels)):
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


def levels_of(labels: NDArray[np.unsignedinteger]) -> list[NDArray[np.unsignedinteger]]:
    """Views of a map at decreasing resolution, until one tile holds the whole."""
    n = 1 + max(0, math.ceil(math.log2(max(labels.shape) / TILE_SIDE)))
    # Every 2nd pixel, not a mean: a label in between would be that of another class.
    return [labels[:: 2**level, :: 2**level] for level in range(n)]
