"""Training: the loop of the paper."""

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
from torch.nn.utils import parameters_to_vector, vector_to_parameters

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


class Trainer:
    """Trains a network so that the most frequent feature of each superpixel comes to dominate it.

    The weights after each iteration are kept: trainings to several numbers of classes have the same
    iterations, as far as they go.

    Parameters
    ----------
    network : Network
        Changed in place.
    batches : Batches
        The pixels of each iteration.
    max_iterations : int
    learning_rate, momentum : float
        Of the gradient descent.
    read_every : int
        Iterations between two readings of counts and losses. Reading makes the host wait for the
        device, so on a GPU it is done rarely; an iteration that should have been the last is then
        found later: the result is the same.
    """

    def __init__(
        self,
        network: Network,
        batches: Batches,
        *,
        max_iterations: int,
        learning_rate: float,
        momentum: float,
        read_every: int = 1,
    ) -> None:
        self._network, self._batches = network, batches
        self._max_iterations, self._read_every = max_iterations, read_every
        self._learning_rate, self._momentum = learning_rate, momentum
        self._steps: list[Step] = []
        self._weights = [parameters_to_vector(network.parameters()).detach()]
        """At first, and after each iteration."""
        self._velocity = torch.zeros_like(self._weights[0])

    def train_to(self, n_classes: int, on_step: Callable[[Step], None] | None = None) -> Training:
        """Train until an iteration counts so many classes, or fewer; its update is the last.

        There are no more than `max_iterations`. The network has the weights of this training then.

        Parameters
        ----------
        n_classes : int
        on_step : callable, optional
            Called after each iteration that was not known before, while the network has its
            weights; it can raise `Stopped` to end the training.

        Raises
        ------
        SettingError
            If the loss is no longer finite.
        """
        n_done, n_known = 0, len(self._steps)
        with keeping_freed_memory():
            while n_done < self._max_iterations:
                if n_done == len(self._steps):
                    self._iterate()
                step = self._steps[n_done]
                if not math.isfinite(step.loss):
                    raise SettingError(
                        f"learning_rate {self._learning_rate}: training diverged at iteration"
                        f" {step.iteration}, the loss is no longer finite; use a lower one"
                    )
                n_done += 1
                if on_step is not None and n_done > n_known:
                    self._restore(n_done)
                    try:
                        on_step(step)
                    except Stopped:
                        return Training(tuple(self._steps[:n_done]), "stopped")
                if step.n_classes <= n_classes:
                    self._restore(n_done - 1)
                    counted = self._batches.count(self._network, step.n_classes, n_classes)
                    if counted <= n_classes:
                        self._restore(n_done)
                        last = replace(step, n_classes=counted)
                        return Training((*self._steps[: n_done - 1], last), "n_classes")
        self._restore(n_done)
        return Training(tuple(self._steps[:n_done]), "max_iterations")

    def weights(self) -> NDArray[np.float32]:
        """Those that the network has, one after the other."""
        found: NDArray[np.float32] = (
            parameters_to_vector(self._network.parameters()).detach().cpu().numpy()
        )
        return found

    def _restore(self, n_done: int) -> None:
        """Give the network the weights after so many iterations."""
        vector_to_parameters(self._weights[n_done], self._network.parameters())

    def _iterate(self) -> None:
        """Do the next iteration or, if they are read rarely, the next few."""
        n_done = len(self._steps)
        self._restore(n_done)
        weights = list(self._network.parameters())
        counts, losses = [], []
        for _ in range(min(self._read_every, self._max_iterations - n_done)):
            batch = self._batches.next(self._network)
            responses = batch.responses
            with torch.no_grad():
                in_use = responses.new_zeros(self._network.n_responses, dtype=torch.bool)
                in_use.scatter_(0, responses.argmax(dim=1), True)
                target = majority(responses, batch.superpixel, batch.n_superpixels)
            # Pixel by pixel, then their mean, so that the backward pass uses all cores.
            loss = nn.functional.cross_entropy(responses, target, reduction="none").mean()
            gradients = torch.autograd.grad(loss, weights)
            with torch.no_grad():  # torch's SGD, without the second that its first import takes
                gradient = torch.cat([each.reshape(-1) for each in gradients])
                self._velocity.mul_(self._momentum).add_(gradient)
                moved = self._weights[-1].sub(self._velocity, alpha=self._learning_rate)
            self._weights.append(moved)
            vector_to_parameters(moved, weights)
            counts.append(in_use.sum())
            losses.append(loss.detach())
        for count, value in zip(
            torch.stack(counts).tolist(), torch.stack(losses).tolist(), strict=True
        ):
            self._steps.append(Step(len(self._steps) + 1, count, value))
