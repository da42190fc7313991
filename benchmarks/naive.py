"""The method as public implementations write it, to measure nital against.

    python benchmarks/naive.py IMAGE OUT.png --n-classes 3

The whole image through torch's layers in their default memory order, a Python loop over superpixels
for the majority labels, torch's own optimiser. Nothing of it is nital's but the reading of the
image and the first weights, so that both start alike. Prints iterations and seconds as JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import slic
from torch import nn

from nital import read_micrograph
from nital.paper.network import Network
from nital.paper.settings import PAPER


def train(
    image: NDArray[np.float32],
    superpixels: NDArray[np.int64],
    *,
    n_classes: int,
    max_iterations: int,
    on_step: Callable[[], object] = lambda: None,
) -> tuple[list[int], NDArray[np.int64]]:
    """The naive loop: the count of classes in each iteration, and the labels after the last.

    `on_step` is called after each iteration.
    """
    q, p = PAPER.n_responses, PAPER.n_filters
    network = nn.Sequential(
        *(nn.Conv2d(3, p, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(p)),
        *(nn.Conv2d(p, p, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(p)),
        *(nn.Conv2d(p, q, 1), nn.BatchNorm2d(q)),
    )
    weights = Network(n_filters=p, n_responses=q, seed=0).parameters()
    for own, same in zip(network.parameters(), weights, strict=True):
        own.data.copy_(same.data)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    data = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))[np.newaxis])
    order = np.argsort(superpixels, axis=None, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(superpixels.ravel()))[:-1])
    counts = []
    for _ in range(max_iterations):
        optimizer.zero_grad()
        responses = network(data)[0].permute(1, 2, 0).contiguous().view(-1, q)
        labels = responses.max(1)[1].numpy()
        counts.append(len(np.unique(labels)))
        for inside in members:
            found, votes = np.unique(labels[inside], return_counts=True)
            labels[inside] = found[np.argmax(votes)]
        nn.functional.cross_entropy(responses, torch.from_numpy(labels)).backward()
        optimizer.step()
        on_step()
        if counts[-1] <= n_classes:
            break
    with torch.no_grad():
        return counts, network(data)[0].argmax(0).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n-classes", type=int, default=3)
    parser.add_argument("--max-iterations", type=int, default=500)
    given = parser.parse_args()
    image = read_micrograph(given.image).pixels
    superpixels = slic(image, n_segments=50_000, compactness=20, start_label=0)
    superpixels = np.unique(superpixels, return_inverse=True)[1].reshape(image.shape[:2])
    start = time.perf_counter()
    counts, labels = train(
        image, superpixels, n_classes=given.n_classes, max_iterations=given.max_iterations
    )
    seconds = time.perf_counter() - start
    Image.fromarray(labels.astype(np.uint8)).save(given.out)
    print(json.dumps({"iterations": len(counts), "classes": counts[-1], "training": seconds}))


if __name__ == "__main__":
    main()
