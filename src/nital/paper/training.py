"""Training: the loop of the paper."""

import ctypes
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nital.errors import SettingError, Stopped
from nital.paper.batches import Batches
from nital.paper.course import Step, Training
from nital.paper.network import Network


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
    cell = superpixel * q + responses.argmax(dim=1)
    votes = torch.zeros(n_superpixels * q, dtype=torch.int64, device=responses.device)
    # Not `bincount`: on a GPU that makes the host wait.
    votes.scatter_add_(0, cell, torch.ones_like(cell))
    return votes.view(n_superpixels, q).argmax(dim=1)[superpixel]


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's malloc.h
_USUAL_THRESHOLD, _LARGEST, _NEVER = 2**25, 2**31 - 1, -1


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Let the C library keep freed memory for the next iteration.

    glibc returns large blocks to the system at once, and fetching them again, page by page, took a
    third of an iteration on a whole image. Systems other than Linux are not affected.
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


def train(
    network: Network,
    batches: Batches,
    numbers: Sequence[int],
    *,
    max_iterations: int,
    learning_rate: float,
    momentum: float,
    read_every: int = 1,
    on_step: Callable[[Step], None] | None = None,
) -> Iterator[tuple[int, Training]]:
    """Train a network so that the most frequent feature of each superpixel comes to dominate it.

    The network is changed in place. A training to a number of classes ends after the update of the
    iteration that counted as many or fewer, or after `max_iterations`; one to a smaller number has
    the same iterations, and more.

    Parameters
    ----------
    network : Network
    batches : Batches
        The pixels of each iteration.
    numbers : sequence of int
        Numbers of classes.
    read_every : int
        Iterations between two readings of counts and losses. Reading makes the host wait for the
        device, so on a GPU it is done rarely; an iteration that should have been the last is then
        found later, and its weights are restored: the result is the same.
    on_step : callable, optional
        Called after each iteration; it can raise `Stopped` to end the training.

    Yields
    ------
    Each number of classes, from the largest, with the record of the training to it, while the
    network has its weights.

    Raises
    ------
    SettingError
        If the loss is no longer finite.
    """
    weights = list(network.parameters())
    velocity = [torch.zeros_like(weight) for weight in weights]
    unread: list[tuple[Tensor, Tensor, list[Tensor]]] = []
    steps: list[Step] = []
    left = sorted(set(numbers), reverse=True)

    def record() -> Iterator[list[Tensor]]:
        """Record the unread iterations; yield the weights after each, if they are kept."""
        counts, losses, snapshots = zip(*unread, strict=True)
        unread.clear()
        values = torch.stack(counts).tolist(), torch.stack(losses).tolist()
        for count, loss, kept in zip(*values, snapshots, strict=True):
            step = Step(len(steps) + 1, count, loss)
            if not math.isfinite(loss):
                raise SettingError(
                    f"learning_rate {learning_rate}: training diverged at iteration"
                    f" {step.iteration}, the loss is no longer finite; use a lower one"
                )
            steps.append(step)
            yield kept

    with keeping_freed_memory():
        for iteration in range(1, max_iterations + 1):
            batch = batches.next(network)
            responses = batch.responses
            with torch.no_grad():
                in_use = responses.new_zeros(network.n_responses, dtype=torch.bool)
                in_use.scatter_(0, responses.argmax(dim=1), True)
                target = majority(responses, batch.superpixel, batch.n_superpixels)
            # Pixel by pixel, then their mean, so that the backward pass uses all cores.
            loss = nn.functional.cross_entropy(responses, target, reduction="none").mean()
            gradients = torch.autograd.grad(loss, weights)
            with torch.no_grad():  # torch's SGD, without the second that its first import takes
                for weight, speed, gradient in zip(weights, velocity, gradients, strict=True):
                    speed.mul_(momentum).add_(gradient)
                    weight.sub_(speed, alpha=learning_rate)
            # If read late, this iteration may turn out to have been the last.
            kept = copies(weights) if read_every > 1 else []
            unread.append((in_use.sum(), loss.detach(), kept))
            if iteration % read_every and iteration < max_iterations:
                continue
            for kept in record():
                with having(weights, kept):
                    try:
                        if on_step is not None:
                            on_step(steps[-1])
                    except Stopped:
                        for number in left:
                            yield number, Training(tuple(steps), "stopped")
                        return
                    while left and steps[-1].n_classes <= left[0]:
                        yield left.pop(0), Training(tuple(steps), "n_classes")
                    if not left:
                        return
        for number in left:
            yield number, Training(tuple(steps), "max_iterations")


def copies(weights: Sequence[Tensor]) -> list[Tensor]:
    """Copies of weights."""
    return [weight.detach().clone() for weight in weights]


@contextmanager
def having(weights: Sequence[Tensor], kept: Sequence[Tensor]) -> Iterator[None]:
    """Let weights have the values that were kept, if any, for a while."""
    if not kept:
        yield
        return
    now = copies(weights)
    try:
        for weight, value in zip(weights, kept, strict=True):
            weight.data.copy_(value)
        yield
    finally:
        for weight, value in zip(weights, now, strict=True):
            weight.data.copy_(value)
