"""Fast mode: training on a sample until the classes have settled, then labels in bands.

What comes out are fine classes, the same for every number of classes that is asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nital.classes import from_dark_to_bright
from nital.criteria import RegionStatistics, measure_regions
from nital.device import repeatable, using_threads
from nital.micrograph import Source
from nital.network import Network
from nital.prediction import CPU_TILE, FrozenNetwork, freeze, label_dtype, label_window
from nital.sampling import Sample, batches_of_each
from nital.segmentation import FineClasses, renumber
from nital.settings import Settings
from nital.training import Settled, Step, Training, balanced, train

HALF_LIFE = 12
"""Iterations in which the learning rate falls to half."""

CHECK_EVERY = 10
"""Every so many iterations it is asked whether the classes have settled."""

TOLERANCE = 0.001
"""Settled: since the last check at most this share of the probe's labels changed."""

PROBE_PIXELS = 4096
STATISTICS_PIXELS = 16_384
"""Over so many patches batch normalisation is frozen after training."""

BAND_PIXELS = 2**21
"""An image is labelled and measured in bands of about so many pixels."""

NETWORKS_AT_ONCE = {"cuda": 32}
"""Repeats that train as one batch. Elsewhere one at a time: on a CPU a batch gains nothing."""


@dataclass(frozen=True)
class Trained:
    """A network that is ready to label, and how it came to be."""

    network: FrozenNetwork
    training: Training


def train_on_sample(
    sample: Sample,
    settings: Settings,
    seeds: Sequence[int],
    on_step: Callable[[Step], None] | None = None,
) -> list[Trained]:
    """Train a network for each seed on balanced targets, until its classes have settled.

    Several are trained as one batch; each comes out as it would alone, but for the rounding of
    sums.

    With one thread: these small products gain little from a second, which on a busy machine costs
    many times what it gains; and so the result does not depend on how many threads there are.

    Parameters
    ----------
    settings : Settings
        Resolved; its `seed` is not used.
    on_step : callable, optional
        Called after each iteration of each.
    """
    device = torch.device(settings.device)
    with repeatable(settings.device, settings.threads), using_threads(1):
        networks = [network_of(settings, seed).to(device) for seed in seeds]
        trainings = train(
            networks,
            batches_of_each(sample, seeds, device),
            refine=balanced,
            n_classes=0,
            max_iterations=settings.max_iterations,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            half_life=HALF_LIFE,
            settled=Settled(sample.some_patches(PROBE_PIXELS).to(device), TOLERANCE),
            read_every=CHECK_EVERY,
            on_step=on_step,
        )
        patches = sample.some_patches(STATISTICS_PIXELS).to(device)
        frozen = [freeze(network, patches) for network in networks]
    return [Trained(*each) for each in zip(frozen, trainings, strict=True)]


def find_fine_classes(
    network: FrozenNetwork,
    source: Source,
    settings: Settings,
    out: NDArray[np.unsignedinteger] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> FineClasses:
    """Label an image with fine classes and measure them, in one pass; then number them.

    Parameters
    ----------
    out, on_rows
        As for `segment`.
    """
    labels = out if out is not None else np.empty(source.shape, label_dtype(network.n_responses))
    measured: RegionStatistics | None = None
    with repeatable(settings.device, settings.threads):
        for rows, fine, of_band in _label_bands(network, source):
            labels[rows] = fine
            measured = of_band if measured is None else measured + of_band
            if on_rows is not None:
                on_rows(rows.stop)
    assert measured is not None  # an image has rows
    number = from_dark_to_bright(measured)
    renumber(labels, number, labels)
    in_order = measured.joined(np.maximum(number[1:], 1))  # those not in use add nothing to 1
    return FineClasses(labels, in_order)


def _label_bands(
    network: FrozenNetwork, source: Source
) -> Iterator[tuple[slice, NDArray[np.unsignedinteger], RegionStatistics]]:
    """Fine labels and their statistics, band by band: rows, labels (rows, cols), statistics."""
    n_rows, n_cols = source.shape
    height = CPU_TILE * max(1, BAND_PIXELS // (CPU_TILE * n_cols))
    for top in range(0, n_rows, height):
        rows = slice(top, min(top + height, n_rows))
        pixels, labels = label_window(network, source, rows, slice(0, n_cols))
        yield rows, labels, measure_regions(pixels, labels, network.n_responses)


def network_of(settings: Settings, seed: int) -> Network:
    """The untrained network of these settings."""
    return Network(
        n_filters=settings.n_filters,
        n_layers=settings.n_layers,
        n_responses=settings.n_responses,
        seed=seed,
    )
