"""Prediction: a trained network labels an image."""

import numpy as np
import torch
from numpy.typing import NDArray

from nital.network import Network
from nital.training import to_tensor


def predict(network: Network, pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Label every pixel with the strongest of its responses.

    Batch normalisation takes the statistics of this image, as the paper does.

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
