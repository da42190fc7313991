"""Fast mode: assign the clusters of a sample, which are the fine classes, to every pixel.

The fine classes are the same for every number of classes asked for. They are joined by their own
features and by those of their surroundings: a bright rim between the matrix and a particle is not
the same as a bright spot in the matrix.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import Stopped
from nital.fast.clustering import nearest, squared_distances
from nital.fast.disturbances import of_each_view
from nital.fast.features import CHANNELS, dark_and_bright
from nital.fast.space import DISTANCE, Exposure, FeatureSpace, smoothed_grey
from nital.fast.view import View
from nital.image.windows import Window, blocks, sampled_windows, strips, widened
from nital.result.agreement import table_of
from nital.result.boundaries import place_boundaries, reach_of
from nital.result.classes import from_dark_to_bright
from nital.result.criteria import RegionStatistics, measure_regions
from nital.result.fine import FineClasses, renumber
from nital.result.joining import Joining

SURROUNDINGS_WEIGHT = 1.0
"""Weight of the features of the surroundings, relative to a class's own."""

CENTRE_COLUMNS = (*CHANNELS, *(f"{name}_around" for name in CHANNELS))
"""Names of the columns of `Joining.centres`."""

_EVERY = 8
"""Step between the rows in which distances are measured."""

_SOME_ROWS, _SOME_BLOCKS = 64, 3
"""If the rest of the work is lost, they are measured in as many rows of as many blocks, at most."""

_ROWS_AT_ONCE = 1024
"""Boundaries are placed in as many rows of the image at a time."""

Floats = NDArray[np.float32]
OnRows = Callable[[int, NDArray[np.uint8]], None]


@dataclass(frozen=True)
class ClusterMap:
    """An image divided into clusters."""

    labels: NDArray[np.uint8]
    """(rows, cols): 1..k, 0 = excluded."""

    statistics: RegionStatistics
    """Of clusters 1..k."""

    counts: NDArray[np.int64]
    """(k,): pixels of the view that are nearest to each centre; of what was recovered, those in
    some rows."""

    pairs: NDArray[np.int64]
    """(k + 1, k + 1): how often one cluster lies around another; row and column 0: excluded."""

    distance: float
    """Mean squared distance of a pixel from its centre, in some of the rows."""

    stopped: bool = False
    """Whether `on_rows` stopped it: the rest of the labels are 0."""


def find_clusters(
    view: View,
    space: FeatureSpace,
    centres: Floats,
    out: NDArray[np.uint8] | None = None,
    on_rows: OnRows | None = None,
) -> ClusterMap:
    """Find the nearest centre of every pixel of the view, and place the boundaries in its image.

    Parameters
    ----------
    view : View
    space : FeatureSpace
    centres : (k, channels)
        From `find_centres`.
    out : (rows, cols), uint8, optional
        Array to write the labels to.
    on_rows : callable, optional
        Called with the number of rows done and the map so far. It can raise `Stopped` to end the
        work: pixels not labelled by then are 0.

    Raises
    ------
    Stopped
        If it is stopped before any pixel has a cluster.
    """
    source = view.source
    labels = np.zeros(source.shape, np.uint8) if out is None else out
    k = len(centres)
    measured, counts = RegionStatistics.empty(k), np.zeros(k, np.int64)
    pairs = np.zeros((k + 1,) * 2, np.int64)
    distance, n_measured, stopped = 0.0, 0, False
    windows, reach = blocks(view.shape), space.reach
    noise = view.noise(reach) if reach else 0.0
    levels = view.level_of(space.grey_of(centres))
    seen = labels.view()
    seen.flags.writeable = False
    for place, window in enumerate(windows, start=1):
        around, inside = widened(window, math.ceil((reach + 1) / view.step) + 1, view.shape)
        features, excluded = space.features(view, around), view.read_excluded(*window)
        cluster = nearest(features, centres) + 1
        some = features[inside][::_EVERY][~excluded[::_EVERY]]
        n_measured += len(some)
        distance += float(squared_distances(some, centres).sum(dtype=np.float64))
        there = view.window_of(window)
        for strip in strips(there, _ROWS_AT_ONCE):
            wide, own = widened(strip, reach + 1, source.shape)
            pixels = source.read(*wide)
            near = view.enlarged(cluster, around, wide)
            near[source.read_excluded(*wide)] = 0
            if reach:
                near = place_boundaries(near, view.lit(pixels, wide), reach, noise, levels)
            labels[strip] = near[own]
            measured += measure_regions(pixels[own], labels[strip], k)
        cluster = cluster[inside]
        cluster[excluded] = 0
        counts += np.bincount(cluster.ravel(), minlength=k + 1)[1:]
        pairs += _count_pairs(cluster, k + 1)
        if on_rows is not None:
            try:
                on_rows(there[0].stop, seen)
            except Stopped:
                if not measured.areas.any():
                    raise
                stopped = place < len(windows)
                for rest in windows[place:]:
                    labels[view.window_of(rest)] = 0
                break
    return ClusterMap(labels, measured, counts, pairs, distance / max(1, n_measured), stopped)


def sample_clusters(
    view: View, space: FeatureSpace, centres: Floats, windows: Sequence[Window]
) -> tuple[NDArray[np.int64], float]:
    """How many pixels of some windows of a view are nearest to each centre, (k,), and their mean
    squared distance from it."""
    counts, distance = np.zeros(len(centres), np.int64), 0.0
    for window in windows:
        values = space.features(view, window)[~view.read_excluded(*window)]
        counts += np.bincount(nearest(values, centres), minlength=len(centres))
        distance += float(squared_distances(values, centres).sum(dtype=np.float64))
    return counts, distance / max(1, int(counts.sum()))


def shares_of_views(view: View, space: FeatureSpace, centres: Floats) -> NDArray[np.float64] | None:
    """Find the area fraction of each cluster in each disturbed view.

    The brightness and contrast of each are adjusted to those of the view itself: how bright a
    picture is can be told from it, and corrected. Of a view of several blocks the tiles that are
    sampled stand for the whole.

    Returns
    -------
    (views, k), 0 to 1; None if every pixel is excluded, or nearly so
    """
    is_whole = len(blocks(view.shape)) == 1
    parts = [view] if is_whole else map(view.part, sampled_windows(view))
    counts = np.zeros((1, len(centres)))
    for part in parts:
        counts = counts + _counts_of_views(part, space, centres)
    counts = counts[counts.any(axis=1)]  # of a few included pixels a coarser view may have none
    if len(counts) < 2:
        return None
    shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _counts_of_views(view: View, space: FeatureSpace, centres: Floats) -> NDArray[np.float64]:
    """(views, k): the included pixels of each cluster in each disturbed view; one row of zeros if
    every pixel is excluded."""
    known = smoothed_grey(view)
    if not len(known):
        return np.zeros((1, len(centres)))
    exposure = Exposure(*dark_and_bright(known))

    def counts(seen: View) -> NDArray[np.float64]:
        seen = seen if seen is view else exposure.align(seen)
        found: NDArray[np.float64] = np.zeros(len(centres))
        for window in blocks(seen.shape):  # one of a finer sampling may have several
            cluster = nearest(space.features(seen, window), centres)
            found += np.bincount(cluster[~seen.read_excluded(*window)], minlength=len(centres))
        return found

    return np.stack(of_each_view(view, counts))


def recover_clusters(
    view: View,
    space: FeatureSpace,
    centres: Floats,
    labels: NDArray[np.uint8],
    n_blocks: int,
) -> ClusterMap:
    """Recover what `find_clusters` had found when its process was killed.

    Parameters
    ----------
    labels : (rows, cols)
        Its `out`, as it was left; what is not done is set to 0.
    n_blocks : int
        How often `on_rows` was called, which is the number of blocks done, one or more.

    Returns
    -------
    ClusterMap
        Without pairs; counts and distance are those in some rows.
    """
    source, windows = view.source, blocks(view.shape)
    k = len(centres)
    measured = RegionStatistics.empty(k)
    for place, window in enumerate(map(view.window_of, windows)):
        if place < n_blocks:
            measured += measure_regions(source.read(*window), labels[window], k)
        else:
            labels[window] = 0
    done = windows[:n_blocks]
    some = [strips(window, _SOME_ROWS)[0] for window in done[:: -(-len(done) // _SOME_BLOCKS)]]
    counts, distance = sample_clusters(view, space, centres, some)
    stopped = n_blocks < len(windows)
    pairs = np.zeros((0, 0), np.int64)
    return ClusterMap(labels, measured, counts, pairs, distance, stopped)


def find_fine_classes(
    view: View,
    space: FeatureSpace,
    centres: Floats,
    out: NDArray[np.uint8] | None = None,
    on_rows: OnRows | None = None,
) -> FineClasses:
    """Find fine classes. Parameters are those of `find_clusters`."""
    clusters = find_clusters(view, space, centres, out, on_rows)
    number, joining = order_clusters(centres, clusters.statistics, clusters.pairs)
    renumber(clusters.labels, np.append(0, number), clusters.labels)
    return FineClasses(
        clusters.labels,
        joining.statistics,
        joining,
        clusters.stopped,
        light=view.light,
        reach=reach_of(view.step),
    )


def fine_classes_of_view(space: FeatureSpace, view: View, centres: Floats) -> FineClasses:
    """Find fine classes of a view that is kept in memory, at its own pixels, from its grey level.

    Labels are those of excluded pixels too; areas and grey levels are of the others.
    """
    k = len(centres)
    labels, pairs = np.empty(view.shape, np.uint8), np.zeros((k + 1,) * 2, np.int64)
    known = np.empty(view.shape, np.uint8)
    for window in blocks(view.shape):
        labels[window] = nearest(space.features(view, window), centres) + 1
        known[window] = np.where(view.read_excluded(*window), 0, labels[window])
        pairs += _count_pairs(known[window], k + 1)
    whole = slice(0, view.shape[0]), slice(0, view.shape[1])
    number, joining = order_clusters(centres, measure_regions(view.grey(whole), known, k), pairs)
    renumber(labels, np.append(0, number), labels)
    return FineClasses(labels, joining.statistics, joining)


def _count_pairs(labels: NDArray[np.uint8], n: int) -> NDArray[np.int64]:
    """(n, n): how often one label lies `DISTANCE` away from another, in four directions."""
    across = table_of(labels[:, :-DISTANCE], labels[:, DISTANCE:], n)
    down = table_of(labels[:-DISTANCE], labels[DISTANCE:], n)
    return across + across.T + down + down.T


def _with_surroundings(centres: Floats, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k, 2 channels): the centres of clusters, and the mean centre of their surroundings.

    If the image is too small to have surroundings, a cluster is taken to be surrounded by itself.
    """
    around = pairs[1:, 1:].astype(float)  # without excluded pixels
    around[~around.any(axis=1)] = np.eye(len(around))[~around.any(axis=1)]
    around /= around.sum(axis=1, keepdims=True)
    return np.hstack([centres, SURROUNDINGS_WEIGHT * (around @ centres)])


def order_clusters(
    centres: Floats, clusters: RegionStatistics, pairs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Joining]:
    """Number clusters from dark to bright: they are the fine classes.

    Parameters
    ----------
    centres : (k, channels)
    clusters : RegionStatistics
        Of clusters 1..k.
    pairs : (k + 1, k + 1)
        How often each cluster lies around each other; row and column 0: excluded.

    Returns
    -------
    The fine class of each cluster, (k,), 1 to n, 0 for empty ones; and their joining.
    """
    number = from_dark_to_bright(clusters)[1:]
    seen = _with_surroundings(centres, pairs)
    order = np.argsort(number)[np.count_nonzero(number == 0) :]
    return number, Joining(seen[order], clusters.joined(np.maximum(number, 1)))
