"""Exports: regions for ImageJ and QuPath, tables as CSV and Parquet."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from nital.errors import InputError, reason_of
from nital.measure.outlines import Region, trace_regions
from nital.output.folders import PhaseFolder
from nital.output.names import EXPORT_FILES
from nital.storage.tables import write_table
from nital.storage.writing import staged

ROI_SIDE = 60535
"""The largest coordinate in a ROI file; ImageJ reads larger ones as negative numbers."""


def write_rois(
    path: Path,
    labels: NDArray[np.integer],
    names: Sequence[str],
    colours: NDArray[np.uint8],
) -> None:
    """Write the regions of a label map as ROIs for ImageJ's ROI Manager.

    A ROI is named after its class and its number in the file: "ferrite 12". ImageJ measures
    exactly the pixels of the region.

    Parameters
    ----------
    path : Path
        Must end with .zip, or ImageJ won't open it.
    labels : (rows, cols), int
        1..k; 0 is excluded and not written.
    names : k texts
        Names of the classes or phases.
    colours : (k, 3), uint8
        Colours of the outlines.

    Raises
    ------
    InputError
        If a label has no name or no colour, or the map is larger than ImageJ's format allows.
    """
    if max(labels.shape) > ROI_SIDE:
        raise InputError(
            f"labels of shape {labels.shape}: ImageJ's ROI files hold no more than {ROI_SIDE} rows"
            " or columns; write GeoJSON, or cut the map into pieces"
        )
    # roifile counts a character beyond 16 bits as one unit instead of two, and truncates the name.
    named = [
        (re.sub("[^\0-\uffff]", "\ufffd", title), region)
        for title, region in _named_regions(labels, names, colours)
    ]
    rois = (_roi(title, region, colours[region.label - 1]) for title, region in named)
    # Names in a ZIP file are paths.
    files = (re.sub(r"[/\\]", "-", title) for title, _ in named)
    roiwrite(path, rois, name=files, mode="w")


def _roi(name: str, region: Region, colour: NDArray[np.uint8]) -> ImagejRoi:
    """Make a traced polygon, like those of ImageJ's wand, or a composite if there are holes."""
    outer = region.rings[0]
    (left, top), (right, bottom) = outer.min(axis=0).tolist(), outer.max(axis=0).tolist()
    roi = ImagejRoi(
        name=name,
        stroke_color=b"\xff" + colour.tobytes(),
        left=left,
        top=top,
        right=right,
        bottom=bottom,
    )
    if len(region.rings) == 1:
        roi.roitype = ROI_TYPE.TRACED
        roi.n_coordinates = len(outer)
        roi.integer_coordinates = (outer - (left, top)).astype(np.int32)
    else:  # ImageJ fills the path by the even-odd rule
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.concatenate([_path(ring) for ring in region.rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _path(ring: NDArray[np.int64]) -> NDArray[np.float32]:
    """Encode a ring for java.awt.geom.PathIterator: move to (0), line to (1), close (4)."""
    steps = np.insert(ring.astype(np.float32), 0, 1, axis=1)
    steps[0, 0] = 0
    return np.append(steps, np.float32(4))


def write_geojson(
    path: Path,
    labels: NDArray[np.integer],
    names: Sequence[str],
    colours: NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    """Write the regions of a label map as GeoJSON, as QuPath reads it.

    Coordinates are in pixels along pixel edges, x to the right and y down from the upper left
    corner of the image. Numerically, outer rings are counterclockwise and holes clockwise, as
    RFC 7946 requires; on the screen, where y runs down, they appear reversed.

    Parameters
    ----------
    labels : (rows, cols), int
        1..k; 0 is excluded and not written.
    names : k texts
        Names of the classes or phases; regions are numbered as in `write_rois`.
    colours : (k, 3), uint8
    pixel_size : float or None
        In µm; None: areas in pixels only.

    Raises
    ------
    InputError
        If a label has no name or no colour.
    """
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[*ring, ring[0]] for ring in map(np.ndarray.tolist, region.rings)],
            },
            "properties": {
                "objectType": "annotation",
                "name": title,
                "classification": {
                    "name": names[region.label - 1],
                    "color": colours[region.label - 1].tolist(),
                },
                "area_px": region.n_pixels,
                **({} if pixel_size is None else {"area_um2": region.n_pixels * pixel_size**2}),
            },
        }
        for title, region in _named_regions(labels, names, colours)
    ]
    collection = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(collection, separators=(",", ":")) + "\n", encoding="utf-8")


def _named_regions(
    labels: NDArray[np.integer], names: Sequence[str], colours: NDArray[np.uint8]
) -> Iterator[tuple[str, Region]]:
    """Yield the regions, each with its title: class and number."""
    least, most = labels.min(initial=0), labels.max(initial=0)
    if not 0 <= least <= most <= len(names) == len(colours):
        raise InputError(
            f"labels from {least} to {most}, {len(names)} names, {len(colours)} colours: label the"
            " classes from 1, and give each a name and a colour"
        )
    for number, region in enumerate(trace_regions(labels), start=1):
        yield f"{names[region.label - 1]} {number}", region


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write a table as Parquet.

    Parameters
    ----------
    columns : mapping
        Values by column name: integers, floats, bools or strings, one type in a column. None is an
        empty cell.

    Raises
    ------
    InputError
        If a column mixes types, or columns differ in length.
    """
    import pyarrow  # slow to load
    import pyarrow.parquet

    try:
        table = pyarrow.table(dict(columns))
    except pyarrow.ArrowException as error:
        raise InputError(
            f"columns {', '.join(columns)}: not a table ({reason_of(error)}); give all of them the"
            " same number of values, and each values of one type"
        ) from error
    pyarrow.parquet.write_table(table, path)


def _write_csv(path: Path, field: PhaseFolder) -> None:
    rows = zip(*field.regions.values(), strict=True)
    write_table(path, [dict(zip(field.regions, row, strict=True)) for row in rows])


WRITERS: dict[str, Callable[[Path, PhaseFolder], None]] = {
    "csv": _write_csv,
    "parquet": lambda path, field: write_parquet(path, field.regions),
    "rois": lambda path, field: write_rois(path, field.labels, field.phases, field.colours),
    "geojson": lambda path, field: write_geojson(
        path, field.labels, field.phases, field.colours, field.pixel_size
    ),
}
"""Writers of the files in `EXPORT_FILES`."""


def export_regions(field: PhaseFolder, kinds: Sequence[str], *, force: bool = False) -> None:
    """Write the regions of a field into its folder, for other programs.

    Parameters
    ----------
    kinds : sequence of {"csv", "parquet", "rois", "geojson"}
    force : bool
        Whether to replace existing files.
    """
    names = [EXPORT_FILES[kind] for kind in kinds]
    with staged(field.folder, names, force=force) as aside:
        for kind, name in zip(kinds, names, strict=True):
            WRITERS[kind](aside / name, field)
