"""Exports: regions for ImageJ and QuPath, tables for programs that read Parquet."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from nital.errors import InputError, reason_of

ROI_SIDE = 60535
"""The largest coordinate in a ROI file; ImageJ takes a larger one for a negative number."""


@dataclass(frozen=True)
class Region:
    """A connected piece of one class, with its outline along the edges of pixels."""

    label: int
    """The class, 1..k."""

    n_pixels: int

    rings: tuple[NDArray[np.int64], ...]
    """(n, 2) each: corners (x, y) = (column, row), the first not repeated at the end. The outer
    ring, then one for each hole; no ring comes to the same corner twice."""


def trace_regions(labels: NDArray[np.integer]) -> list[Region]:
    """The regions of a label map; pixels that share an edge are connected.

    Parameters
    ----------
    labels : (rows, cols), int
        0 is excluded and in no region.

    Returns
    -------
    list of Region
        In the order of their first pixels, as in `tabulate_regions`. The shoelace formula on
        (x, y) gives a positive area for outer rings and a negative one for holes.

    Examples
    --------
    >>> (region,) = trace_regions(np.array([[0, 2, 2]], np.uint8))
    >>> region.label, region.n_pixels, region.rings[0].tolist()
    (2, 2, [[1, 0], [3, 0], [3, 1], [1, 1]])
    """
    from skimage.measure import label as connected_components  # takes its time to load

    pieces = connected_components(labels, background=0, connectivity=1)
    if not pieces.any():
        return []
    areas = np.bincount(pieces.ravel())[1:].tolist()
    outlines: list[list[NDArray[np.int64]]] = [[] for _ in areas]
    for piece, ring in zip(*_trace_rings(pieces), strict=True):
        outlines[piece - 1].append(ring)
    regions = []
    for n_pixels, rings in zip(areas, outlines, strict=True):
        x, y = rings[0][0]  # the upper left corner of the first pixel
        regions.append(Region(int(labels[y, x]), n_pixels, tuple(rings)))
    return regions


def _trace_rings(pieces: NDArray[np.integer]) -> tuple[list[int], list[NDArray[np.int64]]]:
    """The piece and the corners (n, 2) of every ring; the outer ring of a piece before its holes.

    Directed edges of one pixel, with the piece at one side of them, are chained to rings.

    Parameters: (rows, cols), 1..n, and 0 for no piece.
    """
    width = pieces.shape[1] + 1  # corners in a row
    padded = np.pad(pieces.astype(np.int32), 1)  # half the memory
    # Pieces around each corner, (4, corners): below right, below left, above left, above right.
    around = np.stack([padded[1:, 1:], padded[1:, :-1], padded[:-1, :-1], padded[:-1, 1:]]).reshape(
        4, -1
    )
    # An edge starts at a corner and runs right, down, left or up (0 to 3), with around[direction]
    # at its inner side and around[direction - 1] at the other.
    direction, corner = np.nonzero((around > 0) & (around != np.roll(around, 1, axis=0)))
    piece = around[direction, corner]
    end = corner + np.array([1, width, -1, -width])[direction]
    # Where two pixels of a piece touch only diagonally, the ring goes on along the other pixel: so
    # what lies at the two sides of the corner has a ring each, and none comes to a corner twice.
    turn = np.where(
        around[direction - 1, end] == piece, -1, np.where(around[direction, end] == piece, 0, 1)
    )
    n_corners = around.shape[1]
    following = np.searchsorted(
        direction * n_corners + corner, (direction + turn) % 4 * n_corners + end
    )
    order, starts = _chain(following)
    turned = np.empty(len(turn), bool)
    turned[following] = turn != 0
    kept = turned[order]
    y, x = np.divmod(corner[order[kept]], width)
    first = np.cumsum(kept)[starts] - 1  # no edge to the right comes before a ring's first: a turn
    rings = np.split(np.stack([x, y], axis=1), first[1:])
    return piece[order[starts]].tolist(), rings


def _chain(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rings of edges from the edge that follows each: the edges in order, and where rings start."""
    successors = following.tolist()
    seen = bytearray(len(successors))
    order: list[int] = []
    starts: list[int] = []
    for edge in range(len(successors)):
        if not seen[edge]:
            starts.append(len(order))
        while not seen[edge]:
            seen[edge] = True
            order.append(edge)
            edge = successors[edge]
    return np.array(order), np.array(starts)


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
        Ends with .zip, or ImageJ won't take it.
    labels : (rows, cols), int
        1..k; 0 is excluded and not written.
    names : k texts
        Classes or phases.
    colours : (k, 3), uint8
        Of the outlines.

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
    # roifile takes characters beyond 16 bits for one unit where they are two, and cuts the name.
    named = [
        (re.sub("[^\0-\uffff]", "\ufffd", title), region)
        for title, region in _named_regions(labels, names, colours)
    ]
    rois = (_roi(title, region, colours[region.label - 1]) for title, region in named)
    # A name in a ZIP file is a path.
    files = (re.sub(r"[/\\]", "-", title) for title, _ in named)
    roiwrite(path, rois, name=files, mode="w")


def _roi(name: str, region: Region, colour: NDArray[np.uint8]) -> ImagejRoi:
    """A traced polygon, as ImageJ's wand makes them, or a composite where there are holes."""
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
    """A ring in the words of java.awt.geom.PathIterator: move to (0), line to (1), close (4)."""
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

    Coordinates are in pixels, x to the right and y down from the upper left corner of the image,
    on the edges of pixels. Taken as numbers, outer rings run counterclockwise and holes clockwise,
    as RFC 7946 has it; on the screen, where y runs down, it is the other way round.

    Parameters
    ----------
    labels : (rows, cols), int
        1..k; 0 is excluded and not written.
    names : k texts
        Classes or phases; a region has its number in the file beside it, as in `write_rois`.
    colours : (k, 3), uint8
    pixel_size : float or None
        µm; without it there are areas in pixels only.

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
    """The regions, each with its class and number."""
    least, most = labels.min(initial=0), labels.max(initial=0)
    if not 0 <= least <= most <= len(names) == len(colours):
        raise InputError(
            f"labels from {least} to {most}, {len(names)} names, {len(colours)} colours: label the"
            " classes from 1, and give each of them a name and a colour"
        )
    for number, region in enumerate(trace_regions(labels), start=1):
        yield f"{names[region.label - 1]} {number}", region


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write a table as Parquet.

    Parameters
    ----------
    columns : mapping
        Values by the name of their column: whole numbers, floats, bools or texts, all of one kind
        in a column. None is an empty cell.

    Raises
    ------
    InputError
        If a column mixes kinds, or columns differ in length.
    """
    import pyarrow  # takes its time to load
    import pyarrow.parquet

    try:
        table = pyarrow.table(dict(columns))
    except pyarrow.ArrowException as error:
        raise InputError(
            f"columns {', '.join(columns)}: no table ({reason_of(error)}); give all of them the"
            " same number of values, and each values of one kind"
        ) from error
    pyarrow.parquet.write_table(table, path)
