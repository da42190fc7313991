"""Fast mode: clusters of a sample's features, then the fine classes of every pixel.

What comes out are fine classes, the same for every number of classes that is asked for. They are
joined by their own features and by those of what lies around them: a bright rim with matrix on one
side and a particle on the other is not what a bright spot in the matrix is.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nital.agreement import table_of
from nital.classes import number_classes
from nital.clustering import nearest
from nital.criteria import RegionStatistics, measure_regions
from nital.features import CHANNELS
from nital.micrograph import Source
from nital.sampling import Sample, blocks
from nital.segmentation import FineClasses, renumber
from nital.settings import MAX_CLASSES

DISTANCE = 16
"""What lies so many pixels above, below, left and right of a pixel are its surroundings."""

SURROUNDINGS_WEIGHT = 0.5
"""What the features of the surroundings count for, where a class's own count 1."""

CENTRE_COLUMNS = (*CHANNELS, *(f"{name}_around" for name in CHANNELS))
"""Names of the columns of `FineClasses.centres`."""

Floats = NDArray[np.float32]


def find_fine_classes(
    source: Source,
    sample: Sample,
    centres: Sequence[Floats],
    out: NDArray[np.uint8] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> list[FineClasses]:
    """Fine classes of an image for each clustering; its features are found once, for all of them.

    Parameters
    ----------
    centres : sequence of (k, channels)
        As from `find_centres`, one for each repeat.
    out : (rows, cols), uint8, optional
        Where the labels go, of a single one.
    on_rows : callable, optional
        Called with the number of rows that are done.
    """
    labels = [np.empty(source.shape, np.uint8) if out is None else out for _ in centres]
    measured = [
        RegionStatistics(np.zeros(len(own)), np.zeros((len(own), 3)), np.zeros(len(own)))
        for own in centres
    ]
    pairs = [np.zeros((len(own) + 1,) * 2, np.int64) for own in centres]
    for window in blocks(source.shape):
        features = sample.features(source, window)
        pixels, excluded = source.read(*window), source.read_excluded(*window)
        for i, own in enumerate(centres):
            cluster = nearest(features, own) + 1
            cluster[excluded] = 0
            labels[i][window] = cluster
            measured[i] += measure_regions(pixels, cluster, len(own))
            pairs[i] += _count_pairs(cluster, len(own) + 1)
        if on_rows is not None:
            on_rows(window[0].stop)
    seen = [_with_surroundings(*each) for each in zip(centres, pairs, strict=True)]
    return [_join_clusters(*each) for each in zip(labels, measured, seen, strict=True)]


def _count_pairs(labels: NDArray[np.uint8], n: int) -> NDArray[np.int64]:
    """(n, n): how often one label lies `DISTANCE` away from another, in four directions."""
    across = table_of(labels[:, :-DISTANCE], labels[:, DISTANCE:], n)
    down = table_of(labels[:-DISTANCE], labels[DISTANCE:], n)
    return across + across.T + down + down.T


def _with_surroundings(centres: Floats, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k, 2 channels): the centres of clusters, and the mean of those that lie around each.

    Where an image is too small for any to lie there, a cluster is taken to lie among its own.
    """
    around = pairs[1:, 1:].astype(float)  # without what is excluded
    around[~around.any(axis=1)] = np.eye(len(around))[~around.any(axis=1)]
    around /= around.sum(axis=1, keepdims=True)
    return np.hstack([centres, SURROUNDINGS_WEIGHT * (around @ centres)])


def _join_clusters(
    labels: NDArray[np.uint8], clusters: RegionStatistics, centres: NDArray[np.float64]
) -> FineClasses:
    """Join clusters to fine classes, numbered from dark to bright, in place of the labels."""
    number = number_classes(centres, clusters, MAX_CLASSES)
    renumber(labels, np.append(0, number), labels)
    statistics = clusters.joined(np.maximum(number, 1))  # those without a pixel add nothing to 1
    index = np.maximum(number, 1) - 1
    sums = [np.bincount(index, clusters.areas * column) for column in centres.T]
    means = np.stack(sums, axis=1) / statistics.areas[:, np.newaxis]
    return FineClasses(labels, statistics, means)
