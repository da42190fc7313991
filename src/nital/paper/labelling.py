"""Paper mode: the method of Kim, Inoue and Kasuya (2020), on a whole image in memory."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from nital.image.micrograph import Micrograph
from nital.paper.course import Step, Training
from nital.paper.device import repeatable
from nital.paper.network import Network
from nital.paper.settings import PaperSettings
from nital.paper.training import to_tensor, train

READ_EVERY = 16
"""On a GPU, counts are read once in this many iterations."""


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
    device = torch.device(settings.device)
    with repeatable(settings.device, settings.threads):
        network = Network(
            n_filters=settings.n_filters,
            n_layers=settings.n_layers,
            n_responses=settings.n_responses,
            seed=settings.seed,
        ).to(device)
        training = train(
            network,
            micrograph.pixels,
            superpixels,
            micrograph.excluded,
            n_classes=int(settings.n_classes),
            max_iterations=settings.max_iterations,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            read_every=1 if device.type == "cpu" else READ_EVERY,
            on_step=on_step,
        )
        return training, predict(network, micrograph.pixels)


def predict(network: Network, pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Label every pixel with its strongest response.

    The image has to be whole: it is padded with zeros, and batch normalisation uses its statistics.

    Parameters
    ----------
    pixels : (rows, cols, channels), float32 in [0, 1]

    Returns
    -------
    (rows, cols), int64
        0 to `n_responses` - 1; ties go to the lowest.
    """
    device = next(network.parameters()).device
    with torch.inference_mode():
        responses = network(to_tensor(pixels, device))  # (1, q, rows, cols)
        labels: NDArray[np.int64] = responses.argmax(dim=1)[0].cpu().numpy()
    return labels
