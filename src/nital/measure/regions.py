"""Regions: size and shape of the connected pieces of each class, intercepts, contact lengths.

Pixels that share an edge are connected. None of these measures is a grain size: boundaries between
grains of one phase are not in a label map, and ASTM E112 [1] needs the grain boundaries.

References
----------
.. [1] ASTM E112, Standard Test Methods for Determining Average Grain Size.
.. [2] Underwood, E. E. Quantitative Stereology. Addison-Wesley (1970).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.measure.stereology import check_labels
from nital.result.agreement import table_of

PIXEL_MOMENT = 1 / 12
"""Second moment of a square of edge 1 about its centre."""


@dataclass(frozen=True)
class RegionSummary:
    """The regions of one class. The means are None if there are none."""

    label: int
    """Number of the class."""

    n_regions: int
    unit: str
    """Of the lengths: "um", or "px" if the pixel size is not known; areas are in its square."""

    mean_area: float | None
    """Over all regions; of those cut by the frame, the visible part."""

    mean_equivalent_diameter: float | None
    mean_aspect_ratio: float | None
    intercept_along: float | None
    """Mean intercept length along the rows, all of which are test lines. An intercept that ends at
    the frame or at excluded area counts one half; with both ends there, nothing [1]. None if no
    intercept counts."""

    intercept_across: float | None
    """The same along the columns. Horizontal bands make it shorter than `intercept_along`."""


def tabulate_regions(
    labels: NDArray[np.integer], *, pixel_size: float | None = None, least_area: int = 1
) -> dict[str, NDArray[np.generic]]:
    """Measure each region.

    Parameters
    ----------
    labels : (rows, cols), int, 0 or more
        0 is excluded.
    pixel_size : float, optional
        Edge of a pixel in µm.
    least_area : int
        Regions with fewer pixels are left out.

    Returns
    -------
    dict of (n_regions,) arrays, in the order of the regions' first pixels
        "class" : int.
        "area_um2", "equivalent_diameter_um" : float; "area_px" (in pixels) and
        "equivalent_diameter_px" if the pixel size is not known. The diameter of the circle of the
        same area.
        "aspect_ratio" : float, 1 or more. Major over minor axis of the ellipse with the same
        moments; exact for upright rectangles.
        "orientation_deg" : float, -90 to 90. From the horizontal to the major axis, positive
        counterclockwise as seen; means little if the aspect ratio is near 1.
        "row", "col" : float, pixels. The centroid; 0, 0 is the centre of the first pixel.
        "touches_edge" : bool. Cut by the frame or by excluded area: only the visible part is
        measured.

    Raises
    ------
    InputError
        If the labels are not a 2-D array of whole numbers of 0 or more, or the pixel size is not
        above 0.

    Examples
    --------
    >>> found = tabulate_regions(np.array([[1, 1, 1, 2]]), pixel_size=0.5)
    >>> found["area_um2"], found["aspect_ratio"].round(6)
    (array([0.75, 0.25]), array([3., 1.]))
    """
    check_labels(labels)
    edge, unit = _scale(pixel_size)
    from skimage.measure import label as connected_components  # slow to load

    components = connected_components(labels, background=0, connectivity=1)
    areas = np.bincount(components.ravel())
    n = len(areas)  # regions 1 to n - 1, and 0
    classes = np.zeros(n, np.int64)
    classes[components] = labels
    touches_edge = np.zeros(n, np.bool_)
    touches_edge[components[_beside_edge(labels)]] = True

    # Sums over all pixels at once: regionprops takes 0.2 ms per region, and there may be 100,000.
    index = components.ravel()
    rows, cols, moments = _moments(index, labels.shape, areas)
    row_row, row_col, col_col = moments
    middle = (row_row + col_col) / 2
    half = np.hypot((row_row - col_col) / 2, row_col)
    # No region is thinner than a pixel; for long lines the difference of the moments is rounded.
    minor = np.maximum(middle - half, PIXEL_MOMENT)
    area = areas * edge**2
    # Rows run downwards: the sign flips. 0.0 - 0.0 is 0.0 and makes vertical lines 90, not -90.
    orientation = np.degrees(np.arctan2(0.0 - 2 * row_col, col_col - row_row)) / 2
    table: dict[str, NDArray[np.generic]] = {
        "class": classes,
        "area_px" if pixel_size is None else "area_um2": area,
        f"equivalent_diameter_{unit}": np.sqrt(4 * area / np.pi),
        "aspect_ratio": np.sqrt((middle + half) / minor),
        "orientation_deg": orientation,
        "row": rows,
        "col": cols,
        "touches_edge": touches_edge,
    }
    kept = np.flatnonzero(areas >= least_area)
    kept = kept[kept > 0]
    return {name: column[kept] for name, column in table.items()}


def summarise_regions(
    labels: NDArray[np.integer], n_classes: int, *, pixel_size: float | None = None
) -> tuple[RegionSummary, ...]:
    """Average over the regions of classes 1..n_classes, and measure their intercepts.

    Parameters
    ----------
    labels : (rows, cols), int, 0 to n_classes
        0 is excluded.
    pixel_size : float, optional
        Edge of a pixel in µm.

    Raises
    ------
    InputError
        If the labels are of an unsupported kind or range, or the pixel size is not above 0.

    Examples
    --------
    >>> bands = np.repeat([1, 2, 1, 2, 1], 3)[:, None].repeat(9, axis=1)
    >>> summarise_regions(bands, 2)[1].intercept_across
    3.0
    """
    check_labels(labels, n_classes)
    edge, unit = _scale(pixel_size)
    table = tabulate_regions(labels, pixel_size=pixel_size)
    names = ("area_px" if pixel_size is None else "area_um2", f"equivalent_diameter_{unit}")
    n_regions = np.bincount(table["class"], minlength=n_classes + 1)[1:]
    means = [
        _ratio(np.bincount(table["class"], table[name], minlength=n_classes + 1)[1:], n_regions)
        for name in (*names, "aspect_ratio")
    ]
    lengths = edge * np.bincount(labels.ravel(), minlength=n_classes + 1)[1:]
    # Each crossing from class to class ends an intercept in both: one half of each.
    intercepts = [_ratio(lengths, each.sum(axis=1) / 2) for each in _crossings(labels, n_classes)]
    columns = zip(*means, *intercepts, strict=True)
    return tuple(
        RegionSummary(label, int(n), unit, *row)
        for label, (n, row) in enumerate(zip(n_regions, columns, strict=True), start=1)
    )


def contact_lengths(
    labels: NDArray[np.integer], n_classes: int, *, pixel_size: float | None = None
) -> NDArray[np.float64]:
    """Length of the boundary between each pair of classes 1..n_classes.

    The length of the pixel edges between two classes, times pi / 4: the edges alone are too long by
    4 / pi for isotropic boundaries (Cauchy and Crofton [2]). A boundary that runs only along rows
    or columns comes out too short by pi / 4.

    Parameters
    ----------
    labels : (rows, cols), int, 0 to n_classes
        0 is excluded; its borders are not boundaries.
    pixel_size : float, optional
        Edge of a pixel in µm.

    Returns
    -------
    (n_classes, n_classes), float64
        Symmetric, with a diagonal of zeros; in µm, or in pixels if their size is not known.

    Raises
    ------
    InputError
        If the labels are of an unsupported kind or range, or the pixel size is not above 0.

    Examples
    --------
    >>> contact_lengths(np.array([[1, 2], [1, 2]]), 2).round(3)
    array([[0.   , 1.571],
           [1.571, 0.   ]])
    """
    check_labels(labels, n_classes)
    edge, _ = _scale(pixel_size)
    along, across = _crossings(labels, n_classes)
    return math.pi / 4 * edge * (along + across).astype(np.float64)


def _scale(pixel_size: float | None) -> tuple[float, str]:
    """Edge of a pixel, and its unit."""
    if pixel_size is None:
        return 1.0, "px"
    if not 0 < pixel_size < math.inf:
        raise InputError(f"pixel size {pixel_size}: not above 0; give the edge of a pixel in µm")
    return pixel_size, "um"


def _beside_edge(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(rows, cols): pixels with an edge on the frame or on excluded area."""
    edge = np.pad(labels == 0, 1, constant_values=True)
    sides = (edge[:-2, 1:-1], edge[2:, 1:-1], edge[1:-1, :-2], edge[1:-1, 2:])
    beside: NDArray[np.bool_] = np.logical_or.reduce(sides)
    return beside


def _moments(
    index: NDArray[np.integer], shape: tuple[int, ...], areas: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[NDArray[np.float64], ...]]:
    """Centroids (n,), (n,), and mean second moments of rows, of rows and columns, of columns."""
    pixels = np.maximum(areas, 1)  # label 0 may have no pixel
    centres, offsets = [], []
    for axis in np.indices(shape, sparse=True):
        place = np.broadcast_to(axis, shape).ravel().astype(np.float64)
        centres.append(np.bincount(index, place) / pixels)
        # About the centroid: far from the origin the difference of large sums would lose precision.
        offsets.append(place - centres[-1][index])
    row, col = offsets
    return (
        centres[0],
        centres[1],
        (
            np.bincount(index, row * row) / pixels + PIXEL_MOMENT,
            np.bincount(index, row * col) / pixels,
            np.bincount(index, col * col) / pixels + PIXEL_MOMENT,
        ),
    )


def _crossings(
    labels: NDArray[np.integer], n_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Crossings between classes along rows, and along columns: two symmetric (k, k)."""
    tables = []
    for first, second in (
        (labels[:, :-1], labels[:, 1:]),
        (labels[:-1], labels[1:]),
    ):
        table = table_of(first, second, n_classes + 1)[1:, 1:]
        table = table + table.T
        np.fill_diagonal(table, 0)
        tables.append(table)
    return tables[0], tables[1]


def _ratio(sums: NDArray[np.number], counts: NDArray[np.number]) -> list[float | None]:
    """Quotients; None where the count is 0."""
    return [
        float(total / count) if count else None for total, count in zip(sums, counts, strict=True)
    ]
