"""Training: one loop. Modes differ by where a batch comes from, and by how it is refined."""

import ctypes
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nital.errors import SettingError
from nital.network import Network

SHARPNESS = 0.5
"""Responses are divided by this before balanced targets are shared out (epsilon of Sinkhorn)."""

BALANCING_ROUNDS = 3
TINY = 1e-30


@dataclass(frozen=True)
class Batch:
    """What one step of training learns from: a whole image, or patches of one."""

    pixels: Tensor
    """(n, channels, rows, cols); patches: (m, side, side, channels)."""

    superpixel: Tensor
    """(m,), int64: the superpixel of each included pixel, in the order (n, rows, cols); of the
    central pixel of each patch."""

    n_superpixels: int

    included: Tensor | None = None
    """(m,), int64: which of the n * rows * cols pixels count; None: all of them."""

    patches: bool = False

    def responses(self, network: Network) -> Tensor:
        """(m, n_responses)."""
        if self.patches:
            return network.of_patches(self.pixels)
        responses: Tensor = network(self.pixels)
        responses = responses.permute(0, 2, 3, 1)  # (n, rows, cols, q)
        responses = responses.reshape(-1, network.n_responses)  # (n * rows * cols, q)
        return responses if self.included is None else responses[self.included]


@dataclass(frozen=True)
class Step:
    """What one iteration saw."""

    iteration: int
    """From 1."""

    n_classes: int
    """Classes that held at least one pixel, counted before the refinement."""

    loss: float
    """Softmax cross-entropy against the refined labels."""


@dataclass(frozen=True)
class Training:
    """The course of a training."""

    steps: tuple[Step, ...]
    stop_reason: str
    """What ended it: `n_classes`, `settled` or `max_iterations`."""


def whole_image(
    pixels: NDArray[np.float32],
    superpixels: NDArray[np.int64],
    excluded: NDArray[np.bool_],
    device: torch.device,
) -> Iterator[Batch]:
    """The paper's source of batches: the whole image, every time.

    Parameters: (rows, cols, 3) in [0, 1]; (rows, cols), 0 to n - 1; (rows, cols).
    """
    included = None
    superpixel = torch.from_numpy(superpixels.ravel())
    if excluded.any():
        included = torch.from_numpy(np.flatnonzero(~excluded))
        superpixel = superpixel[included]
        included = included.to(device)
    batch = Batch(
        to_tensor(pixels, device), superpixel.to(device), int(superpixels.max()) + 1, included
    )
    return itertools.repeat(batch)


def to_tensor(pixels: NDArray[np.float32], device: torch.device) -> Tensor:
    """(rows, cols, channels) -> (1, channels, rows, cols), in the memory order of the array.

    That order, channels last, is the faster one for these convolutions, and makes the responses of
    a pixel lie side by side for the classifier.
    """
    return torch.from_numpy(pixels).to(device).permute(2, 0, 1).unsqueeze(0)


def majority(responses: Tensor, superpixel: Tensor, n_superpixels: int) -> Tensor:
    """The paper's refinement: every superpixel gets the label that most of its pixels have.

    Parameters
    ----------
    responses : (m, q), float
        The label of a pixel is the strongest of its responses.
    superpixel : (m,), int64
        Superpixel of each pixel, 0 to `n_superpixels` - 1.

    Returns
    -------
    (m,), int64
        The majority label of each pixel's superpixel; ties go to the lowest label.
    """
    q = responses.shape[1]
    votes = torch.bincount(
        superpixel * q + responses.argmax(dim=1), minlength=n_superpixels * q
    ).view(n_superpixels, q)
    return votes.argmax(dim=1)[superpixel]


def balanced(responses: Tensor, superpixel: Tensor, n_superpixels: int) -> Tensor:
    """Balanced targets: superpixels go to the classes in about equal shares.

    The majority rule lets one class swallow the others. Here the mean responses of the superpixels
    are turned into an assignment whose columns, the classes, are brought to equal sums by a few
    rounds of Sinkhorn and Knopp's scaling, as Caron et al. (NeurIPS 2020) do for clusters of
    images; each superpixel takes the class that is then its strongest.

    Parameters
    ----------
    responses, superpixel, n_superpixels
        As for `majority`, but the same number of pixels of each superpixel, one after the other.

    Returns
    -------
    (m,), int64
    """
    mean = responses.view(n_superpixels, -1, responses.shape[1]).mean(dim=1)  # (n, q)
    share = torch.softmax(mean / SHARPNESS, dim=1)
    for _ in range(BALANCING_ROUNDS):
        share = share / share.sum(dim=0).clamp(min=TINY)  # a class may answer nowhere
        share = share / share.sum(dim=1, keepdim=True)
    return share.argmax(dim=1)[superpixel]


Refinement = Callable[[Tensor, Tensor, int], Tensor]


class Settled:
    """Whether the labels of a fixed probe have stopped changing.

    Parameters
    ----------
    network : Network
        The one that is trained.
    probe : (m, side, side, channels)
        Patches whose labels are watched.
    tolerance : float
        Settled means that from one call to the next at most this share of the labels changed.
    """

    def __init__(self, network: Network, probe: Tensor, tolerance: float) -> None:
        self._network, self._probe, self._tolerance = network, probe, tolerance
        self._labels: Tensor | None = None

    def __call__(self) -> bool:
        with torch.no_grad():
            labels = self._network.of_patches(self._probe).argmax(dim=1)
        before, self._labels = self._labels, labels
        if before is None:
            return False
        return float((labels != before).double().mean()) <= self._tolerance


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's malloc.h
_USUAL_THRESHOLD, _LARGEST, _NEVER = 2**25, 2**31 - 1, -1


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Have the C library keep what is freed, for the next iteration to use again.

    glibc gives large blocks back to the system at once, and fetching them anew, page by page, took
    a third of an iteration on a whole image. Elsewhere than on Linux nothing is changed.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGEST)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _USUAL_THRESHOLD)
        library.mallopt(_TRIM_THRESHOLD, 2 * _USUAL_THRESHOLD)
        library.malloc_trim(0)


@freed_memory_kept()
def train(
    network: Network,
    batches: Iterable[Batch],
    *,
    refine: Refinement = majority,
    n_classes: int,
    max_iterations: int,
    learning_rate: float,
    momentum: float,
    half_life: float = math.inf,
    settled: Callable[[], bool] | None = None,
    read_every: int = 1,
    on_step: Callable[[Step], None] | None = None,
) -> Training:
    """Train a network so that the feature most frequent in each superpixel comes to dominate it.

    The network is changed in place. Training ends after the update of the iteration that counted
    `n_classes` classes or fewer, or when `settled`, or after `max_iterations`.

    Parameters
    ----------
    refine : callable
        `majority` or `balanced`: responses -> targets.
    half_life : float
        Iterations in which the learning rate falls to half.
    settled : callable, optional
        Asked at every reading whether training is done.
    read_every : int
        Iterations between two readings of counts and losses. Reading makes the host wait for the
        device, so on a GPU it is done seldom; an iteration that should have been the last is then
        found later, and its weights put back: the result is the same.

    Raises
    ------
    SettingError
        If the loss is no longer finite.
    """
    weights = list(network.parameters())
    velocity = [torch.zeros_like(weight) for weight in weights]
    unread: list[tuple[Tensor, Tensor, list[Tensor]]] = []
    steps: list[Step] = []

    def read() -> bool:
        """Take note of what is unread; whether one of these iterations is the last."""
        counts, losses, snapshots = zip(*unread, strict=True)
        unread.clear()
        values = torch.stack(counts).tolist(), torch.stack(losses).tolist()
        for count, value, kept in zip(*values, snapshots, strict=True):
            step = Step(len(steps) + 1, count, value)
            if not math.isfinite(step.loss):
                raise SettingError(
                    f"learning_rate {learning_rate}: training diverged at iteration"
                    f" {step.iteration}, the loss is no longer finite; use a lower one"
                )
            steps.append(step)
            if on_step is not None:
                on_step(step)
            if count <= n_classes:
                for weight, own in zip(weights, kept, strict=bool(kept)):
                    weight.data.copy_(own)
                return True
        return False

    for iteration, batch in enumerate(itertools.islice(batches, max_iterations), start=1):
        responses = batch.responses(network)  # (m, q)
        with torch.no_grad():
            in_use = torch.bincount(responses.argmax(dim=1), minlength=network.n_responses) > 0
            target = refine(responses, batch.superpixel, batch.n_superpixels)
        loss = nn.functional.cross_entropy(responses, target)
        gradients = torch.autograd.grad(loss, weights)
        rate = learning_rate * 0.5 ** ((iteration - 1) / half_life)
        with torch.no_grad():  # torch's SGD, without the second that its first import takes
            for weight, speed, gradient in zip(weights, velocity, gradients, strict=True):
                speed.mul_(momentum).add_(gradient)
                weight.sub_(speed, alpha=rate)
        late = read_every > 1 and n_classes > 0  # it may turn out to have been the last
        kept = [weight.detach().clone() for weight in weights] if late else []
        unread.append((in_use.sum(), loss.detach(), kept))
        if iteration % read_every == 0 or iteration == max_iterations:
            if read():
                return Training(tuple(steps), "n_classes")
            if settled is not None and settled():
                return Training(tuple(steps), "settled")
    if unread and read():
        return Training(tuple(steps), "n_classes")
    return Training(tuple(steps), "max_iterations")
