"""Paper mode: the method of Kim, Inoue and Kasuya (2020), on an image in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from nital.image.micrograph import Micrograph
from nital.image.windows import divide, widened
from nital.paper.batches import DrawnSuperpixels, WholeImage
from nital.paper.course import Step, Training
from nital.paper.device import repeatable
from nital.paper.network import Network, Statistics, to_tensor
from nital.paper.settings import PaperSettings
from nital.paper.training import train

READ_EVERY = 16
"""On a GPU, counts are read once in this many iterations."""

STATISTICS_PIXELS = 2**16
"""Batch normalisation of a network that was trained on drawn superpixels uses the statistics of
superpixels with about so many pixels."""

TILE_SIDE = 256
"""Pixels are labelled in tiles of so many rows and columns."""


def train_and_label(
    micrograph: Micrograph,
    superpixels: NDArray[np.int64],
    settings: PaperSettings,
    on_step: Callable[[Step], None] | None = None,
) -> tuple[Training, NDArray[np.int64]]:
    """Train a network on the image, then label every pixel with its strongest response.

    Parameters
    ----------
    superpixels : (rows, cols), int64
    settings : PaperSettings
        Resolved.

    Returns
    -------
    The record of the training, and raw labels, (rows, cols), 0 to `n_responses` - 1.
    """
    numbers = [int(settings.n_classes)]
    ((_, training, labels),) = train_and_label_each(
        micrograph, superpixels, settings, numbers, on_step
    )
    return training, labels


def train_and_label_each(
    micrograph: Micrograph,
    superpixels: NDArray[np.int64],
    settings: PaperSettings,
    numbers: Sequence[int],
    on_step: Callable[[Step], None] | None = None,
) -> Iterator[tuple[int, Training, NDArray[np.int64]]]:
    """Yield what `train_and_label` gives for each number of classes, of a single training."""
    device = torch.device(settings.device)
    pixels = micrograph.pixels
    with repeatable(settings.device, settings.threads):
        network = Network(
            n_filters=settings.n_filters,
            n_layers=settings.n_layers,
            n_responses=settings.n_responses,
            seed=settings.seed,
        ).to(device)
        seen = pixels, superpixels, micrograph.excluded, device
        drawn = None if settings.exact else DrawnSuperpixels(*seen, settings.seed)

        def label() -> NDArray[np.int64]:
            if drawn is None:
                return predict(network, pixels)
            some = drawn.some(STATISTICS_PIXELS, settings.n_layers)
            return predict_in_tiles(network, pixels, network.statistics(some))

        def tell(step: Step) -> None:
            assert on_step is not None
            on_step(replace(step, draw=lambda: np.where(micrograph.excluded, -1, label())))

        for number, training in train(
            network,
            WholeImage(*seen) if drawn is None else drawn,
            numbers,
            max_iterations=settings.max_iterations,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            read_every=1 if device.type == "cpu" else READ_EVERY,
            on_step=None if on_step is None else tell,
        ):
            yield number, training, label()


def predict(
    network: Network, pixels: NDArray[np.float32], statistics: Statistics | None = None
) -> NDArray[np.int64]:
    """Label every pixel of an image with its strongest response.

    What is beyond the border counts as zero.

    Parameters
    ----------
    pixels : (rows, cols, channels), float32 in [0, 1]
    statistics : Statistics, optional
        For batch normalisation; default: those of the image.

    Returns
    -------
    (rows, cols), int64
        0 to `n_responses` - 1; ties go to the lowest.
    """
    device = next(network.parameters()).device
    with torch.inference_mode():
        responses = network(to_tensor(pixels, device), statistics)  # (1, q, rows, cols)
        labels: NDArray[np.int64] = responses.argmax(dim=1)[0].cpu().numpy()
    return labels


def predict_in_tiles(
    network: Network, pixels: NDArray[np.float32], statistics: Statistics
) -> NDArray[np.int64]:
    """Label every pixel as `predict` does, tile by tile: in little memory, however large."""
    labels = np.empty(pixels.shape[:2], np.int64)
    for window in divide(pixels.shape[:2], TILE_SIDE):
        around, inside = widened(window, network.n_layers, pixels.shape[:2])
        labels[window] = predict(network, pixels[around], statistics)[inside]
    return labels
