"""Outlines: the connected regions of each class as polygons along the edges of pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Region:
    """A connected piece of one class, with its outline along pixel edges."""

    label: int
    """The class, 1..k."""

    n_pixels: int

    rings: tuple[NDArray[np.int64], ...]
    """(n, 2) each: corners (x, y) = (column, row), the first not repeated at the end. The outer
    ring, then one for each hole; no ring visits a corner twice."""


def trace_regions(labels: NDArray[np.integer]) -> list[Region]:
    """Trace the regions of a label map; pixels that share an edge are connected.

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
    from skimage.measure import label as connected_components  # slow to load

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
    """Return the piece and the corners (n, 2) of every ring; outer rings precede their holes.

    Directed pixel edges, with the piece on one side, are chained into rings.

    Parameters: (rows, cols), 1..n, and 0 for no piece.
    """
    width = pieces.shape[1] + 1  # corners in a row
    padded = np.pad(pieces.astype(np.int32), 1)  # half the memory
    # Pieces around each corner, (4, corners): below right, below left, above left, above right.
    around = np.stack([padded[1:, 1:], padded[1:, :-1], padded[:-1, :-1], padded[:-1, 1:]]).reshape(
        4, -1
    )
    # An edge starts at a corner and runs right, down, left or up (0 to 3), with around[direction]
    # on its inner side and around[direction - 1] on the other.
    direction, corner = np.nonzero((around > 0) & (around != np.roll(around, 1, axis=0)))
    piece = around[direction, corner]
    end = corner + np.array([1, width, -1, -width])[direction]
    # Where two pixels of a piece touch only diagonally, the ring continues along the other pixel:
    # so the two sides of the corner have separate rings, and no ring visits a corner twice.
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
    first = np.cumsum(kept)[starts] - 1  # a ring's first edge always follows a turn
    rings = np.split(np.stack([x, y], axis=1), first[1:])
    return piece[order[starts]].tolist(), rings


def _chain(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Chain edges, given the successor of each: return them in order, and where rings start."""
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
