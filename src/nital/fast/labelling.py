"""Fast mode: assign the clusters of a sample, and then fine classes, to every pixel.

The fine classes are the same for every number of classes asked for. They are joined by their own
features and by those of their surroundings: a bright rim between the matrix and a particle is not
the same as a bright spot in the matrix.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import Stopped
from nital.fast.clustering import nearest, squared_distances
from nital.fast.features import CHANNELS
from nital.fast.settings import MAX_CLASSES
from nital.fast.space import DISTANCE, FeatureSpace
from nital.fast.windows import Window, blocks
from nital.image.micrograph import Source
from nital.result.agreement import table_of
from nital.result.classes import ClassTree, number_classes
from nital.result.criteria import RegionStatistics, measure_regions
from nital.result.fine import FineClasses, renumber

SURROUNDINGS_WEIGHT = 0.5
"""Weight of the features of the surroundings, relative to a class's own."""

CENTRE_COLUMNS = (*CHANNELS, *(f"{name}_around" for name in CHANNELS))
"""Names of the columns of `ClassTree.centres`."""

_EVERY = 8
"""Step between the rows in which distances are measured."""

_SOME_ROWS = 256
"""Number of rows in which they are measured if the rest of the work is lost."""

Floats = NDArray[np.float32]
OnRows = Callable[[int, NDArray[np.uint8]], None]


@dataclass(frozen=True)
class ClusterMap:
    """An image divided into clusters."""

    labels: NDArray[np.uint8]
    """(rows, cols): 1..k, 0 = excluded."""

    statistics: RegionStatistics
    """Of clusters 1..k."""

    pairs: NDArray[np.int64]
    """(k + 1, k + 1): how often one cluster lies around another; row and column 0: excluded."""

    distance: float
    """Mean squared distance of a pixel from its centre, in some of the rows."""

    stopped: bool = False
    """Whether `on_rows` stopped it: the rest of the labels are 0."""


def find_clusters(
    source: Source,
    space: FeatureSpace,
    centres: Sequence[Floats],
    out: NDArray[np.uint8] | None = None,
    on_rows: OnRows | None = None,
    windows: Sequence[Window] | None = None,
) -> list[ClusterMap]:
    """Find the nearest centre of every pixel, for each set of centres; features are found once.

    Parameters
    ----------
    centres : sequence of (k, channels)
        From `find_centres`, one set for each repeat.
    out : (rows, cols), uint8, optional
        Array to write the labels to, for a single set.
    on_rows : callable, optional
        Called with the number of rows done and the first map so far. It can raise `Stopped` to end
        the work: pixels not labelled by then are 0.
    windows : sequence of windows, optional
        Windows to label. None: all `blocks`.

    Raises
    ------
    Stopped
        If it is stopped before any pixel has a cluster.
    """
    labels = [np.zeros(source.shape, np.uint8) if out is None else out for _ in centres]
    measured = [
        RegionStatistics(np.zeros(len(own)), np.zeros((len(own), 3)), np.zeros(len(own)))
        for own in centres
    ]
    pairs = [np.zeros((len(own) + 1,) * 2, np.int64) for own in centres]
    distance, n_measured, stopped = np.zeros(len(centres)), 0, False
    view, windows = space.view(source), windows or blocks(source.shape)
    seen = labels[0].view()
    seen.flags.writeable = False
    for place, window in enumerate(windows, start=1):
        features = space.features(view, window)
        pixels, excluded = source.read(*window), source.read_excluded(*window)
        some = features[::_EVERY][~excluded[::_EVERY]]
        n_measured += len(some)
        for i, own in enumerate(centres):
            cluster = nearest(features, own) + 1
            cluster[excluded] = 0
            labels[i][window] = cluster
            measured[i] += measure_regions(pixels, cluster, len(own))
            pairs[i] += _count_pairs(cluster, len(own) + 1)
            distance[i] += squared_distances(some, own).sum(dtype=np.float64)
        if on_rows is not None:
            try:
                on_rows(window[0].stop, seen)
            except Stopped:
                if not measured[0].areas.any():
                    raise
                stopped = place < len(windows)
                for rest in windows[place:]:
                    for each in labels:
                        each[rest] = 0
                break
    means = (distance / max(1, n_measured)).tolist()
    found = zip(labels, measured, pairs, means, strict=True)
    return [ClusterMap(*each, stopped=stopped) for each in found]


def recover_clusters(
    source: Source,
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
        Without pairs; the distance is that in some rows of the first block.
    """
    windows = blocks(source.shape)
    k = len(centres)
    measured = RegionStatistics(np.zeros(k), np.zeros((k, 3)), np.zeros(k))
    for place, window in enumerate(windows):
        if place < n_blocks:
            measured += measure_regions(source.read(*window), labels[window], k)
        else:
            labels[window] = 0
    view, (rows, cols) = space.view(source), windows[0]
    some = slice(rows.start, min(rows.start + _SOME_ROWS, rows.stop)), cols
    values = space.features(view, some)[~source.read_excluded(*some)]
    distance = float(squared_distances(values, centres).mean()) if len(values) else 0.0
    stopped = n_blocks < len(windows)
    return ClusterMap(labels, measured, np.zeros((0, 0), np.int64), distance, stopped)


def find_fine_classes(
    source: Source,
    space: FeatureSpace,
    centres: Sequence[Floats],
    out: NDArray[np.uint8] | None = None,
    on_rows: OnRows | None = None,
) -> list[FineClasses]:
    """Find fine classes for each clustering. Parameters are those of `find_clusters`."""
    found = []
    for own, clusters in zip(
        centres, find_clusters(source, space, centres, out, on_rows), strict=True
    ):
        number, tree = join_clusters(own, clusters.statistics, clusters.pairs)
        renumber(clusters.labels, np.append(0, number), clusters.labels)
        found.append(FineClasses(clusters.labels, tree.statistics, tree, clusters.stopped))
    return found


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


def join_clusters(
    centres: Floats, clusters: RegionStatistics, pairs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ClassTree]:
    """Join clusters to fine classes, numbered from dark to bright.

    Parameters
    ----------
    centres : (k, channels)
    clusters : RegionStatistics
        Of clusters 1..k.
    pairs : (k + 1, k + 1)
        How often each cluster lies around each other; row and column 0: excluded.

    Returns
    -------
    The fine class of each cluster, (k,), 1 to n, 0 for empty ones; and their tree.
    """
    seen = _with_surroundings(centres, pairs)
    number = number_classes(seen, clusters, MAX_CLASSES)
    index = np.maximum(number, 1) - 1  # empty clusters add nothing to 1
    statistics = clusters.joined(index + 1)
    sums = [np.bincount(index, clusters.areas * column) for column in seen.T]
    return number, ClassTree(np.stack(sums, axis=1) / statistics.areas[:, np.newaxis], statistics)
