"""Fast mode: clusters of a sample's features, then the fine classes of every pixel.

What comes out are fine classes, the same for every number of classes that is asked for.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nital.classes import number_classes
from nital.clustering import nearest
from nital.criteria import RegionStatistics, measure_regions
from nital.micrograph import Source
from nital.sampling import Sample, blocks
from nital.segmentation import FineClasses, renumber
from nital.settings import MAX_CLASSES


def find_fine_classes(
    source: Source,
    sample: Sample,
    centres: Sequence[NDArray[np.float32]],
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
    for window in blocks(source.shape):
        features = sample.features(source, window)
        pixels, excluded = source.read(*window), source.read_excluded(*window)
        for i, own in enumerate(centres):
            cluster = nearest(features, own) + 1
            cluster[excluded] = 0
            labels[i][window] = cluster
            measured[i] += measure_regions(pixels, cluster, len(own))
        if on_rows is not None:
            on_rows(window[0].stop)
    return [_join_clusters(*each) for each in zip(labels, measured, centres, strict=True)]


def _join_clusters(
    labels: NDArray[np.uint8], clusters: RegionStatistics, centres: NDArray[np.float32]
) -> FineClasses:
    """Join clusters to fine classes, numbered from dark to bright, in place of the labels."""
    number = number_classes(centres, clusters, MAX_CLASSES)
    renumber(labels, np.append(0, number), labels)
    statistics = clusters.joined(np.maximum(number, 1))  # those without a pixel add nothing to 1
    index = np.maximum(number, 1) - 1
    sums = [np.bincount(index, clusters.areas * column) for column in centres.T]
    means = np.stack(sums, axis=1) / statistics.areas[:, np.newaxis]
    return FineClasses(labels, statistics, means)
