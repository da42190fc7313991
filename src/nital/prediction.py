"""Prediction: a trained network labels an image, whole or in tiles."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nital.micrograph import Source, read_padded
from nital.network import Network, unfold
from nital.training import to_tensor

CPU_TILE = 128
"""Rows and columns of a tile: what is computed of it stays in the cache of a core."""

GPU_TILE = 1024


def predict(network: Network, pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Label every pixel with the strongest of its responses, as the paper does.

    Zero padding, and batch normalisation takes the statistics of this image: it has to be whole.

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


@dataclass(frozen=True)
class FrozenNetwork:
    """A trained network whose batch normalisation is frozen and folded into its convolutions.

    What it makes of a pixel depends on nothing but the patch around it, so tiles give the same
    labels as the whole.
    """

    weights: tuple[Tensor, ...]
    """Of each convolution: (outputs, inputs, kernel, kernel). ReLU between them."""

    biases: tuple[Tensor, ...]
    receptive_radius: int

    @property
    def n_responses(self) -> int:
        return len(self.biases[-1])

    def responses(self, pixels: Tensor) -> Tensor:
        """(n, channels, rows, cols) -> (n, n_responses, rows - 2 r, cols - 2 r), unpadded."""
        values = pixels
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = functional.relu_(functional.conv2d(values, weight, bias))
        return functional.conv2d(values, self.weights[-1], self.biases[-1])


def freeze(network: Network, patches: Tensor) -> FrozenNetwork:
    """Freeze batch normalisation at its statistics over many patches, and fold it away.

    The statistics of the last step of training are those of a thousand pixels, too noisy to label
    with; so they are taken once more.

    Parameters
    ----------
    patches : (m, side, side, channels)
    """
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    values = patches
    scale, shift = torch.ones(patches.shape[3]), torch.zeros(patches.shape[3])
    scale, shift = scale.to(patches), shift.to(patches)
    with torch.no_grad():
        for layer in network.layers:
            if isinstance(layer, nn.Conv2d):
                # What the normalisation before does to the inputs: w (s x + t) + b.
                weight = layer.weight * scale[:, None, None]
                bias = cast("Tensor", layer.bias) + (layer.weight.sum((2, 3)) @ shift)
                windows, _, _ = unfold(values, layer)
                values = functional.linear(windows, weight.permute(0, 2, 3, 1).flatten(1), bias)
                weights.append(weight)
                biases.append(bias)
            elif isinstance(layer, nn.BatchNorm2d):
                flat = values.reshape(-1, values.shape[-1])
                scale = layer.weight / (flat.var(dim=0, correction=0) + layer.eps).sqrt()
                shift = layer.bias - flat.mean(dim=0) * scale
            else:
                values = layer(values)
        weights[-1] = weights[-1] * scale[:, None, None, None]
        biases[-1] = biases[-1] * scale + shift
    as_stored = [weight.contiguous(memory_format=torch.channels_last) for weight in weights]
    return FrozenNetwork(tuple(as_stored), tuple(biases), network.receptive_radius)


def label_dtype(n_responses: int) -> type[np.uint8 | np.uint16]:
    """Kind of the labels 0 to `n_responses`."""
    return np.uint8 if n_responses < 256 else np.uint16


def label_window(
    network: FrozenNetwork, source: Source, rows: slice, cols: slice, *, tile: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.unsignedinteger]]:
    """Label a window of an image, tile by tile.

    Beyond its border an image goes on as its own reflection.

    Parameters
    ----------
    rows, cols : slice
        The window, within the image.
    tile : int, optional
        Side of a tile in pixels. None: what is fastest on the device.

    Returns
    -------
    pixels : (rows, cols, 3), float32
        The image in the window.
    labels : (rows, cols), uint8, or uint16 for more than 255 responses
        1 to `n_responses`, ties go to the lowest; 0 where a pixel is excluded.
    """
    r = network.receptive_radius
    device = network.weights[0].device
    side = tile or (CPU_TILE if device.type == "cpu" else GPU_TILE)
    padded, excluded = read_padded(source, rows, cols, r)
    shape = padded.shape[0] - 2 * r, padded.shape[1] - 2 * r
    labels = np.empty(shape, label_dtype(network.n_responses))
    with torch.inference_mode():
        for top in range(0, shape[0], side):
            for left in range(0, shape[1], side):
                piece = np.ascontiguousarray(
                    padded[top : top + side + 2 * r, left : left + side + 2 * r]
                )
                responses = network.responses(to_tensor(piece, device))[0].permute(1, 2, 0)
                labels[top : top + side, left : left + side] = (
                    responses.argmax(dim=2).add_(1).to(torch.int32).cpu().numpy()
                )
    labels[excluded[r:-r, r:-r]] = 0
    return padded[r:-r, r:-r], labels
