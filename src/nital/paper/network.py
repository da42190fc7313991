"""The network: two layers of 3 x 3 convolutions and a linear classifier for every pixel."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

BAND_PIXELS = 2**13
"""On the CPU the whole image is convolved in bands of about this many pixels."""


Statistics = tuple[tuple[Tensor, Tensor], ...]
"""Mean and variance of each channel, (channels,), before each batch normalisation."""


@dataclass(frozen=True)
class Surroundings:
    """What the network sees around some pixels of an image.

    The places of a layer are those that the next one needs, each of them once; those of the last
    layer are the pixels.
    """

    patches: Tensor
    """(n, 9 channels): the 3 x 3 pixels around each place of the first layer."""

    near: tuple[Tensor, ...]
    """(n, 9), int64, of each further layer: where in the one before the 3 x 3 places around each of
    its own are; their number stands for what is beyond the border, which is zero."""


def to_tensor(pixels: NDArray[np.float32], device: torch.device) -> Tensor:
    """(rows, cols, channels) -> (1, channels, rows, cols), in the memory order of the array.

    This order, channels last, is faster for these convolutions, and makes the responses of a pixel
    contiguous for the classifier.
    """
    return torch.from_numpy(pixels).to(device).permute(2, 0, 1).unsqueeze(0)


class Network(nn.Module):
    """The convolutional network of the paper (Eqs. 1-4, Figs. 2 and 3).

    `n_layers` times (3 x 3 convolution, ReLU, batch normalisation), then a 1 x 1 convolution to
    `n_responses` and batch normalisation. The class of a pixel is the strongest of its responses.
    Zero padding keeps the size. Batch normalisation always uses the statistics of the given batch,
    as the paper does: it keeps no running averages.

    Parameters
    ----------
    n_channels, n_filters, n_layers, n_responses : int
        Channels of the image (3), p (100), layers (2), q (50) of the paper.
    seed : int
        Seed of the first weights: torch's default initialisation, drawn from a separate generator,
        so that they are the same on every device and torch's global generator is not used.
    """

    def __init__(
        self,
        *,
        n_channels: int = 3,
        n_filters: int = 100,
        n_layers: int = 2,
        n_responses: int = 50,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.n_layers, self.n_responses = n_layers, n_responses
        generator = torch.Generator().manual_seed(seed)
        layers: list[nn.Module] = []
        for layer in range(n_layers):
            inputs = n_channels if layer == 0 else n_filters
            layers += [
                _convolution(inputs, n_filters, 3, generator),
                nn.ReLU(inplace=True),
                nn.BatchNorm2d(n_filters, track_running_stats=False),
            ]
        layers += [
            _convolution(n_filters, n_responses, 1, generator),
            nn.BatchNorm2d(n_responses, track_running_stats=False),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor, statistics: Statistics | None = None) -> Tensor:
        """(n, channels, rows, cols) -> responses (n, n_responses, rows, cols).

        Batch normalisation uses these statistics or, without, those of the pixels.
        """
        values, known = pixels, iter(statistics or ())
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d) and values.device.type == "cpu":
                values = _convolve_in_bands(values, layer.weight, layer.bias)
            elif isinstance(layer, nn.BatchNorm2d) and statistics is not None:
                values = functional.batch_norm(values, *next(known), layer.weight, layer.bias)
            else:
                values = layer(values)
        return values

    def at(self, surroundings: Surroundings) -> Tensor:
        """Responses at some pixels of an image, (m, n_responses).

        Batch normalisation uses the statistics of the places.
        """
        return self._at(surroundings, None)

    def statistics(self, surroundings: Surroundings) -> Statistics:
        """Those of the places that the responses at some pixels need."""
        found: list[tuple[Tensor, Tensor]] = []
        with torch.inference_mode():
            self._at(surroundings, found)
        return tuple(found)

    def _at(self, surroundings: Surroundings, seen: list[tuple[Tensor, Tensor]] | None) -> Tensor:
        values = surroundings.patches
        near = iter(surroundings.near)
        for place, layer in enumerate(self.layers):
            if isinstance(layer, nn.Conv2d):
                if 0 < place < len(self.layers) - 2:
                    zero = values.new_zeros(1, values.shape[1])
                    # Not indexing: its gradient is slow, and on a GPU not the same in every run.
                    values = functional.embedding(next(near), torch.cat([values, zero])).flatten(1)
                weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
                values = torch.addmm(cast("Tensor", layer.bias), values, weight)
            elif isinstance(layer, nn.BatchNorm2d):
                if seen is not None:
                    variance, mean = torch.var_mean(values, 0, correction=0)
                    seen.append((mean, variance))
                values = functional.batch_norm(
                    values, None, None, layer.weight, layer.bias, training=True
                )
            else:
                values = layer(values)
        return values


class _BandedConvolution(torch.autograd.Function):
    """A zero-padded convolution of a whole image on the CPU, band by band of its rows.

    The values of a band stay in the cache, in the forward and the backward pass.
    """

    @staticmethod
    def forward(context: Any, pixels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        context.save_for_backward(pixels, weight)
        margin = weight.shape[2] // 2
        out = torch.empty(
            (len(pixels), len(weight), *pixels.shape[2:]),
            dtype=pixels.dtype,
            memory_format=torch.channels_last,
        )
        for rows in _bands(pixels.shape):
            banded = _with_margin(pixels, rows, margin)
            out[:, :, rows] = functional.conv2d(banded, weight, bias, padding=(0, margin))
        return out

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (gradient,) = gradients
        pixels, weight = context.saved_tensors
        margin = weight.shape[2] // 2
        of_pixels = torch.empty_like(pixels) if context.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight)
        turned = weight.flip(2, 3).transpose(0, 1)
        turned = turned.contiguous(memory_format=torch.channels_last)
        for rows in _bands(pixels.shape):
            if of_pixels is not None:
                banded = _with_margin(gradient, rows, margin)
                of_pixels[:, :, rows] = functional.conv2d(banded, turned, padding=(0, margin))
            of_weight += torch.ops.aten.convolution_backward(
                gradient[:, :, rows],
                _with_margin(pixels, rows, margin),
                weight,
                None,
                [1, 1],
                [0, margin],
                [1, 1],
                False,
                [0, 0],
                1,
                [False, True, False],  # of the weight only
            )[1]
        return of_pixels, of_weight, gradient.sum((0, 2, 3))


_convolve_in_bands = cast("Callable[..., Tensor]", _BandedConvolution.apply)


def _bands(shape: torch.Size) -> Iterator[slice]:
    height = max(1, BAND_PIXELS // shape[3])
    for top in range(0, shape[2], height):
        yield slice(top, min(top + height, shape[2]))


def _with_margin(values: Tensor, rows: slice, margin: int) -> Tensor:
    """Rows of an image with `margin` more above and below, which are 0 beyond its border."""
    top, bottom = rows.start - margin, rows.stop + margin
    inside = values[:, :, max(0, top) : min(values.shape[2], bottom)]
    beyond = (max(0, -top), max(0, bottom - values.shape[2]))
    return functional.pad(inside, (0, 0, *beyond)) if any(beyond) else inside


def _convolution(inputs: int, outputs: int, kernel: int, generator: torch.Generator) -> nn.Conv2d:
    """A convolution with torch's default initialisation, from this generator."""
    with torch.random.fork_rng(devices=[]):  # torch draws weights of its own, replaced below
        layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    bound = 1 / math.sqrt(inputs * kernel * kernel)
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    nn.init.uniform_(cast("Tensor", layer.bias), -bound, bound, generator=generator)
    return layer
