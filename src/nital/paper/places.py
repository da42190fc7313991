"""Places: pixels of an image, and what a network sees around them."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from nital.image.micrograph import Source
from nital.image.windows import Window, widened
from nital.paper.network import Network, Surroundings

GRID_PIXELS = 2**14
"""The map under way is drawn at about so many pixels, or at fewer with more layers than two."""


class Places:
    """The pixels of windows of an image, and what a network sees around them.

    A place is a number. The windows stand one above the other, each with a margin as wide as the
    network sees.

    Parameters
    ----------
    source : Source
    windows : sequence of Window
    n_layers : int
        Of the network.
    device : torch.device
    """

    def __init__(
        self, source: Source, windows: Sequence[Window], n_layers: int, device: torch.device
    ) -> None:
        self._n_layers, self._device = n_layers, device
        shapes = [tuple(part.stop - part.start for part in window) for window in windows]
        width = max(cols for _, cols in shapes) + 2 * n_layers
        height = sum(rows + 2 * n_layers for rows, _ in shapes)
        pixels = np.zeros((height, width, 3), np.float32)
        inside = np.zeros((height, width), bool)
        numbers = np.arange(height * width).reshape(height, width)
        self.windows: list[NDArray[np.int64]] = []
        """Of each window the places of its pixels, (rows, cols)."""
        self.excluded: list[NDArray[np.bool_]] = []
        """Of each window its excluded pixels, (rows, cols)."""
        top = n_layers
        for window, (rows, cols) in zip(windows, shapes, strict=True):
            around, (down, along) = widened(window, n_layers, source.shape)
            read = source.read(*around)
            first, left = top - down.start, n_layers - along.start
            there = slice(first, first + len(read)), slice(left, left + read.shape[1])
            pixels[there], inside[there] = read, True
            self.windows.append(numbers[top : top + rows, n_layers : n_layers + cols])
            self.excluded.append(source.read_excluded(*window))
            top += rows + 2 * n_layers
        self._pixels, self._inside = pixels.reshape(-1, 3), inside.ravel()
        self._order = np.full(height * width, -1, np.int32)
        self._around = np.array(
            [width * down + along for down in (-1, 0, 1) for along in (-1, 0, 1)]
        )

    @property
    def included(self) -> NDArray[np.int64]:
        """All places that are not excluded, (n,), window after window."""
        pairs = zip(self.windows, self.excluded, strict=True)
        return np.concatenate([places[~excluded] for places, excluded in pairs])

    def around(self, places: NDArray[np.int64]) -> Surroundings:
        """What the network sees around some places, (m,).

        What is beyond the border of the image is zero in every layer, as zero padding has it.
        """
        near = []
        for _ in range(self._n_layers - 1):
            seen = places[:, np.newaxis] + self._around
            inside = self._inside[seen]
            before = np.unique(seen[inside])
            self._order[before] = np.arange(len(before))
            order = self._order[seen]
            order[~inside] = len(before)
            near.append(torch.from_numpy(order.astype(np.int64)).to(self._device))
            places = before
        patches = self._pixels[places[:, np.newaxis] + self._around].reshape(len(places), -1)
        first = torch.from_numpy(patches).to(self._device)
        return Surroundings(first, tuple(reversed(near)))


class Grid:
    """Pixels in a grid over the first window, at which a network is asked in a moment.

    Parameters
    ----------
    places : Places
    n_layers : int
        Of the network.
    """

    def __init__(self, places: Places, n_layers: int) -> None:
        # A layer is needed at (2 l + 1)^2 places around each pixel, l layers before the last.
        cost = sum((2 * layer + 1) ** 2 for layer in range(n_layers - 1))
        step = max(1, math.isqrt(places.windows[0].size * max(1, cost) // GRID_PIXELS))
        every = slice(step // 2, None, step)
        self._included = ~places.excluded[0][every, every]
        chosen = places.windows[0][every, every][self._included]
        self._surroundings = places.around(chosen) if len(chosen) else None

    def draw(self, network: Network) -> NDArray[np.int64]:
        """The labels there, (rows / step, cols / step); -1 where excluded."""
        labels = np.full(self._included.shape, -1, np.int64)
        if self._surroundings is not None:
            with torch.inference_mode():
                strongest = network.at(self._surroundings).argmax(dim=1)
            labels[self._included] = strongest.cpu().numpy()
        return labels
