"""Batches: the pixels on which an iteration of the training is done.

The network sees a few pixels around each, so that an iteration on superpixels drawn at random is
one on the whole image with a noisier gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nital.paper.network import Network, Surroundings, to_tensor

DRAWN_PIXELS = 5000
"""Pixels of the superpixels that are drawn in an iteration, about."""

LEAST_DRAWN = 80
"""Number of superpixels that are drawn at least: fewer, and the classes are lost by chance."""

OFFSETS = tuple((down, along) for down in (-1, 0, 1) for along in (-1, 0, 1))


@dataclass(frozen=True)
class Batch:
    """Pixels that have responses, and the superpixel of each."""

    responses: Tensor
    """(m, q)"""

    superpixel: Tensor
    """(m,), int64: 0 to `n_superpixels` - 1."""

    n_superpixels: int


class Batches(Protocol):
    """Where an iteration has its pixels from."""

    def next(self, network: Network) -> Batch:
        """The pixels of the next iteration, with their responses."""


class WholeImage:
    """Every included pixel in every iteration, as the paper has it.

    Parameters
    ----------
    pixels : (rows, cols, 3), float32 in [0, 1]
    superpixels : (rows, cols), int64
        0 to n - 1.
    excluded : (rows, cols), bool
        Pixels that neither vote nor count; the network sees them.
    device : torch.device
    """

    def __init__(
        self,
        pixels: NDArray[np.float32],
        superpixels: NDArray[np.int64],
        excluded: NDArray[np.bool_],
        device: torch.device,
    ) -> None:
        self._image = to_tensor(pixels, device)
        superpixel = torch.from_numpy(superpixels.ravel())
        self._included: Tensor | None = None
        if excluded.any():
            included = torch.from_numpy(np.flatnonzero(~excluded))
            superpixel, self._included = superpixel[included], included.to(device)
        self._superpixel = superpixel.to(device)
        self._n_superpixels = int(superpixels.max()) + 1

    def next(self, network: Network) -> Batch:
        """All of them."""
        responses: Tensor = network(self._image)
        responses = responses.permute(0, 2, 3, 1).flatten(0, 2)  # (rows * cols, q)
        if self._included is not None:
            responses = responses[self._included]
        return Batch(responses, self._superpixel, self._n_superpixels)


class DrawnSuperpixels:
    """Superpixels drawn at random, each once before any of them is drawn again.

    Parameters are those of `WholeImage`, and `seed`.
    """

    def __init__(
        self,
        pixels: NDArray[np.float32],
        superpixels: NDArray[np.int64],
        excluded: NDArray[np.bool_],
        device: torch.device,
        seed: int,
    ) -> None:
        self._places = Places(pixels, device)
        self._device = device
        included = np.flatnonzero(~excluded)
        superpixel = superpixels.ravel()[included]
        self._pixels = included[np.argsort(superpixel, kind="stable")]
        """Flat indices of the included pixels, superpixel after superpixel."""
        sizes = np.bincount(superpixel)
        self._sizes = sizes[sizes > 0]
        self._first = np.cumsum(self._sizes) - self._sizes
        self._n_drawn = round(DRAWN_PIXELS * len(self._sizes) / max(1, len(included)))
        self._n_drawn = min(max(self._n_drawn, LEAST_DRAWN), len(self._sizes))
        self._rng = np.random.default_rng(seed)
        self._order = self._in_turn()

    def next(self, network: Network) -> Batch:
        """The next few."""
        drawn = [next(self._order) for _ in range(self._n_drawn)]
        pixels, superpixel = self._members(np.array(drawn))
        responses = network.at(self._places.around(pixels, network.n_layers))
        return Batch(responses, torch.from_numpy(superpixel).to(self._device), len(drawn))

    def some(self, n_pixels: int, n_layers: int) -> Surroundings:
        """Some superpixels that have about so many pixels together."""
        n = max(1, round(n_pixels * len(self._sizes) / max(1, len(self._pixels))))
        drawn = np.random.default_rng(0).permutation(len(self._sizes))[:n]
        return self._places.around(self._members(drawn)[0], n_layers)

    def _in_turn(self) -> Iterator[int]:
        while True:
            yield from self._rng.permutation(len(self._sizes)).tolist()

    def _members(self, drawn: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Flat indices of the pixels of some superpixels, and which of these each is in."""
        sizes = self._sizes[drawn]
        superpixel = np.repeat(np.arange(len(drawn)), sizes)
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self._pixels[self._first[drawn][superpixel] + within], superpixel


class Places:
    """Places of an image, and what a network sees around them.

    Parameters
    ----------
    pixels : (rows, cols, channels), float32
    device : torch.device
    """

    def __init__(self, pixels: NDArray[np.float32], device: torch.device) -> None:
        self._shape = pixels.shape[:2]
        self._padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)))
        self._number = np.full((self._shape[0] + 2) * (self._shape[1] + 2), -1, np.int32)
        self._device = device

    def around(self, pixels: NDArray[np.int64], n_layers: int) -> Surroundings:
        """What a network of `n_layers` sees around some pixels, (m,): flat indices.

        What is beyond the border is zero in every layer, as zero padding has it.
        """
        rows, cols = self._shape
        row, col = np.divmod(pixels, cols)
        near = []
        for _ in range(n_layers - 1):
            down, along = (
                place[:, np.newaxis] + offsets
                for place, offsets in zip((row, col), np.transpose(OFFSETS), strict=True)
            )
            inside = (down >= 0) & (down < rows) & (along >= 0) & (along < cols)
            padded = (down + 1) * (cols + 2) + along + 1
            before = np.unique(padded[inside])
            self._number[before] = np.arange(len(before))
            number = self._number[padded]
            number[~inside] = len(before)
            self._number[before] = -1
            near.append(torch.from_numpy(number.astype(np.int64)).to(self._device))
            row, col = np.divmod(before, cols + 2)
            row, col = row - 1, col - 1
        patches = [self._padded[row + 1 + down, col + 1 + along] for down, along in OFFSETS]
        first = torch.from_numpy(np.concatenate(patches, axis=1)).to(self._device)
        return Surroundings(first, tuple(reversed(near)))
