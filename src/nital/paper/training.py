"""Training: the loop of the paper, on a whole image."""

import ctypes
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nital.errors import SettingError, Stopped
from nital.paper.course import Step, Training
from nital.paper.network import Network


def to_tensor(pixels: NDArray[np.float32], device: torch.device) -> Tensor:
    """(rows, cols, channels) -> (1, channels, rows, cols), in the memory order of the array.

    This order, channels last, is faster for these convolutions, and makes the responses of a pixel
    contiguous for the classifier.
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


@keeping_freed_memory()
def train(
    network: Network,
    pixels: NDArray[np.float32],
    superpixels: NDArray[np.int64],
    excluded: NDArray[np.bool_],
    *,
    n_classes: int,
    max_iterations: int,
    learning_rate: float,
    momentum: float,
    read_every: int = 1,
    on_step: Callable[[Step], None] | None = None,
) -> Training:
    """Train a network so that the most frequent feature of each superpixel comes to dominate it.

    The network is changed in place. Training ends after the update of the iteration that counted
    `n_classes` classes or fewer, or after `max_iterations`.

    Parameters
    ----------
    pixels : (rows, cols, 3), float32 in [0, 1]
    superpixels : (rows, cols), int64
        0 to n - 1.
    excluded : (rows, cols), bool
        Pixels that neither vote nor count; the network sees them.
    read_every : int
        Iterations between two readings of counts and losses. Reading makes the host wait for the
        device, so on a GPU it is done rarely; an iteration that should have been the last is then
        found later, and its weights are restored: the result is the same.
    on_step : callable, optional
        Called after each iteration; it can raise `Stopped` to end the training.

    Raises
    ------
    SettingError
        If the loss is no longer finite.
    """
    weights = list(network.parameters())
    device = weights[0].device
    image = to_tensor(pixels, device)
    included = torch.from_numpy(np.flatnonzero(~excluded)) if excluded.any() else None
    superpixel = torch.from_numpy(superpixels.ravel())
    if included is not None:
        superpixel, included = superpixel[included].to(device), included.to(device)
    superpixel, n_superpixels = superpixel.to(device), int(superpixels.max()) + 1
    velocity = [torch.zeros_like(weight) for weight in weights]
    unread: list[tuple[Tensor, Tensor, list[Tensor]]] = []
    steps: list[Step] = []

    def restore(kept: list[Tensor]) -> None:
        """Restore the weights after the iteration that turned out to be the last."""
        for weight, value in zip(weights, kept, strict=False):
            weight.data.copy_(value)

    def draw() -> NDArray[np.int64]:
        labels = np.full(excluded.shape, -1)
        labels[~excluded] = responses.detach().argmax(dim=1).cpu().numpy()
        return labels

    def read() -> bool:
        """Record the unread iterations; return whether the last one was among them."""
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
            try:
                if on_step is not None:
                    on_step(replace(step, draw=draw))
            except Stopped:
                restore(kept)
                raise
            if count <= n_classes:
                restore(kept)
                return True
        return False

    for iteration in range(1, max_iterations + 1):
        responses: Tensor = network(image)
        responses = responses.permute(0, 2, 3, 1).flatten(0, 2)  # (rows * cols, q)
        if included is not None:
            responses = responses[included]
        with torch.no_grad():
            in_use = responses.new_zeros(network.n_responses, dtype=torch.bool)
            in_use.scatter_(0, responses.argmax(dim=1), True)
            target = majority(responses, superpixel, n_superpixels)
        # Pixel by pixel, then their mean, so that the backward pass uses all cores.
        loss = nn.functional.cross_entropy(responses, target, reduction="none").mean()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():  # torch's SGD, without the second that its first import takes
            for weight, speed, gradient in zip(weights, velocity, gradients, strict=True):
                speed.mul_(momentum).add_(gradient)
                weight.sub_(speed, alpha=learning_rate)
        # If read late, this iteration may turn out to have been the last.
        kept = [weight.detach().clone() for weight in weights] if read_every > 1 else []
        unread.append((in_use.sum(), loss.detach(), kept))
        try:
            if (iteration % read_every == 0 or iteration == max_iterations) and read():
                return Training(tuple(steps), "n_classes")
        except Stopped:
            return Training(tuple(steps), "stopped")
    return Training(tuple(steps), "max_iterations")
