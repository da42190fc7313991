"""Training: one loop. Modes differ by where a batch comes from, and by how it is refined."""

import ctypes
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nital.errors import SettingError
from nital.network import Network, Stack

SHARPNESS = 0.5
"""Responses are divided by this before balanced targets are shared out (epsilon of Sinkhorn)."""

BALANCING_ROUNDS = 3
TINY = 1e-30


@dataclass(frozen=True)
class Batch:
    """What one step of training learns from: a whole image, or patches for each of n networks."""

    pixels: Tensor
    """(1, channels, rows, cols); patches: (n, m, side, side, channels)."""

    superpixel: Tensor
    """(m,), int64: the superpixel of each included pixel, in reading order; of the central pixel of
    each patch, the same for every network."""

    n_superpixels: int

    included: Tensor | None = None
    """(m,), int64: which of the rows * cols pixels count; None: all of them."""

    patches: bool = False

    def responses(self, stack: Stack) -> Tensor:
        """(n, m, n_responses)."""
        if self.patches:
            return stack.of_patches(self.pixels)
        (network,) = stack.networks  # whole images train one at a time
        responses: Tensor = network(self.pixels)
        responses = responses.permute(0, 2, 3, 1).flatten(1, 2)  # (1, rows * cols, q)
        return responses if self.included is None else responses[:, self.included]


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
    responses : (n, m, q), float
        Of n networks. The label of a pixel is the strongest of its responses.
    superpixel : (m,), int64
        Superpixel of each pixel, 0 to `n_superpixels` - 1.

    Returns
    -------
    (n, m), int64
        The majority label of each pixel's superpixel; ties go to the lowest label.
    """
    n, _, q = responses.shape
    cell = superpixel * q + responses.argmax(dim=2)  # (n, m)
    votes = torch.zeros(n, n_superpixels * q, dtype=torch.int64, device=responses.device)
    # Not `bincount`: on a GPU that makes the host wait.
    votes.scatter_add_(1, cell, torch.ones_like(cell[:1, :1]).expand_as(cell))
    return votes.view(n, n_superpixels, q).argmax(dim=2)[:, superpixel]


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
    (n, m), int64
    """
    mean = responses.unflatten(1, (n_superpixels, -1)).mean(dim=2)  # (n, n_superpixels, q)
    share = torch.softmax(mean / SHARPNESS, dim=2)
    for _ in range(BALANCING_ROUNDS):
        share = share / share.sum(dim=1, keepdim=True).clamp(min=TINY)  # one may answer nowhere
        share = share / share.sum(dim=2, keepdim=True)
    return share.argmax(dim=2)[:, superpixel]


Refinement = Callable[[Tensor, Tensor, int], Tensor]


class Settled:
    """Whether the labels of a fixed probe have stopped changing.

    Parameters
    ----------
    probe : (m, side, side, channels)
        Patches whose labels are watched.
    tolerance : float
        Settled means that from one call to the next at most this share of the labels changed.
    """

    def __init__(self, probe: Tensor, tolerance: float) -> None:
        self._probe, self._tolerance = probe, tolerance
        self._labels: Tensor | None = None

    def __call__(self, stack: Stack) -> list[bool]:
        """For each network."""
        with torch.no_grad():
            probe = self._probe.expand(len(stack), *self._probe.shape)
            labels = stack.of_patches(probe).argmax(dim=2)  # (n, m)
        before, self._labels = self._labels, labels
        if before is None:
            return [False] * len(stack)
        changed = (labels != before).double().mean(dim=1)
        return [share <= self._tolerance for share in changed.tolist()]


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
    networks: Sequence[Network],
    batches: Iterable[Batch],
    *,
    refine: Refinement = majority,
    n_classes: int,
    max_iterations: int,
    learning_rate: float,
    momentum: float,
    half_life: float = math.inf,
    settled: Callable[[Stack], list[bool]] | None = None,
    read_every: int = 1,
    on_step: Callable[[Step], None] | None = None,
) -> list[Training]:
    """Train networks so that the feature most frequent in each superpixel comes to dominate it.

    The networks are changed in place; they know nothing of each other. The training of one ends
    after the update of the iteration that counted `n_classes` classes or fewer, or when it has
    `settled`, or after `max_iterations`.

    Parameters
    ----------
    networks : sequence of Network
        Usually one; several of one shape train as one batch (`Stack`).
    refine : callable
        `majority` or `balanced`: responses -> targets.
    half_life : float
        Iterations in which the learning rate falls to half.
    settled : callable, optional
        Asked at every reading which trainings are done.
    read_every : int
        Iterations between two readings of counts and losses. Reading makes the host wait for the
        device, so on a GPU it is done seldom; an iteration that should have been the last is then
        found later, and its weights put back: the result is the same.

    Raises
    ------
    SettingError
        If a loss is no longer finite.
    """
    stack = Stack(networks)
    velocity = [torch.zeros_like(weight) for weight in stack.weights]
    unread: list[tuple[Tensor, Tensor, list[Tensor]]] = []
    steps: list[list[Step]] = [[] for _ in networks]
    ended: dict[int, str] = {}

    def end(index: int, reason: str, weights: list[Tensor]) -> None:
        stack.unstack(index, weights)
        ended[index] = reason

    def read() -> None:
        """Take note of what is unread, and of the trainings whose last iteration was among it."""
        counts, losses, snapshots = zip(*unread, strict=True)
        unread.clear()
        values = torch.stack(counts).tolist(), torch.stack(losses).tolist()
        for of_step in zip(*values, snapshots, strict=True):
            for index, (count, loss) in enumerate(zip(*of_step[:2], strict=True)):
                if index in ended:
                    continue
                step = Step(len(steps[index]) + 1, count, loss)
                if not math.isfinite(loss):
                    raise SettingError(
                        f"learning_rate {learning_rate}: training diverged at iteration"
                        f" {step.iteration}, the loss is no longer finite; use a lower one"
                    )
                steps[index].append(step)
                if on_step is not None:
                    on_step(step)
                if count <= n_classes:
                    end(index, "n_classes", of_step[2] or stack.weights)

    for iteration, batch in enumerate(itertools.islice(batches, max_iterations), start=1):
        responses = batch.responses(stack)  # (n, m, q)
        with torch.no_grad():
            in_use = responses.new_zeros(len(stack), stack.n_responses, dtype=torch.bool)
            in_use.scatter_(1, responses.argmax(dim=2), True)
            target = refine(responses, batch.superpixel, batch.n_superpixels)  # (n, m)
        loss = nn.functional.cross_entropy(
            responses.flatten(0, 1), target.flatten(), reduction="none"
        )
        loss = loss.view_as(target).mean(dim=1)  # (n,)
        gradients = torch.autograd.grad(loss.sum(), stack.weights)
        rate = learning_rate * 0.5 ** ((iteration - 1) / half_life)
        with torch.no_grad():  # torch's SGD, without the second that its first import takes
            for weight, speed, gradient in zip(stack.weights, velocity, gradients, strict=True):
                speed.mul_(momentum).add_(gradient)
                weight.sub_(speed, alpha=rate)
        late = read_every > 1 and n_classes > 0  # it may turn out to have been the last
        kept = [weight.detach().clone() for weight in stack.weights] if late else []
        unread.append((in_use.sum(dim=1), loss.detach(), kept))
        if iteration % read_every == 0 or iteration == max_iterations:
            read()
            for index, done in enumerate(settled(stack) if settled is not None else []):
                if done and index not in ended:
                    end(index, "settled", stack.weights)
            if len(ended) == len(stack):
                break
    if unread:
        read()
    for index in range(len(stack)):
        if index not in ended:
            end(index, "max_iterations", stack.weights)
    return [Training(tuple(of_one), ended[index]) for index, of_one in enumerate(steps)]
