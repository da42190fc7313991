"""Batches: the pixels on which an iteration of the training is done.

The network sees a few pixels around each, so that an iteration on superpixels drawn at random is
one on the whole image with a noisier gradient.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nital.image.micrograph import Source
from nital.paper.network import Network, Statistics, Surroundings, to_tensor
from nital.paper.places import Places
from nital.paper.superpixels import Superpixels

DRAWN_PIXELS = 5000
"""Pixels of the superpixels that are drawn in an iteration, about."""

LEAST_DRAWN = 80
"""Number of superpixels that are drawn at least: fewer, and the classes are lost by chance."""

SAMPLED_PIXELS = 2**16
"""Pixels of the superpixels in which labels are counted again before a training ends, and by whose
statistics the whole image is labelled, about."""


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

    def count(self, network: Network, counted: int, most: int) -> int:
        """Number of labels, when so many were counted in a batch; of more than `most`, at least one
        more than that."""

    def statistics(self, network: Network) -> Statistics | None:
        """Statistics by which the image is labelled; None: its own."""


class WholeImage:
    """Every included pixel in every iteration, as the paper has it.

    Parameters
    ----------
    source : Source
    superpixels : Superpixels
        Of the whole image.
    device : torch.device
    """

    def __init__(self, source: Source, superpixels: Superpixels, device: torch.device) -> None:
        (window,), (numbers,) = superpixels.windows, superpixels.maps
        self._image = to_tensor(source.read(*window), device)
        superpixel = torch.from_numpy(numbers.ravel())
        self._included: Tensor | None = None
        excluded = source.read_excluded(*window)
        if excluded.any():  # they neither vote nor count; the network sees them
            included = torch.from_numpy(np.flatnonzero(~excluded))
            superpixel, self._included = superpixel[included], included.to(device)
        self._superpixel = superpixel.to(device)
        self._n_superpixels = superpixels.n_superpixels

    def next(self, network: Network) -> Batch:
        """All of them."""
        responses: Tensor = network(self._image)
        responses = responses.permute(0, 2, 3, 1).flatten(0, 2)  # (rows * cols, q)
        if self._included is not None:
            responses = responses[self._included]
        return Batch(responses, self._superpixel, self._n_superpixels)

    def count(self, network: Network, counted: int, most: int) -> int:
        """As counted: all pixels were in the batch."""
        return counted

    def statistics(self, network: Network) -> None:
        """Those of the image."""


class DrawnSuperpixels:
    """Superpixels drawn at random, each once before any of them is drawn again.

    Parameters
    ----------
    places : Places
        Of the windows of the superpixels.
    superpixels : Superpixels
    device : torch.device
    seed : int
    """

    def __init__(
        self, places: Places, superpixels: Superpixels, device: torch.device, seed: int
    ) -> None:
        self._places, self._device = places, device
        pairs = zip(superpixels.maps, places.excluded, strict=True)
        superpixel = np.concatenate([numbers[~excluded] for numbers, excluded in pairs])
        self._pixels = places.included[np.argsort(superpixel, kind="stable")]
        """The places of the included pixels, superpixel after superpixel."""
        sizes = np.bincount(superpixel)
        self._sizes = sizes[sizes > 0]
        self._first = np.cumsum(self._sizes) - self._sizes
        self._n_drawn = max(self._number_with(DRAWN_PIXELS), min(LEAST_DRAWN, len(self._sizes)))
        self._rng = np.random.default_rng(seed)
        self._waiting = np.zeros(0, np.int64)
        order = np.random.default_rng(0).permutation(len(self._sizes))
        self._sampled = order[: self._number_with(SAMPLED_PIXELS)]
        self._further: list[Surroundings] = []

    def next(self, network: Network) -> Batch:
        """The next few."""
        while len(self._waiting) < self._n_drawn:
            again = self._rng.permutation(len(self._sizes))
            self._waiting = np.concatenate([self._waiting, again])
        drawn, self._waiting = np.split(self._waiting, [self._n_drawn])
        pixels, superpixel = self._members(drawn)
        responses = network.at(self._places.around(pixels))
        return Batch(responses, torch.from_numpy(superpixel).to(self._device), len(drawn))

    def count(self, network: Network, counted: int, most: int) -> int:
        """Those in further batches, which are the same whenever they are counted."""
        if not self._further:
            n_batches = math.ceil(len(self._sampled) / self._n_drawn)
            parts = np.array_split(self._sampled, n_batches)
            self._further = [self._places.around(self._members(part)[0]) for part in parts]
        labels = torch.zeros(network.n_responses, dtype=torch.bool, device=self._device)
        with torch.inference_mode():
            for place, batch in enumerate(self._further):
                labels[network.at(batch).argmax(dim=1)] = True
                if (n_labels := int(labels.sum())) > most:
                    # Where a rare label was, it is likely to be the next time.
                    self._further.insert(0, self._further.pop(place))
                    break
        return n_labels

    def statistics(self, network: Network) -> Statistics:
        """Those of the same superpixels."""
        return network.statistics(self._places.around(self._members(self._sampled)[0]))

    def _number_with(self, n_pixels: int) -> int:
        """Number of superpixels that have about so many pixels together: 1 to all."""
        n = round(n_pixels * len(self._sizes) / max(1, len(self._pixels)))
        return min(max(1, n), len(self._sizes))

    def _members(self, drawn: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the pixels of some superpixels, and which of these each is in."""
        sizes = self._sizes[drawn]
        superpixel = np.repeat(np.arange(len(drawn)), sizes)
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self._pixels[self._first[drawn][superpixel] + within], superpixel
