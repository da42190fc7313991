"""The engine against a naive transcription of the paper's algorithm: same weights, same labels.

The transcription is slow and plain on purpose: whole image, one layer after the other written out,
a Python loop over superpixels and over the pixels of each. It shares no code with nital. Both run
in double precision, where the order of sums can't tip a label in so few steps.
"""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from helpers.divided import divided, image_of
from nital.paper.batches import WholeImage
from nital.paper.labelling import predict
from nital.paper.network import Network
from nital.paper.superpixels import find_superpixels
from nital.paper.training import Trainer

N_RESPONSES = 9
LEARNING_RATE = 0.1
MOMENTUM = 0.9


def naive_forward(image: NDArray[np.float64], weights: list[Tensor]) -> Tensor:
    """Responses (rows, cols, q) of one image (rows, cols, 3); sums over shifted copies."""
    rows, cols = image.shape[:2]
    values = torch.from_numpy(image)
    while len(weights) > 4:
        kernel, bias, gain, shift, *weights = weights
        padded = torch.zeros(rows + 2, cols + 2, values.shape[2], dtype=torch.float64)
        padded[1:-1, 1:-1] = values
        total = bias.repeat(rows, cols, 1)
        for i in range(3):
            for j in range(3):
                total = total + padded[i : i + rows, j : j + cols] @ kernel[:, :, i, j].T
        values = naive_batch_norm(torch.where(total > 0, total, 0), gain, shift)
    kernel, bias, gain, shift = weights
    return naive_batch_norm(values @ kernel[:, :, 0, 0].T + bias, gain, shift)


def naive_batch_norm(values: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    mean = values.mean(dim=(0, 1))
    variance = ((values - mean) ** 2).mean(dim=(0, 1))
    return (values - mean) / (variance + 1e-5) ** 0.5 * gain + shift


def naive_labels(responses: Tensor) -> list[list[int]]:
    """The strongest response of each pixel; the first in a tie."""
    return [[pixel.index(max(pixel)) for pixel in row] for row in responses.tolist()]


def naive_train(
    image: NDArray[np.float64],
    superpixels: NDArray[np.int64],
    excluded: NDArray[np.bool_],
    weights: list[Tensor],
    n_iterations: int,
    n_classes: int,
) -> tuple[list[list[int]], list[int]]:
    """Labels after training, and the count of every iteration."""
    included = [(int(r), int(c)) for r, c in np.argwhere(~excluded)]
    velocity = [torch.zeros_like(weight) for weight in weights]
    counts = []
    for _ in range(n_iterations):
        responses = naive_forward(image, weights)
        labels = naive_labels(responses)
        counts.append(len({labels[r][c] for r, c in included}))
        for superpixel in np.unique(superpixels).tolist():
            members = [(r, c) for r, c in included if superpixels[r, c] == superpixel]
            votes = Counter(labels[r][c] for r, c in members)
            if not members:
                continue
            winner = min(votes, key=lambda label: (-votes[label], label))
            for r, c in members:
                labels[r][c] = winner
        log_share = responses - torch.logsumexp(responses, dim=2, keepdim=True)
        loss = torch.zeros((), dtype=torch.float64)
        for r, c in included:
            loss = loss - log_share[r, c, labels[r][c]] / len(included)
        for weight, gradient, speed in zip(
            weights, torch.autograd.grad(loss, weights), velocity, strict=True
        ):
            speed.mul_(MOMENTUM).add_(gradient)
            weight.data.sub_(LEARNING_RATE * speed)
        if counts[-1] <= n_classes:
            break
    with torch.no_grad():
        return naive_labels(naive_forward(image, weights)), counts


def striped_image(seed: int) -> NDArray[np.float64]:
    """Three grey levels with a colour cast and noise, not square: 13 x 17."""
    rng = np.random.default_rng(seed)
    level = np.repeat([0.2, 0.5, 0.9], [5, 6, 6])[np.newaxis, :, np.newaxis]
    noise = 0.08 * rng.standard_normal((13, 17, 3))
    image: NDArray[np.float64] = np.clip(level * np.array([1.0, 0.9, 0.8]) + noise, 0, 1)
    return image


def frame() -> NDArray[np.bool_]:
    """A frame around the image, and a hole in it, are excluded."""
    excluded = np.ones((13, 17), bool)
    excluded[2:, 1:-3] = False
    excluded[6:8, 7:10] = True
    return excluded


@pytest.mark.parametrize("excluded", [np.zeros((13, 17), bool), frame()], ids=["whole", "frame"])
@pytest.mark.parametrize(("seed", "n_layers", "n_classes"), [(0, 2, 2), (1, 2, 2), (2, 1, 4)])
def test_same_labels_as_the_naive_transcription(
    seed: int, n_layers: int, n_classes: int, excluded: NDArray[np.bool_]
) -> None:
    image = striped_image(seed)
    superpixels = find_superpixels(image.astype(np.float32), n_superpixels=12)
    network = Network(n_filters=7, n_layers=n_layers, n_responses=N_RESPONSES, seed=seed).double()
    weights = [weight.detach().clone().requires_grad_() for weight in network.parameters()]

    pixels: NDArray[Any] = image  # double, as the network is here
    trainer = Trainer(
        network,
        WholeImage(image_of(pixels, excluded), divided(superpixels), torch.device("cpu")),
        max_iterations=12,
        learning_rate=LEARNING_RATE,
        momentum=MOMENTUM,
    )
    training = trainer.train_to(n_classes)
    labels = predict(network, pixels).tolist()

    naive, counts = naive_train(image, superpixels, excluded, weights, 12, n_classes)
    assert labels == naive
    assert [step.n_classes for step in training.steps] == counts
    assert len({label for row in naive for label in row}) > 1  # the map is not trivial
