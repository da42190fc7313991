"""Training: the paper's loop. Modes differ only by where a batch comes from."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nital.errors import SettingError
from nital.network import Network


@dataclass(frozen=True)
class Batch:
    """What one step of training learns from."""

    pixels: Tensor
    """(n, channels, rows, cols)."""

    superpixel: Tensor
    """(m,), int64: the superpixel of each included pixel, in the order (n, rows, cols)."""

    n_superpixels: int

    included: Tensor | None = None
    """(m,), int64: which of the n * rows * cols pixels count; None: all of them."""


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
    """The setting that ended it: `n_classes` or `max_iterations`."""


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


def refine(
    labels: Tensor, superpixel: Tensor, n_superpixels: int, n_responses: int
) -> tuple[Tensor, int]:
    """Give every superpixel the label that most of its pixels have.

    Parameters
    ----------
    labels, superpixel : (m,), int64
        Label, 0 to `n_responses` - 1, and superpixel of each pixel.

    Returns
    -------
    refined : (m,), int64
        The majority label of each pixel's superpixel; ties go to the lowest label.
    n_classes : int
        How many labels were in use before.
    """
    votes = torch.bincount(
        superpixel * n_responses + labels, minlength=n_superpixels * n_responses
    ).view(n_superpixels, n_responses)
    n_classes = int((votes.sum(dim=0) > 0).sum())
    return votes.argmax(dim=1)[superpixel], n_classes


def train(
    network: Network,
    batches: Iterable[Batch],
    *,
    n_classes: int,
    max_iterations: int,
    learning_rate: float,
    momentum: float,
    on_step: Callable[[Step], None] | None = None,
) -> Training:
    """Train a network so that the feature most frequent in each superpixel comes to dominate it.

    The network is changed in place. Training ends after the update of the iteration that counted
    `n_classes` classes or fewer, or after `max_iterations`.

    Raises
    ------
    SettingError
        If the loss is no longer finite.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=momentum)
    steps: list[Step] = []
    for iteration, batch in enumerate(itertools.islice(batches, max_iterations), start=1):
        responses = network(batch.pixels).permute(0, 2, 3, 1)  # (n, rows, cols, q)
        responses = responses.reshape(-1, network.n_responses)  # (n * rows * cols, q)
        if batch.included is not None:
            responses = responses[batch.included]  # (m, q)
        labels = responses.argmax(dim=1)
        target, count = refine(labels, batch.superpixel, batch.n_superpixels, network.n_responses)
        loss = nn.functional.cross_entropy(responses, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step = Step(iteration, count, float(loss.detach()))
        if not math.isfinite(step.loss):
            raise SettingError(
                f"learning_rate {learning_rate}: training diverged at iteration {iteration}, the"
                " loss is no longer finite; use a lower one"
            )
        steps.append(step)
        if on_step is not None:
            on_step(step)
        if count <= n_classes:
            return Training(tuple(steps), "n_classes")
    return Training(tuple(steps), "max_iterations")
